/* cmocka, with the headers that it wants before itself in the order that it wants them. */
#ifndef DRAINWATCH_TESTS_UNIT_UNIT_H
#define DRAINWATCH_TESTS_UNIT_UNIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/* Begins a test; few of them use `state`. */
#define UNIT_TEST(name) static void name(void **state __attribute__((unused)))

#endif
