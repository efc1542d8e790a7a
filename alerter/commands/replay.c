/* `drainwatch-alerter replay`: runs the engine over a capture and prints its alerts. Called by
 * main. */
#include "alerter/commands/commands.h"

#include "alerter/commands/output.h"
#include "alerter/commands/trial.h"
#include "alerter/stream/fold.h"
#include "common/app/args.h"
#include "common/app/progress.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "common/record/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10,
    HELD_MAX = 64 << 20, /* no stream has more alerts at one step time */
    PACKED_MAX = 1 << 30,
};

struct captured {
    const char *name; /* for messages; borrowed */
    int fd;
    struct progress progress; /* end it before printing to the terminal */
    struct wire *wire;
    struct capture_reader reader;
    struct buf input; /* from `at` on not yet handed on */
    size_t at;
};

/* Gets an entry, valid during the call. A value other than 0 ends the reading and is returned. */
typedef int entry_fn(void *ctx, const struct wire_entry *entry, struct err *err);

struct replay {
    const struct startup_program *program;
    const char *file;    /* NULL: standard input */
    const char *rules;   /* NULL: the recorded ones */
    const char *compare; /* NULL: no comparison */
    bool json;
    struct captured captured;
    bool has_begun;
    bool is_scan;       /* the stream was made by scan, which records no ticks */
    struct fold fold;   /* under the recorded rules */
    struct trial trial; /* under one file */
};

/* ---- reading the capture ---- */

