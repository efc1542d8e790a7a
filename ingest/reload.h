/* The rules file read anew while ingest serves.
 *
 * It is compiled on a thread of its own, the only one there is: a thousand rules take seconds
 * (measured: 100 expressions like "word[0-9]+ word.*(a|b)" 0.7 s, 1,000 of them 5.6 s), and Logplex
 * gives a request up after 5 (docs/facts.md). The loop goes on with the old rules meanwhile. */
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
    bool again; /* somebody asked while it ran: the file may have changed since it was read */
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
/* The new book, which the caller then holds; NULL where none is ready. Where the rules cannot be
 * used every fault was logged, and there is none: a drain without rules is one that nobody watches,
 * so the old ones stay. */
struct rulebook *reload_take(struct reload *r);

#endif
