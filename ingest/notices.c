#include "ingest/notices.h"

#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/buf.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int64_t SAY_AGAIN_US = TIME_MINUTE;
/* A journal that is nearly full has room for one delivery and not for the next, many times a
 * second. */
static const int64_t SETTLED_US = 5 * TIME_S;
/* What waits so long for an ack is said: an alerter out of reach must not look like peace. */
static const int64_t UNACKED_US = 30 * TIME_S;

/* True where it is to be said now that the trouble is there. */
static bool trouble_due(struct trouble *t, int64_t now_us)
{
    t->now = true;
    t->last_us = now_us;
    if (t->said && now_us < t->say_again_us)
        return false;
    t->said = true;
    t->say_again_us = now_us + SAY_AGAIN_US;
    return true;
}

/* True where it is to be said that the trouble is over, which it is after so long without it. */
static bool trouble_settled(struct trouble *t, int64_t quiet_us, int64_t now_us)
{
    if (!t->said || t->now || now_us - t->last_us < quiet_us)
        return false;
    t->said = false;
    return true;
}

/* ---- what came in ---- */

static void print_receipt(char line[RECEIPT_SIZE])
{
    size_t n = strlen(line);

    line[n] = '\n';
    (void)process_write(STDOUT_FILENO, line, n + 1); /* nobody reads: nobody misses it */
    line[n] = '\0';
}

void notices_receipt(struct notices *n, uint64_t lines, int64_t now_us)
{
    char line[RECEIPT_SIZE];

    if (receipt_add(&n->receipt, lines, now_us, line))
        print_receipt(line);
}

void notices_damage(struct notices *n, const char *drain, uint64_t frames, bool body,
                    int64_t now_us)
{
    char line[DAMAGE_SIZE];

    if (damage_add(&n->damage, drain, frames, body, now_us, line))
        log_warning("%s", line);
}

void notices_sums(struct notices *n, int64_t now_us, bool all)
{
    char receipt[RECEIPT_SIZE], damage[DAMAGE_SIZE];

    if (receipt_due(&n->receipt, now_us, all, receipt))
        print_receipt(receipt);
    while (damage_due(&n->damage, now_us, all, damage))
        log_warning("%s", damage);
}

int64_t notices_next_us(const struct notices *n)
{
    int64_t receipt_us = receipt_next_us(&n->receipt), damage_us = damage_next_us(&n->damage);

    return receipt_us < damage_us ? receipt_us : damage_us;
}

/* ---- what lasts ---- */

void notices_alerter(struct notices *n, const struct sender_health *health, int64_t now_us)
{
    if (health->ok && health->waiting_us < UNACKED_US) {
        n->alerter_away.now = false;
        if (trouble_settled(&n->alerter_away, 0, now_us))
            log_info("the alerter answers again");
        return;
    }
    /* At a common start the alerter may come a little later. */
    if (now_us - n->started_us < SENDER_SILENCE_US)
        return;
    if (!trouble_due(&n->alerter_away, now_us))
        return;
    if (health->ok)
        log_error("%" PRIu64 " records wait for the alerter's ack, none came for %lld s",
                  health->waiting, (long long)(health->waiting_us / TIME_S));
    else
        log_error("%s; no alert is sent while this lasts", health->reason);
}

void notices_journal_failed(struct notices *n, const struct err *err, int64_t now_us)
{
    snprintf(n->journal_error, sizeof n->journal_error, "%s", err->text);
    if (trouble_due(&n->journal_bad, now_us))
        log_error("deliveries with matches are answered 503: %s", err->text);
}

void notices_journal_worked(struct notices *n)
{
    n->journal_bad.now = false;
}

const char *notices_journal_fault(const struct notices *n)
{
    return n->journal_bad.now ? n->journal_error : NULL;
}

void notices_journal(struct notices *n, int64_t now_us)
{
    if (trouble_settled(&n->journal_bad, SETTLED_US, now_us))
        log_info("the journal takes records again");
}

/* "2 rules for shop, web and 4 more apps" */
void notices_rules(const char *what, const struct rules *rules, const char *queue)
{
    enum { NAMED_MAX = 8 };
    const struct rules_list *apps = &rules->app_names;
    struct buf names;

    buf_init(&names, 4096);
    for (size_t i = 0; i < apps->n && i < NAMED_MAX; i++) {
        if (buf_printf(&names, "%s%s", i > 0 ? ", " : "", apps->items[i]) != 0)
            break;
    }
    if (apps->n > NAMED_MAX)
        (void)buf_printf(&names, " and %zu more apps", apps->n - NAMED_MAX);
    log_info("%s; %zu rule%s for %s%s; queue %s", what, rules->n, rules->n == 1 ? "" : "s",
             buf_text(&names), rules->app == NULL ? ", other drains are refused" : "", queue);
    buf_close(&names);
}
