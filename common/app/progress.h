/* How far a long command is: one line on standard error, rewritten each second, where that is a
 * terminal. Nothing is shown of what takes less than two seconds, and nothing stays. */
#ifndef DRAINWATCH_COMMON_APP_PROGRESS_H
#define DRAINWATCH_COMMON_APP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what; /* borrowed: "scan", "replay" */
    bool is_shown;    /* standard error is a terminal */
    bool has_line;    /* which is to be erased */
    bool is_open;     /* some input has no end that is known, so there is no total */
    uint64_t total;   /* bytes */
    uint64_t done;
    int64_t begin_us;
    int64_t next_us;
};

void progress_begin(struct progress *p, const char *what);
/* What this descriptor holds from its position on is to come, too. Where one is no regular file,
 * how much there is in all is not known, and no share is shown. */
void progress_expect(struct progress *p, int fd);
void progress_add(struct progress *p, size_t bytes);
/* Erases the line. Also before anything else is written on standard error. */
void progress_end(struct progress *p);

#endif
