/* Reads the machine's clocks. Only `common/pg` does, too, for its
 * deadlines; pure modules get their times as arguments. */
#ifndef DRAINWATCH_COMMON_APP_CLOCK_H
#define DRAINWATCH_COMMON_APP_CLOCK_H

#include <stdint.h>

/* Microseconds since the epoch, UTC, as the machine believes; may be wrong and may be stepped. */
int64_t clock_wall_us(void);

/* Microseconds of a clock that never goes back and goes on while the machine sleeps
 * (CLOCK_BOOTTIME): for timeouts, and for all that a stepped clock must not rush or freeze. */
int64_t clock_boot_us(void);

/* A clock for the times that the engine gets. It begins at the wall clock, or at `not_before_us` if
 * that is later, and then follows clock_boot_us alone. */
struct clock_steady {
    int64_t offset_us;
};

struct clock_steady clock_steady_start(int64_t not_before_us);
int64_t clock_steady_us(const struct clock_steady *clock);

#endif
