/* What a digest tells of the alerts that got no message of their own: how many there were, their
 * matches, and the groups with the highest counts.
 *
 * A group (app and values of group_by) counts once in a digest; if it alerts again, only its
 * further matches are added. Each app has its worst group named before any has a second one, so
 * that no app stands behind another's groups; the apps with the most alerts are told, too. Pure.
 * Memory: about 600 bytes, the names of up to WIRE_WORST_MAX groups, and 160 bytes an app. */
#ifndef DRAINWATCH_ALERTER_ENGINE_DIGEST_H
#define DRAINWATCH_ALERTER_ENGINE_DIGEST_H

#include "alerter/engine/app_times.h"
#include "alerter/engine/snapshot.h"
#include "common/record/wire.h"
#include "common/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIGEST_APPS_MAX = 4096, /* apps that are told apart; beyond it their number is too low */
};

struct digest_group {
    char *names; /* the app and each value of the group, each with its zero */
    uint64_t count;
};

struct digest {
    int64_t since_us; /* step time of its first alert */
    uint64_t withheld;
    uint64_t groups;
    uint64_t matches;
    int64_t first_us; /* of the matches counted by its alerts */
    int64_t last_us;
    char *app;                                     /* of all alerts; NULL: there are several */
    struct app_times apps;                         /* with their alerts */
    struct digest_group worst[WIRE_WORST_MAX + 1]; /* the last is for a moment */
    size_t n_worst;
    struct digest *next; /* for the engine: of those told in the last step */
    /* What an alert made of it points to. */
    struct wire_worst shown[WIRE_WORST_MAX];
    struct wire_withheld by_app[WIRE_BY_APP_MAX];
    struct wire_group pairs[WIRE_WORST_MAX][RULES_GROUP_BY_MAX];
};

/* Makes a digest of its first alert. NULL: no memory. */
struct digest *digest_new(const struct wire_alert *alert);
void digest_free(struct digest *d); /* NULL is fine */

/* Adds an alert. `more` is 0 if its group is new; else it is the number of matches since the last
 * alert of the group, which is in the digest already. Returns 0 or ERR_NOMEM. */
int digest_add(struct digest *d, const struct wire_alert *alert, uint64_t more);

/* Fills an alert of that time, but for its period. It borrows from digest and rule. */
void digest_show(struct digest *d, const struct rule *rule, int64_t at_us, struct wire_alert *out);

void digest_save(const struct digest *d, const struct rule *rule, struct snapshot_writer *out);
/* Returns 0, ERR_DAMAGED (none of its alerts can be later than `step_us`) or ERR_NOMEM. */
int digest_load(struct digest **out, const struct rule *rule, int64_t step_us,
                struct snapshot_reader *in);

#endif
