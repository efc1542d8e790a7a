/* A connection against a real PostgreSQL: statements, commits, notifications, and each way in which
 * it fails. */
#include "tests/unit/database.h"

#include "common/pg/pg.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA "test_pg"
#define SECRET "hush" /* the password begins with it */

static struct err err;

static struct pg_options options(void)
{
    return (struct pg_options){.url = database_url(), .schema = SCHEMA, .program = "test"};
}

static struct pg *open_with(struct pg_options o)
{
    struct pg *p;

    if (pg_open(&o, &p, &err) != 0)
        fail_msg("%s", err.text);
    return p;
}

static struct pg *open_one(void)
{
    return open_with(options());
}

static int make_schema(void **state)
{
    (void)state;
    database_drop_schema(SCHEMA);
    pg_close(open_one());
    return 0;
}

static int drop_schema(void **state)
{
    (void)state;
    database_drop_schema(SCHEMA);
    return 0;
}

static struct pg_rows *run(struct pg *p, const struct pg_statement *s, const struct pg_args *a)
{
    struct pg_rows *rows;

    if (pg_run(p, s, a, PG_DEADLINE_US, &rows, &err) != 0)
        fail_msg("%s", err.text);
    return rows;
}

static int64_t number(struct pg *p, const struct pg_statement *s)
{
    struct pg_rows *rows = run(p, s, NULL);
    int64_t value = pg_i64(rows, 0, 0);

    pg_rows_free(rows);
    return value;
}

static void fails_with(const char *url, int code, const char *words)
{
    struct pg_options o = options();
    struct pg *p;
    int rc;

    o.url = url;
    rc = pg_open(&o, &p, &err);
    if (rc != code || strstr(err.text, words) == NULL)
        fail_msg("expected %d and \"%s\", not %d and: %s", code, words, rc, err.text);
    assert_null(p);
    assert_null(strstr(err.text, SECRET));
    assert_null(strchr(err.text, '\n'));
}

static const struct pg_statement one = {"one", "SELECT 1"};
static const struct pg_statement own_pid = {"own_pid", "SELECT pg_backend_pid()"};
static const struct pg_statement slow = {"slow", "SELECT pg_sleep(30)"};
static const struct pg_statement fails = {"fails", "SELECT 1 / (SELECT 0)"};
static const struct pg_statement nonsense = {"nonsense", "SELEKT 1"};

/* ---- statements ---- */

UNIT_TEST(values_go_there_and_back)
{
    static const struct pg_statement s = {
        "values", "SELECT $1::int8, $2::bool, $3::text, $4::text, $5::bytea, $1::int4, $1::int2"};
    struct pg_args *a = pg_args_new();
    struct pg *p = open_one();

    for (int i = 0; i < 2; i++) { /* prepared, and known */
        struct pg_rows *r;

        pg_args_clear(a);
        pg_put_i64(a, -7);
        pg_put_bool(a, true);
        pg_put_text(a, "grün");
        pg_put_text(a, NULL);
        pg_put_bytes(a, "a\0b", 3);
        r = run(p, &s, a);
        assert_int_equal(pg_n_rows(r), 1);
        assert_int_equal(pg_i64(r, 0, 0), -7);
        assert_true(pg_bool(r, 0, 1));
        assert_string_equal(pg_text(r, 0, 2), "grün");
        assert_true(pg_is_null(r, 0, 3));
        assert_string_equal(pg_text(r, 0, 3), "");
        assert_false(pg_is_null(r, 0, 4));
        assert_int_equal(pg_bytes(r, 0, 4).len, 3);
        assert_memory_equal(pg_bytes(r, 0, 4).data, "a\0b", 3);
        assert_int_equal(pg_i64(r, 0, 5), -7);
        assert_int_equal(pg_i64(r, 0, 6), -7);
        pg_rows_free(r);
    }
    pg_args_free(a);
    pg_close(p);
}

