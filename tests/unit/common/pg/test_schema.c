/* The schema against a real PostgreSQL: made once, spared if it is somebody else's, and refused if
 * a newer build made it. */
#include "tests/unit/database.h"

#include "common/pg/pg.h"

#include <pthread.h>
#include <string.h>

#define SCHEMA "test_schema"

static struct err err;

static struct pg_options options(void)
{
    return (struct pg_options){.url = database_url(), .schema = SCHEMA, .program = "test"};
}

static int drop_schema(void **state)
{
    (void)state;
    database_drop_schema(SCHEMA);
    return 0;
}

static void opens(void)
{
    struct pg_options o = options();
    struct pg *p;

    if (pg_open(&o, &p, &err) != 0)
        fail_msg("%s", err.text);
    pg_close(p);
}

static void fails(struct pg_options o, int code, const char *words)
{
    struct pg *p;
    int rc = pg_open(&o, &p, &err);

    if (rc != code || strstr(err.text, words) == NULL)
        fail_msg("expected %d and \"%s\", not %d and: %s", code, words, rc, err.text);
    assert_null(p);
    assert_null(strstr(err.text, "hush"));
}

static void *open_once(void *ctx)
{
    struct pg_options o = options();
    struct err own;
    struct pg *p;

    *(int *)ctx = pg_open(&o, &p, &own);
    pg_close(p);
    return NULL;
}

UNIT_TEST(programs_that_start_together_make_one_schema)
{
    enum { PROGRAMS = 6 };
    pthread_t threads[PROGRAMS];
    int results[PROGRAMS];

    for (int i = 0; i < PROGRAMS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_once, &results[i]), 0);
    for (int i = 0; i < PROGRAMS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PROGRAMS; i++)
        assert_int_equal(results[i], 0);
    assert_string_equal(database_sql("SELECT version FROM " SCHEMA ".about"), "3");
    assert_string_equal(database_sql("SELECT epoch FROM " SCHEMA ".lease"), "0");
}

UNIT_TEST(a_schema_that_is_there_stays)
{
    opens();
    database_sql("INSERT INTO " SCHEMA ".channels VALUES ('c', 7)");
    opens();
    assert_string_equal(database_sql("SELECT last_try_us FROM " SCHEMA ".channels"), "7");
}

UNIT_TEST(an_older_schema_is_brought_up_to_date)
{
    struct pg_options o = options();

    opens();
    database_sql("ALTER TABLE " SCHEMA ".outbox DROP app, DROP turn;"
                 "ALTER TABLE " SCHEMA ".lease DROP moved");
    database_sql("UPDATE " SCHEMA ".about SET version = 1");
    o.read_only = true;
    fails(o, ERR_IO, "start this build's alerter");
    opens();
    assert_string_equal(database_sql("SELECT version FROM " SCHEMA ".about"), "3");
    assert_string_equal(database_sql("SELECT count(app) + count(turn) FROM " SCHEMA ".outbox"),
                        "0");
    assert_string_equal(database_sql("SELECT moved FROM " SCHEMA ".lease"), "");
}

UNIT_TEST(an_empty_schema_is_filled)
{
    database_sql("CREATE SCHEMA " SCHEMA " AUTHORIZATION drainwatch");
    opens();
    assert_string_equal(database_sql("SELECT version FROM " SCHEMA ".about"), "3");
}

UNIT_TEST(bodies_are_compressed_by_lz4)
{
    opens();
    assert_string_equal(
        database_sql("SELECT string_agg(relname || attcompression::text, ' ' ORDER BY relname)"
                     " FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
                     " WHERE attname = 'body' AND relkind = 'r'"
                     " AND relnamespace = '" SCHEMA "'::regnamespace"),
        "inboxl part streaml");
}

UNIT_TEST(the_schema_of_another_program_is_spared)
{
    database_sql("CREATE SCHEMA " SCHEMA "; CREATE TABLE " SCHEMA ".users (id int);"
                 "GRANT ALL ON SCHEMA " SCHEMA " TO drainwatch");
    fails(options(), ERR_INPUT, "belongs to another program");
    database_sql("CREATE TABLE " SCHEMA ".about (text text);"
                 "GRANT ALL ON " SCHEMA ".about TO drainwatch");
    fails(options(), ERR_INPUT, "belongs to another program");
    assert_string_equal(database_sql("SELECT count(*) FROM pg_class WHERE relnamespace = '" SCHEMA
                                     "'::regnamespace AND relkind = 'r'"),
                        "2");
}

