/* Finds and shows the programs that serve on a storage. Called by status. */
#include "alerter/commands/programs.h"

#include "alerter/commands/output.h"
#include "common/app/startup.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/storage/journal_files.h"

#include <inttypes.h>
#include <stdio.h>

/* Programs tell the database every 5 s that they live, and an alerter up to a second later. */
static const int64_t ALIVE_US = 7 * TIME_S;
enum { PROGRAMS_MAX = 10000, SHOWN = 20, NAME_BYTES = 40, FORMAT_SIZE = 32 };

/* An alerter or an ingest at a database. */
struct programs_one {
    char name[128];
    char build[32];
    int64_t seen_us; /* ago */
    int64_t count;   /* of an alerter: entries that it has not read; of an ingest: its records */
    bool has_lease;
    bool is_gone;    /* its connection is closed */
    int64_t held_us; /* for how long it has had the lease */
    bool has_left;
};

/* ---- reading ---- */

static int add(struct buf *list, const struct programs_one *one)
{
    return buf_append(list, one, sizeof *one);
}

static const struct programs_one *all_of(const struct buf *list, size_t *n)
{
    *n = list->len / sizeof(struct programs_one);
    return (const void *)list->data;
}

static bool is_alive(const struct programs_one *one)
{
    return !one->has_left && !one->is_gone && one->seen_us < ALIVE_US;
}

static bool is_active(const struct programs_one *one)
{
    return one->has_lease && is_alive(one);
}

static int add_alerter(void *ctx, const struct storage_alerter *a)
{
    struct programs_one one = {.seen_us = a->seen_us,
                               .count = a->behind,
                               .has_lease = a->has_lease,
                               .is_gone = a->is_gone,
                               .held_us = a->held_us};
    struct programs *p = ctx;

    text_copy_printable(one.name, sizeof one.name, a->name);
    text_copy_printable(one.build, sizeof one.build, a->build);
    p->alerter_runs |= is_active(&one);
    return add(&p->alerters, &one);
}

static int add_ingest(void *ctx, const struct storage_ingest *i)
{
    struct programs_one one = {.seen_us = i->seen_us, .count = i->waiting, .has_left = i->has_left};
    struct programs *p = ctx;

    text_copy_printable(one.name, sizeof one.name, i->name);
    text_copy_printable(one.build, sizeof one.build, i->build);
    p->ingest_runs |= is_alive(&one);
    return add(&p->ingests, &one);
}

static int read_peers(struct programs *p, struct storage *storage, struct err *err)
{
    const struct storage_peer_calls calls = {p, add_alerter, add_ingest};
    int rc = storage->ops->list_peers(storage, &calls, err);

    if (p->alerters.failed != 0 || p->ingests.failed != 0)
        return err_set(err, ERR_NOMEM, "no memory for the list of programs");
    return rc != 0 ? rc : storage->ops->sizes(storage, &p->sizes, err);
}

/* Programs that serve own their files. */
static void find_ingest(struct programs *p, const char *state_dir)
{
    char path[STORAGE_LOCATION_SIZE];

    snprintf(path, sizeof path, "%s/ingest.db", state_dir);
    p->ingest_runs = journal_files_are_owned(path);
}

static void find_owners(struct programs *p, const char *state_dir)
{
    char path[STORAGE_LOCATION_SIZE];

    storage_location(state_dir, path);
    p->alerter_runs = journal_files_are_owned(path);
    find_ingest(p, state_dir);
}

int programs_read(struct programs *p, const struct settings *settings, struct storage *storage,
                  struct err *err)
{
    *p = (struct programs){.has_peers = storage->ops->list_peers != NULL,
                           .has_queue = settings->queue != NULL};
    buf_init(&p->alerters, PROGRAMS_MAX * sizeof(struct programs_one));
    buf_init(&p->ingests, PROGRAMS_MAX * sizeof(struct programs_one));
    if (!p->has_peers)
        find_owners(p, settings->state_dir);
    else if (p->has_queue)
        find_ingest(p, settings->state_dir);
    return p->has_peers ? read_peers(p, storage, err) : 0;
}

void programs_close(struct programs *p)
{
    buf_close(&p->alerters);
    buf_close(&p->ingests);
}

/* ---- text ---- */

static void say_for(struct draft *d, const char *what, int64_t us)
{
    char words[TIME_WORDS_SIZE];

    time_format_words(us - us % (us < TIME_HOUR ? TIME_S : TIME_MINUTE), words);
    draft_say(d, "%s for %s", what, us < TIME_S ? "less than a second" : words);
}

static void say_heard(struct draft *d, const struct programs_one *one)
{
    draft_say(d, ", heard %" PRId64 " s ago", one->seen_us / TIME_S);
}

static void say_alerter(struct draft *d, const struct programs_one *one)
{
    if (!is_alive(one)) {
        if (one->is_gone)
            draft_say(d, "gone");
        else
            say_for(d, "silent", one->seen_us);
        if (one->has_lease)
            draft_say(d, ", has the lease");
        if (!one->is_gone)
            return;
    } else if (one->has_lease) {
        say_for(d, "active", one->held_us);
    } else {
        draft_say(d, "standing by, %" PRId64 " %s behind", one->count,
                  text_plural((uint64_t)one->count, "entry", "entries"));
    }
    say_heard(d, one);
}

