/* Tests of bodies to records. */
#include "tests/unit/ingest/collect/delivery_body.h"

static const char *const at_end[] = {"code=H12$"};
static const struct rule ends[] = {{.name = "end", .matches = {at_end, 1}}};
static const char *const by_path[] = {"path"}, *const by_two[] = {"dyno", "process"};
static const char *const secret[] = {"sid=[0-9]+"};
static const struct rule grouped[] = {
    {.name = "path",
     .fields = &h12,
     .n_fields = 1,
     .sample = true,
     .group_by = {by_path, 1},
     .redacts = {secret, 1}},
    {.name = "dyno", .fields = &h12, .n_fields = 1, .group_by = {by_two, 2}},
};
static const struct rule fours[] = {
    {.name = "a", .fields = &h12, .n_fields = 1},
    {.name = "b", .fields = &h12, .n_fields = 1},
    {.name = "c", .fields = &h12, .n_fields = 1},
    {.name = "d", .fields = &h12, .n_fields = 1},
};

UNIT_TEST(test_a_delivery)
{
    const struct wire_record *r;

    setup(shipped, 2);
    add_frame(-2000000, "heroku", "router", "at=info code=H11 path=\"/\"\n");
    add_frame(-1000000, "heroku", "router", "at=error code=H12 path=\"/1\"\n");
    add_frame(-900000, "app", "web.1", "[CRITICAL] WORKER TIMEOUT (pid:12)");
    add_frame(-800000, "heroku", "router", "at=error code=H12 path=\"/2\"\n");
    add_frame(-700000, "app", "web.1", "code=H12");
    deliver();
    assert_int_equal(f.n_records, 1);
    r = &f.records[0];
    assert_string_equal(r->drain, "d.1234");
    assert_string_equal(r->frame_id, "frame-1");
    assert_true(r->received_us == RECEIVED && r->lines == 5 && r->bytes == f.len);
    assert_true(r->malformed == 0 && r->lost == 0 && !r->count_differs);
    assert_int_equal(r->n_matches, 2);
    assert_string_equal(r->matches[0].rule, "h12");
    assert_string_equal(r->matches[0].source, "heroku");
    assert_string_equal(r->matches[0].process, "router");
    assert_int_equal(r->matches[0].n_times, 2);
    assert_true(r->matches[0].times_us[0] == RECEIVED - 1000000);
    assert_true(r->matches[0].times_us[1] == RECEIVED - 800000);
    assert_int_equal(r->matches[0].sample.len, 27);
    assert_memory_equal(r->matches[0].sample.data, "at=error code=H12 path=\"/2\"", 27);
    assert_string_equal(r->matches[1].process, "web.1");
    assert_true(f.counts.lines == 5 && matches_of(NULL) == 3 && f.counts.own_lines == 0);
}

UNIT_TEST(test_nothing_to_record)
{
    setup(shipped, 2);
    add_frame(0, "heroku", "router", "at=info status=200\n");
    deliver();
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 1);
    f.len = 0;
    deliver();
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 0);
}

/* Bytes of all records, packed. */
static void pack(struct buf *out)
{
    buf_init(out, 64 << 20);
    for (size_t i = 0; i < f.n_records; i++)
        assert_int_equal(wire_pack_record(&f.records[i], out), 0);
}

UNIT_TEST(test_chunks_do_not_matter)
{
    static const size_t chunks[] = {1, 2, 7, 100, 4096};
    struct buf whole, part;

    setup(shipped, 2);
    for (int i = 0; i < 40; i++) {
        add_frame(i * 1000, "heroku", i % 3 ? "router" : "other", "at=error code=H12 x\n");
        add_frame(i * 1000, "app", "web.1", "a\n WORKER TIMEOUT \n b");
        add_text("bare line code=H12\n");
        add_frame(i * 1000, "heroku", "logplex",
                  "Error L10 (output buffer overflow): 3 messages dropped since x.");
        add_text("99999999 junk\n");
    }
    deliver_in(f.len);
    pack(&whole);
    assert_true(f.counts.lost == 120 && matches_of(NULL) == 120);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        deliver_in(chunks[i]);
        pack(&part);
        assert_int_equal(part.len, whole.len);
        assert_memory_equal(part.data, whole.data, whole.len);
        buf_close(&part);
    }
    buf_close(&whole);
}

