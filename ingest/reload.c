/* Reads and compiles the rules file on a thread; called by the loop on SIGHUP. */
#include "ingest/reload.h"

#include "common/app/log.h"
#include "common/app/startup.h"
#include "common/base/buf.h"
#include "common/rules/rules.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void reload_init(struct reload *r)
{
    *r = (struct reload){.done_fd = -1};
}

int reload_open(struct reload *r, const char *path, struct err *err)
{
    r->path = path;
    r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r->done_fd >= 0 ? 0 : err_set(err, ERR_IO, "eventfd: %s", strerror(errno));
}

static void read_rules(struct reload *r)
{
    const struct rules *rules;
    struct buf text;
    struct err err;

    if (startup_reload_rules(r->path, &text, &rules) != 0)
        return;
    buf_close(&text);
    if (rulebook_new(rules, &r->book, &err) != 0)
        log_error("%s: %s: not reloaded, the old rules stay in force", r->path, err.text);
}

static void *run(void *ctx)
{
    const uint64_t one = 1;
    struct reload *r = ctx;
    ssize_t n;

    read_rules(r);
    n = write(r->done_fd, &one, sizeof one);
    assert(n == (ssize_t)sizeof one); /* the counter is far from its end */
    return NULL;
}

void reload_begin(struct reload *r)
{
    r->again = r->running;
    if (r->running)
        return;
    r->running = true;
    if (pthread_create(&r->thread, NULL, run, r) == 0)
        return;
    r->running = false;
    log_warning("%s: not reloaded: no thread can be started; the old rules stay in force", r->path);
}

int reload_fd(const struct reload *r)
{
    return r->done_fd;
}

struct rulebook *reload_take(struct reload *r)
{
    struct rulebook *book;
    uint64_t done;

    if (!r->running || read(r->done_fd, &done, sizeof done) != (ssize_t)sizeof done)
        return NULL;
    pthread_join(r->thread, NULL);
    r->running = false;
    book = r->book;
    r->book = NULL;
    if (r->again)
        reload_begin(r);
    return book;
}

void reload_close(struct reload *r)
{
    if (r->running)
        pthread_join(r->thread, NULL);
    rulebook_release(r->book);
    if (r->done_fd >= 0)
        close(r->done_fd);
    reload_init(r);
}
