/* Lines for a collect, and its records. */
#ifndef DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_COLLECT_LINES_H
#define DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_COLLECT_LINES_H

#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "ingest/collect/collect.h"
#include "ingest/collect/delivery_records.h"

#include <string.h>

static inline struct rulebook *book_of(const struct rules *of)
{
    struct err err = {.text = ""};
    struct rulebook *b;

    if (rulebook_new_borrowed(of, &b, &err) != 0)
        fail_msg("%s", err.text);
    return b;
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

/* Valid until the next call. */
static inline const struct wire_record *records_of(struct collect *t, int64_t received_us,
                                                   size_t *n)
{
    static struct delivery_records records;
    const struct wire_record whole = {.received_us = received_us, .drain = "", .frame_id = ""};
    const struct wire_matches *matches;

    assert_int_equal(collect_matches(t, &matches, n), 0);
    assert_int_equal(delivery_records_make(&records, &whole, matches, *n), 0);
    *n = records.n;
    return records.items;
}

#endif
