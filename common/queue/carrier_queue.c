/* Sends pushes through a DEALER and takes acks from it; called by the sender. */
#include "common/queue/carrier_queue.h"

#include <stdio.h>
#include <stdlib.h>

enum { GOODBYE_LINGER_MS = 500 };

struct carrier_queue {
    struct carrier base;
    struct queue *queue;
    struct wire *wire; /* of the last ack */
};

static struct carrier_queue *of(struct carrier *c)
{
    return (struct carrier_queue *)c;
}

static struct queue *queue_of(const struct carrier *c)
{
    return ((const struct carrier_queue *)c)->queue;
}

static int get_fd(const struct carrier *c)
{
    return queue_fd(queue_of(c));
}

static bool is_pending(struct carrier *c)
{
    return queue_pending(queue_of(c));
}

static int64_t wake_us(const struct carrier *c)
{
    return queue_wake_us(queue_of(c));
}

static void tend(struct carrier *c, int64_t now_us)
{
    queue_tend(queue_of(c), now_us);
    snprintf(c->last.text, sizeof c->last.text, "%s", queue_distrust(queue_of(c)));
}

static int send_push(struct carrier *c, const struct wire_push *push, struct wire_bytes packed)
{
    int rc = queue_send(queue_of(c), NULL, packed.data, packed.len);

    if (rc == 0 && push->goodbye)
        queue_linger(queue_of(c), GOODBYE_LINGER_MS);
    return rc;
}

static bool is_writable(struct carrier *c)
{
    return queue_writable(queue_of(c));
}

static int receive(struct carrier *c, struct wire_ack *ack)
{
    const void *bytes;
    struct err err;
    size_t n;

    if (queue_receive(queue_of(c), NULL, &bytes, &n) <= 0)
        return 0;
    return wire_unpack_ack(of(c)->wire, bytes, n, ack, &err) == 0 ? 1 : ERR_INPUT;
}

static uint64_t get_epoch(const struct carrier *c)
{
    return queue_epoch(queue_of(c));
}

static bool is_away(const struct carrier *c)
{
    return !queue_is_up(queue_of(c));
}

static const char *no_fault(const struct carrier *c)
{
    (void)c;
    return "";
}

static int64_t never_idle(const struct carrier *c, int64_t now_us)
{
    (void)c, (void)now_us;
    return 0;
}

static void close_carrier(struct carrier *c)
{
    queue_close(queue_of(c));
    wire_free(of(c)->wire);
    free(c);
}

static const struct carrier_ops ops = {
    .fd = get_fd,
    .pending = is_pending,
    .wake_us = wake_us,
    .tend = tend,
    .send = send_push,
    .writable = is_writable,
    .receive = receive,
    .epoch = get_epoch,
    .is_away = is_away,
    .fault = no_fault,
    .idle_us = never_idle,
    .close = close_carrier,
};

int carrier_queue_open(const struct queue_options *options, int64_t now_us, struct carrier **out,
                       struct err *err)
{
    struct carrier_queue *c = calloc(1, sizeof *c);
    int rc = 0;

    if (c != NULL)
        c->wire = wire_new();
    if (c == NULL || c->wire == NULL)
        rc = err_set(err, ERR_NOMEM, "no memory for the sender");
    if (rc == 0)
        rc = queue_connect(options, now_us, &c->queue, err);
    if (rc != 0) {
        if (c != NULL)
            close_carrier(&c->base);
        return rc;
    }
    c->base = (struct carrier){.ops = &ops,
                               .alerter = "the alerter",
                               .peer = "the alerter",
                               .address = queue_endpoint(c->queue)};
    *out = &c->base;
    return 0;
}
