/* The only caller of the clock. Pure modules get their times from the shell that called here. */
#ifndef DRAINWATCH_COMMON_APP_CLOCK_H
#define DRAINWATCH_COMMON_APP_CLOCK_H

#include <stdint.h>

/* Microseconds since the epoch, UTC, as the machine believes; may be wrong and may be stepped. */
int64_t clock_wall_us(void);

/* Microseconds since some start that never goes back and goes on while the machine sleeps
 * (CLOCK_BOOTTIME): for timeouts, and for what must not be rushed or frozen by a stepped clock. */
int64_t clock_boot_us(void);

/* A clock for the times that the engine sees: begins at the wall clock, or at `not_before_us` where
 * that is later, and from then on only follows clock_boot_us. */
struct clock_steady {
    int64_t offset_us;
};

struct clock_steady clock_steady_start(int64_t not_before_us);
int64_t clock_steady_us(const struct clock_steady *clock);

#endif
