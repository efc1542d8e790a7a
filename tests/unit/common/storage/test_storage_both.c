/* The same random turns on both backings: after each commit both hold the same. */
#include "tests/unit/common/storage/backing.h"
#include "tests/unit/scratch.h"

#include <string.h>

enum { TURNS = 120, SEEDS = 3, CHANNELS = 3, RULES = 3, APPS = 3, SENDERS = 3 };

struct side {
    struct storage *s;
    bool is_database;
    int64_t last_row;
};

struct test {
    struct scratch scratch;
    char path[512];
    struct side sides[2];
    uint64_t dice;
    int64_t now_us;
    struct err err;
    char set_aside[512];
};

static uint64_t roll(struct test *t, uint64_t n)
{
    t->dice = t->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (t->dice >> 33) % n;
}

static void open_both(struct test *t)
{
    for (int i = 0; i < 2; i++) {
        struct storage_options options = {.location = i == 0 ? t->path : database_url(),
                                          .schema = BACKING_SCHEMA,
                                          .program = "test",
                                          .holder = "test"};

        t->sides[i].is_database = i == 1;
        OK(t, storage_open(&options, &t->sides[i].s, t->set_aside, &t->err));
    }
    OK(t, backing_activate(t->sides[1].s, &t->err));
}

static void close_both(struct test *t)
{
    for (int i = 0; i < 2; i++)
        backing_close(t->sides[i].s);
}

/* ---- One turn ---- */

/* What a turn does, the same on both sides. */
struct plan {
    int entries;
    size_t sizes[40];
    bool takes_snapshot;
    size_t snapshot_bytes;
    int alerts;
    int channels[5];
    int rules[5];
    int apps[5];
    int marks;
    int64_t rows[5];
    enum outbox_state states[5];
    bool unparks;
    int sender;
    bool refuses;
    int trims;
    bool commits;
};

static struct plan make_plan(struct test *t)
{
    struct plan p = {.entries = (int)roll(t, 40), .alerts = (int)roll(t, 5)};

    for (int i = 0; i < p.entries; i++)
        p.sizes[i] = roll(t, 100) == 0 ? 400000 + roll(t, 1500000) : roll(t, 600);
    p.takes_snapshot = roll(t, 6) == 0;
    p.snapshot_bytes = roll(t, 3) == 0 ? roll(t, 3 << 20) : roll(t, 5000);
    for (int i = 0; i < p.alerts; i++) {
        p.channels[i] = (int)roll(t, CHANNELS);
        p.rules[i] = (int)roll(t, RULES);
        p.apps[i] = (int)roll(t, APPS);
    }
    p.marks = (int)roll(t, 5);
    for (int i = 0; i < p.marks; i++) {
        int64_t last = t->sides[0].last_row + p.alerts;

        p.rows[i] = last - (int64_t)roll(t, 30);
        p.states[i] = (enum outbox_state)roll(t, 4);
    }
    p.unparks = roll(t, 10) == 0;
    p.sender = (int)roll(t, SENDERS);
    p.refuses = roll(t, 8) == 0;
    p.trims = (int)roll(t, 4);
    p.commits = roll(t, 5) != 0;
    return p;
}

static void append(struct test *t, struct side *side, enum wire_input input, size_t n)
{
    static uint8_t bytes[3 << 20];
    struct wire_entry entry = {.step_us = t->now_us, .input = input, .bytes = {bytes, n}};

    for (size_t i = 0; i < n && i < 64; i++)
        bytes[i] = (uint8_t)(n + i);
    OK(t, storage_append(side->s, &entry, NULL, &t->err));
}

static void mark(struct test *t, struct side *side, int64_t row, enum outbox_state state)
{
    struct storage_outbox_mark m = {.state = state,
                                    .now_us = t->now_us,
                                    .next_try_us = t->now_us + 7,
                                    .ended_us = state == OUTBOX_DELIVERED ? t->now_us : 0,
                                    .answer = "an answer"};

    if (state == OUTBOX_EXPIRED)
        OK(t, side->s->ops->outbox_mark_expired(side->s, row, t->now_us, "", &t->err));
    else
        OK(t, side->s->ops->outbox_mark(side->s, row, &m, &t->err));
}

static int see_state(void *ctx, const struct storage_outbox_row *row)
{
    *(bool *)ctx = row->state == OUTBOX_WAITING || row->state == OUTBOX_FAILED;
    return 0;
}

