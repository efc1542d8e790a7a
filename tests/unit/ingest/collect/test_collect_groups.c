/* Tests of group_by: values, redaction, bounds. */
#include "tests/unit/ingest/collect/collect_lines.h"
#include "tests/unit/ingest/collect/redact_fails.h"

#include "ingest/collect/excerpt.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const by_path[] = {"path"};
static const char *const by_all[] = {"status", "process", "path", "dyno"};
static const char *const by_process[] = {"process"};
static const struct rule grouped[] = {
    {.name = "plain", .sample = true},
    {.name = "path", .sample = true, .group_by = {by_path, 1}},
    {.name = "all", .sample = true, .group_by = {by_all, 4}},
    {.name = "process", .sample = true, .group_by = {by_process, 1}},
};
static const uint32_t each[] = {0, 1, 2, 3};

/* Of the current test. */
static struct fixture {
    struct rules rules;
    struct rulebook *book;
    struct collect *collect;
    const struct wire_record *records;
    size_t n_records;
} f;

static int teardown(void **state)
{
    (void)state;
    collect_free(f.collect);
    rulebook_release(f.book);
    return 0;
}

static void setup(const struct rule *of, size_t n, struct rules_list redacts)
{
    teardown(NULL);
    f = (struct fixture){.rules = {.app = "a", .rules = of, .n = n, .redacts = redacts}};
    f.book = book_of(&f.rules);
    f.collect = collect_new();
    assert_non_null(f.collect);
    collect_begin(f.collect, f.book);
}

static void add_all(const char *message)
{
    assert_int_equal(add(f.collect, "app", "web.1", message, 0, each, f.rules.n), 0);
}

/* All matches, which must fit one record. */
static const struct wire_matches *matches_of(size_t n)
{
    f.records = records_of(f.collect, 0, &f.n_records);
    assert_int_equal(f.n_records, 1);
    assert_int_equal(f.records[0].n_matches, n);
    return f.records[0].matches;
}

static void assert_pair(const struct wire_matches *m, size_t i, const char *key, const char *value)
{
    assert_true(i < m->n_group);
    assert_string_equal(m->group[i].key, key);
    assert_string_equal(m->group[i].value, value);
}

static void assert_sample(const struct wire_matches *m, const char *sample)
{
    assert_int_equal(m->sample.len, strlen(sample));
    if (m->sample.len > 0)
        assert_memory_equal(m->sample.data, sample, m->sample.len);
}

UNIT_TEST(test_each_rule_groups_by_its_own_keys)
{
    const struct wire_matches *m;

    setup(grouped, 4, (struct rules_list){0});
    add_all("path=/a status=503 dyno=web.1");
    add_all("path=/a status=500 dyno=web.1");
    add_all("path=/b status=503 dyno=web.1");
    m = matches_of(1 + 2 + 3 + 1);
    assert_string_equal(m[0].rule, "plain");
    assert_int_equal(m[0].n_group, 0);
    assert_int_equal(m[0].n_times, 3);
    assert_string_equal(m[1].rule, "path");
    assert_int_equal(m[1].n_group, 1);
    assert_int_equal(m[1].n_times, 2);
    assert_pair(&m[1], 0, "path", "/a");
    assert_sample(&m[1], "path=/a status=500 dyno=web.1");
    assert_string_equal(m[2].rule, "all"); /* the process keeps its own place */
    assert_int_equal(m[2].n_group, 3);
    assert_string_equal(m[2].process, "web.1");
    assert_pair(&m[2], 0, "status", "503");
    assert_pair(&m[2], 1, "path", "/a");
    assert_pair(&m[2], 2, "dyno", "web.1");
    assert_string_equal(m[3].rule, "process");
    assert_int_equal(m[3].n_group, 0);
    assert_int_equal(m[3].n_times, 3);
    assert_pair(&m[4], 0, "status", "500");
    assert_pair(&m[5], 0, "path", "/b");
    assert_int_equal(m[5].n_times, 1);
    assert_pair(&m[6], 1, "path", "/b");
    collect_begin(f.collect, f.book); /* and nothing of it stays */
    add_all("nothing");
    m = matches_of(4);
    assert_pair(&m[1], 0, "path", "");
    assert_pair(&m[2], 2, "dyno", "");
}

