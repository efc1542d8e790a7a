/* Which app a drain belongs to, and which apps a rule can name. */
#include "tests/unit/common/rules/rules_reading.h"

#define TAIL "slack: {channel: C1}\nrules:\n" RULE

UNIT_TEST(drains_are_found)
{
    const struct rules *rules = read_good("apps:\n"
                                          "  - name: pay\n"
                                          "    drain: [d.9, acme, d.1]\n"
                                          "  - drain: d.5\n"
                                          "    name: shop\n" TAIL);

    assert_null(rules->app);
    assert_int_equal(rules->n_drains, 4);
    for (size_t i = 1; i < rules->n_drains; i++)
        assert_true(strcmp(rules->drains[i - 1].drain, rules->drains[i].drain) < 0);
    assert_list(rules->app_names, 2, "pay", "shop");
    assert_string_equal(rules_app(rules, "d.9"), "pay");
    assert_string_equal(rules_app(rules, "d.1"), "pay");
    assert_string_equal(rules_app(rules, "acme"), "pay");
    assert_string_equal(rules_app(rules, "d.5"), "shop");
    assert_null(rules_app(rules, "d.2"));
    assert_null(rules_app(rules, ""));
    assert_null(rules_app(rules, "D.9"));
    rules_free(rules);
}

/* The default app may have drains of its own, and is one app all the same. */
UNIT_TEST(app_takes_the_drains_that_are_not_listed)
{
    const struct rules *rules =
        read_good("apps: [{name: pay, drain: d.1}, {name: shop, drain: [d.2, d.3]}]\n"
                  "app: shop\n" TAIL);

    assert_string_equal(rules_app(rules, "d.1"), "pay");
    assert_string_equal(rules_app(rules, "d.2"), "shop");
    assert_string_equal(rules_app(rules, "else"), "shop");
    assert_list(rules->app_names, 2, "shop", "pay");
    rules_free(rules);

    rules = read_good("app: shop\n" TAIL);
    assert_list(rules->app_names, 1, "shop", "shop");
    assert_int_equal(rules->n_drains, 0);
    assert_string_equal(rules_app(rules, "d.1"), "shop");
    rules_free(rules);
}

UNIT_TEST(many_drains_are_found)
{
    const struct rules *rules;
    struct buf text;
    char drain[20], app[20];

    buf_init(&text, RULES_TEXT_MAX);
    assert_int_equal(buf_puts(&text, TAIL "apps:\n"), 0);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(
            buf_printf(&text, "- {name: app-%d, drain: [d.%d, b%d]}\n", i, i * 7919 % 2000, i), 0);
    rules = read_good(buf_text(&text));
    assert_int_equal(rules->app_names.n, 2000);
    for (int i = 0; i < 2000; i++) {
        snprintf(app, sizeof app, "app-%d", i);
        snprintf(drain, sizeof drain, "d.%d", i * 7919 % 2000);
        assert_string_equal(rules_app(rules, drain), app);
        snprintf(drain, sizeof drain, "b%d", i);
        assert_string_equal(rules_app(rules, drain), app);
    }
    assert_null(rules_app(rules, "b2000"));
    rules_free(rules);
    buf_close(&text);
}

UNIT_TEST(refused_drains_are_found)
{
    const struct rules *rules = read_good("app: shop\n"
                                          "refuse: [d.9, acme, d.1]\n"
                                          "apps: [{name: pay, drain: [d.1, d.2]}]\n" TAIL);

    assert_list(rules->refused, 3, "acme", "d.9");
    assert_true(rules_refuses(rules, "d.1") && rules_refuses(rules, "acme"));
    assert_false(rules_refuses(rules, "d.2") || rules_refuses(rules, "") ||
                 rules_refuses(rules, "ACME"));
    assert_string_equal(rules_app(rules, "d.1"), "pay");
    rules_free(rules);
    rules = read_good("app: shop\nrefuse: d.1\n" TAIL);
    assert_true(rules_refuses(rules, "d.1"));
    rules_free(rules);
}

UNIT_TEST(bad_refused_drains_are_faults)
{
    assert_faults(
        "app: shop\n"
        "refuse: [d.1, 'acme:0123', d.2, d.1]\n" TAIL,
        "r.yaml:2: refuse: \"acme\" is not a drain (write its token, or the name of its "
        "Basic credentials without the \":\" and the password; several as a list, such as "
        "\"refuse: [d.1234, shop]\")\n"
        "r.yaml:2: refuse: \"d.1\" comes twice, first on line 2 (keep one of them)\n");
    assert_faults(
        "app: shop\n"
        "refuse: {name: d.1}\n" TAIL,
        "r.yaml:2: refuse: is a list or a mapping, not one text (write \"refuse: [old-app, "
        "d.01234567-89ab-cdef-0123-456789abcdef]\")\n");
}