UNIT_TEST(arrays_become_rows)
{
    static const struct pg_statement s = {
        "arrays", "SELECT * FROM unnest($1::int8[], $2::bool[], $3::text[], $4::bytea[])"};
    const int64_t numbers[] = {INT64_MIN, 0, INT64_MAX};
    const bool flags[] = {true, false, true};
    const char *const texts[] = {"", "a,\"{}b", "ü"};
    const struct wire_bytes bytes[] = {{NULL, 0}, {(const uint8_t *)"\0\xff", 2}, {NULL, 0}};
    struct pg_args *a = pg_args_new();
    struct pg *p = open_one();
    struct pg_rows *r;

    pg_put_i64s(a, numbers, 3);
    pg_put_bools(a, flags, 3);
    pg_put_texts(a, texts, 3);
    pg_put_bytess(a, bytes, 3);
    r = run(p, &s, a);
    assert_int_equal(pg_n_rows(r), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pg_i64(r, i, 0) == numbers[i]);
        assert_true(pg_bool(r, i, 1) == flags[i]);
        assert_string_equal(pg_text(r, i, 2), texts[i]);
        assert_int_equal(pg_bytes(r, i, 3).len, bytes[i].len);
    }
    assert_memory_equal(pg_bytes(r, 1, 3).data, "\0\xff", 2);
    pg_rows_free(r);
    pg_args_clear(a);
    pg_put_i64s(a, NULL, 0);
    pg_put_bools(a, NULL, 0);
    pg_put_texts(a, NULL, 0);
    pg_put_bytess(a, NULL, 0);
    r = run(p, &s, a);
    assert_int_equal(pg_n_rows(r), 0);
    pg_rows_free(r);
    pg_args_free(a);
    pg_close(p);
}

UNIT_TEST(megabytes_go_there_and_back)
{
    static const struct pg_statement s = {"large", "SELECT $1::bytea FROM generate_series(1, 3)"};
    enum { SIZE = 5 << 20 };
    uint8_t *bytes = malloc(SIZE);
    struct pg_args *a = pg_args_new();
    struct pg *p = open_one();
    struct pg_rows *r;

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 11));
    pg_put_bytes(a, bytes, SIZE);
    r = run(p, &s, a);
    assert_int_equal(pg_n_rows(r), 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(pg_bytes(r, i, 0).data, bytes, SIZE);
    pg_rows_free(r);
    pg_args_free(a);
    pg_close(p);
    free(bytes);
}

UNIT_TEST(too_many_bytes_are_refused_before_they_are_sent)
{
    static const struct pg_statement s = {"large", "SELECT length($1), length($2)"};
    size_t size = PG_ARGS_BYTES_MAX / 2 + 1;
    char *bytes = calloc(1, size);
    struct pg_args *a = pg_args_new();
    struct pg *p = open_one();

    pg_put_bytes(a, bytes, size);
    pg_put_bytes(a, bytes, size);
    assert_int_equal(pg_send(p, &s, a, &err), ERR_FULL);
    assert_non_null(strstr(err.text, "\"large\""));
    assert_int_equal(number(p, &one), 1);
    pg_args_free(a);
    pg_close(p);
    free(bytes);
}

UNIT_TEST(answers_come_in_the_order_of_the_statements)
{
    static const struct pg_statement echo = {"echo", "SELECT $1::int8"};
    struct pg_args *a = pg_args_new();
    struct pg *p = open_one();

    for (int round = 0; round < 3; round++) {
        struct pg_rows *r;

        for (int64_t i = 0; i < 4; i++) {
            pg_args_clear(a);
            pg_put_i64(a, i);
            assert_int_equal(pg_send(p, &echo, a, &err), 0);
        }
        for (int64_t i = 0; i < 4; i++) {
            assert_int_equal(pg_receive(p, PG_DEADLINE_US, &r, &err), 0);
            assert_int_equal(pg_i64(r, 0, 0), i);
            pg_rows_free(r);
        }
    }
    pg_args_free(a);
    pg_close(p);
}

UNIT_TEST(a_failed_statement_spares_the_ones_around_it)
{
    struct pg *p = open_one();

    for (int round = 0; round < 2; round++) {
        assert_int_equal(pg_send(p, &one, NULL, &err), 0);
        assert_int_equal(pg_send(p, &fails, NULL, &err), 0);
        assert_int_equal(pg_send(p, &nonsense, NULL, &err), 0);
        assert_int_equal(pg_send(p, &one, NULL, &err), 0);
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), 0);
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), ERR_IO);
        assert_non_null(strstr(err.text, "division by zero"));
        assert_non_null(strstr(err.text, "\"fails\""));
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), ERR_IO);
        assert_non_null(strstr(err.text, "syntax error"));
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), 0);
        assert_true(pg_is_open(p));
    }
    pg_close(p);
}

