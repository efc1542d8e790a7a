/* Bodies for a delivery, the shipped rules, and the records. */
#ifndef DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_DELIVERY_BODY_H
#define DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_DELIVERY_BODY_H

#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "common/base/time.h"
#include "ingest/collect/delivery.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVED INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

enum { BODY_MAX = 9 << 20 };

static const char *const heroku[] = {"heroku"}, *const app[] = {"app"};
static const char *const timeout[] = {"WORKER TIMEOUT"};
static const struct rules_field h12 = {.key = "code", .value = "H12"};
static const struct rule shipped[] = {
    {.name = "h12", .sources = {heroku, 1}, .fields = &h12, .n_fields = 1, .sample = true},
    {.name = "gunicorn", .sources = {app, 1}, .matches = {timeout, 1}, .sample = true},
};

/* Of the current test. */
static struct fixture {
    struct rules rules;
    struct rulebook *book;
    struct delivery *delivery;
    struct delivery_head head;
    const struct wire_record *records;
    size_t n_records;
    struct delivery_counts counts;
    char *body;
    size_t len;
} f;

static inline int teardown(void **state)
{
    (void)state;
    free(f.body);
    delivery_free(f.delivery);
    rulebook_release(f.book);
    return 0;
}

static inline void setup(const struct rule *rules, size_t n)
{
    struct err err = {.text = ""};

    teardown(NULL);
    f = (struct fixture){.rules = {.app = "app", .rules = rules, .n = n}};
    f.head =
        (struct delivery_head){.received_us = RECEIVED, .drain = "d.1234", .frame_id = "frame-1"};
    if (rulebook_new_borrowed(&f.rules, &f.book, &err) != 0)
        fail_msg("%s", err.text);
    f.delivery = delivery_new();
    f.body = malloc(BODY_MAX);
    assert_non_null(f.delivery);
    assert_non_null(f.body);
}

static inline void add_text(const char *text)
{
    size_t n = strlen(text);

    assert_true(f.len + n <= BODY_MAX);
    memcpy(f.body + f.len, text, n);
    f.len += n;
}

/* One frame; `offset_us` is the line's own time from the time of receipt. */
static inline void add_frame(int64_t offset_us, const char *source, const char *process,
                             const char *message)
{
    static char line[8192], frame[8300];
    char time[TIME_RFC3339_SIZE];

    time_format_rfc3339(RECEIVED + offset_us, time);
    snprintf(line, sizeof line, "<158>1 %s host %s %s - %s", time, source, process, message);
    snprintf(frame, sizeof frame, "%zu %s", strlen(line), line);
    add_text(frame);
}

/* Pushes the body and returns what the last push returned. */
static inline int push_in(size_t chunk)
{
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < f.len; at += chunk)
        rc = delivery_push(f.delivery, f.body + at, f.len - at < chunk ? f.len - at : chunk);
    return rc;
}

static inline void finish(void)
{
    assert_int_equal(delivery_finish(f.delivery, &f.records, &f.n_records), 0);
    f.counts = delivery_counts(f.delivery);
}

static inline void deliver_in(size_t chunk)
{
    assert_int_equal(delivery_begin(f.delivery, f.book, &f.head), 0);
    assert_int_equal(push_in(chunk), 0);
    finish();
}

static inline void deliver(void)
{
    deliver_in(32768);
}

/* Of all rules if it is NULL. A line that matches two rules is two. */
static inline uint64_t matches_of(const char *rule)
{
    uint64_t n = 0;

    for (size_t i = 0; i < f.n_records; i++) {
        for (size_t j = 0; j < f.records[i].n_matches; j++) {
            if (rule == NULL || strcmp(f.records[i].matches[j].rule, rule) == 0)
                n += f.records[i].matches[j].n_times;
        }
    }
    return n;
}

#endif
