/* Turns the structs that cross the queue or lie in a journal into protobuf bytes and back.
 *
 * No generated type leaves this module. A struct to be packed borrows its pointers from the caller.
 * An unpacked one borrows them from its `struct wire` and is valid until the next unpack with it.
 * Text is terminated and holds no zero byte. Text to be packed must be UTF-8
 * (text_append_printable makes it so), or readers refuse the message. A sample may be any bytes;
 * reading cuts it to WIRE_SAMPLE_MAX. Pure. */
#ifndef DRAINWATCH_COMMON_RECORD_WIRE_H
#define DRAINWATCH_COMMON_RECORD_WIRE_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_VERSION = 1, /* this build writes it and reads none newer */
    WIRE_SENDER_BYTES = 16,
    WIRE_SEQUENCE_BITS = 40,    /* a sequence is (starts << 40) + n; n goes on over all starts */
    WIRE_SAMPLE_MAX = 1000,     /* bytes of a sample line */
    WIRE_GROUP_MAX = 4,         /* pairs of a group: as many as a rule's group_by has keys */
    WIRE_GROUP_TEXT_MAX = 1024, /* bytes of a key or a value among a record's matches */
    WIRE_MENTIONS_MAX = 32,     /* of an alert */
    WIRE_WORST_MAX = 5,         /* groups that a digest names */
    WIRE_BY_APP_MAX = 5,        /* apps of which it tells the withheld alerts */
    WIRE_MESSAGE_MAX = 2 << 20, /* bytes of one packed message; larger ones are refused unread */
    WIRE_RECORD_MAX = WIRE_MESSAGE_MAX - 256, /* of a packed record, so that a push can hold it */
    WIRE_ENTRY_MAX = 512 << 20, /* of an entry: a snapshot is as large as the engine's state, and
                                   comes from our own file */
    WIRE_MEMORY_MAX = 32 << 20, /* bytes that unpacking one message may take: 2 MB of empty
                                   submessages would take 160 MB */
    WIRE_ID_SIZE = 17,          /* an alert's id and a zero */
};

struct wire_bytes {
    const uint8_t *data;
    size_t len;
};

/* A pair of a group. */
struct wire_group {
    const char *key;
    const char *value;
};

/* The matches of one rule in lines of one source, process and group. */
struct wire_matches {
    const char *rule;
    const char *source;
    const char *process;
    const int64_t *times_us; /* event times, in the order of the lines */
    size_t n_times;
    struct wire_bytes sample;
    const struct wire_group *group; /* for each key of the rule's group_by but "process" */
    size_t n_group;
};

struct wire_record {
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t sequence;
    int64_t received_us;
    const char *drain;
    const char *frame_id; /* "" if there was none */
    uint64_t lines;
    uint64_t bytes;
    uint64_t malformed;
    uint64_t lost;
    bool count_differs;
    const struct wire_matches *matches;
    size_t n_matches;
};

struct wire_push {
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t oldest;
    uint64_t first; /* the sequence of the first record; they rise by one */
    const struct wire_bytes *records;
    size_t n_records;
    bool goodbye;
    uint64_t acked; /* by the last ack that the sender heard, if acked records may get lost; or 0 */
};

struct wire_ack {
    uint8_t sender[WIRE_SENDER_BYTES];
    uint64_t taken;
    const char *refused; /* why the next record is refused; "" if it is not */
    bool again;          /* a record did not follow `taken`: resend all after it */
    const char *trouble; /* why alerts are not delivered, "" if they are; NULL is packed as "" */
};

enum wire_input {
    WIRE_INPUT_NONE, /* of a kind that a newer build added */
    WIRE_INPUT_RECORD,
    WIRE_INPUT_RULES,
    WIRE_INPUT_SNAPSHOT,
    WIRE_INPUT_TICK, /* without bytes */
};

struct wire_entry {
    int64_t step_us;
    enum wire_input input;
    struct wire_bytes bytes; /* the record, the rules' text, or the snapshot */
};

/* A group that a digest names. */
struct wire_worst {
    const char *app;
    const struct wire_group *group;
    size_t n_group;
    uint64_t count;
};

struct wire_withheld {
    const char *app;
    uint64_t alerts;
};

#define WIRE_BREACH "breach"
#define WIRE_DIGEST "digest" /* of a rule's alerts beyond its budget of messages */

struct wire_alert {
    char id[WIRE_ID_SIZE];
    const char *kind; /* WIRE_BREACH or WIRE_DIGEST */
    const char *rule;
    const char *app; /* "": a digest of several */
    const struct wire_group *group;
    size_t n_group;
    int64_t at_us;
    uint64_t count; /* matches: of the window, or of all alerts in a digest */
    bool at_least;
    bool about;
    bool arrived_late; /* first_us and last_us may be arrival times of late lines */
    int64_t window_us;
    uint64_t threshold;
    uint64_t suppressed;
    int64_t first_us;
    int64_t last_us;
    const char *title;
    const char *runbook; /* "" if the rule has none */
    const char *channel;
    const char *source;
    const char *process;
    struct wire_bytes sample;
    const char *const *mentions; /* "here", "channel", "everyone", or a Slack id */
    size_t n_mentions;
    const char *severity; /* "" if the rule has none; NULL is packed as "" */
    /* The rest is a digest's. */
    uint64_t withheld; /* alerts that got no message of their own */
    uint64_t groups;   /* of them: app and group, each once */
    uint64_t apps;     /* of them; 0: an older build did not count them */
    int64_t period_us; /* the time that it covers */
    const struct wire_worst
        *worst; /* with the highest counts; each app has one before any a second */
    size_t n_worst;
    const struct wire_withheld *by_app; /* those with the most withheld alerts, the most first */
    size_t n_by_app;                    /* 0: an older build did not tell */
};

/* A digest always names a group, and no other alert does. */
static inline bool wire_is_digest(const struct wire_alert *alert)
{
    return alert->n_worst > 0;
}

/* Each appends one packed message. They return 0, ERR_FULL (the buffer's ceiling; its content is
 * unchanged) or ERR_NOMEM. */
int wire_pack_record(const struct wire_record *record, struct buf *out);
int wire_pack_push(const struct wire_push *push, struct buf *out);
int wire_pack_ack(const struct wire_ack *ack, struct buf *out);
int wire_pack_entry(const struct wire_entry *entry, struct buf *out);
int wire_pack_alert(const struct wire_alert *alert, struct buf *out);

/* Holds the memory of the last unpacked message. */
struct wire;
struct wire *wire_new(void); /* NULL: no memory */
void wire_free(struct wire *w);

/* They return 0, ERR_INPUT (not such a message, too large, or a field out of its bounds),
 * ERR_VERSION (a newer build's message that this one must not read; `sender` is filled) or
 * ERR_NOMEM. */
int wire_unpack_record(struct wire *w, const void *bytes, size_t n, struct wire_record *out,
                       struct err *err);
int wire_unpack_push(struct wire *w, const void *bytes, size_t n, struct wire_push *out,
                     struct err *err);
int wire_unpack_ack(struct wire *w, const void *bytes, size_t n, struct wire_ack *out,
                    struct err *err);
int wire_unpack_entry(struct wire *w, const void *bytes, size_t n, struct wire_entry *out,
                      struct err *err);
int wire_unpack_alert(struct wire *w, const void *bytes, size_t n, struct wire_alert *out,
                      struct err *err);

#endif
