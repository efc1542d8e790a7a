/* Lines for a collect, and what comes out of it. */
#ifndef DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_COLLECT_LINES_H
#define DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_COLLECT_LINES_H

#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "ingest/collect/collect.h"

#include <string.h>

static inline struct redact *redact_of(const struct rules *of)
{
    struct err err = {.text = ""};
    struct redact *r;

    if (redact_new(of, &r, &err) != 0)
        fail_msg("%s", err.text);
    return r;
}

static inline struct line_text text(const char *s)
{
    return (struct line_text){s, strlen(s)};
}

static inline int add(struct collect *t, const char *source, const char *process,
                      const char *message, int64_t time_us, const uint32_t *which, size_t n)
{
    struct line line = {.source = text(source), .process = text(process), .message = text(message)};

    return collect_add(t, &line, time_us, which, n);
}

static inline const struct collect_part *parts_of(struct collect *t, size_t *n)
{
    const struct collect_part *parts;

    assert_int_equal(collect_settle(t), 0);
    assert_int_equal(collect_parts(t, &parts, n), 0);
    return parts;
}

#endif
