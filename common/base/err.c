/* Formats error messages; called everywhere. */
#include "common/base/err.h"

#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Libraries quote bytes of files in their messages. */
static void make_printable(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    while (*(text += text_utf8_len(text, strlen(text))) != '\0')
        *text = '?';
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    make_printable(err->text);
    return code;
}

int err_worse(int rc, int other)
{
    return rc == 0 || other == ERR_NOMEM ? other : rc;
}