/* NULL or "-" is standard input. If it does not return 0, there is nothing to close. */
static int open_capture(struct captured *c, const char *path, struct err *err)
{
    *c = (struct captured){.name = "standard input", .fd = STDIN_FILENO, .wire = wire_new()};
    if (c->wire == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (path != NULL && strcmp(path, "-") != 0) {
        c->name = path;
        c->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (c->fd < 0) {
            wire_free(c->wire);
            return err_set(err, ERR_IO, "%s", strerror(errno));
        }
    }
    buf_init(&c->input, (size_t)CAPTURE_ENTRY_MAX + CAPTURE_OVERHEAD_MAX + READ_BYTES);
    progress_begin(&c->progress, "replay");
    progress_expect(&c->progress, c->fd);
    return 0;
}

static void close_capture(struct captured *c)
{
    progress_end(&c->progress);
    wire_free(c->wire);
    buf_close(&c->input);
    if (c->fd != STDIN_FILENO)
        close(c->fd);
}

/* Adds the offset of the entry's first byte to a message about it. */
static int locate(int rc, uint64_t offset, struct err *err)
{
    struct err what;

    if (rc != ERR_DAMAGED && rc != ERR_VERSION)
        return rc;
    what = *err;
    return err_set(err, rc, "the entry at byte %" PRIu64 ": %s", offset, what.text);
}

static int hand_on(struct captured *c, struct wire_bytes bytes, entry_fn *fn, void *ctx,
                   struct err *err)
{
    struct wire_entry entry;
    int rc = wire_unpack_entry(c->wire, bytes.data, bytes.len, &entry, err);

    if (rc == ERR_INPUT) /* its checksum is right, so it was written damaged */
        rc = ERR_DAMAGED;
    return rc != 0 ? rc : fn(ctx, &entry, err);
}

/* Hands on all complete entries in the buffer. */
static int each_buffered(struct captured *c, entry_fn *fn, void *ctx, struct err *err)
{
    int rc;

    do {
        const uint8_t *from = c->input.data + c->at;
        uint64_t offset = c->reader.offset;
        struct wire_bytes entry;
        size_t used;

        rc = capture_read(&c->reader, from, c->input.len - c->at, &used, &entry, err);
        c->at += used;
        progress_add(&c->progress, used);
        if (rc <= 0)
            return rc;
        offset += (uint64_t)(entry.data - from);
        rc = locate(hand_on(c, entry, fn, ctx, err), offset, err);
    } while (rc == 0);
    return rc;
}

/* Reads more after moving the incomplete entry to the front. Returns 1, 0 at the end, or an error.
 */
static int read_more(struct captured *c, struct err *err)
{
    size_t left = c->input.len - c->at;
    ssize_t n;

    if (left > 0)
        memmove(c->input.data, c->input.data + c->at, left);
    c->input.len = left;
    c->at = 0;
    if (buf_reserve(&c->input, READ_BYTES) != 0)
        return err_set(err, ERR_NOMEM, "no memory for an entry of the capture");
    n = read(c->fd, c->input.data + c->input.len, READ_BYTES);
    if (n < 0)
        return err_set(err, ERR_IO, "%s", strerror(errno));
    c->input.len += (size_t)n;
    return n > 0;
}

/* Hands on all entries. Returns 0; ERR_DAMAGED or ERR_VERSION, after all entries before the fault
 * were handed on, with its offset in the message; ERR_IO; ERR_NOMEM; or the value of `fn`, with the
 * entry's offset in the message of its ERR_DAMAGED and ERR_VERSION. */
static int each_entry(struct captured *c, entry_fn *fn, void *ctx, struct err *err)
{
    int rc;

    while ((rc = read_more(c, err)) == 1) {
        rc = each_buffered(c, fn, ctx, err);
        if (rc != 0)
            return rc;
    }
    return rc != 0 ? rc : capture_end(&c->reader, c->input.len - c->at, err);
}

/* ---- printing ---- */

/* Prints the alerts, after it cleared the progress line. */
static int print(struct replay *r, const struct engine_outcomes *alerts, struct err *err)
{
    int rc = 0;

    if (alerts->n_alerts > 0)
        progress_end(&r->captured.progress);
    for (size_t i = 0; rc == 0 && i < alerts->n_alerts; i++)
        rc = output_alert(&alerts->alerts[i], r->json, err);
    return rc;
}

static bool is_empty(const struct captured *c)
{
    return c->reader.offset == 0 && c->input.len == 0;
}

/* Prints how the reading ended and returns the exit code. */
static int finish(struct replay *r, int rc, struct err *err)
{
    progress_end(&r->captured.progress);
    if (rc == 0)
        rc = output_flush(err);
    else
        (void)output_flush(&(struct err){0});
    if (rc == 0)
        return STARTUP_OK;
    fprintf(stderr, "%s: %s: %s\n", r->program->name, r->captured.name,
            rc == ERR_DAMAGED && is_empty(&r->captured)
                ? "is empty, so it holds no events (scan and export write nothing if they fail; "
                  "their own message tells why)"
                : err->text);
    return rc == ERR_DAMAGED || rc == ERR_VERSION ? STARTUP_DATA : STARTUP_FAILED;
}

/* Warns that counts began anew and may be too low. `rules` is the rules file, or the capture. */
static void say_forgotten(struct replay *r, const char *rules, const struct fold *fold)
{
    uint64_t n = fold->engine == NULL ? 0 : engine_counts(fold->engine).groups_dropped;

    if (n == 0)
        return;
    progress_end(&r->captured.progress);
    fprintf(stderr,
            "%s: %s: %" PRIu64 " %s forgotten to make room, and counting began anew: a "
            "rule groups by something that has more than %d values\n",
            r->program->name, rules, n, text_plural(n, "group was", "groups were"),
            ENGINE_GROUPS_MAX);
}

/* Prints the alerts that the engine would still decide if nothing but time came. */
static int finish_ticks(struct replay *r, struct fold *fold, struct err *err)
{
    struct engine_outcomes alerts;
    int rc = 0;

    while (rc == 0 && fold_waits(fold)) {
        rc = fold_tick(fold, &alerts, err);
        if (rc == 0)
            rc = print(r, &alerts, err);
    }
    return rc;
}

/* ---- under the recorded rules ---- */

/* A scan begins with its rules at time 0, the alerter's stream at the time of its clock. */
static int recorded_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    struct replay *r = ctx;
    struct engine_outcomes alerts;
    int rc = fold_entry(&r->fold, entry, &alerts, err);

    r->is_scan = r->has_begun ? r->is_scan : entry->step_us == 0;
    r->has_begun = true;
    if (rc == ERR_INPUT && entry->input == WIRE_INPUT_RULES) {
        progress_end(&r->captured.progress);
        fprintf(stderr, "%s: recorded rules that this build refuses are left out: %s\n",
                r->program->name, err->text);
        return 0;
    }
    return rc != 0 ? rc : print(r, &alerts, err);
}

static int run_recorded(struct replay *r)
{
    struct err err;
    int rc = fold_open(&r->fold, &err), code;

    if (rc == 0)
        rc = each_entry(&r->captured, recorded_entry, r, &err);
    if (rc == 0 && r->is_scan)
        rc = finish_ticks(r, &r->fold, &err);
    say_forgotten(r, r->captured.name, &r->fold);
    code = finish(r, rc, &err);
    fold_close(&r->fold);
    return code;
}

/* ---- under the rules of a file ---- */

static int tried_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    struct replay *r = ctx;
    struct engine_outcomes alerts;
    int rc = trial_entry(&r->trial, entry, &alerts, err);

    return rc != 0 ? rc : print(r, &alerts, err);
}

