/* `drainwatch-alerter replay`: runs the engine over a capture and prints its alerts. */
#include "alerter/commands/replay.h"

#include "alerter/commands/captured.h"
#include "alerter/commands/compare.h"
#include "alerter/commands/show.h"
#include "alerter/commands/trial.h"
#include "alerter/stream/fold.h"
#include "common/app/args.h"
#include "common/base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct replay {
    const struct startup_program *program;
    const char *file;    /* NULL: standard input */
    const char *rules;   /* NULL: the recorded ones */
    const char *compare; /* NULL: no comparison */
    bool json;
    struct captured captured;
};

/* Prints the alerts, after it cleared the progress line. */
static int print(struct replay *r, const struct engine_outcomes *alerts, struct err *err)
{
    int rc = 0;

    if (alerts->n_alerts > 0)
        progress_end(&r->captured.progress);
    for (size_t i = 0; rc == 0 && i < alerts->n_alerts; i++)
        rc = show_alert(&alerts->alerts[i], r->json, err);
    return rc;
}

/* The program before the pipe wrote nothing: it printed why, and a message here would hide that. */
static bool pipe_is_empty(const struct captured *c)
{
    struct stat file;

    return c->reader.offset == 0 && c->input.len == 0 && fstat(c->fd, &file) == 0 &&
           S_ISFIFO(file.st_mode);
}

/* Prints how the reading ended and returns the exit code. */
static int finish(struct replay *r, int rc, struct err *err)
{
    progress_end(&r->captured.progress);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0)
        rc = err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
    if (rc == 0)
        return STARTUP_OK;
    if (!pipe_is_empty(&r->captured))
        fprintf(stderr, "%s: %s: %s\n", r->program->name, r->captured.name, err->text);
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
            "%s: %s: %" PRIu64
            " groups were forgotten to make room, and their counts began anew: a "
            "rule groups by something that has more than %d values\n",
            r->program->name, rules, n, ENGINE_GROUPS_MAX);
}

/* ---- under the recorded rules ---- */

struct recorded {
    struct replay *replay;
    struct fold fold;
};

static int recorded_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    struct recorded *r = ctx;
    struct engine_outcomes alerts;
    int rc = fold_entry(&r->fold, entry, &alerts, err);

    if (rc == ERR_INPUT && entry->input == WIRE_INPUT_RULES) {
        progress_end(&r->replay->captured.progress);
        fprintf(stderr, "%s: recorded rules that this build refuses are left out: %s\n",
                r->replay->program->name, err->text);
        return 0;
    }
    return rc != 0 ? rc : print(r->replay, &alerts, err);
}

static int run_recorded(struct replay *replay)
{
    struct recorded r = {.replay = replay};
    struct err err;
    int rc = fold_open(&r.fold, &err), code;

    if (rc == 0)
        rc = captured_each(&replay->captured, recorded_entry, &r, &err);
    say_forgotten(replay, replay->captured.name, &r.fold);
    code = finish(replay, rc, &err);
    fold_close(&r.fold);
    return code;
}

/* ---- under the rules of a file ---- */

struct tried {
    struct replay *replay;
    struct trial trial;
};

static int tried_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    struct tried *t = ctx;
    struct engine_outcomes alerts;
    int rc = trial_entry(&t->trial, entry, &alerts, err);

    return rc != 0 ? rc : print(t->replay, &alerts, err);
}

static int run_tried(struct replay *replay)
{
    struct tried t = {.replay = replay};
    struct err err;
    int code = trial_open(&t.trial, replay->program, replay->rules, &replay->captured.progress), rc;

    if (code != STARTUP_OK)
        return code;
    rc = captured_each(&replay->captured, tried_entry, &t, &err);
    trial_end(&t.trial);
    say_forgotten(replay, t.trial.path, &t.trial.fold);
    code = finish(replay, rc, &err);
    trial_close(&t.trial);
    return code;
}

/* ---- under two files ---- */

static int compared_entry(void *ctx, const struct wire_entry *entry, struct err *err)
{
    return compare_entry(ctx, entry, err);
}

/* Prints the differences up to the damage, too, if the capture is damaged. */
static int compare(struct replay *replay, struct trial *before, struct trial *after)
{
    struct compare c;
    struct err err, unsettled;
    int rc = compare_open(&c, before, after, &replay->captured.progress, replay->json, &err), code;

    if (rc == 0)
        rc = captured_each(&replay->captured, compared_entry, &c, &err);
    if (rc == 0)
        rc = compare_settle(&c, &err);
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

    if (captured_open(&r->captured, r->file, "replay", &err) != 0)
        return finish(r, ERR_IO, &err);
    if (isatty(r->captured.fd))
        code = args_wrong(r->program, "replay reads a capture from a file or a pipe, not",
                          "a terminal");
    else if (r->compare != NULL)
        code = run_compared(r);
    else
        code = r->rules != NULL ? run_tried(r) : run_recorded(r);
    captured_close(&r->captured);
    return code;
}

int replay_stream(const struct startup_program *program, int argc, char **argv)
{
    struct replay r = {.program = program};
    const char *format = "text";
    const struct args_option options[] = {
        {"rules", &r.rules, NULL}, {"compare", &r.compare, NULL}, {"format", &format, NULL}, {0}};
    int n = args_read(program, argc, argv, options, 1);

    if (n < 0 || !show_format(program, format, &r.json))
        return STARTUP_USAGE;
    if (n == 1)
        r.file = argv[argc - 1];
    if (r.compare != NULL && r.rules == NULL)
        return args_wrong(program, "two rules files are compared: add --rules NEW.yaml to",
                          "--compare");
    return run(&r);
}
