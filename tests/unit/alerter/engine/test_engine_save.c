/* Tests that a saved and loaded engine goes on alike, and that damaged bytes are refused. */
#include "alerter/engine/snapshot.h"
#include "common/base/hash.h"
#include "tests/unit/alerter/engine/engine_feed.h"

#include <stdio.h>
#include <stdlib.h>

static void fill(struct engine *e)
{
    int64_t times[4];
    struct wire_matches matches = group("h12", times, 4, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);

    record.frame_id = "frame 1";
    assert_int_equal(step(e, &record, NOW).n_alerts, 1);
    record.drain = "d.2";
    assert_int_equal(step(e, &record, NOW + 1).n_alerts, 0);
    record.frame_id = "frame 2";
    assert_int_equal(step(e, &record, NOW + 2).n_alerts, 0);
    assert_int_equal(feed(e, "worker", 2, NOW + TIME_S).n_alerts, 0);
    assert_int_equal(feed_path(e, "/a", "web.1", 1, NOW + 2 * TIME_S).n_alerts, 0);
    assert_int_equal(feed_path(e, "/b", "web.1", 1, NOW + 2 * TIME_S).n_alerts, 0);
    assert_int_equal(feed_path(e, "", "", 2, NOW + 2 * TIME_S).n_alerts, 1);
    lose(e, "d.1", NOW + 2 * TIME_S, NOW + 2 * TIME_S);
}

static void save(const struct engine *e, struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(engine_save(e, out), 0);
}

static void a_loaded_engine_goes_on_alike(void **state)
{
    struct engine_counts is, was;
    struct engine *loaded;
    struct engine_outcomes alerts;
    struct buf bytes;
    struct err err;

    fill(*state);
    save(*state, &bytes);
    assert_int_equal(engine_load(&loaded, bytes.data, bytes.len, &err), 0);
    is = engine_counts(loaded);
    was = engine_counts(*state);
    assert_memory_equal(&is, &was, sizeof is);
    alerts = feed(loaded, "h12", 1, NOW + 5 * TIME_MINUTE - 4 * TIME_S);
    assert_int_equal(alerts.n_alerts, 0);
    alerts = feed(loaded, "h12", 1, NOW + 5 * TIME_MINUTE);
    assert_int_equal(alerts.n_alerts, 0);
    alerts = feed(loaded, "h12", 3, NOW + 5 * TIME_MINUTE + TIME_S);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].suppressed, 10);
    assert_true(alerts.alerts[0].at_least);
    assert_int_equal(feed(loaded, "worker", 1, NOW + 5 * TIME_MINUTE + TIME_S).n_alerts, 0);
    engine_free(loaded);
    buf_close(&bytes);
}

/* Groups of one family stay one, in their order. */
static void loaded_groups_are_kept_alike(void **state)
{
    struct engine_limits limits = wide_limits();
    struct engine_outcomes alerts;
    struct engine *loaded;
    struct buf bytes;
    struct err err;
    uint64_t cooled;

    fill(*state);
    cooled = engine_counts(*state).cooled;
    save(*state, &bytes);
    assert_int_equal(engine_load(&loaded, bytes.data, bytes.len, &err), 0);
    alerts = feed_path(loaded, "/b", "web.1", 1, NOW + 3 * TIME_S);
    assert_int_equal(alerts.n_alerts, 1);
    assert_int_equal(alerts.alerts[0].count, 2);
    limits.groups = 3; /* of four: "/a" is the stalest */
    engine_set_limits(loaded, &limits);
    assert_int_equal(feed_path(loaded, "/c", "web.1", 1, NOW + 3 * TIME_S).n_alerts, 0);
    assert_int_equal(engine_counts(loaded).groups_dropped, 1);
    assert_int_equal(feed_path(loaded, "", "", 1, NOW + 3 * TIME_S).n_alerts, 0);
    assert_int_equal(engine_counts(loaded).cooled, cooled + 1);
    assert_int_equal(feed_path(loaded, "/a", "web.1", 1, NOW + 3 * TIME_S).n_alerts, 0);
    assert_int_equal(engine_counts(loaded).keys, 2 + 3);
    engine_free(loaded);
    buf_close(&bytes);
}

