/* The outbox over a real storage, of both backings: order, posts, failed commits, expiry. */
#include "tests/unit/unit.h"

#include "alerter/deliver/outbox.h"
#include "common/base/time.h"
#include "tests/unit/common/storage/backing.h"
#include "tests/unit/common/storage/failing_vfs.h"
#include "tests/unit/common/storage/statements.h"
#include "tests/unit/scratch.h"

#include <sqlite3.h>

struct test {
    struct scratch scratch;
    char path[512];
    struct storage *s;
    struct outbox *o;
    struct err err;
    char set_aside[512];
};

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof *t);

    failing_vfs_install();
    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "alerter.db", t->path);
    backing_begin();
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    outbox_close(t->o);
    backing_close(t->s);
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

static void open_it(struct test *t)
{
    OK(t, backing_open(t->path, false, &t->s, t->set_aside, &t->err));
    OK(t, outbox_open(t->s, &t->o, &t->err));
}

static void reopen(struct test *t)
{
    outbox_close(t->o);
    backing_close(t->s);
    open_it(t);
    assert_string_equal(t->set_aside, "");
}

static void begin(struct test *t)
{
    OK(t, storage_begin(t->s, &t->err));
}

static void commit(struct test *t)
{
    OK(t, outbox_commit(t->o, &t->err));
}

static struct wire_alert alert_of(const char *id, const char *channel, int64_t at_us)
{
    struct wire_alert a = {.kind = "breach",
                           .rule = "h12",
                           .app = "app",
                           .at_us = at_us,
                           .count = 4,
                           .threshold = 3,
                           .title = "H12",
                           .runbook = "",
                           .channel = channel,
                           .source = "heroku",
                           .process = "router"};

    snprintf(a.id, sizeof a.id, "%s", id);
    return a;
}

static void put(struct test *t, const char *id, const char *channel, int64_t at_us)
{
    struct wire_alert a = alert_of(id, channel, at_us);

    OK(t, outbox_put(t->o, &a, NULL, &t->err));
}

static void put_alone(struct test *t, const char *id, const char *channel, int64_t at_us)
{
    begin(t);
    put(t, id, channel, at_us);
    commit(t);
}

/* The messages that were handed out, as "CHANNEL/ID ". */
struct due {
    struct test *t;
    char text[1024];
    int64_t row; /* of the last */
    struct outbox_message last;
    bool hold;
};

static int note_due(void *ctx, const struct outbox_message *m)
{
    struct due *d = ctx;
    size_t len = strlen(d->text);

    snprintf(d->text + len, sizeof d->text - len, "%s/%s ", m->channel, m->alert.id);
    d->row = m->row;
    d->last = *m;
    if (d->hold)
        assert_non_null(outbox_start_post(d->t->o, m));
    return 0;
}

static struct due due_at(struct test *t, int64_t now_us, bool hold)
{
    struct due d = {.t = t, .hold = hold};

    OK(t, outbox_due(t->o, now_us, note_due, &d, &t->err));
    return d;
}

static int64_t next_due(struct test *t)
{
    int64_t due_us;

    OK(t, outbox_next_due(t->o, &due_us, &t->err));
    return due_us;
}

static struct post *find_post(const struct outbox *o, int64_t row)
{
    struct post *post = outbox_posts(o);

    while (post != NULL && post->row != row)
        post = post->hh.next;
    return post;
}

/* The row's post; starts one if it has none. */
static struct post *post_of(struct test *t, int64_t row)
{
    const struct outbox_message m = {
        .row = row, .channel = "", .last_answer = "", .alert = {.rule = ""}};
    struct post *post = find_post(t->o, row);

    return post != NULL ? post : outbox_start_post(t->o, &m);
}

static void mark(struct test *t, int64_t row, enum outbox_state state, int64_t now_us,
                 int64_t next_try_us, const char *answer)
{
    struct post *post = post_of(t, row);

    assert_non_null(post);
    post->facts.last_try_us = now_us;
    post->facts.retry_after_us = next_try_us > 0 ? 7 : 0;
    post->next_try_us = next_try_us;
    outbox_end_post(post, state, answer);
}

