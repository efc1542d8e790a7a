/* Tests of rules shared by deliveries. */
#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"

#include <string.h>

static struct rulebook *new_book(const char *name)
{
    const struct rules *rules;
    struct rulebook *book;
    struct buf text, faults;
    struct err err;

    buf_init(&text, RULES_TEXT_MAX);
    buf_init(&faults, RULES_FAULTS_MAX);
    assert_int_equal(buf_printf(&text,
                                "app: a\nslack: {channel: C0123456789}\nrules:\n"
                                "  - {name: %s, match: STORM, more_than: 1, within: 5m}\n",
                                name),
                     0);
    assert_int_equal(rules_parse(buf_text(&text), text.len, "rules.yaml", &rules, &faults), 0);
    buf_close(&faults);
    buf_close(&text); /* rules do not need it */
    assert_int_equal(rulebook_new(rules, &book, &err), 0);
    return book;
}

/* The leak sanitizer sees a missing free, the address sanitizer an early one. */
UNIT_TEST(test_the_last_to_release_it_frees_it)
{
    struct rulebook *book = new_book("one");

    assert_ptr_equal(rulebook_hold(book), book);
    assert_ptr_equal(rulebook_hold(book), book);
    rulebook_release(book);
    rulebook_release(book);
    assert_string_equal(rulebook_rules(book)->rules[0].name, "one");
    rulebook_release(book);
    rulebook_release(NULL);
}

UNIT_TEST(test_a_delivery_ends_with_the_book_that_it_began_with)
{
    const struct delivery_head head = {.received_us = 1, .drain = "d"};
    struct rulebook *old = new_book("old"), *next;
    struct delivery *d = delivery_new();
    const struct wire_record *records;
    size_t n;

    assert_non_null(d);
    assert_int_equal(delivery_begin(d, old, &head), 0);
    assert_int_equal(delivery_push(d, "STO", 3), 0);
    next = new_book("next");
    assert_int_equal(delivery_push(d, "RM\nSTORM\n", 9), 0);
    assert_int_equal(delivery_finish(d, &records, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(records[0].n_matches, 1);
    assert_string_equal(records[0].matches[0].rule, "old");
    assert_int_equal(records[0].matches[0].n_times, 2);
    assert_int_equal(delivery_begin(d, next, &head), 0);
    rulebook_release(old);
    assert_int_equal(delivery_push(d, "STORM\n", 6), 0);
    assert_int_equal(delivery_finish(d, &records, &n), 0);
    assert_string_equal(records[0].matches[0].rule, "next");
    delivery_free(d);
    rulebook_release(next);
}

UNIT_TEST(test_the_book_holds_the_redactor_of_its_rules)
{
    static const char *const redacts[] = {"[0-9]+"};
    static const char *const patterns[] = {"x"};
    struct rule rule = {.name = "r", .matches = {patterns, 1}, .redacts = {redacts, 1}};
    const struct rules rules = {.app = "a", .rules = &rule, .n = 1};
    static const char *const too_large[] = {"([^a][^b]){260}c"};
    struct err err = {.text = ""};
    struct rulebook *b;
    struct buf out;

    assert_int_equal(rulebook_new_borrowed(&rules, &b, &err), 0);
    buf_init(&out, 100);
    assert_int_equal(redact_append(rulebook_redact(b), 0, "x 12 y", 6, &out), 0);
    assert_string_equal(buf_text(&out), "x … y");
    buf_close(&out);
    rulebook_release(b);
    rule.redacts = (struct rules_list){too_large, 1};
    assert_int_equal(rulebook_new_borrowed(&rules, &b, &err), ERR_INPUT);
    assert_null(b);
    assert_non_null(strstr(err.text, "too large"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_to_release_it_frees_it),
        cmocka_unit_test(test_a_delivery_ends_with_the_book_that_it_began_with),
        cmocka_unit_test(test_the_book_holds_the_redactor_of_its_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
