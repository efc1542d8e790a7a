/* Creates the tables and brings older ones up to date; called by pg_open. */
#include "common/pg/schema.h"

#include "common/pg/connection.h"

#include <string.h>

enum { SCHEMA_VERSION = 3 };

/* Tables whose rows change all the time are vacuumed by number of dead rows, and without pauses. */
#define CHURN(prefix, rows)                                                                        \
    prefix "autovacuum_vacuum_scale_factor=0, " prefix "autovacuum_vacuum_threshold=" rows         \
           ", " prefix "autovacuum_vacuum_cost_delay=0"

/* One statement, and so one transaction. The session's search_path is the schema's name alone. */
static const char migration[] =
    "DO $migration$ DECLARE wanted text := current_setting('search_path'); BEGIN "
    "PERFORM pg_advisory_xact_lock(hashtext('drainwatch'), hashtext(wanted)); "
    "IF to_regnamespace(wanted) IS NULL THEN EXECUTE format('CREATE SCHEMA %I', wanted); END IF; "
    "IF EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(wanted)"
    " AND relname = 'about') THEN RETURN; END IF; "
    "IF EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(wanted)) THEN"
    " RAISE EXCEPTION 'it has other tables' USING ERRCODE = 'DW001'; END IF; "
    "CREATE TABLE about (one boolean PRIMARY KEY DEFAULT true CHECK (one),"
    " version int NOT NULL,"       /* of the tables */
    " oldest_build int NOT NULL);" /* the least SCHEMA_VERSION of a build that may use them */
    "CREATE TABLE lease (one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL,"
    " held boolean NOT NULL, holder text NOT NULL, pid int NOT NULL,"
    " backend_start timestamptz NOT NULL, beat bigint NOT NULL, last bigint NOT NULL,"
    " start bigint NOT NULL, bytes bigint NOT NULL, since timestamptz NOT NULL DEFAULT now(),"
    " trouble text NOT NULL DEFAULT ''," /* why alerts are not delivered */
    " moved text NOT NULL DEFAULT '')"   /* the folder that has all of it since; '': none */
    " WITH (fillfactor=20, " CHURN(
        "",
        "2000") ");"
                "INSERT INTO lease (epoch, held, holder, pid, backend_start, beat, last, start, "
                "bytes) VALUES (0, false, '', 0, 'epoch', 0, 0, 0, 0);"
                /* Written by ingests only. */
                "CREATE TABLE ingests (sender bytea PRIMARY KEY, name text NOT NULL, build text "
                "NOT NULL,"
                " goodbye boolean NOT NULL, seen timestamptz NOT NULL, waiting bigint NOT NULL)"
                " WITH (fillfactor=50);"
                /* Inserted by ingests, deleted by the alerter; `body` is a packed Push. */
                "CREATE TABLE inbox (sender bytea NOT NULL, last bigint NOT NULL, first bigint NOT "
                "NULL,"
                " oldest bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),"
                " body bytea NOT NULL, PRIMARY KEY (sender, last))"
                " WITH (" CHURN("", "1000") ", " CHURN(
                    "toast.",
                    "5000") ");"
                            "CREATE TABLE alerters (name text PRIMARY KEY, build text NOT NULL,"
                            " position bigint NOT NULL, seen timestamptz NOT NULL)"
                            " WITH (fillfactor=50);"
                            /* From here on written by the active alerter only. */
                            "CREATE TABLE senders (sender bytea PRIMARY KEY, taken bigint NOT NULL,"
                            " seen_us bigint NOT NULL, refused text NOT NULL DEFAULT '')"
                            " WITH (fillfactor=30, " CHURN(
                                "",
                                "2000") ");"
                                        /* A row holds the entries of a turn, each behind its length
                                         * as a varint; `position` is the last one's. A snapshot has
                                         * a row of its own, and its bytes lie in `part`. */
                                        "CREATE TABLE stream (position bigint PRIMARY KEY, n int "
                                        "NOT NULL, at_us bigint NOT NULL,"
                                        " snapshot boolean NOT NULL, body bytea NOT NULL);"
                                        "CREATE INDEX stream_snapshots ON stream (position) WHERE "
                                        "snapshot;"
                                        "CREATE TABLE part (position bigint, part int, body bytea "
                                        "NOT NULL,"
                                        " PRIMARY KEY (position, part));"
                                        "ALTER TABLE part ALTER body SET STORAGE EXTERNAL;"
                                        /* On a full disk its own pages are all that it has. */
                                        "ALTER TABLE inbox SET (vacuum_truncate=off, "
                                        "toast.vacuum_truncate=off);"
                                        "CREATE TABLE outbox (row bigint PRIMARY KEY, epoch bigint "
                                        "NOT NULL, channel text NOT NULL,"
                                        " app text NOT NULL DEFAULT '', rule text NOT NULL, turn "
                                        "bigint NOT NULL DEFAULT 0, place bigint NOT NULL, state "
                                        "int NOT NULL, alert bytea NOT NULL,"
                                        " decided_us bigint NOT NULL, tries bigint NOT NULL, "
                                        "last_try_us bigint NOT NULL,"
                                        " retry_after_us bigint NOT NULL, next_try_us bigint NOT "
                                        "NULL, ended_us bigint NOT NULL,"
                                        " last_answer text NOT NULL) WITH (fillfactor=70);"
                                        "CREATE INDEX outbox_open ON outbox (row) WHERE state < 2;"
                                        "CREATE INDEX outbox_over ON outbox (decided_us) WHERE "
                                        "state >= 2;"
                                        "CREATE TABLE channels (channel text PRIMARY KEY, "
                                        "last_try_us bigint NOT NULL);"
                                        "CREATE TABLE refused (row bigint GENERATED ALWAYS AS "
                                        "IDENTITY PRIMARY KEY,"
                                        " sender bytea NOT NULL, sequence bigint NOT NULL, bytes "
                                        "bytea NOT NULL, reason text NOT NULL,"
                                        " at_us bigint NOT NULL);"
                                        "INSERT INTO about (version, oldest_build) VALUES (3, 1);"
                                        /* The server may have been built without lz4. */
                                        "BEGIN EXECUTE 'ALTER TABLE inbox ALTER body SET "
                                        "COMPRESSION lz4';"
                                        " EXECUTE 'ALTER TABLE stream ALTER body SET COMPRESSION "
                                        "lz4';"
                                        " EXCEPTION WHEN feature_not_supported OR syntax_error "
                                        "THEN NULL; END; "
                                        "END $migration$";

