#include "tests/unit/unit.h"

#include "common/err.h"
#include "common/time.h"
#include "ingest/delivery.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVED INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

enum { BODY_MAX = 9 << 20 };

static const char *const heroku[] = {"heroku"}, *const app[] = {"app"};
static const char *const timeout[] = {"WORKER TIMEOUT"}, *const at_end[] = {"code=H12$"};
static const struct rules_field h12 = {"code", "H12"};
static const struct rule shipped[] = {
    {.name = "h12", .sources = {heroku, 1}, .fields = &h12, .n_fields = 1},
    {.name = "gunicorn", .sources = {app, 1}, .matches = {timeout, 1}},
};
static const struct rule ends[] = {{.name = "end", .matches = {at_end, 1}}};
static const struct rule fours[] = {
    {.name = "a", .fields = &h12, .n_fields = 1},
    {.name = "b", .fields = &h12, .n_fields = 1},
    {.name = "c", .fields = &h12, .n_fields = 1},
    {.name = "d", .fields = &h12, .n_fields = 1},
};

struct fixture {
    struct rules rules;
    struct match *match;
    struct delivery *delivery;
    struct delivery_head head;
    const struct wire_record *records;
    size_t n_records;
    struct delivery_counts counts;
    char *body;
    size_t len;
};

static void setup(struct fixture *f, const struct rule *rules, size_t n)
{
    struct err err = {.text = ""};

    *f = (struct fixture){.rules = {.app = "app", .rules = rules, .n = n}};
    f->head =
        (struct delivery_head){.received_us = RECEIVED, .drain = "d.1234", .frame_id = "frame-1"};
    if (match_new(&f->rules, &f->match, &err) != 0)
        fail_msg("%s", err.text);
    f->delivery = delivery_new();
    f->body = malloc(BODY_MAX);
    assert_non_null(f->delivery);
    assert_non_null(f->body);
}

static void teardown(struct fixture *f)
{
    free(f->body);
    delivery_free(f->delivery);
    match_free(f->match);
}

static void add_text(struct fixture *f, const char *text)
{
    size_t n = strlen(text);

    assert_true(f->len + n <= BODY_MAX);
    memcpy(f->body + f->len, text, n);
    f->len += n;
}

/* One frame; `offset_us` is the line's own time from the time of receipt. */
static void add_frame(struct fixture *f, int64_t offset_us, const char *source, const char *process,
                      const char *message)
{
    static char line[8192], frame[8300];
    char time[TIME_RFC3339_SIZE];

    time_format_rfc3339(RECEIVED + offset_us, time);
    snprintf(line, sizeof line, "<158>1 %s host %s %s - %s", time, source, process, message);
    snprintf(frame, sizeof frame, "%zu %s", strlen(line), line);
    add_text(f, frame);
}

static void deliver_in(struct fixture *f, size_t chunk)
{
    assert_int_equal(delivery_begin(f->delivery, f->match, &f->head), 0);
    for (size_t at = 0; at < f->len; at += chunk) {
        size_t n = f->len - at < chunk ? f->len - at : chunk;

        assert_int_equal(delivery_push(f->delivery, f->body + at, n), 0);
    }
    assert_int_equal(delivery_finish(f->delivery, &f->records, &f->n_records), 0);
    f->counts = delivery_counts(f->delivery);
}

static void deliver(struct fixture *f)
{
    deliver_in(f, 32768);
}

static uint64_t matches_of(const struct fixture *f, const char *rule)
{
    uint64_t n = 0;

    for (size_t i = 0; i < f->n_records; i++) {
        for (size_t j = 0; j < f->records[i].n_matches; j++) {
            if (strcmp(f->records[i].matches[j].rule, rule) == 0)
                n += f->records[i].matches[j].n_times;
        }
    }
    return n;
}

