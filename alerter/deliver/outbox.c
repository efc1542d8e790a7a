/* Keeps the outbox's order, its hand and its marks; the rows lie in the storage. Called by the
 * alerter's loop and by dispatch. */
#include "alerter/deliver/outbox.h"

#include "common/base/buf.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The oldest waiting message of a channel. */
struct outbox_head {
    int64_t row;
    int64_t next_us;
    char *channel;
};

/* A row that is being posted, or whose mark is not stored yet. */
struct outbox_in_hand {
    int64_t row;
    bool marked;
    bool saved; /* in the open transaction */
    struct outbox_mark mark;
    char answer[OUTBOX_ANSWER_SIZE];
};

struct outbox {
    struct storage *storage;
    struct wire *wire;
    struct buf packed;
    bool stale; /* heads and oldest_us must be read again */
    struct outbox_head *heads;
    size_t n_heads;
    size_t heads_cap;
    int64_t oldest_us; /* decision of the oldest that waits or is parked; INT64_MAX: none */
    struct outbox_in_hand *hand;
    size_t n_hand;
    size_t hand_cap;
};

/* Gives an array room for one more item. */
static int make_room(void **items, size_t n, size_t *cap, size_t size, struct err *err)
{
    size_t more = *cap == 0 ? 8 : 2 * *cap;
    void *grown;

    if (n < *cap)
        return 0;
    grown = realloc(*items, more * size);
    if (grown == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the outbox");
    *items = grown;
    *cap = more;
    return 0;
}

/* NULL: nobody has the row in hand. */
static struct outbox_in_hand *find_in_hand(const struct outbox *o, int64_t row)
{
    for (size_t i = 0; i < o->n_hand; i++)
        if (o->hand[i].row == row)
            return &o->hand[i];
    return NULL;
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
    o->stale = true;
    buf_init(&o->packed, WIRE_MESSAGE_MAX);
    *out = o;
    return 0;
}

static void clear_heads(struct outbox *o)
{
    while (o->n_heads > 0)
        free(o->heads[--o->n_heads].channel);
}

void outbox_close(struct outbox *o)
{
    if (o == NULL)
        return;
    wire_free(o->wire);
    buf_close(&o->packed);
    clear_heads(o);
    free(o->heads);
    free(o->hand);
    free(o);
}

/* Takes over the channel, which may be NULL: there was no memory for it. */
static int add_head(struct outbox *o, struct outbox_head head, struct err *err)
{
    void *heads = o->heads;
    int rc = head.channel == NULL ? err_set(err, ERR_NOMEM, "no memory for the outbox")
                                  : make_room(&heads, o->n_heads, &o->heads_cap, sizeof head, err);

    o->heads = heads;
    if (rc == 0)
        o->heads[o->n_heads++] = head;
    else
        free(head.channel);
    return rc;
}

/* What refresh would find after this row was put, without asking: an alert waits for it. */
static void note_put(struct outbox *o, int64_t row, const char *channel, int64_t decided_us)
{
    size_t i = 0;

    if (o->stale)
        return;
    while (i < o->n_heads && strcmp(o->heads[i].channel, channel) != 0)
        i++;
    if (i == o->n_heads)
        o->stale = add_head(o, (struct outbox_head){.row = row, .channel = strdup(channel)},
                            &(struct err){0}) != 0;
    if (decided_us < o->oldest_us)
        o->oldest_us = decided_us;
}

int outbox_put(struct outbox *o, const struct wire_alert *alert, int64_t *row, struct err *err)
{
    int64_t put;
    int rc;

    assert(alert->channel[0] != '\0');
    buf_clear(&o->packed);
    rc = wire_pack_alert(alert, &o->packed);
    if (rc != 0)
        return err_set(err, rc, "alert %s: cannot be packed: %s", alert->id,
                       rc == ERR_FULL ? "it is too large" : "out of memory");
    rc = storage_outbox_put(o->storage, alert->channel,
                            (struct wire_bytes){o->packed.data, o->packed.len}, alert->at_us, &put,
                            err);
    if (rc != 0)
        return rc;
    note_put(o, put, alert->channel, alert->at_us);
    if (row != NULL)
        *row = put;
    return 0;
}

/* ---- What waits -------------------------------------------------------------------------------
 */

static int compare_heads(const void *left, const void *right)
{
    const struct outbox_head *a = left, *b = right;

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
    struct outbox_head head = {
        .row = row->row, .next_us = row->next_try_us, .channel = strdup(row->channel)};

    return add_head(w->o, head, w->err);
}

static int refresh(struct outbox *o, struct err *err)
{
    int rc;

    if (!o->stale)
        return 0;
    clear_heads(o);
    rc = storage_outbox_heads(o->storage, read_head, &(struct walk){.o = o, .err = err}, err);
    if (o->n_heads > 1)
        qsort(o->heads, o->n_heads, sizeof *o->heads, compare_heads);
    if (rc == 0)
        rc = storage_outbox_oldest(o->storage, &o->oldest_us, err);
    o->stale = rc != 0;
    return rc;
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
                  .channel_last_us = row->channel_last_us},
    };
    rc = wire_unpack_alert(o->wire, row->alert.data, row->alert.len, &m->alert, err);
    m->readable = rc == 0;
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

int outbox_due(struct outbox *o, int64_t now_us, outbox_fn *fn, void *ctx, struct err *err)
{
    struct walk w = {.o = o, .fn = fn, .ctx = ctx, .err = err};
    int rc;

    assert(!storage_in_transaction(o->storage));
    rc = refresh(o, err);
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us <= now_us && find_in_hand(o, o->heads[i].row) == NULL)
            rc = storage_outbox_load(o->storage, o->heads[i].row, hand_out, &w, err);
    return rc;
}