/* Version 1 had no turns of apps, and version 2 did not note a move. Their builds can still use the
 * tables. */
static const char update[] =
    "DO $update$ BEGIN "
    "PERFORM pg_advisory_xact_lock(hashtext('drainwatch'), "
    "hashtext(current_setting('search_path'))); "
    "ALTER TABLE outbox ADD COLUMN IF NOT EXISTS app text NOT NULL DEFAULT '',"
    " ADD COLUMN IF NOT EXISTS turn bigint NOT NULL DEFAULT 0; "
    "ALTER TABLE lease ADD COLUMN IF NOT EXISTS moved text NOT NULL DEFAULT ''; "
    "UPDATE about SET version = 3 WHERE version < 3; END $update$";

static int read_version(struct pg *p, int64_t *version, int64_t *oldest_build, struct err *err)
{
    struct pg_rows *rows;
    int rc = pg_run_text(p, "version", "SELECT version, oldest_build FROM about", &rows, err);

    if (rc != 0)
        return rc;
    *version = pg_n_rows(rows) == 0 ? 0 : pg_i64(rows, 0, 0);
    *oldest_build = pg_n_rows(rows) == 0 ? 0 : pg_i64(rows, 0, 1);
    pg_rows_free(rows);
    return 0;
}

static int foreign(const struct pg *p, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "PostgreSQL on %s: the schema %s belongs to another program (set "
                   "DRAINWATCH_SCHEMA to a name of its own)",
                   p->host, p->schema);
}

