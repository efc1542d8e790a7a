/* Tests of saved logs: each line a record. */
#include "tests/unit/ingest/collect/delivery_body.h"

struct seen {
    size_t n;
    int64_t received_us[16];
    int64_t times_us[16];
    uint64_t lost;
    size_t stop_at;
};

/* Scans the body in chunks. */
static void scan(const struct input_format *format, int64_t start_us, size_t chunk,
                 delivery_record_fn *fn, void *ctx)
{
    assert_int_equal(delivery_begin_lines(f.delivery, format, f.book, "saved", start_us, fn, ctx),
                     0);
    assert_int_equal(push_in(chunk), 0);
    finish();
    assert_int_equal(f.n_records, 0);
}

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

static void add_saved_log(void)
{
    add_text("code=H12\n"
             "1970-01-01T00:00:02.000000+00:00 heroku[router]: at=info\n"
             "code=H12\n"
             "1970-01-01T09:00:00.000000+00:00 heroku[router]: at=error code=H12\n"
             "1970-01-01T09:00:01.000000+00:00 heroku[logplex]: drain 'x' dropped 5 messages\n"
             "1970-01-01T08:00:00.000000+00:00 heroku[router]: at=error code=H12\n");
}

UNIT_TEST(test_each_line_a_record)
{
    static const int64_t hours[] = {0, 0, 9, 9, 8};

    setup(shipped, 2);
    add_saved_log();
    for (size_t chunk = 1; chunk < 2000; chunk = chunk * 3 + 1) {
        struct seen seen = {0};

        scan(NULL, 5, chunk, on_record, &seen);
        assert_int_equal(seen.n, 5);
        assert_int_equal(seen.received_us[0], 5);
        assert_int_equal(seen.received_us[1], 2000000); /* the line before it said so */
        for (size_t i = 2; i < 5; i++)
            assert_true(seen.received_us[i] / TIME_HOUR == hours[i]);
        for (size_t i = 0; i < 5; i++)
            assert_true(i == 3 ? seen.times_us[i] == -1 : seen.times_us[i] == seen.received_us[i]);
        assert_int_equal(seen.lost, 5);
        assert_true(f.counts.lines == 6 && f.counts.lost == 5);
        assert_true(f.counts.bytes == f.len && f.counts.malformed == 0);
        assert_true(f.counts.time_us == 8 * TIME_HOUR);
    }
}

/* Files that are scanned one after the other: the time goes on, and no line spans two. */
UNIT_TEST(test_lines_go_on_in_time)
{
    struct seen seen = {0};
    int64_t at = 7;

    setup(shipped, 2);
    add_text("code=H12\n1970-01-01T01:00:00Z heroku[router]: code=H12\ncode=H");
    for (int i = 0; i < 2; i++) {
        scan(NULL, at, f.len, on_record, &seen);
        at = f.counts.time_us;
        assert_true(at == TIME_HOUR);
        assert_int_equal(f.counts.lines, 3);
    }
    assert_int_equal(seen.n, 4);
    assert_true(seen.received_us[0] == 7 && seen.received_us[2] == TIME_HOUR);
    f.len = 0;
    scan(NULL, at, 1, on_record, &seen);
    assert_true(f.counts.time_us == at); /* of an empty file */
}

struct expected {
    int64_t times_us[4000];
    size_t n, seen;
};

static int on_expected(void *ctx, const struct wire_record *record)
{
    struct expected *e = ctx;

    assert_true(e->seen < e->n);
    assert_true(record->received_us == e->times_us[e->seen]);
    assert_true(record->matches[0].times_us[0] == e->times_us[e->seen]);
    e->seen++;
    return 0;
}

/* Random lines, most of which match nothing, and some of which have no time: each match has that of
 * the last line that has one, however far back it is, and whatever pieces the log comes in. */
UNIT_TEST(test_times_from_far_back)
{
    static struct expected e;

    setup(shipped, 2);
    srand(11);
    for (int round = 0; round < 60; round++) {
        const int timed = 1 + rand() % 40; /* one in so many */
        const int hits = 1 + rand() % (round % 2 ? 40 : 1000);
        const size_t chunk = 1 + (size_t)(rand() % 60000);
        int64_t now_us = 3;

        e = (struct expected){0};
        f.len = 0;
        for (int i = 0; i < 3000; i++) {
            bool hit = rand() % hits == 0;
            char line[100];

            if (rand() % timed == 0) {
                int s = rand() % 60;

                now_us = s * TIME_S;
                snprintf(line, sizeof line, "1970-01-01T00:00:%02dZ heroku[router]: %s\n", s,
                         hit ? "code=H12" : "code=H13");
            } else {
                snprintf(line, sizeof line, "%s\n", hit ? "code=H12" : "nothing");
            }
            add_text(line);
            if (hit)
                e.times_us[e.n++] = now_us;
        }
        scan(NULL, 3, chunk, on_expected, &e);
        assert_int_equal(e.seen, e.n);
        assert_int_equal(f.counts.lines, 3000);
        assert_true(f.counts.time_us == now_us);
    }
}