UNIT_TEST(an_engine_without_anything_is_saved_too)
{
    struct engine *e = engine_new(), *loaded;
    struct buf bytes;
    struct err err;

    assert_non_null(e);
    save(e, &bytes);
    assert_int_equal(engine_load(&loaded, bytes.data, bytes.len, &err), 0);
    assert_null(engine_rules(loaded));
    engine_free(loaded);
    engine_free(e);
    buf_close(&bytes);
}

static void a_buffer_too_small_keeps_what_it_held(void **state)
{
    struct buf bytes, small;

    fill(*state);
    save(*state, &bytes);
    for (size_t max = 4; max < bytes.len + 4; max += 7) {
        buf_init(&small, max);
        assert_int_equal(buf_puts(&small, "held"), 0);
        assert_int_equal(engine_save(*state, &small), ERR_FULL);
        assert_string_equal(buf_text(&small), "held");
        buf_close(&small);
    }
    buf_close(&bytes);
}

/* Loads damaged bytes; an engine made of them still works. */
static void load_damaged(const uint8_t *bytes, size_t n)
{
    struct engine_outcomes alerts;
    struct engine *e = NULL;
    struct err err;
    int64_t times[4];
    struct wire_matches matches = group("h12", times, 4, NOW);
    struct wire_record record = record_of(&matches, 1, NOW);
    const struct engine_event event = engine_record_event(&record, NOW + TIME_S);
    int rc = engine_load(&e, bytes, n, &err);

    assert_true(rc == 0 || rc == ERR_DAMAGED || rc == ERR_VERSION);
    assert_true((rc == 0) == (e != NULL));
    if (rc != 0)
        return;
    record.frame_id = "frame 3";
    assert_int_equal(engine_step(e, &event, &alerts, &err), 0);
    engine_free(e);
}

static void seal(uint8_t *bytes, size_t n)
{
    uint64_t checksum = hash_finish(hash_add(HASH_START, bytes, n - 8));

    for (size_t i = 0; i < 8; i++)
        bytes[n - 8 + i] = (uint8_t)(checksum >> (8 * i));
}

/* The checksum finds all of these. Each damaged form gets a right checksum as well, to reach the
 * other checks. Copies have the exact size, so that the sanitizer sees one byte beyond. */
static void damaged_bytes_never_crash(void **state)
{
    struct buf bytes;

    fill(*state);
    for (char path[] = "/A"; path[1] < 'I'; path[1]++) /* more than the budget: a digest waits */
        feed_path(*state, path, "web.1", 2, NOW + 3 * TIME_S);
    assert_true(engine_next_us(*state) < INT64_MAX);
    save(*state, &bytes);
    for (size_t n = 0; n <= bytes.len; n++) {
        uint8_t *cut = malloc(n + 1);

        memcpy(cut, bytes.data, n);
        load_damaged(cut, n);
        if (n >= 8) {
            seal(cut, n);
            load_damaged(cut, n);
        }
        free(cut);
    }
    for (size_t i = 0; i < bytes.len - 8; i++) {
        static const uint8_t with[] = {0x01, 0x80, 0xff, 0x7f};
        uint8_t *copy = malloc(bytes.len);

        for (size_t w = 0; w < sizeof with; w++) {
            memcpy(copy, bytes.data, bytes.len);
            copy[i] ^= with[w];
            load_damaged(copy, bytes.len);
            seal(copy, bytes.len);
            load_damaged(copy, bytes.len);
        }
        free(copy);
    }
    buf_close(&bytes);
}

/* Many keys and room for some of them only, in two engines, one after the other. */