UNIT_TEST(test_a_storm_is_small)
{
    struct buf out;

    setup(shipped, 2);
    for (int i = 0; i < 100; i++)
        add_frame(-100000 + i * 997, "heroku", "router",
                  "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\" status=503\n");
    deliver();
    assert_int_equal(matches_of("h12"), 100);
    assert_int_equal(f.records[0].n_matches, 1);
    pack(&out);
    assert_true(out.len < 500);
    buf_close(&out);
}

/* The next byte behind each of these frames is the next one's length. */
UNIT_TEST(test_frames_without_newline)
{
    setup(ends, 1);
    for (int i = 0; i < 3; i++)
        add_frame(0, "heroku", "router", "at=error code=H12");
    add_frame(0, "heroku", "router", "at=error code=H12 more");
    deliver();
    assert_int_equal(f.counts.lines, 4);
    assert_int_equal(matches_of("end"), 3);
}

UNIT_TEST(test_visitors_cannot_fake)
{
    setup(shipped, 2);
    add_frame(0, "heroku", "router", "at=info path=\"/?code=H12\" fwd=\"a code=H12 b\"\n");
    add_frame(0, "heroku", "router", "at=info path=\"/\" fwd=\"\\\" code=H12 \\\"\"\n");
    add_frame(0, "app", "web.1", "code=H12\n");
    deliver();
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 3);
}

UNIT_TEST(test_own_lines)
{
    setup(shipped, 2);
    add_frame(0, "app", "web.1", "heroku_log_drain: processed 4 lines WORKER TIMEOUT\n");
    add_frame(0, "app", "web.1", "drainwatch-alerter: WORKER TIMEOUT\n");
    add_frame(0, "heroku", "router", "method=POST path=\"/api/internal/heroku-log-drain\"\n");
    deliver();
    assert_int_equal(f.n_records, 0);
    assert_int_equal(f.counts.lines, 3);
    assert_int_equal(f.counts.own_lines, 3);
    add_frame(0, "heroku", "router", "method=POST path=\"/\"\n");
    deliver();
    assert_int_equal(f.counts.lines, 4);
    assert_int_equal(f.counts.own_lines, 3);
}

UNIT_TEST(test_losses)
{
    setup(shipped, 2);
    add_frame(
        0, "heroku", "logplex",
        "Error L10 (output buffer overflow): 20 messages dropped since 2026-05-07T08:06:12Z.");
    add_frame(0, "heroku", "logplex", "drain 'd.1234' dropped 3 messages");
    add_frame(0, "app", "logplex", "dropped 1000 messages");
    deliver();
    assert_int_equal(f.n_records, 1);
    assert_int_equal(f.records[0].n_matches, 0);
    assert_int_equal(f.records[0].lost, 23);
    f.head.drop_count = "4";
    f.head.lost_count = "100";
    deliver();
    assert_int_equal(f.records[0].lost, 127);
    f.head.drop_count = "-4";
    f.head.lost_count = "99999999999999999999999";
    deliver();
    assert_int_equal(f.records[0].lost, 23);
    f.head.drop_count = f.head.lost_count = "18446744073709551615";
    deliver();
    assert_true(f.records[0].lost == UINT64_MAX);
    f.len = 0; /* a loss is recorded even if the body is empty */
    deliver();
    assert_int_equal(f.n_records, 1);
}

UNIT_TEST(test_declared_count)
{
    static const struct {
        const char *count;
        bool differs;
    } cases[] = {{NULL, false}, {"1", false}, {"2", true},  {"", true},
                 {"one", true}, {"1 ", true}, {"-1", true}, {"18446744073709551617", true}};

    setup(shipped, 2);
    add_frame(0, "heroku", "router", "code=H12\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f.head.msg_count = cases[i].count;
        deliver();
        assert_int_equal(f.records[0].count_differs, cases[i].differs);
        assert_int_equal(f.counts.count_differs, cases[i].differs);
        assert_int_equal(matches_of("h12"), 1);
    }
}

