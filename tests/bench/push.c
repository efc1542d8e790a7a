/* Acts as an ingest that has much to send: records of one match each, so many in a push, as fast as
 * they are acked.
 *
 *     push (ENDPOINT | DATABASE_URL SCHEMA) COUNT RECORDS
 *
 * The matches are of a shipped rule. Ends when all COUNT records are acked, by the alerter or by
 * the database. */
#include "common/app/clock.h"
#include "common/base/buf.h"
#include "common/queue/carrier.h"
#include "common/queue/pg_jobs.h"
#include "common/queue/queue.h"
#include "tests/bench/lines.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS_MAX = 1000, SAMPLES = 1000, FLIGHT_RECORDS = 4096, WAIT_MS = 10 };
static const int64_t INBOX_BYTES = 256 << 20;

struct load {
    struct carrier *carrier;
    uint64_t sent, acked, count;
    size_t n; /* records in a push */
    uint64_t epoch;
    struct buf records[RECORDS_MAX];
    struct buf packed;
    char samples[SAMPLES][LINES_MAX]; /* more than a compressor looks back at */
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "push: %s\n", what);
    exit(1);
}

static void pack_record(const struct load *l, uint64_t sequence, struct buf *out)
{
    const char *sample = l->samples[sequence % SAMPLES];
    const int64_t now_us = clock_wall_us();
    const struct wire_matches matches = {
        .rule = "h12-request-timeout",
        .source = "heroku",
        .process = "router",
        .times_us = &now_us,
        .n_times = 1,
        .sample = {(const uint8_t *)sample, strlen(sample)},
    };
    char frame[64];
    struct wire_record record = {
        .sequence = sequence,
        .received_us = now_us,
        .drain = "d.01234567-89ab-cdef-0123-456789abcdef",
        .frame_id = frame,
        .lines = 100,
        .bytes = 20000,
        .matches = &matches,
        .n_matches = 1,
    };

    snprintf(frame, sizeof frame, "%016" PRIX64 "%016" PRIX64, (uint64_t)getpid(), sequence);
    memcpy(record.sender, l->carrier->sender, sizeof record.sender);
    buf_clear(out);
    if (wire_pack_record(&record, out) != 0)
        fail("out of memory");
}

static bool send_push(struct load *l)
{
    struct wire_bytes records[RECORDS_MAX];
    struct wire_push push = {
        .oldest = 1, .first = l->sent + 1, .records = records, .n_records = l->n};

    for (size_t i = 0; i < l->n; i++) {
        pack_record(l, push.first + i, &l->records[i]);
        records[i] = (struct wire_bytes){l->records[i].data, l->records[i].len};
    }
    memcpy(push.sender, l->carrier->sender, sizeof push.sender);
    buf_clear(&l->packed);
    if (wire_pack_push(&push, &l->packed) != 0)
        fail("out of memory");
    return l->carrier->ops->send(l->carrier, &push,
                                 (struct wire_bytes){l->packed.data, l->packed.len}) == 0;
}

static void turn(struct load *l)
{
    struct carrier *c = l->carrier;
    struct wire_ack ack;

    c->ops->tend(c, clock_boot_us());
    while (c->ops->receive(c, &ack) == 1)
        l->acked = ack.taken;
    if (c->ops->epoch(c) != l->epoch) {
        l->epoch = c->ops->epoch(c);
        l->sent = l->acked;
    }
    while (l->sent < l->count && l->sent - l->acked < FLIGHT_RECORDS && c->ops->writable(c)) {
        if (!send_push(l))
            break;
        l->sent += l->n;
    }
}

static void wait_for_carrier(const struct load *l)
{
    struct carrier *c = l->carrier;
    struct pollfd fd = {.fd = c->ops->fd(c), .events = POLLIN};

    if (!c->ops->pending(c))
        poll(&fd, 1, WAIT_MS);
}

static void write_samples(struct load *l)
{
    struct lines lines = {.state = 5};
    char line[LINES_MAX];

    for (size_t i = 0; i < SAMPLES; i++) {
        line[lines_write(&lines, LINES_H12, LINES_PRINTED, clock_wall_us(), 0, line) - 1] = '\0';
        snprintf(l->samples[i], LINES_MAX, "%s", strstr(line, "at=error"));
    }
}

static void begin(struct load *l, int argc, char **argv)
{
    bool is_queue = argc == 4;
    const struct queue_options queue = {.endpoint = is_queue ? argv[1] : NULL};
    const struct pg_jobs_options database = {.url = argv[1],
                                             .schema = is_queue ? NULL : argv[2],
                                             .name = "push",
                                             .inbox_max_bytes = INBOX_BYTES};
    struct err err;
    int64_t now_us = clock_wall_us();

    l->count = strtoull(argv[argc - 2], NULL, 10);
    l->n = strtoul(argv[argc - 1], NULL, 10);
    if (l->n == 0 || l->n > RECORDS_MAX || l->count % l->n != 0)
        fail("COUNT must be a multiple of RECORDS, which may be up to 1000");
    if (carrier_open(&queue, &database, clock_boot_us(), &l->carrier, &err) != 0)
        fail(err.text);
    memcpy(l->carrier->sender, &now_us, sizeof now_us);
    write_samples(l);
    buf_init(&l->packed, WIRE_MESSAGE_MAX);
    for (size_t i = 0; i < l->n; i++)
        buf_init(&l->records[i], WIRE_RECORD_MAX);
}

int main(int argc, char **argv)
{
    static struct load load;

    if (argc != 4 && argc != 5)
        fail("usage: push (ENDPOINT | DATABASE_URL SCHEMA) COUNT RECORDS");
    begin(&load, argc, argv);
    while (load.acked < load.count) {
        turn(&load);
        wait_for_carrier(&load);
    }
    load.carrier->ops->close(load.carrier);
    return 0;
}
