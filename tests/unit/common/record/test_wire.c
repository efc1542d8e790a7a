/* Every message there and back, its bytes, and messages that are refused. */
#include "tests/unit/unit.h"

#include "common/record/arena.h"
#include "common/record/wire.h"

#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void) /* xorshift64: the same numbers in every run */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct fixture {
    struct wire *wire;
    struct buf bytes;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->wire = wire_new();
    assert_non_null(f->wire);
    buf_init(&f->bytes, 8 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    wire_free(f->wire);
    buf_close(&f->bytes);
    free(f);
    return 0;
}

/* Bytes written by hand, so that the format itself is held and not only that we agree with
 * ourselves (https://protobuf.dev/programming-guides/encoding). */
static void put(struct buf *b, const char *bytes, size_t n)
{
    assert_int_equal(buf_append(b, bytes, n), 0);
}
#define PUT(b, text) put(b, text, sizeof(text) - 1)
#define VERSION_1 "\x08\x01"
#define SENDER_IN_2                                                                                \
    "\x12\x10"                                                                                     \
    "0123456789abcdef"

static const struct wire_group sample_group[] = {
    {"path", "/a b"}, {"\xc3\xa9", ""}, {"", ""}, {"dyno", "\xe2\x80\xa6"}};

static const struct wire_matches sample_matches[] = {
    {.rule = "h12",
     .source = "heroku",
     .process = "router",
     .times_us = (const int64_t[]){1000, 999, 5000000},
     .n_times = 3,
     .sample = {(const uint8_t *)"at=error \xff\0 x", 13},
     .group = sample_group,
     .n_group = 4},
    {.rule = "quiet", .source = "", .process = "", .times_us = NULL, .n_times = 0},
};

static struct wire_record sample_record(void)
{
    struct wire_record r = {.sequence = UINT64_MAX,
                            .received_us = 1778141172123456,
                            .drain = "d.\xc3\xa9",
                            .frame_id = "F1",
                            .lines = 100,
                            .bytes = 21000,
                            .malformed = 1,
                            .lost = 7,
                            .count_differs = true,
                            .matches = sample_matches,
                            .n_matches = 2};
    memset(r.sender, 0xa5, sizeof r.sender);
    return r;
}

static void assert_same_group(const struct wire_group *a, size_t n_a, const struct wire_group *b,
                              size_t n_b)
{
    assert_int_equal(n_a, n_b);
    for (size_t i = 0; i < n_a; i++) {
        assert_string_equal(a[i].key, b[i].key);
        assert_string_equal(a[i].value, b[i].value);
    }
}

static void assert_same_matches(const struct wire_matches *a, const struct wire_matches *b)
{
    assert_string_equal(a->rule, b->rule);
    assert_string_equal(a->source, b->source);
    assert_string_equal(a->process, b->process);
    assert_int_equal(a->n_times, b->n_times);
    for (size_t i = 0; i < a->n_times; i++)
        assert_true(a->times_us[i] == b->times_us[i]);
    assert_int_equal(a->sample.len, b->sample.len);
    if (a->sample.len > 0)
        assert_memory_equal(a->sample.data, b->sample.data, a->sample.len);
    assert_same_group(a->group, a->n_group, b->group, b->n_group);
}

static void assert_same_record(const struct wire_record *a, const struct wire_record *b)
{
    assert_memory_equal(a->sender, b->sender, sizeof a->sender);
    assert_true(a->sequence == b->sequence && a->received_us == b->received_us);
    assert_string_equal(a->drain, b->drain);
    assert_string_equal(a->frame_id, b->frame_id);
    assert_true(a->lines == b->lines && a->bytes == b->bytes && a->malformed == b->malformed &&
                a->lost == b->lost && a->count_differs == b->count_differs);
    assert_int_equal(a->n_matches, b->n_matches);
    for (size_t i = 0; i < a->n_matches; i++)
        assert_same_matches(&a->matches[i], &b->matches[i]);
}

