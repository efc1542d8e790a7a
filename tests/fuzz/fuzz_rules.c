/* Any bytes as a rules file: they are rules, which keep what their header says, or they have at
 * least one fault, each in a line that can be shown. */
#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/rules/rules.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 << 10 }; /* Hyperscan may take its time with large expressions */

static bool holds(const struct rules_list *list, const char *text)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i], text) == 0)
            return true;
    }
    return false;
}

static void check_texts(const struct rules_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        assert(list->items[i][0] != '\0');
}

static void check_distinct(const struct rules_list *list)
{
    check_texts(list);
    for (size_t i = 0; i < list->n; i++) {
        struct rules_list before = {list->items, i};

        assert(!holds(&before, list->items[i]));
    }
}

static void check_rule(const struct rules *rules, const struct rule *rule)
{
    static const char *const severities[] = {"", "info", "warning", "error", "critical"};
    const struct rules_list known = {severities, sizeof severities / sizeof severities[0]};

    assert(rule->name[0] != '\0' && rule->title[0] != '\0' && rule->channel[0] != '\0');
    assert(rule->n_fields + rule->matches.n > 0);
    assert(rule->within_us >= TIME_S && rule->cooldown_us >= TIME_S);
    assert(holds(&known, rule->severity) && rule->runbook != NULL);
    for (size_t i = 0; i < rule->n_fields; i++)
        assert(rule->fields[i].key[0] != '\0' && rule->fields[i].value != NULL);
    check_texts(&rule->sources);
    check_texts(&rule->processes);
    check_texts(&rule->matches);
    check_texts(&rule->unless);
    check_texts(&rule->redacts);
    check_distinct(&rule->apps);
    for (size_t i = 0; i < rule->apps.n; i++)
        assert(holds(&rules->app_names, rule->apps.items[i]));
    assert(rule->group_by.n <= RULES_GROUP_BY_MAX);
    check_distinct(&rule->group_by);
    check_distinct(&rule->mentions);
    assert(!holds(&rule->mentions, "none"));
}

static void check_rules(const struct rules *rules)
{
    assert(rules->n >= 1 && rules->n <= RULES_MAX);
    assert(rules->app != NULL || rules->n_drains > 0);
    check_distinct(&rules->app_names);
    assert(rules->app == NULL || strcmp(rules->app_names.items[0], rules->app) == 0);
    for (size_t i = 0; i < rules->n_drains; i++) {
        const struct rules_drain *drain = &rules->drains[i];

        assert(i == 0 || strcmp(rules->drains[i - 1].drain, drain->drain) < 0);
        assert(strcmp(rules_app(rules, drain->drain), drain->app) == 0);
        assert(holds(&rules->app_names, drain->app));
    }
    assert(rules_app(rules, "") == rules->app); /* no drain is listed without a name */
    check_texts(&rules->redacts);
    for (size_t i = 0; i < rules->n; i++)
        check_rule(rules, &rules->rules[i]);
}

/* "f:LINE: what", or the last line, which counts those left out. */
static void check_fault(const char *line, const char *end, bool is_last)
{
    size_t line_number;
    int n = 0;

    if (sscanf(line, "f:%zu: %n", &line_number, &n) == 1 && n > 0) {
        assert(line_number >= 1 && end - line > n);
        return;
    }
    assert(is_last && strncmp(line, "and ", 4) == 0);
}

static void check_faults(const struct buf *faults)
{
    const char *at = buf_text(faults), *all = at + faults->len;

    assert(faults->len > 0 && faults->len <= RULES_FAULTS_MAX && all[-1] == '\n');
    assert(text_is_utf8(at, faults->len) && strlen(at) == faults->len);
    while (at < all) {
        const char *end = strchr(at, '\n');

        check_fault(at, end, end + 1 == all);
        at = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size < INPUT_MAX ? size : INPUT_MAX;
    const struct rules *rules;
    struct buf faults;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    rc = rules_parse((const char *)data, n, "f", &rules, &faults);
    assert(rc == 0 || rc == ERR_INPUT);
    if (rc == 0) {
        assert(faults.len == 0);
        check_rules(rules);
    } else {
        assert(rules == NULL);
        check_faults(&faults);
    }
    rules_free(rules);
    buf_close(&faults);
    return 0;
}