UNIT_TEST(a_commit_that_fails_is_no_success)
{
    static const struct pg_statement insert = {"insert", "INSERT INTO late VALUES (1) RETURNING n"};
    static const struct pg_statement count = {"count", "SELECT count(*) FROM late"};
    struct pg *p = open_one();

    database_sql("SET search_path = " SCHEMA "; CREATE TABLE late (n int8);"
                 "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                 "$$ BEGIN RAISE EXCEPTION 'not at the end' USING ERRCODE = '23514'; END $$;"
                 "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON late "
                 "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();"
                 "GRANT ALL ON late TO drainwatch");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pg_send(p, &insert, NULL, &err), 0);
        assert_int_equal(pg_send(p, &one, NULL, &err), 0);
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), ERR_IO);
        assert_non_null(strstr(err.text, "not at the end"));
        assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), 0);
    }
    assert_int_equal(number(p, &count), 0);
    pg_close(p);
}

UNIT_TEST(each_statement_is_a_transaction_of_its_own)
{
    static const struct pg_statement now = {"now",
                                            "SELECT (extract(epoch FROM now()) * 1000000)::int8"};
    struct pg *p = open_one();
    int64_t before = number(p, &now);

    assert_true(number(p, &now) > before);
    pg_close(p);
}

/* What another program gets from the pool. */
static void assert_unspoilt(const char *url)
{
    PGconn *conn = PQconnectdb(url);
    PGresult *r = PQexec(conn, "SELECT current_setting('search_path') || current_setting('jit') ||"
                               " (SELECT count(*) FROM pg_prepared_statements) ||"
                               " (SELECT count(*) FROM pg_listening_channels())");

    assert_string_equal(PQgetvalue(r, 0, 0), "\"$user\", publicon00");
    PQclear(r);
    PQfinish(conn);
}

UNIT_TEST(behind_a_pool_the_settings_are_the_transactions_own)
{
    static const struct pg_statement show = {
        "show", "SELECT current_setting('jit') || current_setting('search_path') ||"
                " current_setting('statement_timeout') || $1::text"};
    static const struct pg_statement wrong = {"wrong", "SELECT 1/$1::int8"};
    struct pg_options o = options();
    struct pg_args *a;
    struct pg *p;

    o.url = database_pool_url();
    o.listen = true;
    a = pg_args_new();
    p = open_with(o);
    assert_true(pg_is_pooled(p));
    assert_int_equal(pg_process(p), 0);
    for (int i = 0; i < 10; i++) {
        struct pg_rows *r;

        pg_args_clear(a);
        pg_put_text(a, "x");
        r = run(p, &show, a);
        assert_string_equal(pg_text(r, 0, 0), "off" SCHEMA "4sx");
        pg_rows_free(r);
        assert_unspoilt(o.url);
        pg_args_clear(a);
        pg_put_i64(a, 0);
        assert_int_equal(pg_run(p, &wrong, a, PG_DEADLINE_US, NULL, &err), ERR_IO);
        assert_true(pg_is_open(p));
    }
    pg_args_free(a);
    pg_close(p);
}

UNIT_TEST(behind_a_pool_a_command_cannot_write)
{
    static const struct pg_statement write = {"write", "UPDATE lease SET beat = 0"};
    struct pg_options o = options();
    struct pg *p;

    o.url = database_pool_url();
    o.read_only = true;
    p = open_with(o);
    assert_int_equal(pg_run(p, &write, NULL, PG_DEADLINE_US, NULL, &err), ERR_AWAY);
    pg_close(p);
}