/* Packs `in` and unpacks it into `out`. */
#define ROUND_TRIP(kind, in, out)                                                                  \
    do {                                                                                           \
        assert_int_equal(wire_pack_##kind(in, &f->bytes), 0);                                      \
        assert_int_equal(wire_unpack_##kind(f->wire, f->bytes.data, f->bytes.len, out, &f->err),   \
                         0);                                                                       \
    } while (0)

UNIT_TEST(test_record_round_trip)
{
    struct fixture *f = *state;
    struct wire_record in = sample_record(), out;

    ROUND_TRIP(record, &in, &out);
    assert_same_record(&in, &out);
}

UNIT_TEST(test_record_without_anything)
{
    struct fixture *f = *state;
    struct wire_record in = {.drain = "", .frame_id = ""}, out;

    ROUND_TRIP(record, &in, &out);
    assert_same_record(&in, &out);
}

/* A large record, and times at the ends of their type: distances between them do not fit and must
 * wrap. */
UNIT_TEST(test_record_large_and_extreme)
{
    struct fixture *f = *state;
    enum { N = 300, TIMES = 1000 };
    static struct wire_matches matches[N];
    static int64_t times[TIMES];
    struct wire_record in = sample_record(), out;

    for (size_t i = 0; i < TIMES; i++)
        times[i] = i % 3 == 0 ? INT64_MIN : i % 3 == 1 ? INT64_MAX : (int64_t)next_random();
    for (size_t i = 0; i < N; i++)
        matches[i] = (struct wire_matches){.rule = "r",
                                           .source = "app",
                                           .process = "web.1",
                                           .times_us = times,
                                           .n_times = i == 0 ? TIMES : i % 50,
                                           .group = sample_group + i % 3,
                                           .n_group = i % 3};
    in.matches = matches;
    in.n_matches = N;
    in.received_us = INT64_MIN;
    ROUND_TRIP(record, &in, &out);
    assert_same_record(&in, &out);
}

/* A burst is cheap: three matches within a millisecond take two bytes each at most. */
UNIT_TEST(test_record_bytes)
{
    struct fixture *f = *state;
    struct wire_matches m = {.rule = "r",
                             .source = "",
                             .process = "",
                             .times_us = (const int64_t[]){10, 11, 10},
                             .n_times = 3};
    struct wire_record in = {.received_us = 10,
                             .drain = "",
                             .frame_id = "",
                             .sequence = 1,
                             .matches = &m,
                             .n_matches = 1};
    static const char expected[] = VERSION_1 "\x12\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                             "\x18\x01"
                                             "\x20\x0a"
                                             "\x5a\x08"
                                             "\x0a\x01r"
                                             "\x22\x03\x00\x02\x01";

    assert_int_equal(wire_pack_record(&in, &f->bytes), 0);
    assert_int_equal(f->bytes.len, sizeof expected - 1);
    assert_memory_equal(f->bytes.data, expected, sizeof expected - 1);
}

UNIT_TEST(test_group_bytes)
{
    struct fixture *f = *state;
    struct wire_matches m = {.rule = "r",
                             .source = "",
                             .process = "",
                             .group = (const struct wire_group[]){{"k", "v"}, {"l", ""}},
                             .n_group = 2};
    struct wire_record in = {.drain = "", .frame_id = "", .matches = &m, .n_matches = 1};
    static const char expected[] = VERSION_1 "\x12\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                             "\x5a\x10"
                                             "\x0a\x01r"
                                             "\x32\x06\x0a\x01k\x12\x01v"
                                             "\x32\x03\x0a\x01l";

    assert_int_equal(wire_pack_record(&in, &f->bytes), 0);
    assert_int_equal(f->bytes.len, sizeof expected - 1);
    assert_memory_equal(f->bytes.data, expected, sizeof expected - 1);
}

UNIT_TEST(test_push_round_trip)
{
    struct fixture *f = *state;
    struct wire_bytes records[600];
    struct wire_push in = {.oldest = 5,
                           .first = 7,
                           .records = records,
                           .n_records = 600,
                           .goodbye = true,
                           .acked = 3},
                     out;

    for (size_t i = 0; i < 600; i++)
        records[i] = (struct wire_bytes){(const uint8_t *)"abcdefgh", i % 9};
    memset(in.sender, 1, sizeof in.sender);
    ROUND_TRIP(push, &in, &out);
    assert_memory_equal(in.sender, out.sender, sizeof in.sender);
    assert_true(out.oldest == 5 && out.first == 7 && out.goodbye && out.acked == 3 &&
                out.n_records == 600);
    for (size_t i = 0; i < 600; i++) {
        assert_int_equal(out.records[i].len, i % 9);
        assert_memory_equal(out.records[i].data, "abcdefgh", i % 9);
    }
}

UNIT_TEST(test_ack_round_trip)
{
    struct fixture *f = *state;
    struct wire_ack in = {.taken = 1ull << 40,
                          .refused = "too new",
                          .again = true,
                          .trouble = "kept"},
                    out;

    memset(in.sender, 2, sizeof in.sender);
    ROUND_TRIP(ack, &in, &out);
    assert_memory_equal(in.sender, out.sender, sizeof in.sender);
    assert_true(out.taken == 1ull << 40 && out.again);
    assert_string_equal(out.refused, "too new");
    assert_string_equal(out.trouble, "kept");
}

UNIT_TEST(test_entry_round_trip)
{
    static const struct wire_entry entries[] = {
        {1, WIRE_INPUT_NONE, {NULL, 0}},
        {-5, WIRE_INPUT_RECORD, {(const uint8_t *)"re\0cord", 7}},
        {3, WIRE_INPUT_RULES, {(const uint8_t *)"rules: []\n, and a part too many", 10}},
        {4, WIRE_INPUT_RULES, {NULL, 0}},
        {INT64_MAX, WIRE_INPUT_SNAPSHOT, {(const uint8_t *)"\0\1\2", 3}},
        {5, WIRE_INPUT_TICK, {NULL, 0}},
    };
    struct fixture *f = *state;
    struct wire_entry out;

    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        buf_clear(&f->bytes);
        assert_int_equal(wire_pack_entry(&entries[i], &f->bytes), 0);
        assert_int_equal(wire_unpack_entry(f->wire, f->bytes.data, f->bytes.len, &out, &f->err), 0);
        assert_true(out.step_us == entries[i].step_us);
        assert_int_equal(out.input, entries[i].input);
        assert_int_equal(out.bytes.len, entries[i].bytes.len);
        if (out.bytes.len > 0)
            assert_memory_equal(out.bytes.data, entries[i].bytes.data, out.bytes.len);
        if (out.input == WIRE_INPUT_RULES)
            assert_int_equal(out.bytes.data[out.bytes.len], 0);
    }
}

