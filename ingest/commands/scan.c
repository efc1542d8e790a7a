/* `drainwatch-ingest scan`: reads saved logs through the ingest pipeline; called by main. */
#include "ingest/commands/scan.h"

#include "common/app/args.h"
#include "common/app/progress.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/capture.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"
#include "ingest/commands/findings.h"
#include "ingest/commands/log_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GATHER_BYTES = 256 << 10 }; /* of the capture, before they are written */

struct scan {
    const struct startup_program *program;
    const char *rules_path; /* NULL: DRAINWATCH_RULES */
    const char *drain;
    struct log_file *logs;
    size_t n_logs;
    struct buf text; /* of the rules */
    struct rulebook *book;
    struct delivery *delivery;
    struct findings findings;
    /* Of the last line of the logs that are done. It begins at 0: a capture must not depend on when
     * it is made. */
    int64_t time_us;
    struct buf record, entry, capture;
    uint64_t sequence; /* of the last record */
    bool reader_gone;  /* a write failed because nobody reads the pipe any more */
    char *chunk;
    struct progress progress;
    struct err err;
};

/* ---- the capture ---- */

static int out_of_memory(struct scan *s)
{
    return err_set(&s->err, ERR_NOMEM, "out of memory");
}

static int flush_capture(struct scan *s)
{
    const uint8_t *at = s->capture.data;
    size_t left = s->capture.len;

    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, at, left);

        if (n < 0 && errno != EINTR) {
            s->reader_gone = errno == EPIPE;
            return err_set(&s->err, ERR_IO, "cannot write: %s", strerror(errno));
        }
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    buf_clear(&s->capture);
    return 0;
}

static int put_entry(struct scan *s, const struct wire_entry *entry)
{
    buf_clear(&s->entry);
    if (wire_pack_entry(entry, &s->entry) != 0 ||
        capture_write(&s->capture, (struct wire_bytes){s->entry.data, s->entry.len}) != 0)
        return out_of_memory(s);
    return s->capture.len < GATHER_BYTES ? 0 : flush_capture(s);
}

/* The rules come first, at time 0. */
static int put_rules(struct scan *s)
{
    if (capture_write_header(&s->capture) != 0)
        return out_of_memory(s);
    return put_entry(s, &(struct wire_entry){0, WIRE_INPUT_RULES, {s->text.data, s->text.len}});
}

static int put_record(void *ctx, const struct wire_record *found)
{
    struct scan *s = ctx;
    struct wire_record record = *found;

    findings_add(&s->findings, found);
    record.sequence = ++s->sequence;
    buf_clear(&s->record);
    if (wire_pack_record(&record, &s->record) != 0)
        return out_of_memory(s);
    return put_entry(s, &(struct wire_entry){record.received_us,
                                             WIRE_INPUT_RECORD,
                                             {s->record.data, s->record.len}});
}

/* ---- the logs ---- */

/* A delivery's error has no message unless put_record returned it. */
static int explain(struct scan *s, const struct log_file *log, int rc)
{
    if (rc == 0 || s->err.text[0] != '\0')
        return rc;
    if (rc == ERR_NOMEM)
        return out_of_memory(s);
    return err_set(&s->err, rc, "%s: it cannot be scanned", log->name);
}

/* Reads the next chunk, and adds the bytes that it took of the file to the progress. */
static ssize_t read_chunk(struct scan *s, struct log_file *log)
{
    off_t before = log_file_offset(log), after;
    ssize_t n = log_file_read(log, s->chunk, &s->err);

    after = log_file_offset(log);
    if (n > 0)
        progress_add(&s->progress,
                     before >= 0 && after >= before ? (size_t)(after - before) : (size_t)n);
    return n;
}