/* A zone's offset can make a time before 1970, and a caller can have one. */
UNIT_TEST(test_lines_before_1970)
{
    struct seen seen = {0};

    setup(shipped, 2);
    add_text("code=H12\n"
             "1970-01-01T00:00:00+14:00 heroku[router]: code=H12\n"
             "code=H12\n"
             "1970-01-01T14:00:01+14:00 heroku[router]: code=H12\n");
    scan(NULL, -5, f.len, on_record, &seen);
    assert_int_equal(seen.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(seen.received_us[i] == (i == 3 ? TIME_S : 0));
        assert_true(seen.times_us[i] == seen.received_us[i]);
    }
}

/* A line that tells of a loss and matches, too, is one record. */
UNIT_TEST(test_a_line_may_lose_and_match)
{
    static const char *const dropped[] = {"dropped"};
    static const struct rule rule = {.name = "l10", .matches = {dropped, 1}};
    struct seen seen = {0};

    setup(&rule, 1);
    add_text("1970-01-01T09:00:01Z heroku[logplex]: drain 'x' dropped 5 messages\n"
             "1970-01-01T09:00:02Z heroku[logplex]: drain 'x' dropped 6 messages");
    assert_int_equal(delivery_begin_lines(f.delivery, NULL, f.book, "saved", 0, on_record, &seen),
                     0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.lost, 5);
    finish();
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.lost, 11);
    assert_true(seen.times_us[0] == 9 * TIME_HOUR + TIME_S);
    assert_int_equal(f.counts.lost, 11);
}

UNIT_TEST(test_lines_can_be_stopped)
{
    struct seen seen = {.stop_at = 2};

    setup(shipped, 2);
    add_saved_log();
    assert_int_equal(delivery_begin_lines(f.delivery, NULL, f.book, "saved", 0, on_record, &seen),
                     0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 77);
    assert_int_equal(seen.n, 2);
    deliver(); /* and the same object serves a body again */
    assert_int_equal(matches_of("h12"), 4);
}

struct named {
    char text[512]; /* "SOURCE/PROCESS " for each match */
    size_t n;
};

static int on_named(void *ctx, const struct wire_record *record)
{
    struct named *named = ctx;
    size_t len = strlen(named->text);

    snprintf(named->text + len, sizeof named->text - len, "%s/%s ", record->matches[0].source,
             record->matches[0].process);
    named->n++;
    return 0;
}

static void scan_named(size_t chunk, struct named *named)
{
    *named = (struct named){.n = 0};
    scan(&input_plain, 0, chunk, on_named, named);
}

UNIT_TEST(test_a_continuation_belongs_to_the_line_before)
{
    struct named named;

    setup(shipped, 2);
    add_text("code=H12\n"
             "2026-05-07T08:00:00Z app[worker.1]: StandardError: upstream said 422\n");
    for (int i = 0; i < 200; i++) /* more than is counted at a glance */
        add_text("/app/lib/x.rb:71:in `hook', which called a function of a long name\n");
    add_text("code=H12 copied\n"
             "2026-05-07T08:01:00Z heroku[router]: at=info\n"
             "\tcode=H12 of heroku\n"
             "2026-05-07T08:02:00Z without a source\n"
             "code=H12 of nobody\n");
    for (size_t chunk = 1; chunk < 30000; chunk = chunk * 7 + 1) {
        scan_named(chunk, &named);
        assert_string_equal(named.text, "/ heroku/router / ");
        assert_true(f.counts.has_time);
    }
}

UNIT_TEST(test_a_log_without_times_is_known)
{
    struct named named;

    setup(shipped, 2);
    for (int i = 0; i < 1000; i++)
        add_text("May  7 08:00:12 shop heroku/router: code=H12\n");
    scan_named(f.len, &named);
    assert_int_equal(named.n, 1000);
    assert_false(f.counts.has_time);
}

UNIT_TEST(test_decoded_lines_are_matched)
{
    struct named named = {.n = 0};

    setup(shipped, 2);
    add_text("{\"message\":\"at=info\",\"program\":\"heroku/router\",\"time\":1778141172}\n"
             "{\"message\":\"at=error \\u001b[1mcode=\\u001b[0mH12\",\"program\":"
             "\"heroku/router\"}\n"
             "{\"message\":\"code=H12\",\"program\":\"app/web.1\"}\n");
    scan(&input_json_lines, 0, f.len, on_named, &named);
    assert_string_equal(named.text, "heroku/router ");
    assert_true(f.counts.time_us == INT64_C(1778141172000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line_a_record),
        cmocka_unit_test(test_lines_go_on_in_time),
        cmocka_unit_test(test_times_from_far_back),
        cmocka_unit_test(test_lines_before_1970),
        cmocka_unit_test(test_a_line_may_lose_and_match),
        cmocka_unit_test(test_lines_can_be_stopped),
        cmocka_unit_test(test_a_continuation_belongs_to_the_line_before),
        cmocka_unit_test(test_a_log_without_times_is_known),
        cmocka_unit_test(test_decoded_lines_are_matched),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