/* A snapshot is as large as the engine's state, far beyond what a peer may send. */
UNIT_TEST(test_entry_larger_than_a_message)
{
    struct fixture *f = *state;
    size_t n = 40u << 20;
    uint8_t *state_bytes = malloc(n);
    struct wire_entry in = {1, WIRE_INPUT_SNAPSHOT, {state_bytes, n}}, out;
    struct buf big;

    memset(state_bytes, 7, n);
    buf_init(&big, 64u << 20);
    assert_int_equal(wire_pack_entry(&in, &big), 0);
    assert_int_equal(wire_unpack_entry(f->wire, big.data, big.len, &out, &f->err), 0);
    assert_int_equal(out.bytes.len, n);
    assert_memory_equal(out.bytes.data, state_bytes, n);
    buf_close(&big);
    free(state_bytes);
}

UNIT_TEST(test_alert_round_trip)
{
    struct fixture *f = *state;
    static const char *const mentions[] = {"here", "U012AB", ""};
    struct wire_group group[] = {{"path", "/a b"}, {"", ""}};
    struct wire_alert in = {.id = "0123456789abcdef",
                            .kind = "breach",
                            .rule = "h12",
                            .app = "shop",
                            .group = group,
                            .n_group = 2,
                            .at_us = 1,
                            .count = 2,
                            .at_least = true,
                            .about = true,
                            .arrived_late = true,
                            .window_us = 3,
                            .threshold = 4,
                            .suppressed = 5,
                            .first_us = -6,
                            .last_us = 7,
                            .title = "H12",
                            .runbook = "docs/x.md \xe2\x80\x94 F",
                            .channel = "D0",
                            .source = "app",
                            .process = "web.1",
                            .sample = {(const uint8_t *)"s\0s", 3},
                            .mentions = mentions,
                            .n_mentions = 3,
                            .severity = "critical"},
                      out;

    ROUND_TRIP(alert, &in, &out);
    assert_string_equal(out.id, in.id);
    assert_string_equal(out.kind, "breach");
    assert_string_equal(out.rule, "h12");
    assert_string_equal(out.app, "shop");
    assert_same_group(group, 2, out.group, out.n_group);
    assert_int_equal(out.n_mentions, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(out.mentions[i], mentions[i]);
    assert_string_equal(out.severity, "critical");
    assert_true(out.at_us == 1 && out.count == 2 && out.at_least && out.about && out.arrived_late &&
                out.window_us == 3 && out.threshold == 4 && out.suppressed == 5 &&
                out.first_us == -6 && out.last_us == 7);
    assert_string_equal(out.title, "H12");
    assert_string_equal(out.runbook, in.runbook);
    assert_string_equal(out.channel, "D0");
    assert_string_equal(out.source, "app");
    assert_string_equal(out.process, "web.1");
    assert_int_equal(out.sample.len, 3);
    assert_memory_equal(out.sample.data, "s\0s", 3);
}

static void test_digest_round_trip(void **state)
{
    struct fixture *f = *state;
    struct wire_group group[] = {{"path", "/a b"}, {"process", "web.1"}};
    struct wire_worst worst[] = {{"shop", group, 2, 9}, {"blog", NULL, 0, 1}};
    struct wire_withheld by_app[] = {{"shop", 2}, {"blog", 1}};
    struct wire_alert in = {.kind = WIRE_DIGEST,
                            .rule = "r",
                            .app = "",
                            .title = "",
                            .runbook = "",
                            .channel = "",
                            .source = "",
                            .process = "",
                            .withheld = 3,
                            .groups = 2,
                            .period_us = 60,
                            .worst = worst,
                            .n_worst = 2,
                            .by_app = by_app,
                            .n_by_app = 2},
                      out;

    ROUND_TRIP(alert, &in, &out);
    assert_true(wire_is_digest(&out));
    assert_string_equal(out.kind, "digest");
    assert_true(out.withheld == 3 && out.groups == 2 && out.period_us == 60);
    assert_int_equal(out.n_worst, 2);
    assert_string_equal(out.worst[0].app, "shop");
    assert_int_equal(out.worst[0].count, 9);
    assert_same_group(group, 2, out.worst[0].group, out.worst[0].n_group);
    assert_string_equal(out.worst[1].app, "blog");
    assert_int_equal(out.worst[1].n_group, 0);
    assert_int_equal(out.n_by_app, 2);
    assert_string_equal(out.by_app[1].app, "blog");
    assert_int_equal(out.by_app[1].alerts, 1);
}

static const struct wire_alert bare_alert = {
    .kind = "breach",
    .rule = "r",
    .app = "a",
    .title = "",
    .runbook = "",
    .channel = "",
    .source = "",
    .process = "",
};

/* What an older build wrote has none of the newer fields. */
UNIT_TEST(test_alert_without_anything)
{
    struct fixture *f = *state;
    struct wire_alert out;

    ROUND_TRIP(alert, &bare_alert, &out);
    assert_string_equal(out.severity, "");
    assert_int_equal(out.n_mentions, 0);
    assert_int_equal(out.n_group, 0);
    assert_false(wire_is_digest(&out));
}

static void assert_alert_is(struct fixture *f, const struct wire_alert *in, int rc,
                            const char *says)
{
    struct wire_alert out;
    int got;

    buf_clear(&f->bytes);
    f->err.text[0] = '\0';
    assert_int_equal(wire_pack_alert(in, &f->bytes), 0);
    got = wire_unpack_alert(f->wire, f->bytes.data, f->bytes.len, &out, &f->err);
    if (got != rc || strstr(f->err.text, says) == NULL)
        fail_msg("%d, %s (expected %d, %s)", got, f->err.text, rc, says);
}

UNIT_TEST(test_alert_bounds)
{
    static struct wire_group group[WIRE_GROUP_MAX + 1];
    static const char *mentions[600];
    struct wire_alert in = bare_alert;

    for (size_t i = 0; i < sizeof group / sizeof group[0]; i++)
        group[i] = (struct wire_group){"process", "p"};
    for (size_t i = 0; i < sizeof mentions / sizeof mentions[0]; i++)
        mentions[i] = "U012AB";
    in.group = group;
    in.mentions = mentions;
    in.n_group = WIRE_GROUP_MAX;
    in.n_mentions = WIRE_MENTIONS_MAX;
    assert_alert_is(*state, &in, 0, "");
    in.n_mentions++;
    assert_alert_is(*state, &in, ERR_INPUT, "mentions: 33 parts (at most 32)");
    in.n_mentions = 600;
    assert_alert_is(*state, &in, ERR_INPUT, "mentions: 600 parts (at most 32)");
    in.n_mentions = 0;
    in.n_group++;
    assert_alert_is(*state, &in, ERR_INPUT, "group: 5 parts (at most 4)");
    in.n_group = 0;
    mentions[0] = "\xc3";
    in.n_mentions = 1;
    assert_alert_is(*state, &in, ERR_INPUT, "mentions: is not UTF-8");
    in.n_mentions = 0;
    in.severity = "\xff";
    assert_alert_is(*state, &in, ERR_INPUT, "severity: is not UTF-8");
}

/* An alert may hold any process that came in a record. */
UNIT_TEST(test_alert_of_a_long_process)
{
    static char process[60000];
    struct wire_group group = {"process", process};
    struct wire_alert in = bare_alert;

    memset(process, 'p', sizeof process - 1);
    in.group = &group;
    in.n_group = 1;
    assert_alert_is(*state, &in, 0, "");
}

static void assert_group_is(struct fixture *f, const struct wire_group *group, size_t n, int rc,
                            const char *says)
{
    struct wire_matches m = {
        .rule = "r", .source = "", .process = "", .group = group, .n_group = n};
    struct wire_record in = {.drain = "", .frame_id = "", .matches = &m, .n_matches = 1}, out;
    int got;

    buf_clear(&f->bytes);
    f->err.text[0] = '\0';
    assert_int_equal(wire_pack_record(&in, &f->bytes), 0);
    got = wire_unpack_record(f->wire, f->bytes.data, f->bytes.len, &out, &f->err);
    if (got != rc || strstr(f->err.text, says) == NULL)
        fail_msg("%d, %s (expected %d, %s)", got, f->err.text, rc, says);
}

UNIT_TEST(test_group_bounds)
{
    static char longest[WIRE_GROUP_TEXT_MAX + 2];
    struct wire_group group[WIRE_GROUP_MAX + 1];

    memset(longest, 'x', WIRE_GROUP_TEXT_MAX);
    for (size_t i = 0; i < sizeof group / sizeof group[0]; i++)
        group[i] = (struct wire_group){longest, longest};
    assert_group_is(*state, group, WIRE_GROUP_MAX, 0, "");
    assert_group_is(*state, group, WIRE_GROUP_MAX + 1, ERR_INPUT, "group: 5 parts (at most 4)");
    longest[WIRE_GROUP_TEXT_MAX] = 'x';
    group[0] = (struct wire_group){"k", longest};
    assert_group_is(*state, group, 1, ERR_INPUT, "group: 1025 bytes (at most 1024)");
    group[0] = (struct wire_group){longest, ""};
    assert_group_is(*state, group, 1, ERR_INPUT, "group: 1025 bytes (at most 1024)");
    group[0] = (struct wire_group){"k", "a\xe2\x80"};
    assert_group_is(*state, group, 1, ERR_INPUT, "group: is not UTF-8");
}

UNIT_TEST(test_append_at_ceiling_changes_nothing)
{
    struct wire_record in = sample_record();
    struct buf small;

    buf_init(&small, 100);
    assert_int_equal(buf_puts(&small, "before"), 0);
    assert_int_equal(wire_pack_record(&in, &small), ERR_FULL);
    assert_int_equal(small.len, 6);
    assert_string_equal(buf_text(&small), "before");
    buf_close(&small);
}

UNIT_TEST(test_refused_records)
{
    static const struct {
        const char *data;
        size_t len;
        int rc;
        const char *says;
    } table[] = {
        {"", 0, ERR_INPUT, "no version"},
        {VERSION_1, 2, ERR_INPUT, "sender: 0 bytes"},
        {VERSION_1 "\x12\x03"
                   "abc",
         7, ERR_INPUT, "sender: 3 bytes"},
        {"\x08\x02" SENDER_IN_2, 20, ERR_VERSION, "version 2"},
        {"\x08\xff\xff\xff\xff\x0f" SENDER_IN_2, 24, ERR_VERSION, "version 4294967295"},
        {VERSION_1 SENDER_IN_2 "\x2a\x02\xc3\x28", 24, ERR_INPUT, "drain: is not UTF-8"},
        {VERSION_1 SENDER_IN_2 "\x32\x01\xff", 23, ERR_INPUT, "frame_id: is not UTF-8"},
        {VERSION_1 SENDER_IN_2 "\x5a\x03\x0a\x01\x80", 25, ERR_INPUT, "rule: is not UTF-8"},
        {VERSION_1 SENDER_IN_2 "\x5a\x7f", 22, ERR_INPUT, "are not a Record"},
        {VERSION_1 SENDER_IN_2 "\x2a\xff\xff\xff\xff\x0f", 26, ERR_INPUT, "are not a Record"},
        {"GET / HTTP/1.1\r\n", 16, ERR_INPUT, "are not a Record"},
    };
    struct fixture *f = *state;
    struct wire_record out;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int rc = wire_unpack_record(f->wire, table[i].data, table[i].len, &out, &f->err);

        if (rc != table[i].rc || strstr(f->err.text, table[i].says) == NULL)
            fail_msg("row %zu: %d, %s", i, rc, f->err.text);
    }
}

