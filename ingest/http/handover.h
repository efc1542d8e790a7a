/* A handover over HTTP, from its head to its answer. An ingest that stops while the database is
 * away posts its pushes here: the next ingest of the same app may reach the database. The body is
 * one packed push. Each request waits for the database, and then gets one of these answers:
 *
 *     204  the push is committed
 *     200  for a push without records: the last sequence that the database has of its sender
 *     503  the database does not take it now: try again
 *
 * Nothing is stored on this machine. */
#ifndef DRAINWATCH_INGEST_HTTP_HANDOVER_H
#define DRAINWATCH_INGEST_HTTP_HANDOVER_H

#include "common/record/wire.h"
#include "ingest/http/auth.h"
#include "ingest/http/incoming.h"
#include "ingest/http/refusals.h"
#include "ingest/http/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOVER_PATH "/api/internal/handover"
/* A header of a push with records: the last sequence that the database had, as its sender was told.
 * If the database has less now, it has lost commits: then nothing is stored, and the answer is 503,
 * after which the sender asks again. 0 or none: not known. */
#define HANDOVER_HAVE "Drainwatch-Have"
/* A header: auth_sign_push of the body. */
#define HANDOVER_SIGNATURE "Drainwatch-Signature"

enum {
    HANDOVER_BODY_MAX = WIRE_MESSAGE_MAX, /* a push may hold one record of nearly that size */
    HANDOVERS_MAX = 8,                    /* at once; further ones are answered 503 */
};

struct handovers; /* all of a server */
struct handover;  /* one of them */

/* All are borrowed. If `auth` is NULL, handovers are answered 501 with `off_reason`. Returns NULL
 * if there is no memory. */
struct handovers *handovers_new(struct auth *auth, const char *off_reason,
                                struct refusals *refusals);
void handovers_free(struct handovers *hs); /* NULL is fine; no request may be open */

size_t handovers_open(const struct handovers *hs); /* begun and not ended */
/* This process is to end, too: those that begin from now on are answered 503. */
void handovers_stop(struct handovers *hs);

/* The head has come. Returns the request, or NULL with `answer` set. */
struct incoming *handovers_begin(struct handovers *hs, const struct headers *headers,
                                 int64_t now_us, struct answer *answer);

/* Returns the request that waits longest, NULL if none waits. The caller must decide it. */
struct handover *handovers_next(struct handovers *hs);
/* Its push without the records, and the bytes of the whole push. Both are borrowed from it. */
const struct wire_push *handover_push(const struct handover *h);
struct wire_bytes handover_packed(const struct handover *h);
int64_t handover_have(const struct handover *h); /* HANDOVER_HAVE */

enum handover_result {
    HANDOVER_COMMITTED,
    HANDOVER_KNOWN, /* `have` is the last sequence that the database has */
    HANDOVER_NOT_NOW,
};
/* Its answer is sent in the next turn. */
void handover_decide(struct handover *h, enum handover_result result, int64_t have);

/* Resumes all suspended connections, as requests_release_all does. */
void handovers_release_all(struct handovers *hs);

#endif
