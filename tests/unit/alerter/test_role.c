/* Alerters that share a storage, in virtual time: roles, failed turns, and that each record and
 * each alert counts once over all of it. */
#include "tests/unit/unit.h"

#include "alerter/role.h"
#include "tests/unit/alerter/shared_storage.h"
#include "tests/unit/scratch.h"

#include <stdlib.h>
#include <string.h>

static const char RULES[] =
    "app: console\n"
    "slack: {channel: C1}\n"
    "rules:\n"
    "  - {name: h12, field: code=H12, more_than: 3, within: 5m, cooldown: 5m}\n"
    "  - {name: often, field: code=H13, more_than: 0, within: 1m, cooldown: 1s}\n";
static const char OTHER_RULES[] =
    "app: console\n"
    "slack: {channel: C1}\n"
    "rules:\n"
    "  - {name: h12, field: code=H12, more_than: 3, within: 5m, cooldown: 5m}\n";
static const uint8_t SENDER[WIRE_SENDER_BYTES] = "the only sender";

enum { ALERTERS = 2, EACH_RUN = 400, RUNS = 40 };

struct alerter {
    struct settings settings;
    struct notices notices;
    struct turn turn;
    struct dispatch *dispatch;
    struct role role;
};

struct test {
    struct scratch scratch;
    char rules_path[512];
    struct alerter alerters[ALERTERS];
    int64_t boot_us;
    uint64_t sequence; /* of the last record pushed */
    int saved[2];      /* standard output and error */
    unsigned seed;
    struct err err;
};

/* ---- Output ---- */