static void test_a_delivery(void **state)
{
    const struct wire_record *r;
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, -2000000, "heroku", "router", "at=info code=H11 path=\"/\"\n");
    add_frame(&f, -1000000, "heroku", "router", "at=error code=H12 path=\"/1\"\n");
    add_frame(&f, -900000, "app", "web.1", "[CRITICAL] WORKER TIMEOUT (pid:12)");
    add_frame(&f, -800000, "heroku", "router", "at=error code=H12 path=\"/2\"\n");
    add_frame(&f, -700000, "app", "web.1", "code=H12");
    deliver(&f);
    assert_int_equal(f.n_records, 1);
    r = &f.records[0];
    assert_string_equal(r->drain, "d.1234");
    assert_string_equal(r->frame_id, "frame-1");
    assert_true(r->received_us == RECEIVED && r->lines == 5 && r->bytes == f.len);
    assert_true(r->malformed == 0 && r->lost == 0 && !r->count_differs);
    assert_int_equal(r->n_matches, 2);
    assert_string_equal(r->matches[0].rule, "h12");
    assert_string_equal(r->matches[0].source, "heroku");
    assert_string_equal(r->matches[0].process, "router");
    assert_int_equal(r->matches[0].n_times, 2);
    assert_true(r->matches[0].times_us[0] == RECEIVED - 1000000);
    assert_true(r->matches[0].times_us[1] == RECEIVED - 800000);
    assert_int_equal(r->matches[0].sample.len, 27);
    assert_memory_equal(r->matches[0].sample.data, "at=error code=H12 path=\"/2\"", 27);
    assert_string_equal(r->matches[1].process, "web.1");
    assert_true(f.counts.lines == 5 && f.counts.matches == 3 && f.counts.own_lines == 0);
    teardown(&f);
}

static void test_nothing_to_record(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, 0, "heroku", "router", "at=info status=200\n");
    deliver(&f);
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 1);
    f.len = 0;
    deliver(&f);
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 0);
    teardown(&f);
}

/* Bytes of all records, packed. */
static void pack(const struct fixture *f, struct buf *out)
{
    buf_init(out, 64 << 20);
    for (size_t i = 0; i < f->n_records; i++)
        assert_int_equal(wire_pack_record(&f->records[i], out), 0);
}

static void test_chunks_do_not_matter(void **state)
{
    static const size_t chunks[] = {1, 2, 7, 100, 4096};
    struct buf whole, part;
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    for (int i = 0; i < 40; i++) {
        add_frame(&f, i * 1000, "heroku", i % 3 ? "router" : "other", "at=error code=H12 x\n");
        add_frame(&f, i * 1000, "app", "web.1", "a\n WORKER TIMEOUT \n b");
        add_text(&f, "bare line code=H12\n");
        add_frame(&f, i * 1000, "heroku", "logplex",
                  "Error L10 (output buffer overflow): 3 messages dropped since x.");
        add_text(&f, "99999999 junk\n");
    }
    deliver_in(&f, f.len);
    pack(&f, &whole);
    assert_true(f.counts.lost == 120 && f.counts.matches == 120);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        deliver_in(&f, chunks[i]);
        pack(&f, &part);
        assert_int_equal(part.len, whole.len);
        assert_memory_equal(part.data, whole.data, whole.len);
        buf_close(&part);
    }
    buf_close(&whole);
    teardown(&f);
}

static void test_a_storm_is_small(void **state)
{
    struct fixture f;
    struct buf out;

    (void)state;
    setup(&f, shipped, 2);
    for (int i = 0; i < 100; i++)
        add_frame(&f, -100000 + i * 997, "heroku", "router",
                  "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" status=503\n");
    deliver(&f);
    assert_int_equal(matches_of(&f, "h12"), 100);
    assert_int_equal(f.records[0].n_matches, 1);
    pack(&f, &out);
    assert_true(out.len < 500);
    buf_close(&out);
    teardown(&f);
}

/* The next byte behind each of these frames is the next one's length. */
static void test_frames_without_newline(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, ends, 1);
    for (int i = 0; i < 3; i++)
        add_frame(&f, 0, "heroku", "router", "at=error code=H12");
    add_frame(&f, 0, "heroku", "router", "at=error code=H12 more");
    deliver(&f);
    assert_int_equal(f.counts.lines, 4);
    assert_int_equal(matches_of(&f, "end"), 3);
    teardown(&f);
}