UNIT_TEST(the_session_is_prepared)
{
    static const struct pg_statement s = {
        "settings", "SELECT current_setting('jit') || current_setting('search_path') ||"
                    " current_setting('application_name') || current_setting('lock_timeout') || "
                    "current_setting('statement_timeout') ||"
                    " current_setting('transaction_isolation') || ssl"
                    " FROM pg_stat_ssl WHERE pid = pg_backend_pid()"};
    struct pg *p = open_one();
    struct pg_rows *r = run(p, &s, NULL);

    assert_string_equal(pg_text(r, 0, 0), "off" SCHEMA "drainwatch-test1s4sread committedtrue");
    assert_false(pg_is_pooled(p));
    assert_true(pg_process(p) > 0);
    pg_rows_free(r);
    pg_close(p);
}

/* ---- errors of a statement ---- */

UNIT_TEST(each_class_of_errors_has_its_code)
{
    static const struct {
        const char *state;
        int code;
    } classes[] = {
        {"08006", ERR_AWAY}, {"57P01", ERR_AWAY}, {"53300", ERR_AWAY}, {"25006", ERR_AWAY},
        {"40001", ERR_AWAY}, {"40P01", ERR_AWAY}, {"57014", ERR_AWAY}, {"26000", ERR_AWAY},
        {"58030", ERR_AWAY}, {"55P03", ERR_BUSY}, {"53100", ERR_FULL}, {"42501", ERR_INPUT},
        {"42P01", ERR_IO},   {"42703", ERR_IO},   {"3F000", ERR_IO},   {"23505", ERR_IO},
        {"22003", ERR_IO},   {"42601", ERR_IO},   {"XX000", ERR_IO},   {"28P01", ERR_INPUT},
    };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        char text[128];
        const struct pg_statement s = {"injected", text};
        struct pg *p = open_one();

        snprintf(text, sizeof text,
                 "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '%s'; END $$",
                 classes[i].state);
        if (pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err) != classes[i].code)
            fail_msg("%s: %s", classes[i].state, err.text);
        assert_non_null(strstr(err.text, classes[i].state));
        assert_non_null(strstr(err.text, "on purpose"));
        assert_true(pg_is_open(p) == (classes[i].code != ERR_AWAY));
        pg_close(p);
    }
}

UNIT_TEST(tables_that_are_gone_are_named)
{
    static const struct pg_statement s = {"gone", "SELECT count(*) FROM inbox"};
    struct pg *p = open_one();

    number(p, &s);
    database_sql("ALTER SCHEMA " SCHEMA " RENAME TO elsewhere");
    assert_int_equal(pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err), ERR_IO);
    assert_non_null(strstr(err.text, "the tables are gone"));
    assert_non_null(strstr(err.text, SCHEMA));
    database_sql("ALTER SCHEMA elsewhere RENAME TO " SCHEMA);
    pg_close(p);
}

/* They only seem to be gone. */
UNIT_TEST(tables_of_a_schema_without_a_right_to_it_are_away)
{
    static const struct pg_statement s = {"hidden", "SELECT count(*) FROM inbox"};
    struct pg *p = open_one();
    int rc;

    number(p, &s);
    assert_int_equal(pg_explain(p, ERR_IO, &err), ERR_IO);
    database_sql("REVOKE ALL ON SCHEMA " SCHEMA " FROM drainwatch");
    rc = pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err);
    assert_int_equal(pg_explain(p, rc, &err), ERR_AWAY);
    assert_non_null(strstr(err.text, "GRANT USAGE ON SCHEMA " SCHEMA));
    assert_false(pg_is_open(p));
    pg_close(p);
    fails_with(database_url(), ERR_INPUT, "GRANT USAGE ON SCHEMA " SCHEMA);
    database_sql("GRANT ALL ON SCHEMA " SCHEMA " TO drainwatch");
}

UNIT_TEST(a_revoked_right_to_write_is_named)
{
    static const struct pg_statement s = {
        "put", "INSERT INTO channels (channel, last_try_us) VALUES ('c', 1)"};
    struct pg *p = open_one();

    database_sql("REVOKE INSERT ON " SCHEMA ".channels FROM drainwatch");
    assert_int_equal(pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "outgrown its plan"));
    database_sql("GRANT INSERT ON " SCHEMA ".channels TO drainwatch");
    assert_int_equal(pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err), 0);
    pg_close(p);
}