static void capture(struct test *t, int fd, const char *name)
{
    char path[512];
    int file = open(scratch_path(&t->scratch, name, path), O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(file >= 0);
    fflush(fd == 1 ? stdout : stderr);
    t->saved[fd - 1] = dup(fd);
    dup2(file, fd);
    close(file);
}

static void uncapture(struct test *t, int fd)
{
    fflush(fd == 1 ? stdout : stderr);
    dup2(t->saved[fd - 1], fd);
    close(t->saved[fd - 1]);
}

static char *output_of(const struct test *t, const char *name)
{
    static char text[4 << 20];
    char path[512];
    FILE *file = fopen(scratch_path(&t->scratch, name, path), "r");
    size_t n = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[n] = '\0';
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    while ((text = strstr(text, what)) != NULL) {
        text += strlen(what);
        n++;
    }
    return n;
}

static size_t posts(const struct test *t)
{
    return count(output_of(t, "out"), " · id ");
}

/* Fails after the output is back. */
static void assert_said(struct test *t, const char *what, size_t times)
{
    size_t n;

    fflush(stderr);
    n = count(output_of(t, "err"), what);
    if (n != times)
        fail_msg("\"%s\" was logged %zu times and not %zu", what, n, times);
}

/* ---- Alerters ---- */

static void start_with(struct test *t, struct alerter *a, const char *rules)
{
    a->settings = (struct settings){.enabled = true,
                                    .state_dir = t->scratch.folder,
                                    .rules_path = t->rules_path,
                                    .history_us = TIME_DAY,
                                    .history_max_bytes = INT64_MAX};
    notices_init(&a->notices);
    OK(t, turn_open(&a->turn,
                    &(struct turn_options){.settings = &a->settings,
                                           .notices = &a->notices,
                                           .rules_text = rules,
                                           .rules_len = strlen(rules),
                                           .backing = &shared_storage},
                    &t->err));
    OK(t, dispatch_open(&a->settings, a->turn.storage, a->turn.outbox, &a->dispatch, &t->err));
    a->role = (struct role){.turn = &a->turn, .dispatch = a->dispatch, .notices = &a->notices};
}

static struct alerter *start(struct test *t, int i)
{
    start_with(t, &t->alerters[i], RULES);
    return &t->alerters[i];
}

static void stop(struct alerter *a)
{
    if (a->turn.storage == NULL)
        return;
    dispatch_close(a->dispatch);
    turn_close(&a->turn);
    notices_close(&a->notices);
    *a = (struct alerter){0};
}

/* A step of the loop. */
static void step(struct test *t, struct alerter *a)
{
    enum turn_result result;
    int64_t now_us;

    OK(t, role_tend(&a->role, t->boot_us, &t->err));
    if (!role_is_active(&a->role))
        return;
    now_us = a->turn.clock.offset_us + t->boot_us;
    OK(t, turn_take(&a->turn, now_us, &result, &t->err));
    if (role_is_active(&a->role))
        OK(t, dispatch_send(a->dispatch, now_us, &t->err));
    turn_end(&a->turn, result);
}

/* Steps long enough for pauses after failures to end, and for the outcomes of posts. */
static void go_on(struct test *t, struct alerter *a)
{
    for (int i = 0; i < 8; i++) {
        t->boot_us += 250 * TIME_MS;
        step(t, a);
    }
}

static void give(struct test *t, struct alerter *a)
{
    shared_give_lease(a->turn.storage);
    step(t, a);
}

/* ---- Records ---- */

/* A push of one record with `n` matches of a rule, received about now. */
static void push(struct test *t, const char *rule, size_t n)
{
    const int64_t at_us = SHARED_EPOCH_US + t->boot_us;
    int64_t times[16];
    const struct wire_matches matches = {.rule = rule,
                                         .source = "heroku",
                                         .process = "router",
                                         .times_us = times,
                                         .n_times = n,
                                         .sample = {(const uint8_t *)"a line", 6}};
    struct wire_record record = {.sequence = ++t->sequence,
                                 .received_us = at_us,
                                 .drain = "d.1",
                                 .frame_id = "",
                                 .matches = &matches,
                                 .n_matches = 1};
    struct wire_push whole = {.oldest = t->sequence, .first = t->sequence, .n_records = 1};
    struct buf packed;

    for (size_t i = 0; i < n; i++)
        times[i] = at_us;
    memcpy(record.sender, SENDER, sizeof SENDER);
    memcpy(whole.sender, SENDER, sizeof SENDER);
    buf_init(&packed, WIRE_RECORD_MAX);
    assert_int_equal(wire_pack_record(&record, &packed), 0);
    shared_push(&whole, &(struct wire_bytes){packed.data, packed.len});
    buf_close(&packed);
}

/* ---- The stream decides as the alerters did ---- */

struct replay {
    struct fold fold;
    struct wire *wire;
    uint64_t sequence;
    size_t rules;
    size_t alerts;
    size_t compared;
    char ids[4096][WIRE_ID_SIZE];
    struct err *err;
};

static int replay_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                        struct wire_bytes raw)
{
    struct replay *r = ctx;
    struct engine_outcomes out;
    struct wire_record record;
    int rc = fold_entry(&r->fold, entry, &out, r->err);

    (void)position, (void)raw;
    for (size_t i = 0; rc == 0 && i < out.n_alerts; i++) {
        assert_true(r->alerts < sizeof r->ids / sizeof *r->ids);
        memcpy(r->ids[r->alerts++], out.alerts[i].id, WIRE_ID_SIZE);
    }
    r->rules += entry->input == WIRE_INPUT_RULES;
    if (rc == 0 && entry->input == WIRE_INPUT_RECORD) {
        rc = wire_unpack_record(r->wire, entry->bytes.data, entry->bytes.len, &record, r->err);
        if (rc == 0)
            assert_int_equal(record.sequence, ++r->sequence);
    }
    return rc;
}

static int compare_row(void *ctx, const struct outbox_message *m)
{
    struct replay *r = ctx;

    assert_string_equal(m->alert.id, r->ids[r->compared++]);
    return 0;
}

/* Each record is in the stream once and in order, and the outbox has the alerts that a replay of
 * the stream decides. Returns the number of recorded rules. */
