/* Keeps the order of the outbox and its posts; the rows lie in the storage. Called by the alerter's
 * loop, by dispatch.c and by the commands. */

#include "alerter/deliver/outbox.h"

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_ANSWER "no answer" /* before a colon and libcurl's words; see slack.c */

/* The next message of a channel. */
struct head {
    int64_t row;
    int64_t next_us;
    int64_t failing_us; /* its decision if a try failed, else INT64_MAX */
};

struct outbox {
    struct storage *storage;
    struct wire *wire;
    struct buf packed;
    bool is_stale; /* heads and oldest_us must be read again */
    struct head *heads;
    size_t n_heads;
    size_t heads_cap;
    int64_t inherited_row; /* this row and earlier ones may have been tried at inherited_us */
    int64_t inherited_us;
    int64_t oldest_us;       /* decision of the oldest that waits or is parked; INT64_MAX: none */
    int64_t health_until_us; /* when `health` must be read again */
    char health[OUTBOX_HEALTH_SIZE];
    struct post *posts; /* by row */
};

static void make_stale(struct outbox *o)
{
    o->is_stale = true;
    o->health_until_us = INT64_MIN;
}

int outbox_open(struct storage *storage, struct outbox **out, struct err *err)
{
    struct outbox *o = calloc(1, sizeof *o);

    *out = NULL;
    if (o == NULL || (o->wire = wire_new()) == NULL) {
        free(o);
        return err_set(err, ERR_NOMEM, "no memory for the outbox");
    }
    o->storage = storage;
    make_stale(o);
    buf_init(&o->packed, WIRE_MESSAGE_MAX);
    *out = o;
    return 0;
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    while (o->posts != NULL)
        outbox_drop_post(o, o->posts);
    wire_free(o->wire);
    buf_close(&o->packed);
    free(o->heads);
    free(o);
}

static int add_head(struct outbox *o, struct head head, struct err *err)
{
    if (o->n_heads == o->heads_cap) {
        size_t more = o->heads_cap == 0 ? 8 : 2 * o->heads_cap;
        struct head *grown = realloc(o->heads, more * sizeof *grown);

        if (grown == NULL)
            return err_set(err, ERR_NOMEM, "no memory for the outbox");
        o->heads = grown;
        o->heads_cap = more;
    }
    o->heads[o->n_heads++] = head;
    return 0;
}

/* If nothing else waits, the new message is the head of its channel. The rows need not be read
 * again before it is posted, which saves three queries while an alert waits. */
static bool note_first(struct outbox *o, int64_t row, int64_t decided_us)
{
    if (o->is_stale || o->n_heads > 0 ||
        add_head(o, (struct head){row, 0, INT64_MAX}, &(struct err){0}) != 0)
        return false;
    if (decided_us < o->oldest_us)
        o->oldest_us = decided_us;
    return true;
}

int outbox_put(struct outbox *o, const struct wire_alert *alert, const char *refusal,
               struct err *err)
{
    const struct storage_turn turn = {alert->channel, alert->app, alert->rule};
    int64_t row;
    int rc;

    assert(alert->channel[0] != '\0');
    buf_clear(&o->packed);
    rc = wire_pack_alert(alert, &o->packed);
    if (rc != 0)
        return err_set(err, rc, "alert %s: cannot be packed: %s", alert->id,
                       rc == ERR_FULL ? "it is too large" : "out of memory");
    rc = o->storage->ops->outbox_put(o->storage, &turn,
                                     (struct wire_bytes){o->packed.data, o->packed.len},
                                     alert->at_us, &row, err);
    if (rc == 0 && refusal != NULL)
        rc = o->storage->ops->outbox_mark_expired(o->storage, row, alert->at_us, refusal, err);
    if (rc != 0 || refusal != NULL || !note_first(o, row, alert->at_us))
        o->is_stale = true;
    return rc;
}

/* ---- Due messages ---- */

static int compare_heads(const void *left, const void *right)
{
    const struct head *a = left, *b = right;

    return (a->row > b->row) - (a->row < b->row);
}

/* A walk over rows of the storage. */
struct walk {
    struct outbox *o;
    int64_t now_us;
    outbox_fn *fn;
    void *ctx;
    struct err *err;
};

