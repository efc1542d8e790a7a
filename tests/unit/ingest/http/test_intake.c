/* Tests the bounds of all bodies together: memory, and work in one turn. */
#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "ingest/http/intake.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { MAX_BODY = 8 << 20, BODIES = 16, LINE = 6 };

static struct rulebook *book;
static struct intake in;
static int64_t now_us;
static struct intake_body bodies[BODIES];
static unsigned char packed[1 << 20];

static int make_book(void **state)
{
    static const char text[] = "app: a\nslack: {channel: C0123456789}\nrules:\n"
                               "  - {name: r, match: STORM, more_than: 1, within: 5m}\n";
    const struct rules *rules;
    struct buf faults;
    struct err err;

    (void)state;
    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(rules_parse(text, strlen(text), "rules.yaml", &rules, &faults), 0);
    buf_close(&faults);
    assert_int_equal(rulebook_new(rules, &book, &err), 0);
    return 0;
}

static int free_book(void **state)
{
    (void)state;
    rulebook_release(book);
    return 0;
}

static int64_t clock_us(void)
{
    return now_us;
}

static int set_up(void **state)
{
    (void)state;
    now_us = 0;
    intake_init(&in, MAX_BODY, clock_us);
    intake_begin_turn(&in);
    memset(bodies, 0, sizeof bodies);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < BODIES; i++) {
        if (bodies[i].drain != NULL)
            intake_remove(&in, &bodies[i]);
        body_free(bodies[i].body);
    }
    assert_int_equal(in.held_bytes, 0);
    assert_int_equal(in.n_behind, 0);
    assert_null(in.open);
    intake_close(&in);
    assert_null(in.drains);
    return 0;
}

static struct intake_body *begin(size_t i, const char *drain, bool gzip)
{
    struct intake_body *b = &bodies[i];
    const struct delivery_head head = {.received_us = 1, .drain = drain};

    b->body = body_new();
    assert_non_null(b->body);
    assert_int_equal(body_begin(b->body, book, &head, gzip, MAX_BODY), 0);
    assert_int_equal(intake_add(&in, b, drain), 0);
    return b;
}

/* Compresses so many lines that match. */
static size_t pack(size_t lines)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = packed;
    z.avail_out = sizeof packed;
    for (size_t i = 0; i < lines; i++) {
        unsigned char line[LINE + 1] = "STORM\n";

        z.next_in = line;
        z.avail_in = LINE;
        assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
    }
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void turn(void)
{
    intake_begin_turn(&in);
    intake_work(&in);
}

/* The matches in a body's records. */
static size_t matches(struct intake_body *b)
{
    const struct wire_record *records;
    size_t n, sum = 0;

    intake_finish(&in, b, &records, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < records[i].n_matches; k++)
            sum += records[i].matches[k].n_times;
    }
    return sum;
}

UNIT_TEST(test_a_large_body_takes_several_turns_and_loses_nothing)
{
    const size_t lines = 500000;
    size_t n = pack(lines), turns = 0;
    struct intake_body *b = begin(0, "d", true);

    intake_push(&in, b, packed, n / 2);
    intake_push(&in, b, packed + n / 2, n - n / 2);
    for (; intake_is_behind(b); turns++)
        turn();
    assert_in_range(turns, lines * LINE / INTAKE_TURN_BYTES - 2,
                    lines * LINE / INTAKE_TURN_BYTES + 2);
    assert_int_equal(matches(b), lines);
}

UNIT_TEST(test_a_small_body_takes_none)
{
    struct intake_body *b = begin(0, "d", true);

    intake_push(&in, b, packed, pack(100));
    assert_false(intake_is_behind(b));
    assert_int_equal(matches(b), 100);
}

UNIT_TEST(test_empty_members_are_work_too)
{
    struct intake_body *b = begin(0, "d", true);
    size_t member = pack(0), n = sizeof packed / member;

    for (size_t i = 1; i < n; i++)
        memcpy(packed + i * member, packed, member);
    intake_push(&in, b, packed, n * member);
    assert_true(intake_is_behind(b));
    while (intake_is_behind(b))
        turn();
    assert_int_equal(matches(b), 0);
}

UNIT_TEST(test_the_drains_take_turns)
{
    size_t n = pack(INTAKE_TURN_BYTES / LINE * 4), turns = 0;
    struct intake_body *honest;

    for (size_t i = 0; i < 8; i++)
        intake_push(&in, begin(i, "hostile", true), packed, n);
    turn();
    honest = begin(8, "honest", true);
    in.room = 0;
    intake_push(&in, honest, packed, pack(1000));
    for (; intake_is_behind(honest); turns++)
        turn();
    assert_in_range(turns, 1, 2);
    assert_int_equal(matches(honest), 1000);
}

/* Pushes for 200 us a time, as long as there is room. Returns how often there was. */
static size_t fill(struct intake_body *b)
{
    size_t n = 0;

    for (; intake_has_room(&in, b); n++) {
        now_us += 200;
        intake_push(&in, b, "x", 1);
    }
    return n;
}

UNIT_TEST(test_a_drain_has_a_share_of_a_turn)
{
    struct intake_body *first = begin(0, "greedy", false), *second = begin(1, "greedy", false);
    struct intake_body *honest = begin(2, "honest", false);

    assert_int_equal(fill(first), 10); /* 2 ms */
    assert_false(intake_has_room(&in, second));
    assert_true(intake_has_room(&in, honest));
    turn();
    assert_int_equal(fill(second), 10);
    assert_false(intake_has_room(&in, first));
}

