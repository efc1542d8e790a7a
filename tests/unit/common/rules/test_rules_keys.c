/* The keys of a rule, each good and bad. test_rules.c tests the faults that all keys share. */
#include "common/base/time.h"
#include "tests/unit/common/rules/rules_reading.h"

static void a_rule_of_all_keys_is_read(void **state)
{
    const struct rules *rules = read_good("app: shop\n"
                                          "apps: [{name: pay, drain: d.1}]\n"
                                          "slack: {channel: C1, mention: here}\n"
                                          "redact: ['token=\\S+', 'b+']\n"
                                          "rules:\n"
                                          "  - name: all\n"
                                          "    severity: critical\n"
                                          "    apps: [pay, shop]\n"
                                          "    field: status=5..\n"
                                          "    unless: ['x', 'path=\"/healthz\"']\n"
                                          "    more_than: 3\n"
                                          "    within: 5m\n"
                                          "    group_by: [process, path]\n"
                                          "    redact: 'user=\\S+'\n"
                                          "    sample: no\n"
                                          "    mention: [everyone, U0A, W0B, S0C]\n"
                                          "  - {name: few, match: x, more_than: 1, within: 1s}\n");
    const struct rule *all = &rules->rules[0], *few = &rules->rules[1];

    (void)state;
    assert_list(rules->redacts, 2, "token=\\S+", "b+");
    assert_string_equal(all->severity, "critical");
    assert_list(all->apps, 2, "pay", "shop");
    assert_list(all->unless, 2, "x", "path=\"/healthz\"");
    assert_list(all->group_by, 2, "process", "path");
    assert_list(all->redacts, 1, "user=\\S+", "user=\\S+");
    assert_false(all->sample);
    assert_list(all->mentions, 4, "everyone", "S0C");
    assert_string_equal(few->severity, "");
    assert_int_equal(few->apps.n + few->unless.n + few->group_by.n + few->redacts.n, 0);
    assert_true(few->sample);
    assert_list(few->mentions, 1, "here", "here");
    rules_free(rules);
}

static void yes_and_no_are_taken_in_any_case(void **state)
{
    static const char *const words[] = {"yes", "no", "true", "false", "Yes", "No", "TRUE", "False"};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char lines[100];
        const struct rules *rules;

        snprintf(lines, sizeof lines, "    match: x\n    sample: %s\n", words[i]);
        rules = read_rule(lines);
        assert_int_equal(rules->rules[0].sample, i % 2 == 0);
        rules_free(rules);
    }
    assert_rule_faults("    match: x\n    sample: 0\n",
                       "r.yaml:8: sample: \"0\" is neither yes nor no (write \"sample: no\")\n");
    assert_rule_faults("    match: x\n    sample: [no]\n",
                       "r.yaml:8: sample: is a list or a mapping, not one text (write \"sample: "
                       "no\")\n");
}

static void severities_are_four(void **state)
{
    static const char *const words[] = {"info", "warning", "error", "critical"};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char lines[100];
        const struct rules *rules;

        snprintf(lines, sizeof lines, "    match: x\n    severity: %s\n", words[i]);
        rules = read_rule(lines);
        assert_string_equal(rules->rules[0].severity, words[i]);
        rules_free(rules);
    }
    assert_rule_faults("    match: x\n    severity: Critical\n",
                       "r.yaml:8: severity: \"Critical\" is not a severity (write info, warning, "
                       "error or critical)\n");
    assert_rule_faults("    match: x\n    severity: ''\n",
                       "r.yaml:8: severity: has no value (write \"severity: critical\"; quote a "
                       "text that begins with \"#\")\n");
}

#define NOT_A_KEY                                                                                  \
    " is not a key (write \"process\", or the key alone of a KEY=VALUE pair; several as a list, "  \
    "such as \"group_by: [process, path]\")\n"

