/* Tests the table of keys and its bounds. */
#include "alerter/engine/keys.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_US INT64_C(1778141172000000)

static struct key *put(struct keys *k, const char *rule, const char *value)
{
    const struct window_run run = {.ms = AT_US / 1000, .n = 1};
    struct key *key = keys_touch(k, "app", rule, &value, value == NULL ? 0 : 1);

    assert_non_null(key);
    assert_int_equal(keys_put(k, key, &run, 1, 1000, 10), 0);
    return key;
}

UNIT_TEST(a_key_is_found_by_all_of_its_name)
{
    static const char *const two[] = {"a", "b"};
    struct keys *k = keys_new();
    struct key *plain, *group, *other;

    assert_non_null(k);
    plain = put(k, "r", NULL);
    group = put(k, "r", "");
    other = put(k, "s", "");
    assert_true(plain != group && group != other);
    assert_ptr_equal(put(k, "r", NULL), plain);
    assert_ptr_equal(put(k, "r", ""), group);
    assert_ptr_equal(keys_touch(k, "app", "r", two, 1), keys_touch(k, "app", "r", two, 1));
    assert_ptr_not_equal(keys_touch(k, "app", "s", two, 2), keys_touch(k, "app", "s", two, 1));
    assert_string_equal(key_app(group), "app");
    assert_string_equal(key_rule(group), "r");
    keys_free(k);
}

UNIT_TEST(only_families_that_were_touched_are_looked_at)
{
    struct keys *k = keys_new();

    assert_non_null(k);
    put(k, "r", "1");
    put(k, "r", "2");
    put(k, "r", "3");
    put(k, "s", "1");
    put(k, "none", NULL);
    assert_int_equal(keys_keep_groups(k, 3), 0);
    assert_int_equal(keys_keep_groups(k, 1), 0);
    put(k, "s", "2");
    assert_int_equal(keys_keep_groups(k, 1), 1);
    put(k, "r", "1"); /* it was the stalest */
    assert_int_equal(keys_keep_groups(k, 2), 1);
    assert_int_equal(keys_counts(k).keys, 4);
    assert_int_equal(keys_counts(k).times, 4);
    put(k, "r", "1");
    put(k, "r", "3");
    assert_int_equal(keys_keep_groups(k, 2), 0);
    assert_int_equal(keys_counts(k).keys, 4); /* so these two were there */
    keys_free(k);
}

/* The whole of a touched family goes. */
UNIT_TEST(a_family_that_went_is_forgotten)
{
    struct keys *k = keys_new();

    assert_non_null(k);
    put(k, "r", "1");
    put(k, "s", "1");
    put(k, "none", NULL);
    assert_int_equal(keys_keep(k, 1, 100), 2);
    assert_int_equal(keys_keep_groups(k, 1), 0);
    put(k, "r", "1");
    put(k, "r", "2");
    assert_int_equal(keys_keep_groups(k, 1), 1);
    keys_free(k);
}

/* Thousands of keys come, are touched and go in random order, and now and then others or they are
 * expected; an array of when each was touched last says which must be there. */

enum { NAMES = 3000, KEPT = 1000, TOUCHES = 40000 };

struct model {
    int last[NAMES]; /* 0: it is not there */
    size_t n;
};

/* Of two rules that are touched at random, the one with a third of the names and the other. */
static bool is_of_small(size_t number)
{
    return number % 3 == 0;
}

static size_t model_count(const struct model *m, bool small)
{
    size_t n = 0;

    for (size_t i = 0; i < NAMES; i++)
        n += m->last[i] != 0 && is_of_small(i) == small;
    return n;
}

static void model_drop(struct model *m, bool small)
{
    size_t stalest = SIZE_MAX;

    for (size_t i = 0; i < NAMES; i++)
        if (m->last[i] != 0 && is_of_small(i) == small &&
            (stalest == SIZE_MAX || m->last[i] < m->last[stalest]))
            stalest = i;
    m->last[stalest] = 0;
    m->n--;
}

static void model_keep(struct model *m, size_t max)
{
    while (m->n > max) {
        const size_t n_small = model_count(m, true), n_large = m->n - n_small;
        const bool small = n_small > n_large;
        const size_t size = small ? n_small : n_large;

        for (size_t i = 0; i < 1 + size / 16; i++)
            model_drop(m, small);
    }
}

/* The key of a number: its rule, and the value of its group. */
static const char *name(size_t number, char value[32])
{
    snprintf(value, 32, "%s%zu", number % 7 == 0 ? "a/longer/path/of/some/page/" : "", number);
    return is_of_small(number) ? "r" : "another-rule";
}

static void put_number(struct keys *k, struct model *m, size_t number, int now)
{
    char value[32];

    put(k, name(number, value), value);
    m->n += m->last[number] == 0;
    m->last[number] = now;
    assert_int_equal(keys_counts(k).keys, m->n);
}

UNIT_TEST(a_large_table_finds_what_an_array_holds)
{
    static struct model m;
    struct keys *k = keys_new();
    uint64_t random = 88172645463325252;

    assert_non_null(k);
    for (int i = 1; i <= TOUCHES; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        put_number(k, &m, random % NAMES, i);
        if (random >> 32 & 1)
            continue;
        keys_keep(k, KEPT + (size_t)i % 64, SIZE_MAX);
        model_keep(&m, KEPT + (size_t)i % 64);
        assert_int_equal(keys_counts(k).keys, m.n);
        assert_int_equal(keys_counts(k).times, m.n);
    }
    for (size_t i = 0; i < NAMES; i++) /* present keys first, so that none is added twice */
        if (m.last[i] != 0)
            put_number(k, &m, i, TOUCHES);
    for (size_t i = 0; i < NAMES; i++)
        if (m.last[i] == 0)
            put_number(k, &m, i, TOUCHES);
    assert_int_equal(m.n, NAMES);
    keys_free(k);
}

