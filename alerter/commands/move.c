/* `drainwatch-alerter move`: copies all that the alerter keeps from one storage into another.
 * Called by main. */
#include "alerter/commands/commands.h"

#include "alerter/commands/drain.h"
#include "alerter/commands/output.h"
#include "common/app/args.h"
#include "common/app/clock.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A holder that is gone is replaced after a second, a silent one after five. */
static const int64_t LEASE_US = 10 * TIME_S;
/* An alerter tells every 5 s that it lives, and that it has stopped. */
static const int64_t ALIVE_US = 15 * TIME_S;
enum { BATCH_BYTES = 4 << 20, BATCH_ROWS = 1000, FOLDER_MAX = 400, FILE_SIZE = 512 };
static const char DATABASE[] = "database";
static const char UNFINISHED[] = ".moving";
static const char MOVE[] = "move "; /* before the name by which alerters see this program */

/* One of the two storages. */
struct side {
    const char *name; /* as the user gave it */
    struct startup_storage place;
    char holder[PROCESS_NAME_SIZE + sizeof "move "];
    char file[FILE_SIZE]; /* of SQLite; a target gets its name at the end. "": a database */
    struct storage *storage;
};

struct move {
    struct side from;
    struct side to;
    size_t batch_rows;
    size_t batch_bytes;
    uint64_t entries;
    uint64_t snapshots;
    uint64_t senders;
    uint64_t refused;
    uint64_t alerts;
    bool is_unsure; /* the target may have all of it */
    struct err *err;
};

/* ---- A database ---- */

static int refuse_alerter(void *ctx, const struct storage_alerter *a)
{
    const struct move *m = ctx;

    if (a->seen_us >= ALIVE_US || strncmp(a->name, MOVE, sizeof MOVE - 1) == 0)
        return 0;
    return err_set(m->err, ERR_BUSY,
                   "alerter %s was at the database %" PRId64 " s ago (stop all alerters first; one "
                   "that was killed counts for %d s)",
                   a->name, a->seen_us / TIME_S, (int)(ALIVE_US / TIME_S));
}

static int pass_over_ingest(void *ctx, const struct storage_ingest *ingest)
{
    (void)ctx, (void)ingest;
    return 0;
}

static int refuse_alerters(struct move *m, struct storage *s)
{
    const struct storage_peer_calls calls = {m, refuse_alerter, pass_over_ingest};

    return s->ops->list_peers(s, &calls, m->err);
}

static void wait_for(struct storage *s, int64_t now_us)
{
    struct pollfd fd = {.fd = storage_fd(s), .events = POLLIN};
    const int64_t left_us = storage_wake_us(s) - now_us;

    poll(&fd, fd.fd >= 0,
         left_us <= 0       ? 0
         : left_us < TIME_S ? (int)(left_us / TIME_MS) + 1
                            : 1000);
}

/* Takes the lease, so that no alerter becomes active meanwhile. */
static int take_lease(struct move *m, struct storage *s)
{
    const int64_t until_us = clock_boot_us() + LEASE_US;
    enum storage_role role = STORAGE_AWAY;
    int64_t now_us;
    bool is_checked = false;
    int rc = 0;

    while (rc == 0 && role != STORAGE_ACTIVE && (now_us = clock_boot_us()) < until_us) {
        rc = storage_tend(s, now_us, &role, m->err);
        if (rc == 0 && role != STORAGE_AWAY && !is_checked) {
            rc = refuse_alerters(m, s);
            is_checked = true;
        }
        if (rc == 0 && role != STORAGE_ACTIVE)
            wait_for(s, now_us);
    }
    if (rc != 0 || role == STORAGE_ACTIVE)
        return rc;
    return role == STORAGE_AWAY ? ERR_AWAY
                                : err_set(m->err, ERR_BUSY,
                                          "alerter %s is active at the database "
                                          "(stop all alerters first)",
                                          storage_term(s)->holder);
}