static int run_tried(struct replay *r)
{
    struct err err;
    int code = trial_open(&r->trial, r->program, r->rules, &r->captured.progress), rc;

    if (code != STARTUP_OK)
        return code;
    rc = each_entry(&r->captured, tried_entry, r, &err);
    if (rc == 0)
        rc = finish_ticks(r, &r->trial.fold, &err);
    trial_end(&r->trial);
    say_forgotten(r, r->trial.path, &r->trial.fold);
    code = finish(r, rc, &err);
    trial_close(&r->trial);
    return code;
}

/* ---- under two files ----
 *
 * An alert's id is a function of its key and of the step time (engine.h). So two alerts can be the
 * same only within one step time, and no more than its alerts are held; a step time can have
 * several records, for a turn takes many at once. */

enum compare_side {
    COMPARE_OLD,
    COMPARE_NEW,
};

struct compare {
    struct trial *sides[2];    /* by compare_side; the caller's */
    struct progress *progress; /* ended before an alert is printed */
    bool json;
    int64_t step_us; /* of the alerts that are held */
    struct buf held; /* struct held, as they were decided */
    struct buf packed;
    struct wire *wire;
    uint64_t only[2];
    uint64_t both;
};

struct held {
    char id[WIRE_ID_SIZE];
    enum compare_side side;
    bool is_common;
    size_t at; /* in `packed` */
    size_t len;
};

static int compare_open(struct compare *c, struct trial *before, struct trial *after,
                        struct progress *progress, bool json, struct err *err)
{
    *c = (struct compare){.sides = {before, after}, .progress = progress, .json = json};
    buf_init(&c->held, HELD_MAX);
    buf_init(&c->packed, PACKED_MAX);
    c->wire = wire_new();
    return c->wire == NULL ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

static void compare_close(struct compare *c)
{
    wire_free(c->wire);
    buf_close(&c->packed);
    buf_close(&c->held);
    *c = (struct compare){0};
}

static struct held *held(struct compare *c, size_t *n)
{
    *n = c->held.len / sizeof(struct held);
    return (void *)c->held.data;
}

static int hold(struct compare *c, enum compare_side side, const struct wire_alert *alert,
                struct err *err)
{
    struct held one = {.side = side, .at = c->packed.len};
    int rc = wire_pack_alert(alert, &c->packed);

    memcpy(one.id, alert->id, sizeof one.id);
    one.len = c->packed.len - one.at;
    if (rc == 0)
        rc = buf_append(&c->held, &one, sizeof one);
    return rc == 0 ? 0 : err_set(err, rc, "too many alerts at one time to compare them");
}

static int by_id(const void *a, const void *b)
{
    const struct held *const *x = a, *const *y = b;

    return memcmp((*x)->id, (*y)->id, WIRE_ID_SIZE);
}

/* Marks the alerts of one id if both sides have some. */
static void mark_equal(struct compare *c, struct held **equal, size_t n)
{
    bool has[2] = {false, false};

    for (size_t i = 0; i < n; i++)
        has[equal[i]->side] = true;
    if (!has[COMPARE_OLD] || !has[COMPARE_NEW])
        return;
    c->both++;
    for (size_t i = 0; i < n; i++)
        equal[i]->is_common = true;
}

static int mark_common(struct compare *c, struct err *err)
{
    size_t n, first = 0;
    struct held *all = held(c, &n);
    struct held **sorted = calloc(n, sizeof(struct held *));

    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "no memory to compare %zu alerts", n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &all[i];
    qsort(sorted, n, sizeof(struct held *), by_id);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && by_id(&sorted[i], &sorted[first]) == 0)
            continue;
        mark_equal(c, sorted + first, i - first);
        first = i;
    }
    free(sorted);
    return 0;
}

static int print_json(const struct wire_alert *alert, const char *only, struct err *err)
{
    json_t *rest = output_json(alert), *object = json_pack("{s:s}", "only", only);

    if (json_object_update(object, rest) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(rest);
    return output_object(object, err);
}

static int print_difference(struct compare *c, const struct held *one, struct err *err)
{
    bool is_old = one->side == COMPARE_OLD;
    struct wire_alert alert;
    int rc = wire_unpack_alert(c->wire, c->packed.data + one->at, one->len, &alert, err);

    if (rc != 0)
        return rc;
    c->only[one->side]++;
    progress_end(c->progress);
    if (c->json)
        return print_json(&alert, is_old ? "old" : "new", err);
    fputs(is_old ? "- " : "+ ", stdout);
    return output_alert(&alert, false, err);
}

/* Prints the alerts held so far that only one side decided. */
static int compare_settle(struct compare *c, struct err *err)
{
    size_t n;
    const struct held *all = held(c, &n);
    int rc = n > 0 ? mark_common(c, err) : 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (!all[i].is_common)
            rc = print_difference(c, &all[i], err);
    }
    buf_clear(&c->held);
    buf_clear(&c->packed);
    return rc;
}

