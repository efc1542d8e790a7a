/* A small rule book, compiled once, for the targets that take whole deliveries. */
#ifndef DRAINWATCH_TESTS_FUZZ_BOOK_H
#define DRAINWATCH_TESTS_FUZZ_BOOK_H

#include "tests/fuzz/feed.h"

#include "common/base/err.h"
#include "ingest/collect/rulebook.h"

#define BOOK_RECEIVED INT64_C(1778141172000000) /* 2026-05-07T08:06:12Z */

static inline struct rulebook *book_new(void)
{
    static const char text[] =
        "app: a\n"
        "slack: {channel: C0123456789}\n"
        "redact: ['user=\\w+']\n"
        "rules:\n"
        "  - {name: h12, source: heroku, process: router, field: code=H12, more_than: 1,\n"
        "     within: 5m, group_by: [path, process], fold_ids: yes}\n"
        "  - {name: storm, match: STORM, unless: 'no STORM', more_than: 1, within: 5m}\n";
    const struct rules *rules;
    struct rulebook *book;
    struct buf faults;
    struct err err;

    buf_init(&faults, RULES_FAULTS_MAX);
    assert(rules_parse(text, sizeof text - 1, "rules.yaml", &rules, &faults) == 0);
    buf_close(&faults);
    assert(rulebook_new(rules, &book, &err) == 0);
    return book;
}

#endif