/* What a newer build marks as not for this one still says who sent it, so that it can be told. */
UNIT_TEST(test_newer_version_keeps_the_sender)
{
    static const char push[] = "\x08\x02" SENDER_IN_2;
    struct fixture *f = *state;
    struct wire_push out;

    assert_int_equal(wire_unpack_push(f->wire, push, sizeof push - 1, &out, &f->err), ERR_VERSION);
    assert_memory_equal(out.sender, "0123456789abcdef", 16);
}

/* Fields that a newer build added are passed over; a zero byte ends a text. */
UNIT_TEST(test_unknown_fields_and_zero_bytes)
{
    static const char record[] = VERSION_1 SENDER_IN_2 "\x2a\x03"
                                                       "a\0b"
                                                       "\xfa\x06\x02hi"
                                                       "\x80\x07\x05";
    static const char entry[] = VERSION_1 "\x10\x07"
                                          "\xfa\x06\x02hi";
    struct fixture *f = *state;
    struct wire_record out;
    struct wire_entry e;

    assert_int_equal(wire_unpack_record(f->wire, record, sizeof record - 1, &out, &f->err), 0);
    assert_string_equal(out.drain, "a");
    assert_int_equal(wire_unpack_entry(f->wire, entry, sizeof entry - 1, &e, &f->err), 0);
    assert_int_equal(e.input, WIRE_INPUT_NONE);
    assert_int_equal(e.step_us, 7);
}

