/* Tests of groups, samples and records of a delivery. */
#include "tests/unit/ingest/collect/collect_lines.h"

#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>

static const struct rule two_rules[] = {{.name = "first", .sample = true},
                                        {.name = "second", .sample = true}};
static const struct rules rules = {.app = "a", .rules = two_rules, .n = 2};
static const uint32_t first = 0, both[] = {0, 1};

/* Of `rules`. */
static int make_book(void **state)
{
    *state = book_of(&rules);
    return 0;
}

static int free_book(void **state)
{
    rulebook_release(*state);
    return 0;
}

static size_t packed_size(const struct wire_record *record)
{
    struct buf out;
    size_t n;

    buf_init(&out, WIRE_MESSAGE_MAX);
    assert_int_equal(wire_pack_record(record, &out), 0);
    n = out.len;
    buf_close(&out);
    return n;
}

/* The matches of all groups. */
static uint64_t count_matches(struct collect *t)
{
    const struct wire_matches *m;
    uint64_t sum = 0;
    size_t n;

    assert_int_equal(collect_matches(t, &m, &n), 0);
    for (size_t i = 0; i < n; i++)
        sum += m[i].n_times;
    return sum;
}

UNIT_TEST(test_grouping)
{
    struct collect *t = collect_new();
    const struct wire_record *records;
    const struct wire_matches *m;
    size_t n;

    collect_begin(t, *state);
    assert_int_equal(add(t, "heroku", "router", "one", 101, both, 2), 0);
    assert_int_equal(add(t, "heroku", "router", "two", 99, &first, 1), 0);
    assert_int_equal(add(t, "herok", "urouter", "three", 102, &first, 1), 0);
    assert_int_equal(count_matches(t), 4);
    records = records_of(t, 0, &n);
    assert_int_equal(n, 1);
    assert_int_equal(records[0].n_matches, 3);
    m = records[0].matches;
    assert_string_equal(m[0].rule, "first");
    assert_string_equal(m[0].source, "heroku");
    assert_string_equal(m[0].process, "router");
    assert_int_equal(m[0].n_times, 2);
    assert_int_equal(m[0].times_us[0], 101);
    assert_int_equal(m[0].times_us[1], 99);
    assert_int_equal(m[0].sample.len, 3);
    assert_memory_equal(m[0].sample.data, "two", 3);
    assert_string_equal(m[1].rule, "second");
    assert_memory_equal(m[1].sample.data, "one", 3);
    assert_string_equal(m[2].process, "urouter");
    collect_begin(t, *state);
    records_of(t, 0, &n);
    assert_int_equal(n, 0);
    collect_free(t);
}

UNIT_TEST(test_a_delivery_leaves_nothing_to_the_next)
{
    static const struct rule silent_rule[] = {{.name = "silent"}};
    static const struct rules silent = {.app = "a", .rules = silent_rule, .n = 1};
    struct rulebook *silent_book = book_of(&silent);
    struct collect *t = collect_new();
    const struct wire_matches *m;
    char name[32];
    size_t n;

    for (int round = 0; round < 2; round++) {
        collect_begin(t, round == 0 ? *state : silent_book);
        for (int i = 0; i < 50; i++) {
            snprintf(name, sizeof name, "%s.%d", round == 0 ? "worker" : "web", i);
            for (int j = round; j < 2; j++)
                assert_int_equal(add(t, "app", name, "text", j, &first, 1), 0);
        }
    }
    assert_int_equal(collect_matches(t, &m, &n), 0);
    assert_int_equal(n, 50);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "web.%zu", i);
        assert_string_equal(m[i].rule, "silent");
        assert_string_equal(m[i].process, name);
        assert_int_equal(m[i].n_times, 1);
        assert_int_equal(m[i].times_us[0], 1);
        assert_int_equal(m[i].sample.len, 0);
    }
    collect_free(t);
    rulebook_release(silent_book);
}

