/* Logs what an operator should know while the alerter serves; the loop calls it each turn. */
#include "alerter/notices.h"

#include "alerter/deliver/wording.h"
#include "common/app/log.h"
#include "common/app/startup.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes: a rule's name and most groups are whole. */
enum { SUBJECT_MAX = 600, NAME_MAX_BYTES = 300 };

enum {
    COOLED_SHOWN = 3,      /* breaches within cooldowns, of one rule in a minute */
    DECIDED_MAX = 1 << 20, /* bytes of the lines of one turn; further lines are left out */
};

/* The breaches of a rule within cooldowns: a few get lines of their own, the others a sum. */
struct cooled {
    char rule[128];
    uint64_t n;       /* in the turn in hand */
    uint64_t shown;   /* lines in this minute, without the turn in hand */
    uint64_t held;    /* for the next sum */
    int64_t until_us; /* the end of the minute */
    int64_t sum_us;   /* the next sum is not before */
};

/* Takes a counter's new value. Returns how many of it to log now, 0 if none. */
static uint64_t due(struct notices_count *c, uint64_t count, int64_t now_us)
{
    uint64_t more = count > c->seen ? count - c->seen : 0; /* a restored engine counts from less */

    c->seen = count;
    return throttle_add(&c->throttle, more, now_us);
}

static void say_refused(struct notices *t, struct receiver *receiver, int64_t now_us)
{
    const char *refused = receiver_refused(receiver);

    if (refused[0] == '\0')
        (void)throttle_is_over(&t->refused, 0, now_us);
    else if (throttle_add(&t->refused, 1, now_us) > 0)
        log_error("records are NOT taken: %s", refused);
}

static void say_strangers(struct notices *t, struct receiver *receiver, const char *queue,
                          int64_t now_us)
{
    uint64_t n = due(&t->strangers, receiver_strangers(receiver), now_us);

    if (n > 0)
        log_warning(
            "%" PRIu64 " %s refused: %s", n,
            text_plural(n, "connection to the queue was", "connections to the queue were"),
            strncmp(queue, "tcp://", 6) == 0
                ? "the peer does not hold the secret, or is no ingest"
                : "the peer is no ingest; perhaps another alerter was started on this socket");
}

static void say_crowded(const struct engine *engine, uint64_t n)
{
    const char *rule, *app = engine_crowded(engine, &rule);

    log_warning("%" PRIu64 " %s forgotten to make room: app %s fills it with groups of rule %s; "
                "give that rule a group_by with fewer values or a shorter within",
                n, text_plural(n, "group was", "groups were"), app, rule);
}

static void say_engine(struct notices *t, const struct engine *engine, int64_t now_us)
{
    struct engine_counts counts = engine_counts(engine);
    uint64_t n = due(&t->unknown_rule, counts.unknown_rule, now_us);

    /* Both programs read the same file, unless one of them was not told that it changed. */
    if (n > 0)
        log_error("ignored %" PRIu64 " %s of rules that this alerter does not know: its rules file "
                  "is older than ingest's; send it SIGHUP, or restart it",
                  n, text_plural(n, "match", "matches"));
    n = due(&t->groups_dropped, counts.groups_dropped, now_us);
    if (n > 0)
        log_warning("%" PRIu64 " %s forgotten to make room: a rule's group_by has more "
                    "than %d values (group by a key with fewer)",
                    n, text_plural(n, "group was", "groups were"), ENGINE_GROUPS_MAX);
    n = due(&t->keys_dropped, counts.keys_dropped, now_us);
    if (n > 0)
        say_crowded(engine, n);
    n = due(&t->losses, counts.losses, now_us);
    if (n > 0)
        log_warning("%" PRIu64 " %s of lines that were lost on the way: alerts say "
                    "\"at least\" while their window reaches back to them",
                    n, text_plural(n, "delivery tells", "deliveries tell"));
}

/* "2 rules for shop", "12 rules for 3 apps" */
static void log_ready(const struct settings *settings, const struct rules *rules)
{
    const struct rules_list *apps = &rules->app_names;
    char several[32];

    snprintf(several, sizeof several, "%zu apps", apps->n);
    log_info("ready; %zu %s for %s; queue %s; %s", rules->n, text_plural(rules->n, "rule", "rules"),
             apps->n == 1 ? apps->items[0] : several, settings_queue_text(settings),
             !settings->enabled      ? "alerting is off, nothing is posted"
             : settings->slack_token ? "alerts go to Slack"
                                     : "SLACK_BOT_TOKEN is unset, alerts are printed");
}