UNIT_TEST(test_long_sample_is_cut)
{
    struct fixture *f = *state;
    static uint8_t sample[3000];
    struct wire_matches m = {.rule = "r", .source = "", .process = "", .sample = {sample, 3000}};
    struct wire_record in = {.drain = "", .frame_id = "", .matches = &m, .n_matches = 1}, out;

    for (size_t i = 0; i < sizeof sample; i++) /* an e with acute across the edge */
        sample[i] = i % 2 ? 0xc3 : 0xa9;
    ROUND_TRIP(record, &in, &out);
    assert_int_equal(out.matches[0].sample.len, WIRE_SAMPLE_MAX - 1);
}

UNIT_TEST(test_absurd_sizes)
{
    struct fixture *f = *state;
    struct wire_record out;
    char *text = malloc((64 << 10) + 2);
    struct wire_record in = {.drain = text, .frame_id = ""};

    memset(text, 'a', (64 << 10) + 1);
    text[(64 << 10) + 1] = '\0';
    assert_int_equal(wire_pack_record(&in, &f->bytes), 0);
    assert_int_equal(wire_unpack_record(f->wire, f->bytes.data, f->bytes.len, &out, &f->err),
                     ERR_INPUT);
    assert_non_null(strstr(f->err.text, "drain: 65537 bytes"));
    free(text);
    assert_int_equal(
        wire_unpack_record(f->wire, f->bytes.data, WIRE_MESSAGE_MAX + 1, &out, &f->err), ERR_INPUT);
    assert_non_null(strstr(f->err.text, "at most 2097152"));
}