static void mark_and_commit(struct test *t, int64_t row, enum outbox_state state, int64_t now_us,
                            int64_t next_try_us)
{
    mark(t, row, state, now_us, next_try_us, "an answer");
    assert_true(outbox_unsaved(t->o));
    begin(t);
    commit(t);
    assert_false(outbox_unsaved(t->o));
}

static void test_each_channel_gets_its_messages_in_order(void **state)
{
    struct test *t = *state;
    struct due d;

    open_it(t);
    assert_string_equal(due_at(t, 100, false).text, "");
    assert_true(next_due(t) == INT64_MAX);
    begin(t);
    put(t, "1", "B", 10);
    put(t, "2", "A", 10);
    put(t, "3", "B", 20);
    commit(t);
    assert_int_equal(next_due(t), 0);
    /* So they come as they were put, and so when they are read anew. */
    assert_string_equal(due_at(t, 100, false).text, "B/1 A/2 ");
    reopen(t);
    d = due_at(t, 100, true);
    assert_string_equal(d.text, "B/1 A/2 ");
    /* In hand, so nothing is due in either channel, and the loop may sleep. */
    assert_string_equal(due_at(t, 100, false).text, "");
    assert_true(next_due(t) == INT64_MAX);
    put_alone(t, "4", "C", 30);
    assert_string_equal(due_at(t, 100, false).text, "C/4 ");
    /* Delivered: the next of the channel. */
    mark_and_commit(t, 1, OUTBOX_DELIVERED, 200, 0);
    assert_string_equal(due_at(t, 200, false).text, "B/3 C/4 ");
    /* Again later: nobody overtakes it. */
    d = due_at(t, 200, true);
    outbox_drop_post(t->o, find_post(t->o, d.row)); /* C/4 was not posted after all */
    mark_and_commit(t, 3, OUTBOX_WAITING, 210, 500);
    assert_string_equal(due_at(t, 499, false).text, "C/4 ");
    assert_string_equal(due_at(t, 500, false).text, "B/3 C/4 ");
    assert_int_equal(next_due(t), 0);
    outbox_defer(t->o, 4, 900);
    assert_int_equal(next_due(t), 500);
    assert_string_equal(due_at(t, 899, false).text, "B/3 ");
    assert_string_equal(due_at(t, 900, false).text, "B/3 C/4 ");
    /* A restart: a message in flight is due again, the rest as stored. */
    reopen(t);
    assert_string_equal(due_at(t, 499, false).text, "A/2 C/4 ");
}

static void put_of(struct test *t, const char *rule, const char *id)
{
    struct wire_alert a = alert_of(id, "A", 10);

    a.rule = rule;
    OK(t, outbox_put(t->o, &a, NULL, &t->err));
}

/* Posts the due messages until none waits, and lists their ids in that order. */
static void assert_order(struct test *t, const char *want)
{
    struct buf order;
    struct due d;

    buf_init(&order, 256);
    while ((d = due_at(t, 100, true)).text[0] != '\0') {
        assert_int_equal(buf_puts(&order, d.text), 0);
        mark_and_commit(t, d.row, OUTBOX_DELIVERED, 100, 0);
    }
    assert_string_equal(buf_text(&order), want);
    buf_close(&order);
}

static void test_rules_take_turns_in_a_channel(void **state)
{
    struct test *t = *state;

    open_it(t);
    begin(t);
    put_of(t, "flood", "f1");
    put_of(t, "flood", "f2");
    put_of(t, "flood", "f3");
    put_of(t, "h12", "h1");
    put_of(t, "h12", "h2");
    put_of(t, "h10", "x1");
    commit(t);
    reopen(t);
    assert_order(t, "A/f1 A/h1 A/x1 A/f2 A/h2 A/f3 ");
    begin(t);
    put_of(t, "flood", "f4");
    put_of(t, "h12", "h3");
    commit(t);
    assert_order(t, "A/f4 A/h3 ");
}

static void put_of_both(struct test *t, const char *app, const char *rule, const char *id)
{
    struct wire_alert a = alert_of(id, "A", 10);

    a.app = app;
    a.rule = rule;
    OK(t, outbox_put(t->o, &a, NULL, &t->err));
}

static void put_of_app(struct test *t, const char *app, const char *id)
{
    put_of_both(t, app, "h12", id);
}