static void test_visitors_cannot_fake(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, 0, "heroku", "router", "at=info path=\"/?code=H12\" fwd=\"a code=H12 b\"\n");
    add_frame(&f, 0, "heroku", "router", "at=info path=\"/\" fwd=\"\\\" code=H12 \\\"\"\n");
    add_frame(&f, 0, "app", "web.1", "code=H12\n");
    deliver(&f);
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 3);
    teardown(&f);
}

static void test_own_lines(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, 0, "app", "web.1", "heroku_log_drain: processed 4 lines WORKER TIMEOUT\n");
    add_frame(&f, 0, "app", "web.1", "drainwatch-alerter: WORKER TIMEOUT\n");
    add_frame(&f, 0, "heroku", "router", "method=POST path=\"/api/internal/heroku-log-drain\"\n");
    deliver(&f);
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 3);
    assert_int_equal(f.counts.own_lines, 3);
    add_frame(&f, 0, "heroku", "router", "method=POST path=\"/\"\n");
    deliver(&f);
    assert_int_equal(f.counts.lines, 4);
    assert_int_equal(f.counts.own_lines, 3);
    teardown(&f);
}

static void test_losses(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(
        &f, 0, "heroku", "logplex",
        "Error L10 (output buffer overflow): 20 messages dropped since 2026-05-07T08:06:12Z.");
    add_frame(&f, 0, "heroku", "logplex", "drain 'd.1234' dropped 3 messages");
    add_frame(&f, 0, "app", "logplex", "dropped 1000 messages");
    deliver(&f);
    assert_int_equal(f.n_records, 1);
    assert_int_equal(f.records[0].n_matches, 0);
    assert_int_equal(f.records[0].lost, 23);
    f.head.drop_count = "4";
    f.head.lost_count = "100";
    deliver(&f);
    assert_int_equal(f.records[0].lost, 127);
    f.head.drop_count = "-4";
    f.head.lost_count = "99999999999999999999999";
    deliver(&f);
    assert_int_equal(f.records[0].lost, 23);
    f.head.drop_count = f.head.lost_count = "18446744073709551615";
    deliver(&f);
    assert_true(f.records[0].lost == UINT64_MAX);
    f.len = 0; /* what was lost is told even where nothing came */
    deliver(&f);
    assert_int_equal(f.n_records, 1);
    teardown(&f);
}

static void test_declared_count(void **state)
{
    static const struct {
        const char *count;
        bool differs;
    } cases[] = {{NULL, false}, {"1", false}, {"2", true},  {"", true},
                 {"one", true}, {"1 ", true}, {"-1", true}, {"18446744073709551617", true}};
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, 0, "heroku", "router", "code=H12\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.head.msg_count = cases[i].count;
        deliver(&f);
        assert_int_equal(f.records[0].count_differs, cases[i].differs);
        assert_int_equal(f.counts.count_differs, cases[i].differs);
        assert_int_equal(matches_of(&f, "h12"), 1);
    }
    teardown(&f);
}

static void test_times(void **state)
{
    static const int64_t offsets[] = {0, 123456, -TIME_HOUR, 400 * TIME_DAY, -400 * TIME_DAY};
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        f.len = 0;
        add_frame(&f, offsets[i], "heroku", "router", "code=H12\n");
        deliver(&f);
        assert_true(f.records[0].matches[0].times_us[0] == RECEIVED + offsets[i]);
    }
    f.len = 0;
    add_text(&f, "code=H12\n");
    deliver(&f);
    assert_true(f.records[0].matches[0].times_us[0] == RECEIVED);
    assert_string_equal(f.records[0].matches[0].source, "");
    teardown(&f);
}