UNIT_TEST(a_locked_row_is_busy_after_a_second)
{
    static const struct pg_statement s = {"lock", "UPDATE lease SET beat = beat + 1"};
    PGconn *other = PQconnectdb(getenv("DRAINWATCH_TEST_SUPERUSER_URL"));
    struct pg *p = open_one();

    PQclear(PQexec(other, "BEGIN; SELECT * FROM " SCHEMA ".lease FOR UPDATE"));
    assert_int_equal(pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err), ERR_BUSY);
    PQfinish(other);
    assert_int_equal(pg_run(p, &s, NULL, PG_DEADLINE_US, NULL, &err), 0);
    pg_close(p);
}

/* ---- the end of a connection ---- */

static void is_closed(struct pg *p)
{
    assert_false(pg_is_open(p));
    assert_int_equal(pg_fd(p), -1);
    assert_false(pg_notified(p));
    assert_int_equal(pg_send(p, &one, NULL, &err), ERR_AWAY);
    assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), ERR_AWAY);
    pg_close(p);
}

UNIT_TEST(a_backend_that_ends_in_a_statement_is_away)
{
    struct pg *p = open_one();
    int64_t pid = number(p, &own_pid);

    assert_int_equal(pg_send(p, &slow, NULL, &err), 0);
    database_sql("SELECT pg_terminate_backend(%d)", (int)pid);
    assert_int_equal(pg_receive(p, PG_DEADLINE_US, NULL, &err), ERR_AWAY);
    assert_non_null(strstr(err.text, "57P01"));
    is_closed(p);
}

UNIT_TEST(a_backend_that_ends_at_rest_wakes_its_owner)
{
    struct pg *p = open_one();
    int64_t pid = number(p, &own_pid);
    struct pollfd fd = {.fd = pg_fd(p), .events = POLLIN};

    database_sql("SELECT pg_terminate_backend(%d)", (int)pid);
    for (int i = 0; i < 10 && pg_is_open(p); i++) {
        assert_int_equal(poll(&fd, 1, 20000), 1);
        assert_false(pg_notified(p));
    }
    is_closed(p);
}

UNIT_TEST(a_send_after_the_end_is_away)
{
    struct pg *p = open_one();
    int64_t pid = number(p, &own_pid);

    database_sql("SELECT pg_terminate_backend(%d, 5000)", (int)pid);
    assert_int_equal(pg_run(p, &one, NULL, PG_DEADLINE_US, NULL, &err), ERR_AWAY);
    is_closed(p);
}

UNIT_TEST(a_missed_deadline_closes_the_connection)
{
    struct pg *p = open_one();

    assert_int_equal(pg_run(p, &slow, NULL, 50000, NULL, &err), ERR_AWAY);
    assert_non_null(strstr(err.text, "no answer"));
    is_closed(p);
}

/* ---- notifications ---- */

static bool hears(struct pg *p, int wait_ms)
{
    struct pollfd fd = {.fd = pg_fd(p), .events = POLLIN};

    if (pg_notified(p))
        return true;
    while (poll(&fd, 1, wait_ms) == 1) {
        if (pg_notified(p))
            return true;
    }
    return false;
}

UNIT_TEST(a_notification_is_heard)
{
    struct pg_options o = options();
    struct pg *p;

    o.listen = true;
    p = open_with(o);
    assert_false(hears(p, 0));
    database_sql("NOTIFY " SCHEMA "; NOTIFY other");
    assert_true(hears(p, 20000));
    assert_false(hears(p, 0));
    pg_close(p);
}

UNIT_TEST(a_notification_with_an_answer_is_heard)
{
    static const struct pg_statement notify = {"notify", "SELECT pg_notify('" SCHEMA "', 'i')"};
    struct pg_options o = options();
    struct pg *p;

    o.listen = true;
    p = open_with(o);
    for (int i = 0; i < 5; i++) {
        pg_rows_free(run(p, &notify, NULL));
        assert_true(hears(p, 20000));
        assert_false(hears(p, 0));
    }
    pg_close(p);
}

/* ---- failures to connect ---- */