/* ---- values made to collide ---- */

enum { BLOCKS = 13, BLOCK_BYTES = 8, COLLIDING = 1 << BLOCKS };

/* The hashes of the first keys, each of another group. */
static uint32_t hashes[COLLECT_GROUPS_MAX];
static size_t n_hashes;

uint64_t __real_hash_quick(uint64_t seed, const void *bytes, size_t n);
uint64_t __wrap_hash_quick(uint64_t seed, const void *bytes, size_t n);

uint64_t __wrap_hash_quick(uint64_t seed, const void *bytes, size_t n)
{
    uint64_t hash = __real_hash_quick(seed, bytes, n);

    if (n_hashes < COLLECT_GROUPS_MAX)
        hashes[n_hashes++] = (uint32_t)hash;
    return hash;
}

/* FNV-1a without a seed: anybody can make up values that collide in it. */
static uint32_t fnv(uint32_t hash, const void *bytes, size_t n)
{
    const uint8_t *s = bytes;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ s[i]) * UINT32_C(16777619);
    return hash;
}

static void write_block(uint32_t number, char out[BLOCK_BYTES])
{
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        out[i] = (char)('a' + (number * UINT32_C(2654435769) >> 4 * i & 15));
}

/* Finds two blocks that turn `hash` into the same value, and returns that. */
static uint32_t find_blocks(uint32_t hash, char first[BLOCK_BYTES], char second[BLOCK_BYTES])
{
    enum { SLOTS = 1 << 20 };
    uint32_t *numbers = calloc(SLOTS, sizeof *numbers), found = 0;

    assert_non_null(numbers);
    for (uint32_t i = 1; found == 0 && i < SLOTS / 2; i++) {
        uint32_t slot;

        write_block(i, second);
        for (slot = fnv(hash, second, BLOCK_BYTES) % SLOTS; numbers[slot] != 0 && found == 0;
             slot = (slot + 1) % SLOTS) {
            write_block(numbers[slot], first);
            if (fnv(hash, first, BLOCK_BYTES) == fnv(hash, second, BLOCK_BYTES))
                found = i;
        }
        numbers[slot] = i;
    }
    free(numbers);
    assert_int_not_equal(found, 0);
    return fnv(hash, first, BLOCK_BYTES);
}

