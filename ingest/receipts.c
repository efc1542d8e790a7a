/* Words the receipts of deliveries; called by notices. */
#include "ingest/receipts.h"

#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>

#define SAME_FRAME "drain sent the same Logplex-Frame-Id before)"

void receipts_init(struct receipts *r)
{
    *r = (struct receipts){.throttle.period_us = TIME_S};
}

static bool is_repeat(struct receipts *r, uint64_t id, int64_t now_us)
{
    struct receipts_frame *frame = &r->frames[id % RECEIPTS_FRAMES];
    bool is_same = frame->id == id && now_us - frame->at_us < TIME_HOUR;

    if (!is_same)
        *frame = (struct receipts_frame){id, now_us};
    return is_same;
}

static bool write_line(struct receipts *r, uint64_t n, char out[RECEIPTS_SIZE])
{
    char from[64] = "logplex delivery", repeats[128] = "";

    if (n == 0)
        return false;
    if (n > 1)
        snprintf(from, sizeof from, "%" PRIu64 " logplex deliveries", n);
    if (n == 1 && r->repeats > 0)
        snprintf(repeats, sizeof repeats, " (a repeat: this " SAME_FRAME);
    else if (r->repeats > 0)
        snprintf(repeats, sizeof repeats, " (%" PRIu64 " %s: the " SAME_FRAME, r->repeats,
                 text_plural(r->repeats, "repeat", "repeats"));
    snprintf(out, RECEIPTS_SIZE, "heroku_log_drain: processed %" PRIu64 " lines from %s%s",
             r->lines, from, repeats);
    r->lines = r->repeats = 0;
    return true;
}

bool receipts_add(struct receipts *r, uint64_t lines, uint64_t frame, int64_t now_us,
                  char out[RECEIPTS_SIZE])
{
    r->lines += lines;
    r->repeats += frame != 0 && is_repeat(r, frame, now_us);
    return write_line(r, throttle_add(&r->throttle, 1, now_us), out);
}

bool receipts_due(struct receipts *r, int64_t now_us, bool all, char out[RECEIPTS_SIZE])
{
    return write_line(r, all ? throttle_flush(&r->throttle) : throttle_add(&r->throttle, 0, now_us),
                      out);
}