/* The lease must be kept all the time, or else an alerter may have changed the storage. */
static int keep_lease(struct move *m)
{
    struct storage *from = m->from.storage;
    enum storage_role role = STORAGE_ACTIVE;
    int rc = storage_is_shared(from) ? storage_tend(from, clock_boot_us(), &role, m->err) : 0;

    if (rc != 0 || role == STORAGE_ACTIVE)
        return rc;
    return role == STORAGE_AWAY ? ERR_AWAY
                                : err_set(m->err, ERR_BUSY,
                                          "an alerter was started meanwhile (stop it, move again)");
}

static int keep_source(void *ctx, struct err *err)
{
    (void)err; /* it is the move's */
    return keep_lease(ctx);
}

/* ---- Open ---- */

static int make_place(struct move *m, struct side *side, const struct settings *settings)
{
    const char *name = side->name;

    if (strcmp(name, DATABASE) == 0 && settings->database_url == NULL)
        return err_set(m->err, ERR_INPUT, "there is no database: set DRAINWATCH_DATABASE_URL");
    if (strlen(name) > FOLDER_MAX)
        return err_set(m->err, ERR_INPUT, "%.60s…: the path is too long", name);
    startup_storage(settings, "move", &side->place);
    snprintf(side->holder, sizeof side->holder, "%s%s", MOVE, side->place.holder);
    side->place.options.holder = side->holder;
    if (strcmp(name, DATABASE) == 0)
        return 0;
    storage_location(name, side->place.path);
    snprintf(side->file, sizeof side->file, "%.*s", FILE_SIZE - 1, side->place.path);
    side->place.options.location = side->place.path;
    return 0;
}

static int open_side(struct move *m, struct side *side)
{
    char aside[512];
    int rc = storage_open(&side->place.options, &side->storage, aside, m->err);

    if (rc == ERR_BUSY)
        return err_set(m->err, rc, "%s: an alerter uses it (stop all alerters first)", side->file);
    if (rc == 0 && storage_is_shared(side->storage))
        rc = take_lease(m, side->storage);
    return rc != 0 ? rc : storage_restore(side->storage, m->err);
}

/* A writer would set damaged contents aside, so they are first looked at. */
static int open_source(struct move *m)
{
    struct side *from = &m->from;
    char aside[512];
    int rc;

    if (from->file[0] == '\0')
        return open_side(m, from);
    if (access(from->file, F_OK) != 0)
        return err_set(m->err, ERR_IO, "%s: %s (name the state folder of an alerter)", from->file,
                       strerror(errno));
    from->place.options.read_only = true;
    rc = storage_open(&from->place.options, &from->storage, aside, m->err);
    storage_close(from->storage);
    from->storage = NULL;
    from->place.options.read_only = false;
    return rc != 0 ? rc : open_side(m, from);
}

static void name_file(const struct side *side, const char *suffix, char out[FILE_SIZE])
{
    snprintf(out, FILE_SIZE, "%.*s%s%s", FILE_SIZE - 32, side->file, UNFINISHED, suffix);
}

/* A move that broke off left it. */
static void remove_unfinished(const struct side *to)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    char name[FILE_SIZE];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        name_file(to, suffixes[i], name);
        unlink(name);
    }
}

static int refuse_full(const struct move *m)
{
    return err_set(
        m->err, ERR_INPUT, "%s: an alerter has kept something here already (%s)", m->to.name,
        m->to.file[0] != '\0' ? "move its alerter.db away, or name another folder"
                              : "set DRAINWATCH_SCHEMA to a new name, or drop the schema");
}

static int open_target(struct move *m)
{
    struct side *to = &m->to;
    int rc;

    if (to->file[0] != '\0') {
        if (access(to->file, F_OK) == 0)
            return refuse_full(m);
        rc = process_make_folder(to->name, m->err);
        if (rc != 0)
            return rc;
        remove_unfinished(to);
        name_file(to, "", to->place.path);
        return open_side(m, to);
    }
    rc = open_side(m, to);
    if (rc == 0 && storage_term(to->storage)->last != 0)
        rc = refuse_full(m);
    return rc;
}