UNIT_TEST(a_newer_schema_tells_whether_we_may_use_it)
{
    struct pg_options o = options();

    opens();
    database_sql("UPDATE " SCHEMA ".about SET version = 9");
    opens();
    database_sql("UPDATE " SCHEMA ".about SET oldest_build = 9");
    fails(o, ERR_VERSION, "update this program");
    o.read_only = true;
    fails(o, ERR_VERSION, "update this program");
}

UNIT_TEST(a_missing_right_to_create_is_named)
{
    database_sql("REVOKE CREATE ON DATABASE drainwatch FROM drainwatch");
    fails(options(), ERR_INPUT, "GRANT CREATE ON DATABASE");
    database_sql("CREATE SCHEMA " SCHEMA "; GRANT USAGE ON SCHEMA " SCHEMA " TO drainwatch");
    fails(options(), ERR_INPUT, "may not create");
    database_sql("GRANT CREATE ON DATABASE drainwatch TO drainwatch");
}

UNIT_TEST(a_missing_right_to_the_schema_is_named)
{
    struct pg_options o = options();

    opens();
    database_sql("ALTER SCHEMA " SCHEMA " OWNER TO postgres");
    fails(o, ERR_INPUT, "GRANT USAGE ON SCHEMA " SCHEMA);
    o.read_only = true;
    fails(o, ERR_INPUT, "GRANT USAGE ON SCHEMA " SCHEMA);
    database_sql("GRANT USAGE ON SCHEMA " SCHEMA " TO drainwatch");
    opens();
}

UNIT_TEST(a_schema_of_another_user_is_named)
{
    opens();
    database_sql("REVOKE ALL ON " SCHEMA ".about FROM drainwatch;"
                 "ALTER TABLE " SCHEMA ".about OWNER TO postgres");
    fails(options(), ERR_INPUT, "may not read the schema");
}

UNIT_TEST(a_reader_creates_nothing)
{
    struct pg_options o = options();
    struct pg *p;

    o.read_only = true;
    fails(o, ERR_IO, "there is no schema " SCHEMA);
    opens();
    assert_int_equal(pg_open(&o, &p, &err), 0);
    pg_close(p);
}

UNIT_TEST(a_lock_on_the_schema_may_pass)
{
    PGconn *other = PQconnectdb(getenv("DRAINWATCH_TEST_SUPERUSER_URL"));

    PQclear(
        PQexec(other, "SELECT pg_advisory_lock(hashtext('drainwatch'), hashtext('" SCHEMA "'))"));
    fails(options(), ERR_AWAY, "locked by another session");
    PQfinish(other);
    opens();
}

UNIT_TEST(an_encoding_other_than_utf8_is_refused)
{
    char url[512];
    struct pg_options o = options();
    size_t n = (size_t)(strrchr(database_url(), '/') - database_url());

    database_sql("DROP DATABASE IF EXISTS latin");
    database_sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    snprintf(url, sizeof url, "%.*s/latin", (int)n, database_url());
    o.url = url;
    fails(o, ERR_INPUT, "encoding is LATIN1");
    database_sql("DROP DATABASE latin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(programs_that_start_together_make_one_schema, drop_schema),
        cmocka_unit_test_setup(a_schema_that_is_there_stays, drop_schema),
        cmocka_unit_test_setup(an_older_schema_is_brought_up_to_date, drop_schema),
        cmocka_unit_test_setup(an_empty_schema_is_filled, drop_schema),
        cmocka_unit_test_setup(bodies_are_compressed_by_lz4, drop_schema),
        cmocka_unit_test_setup(the_schema_of_another_program_is_spared, drop_schema),
        cmocka_unit_test_setup(a_newer_schema_tells_whether_we_may_use_it, drop_schema),
        cmocka_unit_test_setup(a_missing_right_to_create_is_named, drop_schema),
        cmocka_unit_test_setup(a_missing_right_to_the_schema_is_named, drop_schema),
        cmocka_unit_test_setup(a_schema_of_another_user_is_named, drop_schema),
        cmocka_unit_test_setup(a_reader_creates_nothing, drop_schema),
        cmocka_unit_test_setup(a_lock_on_the_schema_may_pass, drop_schema),
        cmocka_unit_test_setup(an_encoding_other_than_utf8_is_refused, drop_schema),
    };

    return cmocka_run_group_tests(tests, NULL, drop_schema);
}