static int compare_hashes(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* Each path is 13 blocks of two equally good ones, so that 8,192 paths have one FNV hash. */
static void add_colliding(char blocks[2][BLOCKS][BLOCK_BYTES])
{
    char message[6 + BLOCKS * BLOCK_BYTES + 1] = "path=/";

    for (uint32_t value = 0; value < COLLIDING; value++) {
        for (size_t i = 0; i < BLOCKS; i++)
            memcpy(message + 6 + i * BLOCK_BYTES, blocks[value >> i & 1][i], BLOCK_BYTES);
        assert_int_equal(add(f.collect, "app", "web.1", message, 0, each, 1), 0);
    }
}

/* uthash walks the chain of a bucket and compares only keys with an equal hash byte by byte. So a
 * delivery costs no more than others if its hashes are spread. */
UNIT_TEST(test_values_that_collide_without_a_seed_do_not_collide)
{
    static const struct rule rule = {.name = "path", .group_by = {by_path, 1}};
    static char blocks[2][BLOCKS][BLOCK_BYTES];
    uint32_t start = fnv(UINT32_C(2166136261), "\0\0\0\0app\0web.1\0/", 15), hash = start;
    size_t equal = 0, in_bucket[COLLECT_GROUPS_MAX] = {0}, longest = 0;

    for (size_t i = 0; i < BLOCKS; i++)
        hash = find_blocks(hash, blocks[0][i], blocks[1][i]);
    assert_int_equal(hash, fnv(start, blocks[0], sizeof blocks[0]));
    assert_int_equal(hash, fnv(start, blocks[1], sizeof blocks[1]));
    setup(&rule, 1, (struct rules_list){0});
    n_hashes = 0;
    add_colliding(blocks);
    assert_int_equal(n_hashes, COLLECT_GROUPS_MAX);
    qsort(hashes, n_hashes, sizeof *hashes, compare_hashes);
    for (size_t i = 0; i < n_hashes; i++) {
        size_t n = ++in_bucket[hashes[i] % COLLECT_GROUPS_MAX];

        equal += i > 0 && hashes[i] == hashes[i - 1];
        longest = n > longest ? n : longest;
    }
    assert_true(equal <= 1);    /* 0.002 with random numbers */
    assert_true(longest <= 16); /* 6 or 7 with random numbers */
}

/* ---- redaction ---- */

static const char *const of_file[] = {"sid=[0-9a-f]+"};
static const char *const of_rule[] = {"email=[^ \"]+", "inv:\\S"};
static const char *const by_path_and_user[] = {"path", "user"};
static const struct rule redacted[] = {
    {.name = "file", .sample = true, .group_by = {by_path_and_user, 2}},
    {.name = "own", .sample = true, .group_by = {by_path_and_user, 2}, .redacts = {of_rule, 2}},
};

UNIT_TEST(test_redaction_comes_before_grouping)
{
    const struct wire_matches *m;

    setup(redacted, 2, (struct rules_list){of_file, 1});
    add_all("path=\"/x,sid=12ab&email=a@b\" user=inv:1 sid=99");
    add_all("path=\"/x,sid=34cd&email=a@b\" user=inv:2 sid=77");
    m = matches_of(3);
    assert_string_equal(m[0].rule, "file");
    assert_pair(&m[0], 0, "path", "/x,…&email=a@b");
    assert_pair(&m[0], 1, "user", "inv:1");
    assert_string_equal(m[1].rule, "own"); /* where only secrets differ, it is one group */
    assert_int_equal(m[1].n_times, 2);
    assert_pair(&m[1], 1, "user", "…");
    assert_string_equal(m[2].rule, "file");
    assert_pair(&m[2], 1, "user", "inv:2");
    assert_sample(&m[2], "path=\"/x,…&email=a@b\" user=inv:2 …");
    for (size_t i = 0; i < 3; i++) {
        assert_null(memmem(m[i].sample.data, m[i].sample.len, "34", 2));
        assert_null(memmem(m[i].sample.data, m[i].sample.len, "77", 2));
        assert_null(strstr(m[i].group[0].value, "12"));
    }
    assert_null(memmem(m[1].sample.data, m[1].sample.len, "a@b", 3));
    assert_null(strstr(m[1].group[0].value, "a@b"));
}

UNIT_TEST(test_a_rule_may_show_no_sample)
{
    static const struct rule quiet[] = {{.name = "quiet", .group_by = {by_path, 1}},
                                        {.name = "open", .sample = true}};
    const struct wire_matches *m;

    setup(quiet, 2, (struct rules_list){0});
    add_all("path=/a");
    add_all("path=/a");
    m = matches_of(2);
    assert_int_equal(m[0].sample.len, 0);
    assert_int_equal(m[0].n_times, 2);
    assert_pair(&m[0], 0, "path", "/a");
    assert_sample(&m[1], "path=/a");
}

/* Where a message cannot be redacted nothing of it is shown, and the match counts all the same. */
UNIT_TEST(test_failed_redaction_shows_nothing)
{
    static const int reasons[] = {ERR_IO, ERR_FULL};
    const struct wire_matches *m;

    setup(redacted, 2, (struct rules_list){of_file, 1});
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        collect_begin(f.collect, f.book);
        add_all("path=/a user=u sid=12");
        assert_int_equal(collect_keep_samples(f.collect), 0);
        redact_fails = reasons[i];
        add_all("path=/a user=u sid=34");
        m = matches_of(4);
        assert_sample(&m[0], "path=/a user=u …");
        assert_int_equal(m[2].n_times, 1);
        assert_string_equal(m[2].process, "web.1");
        assert_pair(&m[2], 0, "path", "…");
        assert_pair(&m[2], 1, "user", "…");
        assert_int_equal(m[2].sample.len, 0);
        redact_fails = 0;
        add_all("path=/a user=u sid=56"); /* one that only its sample is lost of */
        redact_fails = reasons[i];
        m = matches_of(4);
        redact_fails = 0;
        assert_int_equal(m[0].n_times, 2);
        assert_int_equal(m[0].sample.len, 0);
    }
    redact_fails = ERR_NOMEM;
    assert_int_equal(add(f.collect, "", "", "path=/a", 0, each, 1), ERR_NOMEM);
    redact_fails = 0;
}

