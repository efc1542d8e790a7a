/* The engine: decides which alerts the events of the stream cause.
 *
 * Pure: time comes in as an argument, alerts go out as data. It owns windows, cooldowns, keys and
 * the memory of Frame-Ids. A key is (app, rule, group). The same events in the same order give the
 * same outcomes, byte for byte, in every process and build.
 *
 * The app is the one that the rules give to the record's drain. If they give none, the drain's own
 * name is the app, so that no alert is lost (ingest refuses such a drain, but may have had other
 * rules). A rule with `apps` takes no match of another app. A group's values are the process and
 * the record's values for the other keys of `group_by`, "" if the record has none.
 *
 * A record that reports lost lines marks its app with the record's receive time, before its own
 * matches are judged. An alert is "at least" if the newest mark lies within the interval that it
 * counts, or later.
 *
 * An alert is "arrived late" if a match that it may count had a time of its own that was over an
 * hour older than its delivery: then its first and last times may be times of arrival.
 *
 * A rule has a budget of messages (budgets.h), and each app of it that was quiet a message beyond
 * that. An alert without a message is decided like any other, with its cooldown, but no outcome
 * tells of it. It goes into the rule's digest, an alert of the kind
 * WIRE_DIGEST that is due when the period of the budget ends. Its id is a function of rule and
 * time.
 *
 * Time reaches the engine in events alone. If the engine waits for a time, engine_next_us returns
 * it. Each event first does all that is due at its time or before, at the time at which it was due,
 * and then acts. So the outcomes are the same whether a tick comes at that time, later, or not at
 * all before the next record.
 *
 * Memory: 80 bytes a rule and 700 a waiting digest, 160 for each app that a rule alerted of lately,
 * about 400 bytes an idle key, 16 to 24 for each further distinct millisecond in its window
 * (window.h names the exceptions), 90 a Frame-Id, 160 an app that lost lines. */
#ifndef DRAINWATCH_ALERTER_ENGINE_ENGINE_H
#define DRAINWATCH_ALERTER_ENGINE_ENGINE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/record/wire.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENGINE_KEYS_MAX = 131072,     /* beyond it keys of the app and rule with the most go */
    ENGINE_GROUPS_MAX = 4096,     /* of an app and rule; beyond it the stalest of them goes */
    ENGINE_APPS_MAX = 4096,       /* apps whose last loss is remembered; the stalest goes */
    ENGINE_KEY_TIMES_MAX = 65536, /* distinct times of a key; beyond it the oldest two merge */
    ENGINE_TIMES_MAX =
        8 << 20, /* of all keys; beyond it keys of the app and rule with the most go */
    ENGINE_FRAMES_PER_DRAIN = 8192, /* Frame-Ids remembered for a drain, for an hour at most */
    ENGINE_DRAINS_MAX = 4096,       /* drains whose Frame-Ids are remembered; the stalest goes */
    ENGINE_FRAMES_MAX = 2 << 20,    /* of all drains; beyond it the stalest drain goes */
};
/* A line's own time counts if it is this near to the delivery's receive time or to the step time,
 * before or after; else the receive time replaces it. A receive time that is further ahead of the
 * step time comes from a wrong clock, and the step time replaces it. */
#define ENGINE_SKEW_MAX_US (INT64_C(3600) * 1000000)
#define ENGINE_FRAME_MEMORY_US (INT64_C(3600) * 1000000)
/* A key keeps matches younger than its rule's `within` and this before its newest match. */
#define ENGINE_LATE_MAX_US (INT64_C(3600) * 1000000)

struct engine;

/* The bounds above, in this order. */
struct engine_limits {
    size_t keys;
    size_t groups;
    size_t apps;
    size_t key_times;
    size_t times;
    size_t frames_per_drain;
    size_t drains;
    size_t frames;
};

struct engine_counts {
    uint64_t records;      /* all, repeats too */
    uint64_t repeats;      /* records with a (drain, Frame-Id) that came within the last hour */
    uint64_t matches;      /* put into windows */
    uint64_t too_late;     /* older than their key's window reaches */
    uint64_t skewed;       /* matches that count at the receive time instead of their own */
    uint64_t unknown_rule; /* matches of a rule that the rules in force do not have */
    uint64_t alerts;       /* that got a message of their own */
    uint64_t cooled;       /* breaches within a cooldown */
    uint64_t
        keys_dropped; /* because there was no room; not keys of a rule that a reload took away */
    uint64_t groups_dropped; /* of a rule with too many groups; not counted in keys_dropped */
    uint64_t losses;         /* records that reported lost lines */
    uint64_t withheld;       /* alerts that went into a digest */
    uint64_t digests;
    /* Held now. */
    size_t keys;
    size_t times;
};

enum engine_event_kind {
    ENGINE_RECORD, /* the matches of one delivery */
    ENGINE_RULES,  /* the text of a rules file, to be in force from here on */
    ENGINE_TICK,   /* time passed */
};

struct engine_event {
    enum engine_event_kind kind;
    int64_t at_us; /* the step time. A record's must not be before the last one's; it is raised to
                      that. Rules and ticks act at once, whatever it says */
    union {
        const struct wire_record *record;
        struct wire_bytes rules;
    };
};

