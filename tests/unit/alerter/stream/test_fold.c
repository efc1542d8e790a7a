/* The engine fed from the stream: restarts, snapshots, trials and damaged entries. */
#include "tests/unit/unit.h"

#include "alerter/stream/fold.h"
#include "common/base/time.h"
#include "tests/unit/alerter/engine/engine_feed.h"
#include "tests/unit/scratch.h"

#include <signal.h>

static const char OTHER_RULES[] = "app: console\n"
                                  "slack: {channel: C1}\n"
                                  "rules:\n"
                                  "  - {name: h12, field: code=H12, more_than: 0, within: 5m}\n";

struct test {
    struct scratch scratch;
    char path[512];
    struct storage *s;
    struct fold f;
    struct engine_outcomes alerts;
    struct err err;
    char set_aside[512];
};

static void open_store(struct test *t)
{
    OK(t,
       storage_open(&(struct storage_options){.location = t->path}, &t->s, t->set_aside, &t->err));
}

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof *t);

    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "alerter.db", t->path);
    open_store(t);
    OK(t, fold_open(&t->f, &t->err));
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    fold_close(&t->f);
    storage_close(t->s);
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

/* ---- Entries ---- */

/* Stores an entry and answers what the fold makes of it. */
static int enter(struct test *t, enum wire_input input, const void *bytes, size_t n, int64_t at_us)
{
    const struct wire_entry entry = {at_us, input, {bytes, n}};

    OK(t, storage_begin(t->s, &t->err));
    OK(t, storage_append(t->s, &entry, NULL, &t->err));
    OK(t, storage_commit(t->s, &t->err));
    return fold_entry(&t->f, &entry, &t->alerts, &t->err);
}

static int enter_text(struct test *t, enum wire_input input, const char *text, int64_t at_us)
{
    return enter(t, input, text, strlen(text), at_us);
}

static void enter_rules(struct test *t, int64_t at_us)
{
    OK(t, enter_text(t, WIRE_INPUT_RULES, RULES, at_us));
}

/* A record with `n` matches of h12. */
static void enter_matches(struct test *t, size_t n, int64_t at_us)
{
    int64_t times[100];
    struct wire_matches matches = group("h12", times, n, at_us);
    struct wire_record record = record_of(&matches, 1, at_us);
    struct buf packed;

    buf_init(&packed, WIRE_RECORD_MAX);
    assert_int_equal(wire_pack_record(&record, &packed), 0);
    OK(t, enter(t, WIRE_INPUT_RECORD, packed.data, packed.len, at_us));
    buf_close(&packed);
}

/* `n` alerts of a rule without a cooldown worth the name, a second apart. */
static void enter_alerts(struct test *t, size_t n, int64_t at_us)
{
    OK(t, enter_text(t, WIRE_INPUT_RULES,
                     "app: console\nslack: {channel: C1}\nrules:\n  - {name: h12, field: code=H12, "
                     "more_than: 0, within: 5m, cooldown: 1s, messages: 2/1m}\n",
                     at_us));
    for (size_t i = 0; i < n; i++)
        enter_matches(t, 1, at_us + (int64_t)i * TIME_S);
}

static void save(struct test *t, int64_t at_us)
{
    OK(t, storage_begin(t->s, &t->err));
    OK(t, fold_save(&t->f, t->s, at_us, &t->err));
    OK(t, storage_commit(t->s, &t->err));
}

static void restore(struct test *t)
{
    OK(t, fold_restore(&t->f, t->s, &t->err));
}

/* The whole state as bytes: equal bytes decide alike. */
static void state_of(struct test *t, struct buf *out)
{
    buf_init(out, FOLD_SNAPSHOT_MAX);
    assert_int_equal(engine_save(t->f.engine, out), 0);
}

