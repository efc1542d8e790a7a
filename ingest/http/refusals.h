/* Logs deliveries and handovers that are turned away: the first of a kind at once, the next ones in
 * one line a minute. */
#ifndef DRAINWATCH_INGEST_HTTP_REFUSALS_H
#define DRAINWATCH_INGEST_HTTP_REFUSALS_H

#include "common/app/throttle.h"

#include <stdint.h>

/* Each kind is summed up by itself, so that none hides another. */
enum refusals_kind {
    REFUSALS_HEAD,      /* 400 */
    REFUSALS_HANDOVER,  /* 400 */
    REFUSALS_STRANGER,  /* 401 */
    REFUSALS_UNLISTED,  /* 401 */
    REFUSALS_SHUT_OUT,  /* 401 */
    REFUSALS_PATH,      /* 404 */
    REFUSALS_METHOD,    /* 405 */
    REFUSALS_TOO_LARGE, /* 413 */
    REFUSALS_ENCODING,  /* 415 */
    REFUSALS_FAILURE,   /* 503 */
    REFUSALS_KINDS,
};

struct refusal {
    struct throttle throttle;
    char last[400]; /* the newest, in words */
};

/* All zeros at the beginning. */
struct refusals {
    struct refusal kinds[REFUSALS_KINDS];
};

/* A head that can be read in two ways; `why` is for people. */
void refusals_head(struct refusals *r, const char *why, int64_t now_us);
/* A client without valid credentials. `why` is for people; `name` is the name that it claims, "" if
 * there is none. */
void refusals_stranger(struct refusals *r, const char *why, const char *name, int64_t now_us);
/* A client with valid credentials for a drain that no app of the rules lists. */
void refusals_unlisted(struct refusals *r, const char *name, int64_t now_us);
/* A client with valid credentials for a drain that the rules list under `refuse`. */
void refusals_shut_out(struct refusals *r, const char *name, int64_t now_us);
/* A POST to a path that nothing serves. */
void refusals_unknown_path(struct refusals *r, const char *path, const char *right_path,
                           int64_t now_us);
/* A path that is served, with another method than the `allowed` ones. */
void refusals_method(struct refusals *r, const char *method, const char *path, const char *allowed,
                     const char *right_path, int64_t now_us);
/* A body of the drain `name` that is over the limit, packed or unpacked. */
void refusals_too_large(struct refusals *r, const char *name, int64_t max_bytes, int64_t now_us);
/* A body with a Content-Encoding that is not taken. */
void refusals_encoding(struct refusals *r, const char *name, const char *encoding, int64_t now_us);
/* A delivery of the drain `name` that cannot be taken, and is answered 503. */
void refusals_failure(struct refusals *r, const char *name, const char *why, int64_t now_us);

/* A handover that cannot be read; `why` is for people. */
void refusals_handover(struct refusals *r, const char *why, int64_t now_us);

/* Logs the sums that are due; with `all` those that are not due, too. To be called once a second.
 */
void refusals_say(struct refusals *r, int64_t now_us, bool all);

#endif
