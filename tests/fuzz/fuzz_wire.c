/* Any bytes as each message of the queue and the storage: one that is read keeps within the bounds
 * of wire.h, holds UTF-8, and is the same again after it was packed and read once more. */
#include "tests/fuzz/feed.h"

#include "common/record/wire.h"

static struct wire *first, *second;
static struct err err;

static void check_text(const char *text)
{
    assert(text != NULL && text_is_utf8(text, strlen(text)));
}

static void check_group(const struct wire_group *group, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_text(group[i].key);
        check_text(group[i].value);
    }
}

static void check_record(const struct wire_record *r)
{
    check_text(r->drain);
    check_text(r->frame_id);
    for (size_t i = 0; i < r->n_matches; i++) {
        const struct wire_matches *m = &r->matches[i];

        check_text(m->rule);
        check_text(m->source);
        check_text(m->process);
        check_group(m->group, m->n_group);
        assert(m->sample.len <= WIRE_SAMPLE_MAX && m->n_group <= WIRE_GROUP_MAX);
        for (size_t k = 0; k < m->n_group; k++)
            assert(strlen(m->group[k].value) <= WIRE_GROUP_TEXT_MAX);
    }
}

static void check_alert(const struct wire_alert *a)
{
    const char *const texts[] = {a->kind,    a->rule,   a->app,     a->title,   a->runbook,
                                 a->channel, a->source, a->process, a->severity};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_text(texts[i]);
    assert(strnlen(a->id, WIRE_ID_SIZE) < WIRE_ID_SIZE && text_is_utf8(a->id, strlen(a->id)));
    check_group(a->group, a->n_group);
    assert(a->n_mentions <= WIRE_MENTIONS_MAX);
    for (size_t i = 0; i < a->n_mentions; i++)
        check_text(a->mentions[i]);
}

/* Reads one message and packs it again into `out`. Returns as the reading does. */
typedef int repack_fn(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out);

static int repack_record(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out)
{
    struct wire_record record;
    int rc = wire_unpack_record(w, bytes, n, &record, &err);

    if (rc != 0)
        return rc;
    check_record(&record);
    return wire_pack_record(&record, out);
}

static int repack_push(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out)
{
    struct wire_push push;
    int rc = wire_unpack_push(w, bytes, n, &push, &err);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < push.n_records; i++)
        assert(push.records[i].len <= n);
    return wire_pack_push(&push, out);
}

static int repack_ack(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out)
{
    struct wire_ack ack;
    int rc = wire_unpack_ack(w, bytes, n, &ack, &err);

    if (rc != 0)
        return rc;
    check_text(ack.refused);
    check_text(ack.trouble);
    return wire_pack_ack(&ack, out);
}

static int repack_entry(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out)
{
    struct wire_entry entry;
    int rc = wire_unpack_entry(w, bytes, n, &entry, &err);

    if (rc != 0)
        return rc;
    assert(entry.bytes.len <= n && (entry.input != WIRE_INPUT_TICK || entry.bytes.len == 0));
    return entry.input == WIRE_INPUT_NONE ? ERR_INPUT : wire_pack_entry(&entry, out);
}

static int repack_alert(struct wire *w, const uint8_t *bytes, size_t n, struct buf *out)
{
    struct wire_alert alert;
    int rc = wire_unpack_alert(w, bytes, n, &alert, &err);

    if (rc != 0)
        return rc;
    check_alert(&alert);
    return wire_pack_alert(&alert, out);
}

static repack_fn *const kinds[] = {repack_record, repack_push, repack_ack, repack_entry,
                                   repack_alert};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void check(repack_fn *repack, const uint8_t *bytes, size_t n)
{
    struct buf once, twice;
    int rc;

    buf_init(&once, WIRE_MESSAGE_MAX);
    buf_init(&twice, WIRE_MESSAGE_MAX);
    err.text[0] = '\0';
    rc = repack(first, bytes, n, &once);
    assert(rc == 0 || rc == ERR_INPUT || rc == ERR_VERSION || rc == ERR_FULL);
    feed_check_line(err.text);
    if (rc == 0) {
        assert(repack(second, once.data, once.len, &twice) == 0);
        assert(once.len == twice.len &&
               (once.len == 0 || memcmp(once.data, twice.data, once.len) == 0));
    }
    buf_close(&once);
    buf_close(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    unsigned kind = feed_choice(&in, KINDS);
    uint8_t *bytes = feed_copy(in.data, in.n);

    if (first == NULL) {
        first = wire_new();
        second = wire_new();
        assert(first != NULL && second != NULL);
    }
    check(kinds[kind], bytes, in.n);
    free(bytes);
    return 0;
}