static void assert_restored_as_it_was(struct test *t)
{
    struct buf before, after;
    int64_t last_us = t->f.last_us, saved_us = t->f.saved_us;
    uint64_t since = t->f.since_saved, bytes = t->f.since_saved_bytes;
    bool wants_snapshot = fold_wants_snapshot(&t->f);

    state_of(t, &before);
    restore(t);
    state_of(t, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    assert_int_equal(t->f.last_us, last_us);
    assert_int_equal(t->f.saved_us, saved_us);
    assert_int_equal(t->f.since_saved, since);
    assert_int_equal(t->f.since_saved_bytes, bytes);
    assert_int_equal(fold_wants_snapshot(&t->f), wants_snapshot);
    buf_close(&before);
    buf_close(&after);
}

/* The next storm alerts, and tells how many were suppressed since the last one. */
static void assert_suppressed(struct test *t, uint64_t expected, int64_t at_us)
{
    enter_matches(t, 4, at_us);
    assert_int_equal(t->alerts.n_alerts, 1);
    assert_int_equal(t->alerts.alerts[0].suppressed, expected);
}

/* ---- one entry ---- */

static void test_a_record_is_decided_on(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + 1);
    assert_int_equal(t->alerts.n_alerts, 0);
    enter_matches(t, 1, NOW + 2);
    assert_int_equal(t->alerts.n_alerts, 1);
    assert_int_equal(t->alerts.alerts[0].count, 4);
    assert_int_equal(t->alerts.alerts[0].at_us, NOW + 2);
    assert_int_equal(t->f.last_us, NOW + 2);
    assert_int_equal(t->f.since_saved, 3);
    assert_int_equal(t->f.saved_us, 0);
}

static void test_what_cannot_be_read_says_why(void **state)
{
    struct test *t = *state;
    const struct wire_entry newer = {NOW, WIRE_INPUT_NONE, {(const uint8_t *)"", 0}};

    enter_rules(t, NOW);
    /* Not ERR_INPUT, after which one goes on: a record that is left out changes what follows. */
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\xff\xff", NOW), ERR_DAMAGED);
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\x08\x63", NOW), ERR_VERSION); /* 99 */
    assert_int_equal(fold_entry(&t->f, &newer, &t->alerts, &t->err), ERR_VERSION);
    assert_non_null(strstr(t->err.text, "newer build"));
    assert_int_equal(t->alerts.n_alerts, 0);
}

static void test_rules_that_are_refused_leave_the_old_ones(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + 1);
    assert_int_equal(enter_text(t, WIRE_INPUT_RULES, "app: [", NOW + 2), ERR_INPUT);
    enter_matches(t, 1, NOW + 3);
    assert_int_equal(t->alerts.n_alerts, 1);
}

static void test_a_snapshot_is_no_news_to_an_engine_that_was_fed(void **state)
{
    struct test *t = *state;
    struct buf empty;

    state_of(t, &empty);
    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + 1);
    OK(t, enter(t, WIRE_INPUT_SNAPSHOT, empty.data, empty.len, NOW + 2));
    assert_int_equal(t->f.saved_us, NOW + 2);
    assert_int_equal(t->f.since_saved, 0);
    enter_matches(t, 1, NOW + 3);
    assert_int_equal(t->alerts.n_alerts, 1);
    buf_close(&empty);
}

/* ---- a trial ---- */

static void open_trial(struct test *t, const char *rules)
{
    fold_close(&t->f);
    OK(t, fold_open_trial(&t->f, rules, strlen(rules), &t->err));
}

