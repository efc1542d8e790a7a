/* An alert, and checks of the text that it becomes: for the tests of its forms. */
#ifndef DRAINWATCH_TESTS_UNIT_ALERTER_DELIVER_AN_ALERT_H
#define DRAINWATCH_TESTS_UNIT_ALERTER_DELIVER_AN_ALERT_H

#include "tests/unit/unit.h"

#include "common/base/buf.h"
#include "common/base/time.h"
#include "common/record/wire.h"

#include <string.h>

#define AT (INT64_C(1778141172) * TIME_S) /* 2026-05-07 08:06:12 UTC */
#define LINE "at=error code=H12 desc=\"Request timeout\" path=\"/slow\""

static inline struct wire_bytes bytes(const char *text)
{
    return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static inline struct wire_alert an_alert(void)
{
    return (struct wire_alert){
        .id = "0123456789abcdef",
        .kind = "breach",
        .rule = "h12-request-timeout",
        .app = "raxx-console-prod",
        .at_us = AT,
        .count = 6,
        .window_us = 5 * TIME_MINUTE,
        .threshold = 3,
        .first_us = AT - 90 * TIME_S,
        .last_us = AT - TIME_S,
        .title = "H12 request timeouts",
        .runbook = "docs/ops/runbooks/console-status-poller.md — Failure mode H",
        .channel = "D0AJ7K184TV",
        .source = "heroku",
        .process = "router",
        .sample = bytes(LINE),
    };
}

/* A digest of two groups of one app. */
static inline struct wire_alert a_digest(void)
{
    static const struct wire_group paths[] = {{"path", "/a<b"}, {"path", ""}};
    static const struct wire_worst worst[] = {{"raxx-console-prod", &paths[0], 1, 1234567},
                                              {"raxx-console-prod", &paths[1], 1, 1}};
    struct wire_alert a = an_alert();

    a.kind = WIRE_DIGEST;
    a.title = a.rule = "server-errors";
    a.source = a.process = "";
    a.sample = bytes("");
    a.window_us = TIME_MINUTE;
    a.threshold = 10;
    a.count = 1300000;
    a.withheld = 2000;
    a.groups = 1995;
    a.period_us = TIME_MINUTE;
    a.worst = worst;
    a.n_worst = 2;
    return a;
}

static const struct wire_group GROUP[] = {{"process", "web.3"}, {"path", "/a<b"}, {"user", ""}};

static inline void assert_says(const struct buf *all, const char *text)
{
    if (strstr(buf_text(all), text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, buf_text(all));
}

static inline void assert_silent(const struct buf *all, const char *text)
{
    if (strstr(buf_text(all), text) != NULL)
        fail_msg("\"%s\" is in:\n%s", text, buf_text(all));
}

#endif
