/* Fails every allocation of the engine once, in turn: it must say ERR_NOMEM, leak nothing and leave
 * what its contract says.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc, so that the functions below stand for
 * those in all that is compiled into this program; libraries keep their own. */
#include "alerter/engine/engine.h"

#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1778141172000000)

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long until_failure = -1; /* how many allocations still succeed; -1: all */

static bool fails(void)
{
    if (until_failure < 0)
        return false;
    return until_failure-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

/* Most drains belong to no app, so that each is one. */
static const char RULES[] = "apps: [{name: console, drain: [d.0, d.1]}]\n"
                            "slack: {channel: C1}\nrules:\n"
                            "  - {name: a, field: code=H12, more_than: 3, within: 5m, "
                            "cooldown: 5m}\n"
                            "  - {name: b, field: code=H13, more_than: 2, within: 2m, "
                            "cooldown: 5m, messages: 1/1s, group_by: [path, process]}\n";

enum { RECORDS = 40 };

/* Records of several drains and keys, large enough for each array to grow. */
static int feed(struct engine *e, int i)
{
    int64_t times[16];
    struct wire_matches groups[2];
    struct engine_outcomes alerts;
    struct engine_event event;
    struct err err;
    struct wire_record record = {.received_us = NOW, .lost = 1, .matches = groups, .n_matches = 2};
    struct wire_group pair = {.key = "path"};
    char drain[16], frame_id[16], path[16];

    for (int t = 0; t < 16; t++)
        times[t] = NOW + (i * 16 + t) * 1000;
    for (int g = 0; g < 2; g++)
        groups[g] = (struct wire_matches){.rule = g == 0 ? "a" : "b",
                                          .source = "",
                                          .process = "",
                                          .times_us = times,
                                          .n_times = i % 3 == 0 ? 16 : 2,
                                          .group = &pair,
                                          .n_group = 1};
    snprintf(path, sizeof path, "/%d", i);
    pair.value = path;
    snprintf(drain, sizeof drain, "d.%d", i % 12);
    snprintf(frame_id, sizeof frame_id, "%d", i);
    record.drain = drain;
    record.frame_id = frame_id;
    event = engine_record_event(&record, NOW + (int64_t)i * 250000); /* a digest each second */
    return engine_step(e, &event, &alerts, &err);
}

static int feed_rules(struct engine *e, struct err *err)
{
    const struct engine_event rules = engine_rules_event(RULES, sizeof RULES - 1, NOW);
    struct engine_outcomes none;

    return engine_step(e, &rules, &none, err);
}

/* All that allocates, in a row, up to the first failure. */
static int all(void)
{
    struct engine *e = engine_new(), *loaded = NULL;
    struct buf bytes;
    struct err err;
    int rc;

    if (e == NULL)
        return ERR_NOMEM;
    buf_init(&bytes, 1 << 20);
    rc = feed_rules(e, &err);
    for (int i = 0; i < RECORDS && rc == 0; i++)
        rc = feed(e, i);
    if (rc == 0)
        rc = engine_save(e, &bytes);
    if (rc == 0)
        rc = engine_load(&loaded, bytes.data, bytes.len, &err);
    if (rc == 0)
        rc = feed(loaded, RECORDS);
    engine_free(loaded);
    engine_free(e);
    buf_close(&bytes);
    return rc;
}

UNIT_TEST(each_allocation_fails_once)
{
    long n = 0;
    int rc;

    do {
        until_failure = n++;
        rc = all();
        assert_true(rc == 0 || rc == ERR_NOMEM);
    } while (until_failure < 0 && n < 100000);
    until_failure = -1;
    assert_int_equal(rc, 0);
    assert_true(n > 50);
}

UNIT_TEST(rules_stay_in_force_where_memory_ran_out)
{
    struct engine *e = engine_new();
    const struct rules *rules;
    struct err err;
    long n = 0;
    int rc;

    assert_non_null(e);
    assert_int_equal(feed_rules(e, &err), 0);
    assert_int_equal(feed(e, 0), 0);
    rules = engine_rules(e);
    do {
        until_failure = n++;
        rc = feed_rules(e, &err);
        if (rc != 0) {
            assert_int_equal(rc, ERR_NOMEM);
            assert_ptr_equal(engine_rules(e), rules);
        }
        assert_int_equal(engine_counts(e).keys, 2);
    } while (rc != 0);
    until_failure = -1;
    assert_int_equal(feed(e, 1), 0);
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(rules_stay_in_force_where_memory_ran_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
