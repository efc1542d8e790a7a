/* Takes pushes from a ROUTER and sends acks through it; called by the receiver. */
#include "common/queue/source_queue.h"

#include "common/base/buf.h"

#include <stdlib.h>

struct source_queue {
    struct source base;
    struct queue *queue;
    struct buf packed; /* an ack */
};

static struct source_queue *of(struct source *s)
{
    return (struct source_queue *)s;
}

static int get_fd(const struct source *s)
{
    return queue_fd(((const struct source_queue *)s)->queue);
}

static bool is_pending(struct source *s)
{
    return queue_pending(of(s)->queue);
}

static void tend(struct source *s, int64_t now_us)
{
    queue_tend(of(s)->queue, now_us);
}

static int receive(struct source *s, struct source_peer *peer, struct wire_bytes *push)
{
    const void *bytes;
    int rc = queue_receive(of(s)->queue, peer, &bytes, &push->len);

    if (rc > 0)
        push->data = bytes;
    return rc;
}

static void send_ack(struct source *s, const struct source_peer *peer, const struct wire_ack *ack)
{
    struct source_queue *q = of(s);

    buf_clear(&q->packed);
    if (wire_pack_ack(ack, &q->packed) == 0)
        (void)queue_send(q->queue, peer, q->packed.data, q->packed.len);
}

static uint64_t count_strangers(const struct source *s)
{
    return queue_failed(((const struct source_queue *)s)->queue);
}

static void close_source(struct source *s)
{
    struct source_queue *q = of(s);

    queue_close(q->queue);
    buf_close(&q->packed);
    free(q);
}

static const struct source_ops ops = {
    .fd = get_fd,
    .pending = is_pending,
    .tend = tend,
    .receive = receive,
    .ack = send_ack,
    .strangers = count_strangers,
    .close = close_source,
};

int source_queue_open(const struct queue_options *options, struct source **out, struct err *err)
{
    struct source_queue *q = calloc(1, sizeof *q);
    int rc;

    if (q == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the receiver");
    q->base.ops = &ops;
    buf_init(&q->packed, WIRE_MESSAGE_MAX);
    rc = queue_bind(options, &q->queue, err);
    if (rc != 0) {
        close_source(&q->base);
        return rc;
    }
    *out = &q->base;
    return 0;
}
