/* What the oracle remembers of Frame-Ids: one list, gone through from end to end. */
#ifndef DRAINWATCH_TESTS_SIM_ORACLE_REPEATS_H
#define DRAINWATCH_TESTS_SIM_ORACLE_REPEATS_H

#include "tests/sim/oracle.h"

struct oracle_frame {
    char drain[ORACLE_NAME];
    char id[ORACLE_NAME];
    int64_t step_us;
};

struct oracle_repeats {
    struct oracle_frame *frames; /* in the order they were taken */
    size_t n;
};

/* Whether the frame is a repeat; if not, it is taken. Without an id nothing is compared. */
bool oracle_repeats_repeat(struct oracle_repeats *f, const char *drain, const char *id,
                           int64_t step_us, const struct engine_limits *limits);
void oracle_repeats_close(struct oracle_repeats *f);

#endif