/* ---- Copy ---- */

static int end_batch(struct move *m)
{
    int rc = storage_commit(m->to.storage, m->err);

    m->batch_rows = m->batch_bytes = 0;
    return rc == 0 ? keep_lease(m) : rc;
}

/* Makes room for a row of `n` bytes: many rows share a transaction of the target. */
static int begin_row(struct move *m, size_t n)
{
    struct storage *to = m->to.storage;
    int rc = 0;

    if (m->batch_rows >= BATCH_ROWS || m->batch_bytes + n > BATCH_BYTES || storage_is_long(to))
        rc = storage_in_transaction(to) ? end_batch(m) : 0;
    m->batch_rows++;
    m->batch_bytes += n;
    return rc != 0 || storage_in_transaction(to) ? rc : storage_begin(to, m->err);
}

static int copy_entry(void *ctx, int64_t position, const struct wire_entry *entry,
                      struct wire_bytes raw)
{
    struct move *m = ctx;
    int rc = begin_row(m, raw.len);

    (void)position;
    m->entries++;
    m->snapshots += entry->input == WIRE_INPUT_SNAPSHOT;
    return rc != 0 ? rc : storage_copy(m->to.storage, entry, raw, m->err);
}

static int copy_sender(void *ctx, const struct storage_sender *sender)
{
    struct move *m = ctx;
    int rc = begin_row(m, sizeof *sender);

    m->senders++;
    return rc != 0 ? rc
                   : m->to.storage->ops->put_sequence(m->to.storage, sender->id, sender->taken,
                                                      sender->seen_us, m->err);
}

static int copy_refused(void *ctx, const struct storage_refused *r)
{
    struct move *m = ctx;
    int rc = begin_row(m, r->bytes.len);

    m->refused++;
    return rc != 0 ? rc
                   : m->to.storage->ops->put_refused(m->to.storage, r->sender, r->sequence,
                                                     r->bytes, r->why, r->at_us, m->err);
}

static int copy_alert(void *ctx, const struct storage_outbox_row *row)
{
    struct move *m = ctx;
    int rc = begin_row(m, row->alert.len);

    m->alerts++;
    return rc != 0 ? rc : m->to.storage->ops->outbox_restore(m->to.storage, row, m->err);
}

static int copy_all(struct move *m)
{
    struct storage *from = m->from.storage, *to = m->to.storage;
    int rc = to->ops->begin_all != NULL ? to->ops->begin_all(to, m->err) : 0;

    if (rc == 0)
        rc = storage_read(from, 0, copy_entry, m, m->err);
    if (rc == 0)
        rc = from->ops->list_senders(from, copy_sender, m, m->err);
    if (rc == 0)
        rc = from->ops->list_refused(from, copy_refused, m, m->err);
    if (rc == 0)
        rc = from->ops->outbox_list(from, copy_alert, m, m->err);
    if (rc == 0 && storage_in_transaction(to))
        rc = end_batch(m);
    if (rc != 0 || to->ops->commit_all == NULL)
        return rc;
    rc = to->ops->commit_all(to, m->err);
    m->is_unsure = rc == ERR_AWAY;
    return rc;
}

/* ---- End ---- */

static void close_side(struct side *side)
{
    if (side->storage != NULL)
        storage_release(side->storage);
    storage_close(side->storage);
    side->storage = NULL;
}

/* Closes the target. Its log goes into the file then, if there is room. */
static int finish_target(struct move *m)
{
    char name[FILE_SIZE];

    close_side(&m->to);
    name_file(&m->to, "-wal", name);
    return m->to.file[0] == '\0' || access(name, F_OK) != 0
               ? 0
               : err_set(m->err, ERR_FULL, "%s: cannot be finished (is its disk full?)",
                         m->to.file);
}

