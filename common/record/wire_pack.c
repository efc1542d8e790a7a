/* Packs messages; wire.c unpacks them. Called by everything that writes records. */
#include "common/record/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drainwatch.pb-c.h"

/* The generated types lack const, though packing only reads. */
static char *text_out(const char *text)
{
    return (char *)(uintptr_t)text;
}

static ProtobufCBinaryData bytes_out(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

static int pack(const ProtobufCMessage *message, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    int rc = buf_reserve(out, n);

    if (rc != 0)
        return rc;
    out->len += protobuf_c_message_pack(message, out->data + out->len);
    out->data[out->len] = 0;
    return 0;
}

/* Unsigned differences wrap, and the reader's sum wraps back, so any two times are fine. */
static int64_t time_minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* Memory for the pairs of a group: the submessages, and the list of pointers to them. */
struct pairs {
    Drainwatch__GroupValue *items;
    Drainwatch__GroupValue **list;
};

enum { PAIR_BYTES = sizeof(Drainwatch__GroupValue) + sizeof(Drainwatch__GroupValue *) };

/* Takes `n` pairs from the memory and returns their list. */
static Drainwatch__GroupValue **pairs_out(struct pairs *pairs, const struct wire_group *from,
                                          size_t n)
{
    Drainwatch__GroupValue **list = pairs->list;

    for (size_t i = 0; i < n; i++) {
        drainwatch__group_value__init(pairs->items);
        pairs->items->key = text_out(from[i].key);
        pairs->items->value = text_out(from[i].value);
        *pairs->list++ = pairs->items++;
    }
    return list;
}

/* Fills one submessage, its deltas at `deltas`. */
static void matches_out(const struct wire_matches *from, int64_t received_us, int64_t *deltas,
                        struct pairs *pairs, Drainwatch__Matches *to)
{
    int64_t before = received_us;

    drainwatch__matches__init(to);
    to->rule = text_out(from->rule);
    to->source = text_out(from->source);
    to->process = text_out(from->process);
    to->sample = bytes_out(from->sample.data, from->sample.len);
    to->n_time_deltas_us = from->n_times;
    to->time_deltas_us = deltas;
    for (size_t i = 0; i < from->n_times; i++) {
        deltas[i] = time_minus(from->times_us[i], before);
        before = from->times_us[i];
    }
    to->n_group = from->n_group;
    to->group = pairs_out(pairs, from->group, from->n_group);
}

static void record_out(const struct wire_record *r, Drainwatch__Record *m)
{
    drainwatch__record__init(m);
    m->version = WIRE_VERSION;
    m->sender = bytes_out(r->sender, WIRE_SENDER_BYTES);
    m->sequence = r->sequence;
    m->received_us = r->received_us;
    m->drain = text_out(r->drain);
    m->frame_id = text_out(r->frame_id);
    m->lines = r->lines;
    m->bytes = r->bytes;
    m->malformed = r->malformed;
    m->lost = r->lost;
    m->count_differs = r->count_differs;
}

int wire_pack_record(const struct wire_record *record, struct buf *out)
{
    Drainwatch__Record m;
    Drainwatch__Matches *items;
    struct pairs pairs;
    size_t n = record->n_matches, n_times = 0, n_pairs = 0;
    int64_t *deltas;
    void *memory;
    int rc;

    for (size_t i = 0; i < n; i++) {
        n_times += record->matches[i].n_times;
        n_pairs += record->matches[i].n_group;
    }
    memory = malloc(n * (sizeof *items + sizeof items) + n_times * sizeof *deltas +
                    n_pairs * PAIR_BYTES + 1); /* malloc(0) may return NULL */
    if (memory == NULL)
        return ERR_NOMEM;
    items = memory;
    record_out(record, &m);
    m.n_matches = n;
    m.matches = (Drainwatch__Matches **)(void *)(items + n);
    pairs.items = (Drainwatch__GroupValue *)(void *)(m.matches + n);
    pairs.list = (Drainwatch__GroupValue **)(void *)(pairs.items + n_pairs);
    deltas = (int64_t *)(void *)(pairs.list + n_pairs);
    for (size_t i = 0; i < n; i++) {
        m.matches[i] = &items[i];
        matches_out(&record->matches[i], record->received_us, deltas, &pairs, &items[i]);
        deltas += record->matches[i].n_times;
    }
    rc = pack(&m.base, out);
    free(memory);
    return rc;
}

int wire_pack_push(const struct wire_push *push, struct buf *out)
{
    Drainwatch__Push m;
    void *memory;
    int rc;

    drainwatch__push__init(&m);
    m.version = WIRE_VERSION;
    m.sender = bytes_out(push->sender, WIRE_SENDER_BYTES);
    m.oldest = push->oldest;
    m.first = push->first;
    m.goodbye = push->goodbye;
    m.acked = push->acked;
    m.n_records = push->n_records;
    memory = malloc(push->n_records * sizeof *m.records + 1);
    if (memory == NULL)
        return ERR_NOMEM;
    m.records = memory;
    for (size_t i = 0; i < push->n_records; i++)
        m.records[i] = bytes_out(push->records[i].data, push->records[i].len);
    rc = pack(&m.base, out);
    free(memory);
    return rc;
}

int wire_pack_ack(const struct wire_ack *ack, struct buf *out)
{
    Drainwatch__Ack m;

    drainwatch__ack__init(&m);
    m.version = WIRE_VERSION;
    m.sender = bytes_out(ack->sender, WIRE_SENDER_BYTES);
    m.taken = ack->taken;
    m.refused = text_out(ack->refused);
    m.again = ack->again;
    m.trouble = text_out(ack->trouble != NULL ? ack->trouble : "");
    return pack(&m.base, out);
}

int wire_pack_entry(const struct wire_entry *entry, struct buf *out)
{
    Drainwatch__Entry m;
    char *rules = NULL;
    int rc;

    drainwatch__entry__init(&m);
    m.version = WIRE_VERSION;
    m.step_us = entry->step_us;
    switch (entry->input) {
    case WIRE_INPUT_NONE:
        break;
    case WIRE_INPUT_RECORD:
        m.input_case = DRAINWATCH__ENTRY__INPUT_RECORD;
        m.record = bytes_out(entry->bytes.data, entry->bytes.len);
        break;
    case WIRE_INPUT_RULES: /* protobuf-c wants a terminated text; ours need not be */
        rules = malloc(entry->bytes.len + 1);
        if (rules == NULL)
            return ERR_NOMEM;
        if (entry->bytes.len > 0)
            memcpy(rules, entry->bytes.data, entry->bytes.len);
        rules[entry->bytes.len] = 0;
        m.input_case = DRAINWATCH__ENTRY__INPUT_RULES;
        m.rules = rules;
        break;
    case WIRE_INPUT_SNAPSHOT:
        m.input_case = DRAINWATCH__ENTRY__INPUT_SNAPSHOT;
        m.snapshot = bytes_out(entry->bytes.data, entry->bytes.len);
        break;
    case WIRE_INPUT_TICK:
        m.input_case = DRAINWATCH__ENTRY__INPUT_TICK;
        m.tick = true;
        break;
    }
    rc = pack(&m.base, out);
    free(rules);
    return rc;
}

static void alert_out(const struct wire_alert *a, Drainwatch__Alert *m)
{
    drainwatch__alert__init(m);
    m->version = WIRE_VERSION;
    m->id = text_out(a->id);
    m->kind = text_out(a->kind);
    m->rule = text_out(a->rule);
    m->app = text_out(a->app);
    m->at_us = a->at_us;
    m->count = a->count;
    m->at_least = a->at_least;
    m->about = a->about;
    m->arrived_late = a->arrived_late;
    m->window_us = a->window_us;
    m->threshold = a->threshold;
    m->suppressed = a->suppressed;
    m->first_us = a->first_us;
    m->last_us = a->last_us;
    m->title = text_out(a->title);
    m->runbook = text_out(a->runbook);
    m->channel = text_out(a->channel);
    m->source = text_out(a->source);
    m->process = text_out(a->process);
    m->sample = bytes_out(a->sample.data, a->sample.len);
    m->severity = text_out(a->severity);
    m->withheld = a->withheld;
    m->groups = a->groups;
    m->apps = a->apps;
    m->period_us = a->period_us;
}

/* Fills the submessages and their list; the pairs of their groups are taken from `pairs`. */
static void worst_out(const struct wire_alert *a, struct pairs *pairs, Drainwatch__Worst *items,
                      Drainwatch__Worst **list)
{
    for (size_t i = 0; i < a->n_worst; i++) {
        drainwatch__worst__init(&items[i]);
        items[i].app = text_out(a->worst[i].app);
        items[i].count = a->worst[i].count;
        items[i].n_group = a->worst[i].n_group;
        items[i].group = pairs_out(pairs, a->worst[i].group, a->worst[i].n_group);
        list[i] = &items[i];
    }
}

static void by_app_out(const struct wire_alert *a, Drainwatch__Withheld *items,
                       Drainwatch__Withheld **list)
{
    for (size_t i = 0; i < a->n_by_app; i++) {
        drainwatch__withheld__init(&items[i]);
        items[i].app = text_out(a->by_app[i].app);
        items[i].alerts = a->by_app[i].alerts;
        list[i] = &items[i];
    }
}

static size_t count_pairs(const struct wire_alert *a)
{
    size_t n = a->n_group;

    for (size_t i = 0; i < a->n_worst; i++)
        n += a->worst[i].n_group;
    return n;
}

int wire_pack_alert(const struct wire_alert *alert, struct buf *out)
{
    Drainwatch__Worst worst[WIRE_WORST_MAX], *worst_list[WIRE_WORST_MAX];
    Drainwatch__Withheld by_app[WIRE_BY_APP_MAX], *by_app_list[WIRE_BY_APP_MAX];
    Drainwatch__Alert m;
    struct pairs pairs;
    size_t n = count_pairs(alert);
    void *memory;
    int rc;

    assert(alert->n_worst <= WIRE_WORST_MAX && alert->n_by_app <= WIRE_BY_APP_MAX);
    memory = malloc(n * PAIR_BYTES + alert->n_mentions * sizeof *alert->mentions + 1);
    if (memory == NULL)
        return ERR_NOMEM;
    pairs.items = memory;
    pairs.list = (Drainwatch__GroupValue **)(void *)(pairs.items + n);
    alert_out(alert, &m);
    m.n_group = alert->n_group;
    m.group = pairs_out(&pairs, alert->group, alert->n_group);
    worst_out(alert, &pairs, worst, worst_list);
    m.n_worst = alert->n_worst;
    m.worst = worst_list;
    by_app_out(alert, by_app, by_app_list);
    m.n_by_app = alert->n_by_app;
    m.by_app = by_app_list;
    m.n_mentions = alert->n_mentions;
    m.mentions = (char **)(void *)pairs.list;
    for (size_t i = 0; i < alert->n_mentions; i++)
        m.mentions[i] = text_out(alert->mentions[i]);
    rc = pack(&m.base, out);
    free(memory);
    return rc;
}
