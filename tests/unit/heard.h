/* Reads back the lines that a test logs or prints: heard_begin, the calls, heard_end. */
#ifndef DRAINWATCH_TESTS_UNIT_HEARD_H
#define DRAINWATCH_TESTS_UNIT_HEARD_H

#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

static int heard_pipe[2], heard_saved;
static FILE *heard_stream;

static inline void heard_begin_on(FILE *stream)
{
    fflush(stream);
    heard_stream = stream;
    heard_saved = dup(fileno(stream));
    assert_int_equal(pipe(heard_pipe), 0);
    dup2(heard_pipe[1], fileno(stream));
    close(heard_pipe[1]);
}

static inline void heard_begin(void)
{
    heard_begin_on(stderr);
}

/* The text is valid until the next call. */
static inline const char *heard_end(void)
{
    static char text[64 << 10];
    ssize_t n;

    fflush(heard_stream);
    dup2(heard_saved, fileno(heard_stream));
    close(heard_saved);
    n = read(heard_pipe[0], text, sizeof text - 1);
    close(heard_pipe[0]);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

#endif
