/* The conditions on a line, and the forms of them that no line could meet. */
#include "tests/unit/common/rules/rules_reading.h"

UNIT_TEST(fields_are_told_from_patterns)
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

UNIT_TEST(forms_of_other_languages_are_no_fields)
{
    static const struct {
        const char *field, *remedy;
    } rows[] = {
        {"service>=5000", "compares numbers, which a field cannot (write an expression"},
        {"service>5000", "compares numbers, which a field cannot (write an expression"},
        {"service < 5", "compares numbers, which a field cannot (write an expression"},
        {"status!=200", "asks for lines without this pair (write \"unless: 'status=200'\""},
        {"code!~H1.", "asks for lines without this pair (write \"unless: 'code=H1.'\""},
        {"code=~H1.", "is not KEY=VALUE (write \"field: 'code=H1.'\""},
        {"code==H12", "is not KEY=VALUE (write \"field: 'code=H12'\""},
        {"code = H12", "is not KEY=VALUE (write \"field: 'code=H12'\""},
        {"code:H12", "is not KEY=VALUE (write \"field: 'code=H12'\""},
        {"code := H12", "is not KEY=VALUE (write \"field: 'code=H12'\""},
        {"at=error,code=H12",
         "(to ask for both write \"field: code=H12\" and \"match: 'at=error'\"; "
         "to ask for either, a list: [at=error, code=H12])"},
        {"at=error code=H12", "holds more than one pair (to ask for both write"},
        {"at=error&code=H12", "holds more than one pair (to ask for both write"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[200];

        snprintf(line, sizeof line, "    field: '%s'\n", rows[i].field);
        assert_rule_fault_has(line, rows[i].remedy);
    }
}

UNIT_TEST(values_may_hold_signs)
{
    static const char *const good[] = {"err=<nil>", "http:status=500", "sample#memory_total=1MB",
                                       "token=a==", "list=a,b,c",      "at=10:30",
                                       "x=a>b"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char line[100];

        snprintf(line, sizeof line, "    field: '%s'\n", good[i]);
        rules_free(read_rule(line));
    }
    assert_rule_fault_has("    field: user=~bob\n", "write \"field: 'user=bob'\"");
}

UNIT_TEST(a_process_type_stands_for_its_dynos)
{
    const struct rules *rules = read_rule("    match: x\n    process: [web, worker.2, 'job.*']\n");

    assert_list(rules->rules[0].processes, 4, "web", "job.*");
    assert_string_equal(rules->rules[0].processes.items[1], "web.*");
    assert_string_equal(rules->rules[0].processes.items[2], "worker.2");
    rules_free(rules);
}

UNIT_TEST(a_mark_before_a_name_excludes_it)
{
    const struct rules *rules =
        read_rule("    match: x\n    source: '!app'\n    process: ['!web', '!router', '!job.*']\n");

    assert_list(rules->rules[0].sources, 1, "!app", "!app");
    assert_list(rules->rules[0].processes, 5, "!web", "!job.*");
    assert_string_equal(rules->rules[0].processes.items[1], "!web.*");
    rules_free(rules);
    assert_rule_fault_has("    match: x\n    process: '!Router'\n", "write \"router\"");
    assert_rule_fault_has("    match: x\n    process: '!!router'\n", "is not a process");
    assert_rule_fault_has("    match: x\n    process: '!'\n", "is not a process");
    assert_rule_fault_has("    match: x\n    source: '!router'\n", "is a process");
}

UNIT_TEST(outside_quotes_binds_a_match)
{
    const struct rules *rules = read_rule("    match: x\n    outside_quotes: yes\n");

    assert_true(rules->rules[0].outside_quotes);
    rules_free(rules);
    rules = read_rule("    match: x\n");
    assert_false(rules->rules[0].outside_quotes);
    rules_free(rules);
    assert_rule_fault_has("    field: code=H12\n    outside_quotes: yes\n", "there is no match");
}

UNIT_TEST(sources_and_processes_are_told_apart)
{
    static const struct {
        const char *line, *remedy;
    } rows[] = {
        {"source: web.1", "is a process, not a log source (write \"process: web.1\")"},
        {"source: Router", "is a process, not a log source (write \"process: router\")"},
        {"source: web", "is a process, not a log source (write \"process: web\")"},
        {"source: heroku/router", "(write \"source: heroku\" and \"process: router\")"},
        {"source: 'app[web.1]'", "(write \"source: app\" and \"process: web.1\")"},
        {"process: heroku/router", "(write \"source: heroku\" and \"process: router\")"},
        {"process: Router", "(Heroku's processes are lower case: write \"router\")"},
        {"process: WEB.1", "(Heroku's processes are lower case: write \"web.1\")"},
        {"process: heroku", "is a log source, not a process (write \"source: heroku\")"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char lines[100];

        snprintf(lines, sizeof lines, "    match: x\n    %s\n", rows[i].line);
        assert_rule_fault_has(lines, rows[i].remedy);
    }
}

UNIT_TEST(typographic_quotes_are_no_quotes)
{
    const struct rules *rules = read_rule("    match: '\u201cx\u201d'\n");

    assert_list(rules->rules[0].matches, 1, "\u201cx\u201d", "\u201cx\u201d");
    rules_free(rules);
    assert_rule_faults("    match: \u201cWORKER TIMEOUT\u201d\n",
                       "r.yaml:7: match: \"\u201cWORKER TIMEOUT\u201d\" begins with a typographic "
                       "quote (write ' or \" instead; put the whole text in ' if the mark belongs "
                       "to it)\n");
    assert_rule_fault_has("    field: [\u2018code=H12\u2019]\n", "begins with a typographic quote");
}

UNIT_TEST(expressions_are_tried_for_their_use)
{
    assert_rule_faults("    match:\n    - fine\n    - 'a(?=b)'\n",
                       "r.yaml:9: match: \"a(?=b)\" cannot be used: Zero-width assertions are not "
                       "supported (lookahead and lookbehind are not supported; write their text "
                       "as part of the expression)\n");
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

UNIT_TEST(sources_are_lower_case)
{
    const struct rules *rules =
        read_rule("    match: x\n    source: [heroku, app, Add-On, heroku-postgres]\n");

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
UNIT_TEST(redactions_are_bounded)
{
    struct buf text;

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
        cmocka_unit_test(fields_are_told_from_patterns),
        cmocka_unit_test(forms_of_other_languages_are_no_fields),
        cmocka_unit_test(values_may_hold_signs),
        cmocka_unit_test(a_process_type_stands_for_its_dynos),
        cmocka_unit_test(a_mark_before_a_name_excludes_it),
        cmocka_unit_test(outside_quotes_binds_a_match),
        cmocka_unit_test(sources_and_processes_are_told_apart),
        cmocka_unit_test(typographic_quotes_are_no_quotes),
        cmocka_unit_test(expressions_are_tried_for_their_use),
        cmocka_unit_test(sources_are_lower_case),
        cmocka_unit_test(redactions_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