static int hold_all(struct compare *c, int side, const struct engine_outcomes *alerts,
                    struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < alerts->n_alerts; i++)
        rc = hold(c, (enum compare_side)side, &alerts->alerts[i], err);
    return rc;
}

/* Feeds both an entry; prints the alerts of earlier step times. */
static int compare_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    struct compare *c = ctx;
    int rc = 0;

    if (entry->step_us > c->step_us) { /* the engine raises an earlier one, too */
        rc = compare_settle(c, err);
        c->step_us = entry->step_us;
    }
    for (int side = 0; rc == 0 && side < 2; side++) {
        struct engine_outcomes alerts;

        rc = trial_entry(c->sides[side], entry, &alerts, err);
        if (rc == 0)
            rc = hold_all(c, side, &alerts, err);
    }
    return rc;
}

/* At the end of the stream, what both still decide. */
static int compare_ticks(struct compare *c, struct err *err)
{
    struct engine_outcomes alerts;
    int rc = compare_settle(c, err);

    for (int side = 0; side < 2; side++) {
        while (rc == 0 && fold_waits(&c->sides[side]->fold)) {
            rc = fold_tick(&c->sides[side]->fold, &alerts, err);
            if (rc == 0)
                rc = hold_all(c, side, &alerts, err);
        }
    }
    return rc == 0 ? compare_settle(c, err) : rc;
}

/* Prints the differences up to the damage, too, if the capture is damaged. */
static int compare(struct replay *replay, struct trial *before, struct trial *after)
{
    struct compare c;
    struct err err, unsettled;
    int rc = compare_open(&c, before, after, &replay->captured.progress, replay->json, &err), code;

    if (rc == 0)
        rc = each_entry(&replay->captured, compare_entry, &c, &err);
    if (rc == 0)
        rc = compare_ticks(&c, &err);
    else if (c.wire != NULL)
        (void)compare_settle(&c, &unsettled);
    trial_end(before);
    trial_end(after);
    say_forgotten(replay, before->path, &before->fold);
    say_forgotten(replay, after->path, &after->fold);
    code = finish(replay, rc, &err);
    fprintf(stderr, "%s: %" PRIu64 " only old, %" PRIu64 " only new, %" PRIu64 " both\n",
            replay->program->name, c.only[COMPARE_OLD], c.only[COMPARE_NEW], c.both);
    if (code == STARTUP_OK && c.only[COMPARE_OLD] + c.only[COMPARE_NEW] > 0)
        code = STARTUP_FAILED;
    compare_close(&c);
    return code;
}

static int run_compared(struct replay *replay)
{
    struct trial before, after;
    struct progress *progress = &replay->captured.progress;
    int code = trial_open(&before, replay->program, replay->compare, progress);
    int other = trial_open(&after, replay->program, replay->rules, progress);

    if (code == STARTUP_OK && other == STARTUP_OK) {
        code = compare(replay, &before, &after);
        other = STARTUP_OK;
    }
    trial_close(&before);
    trial_close(&after);
    return code != STARTUP_OK ? code : other;
}

/* ---- arguments ---- */

static int run(struct replay *r)
{
    struct err err;
    int code;

    if (open_capture(&r->captured, r->file, &err) != 0)
        return finish(r, ERR_IO, &err);
    if (isatty(r->captured.fd))
        code = args_wrong(r->program, "replay reads a capture from a file or a pipe, not",
                          "a terminal");
    else if (r->compare != NULL)
        code = run_compared(r);
    else
        code = r->rules != NULL ? run_tried(r) : run_recorded(r);
    close_capture(&r->captured);
    return code;
}

int replay_command(const struct startup_program *program, int argc, char **argv)
{
    struct replay r = {.program = program};
    const char *format = "text";
    const struct args_option options[] = {
        {"rules", &r.rules, NULL}, {"compare", &r.compare, NULL}, {"format", &format, NULL}, {0}};
    int n = args_read(program, argc, argv, options, 1);

    if (n < 0 || !output_format(program, format, &r.json))
        return STARTUP_USAGE;
    if (n == 1)
        r.file = argv[argc - 1];
    if (r.compare != NULL && r.rules == NULL)
        return args_wrong(program, "two rules files are compared: add --rules NEW.yaml to",
                          "--compare");
    return run(&r);
}
