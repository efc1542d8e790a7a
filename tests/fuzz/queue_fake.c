/* The functions of queue.h without sockets; linked into fuzz_receiver and fuzz_sender. */
#include "tests/fuzz/queue_fake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct message {
    void *bytes;
    size_t n;
};

struct queue {
    queue_fake_fn *on_sent;
    void *ctx;
    struct message waiting[QUEUE_FAKE_MAX]; /* the oldest first */
    size_t n;
    struct message last;
    int refuses;
    uint64_t epoch;
};

static struct queue fake;

void queue_fake_begin(queue_fake_fn *on_sent, void *ctx)
{
    for (size_t i = 0; i < fake.n; i++)
        free(fake.waiting[i].bytes);
    free(fake.last.bytes);
    fake = (struct queue){.on_sent = on_sent, .ctx = ctx};
}

void queue_fake_put(const void *bytes, size_t n)
{
    struct message *m = &fake.waiting[fake.n];

    if (fake.n == QUEUE_FAKE_MAX)
        return;
    *m = (struct message){malloc(n > 0 ? n : 1), n};
    assert(m->bytes != NULL);
    memcpy(m->bytes, bytes, n);
    fake.n++;
}

const void *queue_fake_last(size_t *n)
{
    *n = fake.last.n;
    return fake.last.bytes;
}

void queue_fake_refuse(int rc)
{
    fake.refuses = rc;
}

void queue_fake_reconnect(void)
{
    fake.epoch++;
}

int queue_bind(const struct queue_options *options, struct queue **out, struct err *err)
{
    (void)options, (void)err;
    *out = &fake;
    return 0;
}

int queue_connect(const struct queue_options *options, int64_t now_us, struct queue **out,
                  struct err *err)
{
    (void)now_us;
    return queue_bind(options, out, err);
}

int queue_check_endpoint(const char *endpoint, struct err *err)
{
    (void)endpoint, (void)err;
    return 0;
}

void queue_close(struct queue *q)
{
    (void)q;
}

int queue_fd(const struct queue *q)
{
    (void)q;
    return -1;
}

bool queue_pending(struct queue *q)
{
    return q->n > 0;
}

void queue_tend(struct queue *q, int64_t now_us)
{
    (void)q, (void)now_us;
}

int64_t queue_wake_us(const struct queue *q)
{
    (void)q;
    return INT64_MAX;
}

int queue_send(struct queue *q, const struct source_peer *peer, const void *bytes, size_t n)
{
    (void)peer;
    if (q->refuses == 0)
        q->on_sent(q->ctx, bytes, n);
    return q->refuses;
}

int queue_receive(struct queue *q, struct source_peer *peer, const void **bytes, size_t *n)
{
    if (q->n == 0)
        return 0;
    free(q->last.bytes); /* valid until this call */
    q->last = q->waiting[0];
    q->n--;
    memmove(q->waiting, q->waiting + 1, q->n * sizeof *q->waiting);
    if (peer != NULL)
        *peer = (struct source_peer){.len = 1};
    *bytes = q->last.bytes;
    *n = q->last.n;
    return 1;
}

uint64_t queue_epoch(const struct queue *q)
{
    return q->epoch;
}

bool queue_writable(struct queue *q)
{
    return q->refuses == 0;
}

bool queue_is_up(const struct queue *q)
{
    return q->refuses == 0;
}

void queue_linger(struct queue *q, int ms)
{
    (void)q, (void)ms;
}

uint64_t queue_failed(const struct queue *q)
{
    (void)q;
    return 0;
}

const char *queue_distrust(const struct queue *q)
{
    (void)q;
    return "";
}

const char *queue_endpoint(const struct queue *q)
{
    (void)q;
    return "ipc://fake";
}