UNIT_TEST(test_times)
{
    static const int64_t offsets[] = {0, 123456, -TIME_HOUR, 400 * TIME_DAY, -400 * TIME_DAY};

    setup(shipped, 2);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        f.len = 0;
        add_frame(offsets[i], "heroku", "router", "code=H12\n");
        deliver();
        assert_true(f.records[0].matches[0].times_us[0] == RECEIVED + offsets[i]);
    }
    f.len = 0;
    add_text("code=H12\n");
    deliver();
    assert_true(f.records[0].matches[0].times_us[0] == RECEIVED);
    assert_string_equal(f.records[0].matches[0].source, "");
}

UNIT_TEST(test_names)
{
    static char longest[1000];

    memset(longest, 'f', sizeof longest - 1);
    setup(shipped, 2);
    add_text("code=H12\n");
    f.head.drain = "a\x01z";
    f.head.frame_id = NULL;
    deliver();
    assert_string_equal(f.records[0].drain, "a\\x01z");
    assert_string_equal(f.records[0].frame_id, "");
    f.head.drain = f.head.frame_id = longest;
    deliver();
    assert_int_equal(strlen(f.records[0].drain), DELIVERY_DRAIN_MAX);
    assert_false(delivery_takes_name(longest));
    assert_false(delivery_takes_name(longest + sizeof longest - 2 - DELIVERY_DRAIN_MAX));
    assert_true(delivery_takes_name(longest + sizeof longest - 1 - DELIVERY_DRAIN_MAX));
    assert_string_equal(f.records[0].frame_id, "");
    f.head.drain = f.head.frame_id = "";
    deliver();
    assert_string_equal(f.records[0].drain, "");
}

/* One line, two rules, each with groups of its own. */
UNIT_TEST(test_groups)
{
    const struct wire_matches *m;

    setup(grouped, 2);
    add_frame(0, "heroku", "router", "code=H12 path=\"/a-sid=1\" dyno=web.1\n");
    add_frame(0, "heroku", "router", "code=H12 path=\"/a-sid=2\" dyno=web.2\n");
    deliver();
    assert_int_equal(matches_of(NULL), 4);
    assert_int_equal(f.records[0].n_matches, 3);
    m = f.records[0].matches;
    assert_string_equal(m[0].rule, "path");
    assert_int_equal(m[0].n_times, 2);
    assert_int_equal(m[0].n_group, 1);
    assert_string_equal(m[0].group[0].key, "path");
    assert_string_equal(m[0].group[0].value, "/a-…");
    assert_int_equal(m[0].sample.len, strlen("code=H12 path=\"/a-…\" dyno=web.2"));
    assert_null(memmem(m[0].sample.data, m[0].sample.len, "sid", 3));
    for (size_t i = 1; i <= 2; i++) {
        assert_string_equal(m[i].rule, "dyno");
        assert_int_equal(m[i].n_group, 1);
        assert_string_equal(m[i].group[0].key, "dyno");
        assert_string_equal(m[i].group[0].value, i == 1 ? "web.1" : "web.2");
        assert_int_equal(m[i].sample.len, 0);
    }
}

static void deliver_damaged(void)
{
    assert_int_equal(delivery_begin(f.delivery, f.book, &f.head), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 0);
    delivery_count_damage(f.delivery);
    finish();
}

UNIT_TEST(test_damage_is_counted)
{
    setup(shipped, 2);
    add_text("code=H12\n99999999 <1>1 - h a p - x\n");
    deliver_damaged();
    assert_int_equal(f.n_records, 1);
    assert_int_equal(f.records[0].malformed, 2);
    assert_int_equal(f.records[0].lost, 1);
    assert_int_equal(f.counts.lost, 1);
    assert_int_equal(matches_of("h12"), 1);
    deliver();
    assert_int_equal(f.records[0].malformed, 1);
    assert_int_equal(f.records[0].lost, 0);
    f.head.lost_count = "18446744073709551615";
    deliver_damaged();
    assert_true(f.records[0].lost == UINT64_MAX);
}

/* A missing line could have matched, so the alerter must know. */
UNIT_TEST(test_damage_is_told_without_matches)
{
    setup(shipped, 2);
    deliver_damaged();
    assert_int_equal(f.n_records, 1);
    add_frame(0, "heroku", "router", "at=info status=200\n");
    deliver_damaged();
    assert_int_equal(f.n_records, 1);
    assert_int_equal(f.records[0].n_matches, 0);
    assert_true(f.records[0].lines == 1 && f.records[0].lost == 1 && f.records[0].malformed == 1);
    assert_string_equal(f.records[0].frame_id, "frame-1");
}