/* Each log by itself, so that no line spans two; but the time goes on. */
static int scan_lines(struct scan *s, struct log_file *log)
{
    const struct wire_record *none;
    size_t n_records;
    ssize_t n = read_chunk(s, log);
    int rc = n < 0 ? (int)n
                   : delivery_begin_lines(s->delivery, log->format, s->book, s->drain, s->time_us,
                                          put_record, s);

    for (; rc == 0 && n > 0; n = read_chunk(s, log))
        rc = delivery_push(s->delivery, s->chunk, (size_t)n);
    if (rc == 0 && n < 0)
        rc = (int)n;
    return rc == 0 ? delivery_finish(s->delivery, &none, &n_records) : rc;
}

static int scan_log(struct scan *s, struct log_file *log)
{
    int rc = explain(s, log, scan_lines(s, log));
    struct delivery_counts counts;

    if (rc != 0)
        return rc;
    counts = delivery_counts(s->delivery);
    s->time_us = counts.time_us;
    progress_end(&s->progress);
    if (log->format == &input_papertrail || log->format == &input_json_lines)
        fprintf(stderr, "%s: %s: read as %s\n", s->program->name, log->name, log->format->name);
    findings_log(&s->findings, log->name, counts, s->program->name);
    log_file_close(log);
    return 0;
}

/* A capture without times is withheld: replay would show false alerts of 1970. */
static int scan_all(struct scan *s)
{
    int rc = put_rules(s);

    for (size_t i = 0; rc == 0 && i < s->n_logs; i++)
        rc = scan_log(s, &s->logs[i]);
    if (rc == 0 && !findings_are_timeless(&s->findings))
        rc = flush_capture(s);
    return rc;
}

/* Before anything is written, so that a wrong name leaves no half of a capture. */
static int open_logs(struct scan *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->n_logs; i++) {
        rc = log_file_open(&s->logs[i], &s->err);
        if (rc == 0)
            progress_expect(&s->progress, s->logs[i].fd);
    }
    return rc;
}

/* ---- whose logs they are ---- */

static bool is_listed(const struct rules *rules, const char *drain)
{
    for (size_t i = 0; i < rules->n_drains; i++) {
        if (strcmp(rules->drains[i].drain, drain) == 0)
            return true;
    }
    return false;
}

/* An app's name stands for its first drain; the app of unlisted drains has none. */
static const char *drain_of(const struct rules *rules, const char *name)
{
    if (is_listed(rules, name))
        return name;
    for (size_t i = 0; i < rules->n_drains; i++) {
        if (strcmp(rules->drains[i].app, name) == 0)
            return rules->drains[i].drain;
    }
    return name;
}

static int refuse_drain(const struct scan *s, const struct rules *rules)
{
    fprintf(stderr, "%s: %s%s%s (name the drain or the app that the logs are of)\n",
            s->program->name, *s->drain == '\0' ? "the rules need --drain" : "--drain \"", s->drain,
            *s->drain == '\0' ? "" : "\" is none that the rules list");
    for (size_t i = 0; i < rules->n_drains; i++)
        fprintf(stderr, "%s:   %s, of %s\n", s->program->name, rules->drains[i].drain,
                rules->drains[i].app);
    return STARTUP_USAGE;
}

/* ---- start and end ---- */

static int compile_rules(struct scan *s, const char *path)
{
    const struct rules *rules;
    int code = startup_read_rules(s->program, path, &s->text, &rules);
    int rc;

    if (code != STARTUP_OK)
        return code;
    rc = rulebook_new(rules, &s->book, &s->err);
    return rc == 0 ? STARTUP_OK : startup_cannot(s->program, rc, s->err.text);
}

static int read_rules(struct scan *s)
{
    struct settings settings;
    int code;

    if (s->rules_path != NULL)
        return compile_rules(s, s->rules_path);
    code = startup_settings(s->program, &settings);
    if (code != STARTUP_OK)
        return code;
    code = compile_rules(s, settings.rules_path);
    settings_close(&settings);
    return code;
}

static int prepare(struct scan *s, const struct rules *rules)
{
    s->delivery = delivery_new();
    s->chunk = malloc(LOG_FILE_CHUNK);
    if (s->delivery == NULL || s->chunk == NULL || findings_open(&s->findings, rules) != 0)
        return out_of_memory(s);
    return 0;
}