static int name_for_good(const struct move *m)
{
    char name[FILE_SIZE];

    if (m->to.file[0] == '\0')
        return 0;
    name_file(&m->to, "", name);
    if (link(name, m->to.file) != 0)
        return errno == EEXIST ? refuse_full(m)
                               : err_set(m->err, ERR_IO, "%s: cannot be named: %s", m->to.file,
                                         strerror(errno));
    remove_unfinished(&m->to);
    return 0;
}

static int end(struct move *m)
{
    int rc = finish_target(m);

    if (rc == 0)
        rc = keep_lease(m);
    return rc == 0 ? name_for_good(m) : rc;
}

/* ---- The note ---- */

static void name_place(const struct move *m, const struct settings *settings, char place[PATH_MAX])
{
    if (m->to.file[0] == '\0')
        snprintf(place, PATH_MAX, "the schema %s of the database", settings->schema);
    else if (realpath(m->to.name, place) == NULL)
        snprintf(place, PATH_MAX, "%s", m->to.name);
}

/* Tries again after the connection was lost. */
static void take_back_note(struct move *m)
{
    struct storage *from = m->from.storage;
    struct err ignored;
    struct move again = {.err = &ignored};

    if (from->ops->note_move(from, "", &ignored) != 0 && storage_is_shared(from) &&
        take_lease(&again, from) == 0)
        (void)from->ops->note_move(from, "", &ignored);
}

/* No alerter goes on with a source that notes its move, also not one that is frozen now, and no
 * ingest puts more into it. So the copy has all that it ever held. */
static int move_noted(struct move *m, const struct settings *settings)
{
    struct storage *from = m->from.storage;
    char place[PATH_MAX];
    int rc;

    name_place(m, settings, place);
    rc = from->ops->note_move(from, place, m->err);
    if (rc == 0 && storage_is_shared(from))
        rc = drain_inbox(from, settings, keep_source, m, m->err);
    if (rc == 0)
        rc = copy_all(m);
    if (rc == 0)
        rc = end(m);
    if (rc != 0 && !m->is_unsure)
        take_back_note(m);
    return rc;
}

static int move(struct move *m, const struct settings *settings)
{
    int rc = make_place(m, &m->from, settings);

    if (rc == 0)
        rc = make_place(m, &m->to, settings);
    if (rc == 0)
        rc = open_source(m);
    if (rc == 0)
        rc = open_target(m);
    if (rc == 0)
        rc = move_noted(m, settings);
    close_side(&m->to);
    close_side(&m->from);
    return rc;
}

static void print_counts(const struct move *m)
{
    printf("copied %" PRIu64 " %s (%" PRIu64 " %s), %" PRIu64 " %s, %" PRIu64
           " refused %s and %" PRIu64 " %s\n"
           "no alerter starts on %s again\n",
           m->entries, text_plural(m->entries, "entry", "entries"), m->snapshots,
           text_plural(m->snapshots, "snapshot", "snapshots"), m->senders,
           text_plural(m->senders, "sender", "senders"), m->refused,
           text_plural(m->refused, "record", "records"), m->alerts,
           text_plural(m->alerts, "alert", "alerts"), m->from.name);
}

int move_command(const struct startup_program *program, int argc, char **argv)
{
    const struct args_option options[] = {{0}};
    struct settings settings;
    struct err err;
    struct move m = {.err = &err};
    int rc, code, n = args_read(program, argc, argv, options, 2);

    if (n < 0)
        return STARTUP_USAGE;
    if (n != 2)
        return args_wrong(program, "move takes FROM and TO, each a state folder or", DATABASE);
    m.from.name = argv[argc - 2];
    m.to.name = argv[argc - 1];
    if (strcmp(m.from.name, m.to.name) == 0)
        return args_wrong(program, "FROM and TO are both", m.from.name);
    code = startup_settings(program, &settings);
    if (code != STARTUP_OK)
        return code;
    rc = move(&m, &settings);
    if (rc == 0)
        print_counts(&m);
    if (rc == 0)
        rc = output_flush(&err);
    settings_close(&settings);
    return rc == 0 ? STARTUP_OK : startup_cannot(program, rc, err.text);
}
