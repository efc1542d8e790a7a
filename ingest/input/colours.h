/* Takes terminal colours (ESC [ … m, and other control sequences of that form) out of a stream of
 * text, as `heroku logs --force-colors` and many loggers write them. Pure. */
#ifndef DRAINWATCH_INGEST_INPUT_COLOURS_H
#define DRAINWATCH_INGEST_INPUT_COLOURS_H

#include <stddef.h>

/* All zeros at the beginning of a stream. */
struct colours {
    enum { COLOURS_TEXT, COLOURS_ESCAPE, COLOURS_SEQUENCE } place; /* where the last chunk ended */
};

/* Works in place and returns the new length, which is never larger. */
size_t colours_strip(struct colours *c, char *bytes, size_t n);

#endif