/* A path can come from anywhere: of a rule's groups beyond the bound one is made. */
UNIT_TEST(test_values_are_bounded)
{
    enum { PATHS = 3 * COLLECT_GROUPS_MAX };
    size_t groups = 0, matches = 0, folded = 0;

    setup(grouped, 3, (struct rules_list){0});
    for (int64_t i = 0; i < PATHS; i++) {
        static char message[64]; /* of any line, until it is settled */

        snprintf(message, sizeof message, "path=/%d", (int)i);
        assert_int_equal(add(f.collect, "app", "web.1", message, i, each + 1, 2), 0);
    }
    f.records = records_of(f.collect, 0, &f.n_records);
    for (size_t i = 0; i < f.n_records; i++) {
        groups += f.records[i].n_matches;
        for (size_t j = 0; j < f.records[i].n_matches; j++) {
            const struct wire_matches *m = &f.records[i].matches[j];
            size_t n = strcmp(m->rule, "path") == 0 ? 1 : 3;
            char path[32];

            matches += m->n_times;
            assert_int_equal(m->n_group, n);
            snprintf(path, sizeof path, "/%d", (int)m->times_us[0]);
            if (m->process[0] != '\0') {
                assert_pair(m, n / 2, "path", path);
                assert_int_equal(m->n_times, 1);
                continue;
            }
            folded++;
            assert_string_equal(m->source, "");
            for (size_t k = 0; k < n; k++)
                assert_string_equal(m->group[k].value, "…");
            assert_int_equal(m->times_us[m->n_times - 1], PATHS - 1);
        }
    }
    assert_int_equal(matches, 2 * PATHS);
    assert_int_equal(groups, COLLECT_GROUPS_MAX + 2);
    assert_int_equal(folded, 2);
}

/* Paths that somebody made up push no process of another rule into the group of the rest. */
UNIT_TEST(test_many_groups_of_a_rule_take_none_from_another)
{
    size_t processes = 0, longest = 0;

    setup(grouped, 4, (struct rules_list){0});
    for (int64_t i = 0; i < 2 * COLLECT_GROUPS_MAX; i++) {
        static char message[64];

        snprintf(message, sizeof message, "path=/%d", (int)i);
        assert_int_equal(add(f.collect, "app", "web.1", message, i, each + 1, 1), 0);
    }
    for (int i = 0; i < 3 * COLLECT_GROUPS_MAX; i++) {
        char process[32];

        snprintf(process, sizeof process, "run.%d", i);
        assert_int_equal(add(f.collect, "app", process, "", 0, each + 3, 1), 0);
    }
    f.records = records_of(f.collect, 0, &f.n_records);
    for (size_t i = 0; i < f.n_records; i++) {
        for (size_t j = 0; j < f.records[i].n_matches; j++) {
            const struct wire_matches *m = &f.records[i].matches[j];

            if (strcmp(m->rule, "process") != 0)
                continue;
            processes++;
            longest = m->n_times > longest ? m->n_times : longest;
        }
    }
    assert_int_equal(processes, COLLECT_GROUPS_MAX / 4 + 2); /* of four rules */
    assert_int_equal(longest, 3 * COLLECT_GROUPS_MAX - COLLECT_GROUPS_MAX / 4 - 1);
}

