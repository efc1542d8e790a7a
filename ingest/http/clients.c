/* Keeps the deadlines of connections and ends the ones that are too many; called by the server. */
#include "ingest/http/clients.h"

#include "common/app/log.h"
#include "common/base/table.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

enum {
    MAX_LEAST = 16,
    /* The newest strangers stay, an eighth of the room: a drain that has just connected is one of
     * them until its first head has come. */
    NEWEST_SHARE = 8,
    /* libmicrohttpd accepts ten in a run, and stops listening for a while if it is full. */
    ROOM_LEAST = 12,
};

struct clients_drain {
    unsigned n;
    UT_hash_handle hh;
    char name[];
};

void clients_init(struct clients *cs, uint64_t files)
{
    uint64_t max = files > CLIENTS_RESERVE ? files - CLIENTS_RESERVE : 0;

    max = max < CLIENTS_MAX ? max : CLIENTS_MAX;
    *cs = (struct clients){.max = max > MAX_LEAST ? (unsigned)max : MAX_LEAST,
                           .stop_us = INT64_MAX};
}

void clients_set_time(struct clients *cs, int64_t wall_us)
{
    int64_t step_us = wall_us - cs->wall_us;

    cs->wall_us = wall_us;
    if (step_us > 0)
        cs->now_us += step_us < CLIENTS_STEP_US ? step_us : CLIENTS_STEP_US;
}

/* ---- ends ---- */

static void write_why(const struct clients *cs, enum clients_end why, char *text, size_t size)
{
    if (why == CLIENTS_CROWDED)
        snprintf(text, size,
                 "%u of at most %u were open, and it never authenticated; if this lasts, keep "
                 "strangers away with a proxy or a firewall",
                 cs->n, cs->max);
    else if (why == CLIENTS_GREEDY)
        snprintf(text, size,
                 "%u of at most %u were open, and the drain %s held %u of them; if this lasts, let "
                 "it keep fewer, or shut it out with `refuse` in the rules file",
                 cs->n, cs->max, cs->greedy, cs->greedy_n);
    else if (why == CLIENTS_SLOW)
        snprintf(text, size,
                 "a head must come within %d s, a body within %d s and at %d KiB/s, and both within "
                 "%d s once ingest is to stop",
                 CLIENTS_HEAD_S, CLIENTS_BODY_S, CLIENTS_BODY_RATE >> 10, CLIENTS_LAST_S);
    else
        snprintf(text, size, "a chunk of its body has an extension without an end");
}

static void log_ends(const struct clients *cs, enum clients_end why, uint64_t n)
{
    /* Every scanner is slow. */
    const char *level = why == CLIENTS_SLOW ? "info" : "warning";
    char text[400];

    if (n == 0)
        return;
    if (why == CLIENTS_FULL) {
        log_warning("all %u connections are open, so new ones wait: raise the limit of open files "
                    "(ulimit -n), or let fewer drains post to this process",
                    cs->max);
        return;
    }
    write_why(cs, why, text, sizeof text);
    if (n == 1)
        log_write(level, "a connection was closed: %s", text);
    else
        log_write(level, "%" PRIu64 " more connections were closed: %s", n, text);
}

static void add_end(struct clients *cs, enum clients_end why, uint64_t n)
{
    log_ends(cs, why, throttle_add(&cs->ends[why], n, cs->now_us));
}

void clients_log_all(struct clients *cs)
{
    for (enum clients_end why = 0; why < CLIENTS_FULL; why++)
        log_ends(cs, why, throttle_flush(&cs->ends[why]));
}

static void move(struct clients *cs, struct client *c, struct client **list)
{
    cs->n_strangers -= c->list == &cs->strangers;
    DL_DELETE(*c->list, c);
    c->list = list;
    DL_APPEND(*list, c);
}

/* ---- drains ---- */

static void leave_drain(struct clients *cs, struct client *c)
{
    struct clients_drain *d = c->drain;

    c->drain = NULL;
    if (d == NULL || --d->n > 0)
        return;
    HASH_DEL(cs->drains, d);
    free(d);
}

/* NULL: no memory. */
static struct clients_drain *get_drain(struct clients *cs, const char *name)
{
    size_t n = strlen(name);
    struct clients_drain *d;

    HASH_FIND(hh, cs->drains, name, n, d);
    if (d == NULL)
        HASH_ADD_NAMED(cs->drains, name, n, d);
    return d;
}

static struct clients_drain *find_largest(const struct clients *cs)
{
    struct clients_drain *largest = NULL;

    for (struct clients_drain *d = cs->drains; d != NULL; d = d->hh.next) {
        if (largest == NULL || d->n > largest->n)
            largest = d;
    }
    return largest;
}

/* ---- room ---- */

/* A connection of the drain that can be ended: the one that is idle for longest, or else the one
 * whose body began last, so that older bodies can end. NULL: there is none. */
static struct client *find_spare(const struct clients *cs, const struct clients_drain *drain)
{
    struct client *c, *idle = NULL, *body = NULL;

    DL_FOREACH(cs->known, c)
    {
        if (c->drain != drain)
            continue;
        if (c->step == CLIENTS_HEAD && (idle == NULL || c->since_us < idle->since_us))
            idle = c;
        else if (c->step == CLIENTS_BODY && (body == NULL || c->since_us >= body->since_us))
            body = c;
    }
    return idle != NULL ? idle : body;
}