/* The tests' URL with other parts; NULL keeps one. */
static const char *url_with(const char *user, const char *password, const char *address,
                            const char *database)
{
    static char url[512];
    const char *rest = strchr(strchr(database_url(), '@'), '/');
    size_t n = strcspn(strchr(database_url(), '@') + 1, "/");

    snprintf(url, sizeof url, "postgres://%s:%s@%.*s/%s", user == NULL ? "drainwatch" : user,
             password == NULL ? "hush-p%40ss%2Fword" : password,
             address == NULL ? (int)n : (int)strlen(address),
             address == NULL ? strchr(database_url(), '@') + 1 : address,
             database == NULL ? rest + 1 : database);
    return url;
}

UNIT_TEST(wrong_parts_of_the_url_are_named)
{
    fails_with("postgres://drainwatch:hush@hush@127.0.0.1/x", ERR_INPUT, "%40");
    fails_with(url_with(NULL, "hush-wrong", NULL, NULL), ERR_INPUT, "28P01");
    fails_with(url_with(NULL, "hush-wrong", NULL, NULL), ERR_INPUT, "password is not valid");
    fails_with(url_with("nobody", NULL, NULL, NULL), ERR_INPUT, "28P01");
    fails_with(url_with(NULL, "", NULL, NULL), ERR_INPUT, "holds none");
    fails_with(url_with(NULL, NULL, NULL, "missing"), ERR_INPUT, "no database of the name");
    fails_with(url_with(NULL, NULL, "127.0.0.1:1", NULL), ERR_AWAY, "nothing listens there");
    fails_with(url_with(NULL, NULL, "nowhere.invalid", NULL), ERR_AWAY, "the name is not found");
    fails_with("postgres://drainwatch:hush@%2Fnowhere/x", ERR_AWAY, "nothing listens there");
}

UNIT_TEST(a_role_without_free_connections_is_away)
{
    database_sql("ALTER ROLE drainwatch CONNECTION LIMIT 0");
    fails_with(database_url(), ERR_AWAY, "all of its connections are in use");
    database_sql("ALTER ROLE drainwatch CONNECTION LIMIT -1");
}

UNIT_TEST(a_role_that_may_not_log_in_is_named)
{
    database_sql("ALTER ROLE drainwatch NOLOGIN");
    fails_with(database_url(), ERR_INPUT, "the user may not log in");
    database_sql("ALTER ROLE drainwatch LOGIN");
    database_sql("REVOKE CONNECT ON DATABASE drainwatch FROM PUBLIC, drainwatch");
    fails_with(database_url(), ERR_INPUT, "GRANT CONNECT");
    database_sql("GRANT CONNECT ON DATABASE drainwatch TO PUBLIC, drainwatch");
}

UNIT_TEST(a_read_only_server_is_away)
{
    struct pg_options o = options();

    database_sql("ALTER ROLE drainwatch SET default_transaction_read_only = on");
    fails_with(database_url(), ERR_AWAY, "it is read-only");
    o.read_only = true;
    pg_close(open_with(o));
    database_sql("ALTER ROLE drainwatch RESET default_transaction_read_only");
}

UNIT_TEST(a_certificate_is_verified_if_the_url_asks_for_it)
{
    char url[1024];

    snprintf(url, sizeof url, "%s?sslmode=verify-full&sslrootcert=%s", database_url(),
             getenv("DRAINWATCH_TEST_CERTIFICATE"));
    pg_close(open_with((struct pg_options){.url = url, .schema = SCHEMA, .program = "test"}));
    snprintf(url, sizeof url,
             "%s?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
             database_url());
    fails_with(url, ERR_INPUT, "certificate");
    snprintf(url, sizeof url, "%s?sslmode=verify-full&sslrootcert=/nowhere", database_url());
    fails_with(url, ERR_INPUT, "certificate");
}

/* A server of our own that answers each connection with the same bytes. */
struct stand_in {
    int fd;
    pthread_t thread;
    const char *answer;
    size_t size;
    int port;
    char url[128];
};

static void *serve(void *ctx)
{
    struct stand_in *s = ctx;
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        char startup[1024];

        if (read(fd, startup, sizeof startup) > 0 && s->size > 0 &&
            write(fd, s->answer, s->size) < 0)
            perror("write");
        while (read(fd, startup, sizeof startup) > 0)
            ;
        close(fd);
    }
    return NULL;
}