static void test_names(void **state)
{
    static char longest[1000];
    struct fixture f;

    (void)state;
    memset(longest, 'f', sizeof longest - 1);
    setup(&f, shipped, 2);
    add_text(&f, "code=H12\n");
    f.head.drain = "a\x01z";
    f.head.frame_id = NULL;
    deliver(&f);
    assert_string_equal(f.records[0].drain, "a\\x01z");
    assert_string_equal(f.records[0].frame_id, "");
    f.head.drain = f.head.frame_id = longest;
    deliver(&f);
    assert_int_equal(strlen(f.records[0].drain), DELIVERY_DRAIN_MAX);
    assert_string_equal(f.records[0].frame_id, "");
    f.head.drain = f.head.frame_id = "";
    deliver(&f);
    assert_string_equal(f.records[0].drain, "");
    teardown(&f);
}

static void test_damage_is_counted(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_text(&f, "code=H12\n99999999 <1>1 - h a p - x\n");
    assert_int_equal(delivery_begin(f.delivery, f.match, &f.head), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 0);
    delivery_count_damage(f.delivery);
    assert_int_equal(delivery_finish(f.delivery, &f.records, &f.n_records), 0);
    assert_int_equal(f.records[0].malformed, 2);
    deliver(&f);
    assert_int_equal(f.records[0].malformed, 1);
    teardown(&f);
}

static void test_an_unfinished_body_counts_for_nothing(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_frame(&f, 0, "heroku", "router", "code=H12\n");
    assert_int_equal(delivery_begin(f.delivery, f.match, &f.head), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len - 3), 0);
    deliver(&f);
    assert_int_equal(matches_of(&f, "h12"), 1);
    assert_int_equal(f.records[0].lines, 1);
    teardown(&f);
}

/* The shortest matching lines, as many as a body can hold, for one rule and for four. */
static void check_full_body(const struct rule *rules, size_t n_rules)
{
    static const char line[] = "code=H12\n";
    const size_t lines = (8 << 20) / (sizeof line - 1);
    struct wire *w = wire_new();
    struct fixture f;
    uint64_t sum = 0;

    setup(&f, rules, n_rules);
    for (size_t i = 0; i < lines; i++)
        memcpy(f.body + i * (sizeof line - 1), line, sizeof line - 1);
    f.len = lines * (sizeof line - 1);
    deliver(&f);
    assert_int_equal(f.n_records, n_rules); /* 0.93 MB each, of 1 MiB in a record */
    for (size_t i = 0; i < f.n_records; i++) {
        struct wire_record back;
        struct err err;
        struct buf out;
        char id[32];

        buf_init(&out, WIRE_MESSAGE_MAX);
        assert_int_equal(wire_pack_record(&f.records[i], &out), 0);
        assert_int_equal(wire_unpack_record(w, out.data, out.len, &back, &err), 0);
        for (size_t j = 0; j < back.n_matches; j++)
            sum += back.matches[j].n_times;
        snprintf(id, sizeof id, i == 0 ? "frame-1" : "frame-1#%zu", i + 1);
        assert_string_equal(back.frame_id, id);
        assert_int_equal(back.lines, i == 0 ? lines : 0);
        assert_string_equal(back.drain, "d.1234");
        buf_close(&out);
    }
    assert_int_equal(sum, lines * n_rules);
    assert_int_equal(matches_of(&f, rules[n_rules - 1].name), lines);
    f.len = sizeof line - 1; /* and the next one begins anew */
    deliver(&f);
    assert_int_equal(f.n_records, 1);
    assert_int_equal(matches_of(&f, rules[0].name), 1);
    wire_free(w);
    teardown(&f);
}

static void test_full_bodies(void **state)
{
    (void)state;
    check_full_body(fours, 1);
    check_full_body(fours, 4);
}

/* ---- lines ---- */

struct seen {
    size_t n;
    int64_t received_us[16];
    int64_t times_us[16];
    uint64_t lost;
    size_t stop_at;
};

