/* The log of both programs: one logfmt line for each event, on standard error.
 *
 * A line begins with the UTC time and the program's name. The time is left out under systemd's
 * journal and on Heroku, which add their own. A drain may watch the app that drainwatch runs in, so
 * lines that begin with "drainwatch" match no rule, and the program's name must begin so. Control
 * bytes are shown as \xNN. Values of drain_token=, Slack's tokens, which have a form of their own,
 * and every registered secret are shown as "…". */
#ifndef DRAINWATCH_COMMON_APP_LOG_H
#define DRAINWATCH_COMMON_APP_LOG_H

#include <stddef.h>

/* `program` and every secret are borrowed and must outlive the last line. Reads the environment
 * (JOURNAL_STREAM, DYNO) to decide about the time. */
void log_open(const char *program);

/* From now on these bytes are shown as "…" wherever they appear, and their beginning of 8 and more
 * where a word ends with it. At most LOG_SECRETS_MAX. Secrets under 4 bytes are ignored, because
 * they would replace half of every line. */
enum { LOG_SECRETS_MAX = 40 };
void log_hide(const char *secret, size_t len);
void log_forget_secrets(void); /* before their memory goes */
/* Replaces the secrets in `text`, in place, for text that is shown in other ways. Returns the new
 * length, which is never larger. */
size_t log_without_secrets(char *text, size_t len);

/* Levels by consequence. info: all is well. warning: the program goes on, but somebody should look.
 * error: something that was asked for does not happen until somebody acts. */
#define log_info(...) log_write("info", __VA_ARGS__)
#define log_warning(...) log_write("warning", __VA_ARGS__)
#define log_error(...) log_write("error", __VA_ARGS__)
void log_write(const char *level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
