/* Times each stage of ingest alone, without the kernel and libmicrohttpd, over a pool of bodies.
 * Each body is in the cache, as recv leaves it.
 *
 *     stages BODIES RULES.YAML
 *
 * Prints "STAGE MICROSECONDS" a line, for one body, the least of several rounds. */
#include "ingest/collect/delivery.h"
#include "ingest/collect/rulebook.h"
#include "ingest/http/auth.h"
#include "tests/bench/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, CHUNK = 24 << 10 /* as libmicrohttpd hands it over */ };

struct stages {
    struct pool pool;
    const struct rules *rules;
    struct rulebook *book;
    struct input *walker;
    struct delivery *delivery;
    struct auth *auth;
    struct buf packed;
    char *body; /* the one in hand */
    size_t n;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "stages: %s\n", what);
    exit(1);
}

/* ---- the stages; each includes the ones before it, except `authenticate` ---- */

static void copy(struct stages *s)
{
    (void)s;
}

static void authenticate(struct stages *s)
{
    /* A token's length, or nothing would be computed. ("console:" and 64 zeros) */
    static const char header[] =
        "Basic Y29uc29sZTowMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
        "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";
    char name[AUTH_NAME_SIZE];

    if (auth_refusal(s->auth, &(struct auth_claim){.credentials = header}, name) == NULL)
        fail("a wrong token is right");
}

static int walk_lines(void *ctx, const struct input_lines *lines)
{
    (void)ctx, (void)lines;
    return 0;
}

static size_t chunk_at(const struct stages *s, size_t at)
{
    return s->n - at < CHUNK ? s->n - at : CHUNK;
}

static const uint32_t *look_at(struct stages *s, size_t at, size_t *n_ends)
{
    const uint32_t *ends;

    if (match_scan(rulebook_match(s->book), s->body + at, chunk_at(s, at), &ends, n_ends) != 0)
        fail("a body cannot be looked at");
    return ends;
}

static void look(struct stages *s)
{
    size_t n_ends;

    for (size_t at = 0; at < s->n; at += CHUNK)
        look_at(s, at, &n_ends);
}

static void walk(struct stages *s)
{
    int rc = 0;

    input_begin(s->walker);
    for (size_t at = 0; rc == 0 && at < s->n; at += CHUNK) {
        size_t n_ends;
        const uint32_t *ends = look_at(s, at, &n_ends);
        const struct input_points points = {.at = ends, .n = n_ends};

        rc = input_push(s->walker, s->body + at, chunk_at(s, at), &points);
    }
    if (rc != 0 || input_finish(s->walker) != 0)
        fail("a body cannot be parsed");
}

static void deliver(struct stages *s)
{
    const struct delivery_head head = {.received_us = 1, .drain = "d.1", .frame_id = "f1"};
    const struct wire_record *records;
    size_t n_records;
    int rc = delivery_begin(s->delivery, s->book, &head);

    for (size_t at = 0; rc == 0 && at < s->n; at += CHUNK)
        rc = delivery_push(s->delivery, s->body + at, chunk_at(s, at));
    if (rc == 0)
        rc = delivery_finish(s->delivery, &records, &n_records);
    buf_clear(&s->packed);
    for (size_t i = 0; rc == 0 && i < n_records; i++)
        rc = wire_pack_record(&records[i], &s->packed);
    if (rc != 0)
        fail("a body cannot be delivered");
}

/* ---- timing ---- */

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double least_us(struct stages *s, void (*stage)(struct stages *))
{
    double least = 1e12;

    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_us(), took;

        for (size_t i = 0; i < s->pool.n_bodies; i++) {
            s->n = s->pool.bodies[i].len;
            memcpy(s->body, s->pool.bodies[i].bytes, s->n);
            stage(s);
        }
        took = (cpu_us() - began) / (double)s->pool.n_bodies;
        least = took < least ? took : least;
    }
    return least;
}

static void read_rules(struct stages *s, const char *path)
{
    static char text[RULES_TEXT_MAX];
    FILE *file = fopen(path, "r");
    size_t n = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    struct buf faults;
    struct err err;

    if (file != NULL)
        fclose(file);
    buf_init(&faults, RULES_FAULTS_MAX);
    if (rules_parse(text, n, path, &s->rules, &faults) != 0)
        fail(buf_text(&faults));
    if (rulebook_new_borrowed(s->rules, &s->book, &err) != 0)
        fail(err.text);
    buf_close(&faults);
}

static void make_all(struct stages *s)
{
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    size_t most = 0;

    for (size_t i = 0; i < s->pool.n_bodies; i++)
        most = s->pool.bodies[i].len > most ? s->pool.bodies[i].len : most;
    s->body = malloc(most);
    s->walker = input_new(&input_logplex, walk_lines, s);
    s->delivery = delivery_new();
    s->auth = auth_new();
    buf_init(&s->packed, WIRE_MESSAGE_MAX);
    if (s->body == NULL || s->walker == NULL || s->delivery == NULL || s->auth == NULL ||
        !auth_add_secret(s->auth, secret, strlen(secret)))
        fail("out of memory");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct stages *);
    } stages[] = {
        {"authenticate", authenticate}, {"look", look}, {"walk", walk}, {"deliver", deliver}};
    static struct stages s;
    double floor;

    if (argc != 3)
        fail("usage: stages BODIES RULES.YAML");
    pool_read_bodies(&s.pool, argv[1]);
    read_rules(&s, argv[2]);
    make_all(&s);
    floor = least_us(&s, copy);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        printf("%s %.2f\n", stages[i].name, least_us(&s, stages[i].run) - floor);
    return 0;
}