static size_t assert_counted_once(struct test *t, struct alerter *a)
{
    static struct replay r;

    r = (struct replay){.wire = wire_new(), .err = &t->err};
    OK(t, fold_open(&r.fold, &t->err));
    OK(t, storage_restore(a->turn.storage, &t->err));
    OK(t, storage_read(a->turn.storage, 0, replay_entry, &r, &t->err));
    assert_int_equal(r.sequence, t->sequence);
    assert_int_equal(shared_rows(), r.alerts);
    OK(t, outbox_list(a->turn.outbox, compare_row, &r, &t->err));
    assert_int_equal(r.compared, r.alerts);
    fold_close(&r.fold);
    wire_free(r.wire);
    return r.rules;
}

/* ---- Begin and end of a test ---- */

static void write_rules(struct test *t, const char *rules)
{
    FILE *file = fopen(t->rules_path, "w");

    assert_non_null(file);
    fputs(rules, file);
    fclose(file);
}

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof *t);

    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "rules.yaml", t->rules_path);
    write_rules(t, RULES);
    t->boot_us = TIME_MINUTE;
    shared_begin();
    capture(t, 1, "out");
    capture(t, 2, "err");
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    for (int i = 0; i < ALERTERS; i++)
        stop(&t->alerters[i]);
    uncapture(t, 1);
    uncapture(t, 2);
    shared_end();
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

/* ---- Tests ---- */

UNIT_TEST(the_one_with_the_lease_decides_and_posts)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    push(t, "h12", 4);
    go_on(t, a);
    go_on(t, b);
    assert_true(role_is_active(&a->role));
    assert_false(role_is_active(&b->role));
    assert_int_equal(shared_rows(), 1);
    assert_int_equal(posts(t), 1);
    assert_int_equal(assert_counted_once(t, b), 1);
    assert_said(t, "active since", 1);
    assert_said(t, "standing by: another one is active", 1);
    assert_said(t, "ready; 2 rules", 1);
}

UNIT_TEST(nobody_decides_without_the_lease)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);

    push(t, "h12", 4);
    go_on(t, a);
    assert_int_equal(shared_last(), 0);
    assert_int_equal(posts(t), 0);
}

UNIT_TEST(a_take_over_keeps_windows_and_cooldowns)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    push(t, "h12", 3);
    go_on(t, a);
    step(t, b);
    give(t, b);
    push(t, "h12", 1); /* the fourth */
    go_on(t, b);
    assert_int_equal(shared_rows(), 1);
    give(t, a);
    push(t, "h12", 4); /* in its cooldown */
    go_on(t, a);
    assert_int_equal(shared_rows(), 1);
    assert_int_equal(posts(t), 1);
    assert_counted_once(t, a);
    assert_said(t, "has taken over: this one stands by", 1);
}

UNIT_TEST(a_turn_that_was_kept_although_its_answer_was_lost_is_not_repeated)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);

    give(t, a);
    push(t, "h12", 4);
    shared_set_fate(a->turn.storage, SHARED_LOST_AFTER);
    go_on(t, a);
    assert_int_equal(posts(t), 0);
    shared_cut_off(a->turn.storage, false);
    go_on(t, a);
    assert_int_equal(shared_rows(), 1);
    assert_int_equal(posts(t), 1);
    assert_counted_once(t, a);
}

UNIT_TEST(a_turn_that_was_lost_is_taken_again)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);

    give(t, a);
    push(t, "h12", 4);
    shared_set_fate(a->turn.storage, SHARED_LOST_BEFORE);
    go_on(t, a);
    shared_cut_off(a->turn.storage, false);
    go_on(t, a);
    assert_int_equal(posts(t), 1);
    assert_counted_once(t, a);
}

UNIT_TEST(a_full_database_is_tried_again)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);

    give(t, a);
    push(t, "h12", 4);
    for (int i = 0; i < 5; i++) {
        shared_set_fate(a->turn.storage, SHARED_FULL);
        go_on(t, a);
    }
    shared_set_fate(a->turn.storage, SHARED_COMMITS);
    go_on(t, a);
    assert_int_equal(posts(t), 1);
    assert_int_equal(shared_rows(), 1);
}