enum { PROCESSES = 4000, RULES_MANY = 7, ROOM = 20000, MANY_STEPS = 60000 };

static void set_many_rules(struct engine *e)
{
    struct engine_limits limits = wide_limits();
    char text[1024];
    size_t n = (size_t)snprintf(text, sizeof text, "app: a\nslack: {channel: C1}\nrules:\n");

    for (int i = 0; i < RULES_MANY; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "  - {name: r%d, match: x, group_by: process, more_than: 1,"
                              " within: 1m, cooldown: 1m}\n",
                              i);
    set_rules(e, text);
    limits.keys = ROOM;
    limits.groups = PROCESSES;
    limits.times = ENGINE_TIMES_MAX;
    engine_set_limits(e, &limits);
}

/* A record with three matches of keys at random. */
static struct wire_record many_record(uint64_t random, int64_t *at_us)
{
    static char rules[3][8], processes[3][16];
    static struct wire_matches matches[3];

    for (size_t i = 0; i < 3; i++, random >>= 20) {
        snprintf(rules[i], sizeof rules[i], "r%d", (int)(random % RULES_MANY));
        snprintf(processes[i], sizeof processes[i], "web.%d", (int)(random / 8 % PROCESSES));
        matches[i] = group(rules[i], at_us, 1, *at_us);
        matches[i].process = processes[i];
    }
    return record_of(matches, 3, *at_us);
}

static uint64_t next_random(uint64_t random)
{
    random ^= random << 13;
    random ^= random >> 7;
    return random ^ random << 17;
}

/* Runs an engine under a seed, saves it, and notes how many alerts each step had. */
static void run_many(uint64_t seed, uint8_t n_alerts[MANY_STEPS], struct buf *saved)
{
    struct engine *e;
    uint64_t random = 88172645463325252;

    hash_set_seed(seed);
    e = engine_new();
    assert_non_null(e);
    set_many_rules(e);
    for (int i = 0; i < MANY_STEPS; i++) {
        int64_t at_us = NOW + i * TIME_MS;
        struct wire_record record = many_record(random, &at_us);

        n_alerts[i] = (uint8_t)step(e, &record, at_us).n_alerts;
        random = next_random(random);
    }
    assert_true(engine_counts(e).keys > ROOM / 2 && engine_counts(e).keys <= ROOM);
    assert_true(engine_counts(e).keys_dropped > 0 && engine_counts(e).alerts > 0);
    buf_init(saved, 8 << 20);
    assert_int_equal(engine_save(e, saved), 0);
    engine_free(e);
}

UNIT_TEST(the_seed_decides_nothing)
{
    static uint8_t n_alerts[2][MANY_STEPS];
    struct buf saved[2];
    uint64_t seed = hash_seed();

    run_many(UINT64_MAX / 3, n_alerts[0], &saved[0]);
    run_many(seed, n_alerts[1], &saved[1]);
    assert_memory_equal(n_alerts[0], n_alerts[1], sizeof n_alerts[0]);
    assert_int_equal(saved[0].len, saved[1].len);
    assert_memory_equal(saved[0].data, saved[1].data, saved[0].len);
    buf_close(&saved[0]);
    buf_close(&saved[1]);
}

/* Saved by a build that wrote version 2: two matches of "/a", which alerted, and one a second later
 * that did not. */
