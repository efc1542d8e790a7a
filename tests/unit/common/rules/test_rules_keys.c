/* The keys of a rule, each good and bad. What is common to all keys is in test_rules.c. */
#include "tests/unit/common/rules/rules_reading.h"

static const struct rules *read_rule(const char *lines)
{
    char text[2000];

    snprintf(text, sizeof text, HEAD "  - name: a\n    more_than: 3\n    within: 5m\n%s", lines);
    return read_good(text);
}

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

static void fields_are_told_from_patterns(void **state)
{
    static const struct {
        const char *field;
        bool is_pattern;
    } rows[] = {
        {"code=H12", false},   {"path=/a-b_c", false}, {"empty=", false}, {"a=b=c", false},
        {"a=x,y:z#;!", false}, {"a=a.b", true},        {"a=5..", true},   {"a=a\\x", true},
        {"a=^b", true},        {"a=b$", true},         {"a=[b]", true},   {"a=b|c", true},
        {"a=(b)", true},       {"a=b?c", true},        {"a=b*c", true},   {"a=b+", true},
        {"a=b{2}", true},      {"a=b}", true},         {"a=b]", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[100];
        const struct rules *rules;
        const struct rules_field *field;

        snprintf(line, sizeof line, "    field: '%s'\n", rows[i].field);
        rules = read_rule(line);
        field = &rules->rules[0].fields[0];
        if (field->is_pattern != rows[i].is_pattern)
            fail_msg("%s", rows[i].field);
        assert_string_equal(field->value, strchr(rows[i].field, '=') + 1);
        rules_free(rules);
    }
}

static void expressions_are_tried_for_their_use(void **state)
{
    (void)state;
    assert_rule_faults("    match:\n    - fine\n    - 'a(?=b)'\n",
                       "r.yaml:9: match: \"a(?=b)\" cannot be used: Zero-width assertions are not "
                       "supported (lookahead and lookbehind are not supported; write what stands "
                       "there as part of the expression)\n");
    assert_rule_faults(
        "    field: [status=5(, status=.*, 'a=b)(c', fine=5..]\n    unless: ['a*', fine]\n"
        "    redact:\n    - 'b*'\n    - '(c'\n",
        "r.yaml:7: field: \"status=5(\" cannot be used: Missing close parenthesis for group "
        "started "
        "at index 1 (write \"\\(\" or \"\\)\" for the character)\n"
        "r.yaml:7: field: \"status=.*\" cannot be used: it can match an empty value (let it ask "
        "for "
        "at least one character, such as \".+\")\n"
        "r.yaml:7: field: \"a=b)(c\" cannot be used: Unmatched parentheses at index 1 (write "
        "\"\\(\" or \"\\)\" for the character)\n"
        "r.yaml:8: unless: \"a*\" cannot be used: it can match an empty text, and so every line "
        "(let it ask for at least one character)\n"
        "r.yaml:10: redact: \"b*\" cannot be used: it can match an empty text (let it ask for at "
        "least one character)\n"
        "r.yaml:11: redact: \"(c\" cannot be used: Missing close parenthesis for group started at "
        "index 0 (write \"\\(\" or \"\\)\" for the character)\n");
    assert_faults("app: a\nslack: {channel: C1}\nredact: [a, '[b']\nrules:\n" RULE,
                  "r.yaml:3: redact: \"[b\" cannot be used: Unterminated character class starting "
                  "at index 0 (write \"\\[\" for the character)\n");
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

#define NOT_AN_ID                                                                                  \
    " is neither an id nor here, channel, everyone or none (nobody is mentioned by name: write a " \
    "member's id, such as U0123456789, or a user group's, such as S0123456789)\n"

static void mentions_are_words_or_ids(void **state)
{
    char lines[1000] = "    match: x\n    mention: [U0";
    const char *none = "slack: {channel: C1, mention: none}\nrules:\n" RULE;
    const struct rules *rules;
    char text[1000];

    (void)state;
    assert_rule_faults(
        "    match: x\n    mention: ['@here', Everyone, '@anna', anna, u123, U12-3, "
        "'<@U123>', C123]\n",
        "r.yaml:8: mention: \"@here\" is not known to Slack (write \"here\")\n"
        "r.yaml:8: mention: \"Everyone\" is not known to Slack (write "
        "\"everyone\")\n"
        "r.yaml:8: mention: \"@anna\"" NOT_AN_ID "r.yaml:8: mention: \"anna\"" NOT_AN_ID
        "r.yaml:8: mention: \"u123\"" NOT_AN_ID "r.yaml:8: mention: \"U12-3\"" NOT_AN_ID
        "r.yaml:8: mention: \"<@U123>\"" NOT_AN_ID "r.yaml:8: mention: \"C123\"" NOT_AN_ID);
    assert_rule_faults("    match: x\n    mention:\n    - here\n    - U1\n    - here\n",
                       "r.yaml:11: mention: \"here\" comes twice, first on line 9 (keep one of "
                       "them)\n");
    assert_rule_faults("    match: x\n    mention: [here,\n     none]\n",
                       "r.yaml:9: mention: \"none\" stands with others (leave it out, or write "
                       "\"mention: none\" alone)\n");
    for (int i = 1; i <= 20; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), ", U%d", i);
    strcat(lines, "]\n");
    assert_rule_faults(lines, "r.yaml:8: mention: is a list of 21 (keep 20 at most)\n");
    assert_faults("app: a\nslack: {channel: C1, mention: anna}\nrules:\n" RULE,
                  "r.yaml:2: mention: \"anna\"" NOT_AN_ID);
    snprintf(text, sizeof text, "app: a\n%s", none);
    rules = read_good(text);
    assert_int_equal(rules->rules[0].mentions.n, 0);
    rules_free(rules);
}

/* A rule's own list, even of nobody, stands for slack.mention. */
static void a_rule_can_mention_others_or_nobody(void **state)
{
    const struct rules *rules = read_good(
        "app: a\nrules:\n" RULE "  - {name: b, match: x, more_than: 3, within: 5m, mention: none}\n"
        "  - {name: c, match: x, more_than: 3, within: 5m, mention: U1}\n"
        "slack: {mention: [channel, S1], channel: C1}\n");

    (void)state;
    assert_list(rules->rules[0].mentions, 2, "channel", "S1");
    assert_int_equal(rules->rules[1].mentions.n, 0);
    assert_list(rules->rules[2].mentions, 1, "U1", "U1");
    rules_free(rules);
}

static void channels_are_ids_or_names(void **state)
{
    static const char *const good[] = {"C0123456789", "D0AJ7K184TV", "'#general'", "general",
                                       "'#\xc3\xa9t\xc3\xa9'"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char lines[100];

        snprintf(lines, sizeof lines, "    match: x\n    channel: %s\n", good[i]);
        rules_free(read_rule(lines));
    }
    assert_rule_faults("    match: x\n    channel: '#'\n",
                       "r.yaml:8: channel: \"#\" names no channel (write the id, such as "
                       "C0123456789, or the name, such as '#general')\n");
}

static void sources_are_lower_case(void **state)
{
    const struct rules *rules =
        read_rule("    match: x\n    source: [heroku, app, Add-On, heroku-postgres]\n");

    (void)state;
    assert_list(rules->rules[0].sources, 4, "heroku", "heroku-postgres");
    rules_free(rules);
    assert_rule_faults("    match: x\n    source: [Heroku, APP]\n",
                       "r.yaml:8: source: \"Heroku\" matches no line (log sources are lower case: "
                       "write \"heroku\")\n"
                       "r.yaml:8: source: \"APP\" matches no line (log sources are lower case: "
                       "write \"app\")\n");
    assert_rule_faults(
        "    match: x\n    source: heroku,app\n",
        "r.yaml:8: source: \"heroku,app\" is not a log source (write one whole name, "
        "such as \"heroku\" or \"app\"; the name in brackets is a process)\n");
}

/* Each takes a millisecond to try, so a file of nothing else would take minutes. */
static void redactions_are_bounded(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, RULES_TEXT_MAX);
    assert_int_equal(buf_puts(&text, "app: a\nslack: {channel: C1}\nredact:\n"), 0);
    for (int i = 0; i < 499; i++)
        assert_int_equal(buf_printf(&text, "- a%d\n", i), 0);
    assert_int_equal(
        buf_puts(&text, "rules:\n  - {name: a, match: x, more_than: 3, within: 5m, redact: b"), 0);
    assert_int_equal(buf_puts(&text, "}\n"), 0);
    rules_free(read_good(buf_text(&text)));
    text.len -= 4;
    assert_int_equal(buf_puts(&text, " [b, c,\n d]}\n"), 0);
    assert_faults(buf_text(&text),
                  "r.yaml:504: redact: the file holds more than 500 of these expressions (put some "
                  "together as \"a|b\", or write what all rules share once, at the top of the "
                  "file)\n");
    buf_close(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_of_all_keys_is_read),
        cmocka_unit_test(fields_are_told_from_patterns),
        cmocka_unit_test(expressions_are_tried_for_their_use),
        cmocka_unit_test(yes_and_no_are_taken_in_any_case),
        cmocka_unit_test(severities_are_four),
        cmocka_unit_test(groups_are_few_distinct_keys),
        cmocka_unit_test(mentions_are_words_or_ids),
        cmocka_unit_test(a_rule_can_mention_others_or_nobody),
        cmocka_unit_test(channels_are_ids_or_names),
        cmocka_unit_test(sources_are_lower_case),
        cmocka_unit_test(redactions_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