void notices_init(struct notices *t)
{
    *t = (struct notices){0};
    buf_init(&t->decided, DECIDED_MAX);
    buf_init(&t->cooled, RULES_MAX * sizeof(struct cooled));
}

void notices_close(struct notices *t)
{
    buf_close(&t->decided);
    buf_close(&t->cooled);
}

void notices_begin(struct notices *t, const struct settings *settings, const struct engine *engine)
{
    struct engine_counts counts = engine_counts(engine);

    t->unknown_rule.seen = counts.unknown_rule;
    t->groups_dropped.seen = counts.groups_dropped;
    t->keys_dropped.seen = counts.keys_dropped;
    t->losses.seen = counts.losses;
    log_ready(settings, engine_rules(engine));
}

static struct cooled *each_cooled(const struct notices *t, size_t *n)
{
    *n = t->cooled.len / sizeof(struct cooled);
    return (void *)t->cooled.data;
}

void notices_forget(struct notices *t)
{
    size_t n;
    struct cooled *all = each_cooled(t, &n);

    buf_clear(&t->decided);
    for (size_t i = 0; i < n; i++)
        all[i].n = 0;
}

void notices_turn_failed(struct notices *t, const struct err *why, int64_t now_us)
{
    notices_forget(t);
    if (throttle_add_reason(&t->failing, why->text, now_us))
        log_error("nothing is recorded or decided, and ingest keeps its records meanwhile: %s",
                  why->text);
}

void notices_turn_went_well(struct notices *t, int64_t now_us)
{
    if (throttle_is_over(&t->failing, 0, now_us))
        log_info("records are taken again");
}

void notices_standby(struct notices *t, const struct storage_term *term)
{
    (void)t;
    if (term->holder[0] == '\0')
        log_info("standing by: no alerter is active yet");
    else
        log_info("standing by: %s %s", term->holder,
                 term->is_heard ? "is active" : "has the lease, but nothing is heard of it");
}

void notices_active(struct notices *t, const struct storage_term *term, int64_t now_us)
{
    char since[TIME_UTC_SIZE];

    (void)t;
    time_format_utc(now_us, since);
    if (term->holder[0] == '\0')
        log_info("active since %s", since);
    else
        log_info("active since %s, took over from %s, which %s", since, term->holder,
                 term->was_released ? "stopped" : "was gone or silent");
}

void notices_lost(struct notices *t, size_t dropped)
{
    t->failing = (struct throttle){0}; /* the last turn failed because of it */
    if (dropped == 0)
        log_warning("another alerter has taken over: this one stands by");
    else
        log_warning("another alerter has taken over: this one stands by; %zu %s dropped, which "
                    "the other one may post again",
                    dropped, text_plural(dropped, "post was", "posts were"));
}

void notices_began_anew(struct notices *t)
{
    t->failing = (struct throttle){0};
    log_warning("the database lost its newest commits, as a failover can do: this alerter goes on "
                "from the commits before them, so an alert of those moments may come twice");
}

void notices_cut(struct notices *t)
{
    t->failing = (struct throttle){0};
    log_warning("history was deleted from the database: windows and cooldowns start from the "
                "entries that are left, or empty if none is");
}

void notices_away(struct notices *t, const char *why, uint64_t waits, int64_t boot_us)
{
    char count[64] = "";

    if (!throttle_add_reason(&t->away, why, boot_us))
        return;
    if (waits > 0)
        snprintf(count, sizeof count, "; %" PRIu64 " %s", waits,
                 text_plural(waits, "alert waits", "alerts wait"));
    log_error("the database cannot be used, so nothing is decided or posted%s: %s", count, why);
}

void notices_back(struct notices *t, int64_t boot_us)
{
    if (throttle_is_over(&t->away, 0, boot_us))
        log_info("the database can be used again");
}

void notices_pooled(struct notices *t)
{
    startup_log_pooled(&t->is_pool_told);
}

void notices_read(struct notices *t, const char *why, bool may_take, int64_t boot_us)
{
    if (why == NULL) {
        if (throttle_is_over(&t->unread, 0, boot_us))
            log_info("the event stream can be read again");
    } else if (throttle_add_reason(&t->unread, why, boot_us)) {
        log_error("the event stream cannot be read%s: %s",
                  may_take ? "" : ", so this alerter does not take over from another one", why);
    }
}

void notices_say(struct notices *t, struct receiver *receiver, const struct engine *engine,
                 const char *queue, int64_t now_us)
{
    say_refused(t, receiver, now_us);
    say_strangers(t, receiver, queue, now_us);
    say_engine(t, engine, now_us);
}

