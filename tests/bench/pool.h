/* Input of the posting programs: a pool of bodies as `bodies` writes it, and a list of drains, one
 * "NAME BASIC-CREDENTIALS" a line. */
#ifndef DRAINWATCH_BENCH_POOL_H
#define DRAINWATCH_BENCH_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { POOL_HEAD_MAX = 1024 };

struct pool_body {
    const char *bytes;
    uint32_t len;
    uint32_t lines;
};

struct pool_drain {
    char name[64];
    char credentials[256];
};

struct pool {
    struct pool_body *bodies;
    size_t n_bodies;
    struct pool_drain *drains;
    size_t n_drains;
};

/* Read once and kept to the end of the process. A file that cannot be read ends it. */
void pool_read(struct pool *p, const char *bodies_path, const char *drains_path);
void pool_read_bodies(struct pool *p, const char *path); /* these alone, into a pool of zeros */
void pool_read_drains(struct pool *p, const char *path); /* likewise */

/* Writes the head of request number `n` of this run, as Logplex writes it, and returns its length;
 * its body is the n-th of the pool, going round. */
size_t pool_head(const struct pool *p, uint64_t run, uint64_t n, char head[POOL_HEAD_MAX]);
const struct pool_body *pool_body(const struct pool *p, uint64_t n);

/* Returns a connected socket on loopback. Ends the process if nobody listens. */
int pool_connect(unsigned port);

#endif