static const uint8_t VERSION_2[] = {
    0x44, 0x57, 0x53, 0x00, 0x02, 0x01, 0x86, 0x01, 0x61, 0x70, 0x70, 0x3a, 0x20, 0x63, 0x6f, 0x6e,
    0x73, 0x6f, 0x6c, 0x65, 0x0a, 0x73, 0x6c, 0x61, 0x63, 0x6b, 0x3a, 0x20, 0x7b, 0x63, 0x68, 0x61,
    0x6e, 0x6e, 0x65, 0x6c, 0x3a, 0x20, 0x43, 0x31, 0x7d, 0x0a, 0x72, 0x75, 0x6c, 0x65, 0x73, 0x3a,
    0x0a, 0x20, 0x20, 0x2d, 0x20, 0x7b, 0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0x70, 0x61, 0x74, 0x68,
    0x73, 0x2c, 0x20, 0x66, 0x69, 0x65, 0x6c, 0x64, 0x3a, 0x20, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73,
    0x3d, 0x35, 0x30, 0x30, 0x2c, 0x20, 0x67, 0x72, 0x6f, 0x75, 0x70, 0x5f, 0x62, 0x79, 0x3a, 0x20,
    0x70, 0x61, 0x74, 0x68, 0x2c, 0x20, 0x6d, 0x6f, 0x72, 0x65, 0x5f, 0x74, 0x68, 0x61, 0x6e, 0x3a,
    0x20, 0x31, 0x2c, 0x20, 0x77, 0x69, 0x74, 0x68, 0x69, 0x6e, 0x3a, 0x20, 0x31, 0x6d, 0x2c, 0x20,
    0x63, 0x6f, 0x6f, 0x6c, 0x64, 0x6f, 0x77, 0x6e, 0x3a, 0x20, 0x35, 0x6d, 0x7d, 0x0a, 0xd0, 0xd9,
    0xab, 0x87, 0xdc, 0xa6, 0x94, 0x03, 0x02, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00,
    0x01, 0x01, 0x03, 0x64, 0x2e, 0x31, 0x02, 0xe3, 0x7c, 0x0e, 0x2b, 0x12, 0x98, 0xaa, 0x01, 0xe8,
    0xd1, 0xab, 0x87, 0xdc, 0xa6, 0x94, 0x03, 0x0e, 0xa8, 0xbe, 0x98, 0xb2, 0x90, 0xa3, 0xd9, 0xe8,
    0x07, 0x01, 0x07, 0x63, 0x6f, 0x6e, 0x73, 0x6f, 0x6c, 0x65, 0xc2, 0xc4, 0xc8, 0x97, 0xc0, 0x67,
    0x01, 0x07, 0x63, 0x6f, 0x6e, 0x73, 0x6f, 0x6c, 0x65, 0x05, 0x70, 0x61, 0x74, 0x68, 0x73, 0x01,
    0x02, 0x2f, 0x61, 0xd0, 0xa3, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x01, 0x00, 0x03, 0xc0, 0xc4,
    0xc8, 0x97, 0xc0, 0x67, 0x01, 0x01, 0x01, 0x01, 0x01, 0xe4, 0x08, 0x01, 0x3f, 0x62, 0xff, 0x63,
    0xf9,
};

UNIT_TEST(a_snapshot_of_version_2_goes_on)
{
    int64_t times[2] = {NOW + 3 * TIME_S, NOW + 5 * TIME_MINUTE + TIME_S};
    const struct wire_group pair = {.key = "path", .value = "/a"};
    struct wire_matches matches = group("paths", times, 1, times[0]);
    struct wire_record record = record_of(&matches, 1, NOW);
    struct engine_outcomes out;
    struct engine *e;
    struct err err;
    struct buf bytes;

    assert_int_equal(engine_load(&e, VERSION_2, sizeof VERSION_2, &err), 0);
    assert_int_equal(engine_counts(e).alerts, 1);
    assert_int_equal(engine_counts(e).matches, 3);
    matches.group = &pair;
    matches.n_group = 1;
    out = step(e, &record, NOW + 3 * TIME_S);
    assert_int_equal(out.n_alerts, 0);
    assert_int_equal(out.n_cooled, 1);
    assert_true(out.cooled[0].until_us == NOW + 5 * TIME_MINUTE + TIME_MS);
    times[0] = times[1];
    assert_int_equal(step(e, &record, times[1]).n_alerts, 0); /* alone in its minute */
    out = step(e, &record, times[1]);
    assert_int_equal(out.n_alerts, 1);
    assert_int_equal(out.alerts[0].suppressed, 3);
    assert_false(out.alerts[0].arrived_late);
    save(e, &bytes);
    assert_int_equal(bytes.data[4], SNAPSHOT_VERSION);
    buf_close(&bytes);
    engine_free(e);
}

