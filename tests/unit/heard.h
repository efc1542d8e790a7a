/* Reads back the lines that a test logs: heard_begin, the calls, heard_end. */
#ifndef DRAINWATCH_TESTS_UNIT_HEARD_H
#define DRAINWATCH_TESTS_UNIT_HEARD_H

#include "tests/unit/unit.h"

#include <unistd.h>

static int heard_pipe[2], heard_saved;

static void heard_begin(void)
{
    heard_saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(heard_pipe), 0);
    dup2(heard_pipe[1], STDERR_FILENO);
    close(heard_pipe[1]);
}

/* The text is valid until the next call. */
static const char *heard_end(void)
{
    static char text[64 << 10];
    ssize_t n;

    dup2(heard_saved, STDERR_FILENO);
    close(heard_saved);
    n = read(heard_pipe[0], text, sizeof text - 1);
    close(heard_pipe[0]);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

#endif
