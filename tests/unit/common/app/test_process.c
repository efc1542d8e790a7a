#include "tests/unit/unit.h"

#include "common/app/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static int variable = 1;
static const char *const relocated[] = {"one", "two", "three"};

/* Pages of files that are mapped here. */
static long file_pages(void)
{
    long size, resident, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld %ld", &size, &resident, &shared), 3);
    fclose(file);
    return shared;
}

static void test_pages_of_code_are_given_back_and_what_was_written_stays(void **state)
{
    static int zeroed;
    const char *name = relocated[1];
    char *text = strdup("kept");
    long before;

    (void)state;
    variable = zeroed = 2;
    assert_int_equal(setenv("DRAINWATCH_TEST_PROCESS", "kept", 1), 0);
    before = file_pages();
    for (int i = 0; i < 3; i++)
        process_forget_start();
    assert_true(file_pages() < before);
    assert_int_equal(variable, 2);
    assert_int_equal(zeroed, 2);
    assert_string_equal(text, "kept");
    assert_string_equal(getenv("DRAINWATCH_TEST_PROCESS"), "kept");
    assert_ptr_equal(relocated[1], name);
    assert_string_equal(name, "two");
    free(text);
}

static void *work(void *ctx)
{
    atomic_bool *over = ctx;
    uint64_t rounds = 0;

    while (!atomic_load(over)) {
        char text[64];
        void *block = malloc(1000);

        snprintf(text, sizeof text, "%.3f", 1.5);
        free(block);
        if (strcmp(text, "1.500") != 0 || crc32(0, (const Bytef *)"123456789", 9) != 0xcbf43926)
            return NULL;
        rounds++;
    }
    return (void *)(uintptr_t)rounds;
}

static void test_another_thread_may_be_running(void **state)
{
    atomic_bool over = false;
    pthread_t thread;
    void *rounds;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, work, &over), 0);
    for (int i = 0; i < 200; i++)
        process_forget_start();
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, &rounds), 0);
    assert_non_null(rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_of_code_are_given_back_and_what_was_written_stays),
        cmocka_unit_test(test_another_thread_may_be_running),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
