/* Reads the clocks; called by the loops, the log and the commands. */
#include "common/app/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);

    assert(rc == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t clock_boot_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

struct clock_steady clock_steady_start(int64_t not_before_us)
{
    int64_t wall = clock_wall_us();

    return (struct clock_steady){(wall > not_before_us ? wall : not_before_us) - clock_boot_us()};
}

int64_t clock_steady_us(const struct clock_steady *clock)
{
    return clock->offset_us + clock_boot_us();
}
