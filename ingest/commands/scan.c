#include "ingest/commands/scan.h"

#include "common/app/args.h"
#include "common/app/progress.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "common/record/capture.h"
#include "common/record/wire.h"
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"
#include "ingest/commands/findings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10,
    WRITE_BYTES = 256 << 10, /* so much is gathered before it is written */
    /* Lines before the first time: a capture must not depend on when it is made. */
    START_US = 0,
};

struct log_file {
    const char *name;
    int fd; /* -1: not open */
};

struct scan {
    const struct startup_program *program;
    const char *rules_path; /* NULL: DRAINWATCH_RULES */
    const char *drain;
    struct log_file *inputs;
    size_t n_inputs;
    struct buf text; /* of the rules */
    struct rulebook *book;
    struct delivery *delivery;
    struct findings findings;
    uint64_t sequence;
    int64_t time_us; /* of the last line of the inputs that are done */
    struct buf record, entry, out;
    char *chunk;
    struct progress progress;
    bool reader_gone;
    struct err err;
};

/* ---- the capture ---- */

static int out_of_memory(struct scan *s)
{
    return err_set(&s->err, ERR_NOMEM, "out of memory");
}

static int write_out(struct scan *s)
{
    const uint8_t *at = s->out.data;
    size_t left = s->out.len;

    while (left > 0) {
        ssize_t n = write(STDOUT_FILENO, at, left);

        if (n < 0 && errno != EINTR) {
            s->reader_gone = errno == EPIPE;
            return err_set(&s->err, ERR_IO, "cannot write: %s", strerror(errno));
        }
        at += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    buf_clear(&s->out);
    return 0;
}

static int put_entry(struct scan *s, int64_t step_us, enum wire_input input,
                     struct wire_bytes bytes)
{
    const struct wire_entry entry = {step_us, input, bytes};

    buf_clear(&s->entry);
    if (wire_pack_entry(&entry, &s->entry) != 0 ||
        capture_write(&s->out, (struct wire_bytes){s->entry.data, s->entry.len}) != 0)
        return out_of_memory(s);
    return s->out.len < WRITE_BYTES ? 0 : write_out(s);
}

static int put_record(void *ctx, const struct wire_record *found)
{
    struct scan *s = ctx;
    struct wire_record record = *found;

    record.sequence = ++s->sequence;
    findings_add(&s->findings, &record);
    buf_clear(&s->record);
    if (wire_pack_record(&record, &s->record) != 0)
        return out_of_memory(s);
    return put_entry(s, record.received_us, WIRE_INPUT_RECORD,
                     (struct wire_bytes){s->record.data, s->record.len});
}

/* The rules come before the first record, and so not later than it. */
static int put_head(struct scan *s)
{
    if (capture_write_header(&s->out) != 0)
        return out_of_memory(s);
    return put_entry(s, START_US, WIRE_INPUT_RULES, (struct wire_bytes){s->text.data, s->text.len});
}

/* ---- the logs ---- */

/* What delivery answers has no message, but where put_record answered it. */
static int explain(struct scan *s, const struct log_file *in, int rc)
{
    if (rc == 0 || s->err.text[0] != '\0')
        return rc;
    return rc == ERR_NOMEM ? out_of_memory(s)
                           : err_set(&s->err, rc, "%s: it cannot be scanned", in->name);
}

static bool begins_with(const char *bytes, size_t n, const char *mark)
{
    size_t len = strlen(mark);

    return n >= len && memcmp(bytes, mark, len) == 0;
}

/* What would otherwise be scanned as lines that match nothing is refused. Else *skip is how many
 * bytes a mark takes that is no part of the first line. */
static int look_at_start(struct scan *s, const char *name, size_t n, size_t *skip)
{
    if (begins_with(s->chunk, n, "\x1f\x8b")) /* RFC 1952 section 2.3.1 */
        return err_set(&s->err, ERR_INPUT,
                       "%s: is compressed (zcat it into \"drainwatch-ingest scan\")", name);
    if (begins_with(s->chunk, n, "\xff\xfe") || begins_with(s->chunk, n, "\xfe\xff"))
        return err_set(&s->err, ERR_INPUT,
                       "%s: is UTF-16, as PowerShell writes it (iconv -f UTF-16 -t UTF-8 it into "
                       "\"drainwatch-ingest scan\")",
                       name);
    *skip = begins_with(s->chunk, n, "\xef\xbb\xbf") ? 3 : 0; /* UTF-8's byte order mark */
    return 0;
}

static int scan_stream(struct scan *s, const struct log_file *in)
{
    size_t skip = 0;
    bool first = true;
    ssize_t n;
    int rc = 0;

    while (rc == 0 && (n = read(in->fd, s->chunk, READ_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(&s->err, ERR_IO, "%s: %s", in->name, strerror(errno));
        if (first)
            rc = look_at_start(s, in->name, (size_t)n, &skip);
        if (rc == 0)
            rc = delivery_push(s->delivery, s->chunk + skip, (size_t)n - skip);
        first = false;
        skip = 0;
        progress_add(&s->progress, (size_t)n);
    }
    return rc;
}

/* Each input by itself, so that no line spans two; but the time goes on. */
static int scan_input(struct scan *s, struct log_file *in)
{
    const struct wire_record *none;
    size_t n;
    int rc = delivery_begin_lines(s->delivery, &input_logplex, s->book, s->drain, s->time_us,
                                  put_record, s);

    if (rc == 0)
        rc = scan_stream(s, in);
    if (rc == 0)
        rc = delivery_finish(s->delivery, &none, &n);
    if (rc != 0)
        return explain(s, in, rc);
    findings_sum(&s->findings, delivery_counts(s->delivery));
    s->time_us = delivery_time_us(s->delivery);
    close(in->fd);
    in->fd = -1;
    return 0;
}

static int scan_all(struct scan *s)
{
    int rc = put_head(s);

    for (size_t i = 0; rc == 0 && i < s->n_inputs; i++)
        rc = scan_input(s, &s->inputs[i]);
    return rc == 0 ? write_out(s) : rc;
}

/* ---- what is scanned ---- */

/* Before anything is written, so that a wrong name leaves no half a capture. */
static int open_input(struct scan *s, struct log_file *in)
{
    struct stat file;

    if (strcmp(in->name, "-") == 0) {
        in->name = "standard input";
        in->fd = dup(STDIN_FILENO);
    } else {
        in->fd = open(in->name, O_RDONLY | O_CLOEXEC);
    }
    if (in->fd >= 0 && fstat(in->fd, &file) == 0 && S_ISDIR(file.st_mode))
        errno = EISDIR;
    else if (in->fd >= 0)
        return 0;
    return err_set(&s->err, ERR_IO, "%s: %s", in->name, strerror(errno));
}

static int open_inputs(struct scan *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->n_inputs; i++) {
        rc = open_input(s, &s->inputs[i]);
        if (rc == 0)
            progress_expect(&s->progress, s->inputs[i].fd);
    }
    return rc;
}

static bool is_listed(const struct rules *rules, const char *drain)
{
    for (size_t i = 0; i < rules->n_drains; i++) {
        if (strcmp(rules->drains[i].drain, drain) == 0)
            return true;
    }
    return false;
}

/* An app's name stands for the first of its drains; the app of all other drains has none. */
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
    buf_init(&s->record, WIRE_RECORD_MAX);
    buf_init(&s->entry, WIRE_MESSAGE_MAX);
    buf_init(&s->out, WRITE_BYTES + WIRE_MESSAGE_MAX + CAPTURE_OVERHEAD_MAX);
    s->delivery = delivery_new();
    s->chunk = malloc(READ_BYTES);
    if (s->delivery == NULL || s->chunk == NULL || findings_open(&s->findings, rules) != 0)
        return out_of_memory(s);
    return 0;
}

static int exit_code_of(const struct scan *s, int rc)
{
    if (s->reader_gone) /* it knows why, and nobody needs the rest */
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
    rc = open_inputs(s);
    if (rc == 0)
        rc = prepare(s, rules);
    if (rc == 0)
        rc = scan_all(s);
    progress_end(&s->progress);
    if (rc != 0)
        return exit_code_of(s, rc);
    findings_print(&s->findings, s->program->name, stderr);
    return STARTUP_OK;
}

static void scan_close(struct scan *s)
{
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (s->inputs[i].fd >= 0)
            close(s->inputs[i].fd);
    }
    free(s->inputs);
    free(s->chunk);
    findings_close(&s->findings);
    buf_close(&s->out);
    buf_close(&s->entry);
    buf_close(&s->record);
    delivery_free(s->delivery);
    rulebook_release(s->book);
    buf_close(&s->text);
}

/* ---- arguments ---- */

static int take_input(struct scan *s, const char *name)
{
    for (size_t i = 0; strcmp(name, "-") == 0 && i < s->n_inputs; i++) {
        if (strcmp(s->inputs[i].name, "-") == 0)
            return args_wrong(s->program, "standard input can be read once, not again as", "-");
    }
    s->inputs[s->n_inputs++] = (struct log_file){name, -1};
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

static bool reads_terminal(const struct scan *s)
{
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (strcmp(s->inputs[i].name, "-") == 0)
            return isatty(STDIN_FILENO);
    }
    return false;
}

int scan_logs(const struct startup_program *program, int argc, char **argv)
{
    struct scan s = {.program = program, .drain = "", .time_us = START_US};
    int code;

    buf_init(&s.text, RULES_TEXT_MAX);
    s.inputs = calloc((size_t)argc, sizeof *s.inputs);
    if (s.inputs == NULL)
        return startup_fail(program, "out of memory");
    code = take_arguments(&s, argc, argv);
    if (code == STARTUP_OK && reads_terminal(&s))
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