static int exit_code_of(const struct scan *s, int rc)
{
    if (s->reader_gone) /* the reader printed why */
        return STARTUP_FAILED;
    startup_fail(s->program, s->err.text);
    return rc == ERR_INPUT ? STARTUP_DATA : STARTUP_FAILED;
}

static int run(struct scan *s)
{
    const struct rules *rules;
    int code = read_rules(s);
    int rc;

    if (code != STARTUP_OK)
        return code;
    rules = rulebook_rules(s->book);
    s->drain = drain_of(rules, s->drain);
    if (rules_app(rules, s->drain) == NULL)
        return refuse_drain(s, rules);
    progress_begin(&s->progress, "scan");
    rc = open_logs(s);
    if (rc == 0)
        rc = prepare(s, rules);
    if (rc == 0)
        rc = scan_all(s);
    progress_end(&s->progress);
    if (rc != 0)
        return exit_code_of(s, rc);
    findings_print(&s->findings, s->program->name);
    return findings_are_timeless(&s->findings) ? STARTUP_DATA : STARTUP_OK;
}

static void scan_close(struct scan *s)
{
    for (size_t i = 0; i < s->n_logs; i++)
        log_file_close(&s->logs[i]);
    free(s->logs);
    free(s->chunk);
    findings_close(&s->findings);
    buf_close(&s->capture);
    buf_close(&s->entry);
    buf_close(&s->record);
    delivery_free(s->delivery);
    rulebook_release(s->book);
    buf_close(&s->text);
}

/* ---- arguments ---- */

static bool reads_input(const struct scan *s)
{
    bool reads = false;

    for (size_t i = 0; i < s->n_logs; i++)
        reads = reads || strcmp(s->logs[i].name, "-") == 0;
    return reads;
}

static int take_input(struct scan *s, const char *name)
{
    if (strcmp(name, "-") == 0 && reads_input(s))
        return args_wrong(s->program, "standard input can be read once, not again as", "-");
    s->logs[s->n_logs++].name = name;
    return STARTUP_OK;
}

static int take_arguments(struct scan *s, int argc, char **argv)
{
    const struct args_option options[] = {
        {"rules", &s->rules_path, NULL}, {"drain", &s->drain, NULL}, {0}};
    int n = args_read(s->program, argc, argv, options, argc), code = STARTUP_OK;

    for (int i = argc - n; n >= 0 && code == STARTUP_OK && i < argc; i++)
        code = take_input(s, argv[i]);
    if (n == 0)
        code = take_input(s, "-");
    return n < 0 ? STARTUP_USAGE : code;
}

int scan_logs(const struct startup_program *program, int argc, char **argv)
{
    struct scan s = {.program = program, .drain = ""};
    int code;

    buf_init(&s.text, RULES_TEXT_MAX);
    buf_init(&s.record, WIRE_RECORD_MAX);
    buf_init(&s.entry, WIRE_MESSAGE_MAX);
    buf_init(&s.capture, GATHER_BYTES + WIRE_MESSAGE_MAX + CAPTURE_OVERHEAD_MAX);
    s.logs = calloc((size_t)argc + 1, sizeof *s.logs);
    if (s.logs == NULL)
        return startup_fail(program, "out of memory");
    code = take_arguments(&s, argc, argv);
    if (code == STARTUP_OK && reads_input(&s) && isatty(STDIN_FILENO))
        code = args_wrong(program, "scan reads logs from files or a pipe, not", "a terminal");
    if (code == STARTUP_OK && isatty(STDOUT_FILENO)) {
        startup_fail(program, "a capture is binary: send it to a file or a pipe "
                              "(drainwatch-ingest scan app.log | drainwatch-alerter replay)");
        code = STARTUP_USAGE;
    }
    if (code == STARTUP_OK)
        code = run(&s);
    scan_close(&s);
    return code;
}
