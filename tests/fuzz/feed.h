/* What the fuzz targets share: values taken from an input, blocks of exactly their size, and checks
 * of texts that people read. */
#ifndef DRAINWATCH_TESTS_FUZZ_FEED_H
#define DRAINWATCH_TESTS_FUZZ_FEED_H

#include "common/base/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The rest of an input. An empty one gives zeros and empty texts. */
struct feed {
    const uint8_t *data;
    size_t n;
};

static inline unsigned feed_choice(struct feed *f, unsigned choices)
{
    unsigned byte = f->n > 0 ? *f->data : 0;

    f->data += f->n > 0;
    f->n -= f->n > 0;
    return byte % choices;
}

static inline uint64_t feed_u64(struct feed *f)
{
    unsigned n = feed_choice(f, 9);
    uint64_t number = 0;

    for (unsigned i = 0; i < n; i++)
        number = number << 8 | feed_choice(f, 256);
    return number;
}

/* The next `n` bytes, or as many as there are. */
static inline struct feed feed_part(struct feed *f, size_t n)
{
    struct feed part = {f->data, n < f->n ? n : f->n};

    f->data += part.n;
    f->n -= part.n;
    return part;
}

/* The bytes up to a zero byte or the end, as a text in a block of exactly its size. */
static inline char *feed_text(struct feed *f)
{
    size_t n = strnlen((const char *)f->data, f->n);
    char *text = malloc(n + 1);

    assert(text != NULL);
    if (n > 0)
        memcpy(text, f->data, n);
    text[n] = '\0';
    (void)feed_part(f, n + 1);
    return text;
}

/* A copy in a block of exactly its size, so that a sanitizer sees a read beyond it. */
static inline void *feed_copy(const void *bytes, size_t n)
{
    void *copy = malloc(n > 0 ? n : 1);

    assert(copy != NULL);
    if (n > 0)
        memcpy(copy, bytes, n);
    return copy;
}

/* A folder in memory if there is one: a disk would take most of the time. Call it before
 * scratch_make. */
static inline void feed_use_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

/* Whether a text is UTF-8 without control bytes other than newlines. */
static inline bool feed_is_shown(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f)
            return false;
    }
    return text_is_utf8(text, n);
}

static inline void feed_check_line(const char *text)
{
    assert(feed_is_shown(text, strlen(text)) && strchr(text, '\n') == NULL);
}

#endif
