/* Which URLs of a database are refused, and which part of one may be shown. */
#include "tests/unit/unit.h"

#include "common/pg/pg.h"

#include <string.h>

UNIT_TEST(good_urls_pass)
{
    static const char *const good[] = {
        "postgres://user:secret@db.example.com:5432/name",
        "postgresql://user:secret@db.example.com/name?sslmode=verify-full",
        "postgres://user:p%40ss%2Fw%3F@[::1]:5432/name",
        "postgres://user@a.example.com:5432,b.example.com:5433/name",
        "postgres:///name?host=/run/postgresql",
        "postgres://",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *fault = pg_url_fault(good[i]);

        if (fault != NULL)
            fail_msg("%s: %s", good[i], fault);
    }
}

UNIT_TEST(a_fault_names_its_remedy)
{
    static const struct {
        const char *url, *remedy;
    } bad[] = {
        {"mysql://user:secret@host/name", "begins with postgres://"},
        {"host=example.com", "begins with postgres://"},
        {"postgres://user:sec@ret@host/name", "%40"},
        {"postgres://user:sec/ret@host/name", "%2F"},
        {"postgres://user:sec?ret@host/name", "%3F"},
        {"postgres://user:sec#ret@host/name", "%23"},
        {"postgres://user:sec ret@host/name", "spaces"},
        {"postgres://user:sec%zzret@host/name", "libpq"},
        {"postgres://user:secret@host:port/name", "port"},
        {"postgres://user:secret@host:70000/name", "port"},
        {"postgres://user:secret", "port"},
        {"postgres://user:secret@host/name?sslmode=yes", "sslmode"},
        {"postgres://user:secret@host/name?pass=yes", "libpq"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *fault = pg_url_fault(bad[i].url);

        if (fault == NULL || strstr(fault, bad[i].remedy) == NULL)
            fail_msg("%s: %s", bad[i].url, fault == NULL ? "passes" : fault);
    }
}

static void shows(const char *url, const char *host)
{
    char out[64];

    pg_url_host(url, out, sizeof out);
    assert_string_equal(out, host);
}

UNIT_TEST(only_host_and_port_are_shown)
{
    shows("postgres://user:secret@db.example.com:6432/name", "db.example.com:6432");
    shows("postgres://user:secret@db.example.com/name", "db.example.com:5432");
    shows("postgres://user:secret@[2001:db8::1]/name", "[2001:db8::1]:5432");
    shows("postgres://user:secret@a.example:1,b.example:2/name", "a.example,b.example");
    shows("postgres:///name?host=/run/postgresql", "/run/postgresql");
    shows("postgres:///name?hostaddr=192.0.2.1", "192.0.2.1:5432");
    shows("postgres://", "the server");
    shows("postgres://user:sec@ret@host/name", "the server");
    shows("postgres://user:secret", "the server");
}

UNIT_TEST(a_schema_is_a_plain_word)
{
    assert_true(pg_schema_is_valid("drainwatch"));
    assert_true(pg_schema_is_valid("a"));
    assert_true(pg_schema_is_valid("a_234567890123456789012345678901234567890"));
    assert_false(pg_schema_is_valid("a_2345678901234567890123456789012345678901"));
    assert_false(pg_schema_is_valid(""));
    assert_false(pg_schema_is_valid("Drainwatch"));
    assert_false(pg_schema_is_valid("2a"));
    assert_false(pg_schema_is_valid("a-b"));
    assert_false(pg_schema_is_valid("a; DROP TABLE b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_pass),
        cmocka_unit_test(a_fault_names_its_remedy),
        cmocka_unit_test(only_host_and_port_are_shown),
        cmocka_unit_test(a_schema_is_a_plain_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