/* Saved by a build that wrote version 3, which knew no budgets: as above, and lost lines after
 * that.
 */
static const uint8_t VERSION_3[] = {
    0x44, 0x57, 0x53, 0x00, 0x03, 0x01, 0x86, 0x01, 0x61, 0x70, 0x70, 0x3a, 0x20, 0x63, 0x6f, 0x6e,
    0x73, 0x6f, 0x6c, 0x65, 0x0a, 0x73, 0x6c, 0x61, 0x63, 0x6b, 0x3a, 0x20, 0x7b, 0x63, 0x68, 0x61,
    0x6e, 0x6e, 0x65, 0x6c, 0x3a, 0x20, 0x43, 0x31, 0x7d, 0x0a, 0x72, 0x75, 0x6c, 0x65, 0x73, 0x3a,
    0x0a, 0x20, 0x20, 0x2d, 0x20, 0x7b, 0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0x70, 0x61, 0x74, 0x68,
    0x73, 0x2c, 0x20, 0x66, 0x69, 0x65, 0x6c, 0x64, 0x3a, 0x20, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73,
    0x3d, 0x35, 0x30, 0x30, 0x2c, 0x20, 0x67, 0x72, 0x6f, 0x75, 0x70, 0x5f, 0x62, 0x79, 0x3a, 0x20,
    0x70, 0x61, 0x74, 0x68, 0x2c, 0x20, 0x6d, 0x6f, 0x72, 0x65, 0x5f, 0x74, 0x68, 0x61, 0x6e, 0x3a,
    0x20, 0x31, 0x2c, 0x20, 0x77, 0x69, 0x74, 0x68, 0x69, 0x6e, 0x3a, 0x20, 0x31, 0x6d, 0x2c, 0x20,
    0x63, 0x6f, 0x6f, 0x6c, 0x64, 0x6f, 0x77, 0x6e, 0x3a, 0x20, 0x35, 0x6d, 0x7d, 0x0a, 0xc0, 0xce,
    0xe8, 0x87, 0xdc, 0xa6, 0x94, 0x03, 0x03, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00,
    0x01, 0x00, 0x01, 0x07, 0x63, 0x6f, 0x6e, 0x73, 0x6f, 0x6c, 0x65, 0xc0, 0xc4, 0xc8, 0x97, 0xc0,
    0x67, 0x01, 0x07, 0x63, 0x6f, 0x6e, 0x73, 0x6f, 0x6c, 0x65, 0x05, 0x70, 0x61, 0x74, 0x68, 0x73,
    0x01, 0x02, 0x2f, 0x61, 0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x01, 0x01, 0x80, 0x9d,
    0xd1, 0x8f, 0xb8, 0xcd, 0xa8, 0x06, 0x00, 0x00, 0x03, 0xf0, 0xb4, 0xc8, 0x97, 0xc0, 0x67, 0x01,
    0xe8, 0x07, 0x01, 0xe8, 0x07, 0x01, 0xb4, 0x4c, 0x2b, 0xc6, 0xf4, 0x67, 0x5f, 0x56,
};

