#include "common/app/log.h"

#include "common/app/process.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

static struct {
    const char *program;
    struct {
        const char *bytes;
        size_t len;
    } secrets[LOG_SECRETS_MAX];
    size_t n_secrets;
} state = {.program = "drainwatch"};

void log_open(const char *program)
{
    state.program = program;
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

size_t log_without_secrets(char *text, size_t len)
{
    static const char mark[] = "…";

    for (size_t i = 0; i < state.n_secrets; i++) {
        size_t n = state.secrets[i].len;
        char *at;

        while ((at = memmem(text, len, state.secrets[i].bytes, n)) != NULL) {
            size_t behind = len - (size_t)(at - text) - n;

            memcpy(at, mark, sizeof mark - 1);
            memmove(at + sizeof mark - 1, at + n, behind);
            len -= n - (sizeof mark - 1);
        }
    }
    return len;
}

/* `text` as the inside of a quoted logfmt value. */
static int append_quoted(struct buf *line, const char *text, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '"' && text[i] != '\\')
            continue;
        if (text_append_printable(line, text + start, i - start) != 0 || buf_puts(line, "\\") != 0)
            return ERR_FULL;
        start = i;
    }
    return text_append_printable(line, text + start, len - start);
}

__attribute__((format(printf, 2, 0))) static void say(const char *level, const char *fmt,
                                                      va_list ap)
{
    char text[LINE_MAX_BYTES];
    struct buf line;
    int n = vsnprintf(text, sizeof text, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;

    len = log_without_secrets(text, len);
    len = text_redact_token(text, len);
    buf_init(&line, LINE_MAX_BYTES * 4 + 256);
    if (buf_printf(&line, "%s level=%s msg=\"", state.program, level) == 0 &&
        append_quoted(&line, text, len) == 0 && buf_puts(&line, "\"\n") == 0) {
        /* In one go, so that lines of two processes on one pipe do not mix. What cannot be said
         * cannot be complained about either. */
        (void)process_write(STDERR_FILENO, line.data, line.len);
    }
    buf_close(&line);
}

void log_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("info", fmt, ap);
    va_end(ap);
}

void log_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("warning", fmt, ap);
    va_end(ap);
}

void log_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("error", fmt, ap);
    va_end(ap);
}