static void test_a_trial_takes_records_alone(void **state)
{
    struct test *t = *state;
    struct buf before;

    enter_rules(t, NOW);
    enter_matches(t, 5, NOW + 1); /* alerts, and cools down in this state */
    state_of(t, &before);
    open_trial(t, RULES);
    OK(t, enter(t, WIRE_INPUT_SNAPSHOT, before.data, before.len, NOW + 2));
    OK(t, enter_text(t, WIRE_INPUT_RULES, "of a newer build: yes", NOW + 3));
    OK(t, enter_text(t, WIRE_INPUT_RULES, OTHER_RULES, NOW + 4));
    assert_int_equal(t->alerts.n_alerts, 0);
    assert_int_equal(t->f.last_us, NOW + 4);
    assert_true(engine_has_rules_text(t->f.engine, RULES, strlen(RULES)));
    enter_matches(t, 3, NOW + 5);
    assert_int_equal(t->alerts.n_alerts, 0);
    enter_matches(t, 1, NOW + 6);
    assert_int_equal(t->alerts.n_alerts, 1);
    assert_int_equal(t->alerts.alerts[0].count, 4);
    assert_int_equal(t->alerts.alerts[0].suppressed, 0);
    buf_close(&before);
}

static void test_a_trial_ends_where_a_record_cannot_be_read(void **state)
{
    struct test *t = *state;
    const struct wire_entry newer = {NOW, WIRE_INPUT_NONE, {(const uint8_t *)"", 0}};

    open_trial(t, RULES);
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\xff\xff", NOW), ERR_DAMAGED);
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\x08\x63", NOW), ERR_VERSION); /* 99 */
    assert_int_equal(fold_entry(&t->f, &newer, &t->alerts, &t->err), ERR_VERSION);
}

static void test_a_trial_under_bad_rules_does_not_begin(void **state)
{
    struct test *t = *state;
    struct fold f;

    assert_int_equal(fold_open_trial(&f, "app: [", 6, &t->err), ERR_INPUT);
    assert_null(f.engine);
    assert_null(f.wire);
}

/* ---- from the store ---- */

static void test_an_empty_store_gives_an_empty_engine(void **state)
{
    struct test *t = *state;

    restore(t);
    assert_int_equal(t->f.last_us, 0);
    assert_null(engine_rules(t->f.engine));
}

static void test_restored_from_the_start(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 5, NOW + TIME_S); /* alerts, and cools down from there */
    enter_matches(t, 2, NOW + 2 * TIME_S);
    assert_restored_as_it_was(t);
    enter_matches(t, 4, NOW + 301 * TIME_S - 1);
    assert_int_equal(t->alerts.n_alerts, 0);
    assert_suppressed(t, 6, NOW + 301 * TIME_S);
}

static void test_restored_from_a_snapshot(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 5, NOW + TIME_S);
    save(t, NOW + 2 * TIME_S);
    assert_restored_as_it_was(t);
    enter_matches(t, 2, NOW + 3 * TIME_S);
    assert_restored_as_it_was(t);
    save(t, NOW + 4 * TIME_S);
    save(t, NOW + 5 * TIME_S);
    enter_matches(t, 1, NOW + 6 * TIME_S);
    assert_restored_as_it_was(t);
    assert_suppressed(t, 3, NOW + 301 * TIME_S);
}

static void test_restored_without_its_beginning(void **state)
{
    struct test *t = *state;
    enum storage_trimmed next = STORAGE_TRIM_DONE;

    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + TIME_S);
    save(t, NOW + 2 * TIME_S);
    enter_matches(t, 0, NOW + 3 * TIME_S);
    do {
        OK(t, storage_begin(t->s, &t->err));
        OK(t, storage_trim(t->s, NOW + TIME_HOUR, TIME_S, INT64_MAX, &next, &t->err));
        OK(t, storage_commit(t->s, &t->err));
    } while (next == STORAGE_TRIM_MORE);
    assert_restored_as_it_was(t);
    enter_matches(t, 1, NOW + 4 * TIME_S);
    assert_int_equal(t->alerts.n_alerts, 1);
}

static void test_refused_rules_in_the_stream_are_left_out(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + 1);
    assert_int_equal(enter_text(t, WIRE_INPUT_RULES, "of a newer build: yes", NOW + 2), ERR_INPUT);
    assert_restored_as_it_was(t);
    enter_matches(t, 1, NOW + 3);
    assert_int_equal(t->alerts.n_alerts, 1);
}

