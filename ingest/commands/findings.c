/* Sums up what a scan found and prints it; used by scan. */
#include "ingest/commands/findings.h"

#include "common/base/err.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SILENT_MAX = 10 }; /* rules that matched nothing are named up to here, else counted */

struct findings_rule {
    UT_hash_handle hh;
    const char *name;
    uint64_t matches;
};

int findings_open(struct findings *f, const struct rules *rules)
{
    *f = (struct findings){.rules = calloc(rules->n + 1, sizeof *f->rules), .n = rules->n};
    if (f->rules == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n; i++) {
        struct findings_rule *rule = &f->rules[i];

        rule->name = rules->rules[i].name;
        HASH_ADD_KEYPTR(hh, f->by_name, rule->name, strlen(rule->name), rule);
        if (rule->hh.tbl == NULL)
            return ERR_NOMEM;
    }
    return 0;
}

void findings_close(struct findings *f)
{
    HASH_CLEAR(hh, f->by_name);
    free(f->rules);
    *f = (struct findings){0};
}

void findings_add(struct findings *f, const struct wire_record *record)
{
    for (size_t i = 0; i < record->n_matches; i++) {
        struct findings_rule *rule;

        HASH_FIND_STR(f->by_name, record->matches[i].rule, rule);
        if (rule != NULL)
            rule->matches += record->matches[i].n_times;
    }
    if (record->received_us == 0)
        f->timeless += record->lines;
    if (record->received_us > f->newest_us)
        f->newest_us = record->received_us;
    f->late += f->newest_us - record->received_us >= TIME_HOUR;
}

void findings_log(struct findings *f, const char *name, struct delivery_counts counts,
                  const char *program)
{
    if (!counts.has_time && counts.lines > 0) {
        f->untimed += counts.lines;
        fprintf(stderr,
                "%s: %s: none of its %" PRIu64 " %s has a time or a source that can be read, "
                "so nothing can be said of when they came (scan reads heroku logs, Logplex frames, "
                "Papertrail archives, and JSON lines with \"timestamp\" and \"message\")\n",
                program, name, counts.lines, text_plural(counts.lines, "line", "lines"));
    }
    f->lines += counts.lines;
    f->bytes += counts.bytes;
    f->malformed += counts.malformed;
    f->lost += counts.lost;
}

bool findings_are_timeless(const struct findings *f)
{
    return f->lines > 0 && f->untimed == f->lines;
}

static void print_rules(struct findings *f, const char *program)
{
    size_t silent = 0;

    for (size_t i = 0; i < f->n; i++)
        silent += f->rules[i].matches == 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct findings_rule *rule = &f->rules[i];

        if (rule->matches > 0 || silent <= SILENT_MAX)
            fprintf(stderr, "%s:   %s: %" PRIu64 " %s\n", program, rule->name, rule->matches,
                    text_plural(rule->matches, "match", "matches"));
    }
    if (silent > SILENT_MAX)
        fprintf(stderr, "%s:   %zu more %s matched nothing\n", program, silent,
                text_plural(silent, "rule", "rules"));
}

void findings_print(struct findings *f, const char *program)
{
    char start[TIME_UTC_SIZE];

    fprintf(stderr, "%s: scanned %" PRIu64 " %s, %" PRIu64 " %s\n", program, f->lines,
            text_plural(f->lines, "line", "lines"), f->bytes,
            text_plural(f->bytes, "byte", "bytes"));
    print_rules(f, program);
    if (f->malformed > 0)
        fprintf(stderr, "%s: %" PRIu64 " malformed: lengths that are none, and lines over 64 KiB\n",
                program, f->malformed);
    if (f->lost > 0)
        fprintf(stderr, "%s: %" PRIu64 " lost: lines that Logplex says it dropped\n", program,
                f->lost);
    if (f->timeless > 0 && !findings_are_timeless(f)) {
        time_format_utc(0, start);
        fprintf(stderr,
                "%s: %" PRIu64 " matched before the first line with a time, and are taken at %s\n",
                program, f->timeless, start);
    }
    if (f->late > 0)
        fprintf(stderr,
                "%s: %" PRIu64 " more than an hour older than a line before them, which may count "
                "for nothing (give the oldest log first)\n",
                program, f->late);
}