UNIT_TEST(what_comes_twice_is_a_fault)
{
    assert_faults(
        "apps:\n"
        "- {name: pay, drain: [d.1, d.2]}\n"
        "- name: shop\n"
        "  drain:\n"
        "  - d.3\n"
        "  - d.1\n"
        "  - d.3\n"
        "- {name: pay, drain: d.4}\n"
        "- {name: stage, drain: d.1}\n" TAIL,
        "r.yaml:8: name: \"pay\" is the name of the app on line 2 too (list all drains of "
        "an app in one place)\n"
        "r.yaml:6: drain: \"d.1\" is a drain of \"pay\" too, on line 2 (a drain belongs "
        "to one app: keep one of them)\n"
        "r.yaml:9: drain: \"d.1\" is a drain of \"pay\" too, on line 2 (a drain belongs "
        "to one app: keep one of them)\n"
        "r.yaml:7: drain: \"d.3\" comes twice, first on line 5 (keep one of them)\n");
}

#define NOT_A_DRAIN                                                                                \
    " is not a drain (write its token, or the name of its Basic credentials without the \":\" "    \
    "and the password; several as a list, such as \"drain: [d.1234, shop]\")\n"
#define QUOTE "; quote a text that begins with \"#\")\n"

UNIT_TEST(bad_apps_are_faults)
{
    assert_faults("apps:\n"
                  "- {name: '', drain: d.1}\n"
                  "- {name: '  ', drain: ''}\n"
                  "- {drain: []}\n"
                  "- {name: a}\n"
                  "- b\n"
                  "- {name: [c], drain: {d: e}, dr: 1}\n" TAIL,
                  "r.yaml:2: name: has no value (write \"name: my-app\"" QUOTE
                  "r.yaml:3: name: holds nothing but spaces (write \"name: my-app\")\n"
                  "r.yaml:3: drain: has no value (write \"drain: "
                  "d.01234567-89ab-cdef-0123-456789abcdef\"" QUOTE
                  "r.yaml:4: drain: is an empty list (write \"drain: "
                  "d.01234567-89ab-cdef-0123-456789abcdef\", or remove the key)\n"
                  "r.yaml:4: the app has no \"name\" (add \"name: my-app\")\n"
                  "r.yaml:5: the app has no \"drain\" (add \"drain: "
                  "d.01234567-89ab-cdef-0123-456789abcdef\")\n"
                  "r.yaml:6: the app is not a mapping (write \"key: value\" lines, such as \"name: "
                  "my-app\")\n"
                  "r.yaml:7: name: is a list or a mapping, not one text (write \"name: my-app\")\n"
                  "r.yaml:7: drain: is a list or a mapping, not one text (write \"drain: "
                  "d.01234567-89ab-cdef-0123-456789abcdef\")\n"
                  "r.yaml:7: unknown key \"dr\" (known here: name, drain)\n");
    assert_faults("apps: []\n" TAIL,
                  "r.yaml:1: apps: is an empty list (write \"apps: [{name: my-app, drain: "
                  "my-app}]\", or remove the key)\n");
    assert_faults("app: ' '\n" TAIL,
                  "r.yaml:1: app: holds nothing but spaces (write \"app: my-app\")\n");
    assert_faults("app: a\napps: [{name: b, drain: 'd.1, d.2'}, {name: c, drain: "
                  "['shop:0123abcd', 'd.3,d.4']}]\n" TAIL,
                  "r.yaml:2: drain: \"d.1, d.2\"" NOT_A_DRAIN
                  "r.yaml:2: drain: \"shop\"" NOT_A_DRAIN
                  "r.yaml:2: drain: \"d.3,d.4\"" NOT_A_DRAIN);
}

#define RULE_OF(apps)                                                                              \
    "slack: {channel: C1}\nrules:\n  - {name: a, match: x, more_than: 3, within: 5m, apps: " apps  \
    "}\n"
#define NOT_NAMED " is an app that the file does not name "
#define OR_LIST ", or list the app with its drain under the file's \"apps\")\n"

