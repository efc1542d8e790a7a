/* Errors with a message.
 *
 * A function that can fail returns 0 or one of the negative codes below, and fills the struct err
 * that its caller passed. The message is for a person: it names the thing and the remedy. */
#ifndef DRAINWATCH_COMMON_BASE_ERR_H
#define DRAINWATCH_COMMON_BASE_ERR_H

enum err_code {
    ERR_NOMEM = -1,   /* memory ran out */
    ERR_INPUT = -2,   /* the input is malformed */
    ERR_FULL = -3,    /* a stated bound was reached; nothing was changed */
    ERR_IO = -4,      /* the system or a library under us failed */
    ERR_BUSY = -5,    /* another owner holds it */
    ERR_VERSION = -6, /* written by a newer build, which this one must not read */
    ERR_DAMAGED = -7, /* stored bytes have changed */
    ERR_AWAY = -8,    /* the database cannot be reached or written now; try again */
    ERR_STOPPED = -9, /* a signal asks the program to end */
};

struct err {
    char text[1024]; /* always terminated; one line, no newline at its end */
};

/* Formats the message into `err` (cut to fit, with "?" for each control byte and each byte that is
 * no UTF-8) and returns `code`, so that a caller can write `return err_set(err, ERR_INPUT, ...)`.
 * `err` must not be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The worse of two results; ERR_NOMEM is the worst. */
int err_worse(int rc, int other);

#endif
