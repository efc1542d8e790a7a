/* The summary of a scan, for the person who started it. It prints to standard error. */
#ifndef DRAINWATCH_INGEST_COMMANDS_FINDINGS_H
#define DRAINWATCH_INGEST_COMMANDS_FINDINGS_H

#include "common/record/wire.h"
#include "common/rules/rules.h"
#include "ingest/collect/delivery.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct findings_rule;

/* All zeros before open. */
struct findings {
    struct findings_rule *rules; /* in the order of the rules file */
    struct findings_rule *by_name;
    size_t n;
    uint64_t lines;
    uint64_t bytes;
    uint64_t malformed;
    uint64_t lost;
    uint64_t timeless; /* lines that matched, before the first with a time */
    uint64_t untimed;  /* lines of logs in which no line has a time */
    uint64_t late;     /* records an hour and more older than one before them */
    int64_t newest_us;
};

/* The rules must outlive it. Returns 0 or ERR_NOMEM. */
int findings_open(struct findings *f, const struct rules *rules);
void findings_close(struct findings *f);

/* Adds a line that matched or tells of a loss. */
void findings_add(struct findings *f, const struct wire_record *record);
/* One log is done. Prints a line if none of its lines had a time. */
void findings_log(struct findings *f, const char *name, struct delivery_counts counts,
                  const char *program);
/* Whether there were lines and all of them lay in logs without times. */
bool findings_are_timeless(const struct findings *f);

/* Prints lines that begin with "PROGRAM: ". */
void findings_print(struct findings *f, const char *program);

#endif
