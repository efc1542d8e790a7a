/* Runs the hot paths over fixed inputs, so that callgrind can count their instructions. Unlike a
 * time, a count is the same on a busy machine. tests/bench/check_budget compares it.
 *
 * Each path runs once before it is counted, so that one-time work does not count. */
#include "alerter/engine/engine.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"
#include "ingest/http/auth.h"
#include "tests/bench/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

enum {
    LINES = 100,
    BODY_MAX = LINES * LINES_MAX,
    STEPS = 1000,
    CHUNK = 16 << 10,
    FULL = 65536,
    SAVED_MAX = 1 << 20
};

static const int64_t START_US = INT64_C(1778141172000000);
static const char rules_text[] =
    "app: bench\n"
    "slack: {channel: C0}\n"
    "rules:\n"
    "  - {name: h12, source: heroku, field: code=H12, more_than: 3, within: 5m, cooldown: 5m}\n"
    "  - {name: timeout, source: app, match: WORKER TIMEOUT, more_than: 2, within: 2m, "
    "cooldown: 5m}\n";

struct budget {
    const struct rules *rules;
    struct rulebook *book;
    struct delivery *delivery;
    struct auth *auth;
    struct engine *engine;
    struct wire *wire;
    struct buf packed, saved;
    const struct wire_record *records;
    size_t n_records;
    char none[BODY_MAX], half[BODY_MAX];
    size_t n_none, n_half;
    int64_t now_us;
    struct lines random;
};

static size_t make_body(bool matches, char body[BODY_MAX])
{
    struct lines lines = {.state = 5};
    size_t n = 0;

    for (unsigned i = 0; i < LINES; i++) {
        enum lines_kind kind = lines_common_kind(&lines);

        if (matches && i % 2 == 0)
            kind = i % 4 == 0 ? LINES_H12 : LINES_WORKER_TIMEOUT;
        n += lines_write(&lines, kind, LINES_FRAME, START_US + i * 1000, 0, body + n);
    }
    return n;
}

static void take_body(struct budget *b, const char *body, size_t n)
{
    const struct delivery_head head = {.received_us = START_US, .drain = "d.1", .frame_id = "f1"};
    int rc = delivery_begin(b->delivery, b->book, &head);

    for (size_t at = 0; rc == 0 && at < n; at += CHUNK)
        rc = delivery_push(b->delivery, body + at, n - at < CHUNK ? n - at : CHUNK);
    if (rc == 0)
        rc = delivery_finish(b->delivery, &b->records, &b->n_records);
    if (rc != 0)
        abort();
}

/* ---- the paths ---- */

static void deliver_none(struct budget *b)
{
    take_body(b, b->none, b->n_none);
    if (b->n_records != 0)
        abort();
}

static void deliver_half(struct budget *b)
{
    take_body(b, b->half, b->n_half);
    if (b->n_records != 1)
        abort();
}

static void authenticate(struct budget *b)
{
    static const char header[] = "Basic Y29uc29sZTowMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
                                 "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";
    char name[AUTH_NAME_SIZE];

    /* A wrong one, because a right one is computed only once. */
    if (auth_refusal(b->auth, &(struct auth_claim){.credentials = header}, name) == NULL ||
        strcmp(name, "console") != 0)
        abort();
}

static void pack(struct budget *b)
{
    buf_clear(&b->packed);
    if (wire_pack_record(b->records, &b->packed) != 0)
        abort();
}

static void unpack(struct budget *b)
{
    struct wire_record record;
    struct err err;

    if (wire_unpack_record(b->wire, b->packed.data, b->packed.len, &record, &err) != 0)
        abort();
}

static void step(struct budget *b, const char *rule, const int64_t *times_us, size_t n)
{
    const struct wire_matches matches = {.rule = rule,
                                         .source = "heroku",
                                         .process = "router",
                                         .times_us = times_us,
                                         .n_times = n,
                                         .sample = {(const uint8_t *)"x", 1}};
    const struct wire_record record = {.received_us = b->now_us,
                                       .drain = "d.1",
                                       .frame_id = "",
                                       .lines = 1,
                                       .matches = &matches,
                                       .n_matches = 1};
    struct engine_outcomes alerts;
    struct engine_event event;
    static struct err err; /* some builds would clear it at each call */

    b->now_us += 10000;
    event = engine_record_event(&record, b->now_us);
    if (engine_step(b->engine, &event, &alerts, &err) != 0)
        abort();
}

/* A match of one rule each 10 ms: every step breaches, and the cooldown keeps it quiet. */
static void step_engine(struct budget *b)
{
    for (int i = 0; i < STEPS; i++)
        step(b, "h12", &b->now_us, 1);
}

/* Matches at any of the times that a full window has, and between them. */
static void step_late(struct budget *b)
{
    for (int i = 0; i < STEPS; i++) {
        int64_t ago = (int64_t)lines_random(&b->random, FULL);
        int64_t us = b->now_us - ago * 30000;

        step(b, "timeout", &us, 1);
    }
}

/* A snapshot of the full window and little else. No record is taken meanwhile. */
static void save_engine(struct budget *b)
{
    buf_clear(&b->saved);
    if (engine_save(b->engine, &b->saved) != 0)
        abort();
}

static void fill_window(struct budget *b)
{
    static int64_t times_us[FULL];

    for (int i = 0; i < FULL; i++)
        times_us[i] = b->now_us - i * INT64_C(30000);
    step(b, "timeout", times_us, FULL);
}

#define COUNT(b, path)                                                                             \
    do {                                                                                           \
        path(b);                                                                                   \
        CALLGRIND_ZERO_STATS;                                                                      \
        path(b);                                                                                   \
        CALLGRIND_DUMP_STATS_AT(#path);                                                            \
    } while (0)

static void make_all(struct budget *b)
{
    const struct engine_event rules = engine_rules_event(rules_text, strlen(rules_text), 0);
    struct engine_outcomes none;
    struct buf faults;
    struct err err;
    static const char secret[] = "0123456789abcdef0123456789abcdef";

    buf_init(&faults, RULES_FAULTS_MAX);
    buf_init(&b->packed, WIRE_RECORD_MAX);
    buf_init(&b->saved, SAVED_MAX);
    b->delivery = delivery_new();
    b->auth = auth_new();
    b->engine = engine_new();
    b->wire = wire_new();
    b->now_us = START_US;
    b->n_none = make_body(false, b->none);
    b->n_half = make_body(true, b->half);
    if (b->delivery == NULL || b->auth == NULL || b->engine == NULL || b->wire == NULL ||
        rules_parse(rules_text, strlen(rules_text), "rules", &b->rules, &faults) != 0 ||
        rulebook_new_borrowed(b->rules, &b->book, &err) != 0 ||
        engine_step(b->engine, &rules, &none, &err) != 0 ||
        !auth_add_secret(b->auth, secret, strlen(secret)))
        abort();
    buf_close(&faults);
}

int main(void)
{
    static struct budget b;

    make_all(&b);
    COUNT(&b, deliver_none);
    COUNT(&b, deliver_half);
    COUNT(&b, authenticate);
    COUNT(&b, pack);
    COUNT(&b, unpack);
    COUNT(&b, step_engine);
    fill_window(&b);
    COUNT(&b, save_engine);
    COUNT(&b, step_late);
    engine_free(b.engine);
    wire_free(b.wire);
    auth_free(b.auth);
    delivery_free(b.delivery);
    rulebook_release(b.book);
    rules_free(b.rules);
    buf_close(&b.packed);
    buf_close(&b.saved);
    return 0;
}
