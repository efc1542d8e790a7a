#include "ingest/receipt.h"

#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>

static void write_one(uint64_t lines, char out[RECEIPT_SIZE])
{
    snprintf(out, RECEIPT_SIZE,
             "heroku_log_drain: processed %" PRIu64 " lines from logplex delivery", lines);
}

bool receipt_add(struct receipt *r, uint64_t lines, int64_t now_us, char out[RECEIPT_SIZE])
{
    if (r->window_ends_us != 0 && (now_us < r->window_ends_us || r->deliveries > 0)) {
        r->lines += lines;
        r->deliveries++;
        return false;
    }
    r->window_ends_us = now_us + TIME_S;
    write_one(lines, out);
    return true;
}

bool receipt_due(struct receipt *r, int64_t now_us, bool all, char out[RECEIPT_SIZE])
{
    if (r->window_ends_us == 0 || (now_us < r->window_ends_us && !all))
        return false;
    if (r->deliveries == 0) {
        r->window_ends_us = 0;
        return false;
    }
    if (r->deliveries == 1)
        write_one(r->lines, out);
    else
        snprintf(out, RECEIPT_SIZE,
                 "heroku_log_drain: processed %" PRIu64 " lines from %" PRIu64
                 " logplex deliveries",
                 r->lines, r->deliveries);
    *r = (struct receipt){.window_ends_us = now_us + TIME_S};
    return true;
}

int64_t receipt_next_us(const struct receipt *r)
{
    return r->deliveries > 0 ? r->window_ends_us : INT64_MAX;
}
