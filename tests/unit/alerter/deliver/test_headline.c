#include "tests/unit/unit.h"

#include "alerter/deliver/headline.h"
#include "common/base/text.h"

#include <string.h>

static void assert_headline(const struct wire_alert *alert, enum draft_form form, const char *name,
                            size_t max, const char *want)
{
    struct draft d;

    draft_init(&d, form);
    draft_say(&d, "before: ");
    headline_show(&d, alert, name, max);
    assert_int_equal(d.rc, 0);
    assert_string_equal(buf_text(&d.text) + strlen("before: "), want);
    draft_close(&d);
}

static void test_what_is_there_is_shown(void **state)
{
    static const struct wire_group group[] = {{"process", "web.3"}, {"path", "/slow"}};
    struct wire_alert a = {.severity = NULL};

    (void)state;
    assert_headline(&a, DRAFT_PRINT, "h12", 100, "h12");
    a.severity = "";
    assert_headline(&a, DRAFT_PRINT, "h12", 100, "h12");
    a.severity = "info";
    assert_headline(&a, DRAFT_PRINT, "h12", 100, "[info] h12");
    a.group = group;
    a.n_group = 2;
    assert_headline(&a, DRAFT_PRINT, "h12", 100, "[info] h12 (process web.3, path /slow)");
    a.severity = "";
    a.n_group = 1;
    assert_headline(&a, DRAFT_PRINT, "h12", 100, "h12 (process web.3)");
    assert_headline(&a, DRAFT_PRINT, "", 100, " (process web.3)");
}

/* A visitor chooses the path; it must not pass for another pair. */
static void test_values_are_told_from_pairs(void **state)
{
    static const struct {
        const char *value;
        const char *want;
    } cases[] = {
        {"", "r (no path)"},
        {"/a,b", "r (path /a,b)"},
        {"/a, process web.9", "r (path \"/a, process web.9\")"},
        {"a\nb", "r (path a\\x0ab)"},
        {"/?drain_token=0123456789abcdef", "r (path /?drain_token=…)"},
        {"<!here> & co", "r (path \"&lt;!here&gt; &amp; co\")"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_group pair = {"path", cases[i].value};
        struct wire_alert a = {.group = &pair, .n_group = 1};

        assert_headline(&a, DRAFT_PLAIN, "r", 100, cases[i].want);
    }
}

static void check_bound(const struct wire_alert *a, const char *name, size_t max)
{
    struct draft d;

    draft_init(&d, DRAFT_PLAIN);
    headline_show(&d, a, name, max);
    assert_int_equal(d.rc, 0);
    assert_in_range(d.text.len, 1, max);
    assert_true(text_is_utf8(buf_text(&d.text), d.text.len));
    draft_close(&d);
}

static void test_the_bound_holds_for_every_length(void **state)
{
    static const char *const fillings[] = {"x", "&", "€", " ", "\xff", "`"};
    static char name[5000], value[5000];

    (void)state;
    for (size_t f = 0; f < sizeof fillings / sizeof fillings[0]; f++) {
        const size_t size = strlen(fillings[f]);

        for (size_t n = 0; n < 400; n += n < 130 ? 1 : 37) {
            for (size_t i = 0; i < n; i++)
                memcpy(name + i * size, fillings[f], size);
            name[n * size] = '\0';
            for (size_t v = 0; v < sizeof value / size; v += v < 130 ? 7 : 700) {
                struct wire_group group[] = {{"key", value}, {name, "web.1"}};
                struct wire_alert a = {.severity = "critical", .group = group, .n_group = 2};

                for (size_t i = 0; i < v; i++)
                    memcpy(value + i * size, fillings[f], size);
                value[v * size] = '\0';
                check_bound(&a, name, HEADLINE_MIN);
                check_bound(&a, name, 150);
            }
        }
    }
}

static void test_room_goes_to_whoever_needs_it(void **state)
{
    char name[201], value[201];
    struct wire_group pair = {"k", value};
    struct wire_alert a = {.group = &pair, .n_group = 1};
    struct draft d;
    const char *text;

    (void)state;
    memset(name, 'n', 200);
    memset(value, 'v', 200);
    name[200] = value[200] = '\0';
    draft_init(&d, DRAFT_PRINT);
    headline_show(&d, &a, name, 100);
    text = buf_text(&d.text);
    assert_int_equal(d.text.len, 100);
    assert_int_equal(strspn(text, "n"), 47); /* half, with the ellipsis */
    assert_non_null(strstr(text, "… (k vvvv"));
    draft_close(&d);
    value[3] = '\0'; /* a short group leaves its room to the name */
    draft_init(&d, DRAFT_PRINT);
    headline_show(&d, &a, name, 100);
    assert_int_equal(d.text.len, 100);
    assert_string_equal(buf_text(&d.text) + 100 - strlen("… (k vvv)"), "… (k vvv)");
    draft_close(&d);
    value[3] = 'v'; /* and the other way round */
    name[3] = '\0';
    draft_init(&d, DRAFT_PRINT);
    headline_show(&d, &a, name, 100);
    assert_int_equal(d.text.len, 100);
    assert_int_equal(strncmp(buf_text(&d.text), "nnn (k vvv", 10), 0);
    draft_close(&d);
}

static void test_one_word_before_the_count(void **state)
{
    (void)state;
    assert_string_equal(headline_qualifier(&(struct wire_alert){0}), "");
    assert_string_equal(headline_qualifier(&(struct wire_alert){.about = true}), "about ");
    assert_string_equal(headline_qualifier(&(struct wire_alert){.at_least = true}), "at least ");
    assert_string_equal(headline_qualifier(&(struct wire_alert){.at_least = true, .about = true}),
                        "at least ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_there_is_shown),
        cmocka_unit_test(test_values_are_told_from_pairs),
        cmocka_unit_test(test_the_bound_holds_for_every_length),
        cmocka_unit_test(test_room_goes_to_whoever_needs_it),
        cmocka_unit_test(test_one_word_before_the_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
