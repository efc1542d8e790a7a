/* Reads the rules file again while ingest serves.
 *
 * A thread of its own compiles the rules, and the loop goes on with the old ones meanwhile: on a
 * busy 2-core machine 100 expressions like "word[0-9]+ word.*(a|b)" take 0.4 s and 1,000 take 0.9
 * s, and Logplex gives a request up after 5 s (docs/facts.md). */
#ifndef DRAINWATCH_INGEST_RELOAD_H
#define DRAINWATCH_INGEST_RELOAD_H

#include "common/base/err.h"
#include "ingest/collect/rulebook.h"

#include <pthread.h>
#include <stdbool.h>

struct reload {
    const char *path;
    int done_fd; /* an eventfd that the thread writes to when it is done; -1: none */
    bool running;
    bool again; /* a reload was asked for while one ran: the file may have changed meanwhile */
    pthread_t thread;
    struct rulebook *book; /* the thread's, until it is joined */
};

void reload_init(struct reload *r);
/* `path` is borrowed. Returns 0 or ERR_IO. */
int reload_open(struct reload *r, const char *path, struct err *err);
void reload_close(struct reload *r); /* waits for a thread that runs */

void reload_begin(struct reload *r);
/* Readable: call reload_take. */
int reload_fd(const struct reload *r);
/* Returns the new book, which the caller then holds; NULL if none is ready. If the rules cannot be
 * used there is none: every fault is logged, and the old rules stay, because without rules nobody
 * would watch the drains. */
struct rulebook *reload_take(struct reload *r);

#endif