static int judge_migration(const struct pg *p, int rc, struct err *err)
{
    if (rc == ERR_BUSY)
        return err_set(err, ERR_AWAY,
                       "PostgreSQL on %s: the tables of schema %s are locked by another session, "
                       "so they cannot be brought up to date; trying again",
                       p->host, p->schema);
    if (strcmp(p->state, "42501") == 0)
        return err_set(err, ERR_INPUT,
                       "PostgreSQL on %s: this user may not create the schema %s or its tables (as "
                       "the database's owner: GRANT CREATE ON DATABASE … TO this user)",
                       p->host, p->schema);
    return strcmp(p->state, "DW001") == 0 ? foreign(p, err) : rc;
}

static int judge_version(const struct pg *p, int64_t version, int64_t oldest_build, struct err *err)
{
    if (version <= 0)
        return foreign(p, err);
    if (oldest_build > SCHEMA_VERSION)
        return err_set(err, ERR_VERSION,
                       "PostgreSQL on %s: a newer drainwatch wrote the schema %s (version %d, this "
                       "build knows %d): update this program",
                       p->host, p->schema, (int)version, SCHEMA_VERSION);
    if (version < SCHEMA_VERSION)
        return err_set(err, ERR_IO,
                       "PostgreSQL on %s: an older drainwatch made the schema %s: start this "
                       "build's alerter, which brings it up to date",
                       p->host, p->schema);
    return 0;
}

/* Returns ERR_INPUT if the user lacks the right to the schema: its tables then seem to be missing.
 */
static int check_usage(struct pg *p, struct err *err)
{
    struct pg_rows *rows;
    struct err why;
    int rc = pg_run_text(p, "usage",
                         "SELECT has_schema_privilege(to_regnamespace(current_setting("
                         "'search_path'))::oid, 'USAGE')",
                         &rows, &why);
    bool is_missing =
        rc == 0 && pg_n_rows(rows) == 1 && !pg_is_null(rows, 0, 0) && !pg_bool(rows, 0, 0);

    pg_rows_free(rows);
    if (!is_missing)
        return 0;
    return err_set(err, ERR_INPUT,
                   "PostgreSQL on %s: this user has no right to the schema %s (as its owner: GRANT "
                   "USAGE ON SCHEMA %s TO this user, who needs the rights to its tables, too)",
                   p->host, p->schema, p->schema);
}

int pg_explain(struct pg *p, int rc, struct err *err)
{
    if (rc != ERR_IO || p->conn == NULL || check_usage(p, err) == 0)
        return rc;
    pg_disconnect(p);
    return ERR_AWAY;
}

/* No version: there is no table, or no row in it. */
static int judge_missing(struct pg *p, int rc, struct err *err)
{
    bool has_none = strcmp(p->state, "42P01") == 0;

    if (strcmp(p->state, "42703") == 0)
        return foreign(p, err);
    if (strcmp(p->state, "42501") == 0)
        return err_set(err, ERR_INPUT,
                       "PostgreSQL on %s: this user may not read the schema %s (use the URL of the "
                       "user who created it, or let that user grant the rights)",
                       p->host, p->schema);
    if (has_none && check_usage(p, err) != 0)
        return ERR_INPUT;
    if (p->read_only && has_none)
        return err_set(err, ERR_IO,
                       "PostgreSQL on %s: there is no schema %s that this user may read (check "
                       "DRAINWATCH_SCHEMA; the alerter creates it at its start)",
                       p->host, p->schema);
    return rc;
}

int schema_prepare(struct pg *p, struct err *err)
{
    int64_t version = 0, oldest_build = 0;
    int rc = read_version(p, &version, &oldest_build, err);

    if (rc != 0 && (p->read_only || strcmp(p->state, "42P01") != 0))
        return judge_missing(p, rc, err);
    if (rc != 0 || (version < SCHEMA_VERSION && !p->read_only)) {
        rc = rc != 0 ? pg_run_text(p, "migration", migration, NULL, err)
                     : pg_run_text(p, "update", update, NULL, err);
        if (rc != 0)
            return judge_migration(p, rc, err);
        rc = read_version(p, &version, &oldest_build, err);
        if (rc != 0)
            return judge_missing(p, rc, err);
    }
    return judge_version(p, version, oldest_build, err);
}
