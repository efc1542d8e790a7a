/* Redaction that is counted, and fails when a test wants it; linked with -Wl,--wrap=redact_append. */
#ifndef DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_REDACT_FAILS_H
#define DRAINWATCH_TESTS_UNIT_INGEST_COLLECT_REDACT_FAILS_H

#include "ingest/collect/redact.h"
#include "tests/unit/unit.h"

/* What redaction answers in place of itself; 0: it works. */
static int redact_fails;
static int redact_calls;

int __real_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out);
int __wrap_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out);

/* A failure halfway through the text. */
int __wrap_redact_append(struct redact *r, uint32_t rule, const char *text, size_t n,
                         struct buf *out)
{
    redact_calls++;
    if (redact_fails == 0)
        return __real_redact_append(r, rule, text, n, out);
    assert_int_equal(buf_append(out, text, n / 2), 0);
    return redact_fails;
}

#endif
