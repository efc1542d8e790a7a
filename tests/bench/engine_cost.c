/* Measures the cost of one match in the engine, as keys and windows grow.
 *
 *     engine_cost KEYS WINDOW_S EACH_MS
 *
 * A record with one match comes again and again, each from a key at random (of a rule with groups,
 * as many rules as it takes); each key gets one every EACH_MS of virtual time. It fills the windows
 * for as long as a key keeps its matches, then measures. Prints nanoseconds of processor time a
 * match. */
#include "alerter/engine/engine.h"
#include "tests/bench/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GROUPS = 2000, RULES_MOST = 100, TIMED = 300000, RULES_ROOM = 64 << 10 };

struct cost {
    struct engine *engine;
    struct lines random;
    unsigned keys, window_s;
    int64_t step_us, now_us;
    char rules[RULES_MOST][16];
    char processes[GROUPS][16];
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "engine_cost: %s\n", what);
    exit(1);
}

static void set_rules(struct cost *c)
{
    static char text[RULES_ROOM];
    struct engine_event rules;
    struct engine_outcomes none;
    struct err err;
    size_t n = (size_t)snprintf(text, sizeof text, "app: bench\nslack: {channel: C0}\nrules:\n");

    for (unsigned i = 0; i < GROUPS; i++)
        snprintf(c->processes[i], sizeof c->processes[i], "web.%u", i);
    for (unsigned i = 0; i <= c->keys / GROUPS; i++) {
        snprintf(c->rules[i], sizeof c->rules[i], "rule-%u", i);
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "  - {name: rule-%u, match: x, group_by: process, more_than: 1000000,"
                              " within: %us, cooldown: 1m}\n",
                              i, c->window_s);
    }
    rules = engine_rules_event(text, n, 0);
    c->engine = engine_new();
    if (c->engine == NULL || engine_step(c->engine, &rules, &none, &err) != 0)
        fail(c->engine == NULL ? "out of memory" : err.text);
}

static void step(struct cost *c)
{
    unsigned key = (unsigned)lines_random(&c->random, c->keys);
    const struct wire_matches matches = {
        .rule = c->rules[key / GROUPS],
        .source = "app",
        .process = c->processes[key % GROUPS],
        .times_us = &c->now_us,
        .n_times = 1,
        .sample = {(const uint8_t *)"x", 1},
    };
    const struct wire_record record = {
        .received_us = c->now_us + c->step_us,
        .drain = "d.1",
        .frame_id = "",
        .lines = 1,
        .matches = &matches,
        .n_matches = 1,
    };
    const struct engine_event event = engine_record_event(&record, record.received_us);
    struct engine_outcomes alerts;
    struct err err;

    c->now_us = record.received_us;
    if (engine_step(c->engine, &event, &alerts, &err) != 0)
        fail("out of memory");
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static struct cost c = {.random = {.state = 11}, .now_us = INT64_C(1778141172000000)};
    double began;
    uint64_t fill;

    if (argc != 4)
        fail("usage: engine_cost KEYS WINDOW_S EACH_MS");
    c.keys = (unsigned)atoi(argv[1]);
    if (c.keys == 0 || c.keys / GROUPS >= RULES_MOST)
        fail("KEYS is too small or too large");
    c.window_s = (unsigned)atoi(argv[2]);
    c.step_us = INT64_C(1000) * atoi(argv[3]) / c.keys;
    set_rules(&c);
    fill = (uint64_t)((INT64_C(1000000) * c.window_s + ENGINE_LATE_MAX_US) / c.step_us);
    for (uint64_t i = 0; i < fill; i++)
        step(&c);
    began = cpu_ns();
    for (int i = 0; i < TIMED; i++)
        step(&c);
    printf("%.1f\n", (cpu_ns() - began) / TIMED);
    if (engine_counts(c.engine).keys != c.keys || engine_counts(c.engine).unknown_rule > 0)
        fail("the keys are not all there");
    engine_free(c.engine);
    return 0;
}