static void test_apps_of_a_rule_take_turns(void **state)
{
    struct test *t = *state;

    open_it(t);
    begin(t);
    put_of_app(t, "flood", "f1");
    put_of_app(t, "flood", "f2");
    put_of_app(t, "shop", "s1");
    put_of_app(t, "", "d1"); /* a digest of several */
    commit(t);
    assert_order(t, "A/f1 A/s1 A/d1 A/f2 ");
}

static void test_many_rules_of_an_app_have_one_turn(void **state)
{
    struct test *t = *state;

    open_it(t);
    begin(t);
    put_of_both(t, "flood", "a", "a1");
    put_of_both(t, "flood", "a", "a2");
    put_of_both(t, "flood", "b", "b1");
    put_of_both(t, "flood", "c", "c1");
    put_of_both(t, "shop", "a", "s1");
    put_of_both(t, "shop", "a", "s2");
    put_of_both(t, "shop", "b", "s3");
    commit(t);
    reopen(t);
    assert_order(t, "A/a1 A/s1 A/b1 A/s3 A/c1 A/s2 A/a2 ");
}

static void test_a_rule_that_begins_later_takes_no_turn_of_another_app(void **state)
{
    struct test *t = *state;

    open_it(t);
    begin(t);
    for (char id[] = "a1"; id[1] < '5'; id[1]++)
        put_of_both(t, "flood", "a", id);
    commit(t);
    mark_and_commit(t, 1, OUTBOX_DELIVERED, 90, 0);
    begin(t);
    put_of_both(t, "flood", "b", "b1"); /* before a2, whose turn it gets */
    put_of_both(t, "flood", "c", "c1");
    put_of_both(t, "shop", "a", "s1");
    put_of_both(t, "shop", "a", "s2");
    put_of_both(t, "shop", "a", "s3");
    commit(t);
    assert_order(t, "A/s1 A/b1 A/s2 A/c1 A/s3 A/a2 A/a3 A/a4 ");
}

static void test_no_turn_passes_a_message_that_was_tried(void **state)
{
    struct test *t = *state;

    open_it(t);
    begin(t);
    put_of(t, "flood", "f1");
    put_of(t, "flood", "f2");
    commit(t);
    mark_and_commit(t, 1, OUTBOX_DELIVERED, 90, 0);
    mark_and_commit(t, 2, OUTBOX_WAITING, 90, 500); /* "retry after" */
    begin(t);
    put_of(t, "h12", "h1");
    put_of(t, "flood", "f3");
    commit(t);
    assert_string_equal(due_at(t, 499, false).text, "");
    assert_string_equal(due_at(t, 500, false).text, "A/f2 ");
    mark_and_commit(t, 2, OUTBOX_DELIVERED, 500, 0);
    assert_order(t, "A/h1 A/f3 ");
}

static void test_facts_survive_a_restart(void **state)
{
    struct test *t = *state;
    struct due d;

    open_it(t);
    begin(t);
    put(t, "1", "A", 10);
    put(t, "2", "A", 20);
    commit(t);
    mark_and_commit(t, 1, OUTBOX_WAITING, 100, 200);
    mark_and_commit(t, 1, OUTBOX_WAITING, 250, 400);
    reopen(t);
    d = due_at(t, 400, false);
    assert_string_equal(d.text, "A/1 ");
    assert_int_equal(d.last.facts.tries, 2);
    assert_int_equal(d.last.facts.decided_us, 10);
    assert_int_equal(d.last.facts.last_try_us, 250);
    assert_int_equal(d.last.facts.retry_after_us, 7);
    assert_int_equal(d.last.facts.channel_last_us, 250);
    mark_and_commit(t, 1, OUTBOX_DELIVERED, 450, 0);
    reopen(t);
    d = due_at(t, 450, false);
    assert_string_equal(d.text, "A/2 ");
    assert_int_equal(d.last.facts.tries, 0);
    assert_int_equal(d.last.facts.channel_last_us, 450);
}