/* Of two records that `b` has followed a failover will lose the second, which has `lost` matches.
 */
static void follow_what_is_lost(struct test *t, struct alerter *a, struct alerter *b, size_t lost)
{
    give(t, a);
    push(t, "h12", 1);
    go_on(t, a);
    shared_replicate();
    push(t, "h12", lost);
    go_on(t, a);
    go_on(t, b);
}

static void fail_over(struct test *t)
{
    shared_fail_over();
    t->sequence--;
}

/* The standby had followed entries that were lost, and others get their positions. */
UNIT_TEST(a_failover_that_loses_commits_is_noticed_by_all)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    follow_what_is_lost(t, a, b, 3); /* they alert */
    shared_cut_off(a->turn.storage, true);
    shared_cut_off(b->turn.storage, true);
    step(t, a);
    step(t, b);
    fail_over(t);
    shared_cut_off(a->turn.storage, false);
    shared_cut_off(b->turn.storage, false);
    give(t, a);
    push(t, "h12", 1);
    go_on(t, a);
    go_on(t, b);
    give(t, b);
    push(t, "h12", 2);
    go_on(t, b);
    assert_int_equal(shared_rows(), 1);
    assert_int_equal(posts(t), 2);
    assert_counted_once(t, b);
}

/* Three matches in all do not alert, and five would. */
static void assert_lost_ones_are_forgotten(struct test *t, struct alerter *b)
{
    give(t, b);
    push(t, "h12", 2);
    go_on(t, b);
    assert_int_equal(shared_rows(), 0);
    assert_counted_once(t, b);
}

/* The connection stands, as behind a pool. */
UNIT_TEST(a_standby_that_is_told_of_a_loss_reads_the_stream_anew)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    follow_what_is_lost(t, a, b, 2);
    fail_over(t);
    shared_lose(b->turn.storage);
    step(t, b);
    assert_lost_ones_are_forgotten(t, b);
    assert_said(t, "the database cannot be used", 0);
}

/* It may have found out in the step before it could take the lease. */
UNIT_TEST(a_loss_is_not_forgotten_by_a_take_over)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    follow_what_is_lost(t, a, b, 2);
    fail_over(t);
    shared_lose(b->turn.storage);
    assert_lost_ones_are_forgotten(t, b);
}

UNIT_TEST(an_alerter_that_is_cut_off_waits_and_goes_on)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);
    int restores;

    give(t, a);
    go_on(t, a);
    restores = shared_restores(a->turn.storage);
    shared_cut_off(a->turn.storage, true);
    push(t, "h12", 4);
    for (int i = 0; i < 70; i++) /* 140 s */
        go_on(t, a);
    assert_false(role_is_active(&a->role));
    assert_int_equal(posts(t), 0);
    assert_said(t, "the database cannot be used, so nothing is decided or posted: ", 3);
    shared_cut_off(a->turn.storage, false);
    go_on(t, a);
    assert_int_equal(posts(t), 1);
    assert_int_equal(shared_restores(a->turn.storage), restores);
    assert_said(t, "the database can be used again", 1);
    assert_counted_once(t, a);
}

UNIT_TEST(an_alerter_does_not_go_on_with_a_storage_that_was_moved)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    push(t, "h12", 4);
    shared_give_lease(NULL);
    shared_move("/srv/state");
    for (int i = 0; i < ALERTERS; i++) {
        assert_int_equal(role_tend(&t->alerters[i].role, t->boot_us, &t->err), ERR_INPUT);
        assert_non_null(strstr(t->err.text, "moved to /srv/state: unset DRAINWATCH_DATABASE_URL"));
    }
    assert_false(role_is_active(&b->role));
    assert_int_equal(posts(t), 0);
}