/* The head of a message and `n` times a piece unpack to more memory than any message may take. */
#define ASSERT_BOMB(kind, head, n, piece)                                                          \
    do {                                                                                           \
        struct wire_##kind out_;                                                                   \
        buf_clear(&f->bytes);                                                                      \
        PUT(&f->bytes, VERSION_1 SENDER_IN_2 head);                                                \
        for (int i_ = 0; i_ < (n); i_++)                                                           \
            PUT(&f->bytes, piece);                                                                 \
        assert_int_equal(wire_unpack_##kind(f->wire, f->bytes.data, f->bytes.len, &out_, &f->err), \
                         ERR_INPUT);                                                               \
        assert_non_null(strstr(f->err.text, "more than 32 MiB"));                                  \
    } while (0)

/* 2 MB of empty submessages, which protobuf-c alone would blow up to 160 MB. */
UNIT_TEST(test_bombs)
{
    struct fixture *f = *state;
    struct wire_push push;

    ASSERT_BOMB(record, "", 1000000, "\x5a\x00");
    ASSERT_BOMB(push, "", 1040000, "\x22\x00");
    ASSERT_BOMB(record, "\x5a\x80\x89\x7a", 1000000, "\x32\x00"); /* one Matches of 2 MB */
    ASSERT_BOMB(record, "", 200000, "\x5a\x08\x32\x00\x32\x00\x32\x00\x32\x00");
    buf_clear(&f->bytes); /* and the next message is read as if there had been none */
    PUT(&f->bytes, VERSION_1 SENDER_IN_2);
    assert_int_equal(wire_unpack_push(f->wire, f->bytes.data, f->bytes.len, &push, &f->err), 0);
}