static int read_head(void *ctx, const struct storage_outbox_row *row)
{
    struct walk *w = ctx;

    return add_head(
        w->o,
        (struct head){row->row, row->next_try_us, row->tries > 0 ? row->decided_us : INT64_MAX},
        w->err);
}

static int refresh(struct outbox *o, struct err *err)
{
    int rc;

    if (!o->is_stale)
        return 0;
    o->n_heads = 0;
    rc = o->storage->ops->outbox_heads(o->storage, read_head, &(struct walk){.o = o, .err = err},
                                       err);
    if (o->n_heads > 1)
        qsort(o->heads, o->n_heads, sizeof *o->heads, compare_heads);
    if (rc == 0)
        rc = o->storage->ops->outbox_oldest(o->storage, &o->oldest_us, err);
    o->is_stale = rc != 0;
    return rc;
}

/* The channel's last try as far as it is known or to be feared. */
static int64_t channel_last_us(const struct outbox *o, const struct storage_outbox_row *row)
{
    return row->row <= o->inherited_row && row->channel_last_us < o->inherited_us
               ? o->inherited_us
               : row->channel_last_us;
}

static int message_of(struct outbox *o, const struct storage_outbox_row *row,
                      struct outbox_message *m, struct err *err)
{
    static const struct wire_alert empty = {.kind = "",
                                            .rule = "",
                                            .app = "",
                                            .title = "",
                                            .runbook = "",
                                            .channel = "",
                                            .source = "",
                                            .process = ""};
    int rc;

    *m = (struct outbox_message){
        .row = row->row,
        .state = row->state,
        .next_try_us = row->next_try_us,
        .ended_us = row->ended_us,
        .channel = row->channel,
        .last_answer = row->last_answer,
        .facts = {.decided_us = row->decided_us,
                  .tries = row->tries,
                  .last_try_us = row->last_try_us,
                  .retry_after_us = row->retry_after_us,
                  .channel_last_us = channel_last_us(o, row)},
    };
    rc = wire_unpack_alert(o->wire, row->alert.data, row->alert.len, &m->alert, err);
    m->is_readable = rc == 0;
    if (rc != 0)
        m->alert = empty;
    m->facts.id = m->alert.id;
    return rc == ERR_NOMEM ? rc : 0;
}

static int hand_out(void *ctx, const struct storage_outbox_row *row)
{
    struct walk *w = ctx;
    struct outbox_message m;
    int rc = message_of(w->o, row, &m, w->err);

    return rc != 0 ? rc : w->fn(w->ctx, &m);
}

static struct post *find_post(const struct outbox *o, int64_t row)
{
    struct post *post;

    HASH_FIND(hh, o->posts, &row, sizeof row, post);
    return post;
}

int outbox_due(struct outbox *o, int64_t now_us, outbox_fn *fn, void *ctx, struct err *err)
{
    struct walk w = {.o = o, .fn = fn, .ctx = ctx, .err = err};
    int rc;

    assert(!storage_in_transaction(o->storage));
    rc = refresh(o, err);
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us <= now_us && find_post(o, o->heads[i].row) == NULL)
            rc = o->storage->ops->outbox_load(o->storage, o->heads[i].row, hand_out, &w, err);
    return rc;
}

int outbox_next_due(struct outbox *o, int64_t *due_us, struct err *err)
{
    int rc = refresh(o, err);

    *due_us = INT64_MAX;
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us < *due_us && find_post(o, o->heads[i].row) == NULL)
            *due_us = o->heads[i].next_us;
    return rc;
}

void outbox_defer(struct outbox *o, int64_t row, int64_t until_us)
{
    for (size_t i = 0; i < o->n_heads; i++)
        if (o->heads[i].row == row)
            o->heads[i].next_us = until_us;
}

/* ---- Posts ---- */

struct post *outbox_posts(const struct outbox *o)
{
    return o->posts;
}

size_t outbox_in_flight(const struct outbox *o)
{
    size_t n = 0;

    for (const struct post *post = o->posts; post != NULL; post = post->hh.next)
        n += post->phase == POST_IN_FLIGHT;
    return n;
}

static void set_answer(struct post *post, const char *answer)
{
    size_t n = text_cut(answer, strlen(answer), sizeof post->answer - 1);

    memcpy(post->answer, answer, n);
    post->answer[n] = '\0';
}