UNIT_TEST(test_a_turn_has_a_bound_but_each_drain_may_push_once)
{
    size_t n = 0;
    char name[8];

    for (size_t i = 0; i < BODIES; i++) {
        snprintf(name, sizeof name, "d%zu", i);
        n += fill(begin(i, name, false));
    }
    assert_int_equal(n, 20 + BODIES - 2); /* 4 ms of two drains, and once each other */
}

UNIT_TEST(test_few_bodies_that_waited_go_on_in_a_turn)
{
    struct intake_body *b = begin(0, "d", false);

    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < INTAKE_RESUMED; k++)
            assert_true(intake_may_resume(&in, b));
        assert_false(intake_may_resume(&in, b));
        turn();
    }
}

UNIT_TEST(test_a_drain_has_half_of_the_memory)
{
    size_t n = pack(MAX_BODY / LINE), given_up = 0;
    struct intake_body *honest = begin(8, "honest", false);

    intake_push(&in, honest, "STORM\n", LINE);
    for (size_t i = 0; i < 8; i++)
        intake_push(&in, begin(i, "hostile", true), packed, n);
    while (in.n_behind > 0) {
        turn();
        assert_in_range(in.held_bytes, 0, in.max_bytes / 2 + INTAKE_TURN_BYTES);
    }
    for (size_t i = 0; i < 8; i++)
        given_up += bodies[i].failure != NULL;
    assert_in_range(given_up, 1, 7);
    assert_int_equal(matches(honest), 1);
}

UNIT_TEST(test_all_have_no_more_than_the_budget)
{
    static const char *const drains[] = {"a", "b", "c", "d"};
    size_t n = pack(MAX_BODY / LINE), given_up = 0;

    for (size_t i = 0; i < 12; i++)
        intake_push(&in, begin(i, drains[i % 4], true), packed, n);
    while (in.n_behind > 0) {
        turn();
        assert_in_range(in.held_bytes, 0, in.max_bytes);
    }
    assert_in_range(in.most_bytes, in.max_bytes / 2, in.max_bytes * 5 / 4);
    for (size_t i = 0; i < 12; i++) {
        given_up += bodies[i].failure != NULL;
        assert_true(bodies[i].failure == NULL || bodies[i].body == NULL);
    }
    assert_in_range(given_up, 1, 11);
}

UNIT_TEST(test_a_body_that_was_given_up_takes_the_rest_and_has_no_records)
{
    struct intake_body *b = begin(0, "d", false);

    in.max_bytes = 2000;
    for (int i = 0; i < 1000; i++)
        intake_push(&in, b, "STORM\n", LINE);
    assert_non_null(strstr(b->failure, "more memory"));
    assert_null(b->body);
    assert_int_equal(b->held_bytes, 0);
    assert_int_equal(matches(b), 0);
}

UNIT_TEST(test_a_body_that_is_too_large_holds_nothing)
{
    static char lines[64 << 10];
    struct intake_body *b = begin(0, "d", false);

    memset(lines, '\n', sizeof lines);
    memcpy(lines, "STORM", 5);
    for (size_t i = 0; i <= MAX_BODY / sizeof lines; i++)
        intake_push(&in, b, lines, sizeof lines);
    assert_true(b->is_too_large);
    assert_null(b->failure);
    assert_int_equal(in.held_bytes, 0);
    assert_int_equal(matches(b), 0);
}

UNIT_TEST(test_a_finished_body_is_not_given_up)
{
    struct intake_body *first = begin(0, "d", true), *second;
    const struct wire_record *records;
    size_t n = pack(100000), n_records;

    intake_push(&in, first, packed, n);
    while (intake_is_behind(first))
        turn();
    intake_finish(&in, first, &records, &n_records);
    in.max_bytes = 2000;
    second = begin(1, "d", true);
    intake_push(&in, second, packed, n);
    assert_non_null(second->failure);
    assert_null(first->failure);
    assert_int_equal(n_records, 1);
    assert_int_equal(records[0].matches[0].n_times, 100000);
}

UNIT_TEST(test_drains_without_a_body_are_forgotten)
{
    char name[8];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "d%d", i);
        intake_remove(&in, begin(0, name, false));
        body_free(bodies[0].body);
        bodies[0].body = NULL;
    }
    assert_in_range(in.n_drains, 1, 64);
}

UNIT_TEST(test_a_client_that_leaves_takes_its_waiting_bytes_along)
{
    struct intake_body *b = begin(0, "d", true);

    intake_push(&in, b, packed, pack(500000));
    assert_int_equal(in.n_behind, 1);
    intake_remove(&in, b);
    assert_int_equal(in.n_behind, 0);
    turn();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_large_body_takes_several_turns_and_loses_nothing),
        TEST(test_a_small_body_takes_none),
        TEST(test_empty_members_are_work_too),
        TEST(test_the_drains_take_turns),
        TEST(test_a_drain_has_a_share_of_a_turn),
        TEST(test_a_turn_has_a_bound_but_each_drain_may_push_once),
        TEST(test_few_bodies_that_waited_go_on_in_a_turn),
        TEST(test_a_drain_has_half_of_the_memory),
        TEST(test_all_have_no_more_than_the_budget),
        TEST(test_a_body_that_was_given_up_takes_the_rest_and_has_no_records),
        TEST(test_a_body_that_is_too_large_holds_nothing),
        TEST(test_a_finished_body_is_not_given_up),
        TEST(test_drains_without_a_body_are_forgotten),
        TEST(test_a_client_that_leaves_takes_its_waiting_bytes_along),
    };

    return cmocka_run_group_tests(tests, make_book, free_book);
}