UNIT_TEST(test_alert_mutations)
{
    static const char *const mentions[] = {"here", "U012AB"};
    struct fixture *f = *state;
    struct wire_alert in = bare_alert, out;
    uint8_t *bytes;
    size_t n;

    in.group = sample_group;
    in.n_group = 4;
    in.mentions = mentions;
    in.n_mentions = 2;
    in.severity = "error";
    assert_int_equal(wire_pack_alert(&in, &f->bytes), 0);
    n = f->bytes.len;
    bytes = malloc(n);
    for (int i = 0; i < 20000; i++) {
        int rc;

        memcpy(bytes, f->bytes.data, n);
        for (uint64_t k = next_random() % 3 + 1; k > 0; k--)
            bytes[next_random() % n] = (uint8_t)next_random();
        rc = wire_unpack_alert(f->wire, bytes, n, &out, &f->err);
        assert_true(rc == 0 || rc == ERR_INPUT || rc == ERR_VERSION);
        if (rc == 0)
            assert_true(out.n_group <= WIRE_GROUP_MAX && out.n_mentions <= WIRE_MENTIONS_MAX);
    }
    free(bytes);
}

/* Every prefix and 20,000 mutations: an answer each, whatever it is; sanitizers watch. */
UNIT_TEST(test_mutations)
{
    struct fixture *f = *state;
    struct wire_record in = sample_record(), record;
    struct wire_push push;
    struct wire_entry entry;
    struct wire_alert alert;
    uint8_t bytes[512];
    size_t n;

    assert_int_equal(wire_pack_record(&in, &f->bytes), 0);
    n = f->bytes.len;
    assert_true(n <= sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        uint8_t *exact = malloc(i + 1); /* of that size, so that a read beyond it is seen */

        memcpy(exact, f->bytes.data, i);
        (void)wire_unpack_record(f->wire, exact, i, &record, &f->err);
        free(exact);
    }
    for (int i = 0; i < 20000; i++) {
        int rc;

        memcpy(bytes, f->bytes.data, n);
        for (uint64_t k = next_random() % 4 + 1; k > 0; k--)
            bytes[next_random() % n] = (uint8_t)next_random();
        rc = wire_unpack_record(f->wire, bytes, n, &record, &f->err);
        assert_true(rc == 0 || rc == ERR_INPUT || rc == ERR_VERSION);
        (void)wire_unpack_push(f->wire, bytes, n, &push, &f->err);
        (void)wire_unpack_entry(f->wire, bytes, n, &entry, &f->err);
        (void)wire_unpack_alert(f->wire, bytes, n, &alert, &f->err);
    }
}

