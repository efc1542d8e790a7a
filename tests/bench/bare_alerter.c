/* The floor for the alerter: takes bytes from ZeroMQ and appends them to an SQLite table, unread.
 *
 *     bare_alerter receive ENDPOINT FILE COUNT     binds; ends after COUNT records
 *     bare_alerter send ENDPOINT INGEST.DB         sends the records of ingest's journal
 *
 * As between ingest and alerter, a message has up to 1,000 records or 1 MiB, each record after its
 * length, and all waiting messages are one transaction. The receiver prints the nanoseconds of
 * processor time that it took. */
#include "common/storage/journal.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { MESSAGE_RECORDS = 1000, MESSAGE_BYTES = 1 << 20, TURN_RECORDS = 4096, RECORD_MAX = 1 << 20 };

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bare_alerter: %s\n", what);
    exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(db));
    return stmt;
}

/* ---- receiving ---- */

static uint64_t append(sqlite3_stmt *insert, const char *bytes, size_t n)
{
    uint64_t count = 0;

    for (uint32_t len; n > 0; count++) {
        memcpy(&len, bytes, sizeof len);
        sqlite3_bind_blob(insert, 1, bytes + sizeof len, (int)len, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE || sqlite3_reset(insert) != SQLITE_OK)
            fail("cannot append");
        bytes += sizeof len + len;
        n -= sizeof len + len;
    }
    return count;
}

/* Takes all waiting messages in one transaction. */
static uint64_t take_turn(void *socket, sqlite3 *db, sqlite3_stmt *insert)
{
    uint64_t count = 0;
    zmq_msg_t message;

    zmq_msg_init(&message);
    while (count < TURN_RECORDS && zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0) {
        if (count == 0)
            run(db, "BEGIN");
        count += append(insert, zmq_msg_data(&message), zmq_msg_size(&message));
    }
    zmq_msg_close(&message);
    if (count > 0)
        run(db, "COMMIT");
    return count;
}

static void receive(const char *endpoint, const char *path, uint64_t count)
{
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_PULL);
    struct timespec cpu;
    sqlite3_stmt *insert;
    sqlite3 *db;

    if (zmq_bind(socket, endpoint) != 0 || sqlite3_open(path, &db) != SQLITE_OK)
        fail("cannot open");
    run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE records (position INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
    insert = prepare(db, "INSERT INTO records (bytes) VALUES (?1)");
    for (uint64_t got = 0; got < count;) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};

        if (zmq_poll(&item, 1, 20000) <= 0)
            fail("nothing came for 20 s");
        got += take_turn(socket, db, insert);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%lld\n", (long long)cpu.tv_sec * 1000000000 + cpu.tv_nsec);
}

/* ---- sending ---- */

struct flood {
    void *socket;
    size_t n;
    size_t records;
    char message[MESSAGE_BYTES + RECORD_MAX];
};

static void send_message(struct flood *s)
{
    if (s->n > 0 && zmq_send(s->socket, s->message, s->n, 0) < 0)
        fail("cannot send");
    s->n = s->records = 0;
}

static int send_record(void *ctx, int64_t position, const void *bytes, size_t n)
{
    struct flood *s = ctx;
    uint32_t len = (uint32_t)n;

    (void)position;
    if (n > RECORD_MAX - sizeof len)
        fail("a record is too large");
    memcpy(s->message + s->n, &len, sizeof len);
    memcpy(s->message + s->n + sizeof len, bytes, n);
    s->n += sizeof len + n;
    if (++s->records == MESSAGE_RECORDS || s->n >= MESSAGE_BYTES)
        send_message(s);
    return 0;
}

static void send_all(const char *endpoint, const char *path)
{
    const struct journal_options options = {.path = path, .read_only = true};
    void *context = zmq_ctx_new();
    static struct flood sender;
    struct journal *journal;
    char set_aside[512];
    struct err err;
    int high_water = 4; /* messages: about what ingest has in flight */

    sender.socket = zmq_socket(context, ZMQ_PUSH);
    zmq_setsockopt(sender.socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    if (zmq_connect(sender.socket, endpoint) != 0)
        fail("cannot connect");
    if (journal_open(&options, &journal, set_aside, &err) != 0 ||
        journal_read(journal, 0, send_record, &sender, &err) != 0)
        fail(err.text);
    send_message(&sender);
    journal_close(journal);
    zmq_close(sender.socket);
    zmq_ctx_term(context); /* waits until everything is sent */
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "receive") == 0)
        receive(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "send") == 0)
        send_all(argv[2], argv[3]);
    else
        fail("usage: bare_alerter receive ENDPOINT FILE COUNT | send ENDPOINT INGEST.DB");
    return 0;
}