UNIT_TEST(a_rule_names_apps_of_the_file)
{
    const struct rules *rules =
        read_good(RULE_OF("[pay, shop]") "app: shop\napps: [{name: pay, drain: d}]\n");

    assert_list(rules->rules[0].apps, 2, "pay", "shop");
    rules_free(rules);
    assert_faults("app: shop\n" RULE_OF("shpo"),
                  "r.yaml:4: apps: \"shpo\"" NOT_NAMED "(write \"shop\"" OR_LIST);
    assert_faults("app: first\napps: [{name: pay, drain: a}, {name: shop, drain: b}]\n" RULE_OF(
                      "[first, shpo, pay, bar, Pay]"),
                  "r.yaml:5: apps: \"shpo\"" NOT_NAMED "(write \"shop\", \"first\", \"pay\"" OR_LIST
                  "r.yaml:5: apps: \"bar\"" NOT_NAMED "(write \"first\", \"pay\", \"shop\"" OR_LIST
                  "r.yaml:5: apps: \"Pay\"" NOT_NAMED
                  "(write \"pay\", \"first\", \"shop\"" OR_LIST);
    assert_faults("app: shop\n" RULE_OF("[shop,\n shop, '']"),
                  "r.yaml:5: apps: has no value (write \"apps: my-app\"" QUOTE
                  "r.yaml:5: apps: \"shop\" comes twice, first on line 4 (keep one of them)\n");
}

/* If the file names no app at all, that is the only fault. */
UNIT_TEST(without_apps_a_rule_can_name_none)
{
    assert_faults(RULE_OF("shop"),
                  "r.yaml:1: the file has neither \"app\" nor \"apps\" (add \"app: my-app\" as the "
                  "name of every drain, or \"apps: [{name: my-app, drain: my-app}]\" with a "
                  "drain's token or name for each app)\n"
                  "r.yaml:3: apps: \"shop\"" NOT_NAMED "(add \"app: shop\" to the file" OR_LIST);
}

UNIT_TEST(of_many_apps_some_are_shown)
{
    struct buf text, want;

    buf_init(&text, RULES_TEXT_MAX);
    buf_init(&want, RULES_FAULTS_MAX);
    assert_int_equal(buf_puts(&text, RULE_OF("aap-99") "apps:\n"), 0);
    assert_int_equal(buf_puts(&want, "r.yaml:3: apps: \"aap-99\"" NOT_NAMED "(write \"app-99\""),
                     0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_printf(&text, "- {name: app-%02d, drain: d%d}\n", i, i), 0);
    for (int i = 0; i < 35; i++)
        assert_int_equal(buf_printf(&want, ", \"app-%02d\"", i), 0);
    assert_int_equal(buf_puts(&want, " or one of 64 more" OR_LIST), 0);
    assert_faults(buf_text(&text), buf_text(&want));
    buf_close(&text);
    buf_close(&want);
}

/* As many rules with unknown apps as a file holds, each compared with as many apps. */
UNIT_TEST(many_unknown_apps_end_soon)
{
    const struct rules *rules;
    struct buf text, faults;

    buf_init(&text, RULES_TEXT_MAX);
    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(buf_puts(&text, "apps:\n"), 0);
    for (int i = 0; i < 12000; i++)
        assert_int_equal(
            buf_printf(&text, "- {name: an-application-of-ours-%05d, drain: d%d}\n", i, i), 0);
    assert_int_equal(buf_puts(&text, RULE_OF("[x")), 0);
    text.len -= 2; /* the list goes on */
    for (int i = 0; text.len < RULES_TEXT_MAX - 100; i++)
        assert_int_equal(buf_printf(&text, ", an-application-of-hours-%05d", i), 0);
    assert_int_equal(buf_puts(&text, "]}\n"), 0);
    assert_int_equal(rules_parse(buf_text(&text), text.len, "r.yaml", &rules, &faults), ERR_INPUT);
    assert_non_null(strstr(buf_text(&faults), "(write \"an-application-of-ours-00000\", "));
    assert_non_null(strstr(buf_text(&faults), "\nand 1"));
    buf_close(&text);
    buf_close(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drains_are_found),
        cmocka_unit_test(app_takes_the_drains_that_are_not_listed),
        cmocka_unit_test(many_drains_are_found),
        cmocka_unit_test(refused_drains_are_found),
        cmocka_unit_test(bad_refused_drains_are_faults),
        cmocka_unit_test(what_comes_twice_is_a_fault),
        cmocka_unit_test(bad_apps_are_faults),
        cmocka_unit_test(a_rule_names_apps_of_the_file),
        cmocka_unit_test(without_apps_a_rule_can_name_none),
        cmocka_unit_test(of_many_apps_some_are_shown),
        cmocka_unit_test(many_unknown_apps_end_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
