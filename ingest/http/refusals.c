/* Logs deliveries that are turned away; called by the endpoints and, for the sums, by the server.
 */
#include "ingest/http/refusals.h"

#include "common/app/log.h"
#include "ingest/http/auth.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_SIZE = 101 };

/* Writes the beginning of a name or path from outside, unless it may hold a secret. */
static void show(const char *text, char out[SHOWN_SIZE])
{
    char shown[AUTH_NAME_SIZE];

    snprintf(shown, sizeof shown, "%s", text);
    if (auth_may_show(text))
        shown[log_without_secrets(shown, strlen(shown))] = '\0'; /* before it is cut */
    else
        snprintf(shown, sizeof shown, "(not shown: it holds a token)");
    snprintf(out, SHOWN_SIZE, "%s", shown);
}

static void log_sum(const struct refusal *r, int status, uint64_t n)
{
    if (n > 0)
        log_warning("%d: %" PRIu64 " more deliver%s refused, the last one: %s", status, n,
                    n == 1 ? "y was" : "ies were", r->last);
}

static void add(struct refusal *r, int status, int64_t now_us)
{
    uint64_t n = throttle_add(&r->throttle, 1, now_us);

    if (n == 1)
        log_warning("%d: a delivery was refused: %s", status, r->last);
    else
        log_sum(r, status, n);
}

void refusals_stranger(struct refusals *r, const char *why, const char *name, int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(name, shown);
    snprintf(r->strangers.last, sizeof r->strangers.last, "%s%s%s", why, *shown ? ": " : "", shown);
    add(&r->strangers, 401, now_us);
}

void refusals_unlisted(struct refusals *r, const char *name, int64_t now_us)
{
    snprintf(r->unlisted.last, sizeof r->unlisted.last,
             "drain \"%.100s\" is authenticated, but no app of the rules lists it: add it to apps, "
             "or set app",
             name);
    add(&r->unlisted, 401, now_us);
}

void refusals_unknown_path(struct refusals *r, const char *path, const char *right_path,
                           int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(path, shown);
    snprintf(r->paths.last, sizeof r->paths.last,
             "POST %s: there is no such path: the drain's URL must have %s", shown, right_path);
    add(&r->paths, 404, now_us);
}

void refusals_failure(struct refusals *r, const char *why, int64_t now_us)
{
    snprintf(r->failures.last, sizeof r->failures.last, "%s", why);
    add(&r->failures, 503, now_us);
}

static void say(struct refusal *r, int status, int64_t now_us, bool all)
{
    log_sum(r, status, all ? throttle_flush(&r->throttle) : throttle_add(&r->throttle, 0, now_us));
}

void refusals_say(struct refusals *r, int64_t now_us, bool all)
{
    say(&r->strangers, 401, now_us, all);
    say(&r->unlisted, 401, now_us, all);
    say(&r->paths, 404, now_us, all);
    say(&r->failures, 503, now_us, all);
}
