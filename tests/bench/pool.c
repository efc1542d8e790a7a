/* Reads pools of bodies and lists of drains. Called by post, breach and stages. */
#include "tests/bench/pool.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static _Noreturn void empty(const char *path)
{
    fprintf(stderr, "there is nothing in %s\n", path);
    exit(1);
}

static void *grown(void *list, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0) /* the room doubles at each power of two */
        return list;
    list = reallocarray(list, n == 0 ? 1 : 2 * n, size);
    if (list == NULL)
        fail("pool");
    return list;
}

void pool_read_bodies(struct pool *p, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t head[2];

    if (file == NULL)
        fail(path);
    while (fread(head, sizeof head, 1, file) == 1) {
        char *bytes = malloc(head[0] + 1);

        if (bytes == NULL || fread(bytes, 1, head[0], file) != head[0])
            fail(path);
        p->bodies = grown(p->bodies, p->n_bodies, sizeof *p->bodies);
        p->bodies[p->n_bodies++] = (struct pool_body){bytes, head[0], head[1]};
    }
    fclose(file);
    if (p->n_bodies == 0)
        empty(path);
}

void pool_read_drains(struct pool *p, const char *path)
{
    FILE *file = fopen(path, "r");
    struct pool_drain drain;

    if (file == NULL)
        fail(path);
    while (fscanf(file, "%63s %255s", drain.name, drain.credentials) == 2) {
        p->drains = grown(p->drains, p->n_drains, sizeof *p->drains);
        p->drains[p->n_drains++] = drain;
    }
    fclose(file);
    if (p->n_drains == 0)
        empty(path);
}

void pool_read(struct pool *p, const char *bodies_path, const char *drains_path)
{
    *p = (struct pool){0};
    pool_read_bodies(p, bodies_path);
    pool_read_drains(p, drains_path);
}

const struct pool_body *pool_body(const struct pool *p, uint64_t n)
{
    return &p->bodies[n % p->n_bodies];
}

size_t pool_head(const struct pool *p, uint64_t run, uint64_t n, char head[POOL_HEAD_MAX])
{
    const struct pool_drain *drain = &p->drains[n % p->n_drains];
    const struct pool_body *body = pool_body(p, n);

    return (size_t)snprintf(head, POOL_HEAD_MAX,
                            "POST /api/internal/heroku-log-drain HTTP/1.1\r\n"
                            "Host: drainwatch.example\r\nUser-Agent: Logplex/v72\r\n"
                            "Authorization: Basic %s\r\nContent-Type: application/logplex-1\r\n"
                            "Logplex-Msg-Count: %" PRIu32 "\r\n"
                            "Logplex-Frame-Id: %016" PRIX64 "%016" PRIX64 "\r\n"
                            "Logplex-Drain-Token: %s\r\nContent-Length: %" PRIu32 "\r\n\r\n",
                            drain->credentials, body->lines, run, n, drain->name, body->len);
}

int pool_connect(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}
