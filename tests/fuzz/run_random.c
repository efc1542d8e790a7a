/* Runs a fuzz target over inputs made from a seed, each of up to 1,000 random bytes: the same ones
 * on every machine. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES = 1000 };

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* In a block of exactly its size, so that a sanitizer sees a read beyond it. */
static void run_one(uint64_t seed)
{
    uint64_t state = seed;
    size_t n = next_random(&state) % (INPUT_BYTES + 1);
    uint8_t *data = malloc(n > 0 ? n : 1);

    if (data == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)next_random(&state);
    if (n > 0)
        data[0] = UINT8_MAX; /* fuzz_match then makes rules of its own */
    LLVMFuzzerTestOneInput(data, n);
    free(data);
}

int main(int argc, char **argv)
{
    uint64_t first = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;

    if (n == 0) {
        fprintf(stderr, "usage: %s FIRST-SEED INPUTS\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (uint64_t i = 0; i < n; i++) {
        /* Said before, so that an assert that fails is seen with the seed that made it fail. */
        if (i % 100 == 0)
            printf("from seed %" PRIu64 "\n", first + i);
        fflush(stdout);
        run_one(first + i);
    }
    printf("%" PRIu64 " inputs\n", n);
    return EXIT_SUCCESS;
}