/* ---- outcomes of the engine ---- */

static void add_line(struct notices *t, struct draft *line)
{
    (void)buf_printf(&t->decided, "%s\n", buf_text(&line->text));
    draft_close(line);
}

static void say_breach(struct draft *d, const struct wire_alert *alert)
{
    if (wire_is_digest(alert)) {
        wording_breach(d, alert);
        draft_say(d, " in ");
        wording_app(d, alert);
        return;
    }
    draft_say(d, "%s%" PRIu64 " (more than %" PRIu64 ") in ", wording_qualifier(alert),
              alert->count, alert->threshold);
    wording_app(d, alert);
    draft_say(d, ", %" PRIu64 " suppressed", alert->suppressed);
}

void notices_alert(struct notices *t, const struct wire_alert *alert)
{
    struct draft line = draft_begin(DRAFT_PRINT);

    draft_say(&line, "alert %s: ", alert->id);
    wording_subject(&line, alert, alert->rule, SUBJECT_MAX);
    draft_say(&line, ": ");
    say_breach(&line, alert);
    add_line(t, &line);
}

/* "05:55:10 UTC", with the date if that is a day or more away. */
static void say_until(struct draft *d, int64_t until_us, int64_t now_us)
{
    char text[TIME_UTC_SIZE];
    const size_t date = sizeof "2026-05-07 " - 1;

    time_format_utc(until_us, text);
    draft_say(d, "%s", until_us - now_us < 24 * TIME_HOUR ? text + date : text);
}

static void say_cooled(struct notices *t, const struct engine_cooled *cooled, int64_t now_us)
{
    const struct wire_alert alert = {
        .rule = cooled->rule, .group = cooled->group, .n_group = cooled->n_group};
    struct draft line = draft_begin(DRAFT_PRINT);

    draft_show(&line, cooled->app, NAME_MAX_BYTES);
    draft_say(&line, ": ");
    wording_subject(&line, &alert, cooled->rule, SUBJECT_MAX);
    draft_say(&line, " breached again, in cooldown until ");
    say_until(&line, cooled->until_us, now_us);
    add_line(t, &line);
}

/* Counts a breach of a rule; returns its breaches in this minute. */
static uint64_t count_cooled(struct notices *t, const char *rule, int64_t now_us)
{
    struct cooled one = {.n = 1, .until_us = now_us + TIME_MINUTE};
    size_t n;
    struct cooled *all = each_cooled(t, &n);

    for (size_t i = 0; i < n; i++) {
        if (strncmp(all[i].rule, rule, sizeof one.rule - 1) == 0)
            return all[i].shown + ++all[i].n;
    }
    snprintf(one.rule, sizeof one.rule, "%s", rule);
    (void)buf_append(&t->cooled, &one, sizeof one);
    return 1;
}

void notices_cooled(struct notices *t, const struct engine_cooled *cooled, int64_t now_us)
{
    if (count_cooled(t, cooled->rule, now_us) <= COOLED_SHOWN)
        say_cooled(t, cooled, now_us);
}

/* Ends the turn for a rule. Returns false once its minute is over and all is told. */
static bool sum_up(struct cooled *c, int64_t now_us)
{
    const uint64_t room = COOLED_SHOWN - c->shown, shown = c->n < room ? c->n : room;
    const bool is_over = c->n == 0 && now_us >= c->until_us;

    c->shown += shown;
    c->held += c->n - shown;
    c->n = 0;
    if (c->held == 0)
        return !is_over;
    if (now_us >= c->sum_us) {
        log_info("%s: and %" PRIu64 " more groups breached again in their cooldowns", c->rule,
                 c->held);
        c->held = 0;
        c->sum_us = now_us + TIME_MINUTE;
    }
    return true;
}

static void sum_up_all(struct notices *t, int64_t now_us)
{
    size_t n, kept = 0;
    struct cooled *all = each_cooled(t, &n);

    for (size_t i = 0; i < n; i++) {
        if (sum_up(&all[i], now_us))
            all[kept++] = all[i];
    }
    t->cooled.len = kept * sizeof *all;
}

void notices_decided(struct notices *t, int64_t now_us)
{
    char *line = (char *)t->decided.data;

    while (t->decided.len > 0 && *line != '\0') {
        char *end = strchr(line, '\n');

        *end = '\0';
        log_info("%s", line);
        line = end + 1;
    }
    sum_up_all(t, now_us);
    buf_clear(&t->decided);
}
