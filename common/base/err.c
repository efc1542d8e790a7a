/* Formats error messages; called everywhere. */
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return code;
}

int err_worse(int rc, int other)
{
    return rc == 0 || other == ERR_NOMEM ? other : rc;
}