static int print_alerter(const struct programs_one *one, struct err *err)
{
    struct draft d = draft_begin(DRAFT_PRINT);

    draft_say(&d, "  ");
    draft_show(&d, one->name, NAME_BYTES);
    draft_say(&d, ": ");
    say_alerter(&d, one);
    return output_line(&d, err);
}

static int print_ingest(const struct programs_one *one, struct err *err)
{
    struct draft d = draft_begin(DRAFT_PRINT);

    draft_say(&d, "  ");
    draft_show(&d, one->name, NAME_BYTES);
    draft_say(&d, ": ");
    if (one->has_left) {
        draft_say(&d, "stopped");
    } else if (is_alive(one)) {
        draft_say(&d, "running");
        say_heard(&d, one);
    } else {
        say_for(&d, "silent", one->seen_us);
    }
    if (one->count > 0)
        draft_say(&d, ", %" PRId64 " %s not handed over", one->count,
                  text_plural((uint64_t)one->count, "record", "records"));
    return output_line(&d, err);
}

/* Programs that are gone are listed for an hour, one that left in order only with records. */
static int print_list(const struct buf *list,
                      int (*print)(const struct programs_one *one, struct err *err),
                      struct err *err)
{
    size_t n, shown = 0;
    const struct programs_one *all = all_of(list, &n);
    int rc = 0;

    for (size_t i = 0; i < n && shown < SHOWN && rc == 0; i++) {
        if (all[i].has_left && all[i].count == 0)
            continue;
        rc = print(&all[i], err);
        shown++;
    }
    return rc;
}

static void format_bytes(int64_t bytes, char out[FORMAT_SIZE])
{
    if (bytes < 1000000)
        snprintf(out, FORMAT_SIZE, "%.1f kB", (double)bytes / 1e3);
    else
        snprintf(out, FORMAT_SIZE, "%.1f MB", (double)bytes / 1e6);
}

/* The database knows only ingests that use it as the queue. */
static const char *ingest_words(const struct programs *p)
{
    if (p->ingest_runs)
        return "ingest is running";
    return p->has_queue ? "NO ingest runs on this state folder; others at DRAINWATCH_QUEUE are not "
                          "listed"
                        : "NO ingest is heard";
}

static int print_peers(const struct programs *p, struct err *err)
{
    char history[FORMAT_SIZE], total[FORMAT_SIZE], inbox[FORMAT_SIZE];
    int rc;

    format_bytes(p->sizes.history_bytes, history);
    format_bytes(p->sizes.total_bytes, total);
    format_bytes(p->sizes.inbox_bytes, inbox);
    printf("alerter: %s\n", p->alerter_runs ? "running" : "NONE is active");
    rc = print_list(&p->alerters, print_alerter, err);
    printf("queue: %s; %" PRId64 " %s in the database (%s)\n", ingest_words(p), p->sizes.inbox_rows,
           text_plural((uint64_t)p->sizes.inbox_rows, "message waits", "messages wait"), inbox);
    if (rc == 0)
        rc = print_list(&p->ingests, print_ingest, err);
    printf("database: %s on its disk; the history counts as %s\n", total, history);
    return rc;
}

int programs_print(const struct programs *p, struct err *err)
{
    if (p->has_peers)
        return print_peers(p, err);
    printf("alerter: %s\n", p->alerter_runs ? "running" : "NOT running on this state folder");
    printf("queue: ingest is %s\n",
           p->ingest_runs ? "running" : "not running on this state folder");
    return 0;
}

/* ---- JSON ---- */

static double seconds(int64_t us)
{
    return (double)us / (double)TIME_S;
}

static json_t *alerters_json(const struct programs *p)
{
    size_t n;
    const struct programs_one *all = all_of(&p->alerters, &n);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:f, s:f, s:I}", "name", all[i].name, "build",
                            all[i].build, "active", is_active(&all[i]), "active_s",
                            is_active(&all[i]) ? seconds(all[i].held_us) : 0., "seen_s",
                            seconds(all[i].seen_us), "behind", (json_int_t)all[i].count));
    return list;
}

static json_t *ingests_json(const struct programs *p)
{
    size_t n;
    const struct programs_one *all = all_of(&p->ingests, &n);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:f, s:I, s:b}", "name", all[i].name, "build",
                                        all[i].build, "seen_s", seconds(all[i].seen_us), "waiting",
                                        (json_int_t)all[i].count, "left", all[i].has_left));
    return list;
}

void programs_add_json(const struct programs *p, json_t *status)
{
    json_t *alerter = json_pack("{s:b}", "running", p->alerter_runs);
    json_t *queue = json_pack("{s:b}", "ingest_running", p->ingest_runs);

    json_object_set_new(status, "alerter", alerter);
    json_object_set_new(status, "queue", queue);
    if (p->has_peers) {
        json_object_set_new(alerter, "instances", alerters_json(p));
        json_object_set_new(queue, "messages", json_integer(p->sizes.inbox_rows));
        json_object_set_new(queue, "bytes", json_integer(p->sizes.inbox_bytes));
        json_object_set_new(queue, "ingests", ingests_json(p));
        json_object_set_new(status, "database",
                            json_pack("{s:I, s:I}", "history_bytes",
                                      (json_int_t)p->sizes.history_bytes, "total_bytes",
                                      (json_int_t)p->sizes.total_bytes));
    }
}
