/* Tests which rules take the same lines. */
#include "alerter/engine/ruleset.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 300 };

/* Reads a file of `n` rules named "rule-0" and so on. */
static void read_rules(struct ruleset *set, int n)
{
    static char text[MOST * 80 + 100];
    struct err err;
    size_t len = (size_t)snprintf(text, sizeof text, "slack: {channel: C0}\napp: a\nrules:\n");

    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "  - {name: rule-%d, match: x%d, more_than: 1, within: 1m, "
                                "cooldown: 1m}\n",
                                i, i);
    assert_int_equal(ruleset_read(set, text, len, &err), 0);
}

UNIT_TEST(each_rule_is_found_and_no_other)
{
    for (int n = 1; n <= MOST; n += n < 20 ? 1 : 31) {
        struct ruleset set;
        char name[32];

        read_rules(&set, n);
        assert_int_equal(set.rules->n, n);
        for (int i = 0; i < 2 * n; i++) {
            const struct rule *rule;

            snprintf(name, sizeof name, "rule-%d", i);
            rule = ruleset_find(&set, name);
            assert_int_equal(rule != NULL, i < n);
            if (rule != NULL)
                assert_string_equal(rule->name, name);
        }
        assert_null(ruleset_find(&set, ""));
        assert_null(ruleset_find(&set, "rule-"));
        assert_null(ruleset_find(&set, "rule-0 "));
        ruleset_close(&set);
    }
}

UNIT_TEST(without_rules_none_is_found)
{
    struct ruleset set = {0};
    struct err err;

    assert_null(ruleset_find(&set, "rule-0"));
    ruleset_close(&set);
    assert_int_equal(ruleset_read(&set, "rules: 3\n", 9, &err), ERR_INPUT);
    assert_null(ruleset_find(&set, "rule-0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_is_found_and_no_other),
        cmocka_unit_test(without_rules_none_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
