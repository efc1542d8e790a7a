/* One secret: its bytes as the operator wrote them, borrowed and without a final zero. Pure. */
#ifndef DRAINWATCH_COMMON_BASE_SECRET_H
#define DRAINWATCH_COMMON_BASE_SECRET_H

#include <stddef.h>

struct secret {
    const char *bytes;
    size_t len;
};

#endif
