/* Shortens paths for group_by. excerpt calls it. */
#include "ingest/collect/path.h"

#include <string.h>

enum { UUID_BYTES = 36, HEX_MIN = 16 };

size_t path_len(const char *path, size_t n)
{
    const char *query = memchr(path, '?', n);

    return query != NULL ? (size_t)(query - path) : n;
}

static size_t count_of(const char *bytes, size_t n, const char *set)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += bytes[i] != '\0' && strchr(set, bytes[i]) != NULL;
    return count;
}

static bool is_uuid(const char *s, size_t n, size_t n_hex)
{
    return n == UUID_BYTES && n_hex == n - 4 && s[8] == '-' && s[13] == '-' && s[18] == '-' &&
           s[23] == '-';
}

static bool is_id(const char *s, size_t n)
{
    size_t digits = count_of(s, n, "0123456789");
    size_t hex = digits + count_of(s, n, "abcdefABCDEF");

    if (n == 0 || digits == 0)
        return false;
    return digits == n || (hex == n && n >= HEX_MIN) || is_uuid(s, n, hex);
}

int path_append_folded(const char *path, size_t n, struct buf *out)
{
    size_t start = 0;
    int rc = 0;

    while (rc == 0 && start < n) {
        const char *slash = memchr(path + start, '/', n - start);
        size_t end = slash != NULL ? (size_t)(slash - path) : n;

        rc = is_id(path + start, end - start) ? buf_puts(out, ":id")
                                              : buf_append(out, path + start, end - start);
        if (rc == 0 && slash != NULL)
            rc = buf_append(out, "/", 1);
        start = end + 1;
    }
    return rc;
}
