/* Makes synthetic log lines. Called by the programs that write logs and bodies. */
#include "tests/bench/lines.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 768, DYNOS = 8, WHEN_MAX = 64 };

static const char *const sections[] = {"orders", "customers", "invoices", "status", "assets",
                                       "login",  "reports",   "search",   "export", "webhooks"};
static const char *const verbs[] = {"GET", "GET", "GET", "POST", "PUT"};
static const char *const modules[] = {"app.views", "app.tasks", "app.poller", "app.auth"};
static const char *const doings[] = {"fetched", "updated", "queued", "rendered", "skipped"};

struct text {
    const char *source;
    char process[24];
    unsigned priority;
    char message[TEXT_MAX];
};

/* xorshift64*, and one step of splitmix64 before it, so that near seeds do not begin alike. */
uint64_t lines_random(struct lines *l, uint64_t n)
{
    uint64_t x = l->state + UINT64_C(0x9E3779B97F4A7C15);

    l->state = x;
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (x ^ (x >> 31)) % n;
}

#define PICK(l, table) ((table)[lines_random(l, sizeof(table) / sizeof *(table))])

static unsigned number(struct lines *l, unsigned from, unsigned to)
{
    return from + (unsigned)lines_random(l, to - from);
}

enum lines_kind lines_common_kind(struct lines *l)
{
    uint64_t share = lines_random(l, 100);

    return share < 50 ? LINES_ROUTER : share < 95 ? LINES_APP : LINES_PLATFORM;
}

static void write_router(struct lines *l, struct text *t, unsigned dyno, bool timed_out)
{
    const char *outcome = timed_out ? "at=error code=H12 desc=\"Request timeout\"" : "at=info";
    const char *section = PICK(l, sections), *verb = PICK(l, verbs);
    unsigned long long id = lines_random(l, UINT64_MAX), id2 = lines_random(l, UINT64_MAX);

    t->source = "heroku";
    strcpy(t->process, "router");
    t->priority = 158;
    snprintf(t->message, sizeof t->message,
             "%s method=%s path=\"/api/%s/%u?page=%u\" host=console.raxx.example "
             "request_id=%08llx-%04llx-%04llx-%04llx-%012llx fwd=\"203.0.113.%u\" dyno=web.%u "
             "connect=%ums service=%ums status=%u bytes=%u protocol=https",
             outcome, verb, section, number(l, 1, 99999), number(l, 1, 40), id >> 32,
             id >> 16 & 0xffff, id & 0xffff, id2 >> 48, id2 & 0xffffffffffff, number(l, 1, 255),
             dyno, number(l, 0, 4), timed_out ? 30000 : number(l, 2, 900), timed_out ? 503 : 200,
             number(l, 0, 40000));
}

static void write_app(struct lines *l, struct text *t, unsigned dyno)
{
    const char *module = PICK(l, modules), *doing = PICK(l, doings), *section = PICK(l, sections);

    t->source = "app";
    snprintf(t->process, sizeof t->process, "%s.%u", dyno > 6 ? "worker" : "web", dyno);
    t->priority = 190;
    snprintf(t->message, sizeof t->message,
             "[%u] INFO %s: %s %s id=%u user=%u in %u.%u ms (cache %s, %u rows)", number(l, 4, 40),
             module, doing, section, number(l, 1, 999999), number(l, 1, 9999), number(l, 1, 300),
             number(l, 0, 9), lines_random(l, 3) ? "hit" : "miss", number(l, 0, 500));
}

static void write_platform(struct lines *l, struct text *t, unsigned dyno)
{
    t->source = "heroku";
    t->priority = 45;
    snprintf(t->process, sizeof t->process, "web.%u", dyno);
    if (lines_random(l, 2))
        snprintf(t->message, sizeof t->message,
                 "source=web.%u dyno=heroku.1234.%08llx sample#load_avg_1m=%u.%02u "
                 "sample#load_avg_5m=%u.%02u",
                 dyno, (unsigned long long)lines_random(l, UINT32_MAX), number(l, 0, 3),
                 number(l, 0, 99), number(l, 0, 2), number(l, 0, 99));
    else
        snprintf(t->message, sizeof t->message,
                 "source=web.%u dyno=heroku.1234.%08llx sample#memory_total=%u.%02uMB "
                 "sample#memory_rss=%u.%02uMB sample#memory_quota=512.00MB",
                 dyno, (unsigned long long)lines_random(l, UINT32_MAX), number(l, 200, 480),
                 number(l, 0, 99), number(l, 180, 420), number(l, 0, 99));
}

static void write_worker_timeout(struct lines *l, struct text *t, unsigned dyno)
{
    t->source = "app";
    t->priority = 190;
    snprintf(t->process, sizeof t->process, "web.%u", dyno);
    snprintf(t->message, sizeof t->message, "[%u] [CRITICAL] WORKER TIMEOUT (pid:%u)",
             number(l, 4, 40), number(l, 10, 900));
}

static void write_error(struct lines *l, struct text *t, enum lines_kind kind, unsigned dyno)
{
    t->source = "heroku";
    t->priority = 172;
    if (kind == LINES_R14) {
        snprintf(t->process, sizeof t->process, "web.%u", dyno);
        strcpy(t->message, "Error R14 (Memory quota exceeded)");
        return;
    }
    strcpy(t->process, "logplex");
    snprintf(t->message, sizeof t->message,
             "Error L10 (output buffer overflow): %u messages dropped since "
             "2026-05-07T08:00:00+00:00.",
             number(l, 1, 500));
}

static void write_text(struct lines *l, enum lines_kind kind, unsigned dyno, struct text *t)
{
    switch (kind) {
    case LINES_ROUTER:
        write_router(l, t, dyno, false);
        break;
    case LINES_H12:
        write_router(l, t, dyno, true);
        break;
    case LINES_APP:
        write_app(l, t, dyno);
        break;
    case LINES_PLATFORM:
        write_platform(l, t, dyno);
        break;
    case LINES_WORKER_TIMEOUT:
        write_worker_timeout(l, t, dyno);
        break;
    case LINES_R14:
    case LINES_L10:
        write_error(l, t, kind, dyno);
        break;
    }
}

/* The calendar is asked once a second of the log, not once a line. */
static void write_time(int64_t time_us, char out[WHEN_MAX])
{
    static time_t known = -1;
    static char prefix[32];
    time_t second = (time_t)(time_us / 1000000);

    if (second != known) {
        struct tm tm;

        strftime(prefix, sizeof prefix, "%Y-%m-%dT%H:%M:%S", gmtime_r(&second, &tm));
        known = second;
    }
    snprintf(out, WHEN_MAX, "%s.%06u+00:00", prefix, (unsigned)(time_us % 1000000));
}

size_t lines_write(struct lines *l, enum lines_kind kind, enum lines_form form, int64_t time_us,
                   unsigned who, char out[LINES_MAX])
{
    struct text t;
    char when[WHEN_MAX], frame[LINES_MAX - 8];
    int n;

    write_text(l, kind, who != 0 ? who : number(l, 1, DYNOS + 1), &t);
    write_time(time_us, when);
    if (form == LINES_PRINTED)
        n = snprintf(out, LINES_MAX, "%s %s[%s]: %s\n", when, t.source, t.process, t.message);
    else {
        n = snprintf(frame, sizeof frame, "<%u>1 %s host %s %s - %s\n", t.priority, when, t.source,
                     t.process, t.message);
        n = snprintf(out, LINES_MAX, "%d %s", n, frame);
    }
    assert(n > 0 && n < LINES_MAX);
    return (size_t)n;
}
