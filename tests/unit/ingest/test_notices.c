/* Tests what ingest logs about faults that last, and what makes it unhealthy. */
#include "tests/unit/heard.h"

#include "common/base/time.h"
#include "ingest/notices.h"

#include <string.h>

static const struct sender_health well = {
    .ok = true, .peer = "the alerter", .fault = "", .detail = ""};
static struct notices n;
static char reason[512];

static int set_up(void **state)
{
    (void)state;
    notices_init(&n, "state", 0);
    return 0;
}

static const char *heard_failing(void (*notice)(struct notices *, const struct err *, int64_t),
                                 const char *why, int64_t now_us)
{
    struct err err;

    if (why != NULL)
        err_set(&err, ERR_IO, "%s", why);
    heard_begin();
    notice(&n, why != NULL ? &err : NULL, now_us);
    return heard_end();
}

static const char *heard_say(const struct sender_health *health, int64_t now_us)
{
    heard_begin();
    notices_say(&n, health, now_us);
    return heard_end();
}

UNIT_TEST(test_a_journal_that_cannot_be_written)
{
    assert_true(notices_is_healthy(&n, reason, sizeof reason));
    assert_non_null(strstr(heard_failing(notices_write, "state/ingest.db: disk full", 0),
                           "deliveries with matches are answered 503: state/ingest.db: disk full"));
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    assert_string_equal(reason, "ingest.db: disk full"); /* strangers see no folder */
    assert_string_equal(heard_failing(notices_write, "disk full", TIME_S), "");
    assert_string_not_equal(heard_failing(notices_write, "disk full", TIME_MINUTE), "");
    /* It is over once it has worked for a while, and not before. */
    assert_string_equal(heard_say(&well, TIME_MINUTE + 9 * TIME_S), "");
    assert_string_equal(heard_failing(notices_write, NULL, TIME_MINUTE + 9 * TIME_S), "");
    assert_true(notices_is_healthy(&n, reason, sizeof reason));
    assert_non_null(
        strstr(heard_say(&well, TIME_MINUTE + 10 * TIME_S), "the journal takes records again"));
    assert_string_equal(heard_say(&well, TIME_MINUTE + 11 * TIME_S), "");
}

/* Records are read back after the commit: then their deliveries were answered 204. */
UNIT_TEST(test_a_failed_read_answers_no_delivery_503)
{
    const char *said;

    heard_failing(notices_write, NULL, 0);
    said = heard_failing(notices_send, "cannot read a record", 0);
    assert_non_null(strstr(said, "cannot read a record"));
    assert_null(strstr(said, "503"));
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    assert_non_null(strstr(reason, "cannot be sent"));
    heard_failing(notices_write, NULL, TIME_S); /* writing works, which heals nothing */
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    heard_failing(notices_send, NULL, 2 * TIME_S);
    assert_true(notices_is_healthy(&n, reason, sizeof reason));
    assert_non_null(strstr(heard_say(&well, 9 * TIME_S), "are sent to the alerter again"));
}

UNIT_TEST(test_an_alerter_that_is_away)
{
    const struct sender_health away = {.state = SENDER_SILENT,
                                       .peer = "the alerter",
                                       .fault = "",
                                       .reason = "no answer from the alerter",
                                       .detail = "",
                                       .address = "ipc://x"};

    assert_string_equal(heard_say(&away, SENDER_SILENCE_US - 1), "");
    assert_non_null(strstr(heard_say(&away, SENDER_SILENCE_US),
                           "no answer from the alerter; no alert is sent while this lasts; its "
                           "address: ipc://x"));
    assert_string_equal(heard_say(&away, SENDER_SILENCE_US + TIME_S), "");
    assert_string_not_equal(heard_say(&away, SENDER_SILENCE_US + TIME_MINUTE), "");
    assert_non_null(
        strstr(heard_say(&well, SENDER_SILENCE_US + TIME_MINUTE + 1), "the alerter answers again"));
    assert_string_equal(heard_say(&well, SENDER_SILENCE_US + TIME_MINUTE + 2), "");
}

/* The end of a fault names the one that had it, and a new cause is told before a minute is over. */
UNIT_TEST(test_each_fault_has_its_end)
{
    static const struct {
        enum sender_state state;
        const char *end;
    } table[] = {
        {SENDER_REFUSED, "the alerter takes the records again"},
        {SENDER_IDLE, "an alerter is active again"},
        {SENDER_BLOCKED, "the database takes the records again"},
        {SENDER_SILENT, "the database answers again"},
    };
    const struct sender_health fine = {
        .ok = true, .peer = "the database", .fault = "", .detail = ""};
    int64_t now_us = TIME_MINUTE;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++, now_us += TIME_MINUTE) {
        struct sender_health bad = {.state = table[i].state,
                                    .peer = "the database",
                                    .fault = "",
                                    .reason = "a reason",
                                    .detail = "first"};

        assert_string_equal(heard_say(&fine, now_us), "");
        assert_non_null(strstr(heard_say(&bad, now_us), "a reason: first"));
        bad.detail = "second";
        assert_string_equal(heard_say(&bad, now_us + 9 * TIME_S), "");
        assert_non_null(strstr(heard_say(&bad, now_us + 10 * TIME_S), "a reason: second"));
        assert_non_null(strstr(heard_say(&fine, now_us + 11 * TIME_S), table[i].end));
    }
}