static void test_what_failed_is_parked_and_holds_up_nothing(void **state)
{
    struct test *t = *state;
    size_t n = 9;

    open_it(t);
    begin(t);
    put(t, "1", "A", 10);
    put(t, "2", "A", 20);
    commit(t);
    mark_and_commit(t, 1, OUTBOX_FAILED, 100, 0);
    assert_string_equal(due_at(t, 100, false).text, "A/2 ");
    mark_and_commit(t, 2, OUTBOX_FAILED, 100, 0);
    assert_string_equal(due_at(t, INT64_MAX, false).text, "");
    begin(t);
    OK(t, outbox_unpark(t->o, &n, &t->err));
    commit(t);
    assert_int_equal(n, 2);
    assert_string_equal(due_at(t, 100, false).text, "A/1 ");
    assert_int_equal(due_at(t, 100, false).last.facts.tries, 0);
    begin(t);
    OK(t, outbox_unpark(t->o, &n, &t->err));
    commit(t);
    assert_int_equal(n, 0);
}

static void test_an_answer_survives_a_failed_commit(void **state)
{
    struct test *t = *state;
    struct due d;

    open_it(t);
    put_alone(t, "1", "A", 10);
    put_alone(t, "2", "A", 20);
    d = due_at(t, 100, true);
    mark(t, d.row, OUTBOX_DELIVERED, 100, 0, "ok");
    begin(t);
    backing_fail(true);
    assert_int_not_equal(outbox_commit(t->o, &t->err), 0);
    backing_fail(false);
    /* It must not be posted twice, and the next must not overtake it. */
    assert_string_equal(due_at(t, 100, false).text, "");
    assert_true(outbox_unsaved(t->o));
    begin(t);
    outbox_rollback(t->o);
    assert_true(outbox_unsaved(t->o));
    begin(t);
    commit(t);
    assert_string_equal(due_at(t, 100, false).text, "A/2 ");
    reopen(t);
    assert_string_equal(due_at(t, 100, false).text, "A/2 ");
}

static void test_what_is_too_old_expires(void **state)
{
    struct test *t = *state;
    struct outbox *o;
    struct due d = {.t = t};

    open_it(t);
    o = t->o;
    begin(t);
    for (int i = 0; i < 100; i++)
        put(t, "old", i % 2 == 0 ? "A" : "B", i);
    put(t, "new", "A", 1000);
    commit(t);
    mark_and_commit(t, 1, OUTBOX_FAILED, 5, 0);
    assert_non_null(post_of(t, 2)); /* in flight: its reply decides */
    OK(t, outbox_expire(o, -1, 2000, note_due, &d, &t->err));
    assert_string_equal(d.text, "");
    for (int i = 0; i < 3; i++) {
        OK(t, outbox_expire(o, 99, 2000, note_due, &d, &t->err));
        begin(t);
        commit(t);
    }
    assert_int_equal(strlen(d.text), 99 * strlen("A/old "));
    assert_string_equal(due_at(t, 2000, false).text, "A/new ");
    outbox_drop_post(o, find_post(o, 2));
    assert_string_equal(due_at(t, 2000, false).text, "B/old A/new ");
    d = (struct due){.t = t};
    OK(t, outbox_expire(o, 99, 2000, note_due, &d, &t->err));
    assert_string_equal(d.text, "B/old ");
    begin(t);
    commit(t);
    OK(t, outbox_expire(o, 99, 2000, note_due, &d, &t->err));
    assert_string_equal(d.text, "B/old ");
}

static void assert_health_at(struct test *t, int64_t now_us, const char *expected)
{
    const char *text;

    OK(t, outbox_health(t->o, now_us, &text, &t->err));
    assert_string_equal(text, expected);
}

static void assert_health(struct test *t, const char *expected)
{
    assert_health_at(t, TIME_S, expected);
}