static void shut_down(struct clients *cs, struct client *c)
{
    leave_drain(cs, c);
    shutdown(c->fd, SHUT_RDWR);
    move(cs, c, &cs->leaving);
}

void clients_end(struct clients *cs, struct client *c, enum clients_end why)
{
    add_end(cs, why, 1);
    shut_down(cs, c);
}

/* ---- their life ---- */

/* Ends a connection of the drain that holds most of them, if that is more than its share. */
static bool end_greedy(struct clients *cs)
{
    const struct clients_drain *drain = find_largest(cs);
    struct client *c;

    if (drain == NULL || drain->n <= cs->max / CLIENTS_DRAIN_SHARE ||
        (c = find_spare(cs, drain)) == NULL)
        return false;
    snprintf(cs->greedy, sizeof cs->greedy, "%s", drain->name);
    cs->greedy_n = drain->n;
    clients_end(cs, c, CLIENTS_GREEDY);
    return true;
}

static void make_room(struct clients *cs)
{
    bool has_room = cs->n + ROOM_LEAST <= cs->max;

    if (cs->n <= cs->max / 4 * 3)
        return;
    if (cs->n_strangers <= cs->max / NEWEST_SHARE && (has_room || end_greedy(cs)))
        return;
    if (cs->strangers != NULL)
        clients_end(cs, cs->strangers, CLIENTS_CROWDED);
}

void clients_add(struct clients *cs, struct client *c, int fd)
{
    make_room(cs);
    c->fd = fd;
    c->since_us = cs->now_us;
    c->list = &cs->strangers;
    DL_APPEND(cs->strangers, c);
    cs->n++;
    cs->n_strangers++;
}

void clients_remove(struct clients *cs, struct client *c)
{
    cs->n--;
    cs->n_strangers -= c->list == &cs->strangers;
    DL_DELETE(*c->list, c);
    leave_drain(cs, c);
}

void clients_go_to(const struct clients *cs, struct client *c, enum clients_step step)
{
    c->step = step;
    c->since_us = cs->now_us;
    c->body_bytes = 0;
}

void clients_know(struct clients *cs, struct client *c, const char *drain)
{
    if (c->list == &cs->strangers)
        move(cs, c, &cs->known);
    if (c->drain != NULL && strcmp(c->drain->name, drain) == 0)
        return;
    leave_drain(cs, c);
    c->drain = get_drain(cs, drain);
    if (c->drain != NULL)
        c->drain->n++;
}

void clients_stop(struct clients *cs)
{
    cs->stop_us = cs->now_us;
}

/* ---- the look ---- */

static int64_t time_left_us(const struct clients *cs, const struct client *c)
{
    int64_t allowed_s = INT64_MAX / TIME_S, left_us, last_us;

    switch (c->step) {
    case CLIENTS_HEAD:
        allowed_s = c->list == &cs->known ? CLIENTS_IDLE_S : CLIENTS_HEAD_S;
        break;
    case CLIENTS_BODY:
        allowed_s = CLIENTS_BODY_S + (int64_t)(c->body_bytes / CLIENTS_BODY_RATE);
        break;
    case CLIENTS_ANSWER:
        allowed_s = CLIENTS_ANSWER_S;
        break;
    case CLIENTS_WAIT:
        break;
    }
    left_us = allowed_s * TIME_S - (cs->now_us - c->since_us);
    if (cs->stop_us == INT64_MAX || c->step == CLIENTS_WAIT)
        return left_us;
    last_us = CLIENTS_LAST_S * TIME_S - (cs->now_us - cs->stop_us);
    return left_us < last_us ? left_us : last_us;
}

/* Whether nothing can come of a connection any more. libmicrohttpd (0.9.75) overlooks an end of
 * stream that arrives together with the last bytes. Such a connection would stay open until its
 * deadline and delay our own end. */
static bool is_broken_off(struct client *c)
{
    char byte;
    bool was_at_end = c->at_end;

    c->at_end = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
    if (!c->at_end)
        return false;
    /* The first time an answer may be on its way, or the body may wait for its drain's turn. */
    return was_at_end && (c->step == CLIENTS_HEAD || c->step == CLIENTS_BODY);
}

static void look_at(struct clients *cs, struct client *list)
{
    struct client *c, *next;

    DL_FOREACH_SAFE(list, c, next)
    {
        if (time_left_us(cs, c) <= 0)
            clients_end(cs, c, CLIENTS_SLOW);
        else if (is_broken_off(c))
            shut_down(cs, c);
    }
}

bool clients_look(struct clients *cs)
{
    if (cs->n >= cs->max) /* libmicrohttpd accepts none, so clients_add makes no room */
        end_greedy(cs);
    if (cs->now_us - cs->looked_us < TIME_S)
        return false;
    cs->looked_us = cs->now_us;
    look_at(cs, cs->strangers);
    look_at(cs, cs->known);
    for (enum clients_end why = 0; why < CLIENTS_ENDS; why++)
        add_end(cs, why, why == CLIENTS_FULL && cs->n >= cs->max);
    return true;
}
