/* Unpacks messages; wire_pack.c packs them. Called by everything that reads records. */
#include "common/record/wire.h"

#include "common/base/text.h"
#include "common/record/arena.h"

#include <stdlib.h>
#include <string.h>

#include "drainwatch.pb-c.h"

enum {
    TEXT_MAX = 64 << 10, /* bytes of one text: a name, a title, a path. More is absurd */
};

/* protobuf-c makes many small allocations that end together, without a bound. */
struct wire {
    ProtobufCAllocator allocator;
    struct arena arena;
};

static void *wire_alloc(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void wire_free_one(void *ctx, void *piece)
{
    (void)ctx;
    (void)piece; /* all goes at the next reset */
}

struct wire *wire_new(void)
{
    struct wire *w = calloc(1, sizeof *w);

    if (w != NULL)
        w->allocator = (ProtobufCAllocator){wire_alloc, wire_free_one, &w->arena};
    return w;
}

void wire_free(struct wire *w)
{
    if (w == NULL)
        return;
    arena_close(&w->arena);
    free(w);
}

/* ---- bytes to structs ---- */

/* Empties the arena and unpacks into it. Returns NULL and sets *rc on failure. */
static ProtobufCMessage *unpack(struct wire *w, const ProtobufCMessageDescriptor *type,
                                const void *bytes, size_t n, int *rc, struct err *err)
{
    bool entry = type == &drainwatch__entry__descriptor;
    size_t max = entry ? WIRE_ENTRY_MAX : WIRE_MESSAGE_MAX;
    ProtobufCMessage *m;

    *rc = 0;
    if (n > max) {
        *rc = err_set(err, ERR_INPUT, "a message of %zu bytes (at most %zu are read)", n, max);
        return NULL;
    }
    arena_reset(&w->arena, WIRE_MEMORY_MAX + (entry ? n : 0));
    m = protobuf_c_message_unpack(type, &w->allocator, n, bytes);
    if (m != NULL)
        return m;
    if (w->arena.no_memory)
        *rc = err_set(err, ERR_NOMEM, "no memory for a %s of %zu bytes", type->short_name, n);
    else if (w->arena.over)
        *rc = err_set(err, ERR_INPUT, "%zu bytes that would unpack to more than %d MiB", n,
                      WIRE_MEMORY_MAX >> 20);
    else
        *rc = err_set(err, ERR_INPUT, "%zu bytes that are not a %s", n, type->short_name);
    return NULL;
}

/* Checks of one message's fields. After the first fault all others are skipped. */
struct check {
    const char *type;
    struct err *err;
    int rc;
};

static void check_version(struct check *c, uint32_t version)
{
    if (version == 0)
        c->rc = err_set(c->err, ERR_INPUT, "%s: has no version", c->type);
    else if (version > WIRE_VERSION)
        c->rc = err_set(c->err, ERR_VERSION,
                        "%s: version %u, and this build reads up to %d (upgrade this program)",
                        c->type, version, WIRE_VERSION);
}

static void check_sender(struct check *c, ProtobufCBinaryData from, uint8_t to[WIRE_SENDER_BYTES])
{
    if (from.len == WIRE_SENDER_BYTES)
        memcpy(to, from.data, WIRE_SENDER_BYTES);
    else if (c->rc == 0)
        c->rc = err_set(c->err, ERR_INPUT, "%s: sender: %zu bytes (it has %d)", c->type, from.len,
                        WIRE_SENDER_BYTES);
}

static const char *check_text(struct check *c, const char *name, const char *text, size_t max)
{
    size_t n = strlen(text);

    if (c->rc != 0)
        return "";
    if (n > max)
        c->rc =
            err_set(c->err, ERR_INPUT, "%s: %s: %zu bytes (at most %zu)", c->type, name, n, max);
    else if (!text_is_utf8(text, n))
        c->rc = err_set(c->err, ERR_INPUT, "%s: %s: is not UTF-8", c->type, name);
    return text;
}

static struct wire_bytes bytes_in(ProtobufCBinaryData from)
{
    return (struct wire_bytes){.data = from.data, .len = from.len};
}

/* A newer build may send longer samples; its counts are still good. */
static struct wire_bytes sample_in(ProtobufCBinaryData from)
{
    if (from.len > WIRE_SAMPLE_MAX)
        from.len = text_cut((const char *)from.data, from.len, WIRE_SAMPLE_MAX);
    return bytes_in(from);
}

/* Memory that lives as long as the unpacked message. NULL means no room, also for an empty array.
 */
static void *array_in(struct wire *w, struct check *c, size_t n, size_t size)
{
    void *array;

    if (c->rc != 0)
        return NULL;
    array = n > SIZE_MAX / size ? NULL : arena_alloc(&w->arena, n * size);
    if (array == NULL && w->arena.no_memory)
        c->rc = err_set(c->err, ERR_NOMEM, "%s: no memory for %zu parts", c->type, n);
    else if (array == NULL)
        c->rc = err_set(c->err, ERR_INPUT, "%s: %zu parts unpack to more than %d MiB", c->type, n,
                        WIRE_MEMORY_MAX >> 20);
    return array;
}

/* Unsigned, so that the sum wraps as the writer's differences do. */
static int64_t time_plus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Refuses a list that is too long before it is copied. */
static void check_parts(struct check *c, const char *name, size_t n, size_t max)
{
    if (c->rc == 0 && n > max)
        c->rc =
            err_set(c->err, ERR_INPUT, "%s: %s: %zu parts (at most %zu)", c->type, name, n, max);
}

static const struct wire_group *group_in(struct wire *w, struct check *c,
                                         Drainwatch__GroupValue *const *from, size_t n, size_t max)
{
    struct wire_group *to;

    check_parts(c, "group", n, WIRE_GROUP_MAX);
    to = n > 0 ? array_in(w, c, n, sizeof *to) : NULL;
    for (size_t i = 0; i < n && c->rc == 0; i++) {
        to[i].key = check_text(c, "group", from[i]->key, max);
        to[i].value = check_text(c, "group", from[i]->value, max);
    }
    return to;
}

/* Turns the deltas into times in place. */
static void matches_in(struct wire *w, struct check *c, const Drainwatch__Matches *from,
                       int64_t received_us, struct wire_matches *to)
{
    int64_t at = received_us;

    to->rule = check_text(c, "rule", from->rule, TEXT_MAX);
    to->source = check_text(c, "source", from->source, TEXT_MAX);
    to->process = check_text(c, "process", from->process, TEXT_MAX);
    to->sample = sample_in(from->sample);
    to->times_us = from->time_deltas_us;
    to->n_times = from->n_time_deltas_us;
    to->group = group_in(w, c, from->group, from->n_group, WIRE_GROUP_TEXT_MAX);
    to->n_group = from->n_group;
    for (size_t i = 0; i < from->n_time_deltas_us; i++) {
        at = time_plus(at, from->time_deltas_us[i]);
        from->time_deltas_us[i] = at;
    }
}

static void record_in(struct wire *w, struct check *c, const Drainwatch__Record *m,
                      struct wire_record *out)
{
    struct wire_matches *items = array_in(w, c, m->n_matches, sizeof *items);

    *out = (struct wire_record){.sequence = m->sequence,
                                .received_us = m->received_us,
                                .lines = m->lines,
                                .bytes = m->bytes,
                                .malformed = m->malformed,
                                .lost = m->lost,
                                .count_differs = m->count_differs,
                                .matches = items,
                                .n_matches = m->n_matches};
    check_sender(c, m->sender, out->sender);
    out->drain = check_text(c, "drain", m->drain, TEXT_MAX);
    out->frame_id = check_text(c, "frame_id", m->frame_id, TEXT_MAX);
    for (size_t i = 0; i < m->n_matches && c->rc == 0; i++)
        matches_in(w, c, m->matches[i], m->received_us, &items[i]);
}

int wire_unpack_record(struct wire *w, const void *bytes, size_t n, struct wire_record *out,
                       struct err *err)
{
    struct check c = {.type = "record", .err = err};
    const Drainwatch__Record *m;

    m = (const void *)unpack(w, &drainwatch__record__descriptor, bytes, n, &c.rc, err);
    if (m == NULL)
        return c.rc;
    check_version(&c, m->version);
    record_in(w, &c, m, out);
    return c.rc;
}

int wire_unpack_push(struct wire *w, const void *bytes, size_t n, struct wire_push *out,
                     struct err *err)
{
    struct check c = {.type = "push", .err = err};
    const Drainwatch__Push *m;
    struct wire_bytes *records;

    m = (const void *)unpack(w, &drainwatch__push__descriptor, bytes, n, &c.rc, err);
    if (m == NULL)
        return c.rc;
    check_version(&c, m->version);
    records = array_in(w, &c, m->n_records, sizeof *records);
    *out = (struct wire_push){.oldest = m->oldest,
                              .first = m->first,
                              .records = records,
                              .n_records = m->n_records,
                              .goodbye = m->goodbye,
                              .acked = m->acked};
    check_sender(&c, m->sender, out->sender);
    for (size_t i = 0; i < m->n_records && c.rc == 0; i++)
        records[i] = bytes_in(m->records[i]);
    return c.rc;
}

int wire_unpack_ack(struct wire *w, const void *bytes, size_t n, struct wire_ack *out,
                    struct err *err)
{
    struct check c = {.type = "ack", .err = err};
    const Drainwatch__Ack *m;

    m = (const void *)unpack(w, &drainwatch__ack__descriptor, bytes, n, &c.rc, err);
    if (m == NULL)
        return c.rc;
    check_version(&c, m->version);
    *out = (struct wire_ack){.taken = m->taken, .again = m->again};
    check_sender(&c, m->sender, out->sender);
    out->refused = check_text(&c, "refused", m->refused, TEXT_MAX);
    out->trouble = check_text(&c, "trouble", m->trouble, TEXT_MAX);
    return c.rc;
}

static void input_in(struct check *c, const Drainwatch__Entry *m, struct wire_entry *out)
{
    switch (m->input_case) {
    case DRAINWATCH__ENTRY__INPUT_RECORD:
        out->input = WIRE_INPUT_RECORD;
        out->bytes = bytes_in(m->record);
        break;
    case DRAINWATCH__ENTRY__INPUT_RULES:
        out->input = WIRE_INPUT_RULES;
        out->bytes.data = (const uint8_t *)check_text(c, "rules", m->rules, WIRE_MESSAGE_MAX);
        out->bytes.len = strlen((const char *)out->bytes.data);
        break;
    case DRAINWATCH__ENTRY__INPUT_SNAPSHOT:
        out->input = WIRE_INPUT_SNAPSHOT;
        out->bytes = bytes_in(m->snapshot);
        break;
    case DRAINWATCH__ENTRY__INPUT_TICK:
        out->input = WIRE_INPUT_TICK;
        break;
    default: /* not set, or of a kind that a newer build added */
        out->input = WIRE_INPUT_NONE;
        break;
    }
}

int wire_unpack_entry(struct wire *w, const void *bytes, size_t n, struct wire_entry *out,
                      struct err *err)
{
    struct check c = {.type = "entry", .err = err};
    const Drainwatch__Entry *m;

    m = (const void *)unpack(w, &drainwatch__entry__descriptor, bytes, n, &c.rc, err);
    if (m == NULL)
        return c.rc;
    check_version(&c, m->version);
    *out = (struct wire_entry){.step_us = m->step_us};
    input_in(&c, m, out);
    return c.rc;
}

static void alert_texts_in(struct check *c, const Drainwatch__Alert *m, struct wire_alert *out)
{
    const char *id = check_text(c, "id", m->id, WIRE_ID_SIZE - 1);

    if (c->rc == 0)
        memcpy(out->id, id, strlen(id) + 1);
    out->kind = check_text(c, "kind", m->kind, TEXT_MAX);
    out->rule = check_text(c, "rule", m->rule, TEXT_MAX);
    out->app = check_text(c, "app", m->app, TEXT_MAX);
    out->title = check_text(c, "title", m->title, TEXT_MAX);
    out->runbook = check_text(c, "runbook", m->runbook, TEXT_MAX);
    out->channel = check_text(c, "channel", m->channel, TEXT_MAX);
    out->source = check_text(c, "source", m->source, TEXT_MAX);
    out->process = check_text(c, "process", m->process, TEXT_MAX);
    out->severity = check_text(c, "severity", m->severity, TEXT_MAX);
}

static const char *const *mentions_in(struct wire *w, struct check *c, const Drainwatch__Alert *m)
{
    const char **to;

    check_parts(c, "mentions", m->n_mentions, WIRE_MENTIONS_MAX);
    to = m->n_mentions > 0 ? array_in(w, c, m->n_mentions, sizeof *to) : NULL;
    for (size_t i = 0; i < m->n_mentions && c->rc == 0; i++)
        to[i] = check_text(c, "mentions", m->mentions[i], TEXT_MAX);
    return to;
}

static const struct wire_worst *worst_in(struct wire *w, struct check *c,
                                         const Drainwatch__Alert *m)
{
    struct wire_worst *to;

    check_parts(c, "worst", m->n_worst, WIRE_WORST_MAX);
    to = m->n_worst > 0 ? array_in(w, c, m->n_worst, sizeof *to) : NULL;
    for (size_t i = 0; i < m->n_worst && c->rc == 0; i++) {
        const Drainwatch__Worst *from = m->worst[i];

        to[i] = (struct wire_worst){.n_group = from->n_group, .count = from->count};
        to[i].app = check_text(c, "app", from->app, TEXT_MAX);
        to[i].group = group_in(w, c, from->group, from->n_group, TEXT_MAX);
    }
    return to;
}

static const struct wire_withheld *by_app_in(struct wire *w, struct check *c,
                                             const Drainwatch__Alert *m)
{
    struct wire_withheld *to;

    check_parts(c, "by_app", m->n_by_app, WIRE_BY_APP_MAX);
    to = m->n_by_app > 0 ? array_in(w, c, m->n_by_app, sizeof *to) : NULL;
    for (size_t i = 0; i < m->n_by_app && c->rc == 0; i++)
        to[i] = (struct wire_withheld){.app = check_text(c, "app", m->by_app[i]->app, TEXT_MAX),
                                       .alerts = m->by_app[i]->alerts};
    return to;
}

static void alert_in(struct wire *w, struct check *c, const Drainwatch__Alert *m,
                     struct wire_alert *out)
{
    *out = (struct wire_alert){.n_group = m->n_group,
                               .n_mentions = m->n_mentions,
                               .at_us = m->at_us,
                               .count = m->count,
                               .at_least = m->at_least,
                               .about = m->about,
                               .arrived_late = m->arrived_late,
                               .window_us = m->window_us,
                               .threshold = m->threshold,
                               .suppressed = m->suppressed,
                               .first_us = m->first_us,
                               .last_us = m->last_us,
                               .withheld = m->withheld,
                               .groups = m->groups,
                               .apps = m->apps,
                               .period_us = m->period_us,
                               .n_worst = m->n_worst,
                               .n_by_app = m->n_by_app,
                               .sample = sample_in(m->sample)};
    alert_texts_in(c, m, out);
    out->group =
        group_in(w, c, m->group, m->n_group, TEXT_MAX); /* the process may be one of them */
    out->mentions = mentions_in(w, c, m);
    out->worst = worst_in(w, c, m);
    out->by_app = by_app_in(w, c, m);
}

int wire_unpack_alert(struct wire *w, const void *bytes, size_t n, struct wire_alert *out,
                      struct err *err)
{
    struct check c = {.type = "alert", .err = err};
    const Drainwatch__Alert *m;

    m = (const void *)unpack(w, &drainwatch__alert__descriptor, bytes, n, &c.rc, err);
    if (m == NULL)
        return c.rc;
    check_version(&c, m->version);
    alert_in(w, &c, m, out);
    return c.rc;
}