static void test_health_tells_of_parked_messages_and_the_newest_reason(void **state)
{
    struct test *t = *state;
    char answer[OUTBOX_ANSWER_SIZE] = {0}, longest[OUTBOX_HEALTH_SIZE];
    size_t n;

    open_it(t);
    assert_health(t, "");
    begin(t);
    for (int i = 0; i < 4; i++)
        put(t, "1", "A", 10);
    commit(t);
    mark(t, 1, OUTBOX_FAILED, 300, 0, "invalid_auth");
    mark(t, 2, OUTBOX_FAILED, 200, 0, "not_in_channel");
    mark(t, 3, OUTBOX_WAITING, 400, 500, "HTTP 503");
    assert_health(t, ""); /* not committed yet */
    begin(t);
    commit(t);
    assert_health(t, "2 alerts kept: invalid_auth");
    reopen(t);
    assert_health(t, "2 alerts kept: invalid_auth");
    mark_and_commit(t, 1, OUTBOX_EXPIRED, 600, 0);
    assert_health(t, "1 alert kept: not_in_channel");
    mark_and_commit(t, 2, OUTBOX_WAITING, 610, 700);
    mark(t, 2, OUTBOX_FAILED, 650, 0, "no answer: Could not resolve host: slack.inside.example");
    begin(t);
    commit(t);
    assert_health(t, "1 alert kept: no answer");
    begin(t);
    OK(t, outbox_unpark(t->o, &n, &t->err));
    commit(t);
    assert_health(t, "");
    memset(answer, 'x', sizeof answer - 1);
    mark(t, 2, OUTBOX_FAILED, 700, 0, answer);
    begin(t);
    commit(t);
    snprintf(longest, sizeof longest, "1 alert kept: %s", answer);
    assert_health(t, longest);
}

static void test_health_tells_of_an_alert_that_is_retried_for_long(void **state)
{
    struct test *t = *state;
    const int64_t at_us = INT64_C(1778141172) * TIME_S, late_us = at_us + OUTBOX_LATE_US;
    uint64_t n;

    open_it(t);
    begin(t);
    put(t, "1", "A", at_us);
    put(t, "2", "A", at_us + TIME_S);
    commit(t);
    assert_health_at(t, late_us, ""); /* it was not tried: the alerter was away */
    mark_and_commit(t, 1, OUTBOX_WAITING, at_us + TIME_S, at_us + 2 * TIME_S);
    assert_health_at(t, late_us - 1, "");
    assert_health_at(t, late_us, "2 alerts wait since 2026-05-07 08:06:12 UTC: an answer");
    reopen(t);
    assert_health_at(t, late_us, "2 alerts wait since 2026-05-07 08:06:12 UTC: an answer");
    OK(t, outbox_undelivered(t->o, &n, &t->err));
    assert_int_equal(n, 2);
    mark_and_commit(t, 1, OUTBOX_DELIVERED, late_us, 0);
    assert_health_at(t, late_us + TIME_S, ""); /* the next one was not tried yet */
    mark_and_commit(t, 2, OUTBOX_WAITING, late_us + TIME_S, late_us + 2 * TIME_S);
    assert_health_at(t, late_us + TIME_S, "1 alert waits since 2026-05-07 08:06:13 UTC: an answer");
    mark_and_commit(t, 2, OUTBOX_FAILED, late_us + 2 * TIME_S, 0);
    assert_health_at(t, late_us + 2 * TIME_S, "1 alert kept: an answer");
    OK(t, outbox_undelivered(t->o, &n, &t->err));
    assert_int_equal(n, 1);
}

static void test_a_refused_alert_is_expired_at_once(void **state)
{
    struct test *t = *state;
    struct wire_alert a = alert_of("1", "A", 10);

    open_it(t);
    begin(t);
    OK(t, outbox_put(t->o, &a, "alerting was switched off", &t->err));
    commit(t);
    assert_string_equal(due_at(t, 100, false).text, "");
    assert_true(next_due(t) == INT64_MAX);
}

struct listing {
    char text[4096];
    size_t len;
    int64_t n;
};

/* One row as a line. */
static int note_row(void *ctx, const struct outbox_message *m)
{
    struct listing *l = ctx;

    l->n++;
    if (l->len + 100 < sizeof l->text)
        l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len,
                                   "%lld %s %s state %d tries %d next %lld ended %lld %s\n",
                                   (long long)m->row, m->alert.id, m->channel, (int)m->state,
                                   m->facts.tries, (long long)m->next_try_us,
                                   (long long)m->ended_us, m->last_answer);
    return 0;
}

static int stop_at_once(void *ctx, const struct outbox_message *m)
{
    (void)m;
    ++*(int *)ctx;
    return 1;
}