int outbox_next_due(struct outbox *o, int64_t *due_us, struct err *err)
{
    int rc = refresh(o, err);

    *due_us = INT64_MAX;
    for (size_t i = 0; i < o->n_heads && rc == 0; i++)
        if (o->heads[i].next_us < *due_us && find_in_hand(o, o->heads[i].row) == NULL)
            *due_us = o->heads[i].next_us;
    return rc;
}

void outbox_defer(struct outbox *o, int64_t row, int64_t until_us)
{
    for (size_t i = 0; i < o->n_heads; i++)
        if (o->heads[i].row == row)
            o->heads[i].next_us = until_us;
}

/* ---- In hand ----------------------------------------------------------------------------------
 */

int outbox_hold(struct outbox *o, int64_t row, struct err *err)
{
    void *hand = o->hand;
    int rc;

    if (find_in_hand(o, row) != NULL)
        return 0;
    rc = make_room(&hand, o->n_hand, &o->hand_cap, sizeof *o->hand, err);
    o->hand = hand;
    if (rc == 0)
        o->hand[o->n_hand++] = (struct outbox_in_hand){.row = row};
    return rc;
}

void outbox_let_go(struct outbox *o, int64_t row)
{
    struct outbox_in_hand *h = find_in_hand(o, row);

    if (h != NULL)
        *h = o->hand[--o->n_hand];
}

int outbox_mark(struct outbox *o, int64_t row, const struct outbox_mark *mark, struct err *err)
{
    struct outbox_in_hand *h;
    int rc = outbox_hold(o, row, err);
    size_t n;

    if (rc != 0)
        return rc;
    h = find_in_hand(o, row);
    h->marked = true;
    h->saved = false;
    h->mark = *mark;
    h->mark.answer = NULL;
    n = text_cut(mark->answer, strlen(mark->answer), sizeof h->answer - 1);
    memcpy(h->answer, mark->answer, n);
    h->answer[n] = '\0';
    return 0;
}

bool outbox_unsaved(const struct outbox *o)
{
    for (size_t i = 0; i < o->n_hand; i++)
        if (o->hand[i].marked)
            return true;
    return false;
}

static int save_mark(struct outbox *o, const struct outbox_in_hand *h, struct err *err)
{
    const struct outbox_mark *m = &h->mark;

    if (m->state == OUTBOX_EXPIRED)
        return storage_outbox_mark_expired(o->storage, h->row, m->now_us, h->answer, err);
    return storage_outbox_mark(o->storage, h->row,
                               &(struct storage_outbox_mark){
                                   .state = m->state,
                                   .now_us = m->now_us,
                                   .retry_after_us = m->retry_after_us,
                                   .next_try_us = m->state == OUTBOX_WAITING ? m->next_try_us : 0,
                                   .ended_us = m->state == OUTBOX_DELIVERED ? m->now_us : 0,
                                   .answer = h->answer},
                               err);
}

static int save_marks(struct outbox *o, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < o->n_hand && rc == 0; i++) {
        struct outbox_in_hand *h = &o->hand[i];

        if (!h->marked || h->saved)
            continue;
        rc = save_mark(o, h, err);
        h->saved = rc == 0;
        o->stale = true;
    }
    return rc;
}

/* Forgets the marks that were committed; the others wait for the next commit. */
static void end(struct outbox *o, bool committed)
{
    size_t kept = 0;

    for (size_t i = 0; i < o->n_hand; i++) {
        struct outbox_in_hand *h = &o->hand[i];

        if (committed && h->saved)
            continue;
        h->saved = false;
        o->hand[kept++] = *h;
    }
    o->n_hand = kept;
    if (!committed)
        o->stale = true;
}

int outbox_commit(struct outbox *o, struct err *err)
{
    int rc = save_marks(o, err);

    if (rc == 0)
        rc = storage_commit(o->storage, err);
    else
        storage_rollback(o->storage);
    end(o, rc == 0);
    return rc;
}

void outbox_rollback(struct outbox *o)
{
    storage_rollback(o->storage);
    end(o, false);
}

/* ---- Many rows --------------------------------------------------------------------------------
 */

/* Marks a row as expired unless somebody has it in hand. */
static int expire_one(void *ctx, const struct storage_outbox_row *row)
{
    struct outbox_mark mark = {.state = OUTBOX_EXPIRED, .answer = ""};
    struct walk *w = ctx;
    int rc;

    if (find_in_hand(w->o, row->row) != NULL)
        return 0;
    mark.now_us = w->now_us;
    rc = outbox_mark(w->o, row->row, &mark, w->err);
    return rc != 0 ? rc : hand_out(w, row);
}

int outbox_expire(struct outbox *o, int64_t before_us, int64_t now_us, outbox_fn *fn, void *ctx,
                  struct err *err)
{
    struct walk w = {.o = o, .now_us = now_us, .fn = fn, .ctx = ctx, .err = err};
    int rc = refresh(o, err);

    if (rc != 0 || o->oldest_us > before_us)
        return rc;
    return storage_outbox_expirable(o->storage, before_us, OUTBOX_EXPIRE_ROWS, expire_one, &w, err);
}

int outbox_unpark(struct outbox *o, size_t *n, struct err *err)
{
    o->stale = true;
    return storage_outbox_unpark(o->storage, n, err);
}

int outbox_list(struct outbox *o, outbox_fn *fn, void *ctx, struct err *err)
{
    struct walk w = {.o = o, .fn = fn, .ctx = ctx, .err = err};

    return storage_outbox_list(o->storage, hand_out, &w, err);
}
