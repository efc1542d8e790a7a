/* The open connections of the server. Each has a deadline for each step of a request, however fast
 * its bytes drip. If many are open, the oldest connection that never authenticated is ended for
 * each new one. If all are open and one drain holds more than its share, one of that drain's is
 * ended instead. A connection is ended by shutting its socket down, so that libmicrohttpd closes
 * it.
 *
 * Time is the caller's wall clock. A step of it counts as CLIENTS_STEP_US at most, so that neither
 * a clock that is set nor a pause of this process ends a connection. */
#ifndef DRAINWATCH_INGEST_HTTP_CLIENTS_H
#define DRAINWATCH_INGEST_HTTP_CLIENTS_H

#include "common/app/throttle.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CLIENTS_MAX = 4096,
    CLIENTS_RESERVE = 64, /* descriptors that stay free for the journal, the queue and the rules */
    CLIENTS_HEAD_S = 10,  /* for a head, from the start or from the last answer */
    /* Logplex closes an idle connection after 4 minutes (logplex_http_drain.erl). It must be the
     * side that closes, so that it never posts into a connection that we just dropped. */
    CLIENTS_IDLE_S = 330, /* the same, for a connection that authenticated */
    CLIENTS_BODY_S = 30,
    CLIENTS_BODY_RATE = 16 << 10, /* bytes of a body that earn one second more */
    CLIENTS_ANSWER_S = 30,        /* to take the answer */
    CLIENTS_LAST_S = 3, /* from clients_stop on, for a body and its answer together */
    /* One drain may hold a quarter of the connections when there is no room left. */
    CLIENTS_DRAIN_SHARE = 4,
    CLIENTS_SHOWN_SIZE = 101,
};
#define CLIENTS_STEP_US INT64_C(2000000)

/* The step that a connection is at. */
enum clients_step {
    CLIENTS_HEAD, /* it is to send a head */
    CLIENTS_BODY,
    CLIENTS_WAIT, /* it waits for us */
    CLIENTS_ANSWER,
};

struct clients_drain;

/* One connection; all zeros before clients_add. */
struct client {
    int fd;
    enum clients_step step;
    int64_t since_us;            /* of the step */
    uint64_t body_bytes;         /* that have come */
    bool at_end;                 /* the last look found that it had sent everything it will */
    struct client **list;        /* one of struct clients */
    struct clients_drain *drain; /* for which it delivered last; NULL: for none */
    struct client *prev, *next;
};

enum clients_end {
    CLIENTS_CROWDED, /* ended to make room */
    CLIENTS_GREEDY,  /* the same, because its drain held too many */
    CLIENTS_SLOW,    /* its deadline passed */
    CLIENTS_STUCK,   /* its bytes cannot be read */
    CLIENTS_FULL,    /* none was ended: there is no room */
    CLIENTS_ENDS,
};

struct clients {
    struct client *strangers; /* that never authenticated, oldest first */
    struct client *known;
    struct client *leaving; /* their sockets are shut down */
    unsigned n, n_strangers, max;
    struct clients_drain *drains; /* of the connections, with their numbers */
    unsigned greedy_n;            /* connections that the drain `greedy` held */
    char greedy[CLIENTS_SHOWN_SIZE];
    int64_t wall_us, now_us, looked_us;
    int64_t stop_us; /* when clients_stop was called; INT64_MAX: it was not */
    struct throttle ends[CLIENTS_ENDS];
};

/* `files` is the limit of open files, from which `max` follows. */
void clients_init(struct clients *cs, uint64_t files);

/* Sets the time. Call it before all others of a turn. */
void clients_set_time(struct clients *cs, int64_t wall_us);

/* `c` is the caller's, until clients_remove. */
void clients_add(struct clients *cs, struct client *c, int fd);
void clients_remove(struct clients *cs, struct client *c);

void clients_go_to(const struct clients *cs, struct client *c, enum clients_step step);
/* It authenticated, and delivers for this drain. */
void clients_know(struct clients *cs, struct client *c, const char *drain);

/* This process is to end: so must bodies and answers soon, whatever their rate. New clients are
 * turned away meanwhile, and one slow client must not cost them their lines. */
void clients_stop(struct clients *cs);

/* Ends a connection and logs it: the first of a kind at once, the next ones once a minute. */
void clients_end(struct clients *cs, struct client *c, enum clients_end why);

/* Once a second, or the call returns false at once: ends the connections whose deadline has passed
 * and those that nothing can come of any more, and logs the sums that are due. */
bool clients_look(struct clients *cs);
void clients_log_all(struct clients *cs); /* also the sums that are not due */

#endif