static void test_a_damaged_snapshot_is_passed_over(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 2, NOW + 1);
    save(t, NOW + 2);
    enter_matches(t, 1, NOW + 3);
    OK(t, enter_text(t, WIRE_INPUT_SNAPSHOT, "no snapshot at all", NOW + 4));
    assert_restored_as_it_was(t);
    enter_matches(t, 1, NOW + 5);
    assert_int_equal(t->alerts.n_alerts, 1);
    storage_close(t->s);
    open_store(t);
    assert_string_equal(t->set_aside, "");
}

/* An entry after the newest snapshot cannot be read from an older one either. */
static void test_a_damaged_record_ends_it_at_once(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    save(t, NOW + 1);
    save(t, NOW + 2);
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\xff\xff", NOW + 3), ERR_DAMAGED);
    assert_int_equal(fold_restore(&t->f, t->s, &t->err), ERR_DAMAGED);
    assert_int_equal(t->f.saved_us, NOW + 2);
    storage_close(t->s);
    open_store(t);
    assert_string_not_equal(t->set_aside, "");
    restore(t);
}

/* A long stream must not delay the end of the program. */
static void test_a_signal_to_end_stops_the_reading(void **state)
{
    struct test *t = *state;
    sigset_t set, before;
    int sig;

    enter_rules(t, NOW);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before);
    raise(SIGTERM);
    assert_int_equal(fold_restore(&t->f, t->s, &t->err), ERR_STOPPED);
    assert_int_equal(sigwait(&set, &sig), 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    restore(t);
}

static void test_a_stream_of_damaged_snapshots_is_set_aside(void **state)
{
    struct test *t = *state;

    assert_int_equal(enter_text(t, WIRE_INPUT_SNAPSHOT, "damaged", NOW), ERR_DAMAGED);
    assert_int_equal(enter_text(t, WIRE_INPUT_SNAPSHOT, "too", NOW + 1), ERR_DAMAGED);
    assert_int_equal(fold_restore(&t->f, t->s, &t->err), ERR_DAMAGED);
    storage_close(t->s);
    open_store(t);
    assert_string_not_equal(t->set_aside, "");
}

static void test_a_newer_builds_stream_is_left_alone(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    save(t, NOW + 1);
    assert_int_equal(enter_text(t, WIRE_INPUT_RECORD, "\x08\x63", NOW + 2), ERR_VERSION);
    assert_int_equal(fold_restore(&t->f, t->s, &t->err), ERR_VERSION);
    storage_close(t->s);
    open_store(t);
    assert_string_equal(t->set_aside, "");
}

static void test_a_snapshot_that_is_rolled_back_is_none(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    enter_matches(t, 3, NOW + 1);
    OK(t, storage_begin(t->s, &t->err));
    OK(t, fold_save(&t->f, t->s, NOW + 2, &t->err));
    storage_rollback(t->s);
    restore(t);
    assert_int_equal(t->f.saved_us, 0);
    assert_int_equal(t->f.since_saved, 2);
    enter_matches(t, 1, NOW + 3);
    assert_int_equal(t->alerts.n_alerts, 1);
}

/* ---- a long way to read again ---- */

/* That many bytes of rules that are refused, in entries of a MiB. */
static void enter_mib(struct test *t, int n, int64_t at_us)
{
    static char refused[1 << 20];

    memset(refused, '\x01', sizeof refused);
    while (n-- > 0)
        assert_int_equal(enter(t, WIRE_INPUT_RULES, refused, sizeof refused, at_us), ERR_INPUT);
}