UNIT_TEST(test_records_that_nobody_acks)
{
    struct sender_health slow = {.ok = true,
                                 .peer = "the alerter",
                                 .fault = "",
                                 .detail = "",
                                 .waiting = 7,
                                 .waiting_us = 29 * TIME_S};

    assert_string_equal(heard_say(&slow, TIME_MINUTE), "");
    slow.waiting_us = 30 * TIME_S;
    assert_non_null(strstr(heard_say(&slow, TIME_MINUTE), "7 records wait for the alerter's ack"));
}

static const char *heard_alone(uint64_t records, int64_t since_us,
                               const struct sender_health *health, int64_t now_us)
{
    notices_set_alone(&n, records, since_us, health, now_us);
    return heard_say(health, now_us);
}

UNIT_TEST(test_a_database_that_is_late)
{
    const char *said;

    assert_string_equal(heard_alone(0, TIME_S, &well, TIME_S), "");
    assert_string_equal(heard_alone(3, TIME_S, &well, 6 * TIME_S - 1), "");
    assert_true(
        notices_is_healthy(&n, reason, sizeof reason)); /* a restart of it takes no longer */
    said = heard_alone(1234, TIME_S, &well, 6 * TIME_S);
    assert_non_null(strstr(said, "1,234 records are in the local journal alone, because the "
                                 "database has been late or away for 5 seconds; mend that"));
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    assert_string_equal(reason, "1,234 records are in the local journal alone, because the "
                                "database has been late or away for 5 seconds");
    assert_string_equal(heard_alone(1235, TIME_S, &well, 65 * TIME_S), "");
    assert_non_null(strstr(heard_alone(1, TIME_S, &well, 66 * TIME_S), "1 record is in"));
    assert_string_equal(heard_alone(0, TIME_S, &well, 67 * TIME_S), "");
    assert_true(notices_is_healthy(&n, reason, sizeof reason));
    assert_string_equal(heard_alone(0, TIME_S, &well, 70 * TIME_S), "");
    assert_non_null(
        strstr(heard_alone(0, TIME_S, &well, 71 * TIME_S), "the database has the records"));
    assert_string_equal(heard_alone(0, TIME_S, &well, 72 * TIME_S), "");
}

/* As in a flood: some records always wait, and never for long. */
UNIT_TEST(test_a_database_that_is_late_and_takes_records)
{
    for (int64_t now_us = TIME_S; now_us < TIME_MINUTE; now_us += TIME_S) {
        assert_string_equal(heard_alone(5000, now_us - TIME_S, &well, now_us), "");
        assert_true(notices_is_healthy(&n, reason, sizeof reason));
    }
}

/* One line tells both. */
UNIT_TEST(test_a_database_that_is_away)
{
    const struct sender_health away = {.state = SENDER_SILENT,
                                       .peer = "the database",
                                       .fault = "",
                                       .reason = "no answer from the database for 1 minute",
                                       .detail = "the server refuses"};
    const char *said;

    assert_string_equal(heard_alone(2, TIME_S, &away, TIME_S), "");
    said = heard_alone(2, TIME_S, &away, TIME_MINUTE + TIME_S);
    assert_non_null(strstr(said, "2 records are in the local journal alone"));
    assert_non_null(strstr(said, "late or away for 1 minute: the server refuses;"));
    assert_null(strstr(said, "no alert is sent"));
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    assert_null(strstr(reason, "refuses")); /* for the log alone */
}

UNIT_TEST(test_a_database_that_takes_no_records)
{
    const struct sender_health full = {.state = SENDER_BLOCKED,
                                       .peer = "the database",
                                       .fault = "the database has no room",
                                       .reason = "the database has no room, 2 deliveries wait",
                                       .detail = ""};

    assert_string_equal(heard_alone(2, TIME_S, &full, TIME_S), "");
    heard_alone(2, TIME_S, &full, TIME_MINUTE + TIME_S);
    assert_false(notices_is_healthy(&n, reason, sizeof reason));
    assert_string_equal(reason, "2 records are in the local journal alone, for 1 minute now, "
                                "because the database has no room");
}

UNIT_TEST(test_a_database_that_lost_records)
{
    struct sender_health lost = {
        .ok = true, .peer = "the database", .fault = "", .detail = "", .taken_back = 1200};

    assert_string_equal(heard_say(&well, TIME_S), "");
    assert_non_null(strstr(heard_say(&lost, TIME_S), "the database lost 1,200 records"));
    assert_string_equal(heard_say(&lost, 2 * TIME_S), "");
    lost.lost = 7;
    assert_non_null(strstr(heard_say(&lost, 3 * TIME_S), "lost 7 records"));
    assert_string_equal(heard_say(&lost, 4 * TIME_S), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_journal_that_cannot_be_written, set_up),
        cmocka_unit_test_setup(test_a_failed_read_answers_no_delivery_503, set_up),
        cmocka_unit_test_setup(test_an_alerter_that_is_away, set_up),
        cmocka_unit_test_setup(test_each_fault_has_its_end, set_up),
        cmocka_unit_test_setup(test_a_database_that_takes_no_records, set_up),
        cmocka_unit_test_setup(test_records_that_nobody_acks, set_up),
        cmocka_unit_test_setup(test_a_database_that_is_late, set_up),
        cmocka_unit_test_setup(test_a_database_that_is_late_and_takes_records, set_up),
        cmocka_unit_test_setup(test_a_database_that_is_away, set_up),
        cmocka_unit_test_setup(test_a_database_that_lost_records, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
