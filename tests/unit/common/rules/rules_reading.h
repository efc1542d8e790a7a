/* Shared by the tests of the rules reader: good texts, and texts with their faults. */
#ifndef DRAINWATCH_TESTS_UNIT_COMMON_RULES_RULES_READING_H
#define DRAINWATCH_TESTS_UNIT_COMMON_RULES_RULES_READING_H

#include "common/base/err.h"
#include "common/rules/rules.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define HEAD "app: shop\nslack: {channel: C1}\nrules:\n" /* rules begin on line 4 */
#define RULE "  - {name: a, field: code=H12, more_than: 3, within: 5m}\n"

static inline const struct rules *read_good(const char *text)
{
    const struct rules *rules;
    struct buf faults;

    buf_init(&faults, RULES_FAULTS_MAX);
    if (rules_parse(text, strlen(text), "r.yaml", &rules, &faults) != 0)
        fail_msg("refused:\n%s%s", text, buf_text(&faults));
    assert_int_equal(faults.len, 0);
    buf_close(&faults);
    return rules;
}

/* The faults of `text` are exactly these lines. */
static inline void assert_faults_n(const char *text, size_t len, const char *want)
{
    const struct rules *rules;
    struct buf faults;

    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(rules_parse(text, len, "r.yaml", &rules, &faults), ERR_INPUT);
    assert_null(rules);
    assert_string_equal(buf_text(&faults), want);
    buf_close(&faults);
}

static inline void assert_faults(const char *text, const char *want)
{
    assert_faults_n(text, strlen(text), want);
}

/* The faults of one rule with `lines` after a good beginning. */
static inline void assert_rule_faults(const char *lines, const char *want)
{
    char text[2000];

    snprintf(text, sizeof text, HEAD "  - name: a\n    more_than: 3\n    within: 5m\n%s", lines);
    assert_faults(text, want);
}

/* One rule with `lines` after a good beginning has one fault, which contains `part`. */
static inline void assert_rule_fault_has(const char *lines, const char *part)
{
    const struct rules *rules;
    struct buf faults;
    char text[2000];

    snprintf(text, sizeof text, HEAD "  - name: a\n    more_than: 3\n    within: 5m\n%s", lines);
    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(rules_parse(text, strlen(text), "r.yaml", &rules, &faults), ERR_INPUT);
    if (strstr(buf_text(&faults), part) == NULL ||
        strchr(buf_text(&faults), '\n') != (const char *)faults.data + faults.len - 1)
        fail_msg("no \"%s\" in\n%s", part, buf_text(&faults));
    buf_close(&faults);
}

/* The rules of one rule with `lines` after a good beginning. */
static inline const struct rules *read_rule(const char *lines)
{
    char text[2000];

    snprintf(text, sizeof text, HEAD "  - name: a\n    more_than: 3\n    within: 5m\n%s", lines);
    return read_good(text);
}

static inline void assert_list(struct rules_list list, size_t n, const char *first,
                               const char *last)
{
    assert_int_equal(list.n, n);
    assert_string_equal(list.items[0], first);
    assert_string_equal(list.items[n - 1], last);
}

#endif
