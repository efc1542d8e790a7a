/* Logs deliveries that are turned away; called by the endpoints and, for the sums, by the server.
 */
#include "ingest/http/refusals.h"

#include "common/app/log.h"
#include "common/base/text.h"
#include "ingest/http/auth.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_SIZE = 101 };

static const int statuses[REFUSALS_KINDS] = {
    [REFUSALS_HEAD] = 400,     [REFUSALS_HANDOVER] = 400,  [REFUSALS_SHUT_OUT] = 401,
    [REFUSALS_STRANGER] = 401, [REFUSALS_UNLISTED] = 401,  [REFUSALS_PATH] = 404,
    [REFUSALS_METHOD] = 405,   [REFUSALS_TOO_LARGE] = 413, [REFUSALS_ENCODING] = 415,
    [REFUSALS_FAILURE] = 503,
};

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

static void log_sum(struct refusals *r, enum refusals_kind kind, uint64_t n)
{
    if (n > 0)
        log_warning("%d: %" PRIu64 " more %s refused, the last one: %s", statuses[kind], n,
                    text_plural(n, "delivery was", "deliveries were"), r->kinds[kind].last);
}

__attribute__((format(printf, 4, 5))) static void add(struct refusals *r, enum refusals_kind kind,
                                                      int64_t now_us, const char *format, ...)
{
    struct refusal *refusal = &r->kinds[kind];
    va_list ap;
    uint64_t n;

    va_start(ap, format);
    vsnprintf(refusal->last, sizeof refusal->last, format, ap);
    va_end(ap);
    n = throttle_add(&refusal->throttle, 1, now_us);
    if (n == 1)
        log_warning("%d: a delivery was refused: %s", statuses[kind], refusal->last);
    else
        log_sum(r, kind, n);
}

void refusals_head(struct refusals *r, const char *why, int64_t now_us)
{
    add(r, REFUSALS_HEAD, now_us, "%s: a proxy could read such a request in another way", why);
}

void refusals_stranger(struct refusals *r, const char *why, const char *name, int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(name, shown);
    add(r, REFUSALS_STRANGER, now_us, "%s%s%s", why, *shown ? ": " : "", shown);
}

void refusals_unlisted(struct refusals *r, const char *name, int64_t now_us)
{
    add(r, REFUSALS_UNLISTED, now_us,
        "drain \"%.100s\" is authenticated, but no app of the rules lists it: add it to apps, "
        "or set app",
        name);
}

void refusals_shut_out(struct refusals *r, const char *name, int64_t now_us)
{
    add(r, REFUSALS_SHUT_OUT, now_us,
        "drain \"%.100s\" stands under refuse in the rules: remove its registration, or its name "
        "there",
        name);
}

void refusals_unknown_path(struct refusals *r, const char *path, const char *right_path,
                           int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(path, shown);
    add(r, REFUSALS_PATH, now_us, "POST %s: there is no such path: the drain's URL must have %s",
        shown, right_path);
}

void refusals_method(struct refusals *r, const char *method, const char *path, const char *allowed,
                     const char *right_path, int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(method, shown);
    add(r, REFUSALS_METHOD, now_us, "%s %s: the path takes %s: a drain must POST to %s", shown,
        path, allowed, right_path);
}

void refusals_too_large(struct refusals *r, const char *name, int64_t max_bytes, int64_t now_us)
{
    add(r, REFUSALS_TOO_LARGE, now_us,
        "drain \"%.100s\": the body is over %" PRId64
        " bytes: raise DRAINWATCH_MAX_BODY_BYTES, or let its sender send less at once",
        name, max_bytes);
}

void refusals_encoding(struct refusals *r, const char *name, const char *encoding, int64_t now_us)
{
    char shown[SHOWN_SIZE];

    show(encoding, shown);
    add(r, REFUSALS_ENCODING, now_us,
        "drain \"%.100s\": Content-Encoding \"%s\" cannot be read: let its sender send gzip or "
        "plain text",
        name, shown);
}

void refusals_failure(struct refusals *r, const char *name, const char *why, int64_t now_us)
{
    add(r, REFUSALS_FAILURE, now_us, "drain \"%.100s\": %s", name, why);
}

void refusals_handover(struct refusals *r, const char *why, int64_t now_us)
{
    add(r, REFUSALS_HANDOVER, now_us, "records of an ingest that stops: %s", why);
}

void refusals_say(struct refusals *r, int64_t now_us, bool all)
{
    for (enum refusals_kind kind = 0; kind < REFUSALS_KINDS; kind++) {
        struct throttle *t = &r->kinds[kind].throttle;

        log_sum(r, kind, all ? throttle_flush(t) : throttle_add(t, 0, now_us));
    }
}