UNIT_TEST(a_snapshot_of_version_3_goes_on_with_whole_budgets)
{
    int64_t times[2] = {NOW + 5 * TIME_MINUTE, NOW + 5 * TIME_MINUTE};
    const struct wire_group pair = {.key = "path", .value = "/a"};
    struct wire_matches matches = group("paths", times, 2, times[1]);
    struct wire_record record = record_of(&matches, 1, times[1]);
    struct engine_outcomes out;
    struct engine *e;
    struct err err;

    assert_int_equal(engine_load(&e, VERSION_3, sizeof VERSION_3, &err), 0);
    assert_int_equal(engine_counts(e).alerts, 1);
    assert_int_equal(engine_counts(e).losses, 1);
    assert_int_equal(engine_counts(e).withheld + engine_counts(e).digests, 0);
    assert_int_equal(engine_next_us(e), INT64_MAX);
    matches.group = &pair;
    matches.n_group = 1;
    out = step(e, &record, times[1]);
    assert_int_equal(out.n_alerts, 1);
    assert_int_equal(out.alerts[0].suppressed, 1);
    engine_free(e);
}

/* Saved by a build that wrote version 4: with one message in ten seconds, two paths of the app "a"
 * alerted, and a second later one of "b". */
static const uint8_t VERSION_4[] = {
    0x44, 0x57, 0x53, 0x00, 0x04, 0x01, 0xbf, 0x01, 0x61, 0x70, 0x70, 0x73, 0x3a, 0x20, 0x5b, 0x7b,
    0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0x61, 0x2c, 0x20, 0x64, 0x72, 0x61, 0x69, 0x6e, 0x3a, 0x20,
    0x64, 0x2e, 0x61, 0x7d, 0x2c, 0x20, 0x7b, 0x6e, 0x61, 0x6d, 0x65, 0x3a, 0x20, 0x62, 0x2c, 0x20,
    0x64, 0x72, 0x61, 0x69, 0x6e, 0x3a, 0x20, 0x64, 0x2e, 0x62, 0x7d, 0x5d, 0x0a, 0x73, 0x6c, 0x61,
    0x63, 0x6b, 0x3a, 0x20, 0x7b, 0x63, 0x68, 0x61, 0x6e, 0x6e, 0x65, 0x6c, 0x3a, 0x20, 0x43, 0x31,
    0x7d, 0x0a, 0x72, 0x75, 0x6c, 0x65, 0x73, 0x3a, 0x0a, 0x20, 0x20, 0x2d, 0x20, 0x7b, 0x6e, 0x61,
    0x6d, 0x65, 0x3a, 0x20, 0x70, 0x61, 0x74, 0x68, 0x73, 0x2c, 0x20, 0x66, 0x69, 0x65, 0x6c, 0x64,
    0x3a, 0x20, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73, 0x3d, 0x35, 0x30, 0x30, 0x2c, 0x20, 0x67, 0x72,
    0x6f, 0x75, 0x70, 0x5f, 0x62, 0x79, 0x3a, 0x20, 0x70, 0x61, 0x74, 0x68, 0x2c, 0x20, 0x6d, 0x6f,
    0x72, 0x65, 0x5f, 0x74, 0x68, 0x61, 0x6e, 0x3a, 0x20, 0x31, 0x2c, 0x20, 0x77, 0x69, 0x74, 0x68,
    0x69, 0x6e, 0x3a, 0x20, 0x31, 0x6d, 0x2c, 0x20, 0x63, 0x6f, 0x6f, 0x6c, 0x64, 0x6f, 0x77, 0x6e,
    0x3a, 0x20, 0x32, 0x73, 0x2c, 0x20, 0x6d, 0x65, 0x73, 0x73, 0x61, 0x67, 0x65, 0x73, 0x3a, 0x20,
    0x31, 0x2f, 0x31, 0x30, 0x73, 0x7d, 0x0a, 0xc0, 0xce, 0xe8, 0x87, 0xdc, 0xa6, 0x94, 0x03, 0x03,
    0x00, 0x06, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x01,
    0x61, 0x05, 0x70, 0x61, 0x74, 0x68, 0x73, 0x01, 0x02, 0x2f, 0x30, 0x80, 0x94, 0xd7, 0x8e, 0xb8,
    0xcd, 0xa8, 0x06, 0x00, 0x00, 0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x00, 0x00, 0x02,
    0xf0, 0xb4, 0xc8, 0x97, 0xc0, 0x67, 0x01, 0xe8, 0x07, 0x01, 0x01, 0x61, 0x05, 0x70, 0x61, 0x74,
    0x68, 0x73, 0x01, 0x02, 0x2f, 0x31, 0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x00, 0x00,
    0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x00, 0x00, 0x02, 0xf0, 0xb4, 0xc8, 0x97, 0xc0,
    0x67, 0x01, 0xe8, 0x07, 0x01, 0x01, 0x62, 0x05, 0x70, 0x61, 0x74, 0x68, 0x73, 0x01, 0x02, 0x2f,
    0x30, 0x80, 0x9d, 0xd1, 0x8f, 0xb8, 0xcd, 0xa8, 0x06, 0x00, 0x00, 0x80, 0x9d, 0xd1, 0x8f, 0xb8,
    0xcd, 0xa8, 0x06, 0x00, 0x00, 0x02, 0xc0, 0xc4, 0xc8, 0x97, 0xc0, 0x67, 0x01, 0xe8, 0x07, 0x01,
    0x01, 0x00, 0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x80, 0xee, 0x9b, 0x98, 0xb8, 0xcd,
    0xa8, 0x06, 0x01, 0x00, 0x01, 0x80, 0x94, 0xd7, 0x8e, 0xb8, 0xcd, 0xa8, 0x06, 0x02, 0x02, 0x04,
    0x80, 0x8b, 0xdd, 0x8d, 0xb8, 0xcd, 0xa8, 0x06, 0x80, 0x9d, 0xd1, 0x8f, 0xb8, 0xcd, 0xa8, 0x06,
    0x01, 0x02, 0x01, 0x61, 0x02, 0x2f, 0x31, 0x02, 0x01, 0x62, 0x02, 0x2f, 0x30, 0x02, 0xb4, 0x99,
    0x9f, 0xf5, 0x5f, 0x7a, 0x64, 0x73,
};