UNIT_TEST(test_a_line_is_redacted_once_for_all_its_rules)
{
    static const char *const user[] = {"user=[^ ]+"};
    static const struct wire_matches *m;

    setup(grouped, 4, (struct rules_list){user, 1});
    redact_calls = 0;
    add_all("path=/a status=503 dyno=web.1 user=a");
    add_all("path=/b status=503 dyno=web.1 user=b");
    m = matches_of(6);
    assert_sample(&m[0], "path=/b status=503 dyno=web.1 …");
    assert_sample(&m[1], "path=/a status=503 dyno=web.1 …");
    assert_int_equal(redact_calls, 4); /* of each line the values, then the samples */
}

/* The widest groups, as many as there can be: each record can be sent and read. */
UNIT_TEST(test_wide_groups_fit_their_records)
{
    static const char *const wide_keys[] = {"a", "b", "c", "d"};
    static const struct rule wide = {.name = "w", .group_by = {wide_keys, 4}};
    struct wire *w = wire_new();
    struct wire_record back;
    size_t matches = 0;
    struct err err;
    struct buf out;

    setup(&wide, 1, (struct rules_list){0});
    for (int64_t i = 0; i < 2 * COLLECT_GROUPS_MAX; i++) {
        char message[5000], value[EXCERPT_VALUE_MAX + 1];
        int n = snprintf(value, sizeof value, "%06d", (int)i);

        if (i % 2 == 0) { /* the others are the narrowest, which grow most when they are unpacked */
            memset(value + n, 'v', sizeof value - (size_t)n);
            value[EXCERPT_VALUE_MAX] = '\0';
        }
        snprintf(message, sizeof message, "a=%s b=%s c=%s d=%s", value, value, value, value);
        assert_int_equal(add(f.collect, "app", "web.1", message, i, each, 1), 0);
    }
    f.records = records_of(f.collect, 0, &f.n_records);
    assert_true(f.n_records > 1);
    buf_init(&out, WIRE_MESSAGE_MAX);
    for (size_t i = 0; i < f.n_records; i++) {
        buf_clear(&out);
        assert_int_equal(wire_pack_record(&f.records[i], &out), 0);
        assert_true(out.len <= DELIVERY_RECORDS_BYTES);
        assert_true(i + 1 == f.n_records || out.len > DELIVERY_RECORDS_BYTES / 2);
        assert_int_equal(wire_unpack_record(w, out.data, out.len, &back, &err), 0);
        for (size_t j = 0; j < back.n_matches; j++) {
            matches += back.matches[j].n_times;
            assert_pair(&back.matches[j], 3, "d", f.records[i].matches[j].group[3].value);
        }
    }
    assert_int_equal(matches, 2 * COLLECT_GROUPS_MAX);
    buf_close(&out);
    wire_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_rule_groups_by_its_own_keys),
        cmocka_unit_test(test_values_that_collide_without_a_seed_do_not_collide),
        cmocka_unit_test(test_redaction_comes_before_grouping),
        cmocka_unit_test(test_a_rule_may_show_no_sample),
        cmocka_unit_test(test_failed_redaction_shows_nothing),
        cmocka_unit_test(test_values_are_bounded),
        cmocka_unit_test(test_many_groups_of_a_rule_take_none_from_another),
        cmocka_unit_test(test_a_line_is_redacted_once_for_all_its_rules),
        cmocka_unit_test(test_wide_groups_fit_their_records),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