UNIT_TEST(test_names_are_made_fit)
{
    char longest[200];
    struct collect *t = collect_new();
    const struct wire_record *records;
    size_t n;

    memset(longest, 'p', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    collect_begin(t, *state);
    assert_int_equal(add(t, "a\nb\xff", longest, "x", 0, &first, 1), 0);
    assert_int_equal(add(t, "", "", "", 0, &first, 1), 0);
    records = records_of(t, 0, &n);
    assert_string_equal(records[0].matches[0].source, "a\\x0ab\\xff");
    assert_int_equal(strlen(records[0].matches[0].process), COLLECT_NAME_MAX);
    assert_string_equal(records[0].matches[1].source, "");
    assert_int_equal(records[0].matches[1].sample.len, 0);
    collect_free(t);
}

UNIT_TEST(test_samples_are_cut_and_redacted)
{
    static const char token[] = "POST /x?drain_token=0123456789abcdef&a=b ";
    static char message[5000];
    struct collect *t = collect_new();
    const struct wire_record *records;
    struct wire_bytes sample;
    size_t n;

    memset(message, 'm', sizeof message - 1);
    memcpy(message, token, sizeof token - 1);
    memcpy(message + 990, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 15);
    memcpy(message + 1995, "drain_token=0123456789abcdef", 28);
    collect_begin(t, *state);
    assert_int_equal(add(t, "a", "p", message, 0, &first, 1), 0);
    records = records_of(t, 0, &n);
    sample = records[0].matches[0].sample;
    assert_true(sample.len <= WIRE_SAMPLE_MAX && sample.len > WIRE_SAMPLE_MAX - 4);
    assert_null(memmem(sample.data, sample.len, "012345", 6));
    assert_non_null(memmem(sample.data, sample.len, "drain_token=\xe2\x80\xa6 ", 16));
    assert_memory_equal(sample.data + sample.len - 6, "mmm\xe2\x80\xa6", 6);
    collect_free(t);
}

/* Process names can come from anywhere: their number is bounded, and no match goes missing. */
UNIT_TEST(test_groups_are_bounded)
{
    enum { NAMES = 3 * COLLECT_GROUPS_MAX };
    struct collect *t = collect_new();
    const struct wire_record *records;
    size_t n, groups = 0, matches = 0, folded = 0;

    collect_begin(t, *state);
    for (int i = 0; i < NAMES; i++) {
        static char message[WIRE_SAMPLE_MAX + 1];
        char process[32];

        memset(message, 'x', WIRE_SAMPLE_MAX);
        snprintf(process, sizeof process, "web.%d", i);
        assert_int_equal(add(t, "app", process, message, 1000 + i, both, 2), 0);
    }
    records = records_of(t, 1000, &n);
    assert_true(n > 1); /* the samples alone are 4 MB */
    for (size_t i = 0; i < n; i++) {
        assert_true(packed_size(&records[i]) <= DELIVERY_RECORDS_BYTES);
        groups += records[i].n_matches;
        for (size_t j = 0; j < records[i].n_matches; j++) {
            const struct wire_matches *m = &records[i].matches[j];

            matches += m->n_times;
            folded += m->process[0] == 0 ? m->n_times : 0;
            assert_int_equal(m->sample.len, WIRE_SAMPLE_MAX);
        }
    }
    assert_int_equal(matches, 2 * NAMES);
    assert_int_equal(count_matches(t), 2 * NAMES);
    assert_true(groups <= COLLECT_GROUPS_MAX + 4 + n);
    assert_true(folded > NAMES);
    collect_free(t);
}

/* What is too much for one record becomes several, time for time. */
UNIT_TEST(test_records_hold_every_time)
{
    enum { LINES = 400000 };
    struct collect *t = collect_new();
    const struct wire_record *records;
    size_t n, seen[2] = {0};

    collect_begin(t, *state);
    for (int64_t i = 0; i < LINES; i++) /* far apart, back and forth: five bytes each */
        assert_int_equal(add(t, "a", "p", "m", i % 2 ? i : -3600000000 + i, both, 2), 0);
    records = records_of(t, 0, &n);
    assert_in_range(n, 4, 5);
    for (size_t i = 0; i < n; i++) {
        size_t size = packed_size(&records[i]);

        assert_true(size <= DELIVERY_RECORDS_BYTES);
        assert_true(i + 1 == n || size > DELIVERY_RECORDS_BYTES - 4096);
        for (size_t j = 0; j < records[i].n_matches; j++) {
            const struct wire_matches *m = &records[i].matches[j];
            size_t which = strcmp(m->rule, "first") == 0 ? 0 : 1;

            for (size_t k = 0; k < m->n_times; k++) {
                int64_t at = (int64_t)seen[which]++;

                assert_int_equal(m->times_us[k], at % 2 ? at : -3600000000 + at);
            }
        }
    }
    assert_int_equal(seen[0], LINES);
    assert_int_equal(seen[1], LINES);
    collect_free(t);
}

static const char *const odd_names[] = {
    "",
    "web.1",
    "web.2",
    "wob.1",
    "x.1",
    "app",
    "\x01pp",
    "\xef\xbf\xbdpp",
    "\xe2\x80\xa6",
    "0123456789012345678901234567890123456789012345678901234567890123", /* 64 bytes */
    "01234567890123456789012345678901234567890123456789012345678901234",
    "router",
    "touter"};

/* Names of one length, of one end, unfit to show, empty and too long: each match is in the group
 * whose names read as its own, and in the order of the lines. */
UNIT_TEST(test_each_match_is_in_its_group)
{
    enum { NAMES = sizeof odd_names / sizeof odd_names[0], LINES = 5000 };
    static struct buf shown[NAMES];
    static uint8_t of_line[LINES][3];
    struct collect *t = collect_new();
    const struct wire_record *records;
    size_t n, n_times = 0;
    uint64_t seed = 99;

    for (size_t i = 0; i < NAMES; i++) {
        buf_init(&shown[i], COLLECT_NAME_MAX);
        (void)text_append_printable(&shown[i], odd_names[i],
                                    strlen(odd_names[i]) < COLLECT_NAME_MAX ? strlen(odd_names[i])
                                                                            : COLLECT_NAME_MAX);
    }
    collect_begin(t, *state);
    for (size_t i = 0; i < LINES; i++) {
        for (size_t k = 0; k < 3; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            of_line[i][k] = (uint8_t)((seed >> 33) % (k < 2 ? NAMES : 2));
        }
        assert_int_equal(add(t, odd_names[of_line[i][0]], odd_names[of_line[i][1]], "m", (int64_t)i,
                             &both[of_line[i][2]], 1),
                         0);
    }
    records = records_of(t, 0, &n);
    assert_int_equal(n, 1);
    for (size_t i = 0; i < records[0].n_matches; i++) {
        const struct wire_matches *m = &records[0].matches[i];

        for (size_t k = 0; k < m->n_times; k++) {
            const uint8_t *of = of_line[m->times_us[k]];

            assert_string_equal(m->source, buf_text(&shown[of[0]]));
            assert_string_equal(m->process, buf_text(&shown[of[1]]));
            assert_string_equal(m->rule, two_rules[of[2]].name);
            assert_true(k == 0 || m->times_us[k - 1] < m->times_us[k]);
        }
        for (size_t k = 0; k < i; k++) /* no group is there twice */
            assert_false(strcmp(m->rule, m[-1 - (ptrdiff_t)k].rule) == 0 &&
                         strcmp(m->source, m[-1 - (ptrdiff_t)k].source) == 0 &&
                         strcmp(m->process, m[-1 - (ptrdiff_t)k].process) == 0);
        n_times += m->n_times;
    }
    assert_int_equal(n_times, LINES);
    for (size_t i = 0; i < NAMES; i++)
        buf_close(&shown[i]);
    collect_free(t);
}

UNIT_TEST(test_matches_are_bounded)
{
    enum { MANY = 1 << 20 };
    uint32_t *which = calloc(MANY, sizeof *which);
    struct collect *t = collect_new();

    assert_non_null(which);
    collect_begin(t, *state);
    for (int i = 0; i < COLLECT_MATCHES_MAX / MANY; i++)
        assert_int_equal(add(t, "a", "p", "m", 0, which, MANY), 0);
    assert_int_equal(add(t, "a", "p", "m", 0, which, 1), ERR_FULL);
    assert_int_equal(count_matches(t), COLLECT_MATCHES_MAX);
    collect_begin(t, *state);
    assert_int_equal(add(t, "a", "p", "m", 0, which, 1), 0);
    assert_int_equal(count_matches(t), 1);
    collect_free(t);
    free(which);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grouping),
        cmocka_unit_test(test_a_delivery_leaves_nothing_to_the_next),
        cmocka_unit_test(test_names_are_made_fit),
        cmocka_unit_test(test_samples_are_cut_and_redacted),
        cmocka_unit_test(test_groups_are_bounded),
        cmocka_unit_test(test_records_hold_every_time),
        cmocka_unit_test(test_each_match_is_in_its_group),
        cmocka_unit_test(test_matches_are_bounded),
    };

    return cmocka_run_group_tests(tests, make_book, free_book);
}
