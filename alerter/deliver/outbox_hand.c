/* The half of the outbox that keeps what is being posted, and the marks until they are stored. */
#include "alerter/deliver/outbox_impl.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

int outbox_make_room(void **items, size_t n, size_t *cap, size_t size, struct err *err)
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

struct outbox_in_hand *outbox_find_in_hand(const struct outbox *o, int64_t row)
{
    for (size_t i = 0; i < o->n_hand; i++)
        if (o->hand[i].row == row)
            return &o->hand[i];
    return NULL;
}

int outbox_hold(struct outbox *o, int64_t row, struct err *err)
{
    void *hand = o->hand;
    int rc;

    if (outbox_find_in_hand(o, row) != NULL)
        return 0;
    rc = outbox_make_room(&hand, o->n_hand, &o->hand_cap, sizeof *o->hand, err);
    o->hand = hand;
    if (rc == 0)
        o->hand[o->n_hand++] = (struct outbox_in_hand){.row = row};
    return rc;
}

void outbox_let_go(struct outbox *o, int64_t row)
{
    struct outbox_in_hand *h = outbox_find_in_hand(o, row);

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
    h = outbox_find_in_hand(o, row);
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

static bool is_over(enum outbox_state state)
{
    return state == OUTBOX_DELIVERED || state == OUTBOX_EXPIRED;
}

static int save_try(struct outbox *o, const struct outbox_in_hand *h, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_MARK];
    int rc;

    sqlite3_bind_int64(stmt, 1, h->row);
    sqlite3_bind_int(stmt, 2, (int)h->mark.state);
    sqlite3_bind_int64(stmt, 3, h->mark.now_us);
    sqlite3_bind_int64(stmt, 4, h->mark.retry_after_us);
    sqlite3_bind_int64(stmt, 5, h->mark.state == OUTBOX_WAITING ? h->mark.next_try_us : 0);
    sqlite3_bind_int64(stmt, 6, is_over(h->mark.state) ? h->mark.now_us : 0);
    sqlite3_bind_text(stmt, 7, h->answer, -1, SQLITE_STATIC);
    rc = journal_run(o->journal, stmt, "cannot note a try", err);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(o->stmts[OUTBOX_STMT_MARK_CHANNEL], 1, h->row);
    sqlite3_bind_int64(o->stmts[OUTBOX_STMT_MARK_CHANNEL], 2, h->mark.now_us);
    return journal_run(o->journal, o->stmts[OUTBOX_STMT_MARK_CHANNEL], "cannot note a try", err);
}

static int save_expired(struct outbox *o, const struct outbox_in_hand *h, struct err *err)
{
    sqlite3_stmt *stmt = o->stmts[OUTBOX_STMT_MARK_EXPIRED];

    sqlite3_bind_int64(stmt, 1, h->row);
    sqlite3_bind_int(stmt, 2, (int)h->mark.state);
    sqlite3_bind_int64(stmt, 3, h->mark.now_us);
    sqlite3_bind_text(stmt, 4, h->answer, -1, SQLITE_STATIC);
    return journal_run(o->journal, stmt, "cannot note that an alert expired", err);
}

int outbox_save(struct outbox *o, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < o->n_hand && rc == 0; i++) {
        struct outbox_in_hand *h = &o->hand[i];

        if (!h->marked || h->saved)
            continue;
        rc = h->mark.state == OUTBOX_EXPIRED ? save_expired(o, h, err) : save_try(o, h, err);
        h->saved = rc == 0;
        o->stale = true;
    }
    return rc;
}

void outbox_ended(struct outbox *o, bool committed)
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
