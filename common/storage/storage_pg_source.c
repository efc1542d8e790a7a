/* The alerter's pushes from the table inbox, where the ingests put them. Called by the receiver,
 * and by the turn, whose statement deletes the pushes that were taken. */
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/storage/storage_pg.h"

#include <string.h>

static const int64_t POLL_US = TIME_S; /* if no notification comes */
/* Behind a pool none can come. The pause grows with the time since the last push. */
static const int64_t POOLED_LEAST_US = 20 * TIME_MS;
static const int64_t POOLED_MOST_US = 250 * TIME_MS;
enum { POOLED_SHARE = 8 };
static const int64_t PAUSE_US = 50 * TIME_MS;

/* By sender and by index from the last taken push on: the first push of each sender, the one that
 * waits longest before the others, then the second of each, and so on up to $2 bytes. One sender
 * gets 1 MiB at most, so that it does not hold up the others. A first push that is larger than $2
 * is read in pieces. It is fenced, because an alerter that woke up would take another one's records
 * for its own. */
static const struct pg_statement read_inbox = {
    "inbox",
    "SELECT substr(t.body, 1, $2::int), t.sender, t.last, t.size FROM (SELECT p.*, "
    "sum(p.size) OVER (ORDER BY p.round, p.at, p.sender) AS total FROM (SELECT g.sender, "
    "coalesce(t.taken, 0) AS taken FROM ingests g LEFT JOIN senders t ON t.sender=g.sender WHERE "
    "EXISTS (SELECT FROM lease WHERE epoch=$1)) s CROSS JOIN LATERAL (SELECT w.* FROM (SELECT q.*, "
    "row_number() OVER r AS round, sum(q.size) OVER r AS upto FROM (SELECT i.sender, i.last, i.at, "
    "i.body, octet_length(i.body) AS size FROM inbox i WHERE i.sender=s.sender AND i.last>s.taken "
    "ORDER BY i.last LIMIT 64) q WINDOW r AS (ORDER BY q.last)) w "
    "WHERE w.upto-w.size<1048576) p) t WHERE t.total<=$2 OR t.total=t.size "
    "ORDER BY t.sender, t.last"};
static const struct pg_statement read_rest = {
    "inbox_piece", "SELECT substr(body, $3::int, $4::int) FROM inbox WHERE sender=$1 AND last=$2"};
static const struct pg_statement refuse = {
    "refuse", "WITH fence AS (UPDATE lease SET beat=beat+1 WHERE epoch=$1 AND beat=$2 RETURNING "
              "beat), s AS (INSERT INTO senders (sender, taken, seen_us, refused) "
              "SELECT $3::bytea, 0, 0, $4::text FROM fence ON CONFLICT (sender) DO UPDATE SET "
              "refused=excluded.refused) SELECT beat FROM fence"};

static bool is_readable(const struct storage_pg *st)
{
    return st->pg != NULL && st->role == STORAGE_ACTIVE && !st->is_stale;
}

/* ---- Pages ---- */

static bool is_used_up(const struct storage_pg_inbox *in)
{
    return in->rows == NULL || in->next >= pg_n_rows(in->rows);
}

/* The receiver may still work on the last push of a page that is replaced. */
static void replace_page(struct storage_pg_inbox *in, struct pg_rows *rows)
{
    if (in->is_handed) {
        pg_rows_free(in->held);
        in->held = in->rows;
    } else {
        pg_rows_free(in->rows);
    }
    in->rows = rows;
    in->next = 0;
    in->is_handed = false;
}

static void put_read(struct storage_pg *st)
{
    pg_args_clear(st->args);
    pg_put_i64(st->args, st->epoch);
    pg_put_i64(st->args, st->pace.bytes);
}

static int64_t poll_pause_us(const struct storage_pg *st)
{
    int64_t us = (st->now_us - st->inbox.found_us) / POOLED_SHARE;

    if (!storage_pg_is_pooled(st))
        return POLL_US;
    if (us < POOLED_LEAST_US)
        return POOLED_LEAST_US;
    return us < POOLED_MOST_US ? us : POOLED_MOST_US;
}

static void take_page(struct storage_pg *st, struct pg_rows *rows)
{
    struct storage_pg_inbox *in = &st->inbox;

    replace_page(in, rows);
    in->is_due = false;
    if (pg_n_rows(rows) > 0)
        in->found_us = st->now_us;
    in->poll_us = st->now_us + poll_pause_us(st);
}

static void read_now(struct storage_pg *st)
{
    struct pg_rows *rows;
    struct err err;

    put_read(st);
    if (storage_pg_run(st, &read_inbox, &rows, &err) != 0)
        return; /* if the connection ended, the next tend tells */
    take_page(st, rows);
}

int storage_pg_source_send(struct storage_pg *st, bool *sent, struct err *err)
{
    int rc;

    *sent = false;
    if (!st->inbox.is_open || !is_used_up(&st->inbox))
        return 0;
    put_read(st);
    rc = pg_send(st->pg, &read_inbox, st->args, err);
    *sent = rc == 0;
    return rc;
}

void storage_pg_source_receive(struct storage_pg *st)
{
    struct pg_rows *rows;
    struct err err;

    if (storage_pg_receive(st, &rows, &err) == 0)
        take_page(st, rows);
}

