#include "common/queue/sender_impl.h"

#include "common/base/time.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    ACKS_PER_CALL = 1000,
    TRIM_RECORDS = 1000, /* acked records that are worth a transaction of their own at once */
    GOODBYE_LINGER_MS = 500,
};

/* ---- Opening ----------------------------------------------------------------------------------
 */

static int random_bytes(void *out, size_t n, struct err *err)
{
    if (getrandom(out, n, 0) != (ssize_t)n) /* up to 256 bytes come whole, random(7) */
        return err_set(err, ERR_IO, "no random bytes: %s", strerror(errno));
    return 0;
}

/* Reads who we are, and counts this start. */
static int count_start(struct sender *c, struct err *err)
{
    bool found;
    int rc = journal_get(c->journal, "sender.sender", c->sender, sizeof c->sender, &found, err);

    if (rc == 0 && !found)
        rc = random_bytes(c->sender, sizeof c->sender, err);
    if (rc == 0)
        rc = journal_put(c->journal, "sender.sender", c->sender, sizeof c->sender, err);
    if (rc == 0)
        rc = journal_get(c->journal, "sender.starts", &c->starts, sizeof c->starts, &found, err);
    c->starts++;
    if (rc == 0)
        rc = journal_put(c->journal, "sender.starts", &c->starts, sizeof c->starts, err);
    return rc;
}

/* Committed with a wait for the disk: a start's number that is used twice would make the alerter
 * drop new records as seen. */
static int begin_start(struct sender *c, struct err *err)
{
    int rc = journal_begin_synced(c->journal, err);

    if (rc != 0)
        return rc;
    rc = count_start(c, err);
    if (rc != 0) {
        journal_rollback(c->journal);
        return rc;
    }
    return journal_commit(c->journal, err);
}

static int find_place(struct sender *c, struct err *err)
{
    int64_t first = journal_first(c->journal);

    c->last = journal_last(c->journal);
    c->start_position = c->last + 1;
    c->acked = first == 0 ? c->last : first - 1;
    c->trimmed = c->sent = c->sent_ever = c->acked;
    return sender_sequence_at(c, c->acked + 1, &c->base, err);
}

int sender_open(const struct queue_options *options, struct journal *journal, int64_t now_us,
                struct sender **out, struct err *err)
{
    struct sender *c = calloc(1, sizeof *c);
    int rc;

