/* Prints and logs ingest's news; called by the loop. */
#include "ingest/notices.h"

#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/app/startup.h"
#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A journal that is nearly full has room for one delivery and not for the next, many times a
 * second. */
static const int64_t QUIET_US = 5 * TIME_S;
/* An alerter that cannot be reached must not look like peace. */
static const int64_t UNACKED_US = 30 * TIME_S;
/* A restart of the database takes 0.3 s, and nobody need read of that. In a flood a push to a busy
 * database takes longer. */
static const int64_t ALONE_US = 5 * TIME_S;

void notices_init(struct notices *n, const char *folder, int64_t now_us)
{
    *n = (struct notices){.folder = folder, .started_us = now_us};
    receipts_init(&n->receipts);
}

/* ---- deliveries ---- */

static void print_receipt(char line[RECEIPTS_SIZE])
{
    size_t n = strlen(line);

    line[n] = '\n';
    (void)process_write(STDOUT_FILENO, line, n + 1); /* nobody may be reading, and nobody waits */
}

void notices_receipt(void *ctx, uint64_t lines, uint64_t frame)
{
    struct notices *n = ctx;
    char line[RECEIPTS_SIZE];

    if (receipts_add(&n->receipts, lines, frame, clock_boot_us(), line))
        print_receipt(line);
}

void notices_damage(void *ctx, const char *drain, uint64_t frames, bool body)
{
    struct notices *n = ctx;
    char text[DAMAGE_SIZE];

    if (damage_add(&n->damage, drain, frames, body, clock_boot_us(), text))
        log_warning("%s", text);
}

static void say_sums(struct notices *n, int64_t now_us, bool all)
{
    char line[RECEIPTS_SIZE], text[DAMAGE_SIZE];

    if (receipts_due(&n->receipts, now_us, all, line))
        print_receipt(line);
    while (damage_due(&n->damage, now_us, all, text))
        log_warning("%s", text);
}

int64_t notices_next_us(const struct notices *n)
{
    return throttle_next_us(&n->receipts.throttle);
}

/* ---- faults that last ---- */

/* Returns true if the fault is to be logged now. */
static bool add_fault(struct notices_fault *f, const struct err *failed, int64_t now_us)
{
    f->lasts = failed != NULL;
    if (failed == NULL)
        return false;
    f->last = *failed;
    return throttle_add(&f->throttle, 1, now_us) > 0;
}

void notices_write(struct notices *n, const struct err *failed, int64_t now_us)
{
    if (add_fault(&n->writing, failed, now_us))
        log_error("deliveries with matches are answered 503: %s", failed->text);
}

void notices_send(struct notices *n, const struct err *failed, int64_t now_us)
{
    if (add_fault(&n->sending, failed, now_us))
        log_error("records that deliveries left in the journal cannot be sent to the alerter: %s; "
                  "they stay there until they can",
                  failed->text);
}

/* ---- the database ---- */

void notices_set_alone(struct notices *n, uint64_t records, int64_t since_us,
                       const struct sender_health *health, int64_t now_us)
{
    struct notices_alone *a = &n->alone;

    a->records = records;
    a->since_us = since_us;
    a->now_us = now_us;
    snprintf(a->why, sizeof a->why, "%s", health->fault);
}

static bool is_alone(const struct notices_alone *a)
{
    return a->records > 0 && a->now_us - a->since_us >= ALONE_US;
}

static void write_alone(const struct notices_alone *a, char *text, size_t size)
{
    char words[TIME_WORDS_SIZE], count[TEXT_COUNT_SIZE];

    text_format_count(a->records, count);
    time_format_words((a->now_us - a->since_us) / TIME_S * TIME_S, words);
    snprintf(text, size, "%s %s in the local journal alone, %s%s%s%s", count,
             text_plural(a->records, "record is", "records are"),
             a->why[0] == '\0' ? "because the database has been late or away for " : "for ", words,
             a->why[0] == '\0' ? "" : " now, because ", a->why);
}

/* ": a detail", for the log. */
static const char *before(const char *detail)
{
    return detail[0] == '\0' ? "" : ": ";
}

static void say_alone(struct notices_alone *a, const char *detail, int64_t now_us)
{
    char text[2 * SENDER_REASON_SIZE];

    if (is_alone(a) && throttle_add_reason(&a->throttle, detail, now_us)) {
        write_alone(a, text, sizeof text);
        log_warning("%s%s%s; mend that before this disk is lost", text, before(detail), detail);
    } else if (a->records == 0 && throttle_is_over(&a->throttle, QUIET_US, now_us)) {
        log_info("the database has the records of all deliveries again");
    }
}