UNIT_TEST(an_alerter_starts_while_the_database_is_away)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);

    shared_cut_off(a->turn.storage, true);
    go_on(t, a);
    shared_give_lease(a->turn.storage);
    shared_cut_off(a->turn.storage, false);
    push(t, "h12", 4);
    go_on(t, a);
    assert_int_equal(posts(t), 1);
}

/* The outcome of a post was not committed when the lease went: the other one posts again. */
UNIT_TEST(an_outcome_that_was_not_committed_is_dropped_with_the_lease)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    push(t, "h12", 4);
    step(t, a); /* prints; the next turn would note it */
    assert_int_equal(posts(t), 1);
    assert_true(outbox_unsaved(a->turn.outbox));
    give(t, b);
    step(t, a);
    assert_false(outbox_unsaved(a->turn.outbox));
    assert_said(t, "1 post was dropped, which the other one may post again", 1);
    go_on(t, b);
    assert_int_equal(posts(t), 2);
    go_on(t, a);
    assert_counted_once(t, b);
}

UNIT_TEST(the_lease_may_come_back_in_another_term)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    push(t, "h12", 3);
    go_on(t, a);
    shared_cut_off(a->turn.storage, true);
    step(t, a);
    give(t, b);
    push(t, "h12", 1);
    go_on(t, b);
    shared_give_lease(a->turn.storage);
    shared_cut_off(a->turn.storage, false);
    push(t, "h12", 1);
    go_on(t, a);
    assert_counted_once(t, a);
    assert_int_equal(shared_rows(), 1);
}

UNIT_TEST(other_rules_are_recorded_by_the_one_that_takes_over)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = &t->alerters[1];

    start_with(t, b, OTHER_RULES);
    give(t, a);
    go_on(t, a);
    go_on(t, b);
    assert_int_equal(assert_counted_once(t, a), 1);
    give(t, b);
    assert_int_equal(assert_counted_once(t, b), 2);
    step(t, a); /* it has lost the lease */
    give(t, a);
    assert_int_equal(assert_counted_once(t, a), 3);
}

UNIT_TEST(rules_that_a_standby_read_again_come_into_force_with_its_term)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    go_on(t, a);
    go_on(t, b);
    write_rules(t, OTHER_RULES);
    turn_read_rules(&b->turn);
    go_on(t, b);
    assert_int_equal(assert_counted_once(t, a), 1);
    give(t, b);
    go_on(t, b);
    assert_int_equal(assert_counted_once(t, b), 2);
    assert_string_equal(engine_rules(b->turn.fold.engine)->rules[0].name, "h12");
    assert_int_equal(engine_rules(b->turn.fold.engine)->n, 1);
}

UNIT_TEST(an_alerter_that_cannot_read_the_stream_does_not_take_over)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    go_on(t, a);
    shared_set_unreadable(true);
    go_on(t, b);
    assert_true(b->turn.storage->stands_by);
    give(t, b);
    go_on(t, b);
    assert_false(role_is_active(&b->role));
    assert_said(t, "so this alerter does not take over from another one: an entry of a newer", 1);
    shared_set_unreadable(false);
    t->boot_us += TIME_MINUTE;
    go_on(t, b);
    assert_false(b->turn.storage->stands_by);
    give(t, b);
    assert_true(role_is_active(&b->role));
}

UNIT_TEST(a_standby_that_is_behind_the_trimmed_history_reads_the_snapshot)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);

    give(t, a);
    go_on(t, a);
    step(t, b);
    push(t, "h12", 3);
    go_on(t, a);
    t->boot_us += 11 * TIME_MINUTE; /* a snapshot is due */
    go_on(t, a);
    push(t, "often", 1);
    go_on(t, a);
    shared_trim();
    go_on(t, b);
    assert_int_equal(b->turn.fold.position, shared_last());
    give(t, b);
    assert_int_equal(a->turn.fold.last_us, b->turn.fold.last_us);
}