    if (c == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the sender");
    c->journal = journal;
    c->patience_us = SENDER_RESEND_US;
    c->sent_us = now_us - SENDER_PING_US; /* ask at once */
    c->answer_us = c->progress_us = c->again_us = now_us;
    batch_init(&c->turn);
    batch_init(&c->read);
    buf_init(&c->packed, WIRE_MESSAGE_MAX);
    c->wire = wire_new();
    rc = c->wire == NULL ? err_set(err, ERR_NOMEM, "no memory for the sender") : 0;
    if (rc == 0)
        rc = queue_connect(options, now_us, &c->queue, err);
    if (rc == 0)
        rc = begin_start(c, err);
    if (rc == 0)
        rc = find_place(c, err);
    if (rc != 0) {
        sender_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void sender_close(struct sender *c)
{
    if (c == NULL)
        return;
    queue_close(c->queue);
    wire_free(c->wire);
    buf_close(&c->packed);
    batch_close(&c->read);
    batch_close(&c->turn);
    free(c);
}

/* ---- A turn -----------------------------------------------------------------------------------
 */

int sender_append(struct sender *c, struct wire_record *record, struct err *err)
{
    int64_t position = journal_last(c->journal) + 1, appended;
    int rc;

    memcpy(record->sender, c->sender, sizeof record->sender);
    record->sequence = sender_sequence_of(c->starts, position);
    buf_clear(&c->packed);
    rc = wire_pack_record(record, &c->packed);
    if (rc == ERR_NOMEM)
        return err_set(err, rc, "no memory to pack a record");
    if (rc != 0 || c->packed.len > WIRE_RECORD_MAX)
        return err_set(err, ERR_FULL, "a record of more than %d bytes (nothing that large is sent)",
                       WIRE_RECORD_MAX);
    rc = journal_append(c->journal, c->packed.data, c->packed.len, &appended, err);
    if (rc != 0)
        return rc;
    assert(appended == position);
    c->counts.appended++;
    /* Kept from the turn's beginning on without a gap, or not at all. */
    if (position == c->last + 1 + (int64_t)c->turn.n)
        (void)batch_add(&c->turn, position, record->sequence, c->packed.data, c->packed.len);
    return 0;
}

int sender_trim(struct sender *c, struct err *err)
{
    int rc;

    if (c->acked == c->trimmed)
        return 0;
    rc = journal_trim(c->journal, c->acked, err);
    if (rc == 0)
        c->trimming = c->acked;
    return rc;
}

bool sender_trim_due(const struct sender *c, int64_t now_us)
{
    return c->acked - c->trimmed >= TRIM_RECORDS ||
           (c->acked > c->trimmed && now_us - c->acked_us >= SENDER_TRIM_US);
}

int sender_push(struct sender *c, int64_t now_us, struct err *err)
{
    assert(!journal_in_transaction(c->journal));
    if (c->acked == c->last)
        c->progress_us = now_us;
    c->last = journal_last(c->journal);
    if (c->trimming != 0)
        c->trimmed = c->trimming;
    c->trimming = 0;
    if (c->turn.n > 0 && c->turn.position == c->sent + 1)
        (void)sender_send_batch(c, &c->turn, now_us);
    batch_clear(&c->turn);
    return sender_send_stored(c, now_us, err);
}

void sender_rollback(struct sender *c)
{
    batch_clear(&c->turn);
    c->trimming = 0;
}

int sender_receive(struct sender *c, int64_t now_us, struct err *err)
{
    const void *bytes;
    size_t n;
    int rc = 0;

    assert(!journal_in_transaction(c->journal));
    queue_tend(c->queue, now_us);
    for (int i = 0; i < ACKS_PER_CALL && rc == 0; i++) {
        if (queue_receive(c->queue, NULL, &bytes, &n) <= 0)
            break;
        rc = sender_take_ack(c, bytes, n, now_us, err);
    }
    if (c->epoch != queue_epoch(c->queue)) {
        c->epoch = queue_epoch(c->queue);
        c->sent_us = now_us - SENDER_PING_US;
        sender_go_back(c);
    }
    return rc != 0 ? rc : sender_send_stored(c, now_us, err);
}

int sender_timer(struct sender *c, int64_t now_us, struct err *err)
{
    int rc;

    if (c->n_flights > 0 && now_us >= c->resend_us) {
        c->counts.silences++;
        c->patience_us = 2 * c->patience_us;
        if (c->patience_us > SENDER_RESEND_MAX_US)
            c->patience_us = SENDER_RESEND_MAX_US;
        sender_go_back(c);
    }
    rc = sender_send_stored(c, now_us, err);
    c->writable = queue_writable(c->queue);
    if (rc == 0 && c->writable && c->n_flights == 0 && now_us - c->sent_us >= SENDER_PING_US) {
        (void)sender_send_empty(c, false, now_us);
        c->sent_us = now_us; /* also where it failed: that must not be tried without end */
    }
    return rc;
}

void sender_goodbye(struct sender *c)
{
    if (!c->said_goodbye && sender_send_empty(c, true, c->sent_us)) {
        c->said_goodbye = true;
        queue_linger(c->queue, GOODBYE_LINGER_MS);
    }
}

int sender_fd(const struct sender *c)
{
    return queue_fd(c->queue);
}

bool sender_pending(struct sender *c)
{
    return queue_pending(c->queue);
}

int64_t sender_wake_us(const struct sender *c)
{
    /* Without a connection nothing can be sent until the descriptor says so. */
    int64_t ping_us = c->writable ? c->sent_us + SENDER_PING_US : INT64_MAX;
    int64_t wake_us = c->n_flights > 0 ? c->resend_us : ping_us;
    int64_t trim_us = c->acked > c->trimmed ? c->acked_us + SENDER_TRIM_US : INT64_MAX;
    int64_t queue_us = queue_wake_us(c->queue);

    wake_us = wake_us < trim_us ? wake_us : trim_us;
    return wake_us < queue_us ? wake_us : queue_us;
}

uint64_t sender_waiting(const struct sender *c)
{
    return (uint64_t)(c->last - c->acked);
}

/* 1204 as "1,204". */
static void format_count(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = out;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
}

void sender_health(const struct sender *c, int64_t now_us, struct sender_health *out)
{
    int64_t silent_us = now_us - c->answer_us;
    char words[TIME_WORDS_SIZE], count[32];

    *out = (struct sender_health){.waiting = sender_waiting(c)};
    if (out->waiting > 0)
        out->waiting_us = now_us - c->progress_us;
    out->ok = c->answered && silent_us < SENDER_SILENCE_US && c->refused[0] == '\0';
    if (out->ok)
        return;
    format_count(out->waiting, count);
    time_format_words(silent_us / TIME_S * TIME_S, words);
    if (c->refused[0] != '\0')
        snprintf(out->reason, sizeof out->reason, "the alerter at %s refuses: %s, %s deliver%s",
                 queue_endpoint(c->queue), c->refused, count,
                 out->waiting == 1 ? "y waits" : "ies wait");
    else
        snprintf(out->reason, sizeof out->reason,
                 "no answer from the alerter at %s for %s, %s deliver%s", queue_endpoint(c->queue),
                 words, count, out->waiting == 1 ? "y waits" : "ies wait");
}

const char *sender_refused(const struct sender *c)
{
    return c->refused;
}

struct sender_counts sender_counts(const struct sender *c)
{
    return c->counts;
}