static void say_taken_back(struct notices *n, const struct sender_health *health)
{
    const uint64_t again = health->taken_back - n->taken_back, lost = health->lost - n->lost;
    char count[TEXT_COUNT_SIZE];

    text_format_count(again, count);
    if (again > 0)
        log_warning("the database lost %s %s that it had taken, as in a failover; they "
                    "are still here and are sent again",
                    count, text_plural(again, "record", "records"));
    text_format_count(lost, count);
    if (lost > 0)
        log_error("the database lost %s %s that it had taken and that are not kept here any more: "
                  "alerts that were not decided before that may be missing",
                  count, text_plural(lost, "record", "records"));
    n->taken_back = health->taken_back;
    n->lost = health->lost;
}

/* An error of a file without its folder, which is not for everybody who asks. */
static const char *without_folder(const struct notices *n, const struct err *err)
{
    size_t len = strlen(n->folder);
    bool begins = strncmp(err->text, n->folder, len) == 0 && err->text[len] == '/';

    return err->text + (begins ? len + 1 : 0);
}

bool notices_is_healthy(const struct notices *n, char *reason, size_t size)
{
    bool is_well = false;

    if (n->writing.lasts)
        snprintf(reason, size, "%s", without_folder(n, &n->writing.last));
    else if (n->sending.lasts)
        snprintf(reason, size, "records cannot be sent to the alerter: %s",
                 without_folder(n, &n->sending.last));
    else if (is_alone(&n->alone))
        write_alone(&n->alone, reason, size);
    else
        is_well = true;
    return is_well;
}

static bool is_over(struct notices_fault *f, int64_t now_us)
{
    return !f->lasts && throttle_is_over(&f->throttle, QUIET_US, now_us);
}

static void say_well(const struct notices *n, const char *peer)
{
    static const char *const well[] = {
        [SENDER_WELL] = "acks records again", [SENDER_REFUSED] = "takes the records again",
        [SENDER_IDLE] = "is active again",    [SENDER_BLOCKED] = "takes the records again",
        [SENDER_SILENT] = "answers again",
    };

    log_info("%s %s",
             n->away_state == SENDER_IDLE      ? "an alerter"
             : n->away_state == SENDER_REFUSED ? "the alerter"
                                               : peer,
             well[n->away_state]);
}

/* Another fault, or another cause of one, is news. */
static bool is_news(struct notices *n, const struct sender_health *health, int64_t now_us)
{
    char reason[sizeof(struct err) + 8] = "";

    if (health->detail[0] != '\0' || health->state != n->away_state)
        snprintf(reason, sizeof reason, "%d %s", (int)health->state, health->detail);
    if (!throttle_add_reason(&n->alerter_away, reason, now_us))
        return false;
    n->away_state = health->state;
    return true;
}

static void say_alerter(struct notices *n, const struct sender_health *health, int64_t now_us)
{
    if (health->ok && health->waiting_us < UNACKED_US) {
        if (throttle_is_over(&n->alerter_away, 0, now_us))
            say_well(n, health->peer);
        return;
    }
    /* At a common start the alerter may come a little later. */
    if (now_us - n->started_us < SENDER_SILENCE_US || is_alone(&n->alone) ||
        !is_news(n, health, now_us))
        return;
    if (health->ok)
        log_error("%" PRIu64 " %s for %s's ack, none came for %" PRId64 " s", health->waiting,
                  text_plural(health->waiting, "record waits", "records wait"), health->peer,
                  health->waiting_us / TIME_S);
    else
        log_error("%s%s%s; no alert is sent while this lasts%s%s", health->reason,
                  before(health->detail), health->detail,
                  health->address != NULL ? "; its address: " : "",
                  health->address != NULL ? health->address : "");
}

void notices_say(struct notices *n, const struct sender_health *health, int64_t now_us)
{
    say_sums(n, now_us, false);
    say_alone(&n->alone, health->detail, now_us);
    say_taken_back(n, health);
    if (health->is_pooled)
        startup_log_pooled(&n->is_pool_told);
    say_alerter(n, health, now_us);
    if (is_over(&n->writing, now_us))
        log_info("the journal takes records again");
    if (is_over(&n->sending, now_us))
        log_info("the journal's records are sent to the alerter again");
}

void notices_flush(struct notices *n, int64_t now_us)
{
    say_sums(n, now_us, true);
}

/* ---- rules ---- */

/* "2 rules for shop, web and 4 more apps" */
void notices_rules(const char *event, const struct rules *rules, const char *queue)
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
        (void)buf_printf(&names, " and %zu more %s", apps->n - NAMED_MAX,
                         text_plural(apps->n - NAMED_MAX, "app", "apps"));
    log_info("%s; %zu %s for %s%s; queue %s", event, rules->n,
             text_plural(rules->n, "rule", "rules"), buf_text(&names),
             rules->app == NULL ? ", other drains are refused" : "", queue);
    buf_close(&names);
}