/* Appends the next piece of the push that is the page's next one. */
static int read_piece(struct storage_pg *st)
{
    const struct storage_pg_inbox *in = &st->inbox;
    const struct wire_bytes sender = pg_bytes(in->rows, in->next, 1);
    struct pg_rows *rows;
    struct err err;
    int rc;

    pg_args_clear(st->args);
    pg_put_bytes(st->args, sender.data, sender.len);
    pg_put_i64(st->args, pg_i64(in->rows, in->next, 2));
    pg_put_i64(st->args, (int64_t)in->whole.len + 1);
    pg_put_i64(st->args, st->pace.bytes);
    rc = storage_pg_run_page(st, &read_rest, &rows, &err);
    if (rc == 0 && (pg_n_rows(rows) == 0 || pg_bytes(rows, 0, 0).len == 0))
        rc = ERR_AWAY; /* another alerter took it */
    if (rc == 0)
        rc = buf_append(&st->inbox.whole, pg_bytes(rows, 0, 0).data, pg_bytes(rows, 0, 0).len);
    pg_rows_free(rows);
    return rc;
}

/* The page's next push, of which it may hold only the beginning. */
static int read_push(struct storage_pg *st, struct wire_bytes *push)
{
    struct storage_pg_inbox *in = &st->inbox;
    const size_t length = (size_t)pg_i64(in->rows, in->next, 3);
    int rc;

    *push = pg_bytes(in->rows, in->next, 0);
    if (push->len >= length)
        return 0;
    buf_clear(&in->whole);
    rc = buf_append(&in->whole, push->data, push->len);
    while (rc == 0 && in->whole.len < length)
        rc = read_piece(st);
    *push = (struct wire_bytes){in->whole.data, in->whole.len};
    return rc;
}

void storage_pg_source_drop(struct storage_pg *st)
{
    replace_page(&st->inbox, NULL);
    st->inbox.is_due = true;
}

void storage_pg_source_notify(struct storage_pg *st)
{
    st->inbox.is_due = true;
}

int64_t storage_pg_source_wake_us(const struct storage_pg *st)
{
    if (!st->inbox.is_open || !is_readable(st))
        return INT64_MAX;
    /* A read that was due at the last step did not happen: the turns pause. */
    return st->inbox.poll_us > st->now_us ? st->inbox.poll_us : st->now_us + PAUSE_US;
}

/* ---- The functions of the table ---- */

static struct storage_pg *of(const struct source *s)
{
    return ((const struct storage_pg_inbox *)s)->st;
}

static int source_fd(const struct source *s)
{
    return storage_pg_fd(&of(s)->tables.storage);
}

static bool source_pending(struct source *s)
{
    struct storage_pg *st = of(s);

    /* A notification that came with an answer does not make the descriptor readable. */
    if (st->pg != NULL && pg_notified(st->pg))
        storage_pg_source_notify(st);
    return is_readable(st) && (!is_used_up(&st->inbox) || st->inbox.is_due);
}

/* A new turn begins, so the pushes of the one before are committed. */
static void source_tend(struct source *s, int64_t now_us)
{
    (void)now_us; /* of another clock than storage_tend's */
    of(s)->inbox.is_read = false;
}

static int source_receive(struct source *s, struct source_peer *peer, struct wire_bytes *push)
{
    struct storage_pg *st = of(s);
    struct storage_pg_inbox *in = &st->inbox;

    peer->len = 0;
    if (!is_readable(st))
        return 0;
    if (is_used_up(in) && !in->is_read && (in->is_due || st->now_us >= in->poll_us))
        read_now(st);
    if (is_used_up(in))
        return 0;
    if (read_push(st, push) != 0) {
        storage_pg_source_drop(st);
        return 0;
    }
    in->next++;
    st->deleted_bytes[STORAGE_PG_INBOX] += (int64_t)push->len;
    in->is_read = in->is_handed = true;
    pg_rows_free(in->held);
    in->held = NULL;
    return 1;
}

/* The next turn or beat writes it where the ingests look. */
static void source_tell(struct source *s, const char *trouble)
{
    struct storage_pg *st = of(s);

    text_copy_printable(st->trouble, sizeof st->trouble, trouble);
}

/* The turn has deleted the pushes, and the ingests ask for that. They also read why a sender's
 * records are refused. */
static void source_ack(struct source *s, const struct source_peer *peer, const struct wire_ack *ack)
{
    struct storage_pg *st = of(s);
    char refused[STORAGE_PG_TROUBLE_SIZE];
    struct err err;

    (void)peer;
    text_copy_printable(refused, sizeof refused, ack->refused);
    if (ack->refused[0] == '\0' || !is_readable(st))
        return;
    storage_pg_fence(st);
    pg_put_bytes(st->args, ack->sender, WIRE_SENDER_BYTES);
    pg_put_text(st->args, refused);
    (void)storage_pg_run_fenced(st, &refuse, &err);
}

static uint64_t source_strangers(const struct source *s)
{
    (void)s;
    return 0;
}

static void source_close(struct source *s)
{
    struct storage_pg_inbox *in = &of(s)->inbox;

    in->is_open = false;
    pg_rows_free(in->rows);
    pg_rows_free(in->held);
    in->rows = in->held = NULL;
    in->is_handed = false;
}

struct source *storage_pg_source(struct storage *s)
{
    static const struct source_ops ops = {
        .fd = source_fd,
        .pending = source_pending,
        .tend = source_tend,
        .tell = source_tell,
        .receive = source_receive,
        .ack = source_ack,
        .strangers = source_strangers,
        .close = source_close,
    };
    struct storage_pg *st = storage_pg_of(s);

    st->inbox.base.ops = &ops;
    st->inbox.st = st;
    st->inbox.is_open = st->inbox.is_due = true;
    return &st->inbox.base;
}
