/* Writes log lines; called by the shells of both programs, never by pure code. */
#include "common/app/log.h"

#include "common/app/clock.h"
#include "common/app/process.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 8192,
    SLACK_TOKEN_LEAST = 13,
    PART_LEAST = 8, /* of a secret that was cut */
};

static struct {
    const char *program;
    bool has_time;
    struct {
        const char *bytes;
        size_t len;
    } secrets[LOG_SECRETS_MAX];
    size_t n_secrets;
} state = {.program = "drainwatch"};

/* Whether standard error goes to systemd's journal: systemd.exec(5) names its device and inode. */
static bool writes_to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat out;
    char own[64];

    if (stream == NULL || fstat(STDERR_FILENO, &out) != 0)
        return false;
    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)out.st_dev,
             (unsigned long long)out.st_ino);
    return strcmp(stream, own) == 0;
}

void log_open(const char *program)
{
    state.program = program;
    state.has_time = getenv("DYNO") == NULL && !writes_to_journal();
}

void log_hide(const char *secret, size_t len)
{
    if (len < 4)
        return;
    assert(state.n_secrets < LOG_SECRETS_MAX);
    state.secrets[state.n_secrets].bytes = secret;
    state.secrets[state.n_secrets].len = len;
    state.n_secrets++;
}

void log_forget_secrets(void)
{
    state.n_secrets = 0;
}

/* Puts a mark in the place of the `n` bytes at `at`. Returns the new length. */
static size_t mark_secret(char *text, size_t len, char *at, size_t n)
{
    static const char mark[] = "…";
    size_t behind = len - (size_t)(at - text) - n;

    memcpy(at, mark, sizeof mark - 1);
    memmove(at + sizeof mark - 1, at + n, behind);
    return len - n + sizeof mark - 1;
}

/* The length of a token of Slack's form, such as xoxb-1234567890-abc; 0 if the text does not begin
 * with one. */
static size_t slack_token_length(const char *text, size_t len)
{
    size_t n = 5;

    if (len < n || memcmp(text, "xox", 3) != 0 || !text_is_letter(text[3]) || text[4] != '-')
        return 0;
    while (n < len && (text_is_letter(text[n]) || text_is_digit(text[n]) || text[n] == '-'))
        n++;
    return n < SLACK_TOKEN_LEAST ? 0 : n;
}

static bool goes_on(const char *text, size_t len)
{
    return len > 0 &&
           (text_is_letter(*text) || text_is_digit(*text) || *text == '-' || *text == '_');
}

/* Marks a secret, and its beginning if a word ends with that: it was cut there. Other words may
 * begin like a secret. */
static size_t mark_whole_or_cut(char *text, size_t len, const char *secret, size_t n)
{
    const size_t least = n < PART_LEAST ? n : PART_LEAST;
    char *at = text;

    while ((at = memmem(at, len - (size_t)(at - text), secret, least)) != NULL) {
        size_t left = len - (size_t)(at - text), alike = least;

        while (alike < n && alike < left && at[alike] == secret[alike])
            alike++;
        if (alike == n || !goes_on(at + alike, left - alike))
            len = mark_secret(text, len, at, alike);
        else
            at++;
    }
    return len;
}

size_t log_without_secrets(char *text, size_t len)
{
    char *at;

    for (size_t i = 0; i < state.n_secrets; i++)
        len = mark_whole_or_cut(text, len, state.secrets[i].bytes, state.secrets[i].len);
    for (at = text; (at = memmem(at, len - (size_t)(at - text), "xox", 3)) != NULL; at++) {
        size_t n = slack_token_length(at, len - (size_t)(at - text));

        if (n > 0)
            len = mark_secret(text, len, at, n);
    }
    return len;
}

/* Appends the inside of a quoted logfmt value. */
static void append_quoted(struct buf *line, const char *text, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '"' && text[i] != '\\')
            continue;
        (void)text_append_printable(line, text + start, i - start);
        (void)buf_puts(line, "\\");
        start = i;
    }
    (void)text_append_printable(line, text + start, len - start);
}

/* "2026-05-07T08:06:12.123Z ", or nothing. */
static void append_time(struct buf *line)
{
    char time[TIME_RFC3339_SIZE];

    if (!state.has_time)
        return;
    time_format_rfc3339(clock_wall_us(), time);
    (void)buf_printf(line, "%.23sZ ", time);
}

void log_write(const char *level, const char *fmt, ...)
{
    char *text;
    struct buf line;
    va_list ap;
    size_t len;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    len = log_without_secrets(text, (size_t)n); /* before it is cut */
    len = text_redact_secrets(text, len);
    len = text_cut(text, len, LINE_MAX_BYTES);
    buf_init(&line, LINE_MAX_BYTES * 4 + 256);
    append_time(&line);
    (void)buf_printf(&line, "%s level=%s msg=\"", state.program, level);
    append_quoted(&line, text, len);
    free(text);
    (void)buf_puts(&line, "\"\n");
    /* One write a line, so that lines of two processes on one pipe do not mix. A failure is
     * ignored: there is no other place to report it. */
    if (line.failed == 0)
        (void)process_write(STDERR_FILENO, line.data, line.len);
    buf_close(&line);
}