/* A row that is over is not marked again by any caller. */
static bool is_open(struct test *t, struct side *side, int64_t row)
{
    bool open = false;

    OK(t, side->s->ops->outbox_load(side->s, row, see_state, &open, &t->err));
    return open;
}

static void change_outbox(struct test *t, struct side *side, const struct plan *p)
{
    char channel[] = "channel 0", rule[] = "rule 0", app[] = "app 0";
    const struct storage_turn turn = {channel, app, rule};
    size_t n;

    for (int i = 0; i < p->alerts; i++) {
        channel[8] = (char)('0' + p->channels[i]);
        rule[5] = (char)('0' + p->rules[i]);
        app[4] = (char)('0' + p->apps[i]);
        OK(t, side->s->ops->outbox_put(side->s, &turn,
                                       (struct wire_bytes){(const uint8_t *)"alert", 5}, t->now_us,
                                       &side->last_row, &t->err));
    }
    for (int i = 0; i < p->marks; i++)
        if (is_open(t, side, p->rows[i]))
            mark(t, side, p->rows[i], p->states[i]);
    if (p->unparks)
        OK(t, side->s->ops->outbox_unpark(side->s, &n, &t->err));
}

static void take_turn(struct test *t, struct side *side, const struct plan *p)
{
    uint8_t sender[WIRE_SENDER_BYTES] = "sender 0";
    struct wire_bytes junk = {(const uint8_t *)"junk", 4};
    enum storage_trimmed next;

    sender[7] = (uint8_t)('0' + p->sender);
    OK(t, storage_begin(side->s, &t->err));
    for (int i = 0; i < p->entries; i++)
        append(t, side, WIRE_INPUT_RECORD, p->sizes[i]);
    if (p->takes_snapshot)
        append(t, side, WIRE_INPUT_SNAPSHOT, p->snapshot_bytes);
    if (p->takes_snapshot && p->entries > 0)
        append(t, side, WIRE_INPUT_RECORD, 5);
    change_outbox(t, side, p);
    OK(t, side->s->ops->put_sequence(side->s, sender, (uint64_t)t->now_us, t->now_us, &t->err));
    if (p->refuses)
        OK(t, side->s->ops->put_refused(side->s, sender, 5, junk, "why", t->now_us, &t->err));
    if (p->trims == 0)
        OK(t, storage_trim(side->s, t->now_us, 50, INT64_MAX, &next, &t->err));
    if (p->commits)
        OK(t, storage_commit(side->s, &t->err));
    else
        storage_rollback(side->s);
}

/* Until both have trimmed all, because a step is larger on a database. */
static void trim(struct test *t, struct side *side)
{
    enum storage_trimmed next = STORAGE_TRIM_MORE;

    while (next == STORAGE_TRIM_MORE) {
        OK(t, storage_begin(side->s, &t->err));
        OK(t, storage_trim(side->s, t->now_us, 50, INT64_MAX, &next, &t->err));
        OK(t, storage_commit(side->s, &t->err));
    }
}

/* ---- What they hold ---- */

struct listing {
    struct buf text;
};

static int list_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                      struct wire_bytes raw)
{
    struct listing *l = ctx;

    return buf_printf(&l->text, "%lld %d %lld %zu %zu %d\n", (long long)position, (int)entry->input,
                      (long long)entry->step_us, entry->bytes.len, raw.len,
                      entry->bytes.len > 0 ? entry->bytes.data[0] : 0);
}

static int list_row(void *ctx, const struct storage_outbox_row *r)
{
    struct listing *l = ctx;

    return buf_printf(&l->text, "%lld %d %s %zu %lld %d %lld %lld %lld %s %lld %s %lld %lld\n",
                      (long long)r->row, (int)r->state, r->channel, r->alert.len,
                      (long long)r->decided_us, r->tries, (long long)r->last_try_us,
                      (long long)r->next_try_us, (long long)r->ended_us, r->last_answer,
                      (long long)r->channel_last_us, r->app == NULL ? "" : r->app,
                      (long long)r->turn, (long long)r->place);
}

static int list_sender(void *ctx, const struct storage_sender *s)
{
    struct listing *l = ctx;

    return buf_printf(&l->text, "%s %llu %lld\n", (const char *)s->id, (unsigned long long)s->taken,
                      (long long)s->seen_us);
}