/* Stores rules that are refused, and take long to read again. */
static void append_much(struct test *t, struct alerter *a)
{
    static uint8_t refused[1 << 20];
    const struct wire_entry entry = {
        a->turn.fold.last_us, WIRE_INPUT_RULES, {refused, sizeof refused}};

    memset(refused, '\x01', sizeof refused);
    OK(t, storage_begin(a->turn.storage, &t->err));
    for (int n = 0; n <= FOLD_UNSAVED_MAX >> 20; n++)
        OK(t, storage_append(a->turn.storage, &entry, NULL, &t->err));
    OK(t, storage_commit(a->turn.storage, &t->err));
}

UNIT_TEST(an_alerter_that_read_much_takes_a_snapshot_at_once)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);
    int64_t saved_us;

    give(t, a);
    go_on(t, a);
    step(t, b);
    saved_us = b->turn.fold.saved_us;
    append_much(t, a);
    give(t, b);
    assert_true(b->turn.fold.saved_us > saved_us);
    saved_us = b->turn.fold.saved_us;
    push(t, "h12", 3);
    go_on(t, b);
    assert_int_equal(b->turn.fold.saved_us, saved_us);
    stop(a);
    a = start(t, 0);
    append_much(t, b);
    give(t, a);
    assert_true(a->turn.fold.saved_us > saved_us);
}

UNIT_TEST(a_snapshot_without_room_is_tried_again_after_a_while)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);
    int64_t saved_us;

    give(t, a);
    saved_us = a->turn.fold.saved_us;
    shared_refuse_snapshots(true);
    t->boot_us += 11 * TIME_MINUTE;
    push(t, "h12", 3);
    go_on(t, a);
    go_on(t, a);
    assert_int_equal(shared_refused(), 1);
    t->boot_us += 10 * TIME_S;
    go_on(t, a);
    assert_int_equal(shared_refused(), 2);
    shared_refuse_snapshots(false);
    t->boot_us += 10 * TIME_S;
    go_on(t, a);
    assert_true(a->turn.fold.saved_us > saved_us);
}

static int note_channel_last(void *ctx, const struct outbox_message *m)
{
    *(int64_t *)ctx = m->facts.channel_last_us;
    return 0;
}

UNIT_TEST(a_waiting_alert_counts_as_tried_at_the_take_over)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0), *b = start(t, 1);
    enum turn_result result;
    int64_t last_us = 0;

    give(t, a);
    push(t, "h12", 4);
    OK(t, turn_take(&a->turn, a->turn.clock.offset_us + t->boot_us, &result, &t->err));
    t->boot_us += TIME_S;
    give(t, b);
    shared_cut_off(b->turn.storage, true);
    OK(t, outbox_due(b->turn.outbox, INT64_MAX, note_channel_last, &last_us, &t->err));
    assert_int_equal(posts(t), 1); /* give steps, and print has no pace */
    shared_cut_off(b->turn.storage, false);
    OK(t, outbox_list(b->turn.outbox, note_channel_last, &last_us, &t->err));
    assert_int_equal(last_us, b->turn.clock.offset_us + t->boot_us);
}

UNIT_TEST(the_clock_is_the_storages_and_never_goes_back)
{
    struct test *t = *state;
    struct alerter *a = start(t, 0);
    int64_t offset_us;

    give(t, a);
    offset_us = a->turn.clock.offset_us;
    assert_int_equal(offset_us, SHARED_EPOCH_US);
    shared_give_lease(NULL);
    step(t, a);
    shared_shift_clock(-TIME_HOUR);
    give(t, a);
    assert_int_equal(a->turn.clock.offset_us, offset_us);
    shared_give_lease(NULL);
    step(t, a);
    shared_shift_clock(2 * TIME_HOUR);
    give(t, a);
    assert_int_equal(a->turn.clock.offset_us, offset_us + TIME_HOUR);
}

static unsigned below(struct test *t, unsigned n)
{
    t->seed = t->seed * 1664525u + 1013904223u;
    return (t->seed >> 8) % n;
}

