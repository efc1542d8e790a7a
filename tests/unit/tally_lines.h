/* Lines for a tally, and what comes out of it. */
#ifndef DRAINWATCH_TESTS_UNIT_TALLY_LINES_H
#define DRAINWATCH_TESTS_UNIT_TALLY_LINES_H

#include "tests/unit/unit.h"

#include "common/err.h"
#include "ingest/tally.h"

#include <string.h>

static inline struct redact *redact_of(const struct rules *of)
{
    struct err err = {.text = ""};
    struct redact *r;

    if (redact_new(of, &r, &err) != 0)
        fail_msg("%s", err.text);
    return r;
}

static inline struct logplex_text text(const char *s)
{
    return (struct logplex_text){s, strlen(s)};
}

static inline int add(struct tally *t, const char *source, const char *process, const char *message,
                      int64_t time_us, const uint32_t *which, size_t n)
{
    struct logplex_line line = {
        .source = text(source), .process = text(process), .message = text(message)};

    return tally_add(t, &line, time_us, which, n);
}

static inline const struct tally_part *parts_of(struct tally *t, size_t *n)
{
    const struct tally_part *parts;

    assert_int_equal(tally_settle(t), 0);
    assert_int_equal(tally_parts(t, &parts, n), 0);
    return parts;
}

#endif
