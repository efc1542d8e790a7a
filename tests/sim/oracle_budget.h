/* The budget of messages of one rule of the oracle: every alert that was withheld by itself. */
#ifndef DRAINWATCH_TESTS_ORACLE_BUDGET_H
#define DRAINWATCH_TESTS_ORACLE_BUDGET_H

#include "tests/sim/oracle.h"

enum { ORACLE_APPS_SEEN = 64 };

struct oracle_app_alerts {
    char app[ORACLE_NAME];
    uint64_t n, before; /* in this period, and in a storm in the last one */
};

struct oracle_held {
    char app[ORACLE_NAME];
    char values[ORACLE_GROUP_BY][ORACLE_NAME];
    int64_t at_us;
    uint64_t count;
    uint64_t more; /* 0: its group was not in the digest before */
    int64_t first_us, last_us;
};

struct oracle_budget {
    char rule[ORACLE_NAME];
    bool has_period;
    int64_t starts_us, ends_us;
    uint64_t sent;
    uint64_t extra;
    bool is_storm;
    struct oracle_app_alerts apps[ORACLE_APPS_SEEN];
    size_t n_apps;
    struct oracle_held *held;
    size_t n_held;
    struct oracle_held *told; /* of the last digest, which points to their texts */
};

void oracle_budget_close(struct oracle_budget *b);

/* Whether an alert of the app at this time gets a message, which is then counted. */
bool oracle_budget_spend(struct oracle_budget *b, const struct oracle_rule *rule, const char *app,
                         int64_t at_us);
/* Withholds an alert; the group's alert before it was at `before_us` and withheld,
 * and it had so many matches since. */
void oracle_budget_withhold(struct oracle_budget *b, const struct oracle_alert *alert,
                            bool withheld_before, int64_t before_us, uint64_t more);
/* The digest at this time; the budget then holds nothing and is in a storm. Its texts are valid
 * until the next digest of this budget. */
struct oracle_alert oracle_budget_digest(struct oracle_budget *b, const struct oracle_rule *rule,
                                         int64_t at_us);

#endif
