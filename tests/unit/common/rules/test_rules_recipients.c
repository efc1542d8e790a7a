/* Channels and mentions, of the file and of a rule. */
#include "tests/unit/common/rules/rules_reading.h"

#define NOT_AN_ID                                                                                  \
    " is neither an id nor here, channel, everyone or none (nobody is mentioned by name: write a " \
    "member's id, such as U0123456789, or a user group's, such as S0123456789)\n"

UNIT_TEST(mentions_are_words_or_ids)
{
    char lines[1000] = "    match: x\n    mention: [U0";
    const char *none = "slack: {channel: C1, mention: none}\nrules:\n" RULE;
    const struct rules *rules;
    char text[1000];

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
UNIT_TEST(a_rule_can_mention_others_or_nobody)
{
    const struct rules *rules = read_good(
        "app: a\nrules:\n" RULE "  - {name: b, match: x, more_than: 3, within: 5m, mention: none}\n"
        "  - {name: c, match: x, more_than: 3, within: 5m, mention: U1}\n"
        "slack: {mention: [channel, S1], channel: C1}\n");

    assert_list(rules->rules[0].mentions, 2, "channel", "S1");
    assert_int_equal(rules->rules[1].mentions.n, 0);
    assert_list(rules->rules[2].mentions, 1, "U1", "U1");
    rules_free(rules);
}

UNIT_TEST(channels_are_ids_or_names)
{
    static const char *const good[] = {"C0123456789", "D0AJ7K184TV", "'#general'", "general",
                                       "'#\xc3\xa9t\xc3\xa9'"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char lines[100];

        snprintf(lines, sizeof lines, "    match: x\n    channel: %s\n", good[i]);
        rules_free(read_rule(lines));
    }
    assert_rule_faults("    match: x\n    channel: '#'\n",
                       "r.yaml:8: channel: \"#\" names no channel (write the id, such as "
                       "C0123456789, or the name, such as '#general')\n");
}

UNIT_TEST(channels_that_slack_would_refuse_are_named)
{
    static const struct {
        const char *channel, *remedy;
    } rows[] = {
        {"'@anna'",
         "names a person (write a channel's id, such as C0123456789, or the person's user id, "
         "such as U0123456789; "},
        {"${SLACK_CHANNEL}",
         "is not replaced by a variable's value (write the channel's id itself"},
        {"$CHANNEL", "is not replaced by a variable's value (write the channel's id itself"},
        {"https://hooks.slack.com/services/T01234567/B01234567/x", "is a webhook's address ("},
        {"https://x.slack.com/archives/C0123456789", "is more than an id (write \"C0123456789\")"},
        {"https://app.slack.com/client/T01234567/D0AJ7K184TV",
         "is more than an id (write \"D0AJ7K184TV\")"},
        {"<#C0123456789|ops>", "is more than an id (write \"C0123456789\")"},
        {"T0123456789", "is no channel's id (those begin with C, D, G, U or W"},
        {"ops@example.com", "names no channel (write the id, such as C0123456789"},
        {"general,random", "names no channel (write the id, such as C0123456789"},
        {"\u201cC0123456789\u201d", "begins with a typographic quote (write ' or \" instead"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[200];

        snprintf(lines, sizeof lines, "    match: x\n    channel: %s\n", rows[i].channel);
        assert_rule_fault_has(lines, rows[i].remedy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mentions_are_words_or_ids),
        cmocka_unit_test(a_rule_can_mention_others_or_nobody),
        cmocka_unit_test(channels_are_ids_or_names),
        cmocka_unit_test(channels_that_slack_would_refuse_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