static inline struct engine_event engine_record_event(const struct wire_record *record,
                                                      int64_t at_us)
{
    return (struct engine_event){.kind = ENGINE_RECORD, .at_us = at_us, .record = record};
}

static inline struct engine_event engine_rules_event(const char *text, size_t len, int64_t at_us)
{
    return (struct engine_event){
        .kind = ENGINE_RULES, .at_us = at_us, .rules = {(const uint8_t *)text, len}};
}

static inline struct engine_event engine_tick_event(int64_t at_us)
{
    return (struct engine_event){.kind = ENGINE_TICK, .at_us = at_us};
}

/* The first breach of a key within a cooldown. No alert tells of it, so the log does. */
struct engine_cooled {
    const char *rule;
    const char *app;
    const struct wire_group *group;
    size_t n_group;
    int64_t until_us; /* the end of the cooldown, a step time */
};

/* The outcomes of one step. Digests that were due come first, in the order of their times. Alerts
 * stand in the order in which the record's matches first touched their keys. They borrow from the
 * engine (valid until the next step) and from the record (app, group's values, source, process,
 * sample). */
struct engine_outcomes {
    const struct wire_alert *alerts;
    size_t n_alerts;
    const struct engine_cooled *cooled;
    size_t n_cooled;
};

struct engine *engine_new(void);    /* NULL: no memory */
void engine_free(struct engine *e); /* NULL is fine */

/* Sets other bounds, each at least 1 and at most the one above. State beyond them goes when it is
 * next touched. A saved engine does not remember its bounds. */
void engine_set_limits(struct engine *e, const struct engine_limits *limits);

/* Takes one event; `event` is borrowed for the call.
 *
 * Rules keep the windows, cooldowns and budget of a rule whose name and matching (source, process,
 * field, match, unless, group_by, fold_ids) are unchanged; other rules start empty. A longer
 * `within` finds the matches that the shorter one kept. The digest of a rule that does not go on
 * comes at once.
 *
 * Returns 0; ERR_INPUT for rules with faults, which changes nothing; or ERR_NOMEM, after which an
 * engine that was taking a record or a tick must be thrown away. */
int engine_step(struct engine *e, const struct engine_event *event, struct engine_outcomes *out,
                struct err *err);

/* When the next tick is due: a tick before that time changes nothing. INT64_MAX: nothing waits. */
int64_t engine_next_us(const struct engine *e);

/* The text of the rules in force, empty before the first. Valid until the next step. */
struct wire_bytes engine_rules_text(const struct engine *e);
/* Whether exactly this text is in force. */
bool engine_has_rules_text(const struct engine *e, const char *text, size_t len);

/* The rules in force, NULL before the first; and one of them by its name, NULL if there is none.
 * Valid until the next step. */
const struct rules *engine_rules(const struct engine *e);
const struct rule *engine_rule(const struct engine *e, const char *name);

/* How one key stands. `values` are the values of its group, in the order of the rule's group_by. */
struct engine_key {
    const struct rule *rule;
    const char *app;
    const char *const *values;
    uint64_t count;          /* matches within the rule's window before the time asked for */
    uint64_t suppressed;     /* matches since its last alert */
    int64_t alerted_us;      /* step time of its last alert, or ENGINE_NEVER */
    int64_t cooldown_end_us; /* INT64_MIN if it never alerted */
    int64_t arrived_us;      /* step time of its last matches, ENGINE_NEVER if it is not known */
};
#define ENGINE_NEVER INT64_C(-1)

/* Calls `fn` for each key, as it stands at `now_us`; it changes nothing. `app` and the texts of
 * `values` are valid until the next step, the array during the call. */
typedef void engine_key_fn(void *ctx, const struct engine_key *key);
void engine_each_key(const struct engine *e, int64_t now_us, engine_key_fn *fn, void *ctx);

/* How the budget of a rule in force stands at `now_us`. */
struct engine_budget {
    uint64_t withheld;      /* alerts that wait for its digest */
    uint64_t groups;        /* of them: app and group, each once */
    int64_t digest_us;      /* when the digest comes; ENGINE_NEVER: nothing was withheld */
    int64_t storm_until_us; /* until then all alerts go into a digest; ENGINE_NEVER: no storm */
};
struct engine_budget engine_budget(const struct engine *e, const struct rule *rule, int64_t now_us);

struct engine_counts engine_counts(const struct engine *e);
/* The app, and the rule, of which keys_dropped counted keys last; "" if of none since the engine
 * was made. Valid until the next step. */
const char *engine_crowded(const struct engine *e, const char **rule);

/* The whole state as bytes, with the rules' text, and an engine from them: both decide alike from
 * there on and save the same bytes. engine_save appends; it returns 0, ERR_FULL (the buffer's
 * ceiling; its old content stays) or ERR_NOMEM. engine_load takes bytes from anywhere; it returns
 * 0, ERR_VERSION (another form, or rules that this build refuses), ERR_DAMAGED or ERR_NOMEM. Expect
 * some 40 bytes and the names for an idle key, 2 to 4 for each further time, 10 to 13 for a
 * Frame-Id. */
int engine_save(const struct engine *e, struct buf *out);
int engine_load(struct engine **out, const void *bytes, size_t n, struct err *err);

#endif
