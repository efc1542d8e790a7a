/* Connects on a thread, because the lookup of a name can block for long; called by the alerter's
 * storage. */
#include "common/pg/connection.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { GOODBYE_MS = 500 }; /* pg_dial_close waits so long for a thread that hears it */

struct pg_dial {
    struct pg_options options; /* its texts are copies */
    int stop_fd;
    int done_fd;
    struct pg *p;
    int rc;
    struct err err;
    bool taken;
    atomic_int owners; /* the thread and the caller; the last one frees */
};

static char *copy(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

static void forget_text(const char *text)
{
    char *secret = (char *)(uintptr_t)text;

    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void release(struct pg_dial *d)
{
    if (atomic_fetch_sub(&d->owners, 1) != 1)
        return;
    pg_close(d->p);
    forget_text(d->options.url);
    forget_text(d->options.schema);
    forget_text(d->options.program);
    if (d->stop_fd >= 0)
        close(d->stop_fd);
    if (d->done_fd >= 0)
        close(d->done_fd);
    free(d);
}

static void signal_fd(int fd)
{
    const uint64_t one = 1;

    (void)!write(fd, &one, sizeof one); /* the counter is far from its end */
}

static void *run(void *ctx)
{
    struct pg_dial *d = ctx;

    d->rc = pg_open_until(&d->options, d->stop_fd, &d->p, &d->err);
    signal_fd(d->done_fd);
    release(d);
    return NULL;
}

static int start(struct pg_dial *d, struct err *err)
{
    pthread_t thread;
    int rc;

    if (d->options.url == NULL || d->options.schema == NULL || d->options.program == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    if (d->stop_fd < 0 || d->done_fd < 0)
        return err_set(err, ERR_IO, "eventfd: %s", strerror(errno));
    atomic_store(&d->owners, 2);
    rc = pthread_create(&thread, NULL, run, d);
    if (rc == 0)
        return pthread_detach(thread);
    atomic_store(&d->owners, 1);
    return err_set(err, ERR_IO, "cannot start a thread that connects to PostgreSQL: %s",
                   strerror(rc));
}

int pg_dial_begin(const struct pg_options *o, struct pg_dial **out, struct err *err)
{
    struct pg_dial *d = calloc(1, sizeof *d);
    int rc;

    *out = NULL;
    if (d == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a connection to PostgreSQL");
    d->options = *o;
    d->options.url = copy(o->url);
    d->options.schema = copy(o->schema);
    d->options.program = copy(o->program);
    d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&d->owners, 1);
    rc = start(d, err);
    if (rc != 0)
        release(d);
    else
        *out = d;
    return rc;
}

int pg_dial_fd(const struct pg_dial *d)
{
    return d->done_fd;
}

bool pg_dial_take(struct pg_dial *d, struct pg **out, int *rc, struct err *err)
{
    uint64_t done;

    if (read(d->done_fd, &done, sizeof done) != (ssize_t)sizeof done)
        return false;
    d->taken = true;
    *out = d->p;
    d->p = NULL;
    *rc = d->rc;
    *err = d->err;
    return true;
}

void pg_dial_close(struct pg_dial *d)
{
    struct pollfd done;

    if (d == NULL)
        return;
    done = (struct pollfd){.fd = d->done_fd, .events = POLLIN};
    signal_fd(d->stop_fd);
    if (!d->taken)
        (void)poll(&done, 1, GOODBYE_MS);
    release(d);
}
