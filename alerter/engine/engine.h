/* The engine: what was fed to it decides what it alerts on, and nothing else does.
 *
 * Pure: time comes in as an argument, alerts come out as data. It owns windows, cooldowns, keys and
 * the memory of Frame-Ids. A key is (app, rule, group). The same inputs in the same order give the
 * same alerts, byte for byte, in whatever process, build or year.
 *
 * The app is the one that the rules give to the record's drain; where they give none (ingest
 * refuses such a drain, but its rules may have been others) the drain's own name stands for it, so
 * that no alert is lost. A rule with `apps` takes no match of another app. The group's values are
 * the process, and what the record says of the other keys of `group_by`, "" where it says nothing.
 *
 * A record that tells of lost lines marks its app: an alert is "at least" where the newest such
 * mark lies within the interval that it counts, or later. A mark's time is the receive time, judged
 * like that of a match. It is set before the record's own matches are judged.
 *
 * Memory: about 350 bytes an idle key, 16 to 24 for each further distinct millisecond in its window
 * (window.h; 36 while there are a dozen), 90 a Frame-Id, 160 an app that lost lines. */
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
    ENGINE_KEYS_MAX = 131072,       /* beyond this the key that was longest without a match goes */
    ENGINE_GROUPS_MAX = 4096,       /* of an app and rule; beyond it the stalest of them goes */
    ENGINE_APPS_MAX = 4096,         /* apps whose last loss is remembered; the stalest goes */
    ENGINE_KEY_TIMES_MAX = 65536,   /* distinct times of a key; beyond it the oldest two merge */
    ENGINE_TIMES_MAX = 8 << 20,     /* of all keys; beyond this keys go as beyond ENGINE_KEYS_MAX */
    ENGINE_FRAMES_PER_DRAIN = 8192, /* Frame-Ids remembered for a drain, for an hour at most */
    ENGINE_DRAINS_MAX = 4096,       /* drains whose Frame-Ids are remembered; the stalest goes */
    ENGINE_FRAMES_MAX = 2 << 20,    /* of all drains; beyond it drains go as well */
};
/* A line's own time counts where it is this near to the delivery's receive time or to the step
 * time, in either direction; else the receive time stands for it. A receive time that is further
 * than this ahead of the step time is a wrong clock's, and the step time stands for that. */
#define ENGINE_SKEW_MAX_US (INT64_C(3600) * 1000000)
#define ENGINE_FRAME_MEMORY_US (INT64_C(3600) * 1000000)
/* A key keeps what is younger than its rule's `within` and this before its newest match. */
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
    uint64_t records;  /* all that were fed, repeats too */
    uint64_t repeats;  /* records with a (drain, Frame-Id) that was taken within the last hour */
    uint64_t matches;  /* put into windows */
    uint64_t too_late; /* older than what their key still keeps */
    uint64_t skewed;   /* matches whose own time was too far off, so that the receive time stood
                          for it */
    uint64_t unknown_rule; /* matches of a rule that the rules in force do not have */
    uint64_t alerts;
    uint64_t cooled;         /* breaches that a cooldown kept from being alerts */
    uint64_t keys_dropped;   /* for want of room; not those of a rule that a reload took away */
    uint64_t groups_dropped; /* of a rule with too many groups; not counted in keys_dropped */
    uint64_t losses;         /* records that told of lost lines */
    /* What is held now. */
    size_t keys;
    size_t times;
    size_t drains;
    size_t frames;
};

/* The alerts of one step, in the order in which the record's matches first touched their keys. They
 * borrow from the engine (themselves, and what their rule says: valid until the next step or
 * engine_set_rules) and from the record (app, group's values, source, process, sample: valid while
 * it is). */
struct engine_alerts {
    const struct wire_alert *alerts;
    size_t n;
};

/* Makes an engine that has no rules, so that every match is unknown; NULL: no memory. `seed` is a
 * random number that goes into the hashes of its tables, so that nobody can make up names that
 * collide; nothing that is decided or saved depends on it. */
struct engine *engine_new(uint64_t seed);
void engine_free(struct engine *e); /* NULL is fine */

/* Sets other bounds, each at least 1 and at most the one above; what is held beyond them goes when
 * next touched. A saved engine does not remember its bounds. */
void engine_set_limits(struct engine *e, const struct engine_limits *limits);

/* Puts rules in force, from text as the journal records it. Windows and cooldowns of a rule whose
 * name and matching (source, process, field, match, unless, group_by) are unchanged stay; others
 * start empty. A longer `within` has what was kept under the shorter one. Returns 0, ERR_INPUT with
 * the old rules still in force, or ERR_NOMEM (likewise). */
int engine_set_rules(struct engine *e, const char *text, size_t len, struct err *err);

/* Whether this very text is in force, so that it need not be put there once more. */
bool engine_has_rules_text(const struct engine *e, const char *text, size_t len);

/* The rules in force, NULL while there are none; and one of them, NULL where there is none of this
 * name. Valid until the next engine_set_rules. */
const struct rules *engine_rules(const struct engine *e);
const struct rule *engine_rule(const struct engine *e, const char *name);

/* Takes one record at `step_us`, which must not be before the step before (it is raised to it).
 * Returns 0 or ERR_NOMEM, after which the engine must be thrown away. */
int engine_step(struct engine *e, const struct wire_record *record, int64_t step_us,
                struct engine_alerts *out);

struct engine_counts engine_counts(const struct engine *e);

/* The whole state as bytes, the rules' text among them, and an engine from them: what follows is
 * decided alike by both, and both save the same bytes. engine_save appends; it returns 0, ERR_FULL
 * (the buffer's ceiling; what stood in it stays) or ERR_NOMEM. engine_load takes bytes from
 * anywhere; it returns 0, ERR_VERSION (another form, or rules that this build refuses), ERR_DAMAGED
 * or ERR_NOMEM. Expect some 30 bytes and the names for an idle key, 2 to 4 for each further time,
 * 10 to 13 for a Frame-Id. */
int engine_save(const struct engine *e, struct buf *out);
int engine_load(struct engine **out, const void *bytes, size_t n, uint64_t seed, struct err *err);

#endif