struct post *outbox_start_post(struct outbox *o, const struct outbox_message *message)
{
    struct post *post = calloc(1, sizeof *post);

    assert(find_post(o, message->row) == NULL);
    if (post == NULL)
        return NULL;
    post->row = message->row;
    memcpy(post->id, message->alert.id, sizeof post->id);
    snprintf(post->rule, sizeof post->rule, "%s", message->alert.rule);
    snprintf(post->channel, sizeof post->channel, "%s", message->channel);
    post->facts = message->facts;
    post->facts.id = post->id;
    set_answer(post, message->last_answer);
    HASH_ADD(hh, o->posts, row, sizeof post->row, post);
    if (post->hh.tbl != NULL)
        return post;
    free(post);
    return NULL;
}

void outbox_end_post(struct post *post, enum outbox_state state, const char *answer)
{
    assert(post->phase == POST_IN_FLIGHT);
    post->phase = POST_ENDED;
    post->state = state;
    set_answer(post, answer);
}

void outbox_drop_post(struct outbox *o, struct post *post)
{
    HASH_DEL(o->posts, post);
    free(post);
}

bool outbox_unsaved(const struct outbox *o)
{
    return HASH_COUNT(o->posts) > outbox_in_flight(o);
}

static int save_post(struct outbox *o, const struct post *post, struct err *err)
{
    const int64_t now_us = post->facts.last_try_us;

    if (post->state == OUTBOX_EXPIRED)
        return o->storage->ops->outbox_mark_expired(o->storage, post->row, now_us, post->answer,
                                                    err);
    return o->storage->ops->outbox_mark(
        o->storage, post->row,
        &(struct storage_outbox_mark){.state = post->state,
                                      .now_us = now_us,
                                      .retry_after_us = post->facts.retry_after_us,
                                      .next_try_us =
                                          post->state == OUTBOX_WAITING ? post->next_try_us : 0,
                                      .ended_us = post->state == OUTBOX_DELIVERED ? now_us : 0,
                                      .answer = post->answer},
        err);
}

static int save_posts(struct outbox *o, struct err *err)
{
    int rc = 0;

    for (struct post *post = o->posts; post != NULL && rc == 0; post = post->hh.next) {
        if (post->phase != POST_ENDED)
            continue;
        rc = save_post(o, post, err);
        if (rc == 0)
            post->phase = POST_SAVED;
        make_stale(o);
    }
    return rc;
}

/* Forgets the posts that were committed; the outcomes of others wait for the next commit. */
static void end_transaction(struct outbox *o, bool is_committed)
{
    struct post *post, *next;

    HASH_ITER(hh, o->posts, post, next)
    {
        if (post->phase == POST_SAVED && is_committed)
            outbox_drop_post(o, post);
        else if (post->phase == POST_SAVED)
            post->phase = POST_ENDED;
    }
    if (!is_committed)
        make_stale(o);
}

int outbox_commit(struct outbox *o, struct err *err)
{
    int rc = save_posts(o, err);

    if (rc == 0)
        rc = storage_commit(o->storage, err);
    else
        storage_rollback(o->storage);
    end_transaction(o, rc == 0);
    return rc;
}

void outbox_rollback(struct outbox *o)
{
    storage_rollback(o->storage);
    end_transaction(o, false);
}

/* ---- After another alerter ---- */

int outbox_take_over(struct outbox *o, int64_t now_us, struct err *err)
{
    int rc;

    assert(o->posts == NULL);
    make_stale(o);
    rc = refresh(o, err);
    o->inherited_us = now_us;
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].row > o->inherited_row)
            o->inherited_row = o->heads[i].row;
    return rc;
}

/* ---- Many rows ---- */

static int expire_one(void *ctx, const struct storage_outbox_row *row)
{
    struct walk *w = ctx;
    struct outbox_message m;
    struct post *post;
    int rc;

    if (find_post(w->o, row->row) != NULL)
        return 0;
    rc = message_of(w->o, row, &m, w->err);
    if (rc != 0)
        return rc;
    post = outbox_start_post(w->o, &m);
    if (post == NULL)
        return err_set(w->err, ERR_NOMEM, "no memory for the outbox");
    post->facts.last_try_us = w->now_us;
    outbox_end_post(post, OUTBOX_EXPIRED, "");
    return w->fn(w->ctx, &m);
}