static void test_a_snapshot_is_wanted_once_a_restart_would_read_much(void **state)
{
    struct test *t = *state;

    enter_rules(t, NOW);
    save(t, NOW + 1);
    for (int i = 0; i < 2; i++) {
        enter_mib(t, FOLD_UNSAVED_MAX >> 20, NOW + 2);
        assert_false(fold_wants_snapshot(&t->f));
        enter_matches(t, 1, NOW + 3);
        assert_true(fold_wants_snapshot(&t->f));
        assert_restored_as_it_was(t);
        save(t, NOW + 4);
        assert_false(fold_wants_snapshot(&t->f));
        assert_restored_as_it_was(t);
    }
}

static void test_a_large_snapshot_is_wanted_less_often(void **state)
{
    enum { SIZE = FOLD_UNSAVED_MAX / 2 };
    struct test *t = *state;
    uint8_t *snapshot = calloc(1, SIZE);

    assert_non_null(snapshot);
    enter_rules(t, NOW);
    OK(t, enter(t, WIRE_INPUT_SNAPSHOT, snapshot, SIZE, NOW + 1));
    enter_mib(t, FOLD_SNAPSHOT_SHARE * (SIZE >> 20), NOW + 2);
    assert_false(fold_wants_snapshot(&t->f));
    enter_matches(t, 1, NOW + 3);
    assert_true(fold_wants_snapshot(&t->f));
    free(snapshot);
}

/* ---- ticks ---- */

static void test_a_recorded_tick_tells_the_digest_once(void **state)
{
    struct test *t = *state;

    enter_alerts(t, 5, NOW);
    assert_true(fold_waits(&t->f));
    OK(t, enter_text(t, WIRE_INPUT_TICK, "", NOW + TIME_MINUTE + 5));
    assert_int_equal(t->alerts.n_alerts, 1);
    assert_true(wire_is_digest(&t->alerts.alerts[0]));
    assert_int_equal(t->alerts.alerts[0].at_us, NOW + TIME_MINUTE);
    assert_false(fold_waits(&t->f));
    assert_restored_as_it_was(t);
}

static void test_a_digest_in_the_making_is_restored(void **state)
{
    struct test *t = *state;

    enter_alerts(t, 5, NOW);
    save(t, NOW + 10 * TIME_S);
    restore(t);
    assert_true(fold_waits(&t->f));
    OK(t, fold_tick(&t->f, &t->alerts, &t->err));
    assert_int_equal(t->alerts.n_alerts, 1);
    assert_int_equal(t->alerts.alerts[0].withheld, 3);
    assert_int_equal(t->alerts.alerts[0].groups, 1);
    assert_false(fold_waits(&t->f));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_record_is_decided_on),
        TEST(test_what_cannot_be_read_says_why),
        TEST(test_rules_that_are_refused_leave_the_old_ones),
        TEST(test_a_snapshot_is_no_news_to_an_engine_that_was_fed),
        TEST(test_a_trial_takes_records_alone),
        TEST(test_a_trial_ends_where_a_record_cannot_be_read),
        TEST(test_a_trial_under_bad_rules_does_not_begin),
        TEST(test_an_empty_store_gives_an_empty_engine),
        TEST(test_restored_from_the_start),
        TEST(test_restored_from_a_snapshot),
        TEST(test_restored_without_its_beginning),
        TEST(test_refused_rules_in_the_stream_are_left_out),
        TEST(test_a_damaged_snapshot_is_passed_over),
        TEST(test_a_damaged_record_ends_it_at_once),
        TEST(test_a_signal_to_end_stops_the_reading),
        TEST(test_a_stream_of_damaged_snapshots_is_set_aside),
        TEST(test_a_newer_builds_stream_is_left_alone),
        TEST(test_a_snapshot_that_is_rolled_back_is_none),
        TEST(test_a_snapshot_is_wanted_once_a_restart_would_read_much),
        TEST(test_a_large_snapshot_is_wanted_less_often),
        TEST(test_a_recorded_tick_tells_the_digest_once),
        TEST(test_a_digest_in_the_making_is_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