/* Loading. */

static bool rule_is_r(void *ctx, const char *rule, size_t n_group)
{
    (void)ctx;
    return strcmp(rule, "r") == 0 && n_group == 1;
}

static const struct keys_limits LIMITS = {.keys = 3, .groups = 3, .key_times = 10};

static int load(const struct buf *bytes, const struct keys_limits *limits, size_t *n)
{
    struct keys *k = keys_new();
    struct snapshot_reader r;
    struct err err;
    int rc;

    assert_non_null(k);
    assert_int_equal(snapshot_open(&r, bytes->data, bytes->len, &err), 0);
    rc = keys_load(k, &r, limits, AT_US, rule_is_r, NULL);
    assert_true(rc != 0 || snapshot_complete(&r));
    *n = keys_counts(k).keys;
    keys_free(k);
    return rc;
}

UNIT_TEST(what_is_loaded_keeps_its_bounds)
{
    struct keys_limits few_keys = LIMITS, few_groups = LIMITS;
    struct keys *k = keys_new();
    struct snapshot_writer w;
    struct buf bytes;
    size_t n;

    assert_non_null(k);
    put(k, "r", "1");
    put(k, "r", "");
    put(k, "r", "3");
    buf_init(&bytes, 1000);
    snapshot_begin(&w, &bytes);
    keys_save(k, &w);
    assert_int_equal(snapshot_finish(&w), 0);
    assert_int_equal(load(&bytes, &LIMITS, &n), 0);
    assert_int_equal(n, 3);
    few_keys.keys = 2;
    assert_int_equal(load(&bytes, &few_keys, &n), ERR_DAMAGED);
    few_groups.groups = 2;
    assert_int_equal(load(&bytes, &few_groups, &n), ERR_DAMAGED);
    buf_close(&bytes);
    keys_free(k);
}

/* A window that holds one match. */
static void save_window(struct snapshot_writer *w)
{
    const struct window_run run = {.ms = AT_US / 1000, .n = 1};
    struct window window;

    window_init(&window);
    assert_int_equal(window_put(&window, &run, 1, 1000, 10), 0);
    window_save(&window, w);
    window_close(&window);
}

/* One key as keys_save writes it, with one fault. */
static int load_name(const char *app, size_t app_len, const char *rule, uint64_t n_group,
                     size_t n_values, size_t value_len)
{
    char *value = calloc(1, value_len + 1);
    struct snapshot_writer w;
    struct buf bytes;
    size_t n;
    int rc;

    assert_non_null(value);
    memset(value, 'v', value_len);
    buf_init(&bytes, 32 << 20);
    snapshot_begin(&w, &bytes);
    snapshot_put_u64(&w, 1);
    snapshot_put_bytes(&w, app, app_len);
    snapshot_put_bytes(&w, rule, strlen(rule));
    snapshot_put_u64(&w, n_group);
    for (size_t i = 0; i < n_values; i++)
        snapshot_put_bytes(&w, value, value_len);
    snapshot_put_i64(&w, KEY_NEVER);
    snapshot_put_u64(&w, 0);
    snapshot_put_u64(&w, 0); /* not noted */
    snapshot_put_i64(&w, KEY_NEVER);
    snapshot_put_u64(&w, 0); /* nothing came late */
    save_window(&w);
    assert_int_equal(snapshot_finish(&w), 0);
    rc = load(&bytes, &LIMITS, &n);
    buf_close(&bytes);
    free(value);
    return rc;
}

UNIT_TEST(names_that_nobody_saves_are_refused)
{
    assert_int_equal(load_name("app", 3, "r", 1, 1, 5), 0);
    assert_int_equal(load_name("app", 3, "s", 1, 1, 5), ERR_DAMAGED);
    assert_int_equal(load_name("app", 3, "r", 0, 0, 5), ERR_DAMAGED);
    assert_int_equal(load_name("app", 3, "r", 2, 2, 5), ERR_DAMAGED);
    assert_int_equal(load_name("app", 3, "r", UINT32_MAX, 1, 5), ERR_DAMAGED);
    assert_int_equal(load_name("app", 3, "r", (uint64_t)UINT32_MAX + 2, 1, 5), ERR_DAMAGED);
    assert_int_equal(load_name("a\0b", 3, "r", 1, 1, 5), ERR_DAMAGED);
    assert_int_equal(load_name("app", 3, "r", 1, 1, (4 << 20) - 7),
                     0); /* "app", "r", three zeros */
    assert_int_equal(load_name("app", 3, "r", 1, 1, (4 << 20) - 6), ERR_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_found_by_all_of_its_name),
        cmocka_unit_test(only_families_that_were_touched_are_looked_at),
        cmocka_unit_test(a_family_that_went_is_forgotten),
        cmocka_unit_test(a_large_table_finds_what_an_array_holds),
        cmocka_unit_test(what_is_loaded_keeps_its_bounds),
        cmocka_unit_test(names_that_nobody_saves_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
