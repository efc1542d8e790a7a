/* Empties a database's inbox before it takes pushes over the queue; called by the receiver. */
#include "common/queue/source_both.h"

#include <stdlib.h>

struct source_both {
    struct source base;
    struct source *inbox;
    struct source *queue;
    bool has_come;  /* something from the inbox, in this turn */
    bool was_empty; /* the inbox, once */
};

static struct source_both *of(struct source *s)
{
    return (struct source_both *)s;
}

static const struct source *queue_of(const struct source *s)
{
    return ((const struct source_both *)s)->queue;
}

static int get_fd(const struct source *s)
{
    return queue_of(s)->ops->fd(queue_of(s));
}

static bool is_pending(struct source *s)
{
    struct source_both *b = of(s);

    return b->inbox->ops->pending(b->inbox) || b->queue->ops->pending(b->queue);
}

static void tend(struct source *s, int64_t now_us)
{
    struct source_both *b = of(s);

    b->has_come = false;
    b->inbox->ops->tend(b->inbox, now_us);
    b->queue->ops->tend(b->queue, now_us);
}

static int receive(struct source *s, struct source_peer *peer, struct wire_bytes *push)
{
    struct source_both *b = of(s);
    int rc = b->inbox->ops->receive(b->inbox, peer, push);

    b->has_come = b->has_come || rc != 0;
    if (rc == 0 && !b->has_come && !b->inbox->ops->pending(b->inbox))
        b->was_empty = true;
    return rc == 0 && b->was_empty ? b->queue->ops->receive(b->queue, peer, push) : rc;
}

/* A peer of the inbox has no name. */
static void send_ack(struct source *s, const struct source_peer *peer, const struct wire_ack *ack)
{
    struct source *to = peer->len == 0 ? of(s)->inbox : of(s)->queue;

    to->ops->ack(to, peer, ack);
}

static void tell(struct source *s, const char *trouble)
{
    of(s)->inbox->ops->tell(of(s)->inbox, trouble);
}

static uint64_t count_strangers(const struct source *s)
{
    return queue_of(s)->ops->strangers(queue_of(s));
}

static void close_source(struct source *s)
{
    struct source_both *b = of(s);

    b->inbox->ops->close(b->inbox);
    b->queue->ops->close(b->queue);
    free(b);
}

static const struct source_ops ops = {
    .fd = get_fd,
    .pending = is_pending,
    .tend = tend,
    .receive = receive,
    .ack = send_ack,
    .tell = tell,
    .strangers = count_strangers,
    .close = close_source,
};

int source_both_open(struct source *inbox, struct source *queue, struct source **out,
                     struct err *err)
{
    struct source_both *b = calloc(1, sizeof *b);

    if (b == NULL) {
        inbox->ops->close(inbox);
        queue->ops->close(queue);
        return err_set(err, ERR_NOMEM, "no memory for the receiver");
    }
    *b = (struct source_both){.base = {.ops = &ops}, .inbox = inbox, .queue = queue};
    *out = &b->base;
    return 0;
}