static void groups_are_few_distinct_keys(void **state)
{
    const struct rules *rules = read_rule("    match: x\n    group_by: [a, b, c, process]\n");

    (void)state;
    assert_list(rules->rules[0].group_by, RULES_GROUP_BY_MAX, "a", "process");
    rules_free(rules);
    rules = read_rule("    match: x\n    group_by: path\n    fold_ids: yes\n");
    assert_true(rules->rules[0].fold_ids);
    rules_free(rules);
    assert_rule_faults("    match: x\n    group_by: process\n    fold_ids: yes\n",
                       "r.yaml:4: fold_ids: there is no path to fold ids in (add \"group_by: "
                       "path\", or take \"fold_ids\" out)\n");
    assert_rule_faults("    match: x\n    group_by: [a, b, c, d, e]\n",
                       "r.yaml:8: group_by: is a list of 5 (keep 4 at most)\n");
    assert_rule_faults("    match: x\n    group_by:\n    - a\n    - b\n    - a\n    - a\n",
                       "r.yaml:11: group_by: \"a\" comes twice, first on line 9 (keep one of "
                       "them)\n"
                       "r.yaml:12: group_by: \"a\" comes twice, first on line 9 (keep one of "
                       "them)\n");
    assert_rule_faults(
        "    match: x\n    group_by: [a b, code=H12, '\"a\"', \"it's\", 'a,b', ' ']\n",
        "r.yaml:8: group_by: \"a b\"" NOT_A_KEY "r.yaml:8: group_by: \"code=H12\"" NOT_A_KEY
        "r.yaml:8: group_by: \"\"a\"\"" NOT_A_KEY "r.yaml:8: group_by: \"it's\"" NOT_A_KEY
        "r.yaml:8: group_by: \"a,b\"" NOT_A_KEY "r.yaml:8: group_by: \" \"" NOT_A_KEY);
    assert_rule_faults("    match: x\n    group_by: ''\n",
                       "r.yaml:8: group_by: has no value (write \"group_by: path\"; quote a text "
                       "that begins with \"#\")\n");
}

static void assert_messages(const struct rule *rule, uint64_t n, int64_t period_us)
{
    assert_int_equal(rule->messages.n, n);
    assert_int_equal(rule->messages.period_us, period_us);
}

static void a_budget_is_the_rules_own_or_the_files_or_five_a_minute(void **state)
{
    const struct rules *rules = read_good(HEAD RULE);

    (void)state;
    assert_messages(&rules->rules[0], 5, TIME_MINUTE);
    rules_free(rules);
    rules = read_good(HEAD RULE "  - {name: b, match: x, more_than: 3, within: 5m, messages: "
                                "1000/1s}\nmessages: 1/1h\n");
    assert_messages(&rules->rules[0], 1, TIME_HOUR);
    assert_messages(&rules->rules[1], 1000, TIME_S);
    rules_free(rules);
}

static void a_budget_is_a_number_in_a_time(void **state)
{
    static const char *const words[] = {"5",     "5/",     "/1m",    "5/1",       "5 / 1m",
                                        "-5/1m", "5/1m/2", "5.5/1m", "unlimited", "9999999999/1m"};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char lines[100], want[200];

        snprintf(lines, sizeof lines, "    match: x\n    messages: %s\n", words[i]);
        snprintf(want, sizeof want,
                 "r.yaml:8: messages: \"%s\" is not a number of messages in a time (write "
                 "\"messages: 5/1m\")\n",
                 words[i]);
        assert_rule_faults(lines, want);
    }
    assert_rule_faults(
        "    match: x\n    messages: 0/1m\n",
        "r.yaml:8: messages: \"0/1m\" has a wrong number (write 1 to 1000 messages)\n");
    assert_rule_faults(
        "    match: x\n    messages: 1001/1m\n",
        "r.yaml:8: messages: \"1001/1m\" has a wrong number (write 1 to 1000 messages)\n");
    assert_rule_faults("    match: x\n    messages: 5/999ms\n",
                       "r.yaml:8: messages: \"5/999ms\" has a wrong time (write 1s to 1h)\n");
    assert_rule_faults("    match: x\n    messages: 5/61m\n",
                       "r.yaml:8: messages: \"5/61m\" has a wrong time (write 1s to 1h)\n");
    assert_faults("messages: many\n" HEAD RULE,
                  "r.yaml:1: messages: \"many\" is not a number of messages in a time (write "
                  "\"messages: 5/1m\")\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_of_all_keys_is_read),
        cmocka_unit_test(yes_and_no_are_taken_in_any_case),
        cmocka_unit_test(severities_are_four),
        cmocka_unit_test(groups_are_few_distinct_keys),
        cmocka_unit_test(a_budget_is_the_rules_own_or_the_files_or_five_a_minute),
        cmocka_unit_test(a_budget_is_a_number_in_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
