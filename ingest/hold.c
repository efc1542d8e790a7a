/* The rule for answers that wait for the database; called by spool.c. */
#include "ingest/hold.h"

enum request_kept hold_judge(bool is_safe, bool is_late, int64_t age_us)
{
    if (is_safe)
        return REQUEST_KEPT_DATABASE;
    return is_late || age_us >= HOLD_US ? REQUEST_KEPT_DISK : REQUEST_KEPT_NOWHERE;
}
