/* Scans a raw chunk once and finds the lines that may match. The matcher calls it. */
#include "ingest/match/candidates.h"

#include "common/base/err.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                  void *context)
{
    struct candidates *c = context;
    uint64_t hit = (to - 1) << 32 | id;

    (void)from, (void)flags;
    if (to == 0)
        return 0;
    if (c->n_hits == CANDIDATES_HITS_MAX)
        return 1;
    c->sorted &= c->n_hits == 0 || c->hits[c->n_hits - 1] <= hit;
    c->hits[c->n_hits++] = hit;
    return 0;
}

static int compare_hits(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* A match within a line ends within it, and the pass reports every end (no SINGLEMATCH). So each
 * line has a report for everything that it may match, whatever stands beside it. */
int candidates_scan(struct candidates *c, const struct hs_database *pass,
                    struct hs_scratch *scratch, const char *bytes, size_t n)
{
    hs_error_t rc;

    assert(n <= UINT32_MAX);
    c->n = c->n_hits = 0;
    c->sorted = true;
    rc = hs_scan(pass, bytes, (unsigned)n, 0, scratch, on_hit, c);
    if (rc == HS_SCAN_TERMINATED)
        return ERR_FULL;
    if (rc != HS_SUCCESS)
        return ERR_IO;
    if (!c->sorted)
        qsort(c->hits, c->n_hits, sizeof *c->hits, compare_hits);
    for (size_t i = 0; i < c->n_hits; i++)
        c->ends[i] = (uint32_t)(c->hits[i] >> 32);
    c->bytes = bytes;
    c->n = n;
    return 0;
}

void candidates_forget(struct candidates *c)
{
    c->n = 0;
}

bool candidates_cover(const struct candidates *c, const char *at)
{
    return c->n > 0 && (uintptr_t)at >= (uintptr_t)c->bytes &&
           (uintptr_t)at - (uintptr_t)c->bytes < c->n;
}

static size_t find_all(struct candidates *c, size_t n)
{
    for (uint32_t i = 0; i < n; i++)
        c->found[i] = (struct candidate){.line = i};
    return n;
}

size_t candidates_find(struct candidates *c, const char *region, const struct line_span *lines,
                       size_t n, const struct candidate **out)
{
    size_t at, line = 0, n_found = 0;

    assert(n <= LINE_BATCH_MAX);
    *out = c->found;
    if (!candidates_cover(c, region))
        return find_all(c, n);
    at = (size_t)(region - c->bytes);
    for (uint32_t i = 0; i < c->n_hits && line < n; i++) {
        if (c->ends[i] < at)
            continue;
        while (line < n && c->ends[i] - at >= (size_t)lines[line].start + lines[line].len)
            line++;
        if (line == n || c->ends[i] - at < lines[line].start)
            continue; /* it ends between two lines */
        if (n_found == 0 || c->found[n_found - 1].line != line)
            c->found[n_found++] = (struct candidate){.line = (uint32_t)line, .first = i};
        c->found[n_found - 1].n++;
    }
    return n_found;
}