static int list_refused(void *ctx, const struct storage_refused *r)
{
    struct listing *l = ctx;

    return buf_printf(&l->text, "%s %zu %s %lld\n", (const char *)r->sender, r->bytes.len, r->why,
                      (long long)r->at_us);
}

/* Both forms of the outbox: all rows, and the open ones as the loop sees them. */
static void list_outbox(struct test *t, struct storage *s, struct listing *l)
{
    int64_t oldest_us;
    uint64_t n;
    char answer[64];

    OK(t, s->ops->outbox_list(s, list_row, l, &t->err));
    OK(t, s->ops->outbox_heads(s, list_row, l, &t->err));
    OK(t, s->ops->outbox_oldest(s, &oldest_us, &t->err));
    OK(t, s->ops->outbox_expirable(s, t->now_us - 20, 5, list_row, l, &t->err));
    for (int state = OUTBOX_WAITING; state <= OUTBOX_FAILED; state++) {
        OK(t,
           s->ops->outbox_count(s, (enum outbox_state)state, &n, answer, sizeof answer, &t->err));
        assert_int_equal(buf_printf(&l->text, "%llu %s %lld\n", (unsigned long long)n, answer,
                                    (long long)oldest_us),
                         0);
    }
}

static void list(struct test *t, struct storage *s, struct listing *l)
{
    int64_t snapshot;

    buf_init(&l->text, 64 << 20);
    OK(t, storage_read(s, 0, list_entry, l, &t->err));
    OK(t, s->ops->list_senders(s, list_sender, l, &t->err));
    OK(t, s->ops->list_refused(s, list_refused, l, &t->err));
    list_outbox(t, s, l);
    OK(t, s->ops->find_snapshot(s, t->now_us - 30, INT64_MAX, &snapshot, &t->err));
    assert_int_equal(buf_printf(&l->text, "%lld\n", (long long)snapshot), 0);
}

static void compare(struct test *t)
{
    struct listing a, b;

    for (int side = 0; side < 2; side++)
        trim(t, &t->sides[side]);
    list(t, t->sides[0].s, &a);
    list(t, t->sides[1].s, &b);
    assert_string_equal(buf_text(&a.text), buf_text(&b.text));
    buf_close(&a.text);
    buf_close(&b.text);
}

/* The lease keeps the size of the history as the alerter counts it. */
static void check_size(struct test *t)
{
    struct storage *s = t->sides[1].s;

    assert_int_equal(atoll(database_sql("SELECT sum(octet_length(s.body) + coalesce((SELECT "
                                        "sum(octet_length(p.body)) FROM " BACKING_SCHEMA ".part p "
                                        "WHERE s.snapshot AND p.position = s.position), 0)) "
                                        "FROM " BACKING_SCHEMA ".stream s")),
                     s->ops->bytes(s));
}

static void both_hold_the_same(void **state)
{
    struct test *t = *state;

    for (int i = 1; i <= TURNS; i++) {
        struct plan p;

        t->now_us += 1 + (int64_t)roll(t, 10);
        t->sides[1].last_row = t->sides[0].last_row;
        p = make_plan(t);
        for (int side = 0; side < 2; side++) {
            int64_t before = t->sides[side].last_row;

            take_turn(t, &t->sides[side], &p);
            if (!p.commits)
                t->sides[side].last_row = before;
        }
        if (roll(t, 10) == 0)
            for (int side = 0; side < 2; side++)
                trim(t, &t->sides[side]);
        if (roll(t, 5) == 0)
            compare(t);
        if (roll(t, 30) == 0) {
            close_both(t);
            open_both(t);
        }
    }
    compare(t);
    check_size(t);
}

static int setup(void **state)
{
    static uint64_t seed = 1;
    struct test *t = calloc(1, sizeof *t);

    if (t == NULL || scratch_make(&t->scratch) != 0)
        return -1;
    scratch_path(&t->scratch, "alerter.db", t->path);
    backing_begin();
    t->dice = seed++;
    t->now_us = TIME_HOUR;
    open_both(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;

    close_both(t);
    scratch_remove(&t->scratch);
    free(t);
    return 0;
}

int main(void)
{
    const struct CMUnitTest test =
        cmocka_unit_test_setup_teardown(both_hold_the_same, setup, teardown);
    const struct CMUnitTest tests[SEEDS] = {test, test, test};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