/* One of the things that may happen to an alerter. */
static void disturb(struct test *t, struct alerter *a)
{
    struct storage *s = a->turn.storage;

    switch (below(t, 12)) {
    case 0:
        shared_give_lease(s);
        break;
    case 1:
        shared_give_lease(NULL);
        break;
    case 2:
        shared_cut_off(s, true);
        break;
    case 3:
    case 4:
        shared_cut_off(s, false);
        break;
    case 5:
        shared_set_fate(s, (enum shared_fate)below(t, SHARED_FULL));
        break;
    case 6:
        stop(a);
        start_with(t, a, below(t, 4) == 0 ? OTHER_RULES : RULES);
        break;
    default:
        break;
    }
}

static void run(struct test *t)
{
    for (int i = 0; i < ALERTERS; i++)
        start(t, i);
    for (int i = 0; i < EACH_RUN; i++) {
        t->boot_us += below(t, 3) == 0 ? below(t, 3000) * TIME_MS : 20 * TIME_MS;
        if (below(t, 3) == 0)
            push(t, below(t, 2) == 0 ? "h12" : "often", 1 + below(t, 3));
        if (below(t, 4) == 0)
            disturb(t, &t->alerters[below(t, ALERTERS)]);
        step(t, &t->alerters[below(t, ALERTERS)]);
    }
    shared_cut_off(t->alerters[0].turn.storage, false);
    shared_set_fate(t->alerters[0].turn.storage, SHARED_COMMITS);
    give(t, &t->alerters[0]);
    for (int i = 0; i < 40; i++)
        go_on(t, &t->alerters[0]);
}

UNIT_TEST(each_record_and_alert_counts_once_whatever_happens)
{
    struct test *t = *state;
    size_t rows = 0;

    for (unsigned seed = 1; seed <= RUNS; seed++) {
        t->seed = seed;
        run(t);
        assert_counted_once(t, &t->alerters[0]);
        rows += shared_rows();
        for (int i = 0; i < ALERTERS; i++)
            stop(&t->alerters[i]);
        shared_end();
        shared_begin();
        t->sequence = 0;
    }
    assert_true(rows > 10 * RUNS);
    assert_true(posts(t) >= rows);
    assert_true(posts(t) < rows + rows / 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_one_with_the_lease_decides_and_posts),
        TEST(nobody_decides_without_the_lease),
        TEST(a_take_over_keeps_windows_and_cooldowns),
        TEST(a_turn_that_was_kept_although_its_answer_was_lost_is_not_repeated),
        TEST(a_turn_that_was_lost_is_taken_again),
        TEST(a_full_database_is_tried_again),
        TEST(a_failover_that_loses_commits_is_noticed_by_all),
        TEST(a_standby_that_is_told_of_a_loss_reads_the_stream_anew),
        TEST(a_loss_is_not_forgotten_by_a_take_over),
        TEST(an_alerter_that_is_cut_off_waits_and_goes_on),
        TEST(an_alerter_does_not_go_on_with_a_storage_that_was_moved),
        TEST(an_alerter_starts_while_the_database_is_away),
        TEST(an_outcome_that_was_not_committed_is_dropped_with_the_lease),
        TEST(the_lease_may_come_back_in_another_term),
        TEST(other_rules_are_recorded_by_the_one_that_takes_over),
        TEST(rules_that_a_standby_read_again_come_into_force_with_its_term),
        TEST(an_alerter_that_cannot_read_the_stream_does_not_take_over),
        TEST(a_standby_that_is_behind_the_trimmed_history_reads_the_snapshot),
        TEST(an_alerter_that_read_much_takes_a_snapshot_at_once),
        TEST(a_snapshot_without_room_is_tried_again_after_a_while),
        TEST(a_waiting_alert_counts_as_tried_at_the_take_over),
        TEST(the_clock_is_the_storages_and_never_goes_back),
        TEST(each_record_and_alert_counts_once_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
