/* The database of the tests that tests/system/postgres.py runs: its URL, and SQL as its superuser.
 */
#ifndef DRAINWATCH_TESTS_UNIT_DATABASE_H
#define DRAINWATCH_TESTS_UNIT_DATABASE_H

#include "tests/unit/unit.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The URL of an ordinary user who owns the database. */
static inline const char *database_url(void)
{
    const char *url = getenv("DRAINWATCH_TEST_DATABASE_URL");

    if (url == NULL)
        fail_msg("run this by tests/system/postgres.py");
    return url;
}

/* The same through a connection pool of two sessions, each transaction in any of them. Skips the
 * test if PgBouncer is not installed. */
static inline const char *database_pool_url(void)
{
    const char *url = getenv("DRAINWATCH_TEST_POOL_URL");

    if (url == NULL)
        skip();
    return url;
}

/* Runs statements as the superuser. Returns the first value of the last one in a buffer that the
 * next call overwrites, "" if there is none. */
__attribute__((format(printf, 1, 2))) static inline const char *database_sql(const char *fmt, ...)
{
    static char value[256];
    char text[4096];
    PGconn *conn = PQconnectdb(getenv("DRAINWATCH_TEST_SUPERUSER_URL"));
    PGresult *r;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    PQclear(PQexec(conn, "SET client_min_messages = warning"));
    r = PQexec(conn, text);
    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", text, PQerrorMessage(conn));
    snprintf(value, sizeof value, "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    PQfinish(conn);
    return value;
}

static inline void database_drop_schema(const char *name)
{
    database_sql("DROP SCHEMA IF EXISTS %s CASCADE", name);
}

#endif