UNIT_TEST(test_arena_bound)
{
    struct arena a = {0};
    void *first;

    arena_reset(&a, 1 << 20);
    assert_null(arena_alloc(&a, (1 << 20) + 1));
    assert_true(a.over && !a.no_memory);
    arena_reset(&a, 1 << 20);
    assert_false(a.over);
    assert_non_null(arena_alloc(&a, 1 << 20));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_reset(&a, 1 << 20);
    first = arena_alloc(&a, 100);
    assert_int_equal((uintptr_t)arena_alloc(&a, 1) % _Alignof(max_align_t), 0);
    arena_reset(&a, 1 << 20);
    assert_ptr_equal(arena_alloc(&a, 100), first); /* the block was kept */
    arena_close(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_record_round_trip),
        TEST(test_record_without_anything),
        TEST(test_record_large_and_extreme),
        TEST(test_record_bytes),
        TEST(test_group_bytes),
        TEST(test_push_round_trip),
        TEST(test_ack_round_trip),
        TEST(test_entry_round_trip),
        TEST(test_entry_larger_than_a_message),
        TEST(test_alert_round_trip),
        TEST(test_digest_round_trip),
        TEST(test_alert_without_anything),
        TEST(test_alert_bounds),
        TEST(test_alert_of_a_long_process),
        TEST(test_group_bounds),
        cmocka_unit_test(test_append_at_ceiling_changes_nothing),
        TEST(test_refused_records),
        TEST(test_newer_version_keeps_the_sender),
        TEST(test_unknown_fields_and_zero_bytes),
        TEST(test_long_sample_is_cut),
        TEST(test_absurd_sizes),
        TEST(test_bombs),
        TEST(test_mutations),
        TEST(test_alert_mutations),
        cmocka_unit_test(test_arena_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