UNIT_TEST(test_an_unfinished_body_counts_for_nothing)
{
    setup(shipped, 2);
    add_frame(0, "heroku", "router", "code=H12\n");
    assert_int_equal(delivery_begin(f.delivery, f.book, &f.head), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len), 0);
    assert_int_equal(delivery_push(f.delivery, f.body, f.len - 3), 0);
    deliver();
    assert_int_equal(matches_of("h12"), 1);
    assert_int_equal(f.records[0].lines, 1);
}

/* The shortest matching lines, as many as a body can hold, for one rule and for four. */
static void check_full_body(const struct rule *rules, size_t n_rules)
{
    static const char line[] = "code=H12\n";
    const size_t lines = (8 << 20) / (sizeof line - 1);
    struct wire *w = wire_new();
    uint64_t sum = 0;

    setup(rules, n_rules);
    for (size_t i = 0; i < lines; i++)
        memcpy(f.body + i * (sizeof line - 1), line, sizeof line - 1);
    f.len = lines * (sizeof line - 1);
    deliver();
    assert_int_equal(f.n_records, n_rules); /* 0.93 MB each, of 1 MiB in a record */
    for (size_t i = 0; i < f.n_records; i++) {
        struct wire_record back;
        struct err err;
        struct buf out;
        char id[32];

        buf_init(&out, WIRE_MESSAGE_MAX);
        assert_int_equal(wire_pack_record(&f.records[i], &out), 0);
        assert_int_equal(wire_unpack_record(w, out.data, out.len, &back, &err), 0);
        for (size_t j = 0; j < back.n_matches; j++)
            sum += back.matches[j].n_times;
        snprintf(id, sizeof id, i == 0 ? "frame-1" : "frame-1#%zu", i + 1);
        assert_string_equal(back.frame_id, id);
        assert_int_equal(back.lines, i == 0 ? lines : 0);
        assert_string_equal(back.drain, "d.1234");
        buf_close(&out);
    }
    assert_int_equal(sum, lines * n_rules);
    assert_int_equal(matches_of(rules[n_rules - 1].name), lines);
    f.len = sizeof line - 1; /* and the next one begins anew */
    deliver();
    assert_int_equal(f.n_records, 1);
    assert_int_equal(matches_of(rules[0].name), 1);
    wire_free(w);
}

UNIT_TEST(test_full_bodies)
{
    check_full_body(fours, 1);
    check_full_body(fours, 4);
}

UNIT_TEST(test_the_memory_that_it_holds)
{
    static const char line[] = "code=H12 path=/\n";
    const size_t lines = 100000;
    char cut[4001];
    size_t held;

    memset(cut, 'x', sizeof cut);
    setup(fours, 1);
    for (size_t i = 0; i < lines; i++)
        add_text(line);
    deliver();
    held = delivery_held_bytes(f.delivery);
    assert_in_range(held, lines * sizeof(int64_t), 2 * lines * sizeof(int64_t) + 20000);
    assert_int_equal(delivery_begin(f.delivery, f.book, &f.head), 0);
    held = delivery_held_bytes(f.delivery);
    assert_in_range(held, 0, 4000);
    assert_int_equal(delivery_push(f.delivery, cut, sizeof cut), 0); /* without its end */
    assert_in_range(delivery_held_bytes(f.delivery), held + sizeof cut - 100,
                    held + 2 * sizeof cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_memory_that_it_holds),
        cmocka_unit_test(test_a_delivery),
        cmocka_unit_test(test_nothing_to_record),
        cmocka_unit_test(test_chunks_do_not_matter),
        cmocka_unit_test(test_a_storm_is_small),
        cmocka_unit_test(test_frames_without_newline),
        cmocka_unit_test(test_visitors_cannot_fake),
        cmocka_unit_test(test_own_lines),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_declared_count),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_damage_is_counted),
        cmocka_unit_test(test_damage_is_told_without_matches),
        cmocka_unit_test(test_an_unfinished_body_counts_for_nothing),
        cmocka_unit_test(test_full_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