UNIT_TEST(a_snapshot_of_version_4_goes_on_with_its_digest)
{
    const struct engine_event event = engine_tick_event(NOW + 10 * TIME_S);
    int64_t times[2];
    struct wire_matches matches = group("paths", times, 2, NOW + 4 * TIME_S);
    struct wire_record record = record_of(&matches, 1, NOW + 4 * TIME_S);
    const struct wire_group pair = {.key = "path", .value = "/0"};
    struct engine_outcomes out;
    struct engine *e;
    struct err err;

    assert_int_equal(engine_load(&e, VERSION_4, sizeof VERSION_4, &err), 0);
    assert_int_equal(engine_counts(e).withheld, 2);
    matches.group = &pair;
    matches.n_group = 1;
    record.drain = "d.b";
    out = step(e, &record, NOW + 4 * TIME_S);
    assert_int_equal(out.n_alerts, 1); /* version 4 did not know which apps had alerted */
    assert_int_equal(engine_step(e, &event, &out, &err), 0);
    assert_int_equal(out.n_alerts, 1);
    assert_int_equal(out.alerts->groups, 2);
    assert_int_equal(out.alerts->apps, 2);
    assert_string_equal(out.alerts->worst[0].app, "a");
    assert_string_equal(out.alerts->worst[1].app, "b");
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_loaded_engine_goes_on_alike),
        ENGINE_TEST(loaded_groups_are_kept_alike),
        cmocka_unit_test(an_engine_without_anything_is_saved_too),
        ENGINE_TEST(a_buffer_too_small_keeps_what_it_held),
        ENGINE_TEST(damaged_bytes_never_crash),
        cmocka_unit_test(a_snapshot_of_version_2_goes_on),
        cmocka_unit_test(a_snapshot_of_version_3_goes_on_with_whole_budgets),
        cmocka_unit_test(a_snapshot_of_version_4_goes_on_with_its_digest),
        cmocka_unit_test(the_seed_decides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
