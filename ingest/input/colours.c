/* Takes terminal colours out of text; used by scan and by the readers of exported logs. */
#include "ingest/input/colours.h"

#include <stdbool.h>
#include <string.h>

enum { ESCAPE = 0x1b };

/* Moves past one byte of a sequence. Returns whether the byte is text. ECMA-48 section 5.4:
 * parameters are 0x20 to 0x3f, the last byte is 0x40 to 0x7e; any other byte ends the sequence. */
static bool is_text(struct colours *c, unsigned char byte)
{
    if (byte == ESCAPE) {
        c->place = COLOURS_ESCAPE;
        return false;
    }
    if (c->place == COLOURS_ESCAPE && byte == '[') {
        c->place = COLOURS_SEQUENCE;
        return false;
    }
    if (c->place == COLOURS_SEQUENCE && byte >= 0x20 && byte <= 0x3f)
        return false;
    if (c->place == COLOURS_SEQUENCE && byte >= 0x40 && byte <= 0x7e) {
        c->place = COLOURS_TEXT;
        return false;
    }
    c->place = COLOURS_TEXT;
    return true;
}

size_t colours_strip(struct colours *c, char *bytes, size_t n)
{
    const char *escape = c->place == COLOURS_TEXT ? memchr(bytes, ESCAPE, n) : bytes;
    size_t kept = escape != NULL ? (size_t)(escape - bytes) : n;

    for (size_t i = kept; i < n; i++) {
        if (is_text(c, (unsigned char)bytes[i]))
            bytes[kept++] = bytes[i];
    }
    return kept;
}