static void stand_in_start(struct stand_in *s, const char *sslmode, const char *answer, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;

    s->answer = answer;
    s->size = size;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &length), 0);
    s->port = ntohs(address.sin_port);
    snprintf(s->url, sizeof s->url, "postgres://user:hush@localhost:%d/x?sslmode=%s", s->port,
             sslmode);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stand_in_stop(struct stand_in *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static void refuses(const char *state, int code, const char *words)
{
    struct stand_in s;
    char answer[64] = {'E'};
    int n = 5 + snprintf(answer + 5, sizeof answer - 5, "SFATAL%cC%s%cMhush%c", 0, state, 0, 0) + 1;

    answer[4] = (char)(n - 1);
    stand_in_start(&s, "disable", answer, (size_t)n);
    fails_with(s.url, code, words);
    stand_in_stop(&s);
}

/* A proxy before a database may answer so while that is away. */
static void is_no_postgresql(const char *sslmode, const char *answer)
{
    struct stand_in s;
    char words[64];

    stand_in_start(&s, sslmode, answer, strlen(answer));
    snprintf(words, sizeof words, "on localhost:%d: no PostgreSQL answers there", s.port);
    fails_with(s.url, ERR_AWAY, words);
    stand_in_stop(&s);
}

UNIT_TEST(a_port_without_postgresql_is_named)
{
    static const char http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

    is_no_postgresql("require", http);
    is_no_postgresql("disable", http);
    is_no_postgresql("prefer", http);
    is_no_postgresql("require", "-ERR unknown command\r\n");
    is_no_postgresql("require", "220 mail.example ESMTP\r\n");
    is_no_postgresql("require", "\x15\x03\x01"); /* TLS */
}

UNIT_TEST(refusals_of_other_servers_are_understood)
{
    static const char old[] = "R\0\0\0\10\0\0\0\0S\0\0\0\30server_version\00012.4\0"
                              "S\0\0\0\31server_encoding\0UTF8\0S\0\0\0\27in_hot_standby\0off\0"
                              "S\0\0\0\46default_transaction_read_only\0off\0Z\0\0\0\5I";
    static const char no_tls[] = "N";
    struct stand_in s;

    refuses("57P03", ERR_AWAY, "starting");
    refuses("08P01", ERR_AWAY, "connection pool");
    refuses("XX000", ERR_AWAY, "XX000");
    stand_in_start(&s, "disable", old, sizeof old - 1);
    fails_with(s.url, ERR_INPUT, "its version is 12");
    stand_in_stop(&s);
    stand_in_start(&s, "require", no_tls, 1);
    fails_with(s.url, ERR_INPUT, "offers no TLS");
    stand_in_stop(&s);
}

/* ---- threads ---- */

static void *use_own(void *ctx)
{
    static const struct pg_statement echo = {"echo", "SELECT $1::int8"};
    struct pg_options o = options();
    struct pg_args *a = pg_args_new();
    struct err own;
    struct pg *p;
    int64_t *sum = ctx;

    if (pg_open(&o, &p, &own) == 0) {
        for (int64_t i = 1; i <= 200; i++) {
            struct pg_rows *r;

            pg_args_clear(a);
            pg_put_i64(a, i);
            if (pg_run(p, &echo, a, PG_DEADLINE_US, &r, &own) == 0)
                *sum += pg_i64(r, 0, 0);
            pg_rows_free(r);
        }
    }
    pg_close(p);
    pg_args_free(a);
    return NULL;
}

UNIT_TEST(two_threads_have_a_connection_each)
{
    pthread_t threads[2];
    int64_t sums[2] = {0};

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_own, &sums[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(sums[i], 200 * 201 / 2);
    }
}

static int take(struct pg_dial *d, struct pg **p)
{
    struct pollfd fd = {.fd = pg_dial_fd(d), .events = POLLIN};
    int rc = 1;

    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_true(pg_dial_take(d, p, &rc, &err));
    assert_false(pg_dial_take(d, p, &rc, &err));
    return rc;
}

UNIT_TEST(a_dial_hands_over_its_connection)
{
    struct pg_options o = options();
    struct pg_dial *d;
    struct pg *p;

    assert_int_equal(pg_dial_begin(&o, &d, &err), 0);
    assert_int_equal(take(d, &p), 0);
    pg_dial_close(d);
    assert_int_equal(number(p, &one), 1);
    pg_close(p);
}

UNIT_TEST(a_dial_tells_why_it_failed)
{
    struct pg_options o = options();
    struct pg_dial *d;
    struct pg *p;

    o.url = url_with(NULL, "hush-wrong", NULL, NULL);
    assert_int_equal(pg_dial_begin(&o, &d, &err), 0);
    assert_int_equal(take(d, &p), ERR_INPUT);
    assert_null(p);
    assert_non_null(strstr(err.text, "28P01"));
    pg_dial_close(d);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

UNIT_TEST(a_dial_to_a_silent_server_can_be_given_up)
{
    struct pg_options o = options();
    struct pg_dial *d;
    struct stand_in s;
    struct pg *p;
    int rc;
    int64_t begin;

    stand_in_start(&s, "disable", "", 0);
    o.url = s.url;
    assert_int_equal(pg_dial_begin(&o, &d, &err), 0);
    assert_false(pg_dial_take(d, &p, &rc, &err));
    begin = now_ms();
    pg_dial_close(d);
    assert_true(now_ms() - begin < 5000);
    stand_in_stop(&s);
}

UNIT_TEST(a_dial_that_nobody_takes_is_closed)
{
    struct pg_options o = options();
    struct pg_dial *d;

    assert_int_equal(pg_dial_begin(&o, &d, &err), 0);
    pg_dial_close(d);
    pg_dial_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_there_and_back),
        cmocka_unit_test(arrays_become_rows),
        cmocka_unit_test(megabytes_go_there_and_back),
        cmocka_unit_test(too_many_bytes_are_refused_before_they_are_sent),
        cmocka_unit_test(answers_come_in_the_order_of_the_statements),
        cmocka_unit_test(a_failed_statement_spares_the_ones_around_it),
        cmocka_unit_test(a_commit_that_fails_is_no_success),
        cmocka_unit_test(each_statement_is_a_transaction_of_its_own),
        cmocka_unit_test(behind_a_pool_the_settings_are_the_transactions_own),
        cmocka_unit_test(behind_a_pool_a_command_cannot_write),
        cmocka_unit_test(the_session_is_prepared),
        cmocka_unit_test(each_class_of_errors_has_its_code),
        cmocka_unit_test(tables_that_are_gone_are_named),
        cmocka_unit_test(tables_of_a_schema_without_a_right_to_it_are_away),
        cmocka_unit_test(a_revoked_right_to_write_is_named),
        cmocka_unit_test(a_locked_row_is_busy_after_a_second),
        cmocka_unit_test(a_backend_that_ends_in_a_statement_is_away),
        cmocka_unit_test(a_backend_that_ends_at_rest_wakes_its_owner),
        cmocka_unit_test(a_send_after_the_end_is_away),
        cmocka_unit_test(a_missed_deadline_closes_the_connection),
        cmocka_unit_test(a_notification_is_heard),
        cmocka_unit_test(a_notification_with_an_answer_is_heard),
        cmocka_unit_test(wrong_parts_of_the_url_are_named),
        cmocka_unit_test(a_role_without_free_connections_is_away),
        cmocka_unit_test(a_role_that_may_not_log_in_is_named),
        cmocka_unit_test(a_read_only_server_is_away),
        cmocka_unit_test(a_certificate_is_verified_if_the_url_asks_for_it),
        cmocka_unit_test(a_port_without_postgresql_is_named),
        cmocka_unit_test(refusals_of_other_servers_are_understood),
        cmocka_unit_test(two_threads_have_a_connection_each),
        cmocka_unit_test(a_dial_hands_over_its_connection),
        cmocka_unit_test(a_dial_tells_why_it_failed),
        cmocka_unit_test(a_dial_to_a_silent_server_can_be_given_up),
        cmocka_unit_test(a_dial_that_nobody_takes_is_closed),
    };

    return cmocka_run_group_tests(tests, make_schema, drop_schema);
}
