/* What the programs say: one logfmt line each on standard error.
 *
 * Every line begins with the program's name, which begins with "drainwatch": a drain may watch the
 * app that drainwatch itself runs in, and lines that begin so match no rule. Control bytes are
 * shown as \xNN, values of drain_token= and every registered secret as "…". */
#ifndef DRAINWATCH_COMMON_APP_LOG_H
#define DRAINWATCH_COMMON_APP_LOG_H

#include <stddef.h>

/* `program` and every secret are borrowed and must outlive the last line. */
void log_open(const char *program);

/* From now on these bytes are shown as "…" wherever they appear. At most LOG_SECRETS_MAX; secrets
 * shorter than 4 bytes are ignored, for they would eat every line. */
enum { LOG_SECRETS_MAX = 40 };
void log_hide(const char *secret, size_t len);
void log_forget_secrets(void); /* before their memory goes */
/* Takes them out of `text`, in place, for what is shown by other ways. Returns the new length,
 * which is never larger. */
size_t log_without_secrets(char *text, size_t len);

/* Severities by consequence. info: as it should be. warning: it goes on, and somebody should look.
 * error: something that was asked for does not happen until somebody acts. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