int outbox_expire(struct outbox *o, int64_t before_us, int64_t now_us, outbox_fn *fn, void *ctx,
                  struct err *err)
{
    struct walk w = {.o = o, .now_us = now_us, .fn = fn, .ctx = ctx, .err = err};
    int rc = refresh(o, err);

    if (rc != 0 || o->oldest_us > before_us)
        return rc;
    return o->storage->ops->outbox_expirable(o->storage, before_us, OUTBOX_EXPIRE_ROWS, expire_one,
                                             &w, err);
}

int outbox_unpark(struct outbox *o, size_t *n, struct err *err)
{
    make_stale(o);
    return o->storage->ops->outbox_unpark(o->storage, n, err);
}

int outbox_list(struct outbox *o, outbox_fn *fn, void *ctx, struct err *err)
{
    struct walk w = {.o = o, .fn = fn, .ctx = ctx, .err = err};

    return o->storage->ops->outbox_list(o->storage, hand_out, &w, err);
}

/* ---- Health ---- */

static int count(struct outbox *o, enum outbox_state state, uint64_t *n,
                 char answer[OUTBOX_ANSWER_SIZE], struct err *err)
{
    return o->storage->ops->outbox_count(o->storage, state, n, answer, OUTBOX_ANSWER_SIZE, err);
}

/* Strangers may read why nothing is delivered, but no names of hosts inside. */
static void hide_network(char *reason)
{
    const size_t n = strlen(NO_ANSWER);

    if (strncmp(reason, NO_ANSWER ":", n + 1) == 0)
        reason[n] = '\0';
}

static int read_parked(struct outbox *o, struct err *err)
{
    char reason[OUTBOX_ANSWER_SIZE] = "";
    uint64_t n;
    int rc = count(o, OUTBOX_FAILED, &n, reason, err);

    o->health[0] = '\0';
    hide_network(reason);
    if (rc == 0 && n > 0)
        snprintf(o->health, sizeof o->health, "%" PRIu64 " %s kept: %s", n,
                 text_plural(n, "alert", "alerts"), reason);
    return rc;
}

static int read_late(struct outbox *o, int64_t since_us, struct err *err)
{
    char reason[OUTBOX_ANSWER_SIZE] = "", since[TIME_UTC_SIZE];
    uint64_t n;
    int rc = count(o, OUTBOX_WAITING, &n, reason, err);

    hide_network(reason);
    time_format_utc(since_us, since);
    if (rc == 0)
        snprintf(o->health, sizeof o->health, "%" PRIu64 " %s since %s: %s", n,
                 text_plural(n, "alert waits", "alerts wait"), since, reason);
    return rc;
}

static int read_health(struct outbox *o, int64_t now_us, struct err *err)
{
    int64_t since_us = INT64_MAX;
    int rc = read_parked(o, err);

    if (rc == 0)
        rc = refresh(o, err);
    if (rc != 0)
        return rc;
    o->health_until_us = INT64_MAX;
    for (size_t i = 0; i < o->n_heads; i++)
        if (o->heads[i].failing_us < since_us)
            since_us = o->heads[i].failing_us;
    if (since_us == INT64_MAX || o->health[0] != '\0')
        return 0;
    if (now_us - since_us >= OUTBOX_LATE_US)
        return read_late(o, since_us, err);
    o->health_until_us = since_us + OUTBOX_LATE_US;
    return 0;
}

int outbox_health(struct outbox *o, int64_t now_us, const char **text, struct err *err)
{
    int rc = now_us >= o->health_until_us ? read_health(o, now_us, err) : 0;

    if (rc != 0)
        o->health_until_us = INT64_MIN;
    *text = o->health;
    return rc;
}

int outbox_undelivered(struct outbox *o, uint64_t *n, struct err *err)
{
    char answer[OUTBOX_ANSWER_SIZE];
    uint64_t parked;
    int rc = count(o, OUTBOX_FAILED, &parked, answer, err);

    if (rc == 0)
        rc = count(o, OUTBOX_WAITING, n, answer, err);
    if (rc == 0)
        *n += parked;
    return rc;
}
