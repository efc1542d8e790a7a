/* Shows how far a long command is: one line on standard error, rewritten each second, if that is a
 * terminal. A command of less than two seconds shows nothing, and at the end the line is erased. */
#ifndef DRAINWATCH_COMMON_APP_PROGRESS_H
#define DRAINWATCH_COMMON_APP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what; /* borrowed: "scan", "replay" */
    bool is_shown;    /* standard error is a terminal */
    bool has_line;    /* to be erased */
    bool is_open;     /* the end of some input is unknown, so there is no total */
    uint64_t total;   /* bytes */
    uint64_t done;
    int64_t begin_us;
    int64_t next_us;
};

void progress_begin(struct progress *p, const char *what);
/* Adds the rest of this descriptor to the total. If one is no regular file, the total is unknown
 * and no share is shown. */
void progress_expect(struct progress *p, int fd);
void progress_add(struct progress *p, size_t bytes);
/* Erases the line. Call it before anything else is written to standard error. */
void progress_end(struct progress *p);

#endif
