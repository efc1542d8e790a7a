/* Paths without what differs from one visitor to the next. */
#include "tests/unit/unit.h"

#include "ingest/collect/path.h"

#include <string.h>

static void a_path_ends_before_its_query(void **state)
{
    (void)state;
    assert_int_equal(path_len("/search?q=1&page=2", 18), 7);
    assert_int_equal(path_len("/search", 7), 7);
    assert_int_equal(path_len("?", 1), 0);
    assert_int_equal(path_len("/search?q=1", 4), 4);
}

static void ids_become_one(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"/", "/"},
        {"//", "//"},
        {"/users/17", "/users/:id"},
        {"/users/17/", "/users/:id/"},
        {"17", ":id"},
        {"/2026/05/07/post", "/:id/:id/:id/post"},
        {"/users/17a", "/users/17a"},
        {"/v2/users", "/v2/users"},
        {"/o/01234567-89ab-cdef-0123-456789ABCDEF/x", "/o/:id/x"},
        {"/o/01234567-89ab-cdef-0123-456789abcdeg", "/o/01234567-89ab-cdef-0123-456789abcdeg"},
        {"/o/012345678-9ab-cdef-0123-456789abcdef", "/o/012345678-9ab-cdef-0123-456789abcdef"},
        {"/o/507f1f77bcf86cd799439011", "/o/:id"},
        {"/o/507f1f77bcf86cd", "/o/507f1f77bcf86cd"}, /* 15 digits */
        {"/deadbeefdeadbeef", "/deadbeefdeadbeef"},   /* letters alone may be a word */
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&out);
        assert_int_equal(path_append_folded(rows[i][0], strlen(rows[i][0]), &out), 0);
        assert_string_equal(buf_text(&out), rows[i][1]);
    }
    buf_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_ends_before_its_query),
        cmocka_unit_test(ids_become_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