static void test_the_outbox_is_listed_beside_the_owner(void **state)
{
    struct test *t = *state;
    struct listing l = {.n = 0};
    struct storage *reader;
    struct outbox *listed;
    int calls = 0;

    open_it(t);
    begin(t);
    put(t, "1", "A", 10);
    put(t, "2", "B", 20);
    put(t, "3", "A", 30);
    put(t, "4", "A", 40);
    commit(t);
    mark_and_commit(t, 1, OUTBOX_DELIVERED, 100, 0);
    mark_and_commit(t, 2, OUTBOX_WAITING, 110, 300);
    mark_and_commit(t, 3, OUTBOX_FAILED, 120, 0);
    OK(t, backing_open(t->path, true, &reader, t->set_aside, &t->err));
    OK(t, outbox_open(reader, &listed, &t->err));
    OK(t, outbox_list(listed, note_row, &l, &t->err));
    assert_string_equal(l.text, "1 1 A state 2 tries 1 next 0 ended 100 an answer\n"
                                "2 2 B state 0 tries 1 next 300 ended 0 an answer\n"
                                "3 3 A state 1 tries 1 next 0 ended 0 an answer\n"
                                "4 4 A state 0 tries 0 next 0 ended 0 \n");
    assert_int_equal(outbox_list(listed, stop_at_once, &calls, &t->err), 1);
    assert_int_equal(calls, 1);
    begin(t);
    for (int i = 0; i < 1000; i++)
        put(t, "more", "A", 50);
    commit(t);
    l = (struct listing){.n = 0};
    OK(t, outbox_list(listed, note_row, &l, &t->err));
    assert_int_equal(l.n, 1004);
    outbox_close(listed);
    storage_close(reader);
}

static void spoil_first_row(struct test *t)
{
    sqlite3 *db;

    if (backing_is_database()) {
        database_sql("UPDATE " BACKING_SCHEMA ".outbox SET alert = '\\xffff' WHERE row = 1");
        reopen(t);
        return;
    }
    assert_int_equal(sqlite3_open(t->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE outbox SET alert = x'ffff' WHERE row = 1", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

static void test_an_alert_that_cannot_be_read_can_be_parked(void **state)
{
    struct test *t = *state;
    struct due d;

    open_it(t);
    begin(t);
    put(t, "1", "A", 10);
    put(t, "2", "A", 20);
    commit(t);
    spoil_first_row(t);
    d = due_at(t, 100, false);
    assert_string_equal(d.text, "A/ ");
    assert_false(d.last.is_readable);
    assert_string_equal(d.last.alert.rule, "");
    mark_and_commit(t, d.row, OUTBOX_FAILED, 100, 0);
    assert_string_equal(due_at(t, 100, false).text, "A/2 ");
}

static void test_an_idle_turn_costs_no_query(void **state)
{
    struct test *t = *state;

    statements_watch(true);
    open_it(t);
    statements_watch(false);
    put_alone(t, "1", "A", TIME_HOUR);
    next_due(t);
    assert_health(t, "");
    outbox_defer(t->o, 1, 2 * TIME_HOUR);
    n_statements = 0;
    for (int i = 0; i < 10; i++) {
        struct due d = {.t = t};

        assert_string_equal(due_at(t, TIME_HOUR, false).text, "");
        assert_int_equal(next_due(t), 2 * TIME_HOUR);
        OK(t, outbox_expire(t->o, 0, TIME_HOUR, note_due, &d, &t->err));
        assert_health(t, "");
        assert_false(outbox_unsaved(t->o));
    }
    assert_int_equal(n_statements, 0);
    due_at(t, 2 * TIME_HOUR, false);
    assert_int_equal(n_statements, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_channel_gets_its_messages_in_order),
        TEST(test_rules_take_turns_in_a_channel),
        TEST(test_apps_of_a_rule_take_turns),
        TEST(test_many_rules_of_an_app_have_one_turn),
        TEST(test_a_rule_that_begins_later_takes_no_turn_of_another_app),
        TEST(test_no_turn_passes_a_message_that_was_tried),
        TEST(test_facts_survive_a_restart),
        TEST(test_what_failed_is_parked_and_holds_up_nothing),
        TEST(test_an_answer_survives_a_failed_commit),
        TEST(test_what_is_too_old_expires),
        TEST(test_health_tells_of_parked_messages_and_the_newest_reason),
        TEST(test_health_tells_of_an_alert_that_is_retried_for_long),
        TEST(test_a_refused_alert_is_expired_at_once),
        TEST(test_the_outbox_is_listed_beside_the_owner),
        TEST(test_an_alert_that_cannot_be_read_can_be_parked),
        TEST(test_an_idle_turn_costs_no_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