static int on_record(void *ctx, const struct wire_record *record)
{
    struct seen *seen = ctx;

    assert_true(seen->n < 16);
    assert_int_equal(record->lines, 1);
    assert_string_equal(record->drain, "saved");
    assert_string_equal(record->frame_id, "");
    seen->received_us[seen->n] = record->received_us;
    seen->times_us[seen->n] = record->n_matches > 0 ? record->matches[0].times_us[0] : -1;
    seen->lost += record->lost;
    if (record->n_matches > 0) {
        assert_int_equal(record->n_matches, 1);
        assert_int_equal(record->matches[0].n_times, 1);
    }
    return ++seen->n == seen->stop_at ? 77 : 0;
}

static void add_saved_log(struct fixture *f)
{
    add_text(f, "code=H12\n"
                "1970-01-01T00:00:02.000000+00:00 heroku[router]: at=info\n"
                "code=H12\n"
                "1970-01-01T09:00:00.000000+00:00 heroku[router]: at=error code=H12\n"
                "1970-01-01T09:00:01.000000+00:00 heroku[logplex]: drain 'x' dropped 5 messages\n"
                "1970-01-01T08:00:00.000000+00:00 heroku[router]: at=error code=H12\n");
}

static void test_each_line_a_record(void **state)
{
    static const int64_t hours[] = {0, 0, 9, 9, 8};
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_saved_log(&f);
    for (size_t chunk = 1; chunk < 2000; chunk = chunk * 3 + 1) {
        struct seen seen = {0};

        assert_int_equal(delivery_begin_lines(f.delivery, f.match, "saved", 5, on_record, &seen),
                         0);
        for (size_t at = 0; at < f.len; at += chunk) {
            size_t n = f.len - at < chunk ? f.len - at : chunk;

            assert_int_equal(delivery_push(f.delivery, f.body + at, n), 0);
        }
        assert_int_equal(delivery_finish(f.delivery, &f.records, &f.n_records), 0);
        assert_int_equal(f.n_records, 0);
        assert_int_equal(seen.n, 5);
        assert_int_equal(seen.received_us[0], 5);
        assert_int_equal(seen.received_us[1], 2000000); /* the line before it said so */
        for (size_t i = 2; i < 5; i++)
            assert_true(seen.received_us[i] / TIME_HOUR == hours[i]);
        for (size_t i = 0; i < 5; i++)
            assert_true(i == 3 ? seen.times_us[i] == -1 : seen.times_us[i] == seen.received_us[i]);
        assert_int_equal(seen.lost, 5);
        f.counts = delivery_counts(f.delivery);
        assert_true(f.counts.lines == 6 && f.counts.matches == 4 && f.counts.lost == 5);
    }
    teardown(&f);
}

static void test_lines_can_be_stopped(void **state)
{
    struct seen seen = {.stop_at = 2};
    struct fixture f;

    (void)state;
    setup(&f, shipped, 2);
    add_saved_log(&f);
    assert_int_equal(delivery_begin_lines(f.delivery, f.match, "saved", 0, on_record, &seen), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 77);
    assert_int_equal(seen.n, 2);
    deliver(&f); /* and the same object serves a body again */
    assert_int_equal(matches_of(&f, "h12"), 4);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delivery),
        cmocka_unit_test(test_nothing_to_record),
        cmocka_unit_test(test_chunks_do_not_matter),
        cmocka_unit_test(test_a_storm_is_small),
        cmocka_unit_test(test_frames_without_newline),
        cmocka_unit_test(test_visitors_cannot_fake),
        cmocka_unit_test(test_own_lines),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_declared_count),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_damage_is_counted),
        cmocka_unit_test(test_an_unfinished_body_counts_for_nothing),
        cmocka_unit_test(test_full_bodies),
        cmocka_unit_test(test_each_line_a_record),
        cmocka_unit_test(test_lines_can_be_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
