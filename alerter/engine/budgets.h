/* The budgets of messages: which alerts of a rule get a message of their own, and which go into its
 * digest.
 *
 * A period begins with a rule's first alert after the last period, and lasts as long as the rule's
 * `messages` says. The first alerts of a period, as many as `messages` allows, get messages; the
 * others are withheld for a digest, which is due at the end of the period. The next period then
 * begins at once, as a storm: all its alerts are withheld. A period without a digest is the last
 * one of a storm.
 *
 * One app's alerts must not hide another app. So an alert gets a message although the budget is
 * spent if its app had few: in this period, and in a storm also in the last one, together no more
 * than `messages` allows. Up to BUDGETS_APPS alerts do in a period, so that many apps that fail at
 * once do not fill a channel. Half of them are for apps that had no alert before, so that a few
 * apps do not use all of them. Pure.
 *
 * Memory: 100 bytes a rule, a digest while one waits, and 170 for an app in a period. */
#ifndef DRAINWATCH_ALERTER_ENGINE_BUDGETS_H
#define DRAINWATCH_ALERTER_ENGINE_BUDGETS_H

#include "alerter/engine/app_times.h"
#include "alerter/engine/digest.h"
#include "alerter/engine/snapshot.h"
#include "common/record/wire.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BUDGETS_APPS = 10,       /* messages in a period beyond the rule's `messages` */
    BUDGETS_FURTHER = 5,     /* with fewer than these sent, also for an app's second alert */
    BUDGETS_APPS_MAX = 4096, /* apps that a rule remembers; the one that alerted first goes */
};

struct budget {
    int64_t starts_us; /* of the last period that began */
    int64_t ends_us;   /* 0: none began */
    uint64_t sent;     /* messages in it */
    uint64_t extra;    /* messages beyond the budget, of apps with few alerts */
    bool is_storm;
    struct app_times alerted; /* apps, with their alerts in this period */
    struct app_times before;  /* in a storm: in the last period */
    struct digest *digest;    /* NULL: nothing was withheld in it */
};

struct budgets {
    struct budget *list; /* one for each rule in force, in the order of the file */
    size_t n;
    int64_t next_us; /* when the first digest is due; INT64_MAX: none is */
};

int budgets_init(struct budgets *b, size_t n); /* 0 or ERR_NOMEM */
void budgets_close(struct budgets *b);         /* also if it is all zeros */

/* Whether an alert of this rule and app at this time gets a message, which is then counted. Digests
 * due by then must have been taken. Returns 1, 0 or ERR_NOMEM. */
int budgets_spend(struct budgets *b, size_t i, const struct rule *rule, const char *app,
                  int64_t at_us);

/* Puts an alert that budgets_spend just refused into the rule's digest. `before_us` is the time of
 * the group's alert before this one if it was withheld, else KEY_NEVER; `more` its matches since
 * then. Returns 0 or ERR_NOMEM. */
int budgets_withhold(struct budgets *b, size_t i, const struct wire_alert *alert, int64_t before_us,
                     uint64_t more);

/* The rule whose digest was due first, by `at_us` at the latest; SIZE_MAX: none. */
size_t budgets_due(const struct budgets *b, int64_t at_us);
size_t budgets_waiting(const struct budgets *b); /* digests */
/* Takes a rule's digest, which must exist, and begins the storm's next period. The caller frees
 * it. */
struct digest *budgets_take(struct budgets *b, size_t i, const struct rule *rule);
/* Moves the budget of a rule to other budgets. Of `from` only the list is good after that. */
void budgets_move(struct budgets *from, size_t i, struct budgets *to, size_t j);

/* Leaves out budgets whose period ended by `step_us`: they do not matter any more. */
void budgets_save(const struct budgets *b, const struct rules *rules, int64_t step_us,
                  struct snapshot_writer *out);
/* Into budgets just made. Returns 0, ERR_DAMAGED or ERR_NOMEM. */
int budgets_load(struct budgets *b, const struct rules *rules, int64_t step_us,
                 struct snapshot_reader *in);

#endif
