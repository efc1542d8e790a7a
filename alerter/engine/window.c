/* Counts matches in a sliding window. Called by keys and judge. */
#include "alerter/engine/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct window_time {
    int64_t ms;
    uint64_t sum; /* matches at this time and before it, ever; without the block's `added` */
};

struct window_block {
    struct window_time *times;
    uint32_t n;
    int64_t end_ms; /* its last time */
    uint64_t added; /* matches put before the block's times later than them */
};

/* A late match moves up to one block of times and counts in the blocks behind it. */
enum { FIRST_TIMES = 4, BLOCK_TIMES = 256 };

/* No difference of two such times overflows. */
#define MS_MAX (INT64_MAX / 1000)

/* Where a time stands. The end is behind the last time of the last block. */
struct place {
    uint32_t block;
    uint32_t i;
};

void window_init(struct window *w)
{
    *w = (struct window){.merged_ms = INT64_MIN};
}

void window_close(struct window *w)
{
    for (size_t b = 0; b < w->n_blocks; b++)
        free(w->blocks[b].times);
    free(w->blocks);
    window_init(w);
}

static struct place end_place(const struct window *w)
{
    if (w->n == 0)
        return (struct place){0};
    return (struct place){.block = w->n_blocks - 1, .i = w->blocks[w->n_blocks - 1].n};
}

static bool is_end(const struct window *w, struct place p)
{
    return w->n == 0 || p.i == w->blocks[p.block].n;
}

static struct place next(const struct window *w, struct place p)
{
    p.i++;
    if (is_end(w, p) && p.block + 1 < w->n_blocks)
        return (struct place){.block = p.block + 1};
    return p;
}

static int64_t ms_at(const struct window *w, struct place p)
{
    return w->blocks[p.block].times[p.i].ms;
}

static int64_t oldest_ms(const struct window *w)
{
    return ms_at(w, (struct place){.i = w->head});
}

static uint64_t sum_at(const struct window *w, struct place p)
{
    const struct window_block *block = &w->blocks[p.block];

    return block->times[p.i].sum + block->added;
}

/* The running sum before the time at `p`. */
static uint64_t sum_before(const struct window *w, struct place p)
{
    if (p.block == 0 && p.i == w->head)
        return w->before;
    if (p.i == 0)
        p = (struct place){.block = p.block - 1, .i = w->blocks[p.block - 1].n};
    p.i--;
    return sum_at(w, p);
}

/* The running sum at the last time; there is one. */
static uint64_t sum_all(const struct window *w)
{
    const struct window_block *last = &w->blocks[w->n_blocks - 1];

    return last->times[last->n - 1].sum + last->added;
}

/* The first block that ends later than `ms`; there is one. */
static uint32_t block_after(const struct window *w, int64_t ms)
{
    uint32_t first = 0, n = w->n_blocks;

    while (n > 1) {
        uint32_t half = n / 2;

        first += (uint32_t)(w->blocks[first + half - 1].end_ms <= ms) * half;
        n -= half;
    }
    return first;
}

/* The first time later than `ms`. It looks at the end first, because most matches are new. The
 * steps add instead of branching: a mispredicted branch that waits for memory costs more than the
 * whole search. */
static struct place first_after(const struct window *w, int64_t ms)
{
    struct place p = end_place(w);
    const struct window_time *times;
    uint32_t n;

    if (w->n == 0 || w->blocks[p.block].end_ms <= ms)
        return p;
    if (p.i > 1 && w->blocks[p.block].times[p.i - 2].ms <= ms)
        return (struct place){.block = p.block, .i = p.i - 1};
    p.block = block_after(w, ms);
    p.i = p.block == 0 ? w->head : 0;
    times = w->blocks[p.block].times;
    n = w->blocks[p.block].n - p.i;
    while (n > 1) {
        uint32_t half = n / 2;

        p.i += (uint32_t)(times[p.i + half - 1].ms <= ms) * half;
        n -= half;
    }
    return p;
}

static int by_time(const void *a, const void *b)
{
    const struct window_run *x = a, *y = b;

    return (x->ms > y->ms) - (x->ms < y->ms);
}

size_t window_sort(struct window_run *runs, size_t n)
{
    size_t kept = 0;
    bool sorted = true;

    if (n <= 1)
        return n;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = runs[i - 1].ms <= runs[i].ms;
    if (!sorted)
        qsort(runs, n, sizeof *runs, by_time);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && runs[kept - 1].ms == runs[i].ms)
            runs[kept - 1].n += runs[i].n;
        else
            runs[kept++] = runs[i];
    }
    return kept;
}

/* Of the window and the runs; one of them must not be empty. */
static int64_t newest(const struct window *w, const struct window_run *runs, size_t n)
{
    int64_t ms = n == 0 ? INT64_MIN : runs[n - 1].ms;

    if (w->n > 0 && w->blocks[w->n_blocks - 1].end_ms > ms)
        return w->blocks[w->n_blocks - 1].end_ms;
    return ms;
}

size_t window_late(const struct window *w, const struct window_run *runs, size_t n, int64_t keep_ms)
{
    size_t late = 0;
    int64_t cut;

    if (n == 0)
        return 0;
    cut = newest(w, runs, n) - keep_ms;
    while (late < n && runs[late].ms <= cut)
        late++;
    return late;
}

/* Inserts an empty block at index `b`. */
static int add_block(struct window *w, size_t b, size_t cap)
{
    struct window_time *times;

    if (w->n_blocks == w->cap_blocks) {
        uint32_t n = w->n_blocks == 0 ? 1 : 2 * w->n_blocks;
        struct window_block *blocks = realloc(w->blocks, n * sizeof *blocks);

        if (blocks == NULL)
            return ERR_NOMEM;
        w->blocks = blocks;
        w->cap_blocks = n;
    }
    times = malloc(cap * sizeof *times);
    if (times == NULL)
        return ERR_NOMEM;
    memmove(w->blocks + b + 1, w->blocks + b, (w->n_blocks - b) * sizeof *w->blocks);
    w->blocks[b] = (struct window_block){.times = times};
    w->n_blocks++;
    return 0;
}

/* Splits the full block of a place in halves. At the end of the window the right one is empty, so
 * that blocks stay full if nothing comes late. */
static int split(struct window *w, struct place *at)
{
    uint32_t n = w->blocks[at->block].n, keep = is_end(w, *at) ? n : n / 2;
    struct window_block *left, *right;
    int rc = add_block(w, at->block + 1, BLOCK_TIMES);

    if (rc != 0)
        return rc;
    left = &w->blocks[at->block];
    right = left + 1;
    right->n = n - keep;
    right->added = left->added;
    right->end_ms = left->end_ms;
    memcpy(right->times, left->times + keep, right->n * sizeof *right->times);
    left->n = keep;
    left->end_ms = left->times[keep - 1].ms;
    if (at->i >= keep)
        *at = (struct place){.block = at->block + 1, .i = at->i - keep};
    return 0;
}

/* Moves the first block's times to its front. */
static void compact(struct window *w)
{
    struct window_block *first = &w->blocks[0];

    first->n -= w->head;
    memmove(first->times, first->times + w->head, first->n * sizeof *first->times);
    w->head = 0;
}

/* Gives the only block room for half as many times more. */
static int resize(struct window *w, uint32_t n)
{
    uint32_t cap = n <= FIRST_TIMES ? FIRST_TIMES : n + n / 2;
    struct window_time *times;

    if (cap > BLOCK_TIMES)
        cap = BLOCK_TIMES;
    times = realloc(w->blocks[0].times, cap * sizeof *times);
    if (times == NULL)
        return ERR_NOMEM;
    w->blocks[0].times = times;
    w->cap = cap;
    return 0;
}

/* Makes room for a time. The first block's times move to the front only if that gives a fifth of
 * its room back, so an append stays cheap while the oldest are forgotten. */
static int make_room(struct window *w, struct place *at)
{
    uint32_t need;

    if (w->n == 0) {
        w->cap = FIRST_TIMES;
        return add_block(w, 0, FIRST_TIMES);
    }
    if (w->blocks[at->block].n < w->cap)
        return 0;
    need = w->cap + 1 - w->head;
    if (w->cap == BLOCK_TIMES && (at->block > 0 || need + need / 4 > w->cap))
        return split(w, at);
    at->i -= w->head;
    compact(w);
    return need + need / 4 > w->cap ? resize(w, need) : 0;
}

/* Puts in a time that the window does not have. */
static int insert(struct window *w, struct place *at, int64_t ms)
{
    int rc = make_room(w, at);
    struct window_block *block;
    struct window_time *time;

    if (rc != 0)
        return rc;
    block = &w->blocks[at->block];
    time = block->times + at->i;
    memmove(time + 1, time, (block->n - at->i) * sizeof *time);
    *time = (struct window_time){.ms = ms, .sum = sum_before(w, *at) - block->added};
    block->n++;
    block->end_ms = block->times[block->n - 1].ms;
    w->n++;
    return 0;
}

static int add(struct window *w, const struct window_run *run)
{
    struct place at = first_after(w, run->ms - 1);
    const struct window_block *block;

    if (is_end(w, at) || ms_at(w, at) != run->ms) {
        int rc = insert(w, &at, run->ms);

        if (rc != 0)
            return rc;
    }
    block = &w->blocks[at.block];
    for (size_t i = at.i; i < block->n; i++)
        block->times[i].sum += run->n;
    for (size_t b = at.block + 1; b < w->n_blocks; b++)
        w->blocks[b].added += run->n;
    return 0;
}

/* Drops the oldest `gone` times. The newest stays, and its block with it. */
static void drop(struct window *w, size_t gone)
{
    uint32_t b = 0;

    w->n -= gone;
    gone += w->head;
    for (; gone >= w->blocks[b].n; b++) {
        gone -= w->blocks[b].n;
        free(w->blocks[b].times);
    }
    w->head = (uint32_t)gone;
    w->n_blocks -= b;
    memmove(w->blocks, w->blocks + b, w->n_blocks * sizeof *w->blocks);
}

static void forget(struct window *w, int64_t cut_ms)
{
    struct place p = {.i = w->head};
    size_t gone = 0;

    for (; ms_at(w, p) <= cut_ms; p = next(w, p))
        gone++;
    if (gone == 0)
        return;
    w->before = sum_before(w, p);
    drop(w, gone);
}

/* Frees memory after a storm; if that fails, the window just stays large. */
static void shrink(struct window *w)
{
    if (w->n_blocks > 1 || w->cap <= 64 || w->cap / 4 <= w->n)
        return;
    compact(w);
    (void)resize(w, (uint32_t)w->n);
}

int window_put(struct window *w, const struct window_run *runs, size_t n, int64_t keep_ms,
               size_t max_times)
{
    int64_t cut;

    assert(n + w->n > 0 && max_times > 0 && keep_ms > 0);
    cut = newest(w, runs, n) - keep_ms;
    assert(n == 0 || runs[0].ms > cut);
    for (size_t i = 0; i < n; i++) {
        int rc = add(w, &runs[i]);

        if (rc != 0)
            return rc;
    }
    forget(w, cut);
    if (w->n > max_times) {
        /* Their matches stay in the running sums, so the next time stands for the dropped ones. */
        drop(w, w->n - max_times);
        w->merged_ms = oldest_ms(w);
    }
    shrink(w);
    return 0;
}

/* The time of a fresh match, or the one that it was merged into. */
static int64_t where(const struct window *w, const struct window_run *fresh)
{
    return fresh->ms < oldest_ms(w) ? oldest_ms(w) : fresh->ms;
}

/* An interval that ends at the time at `last`; the first that it holds is at `first`. */
struct interval {
    struct place first;
    struct place last;
    uint64_t before; /* the running sum before `first` */
    uint64_t count;
};

struct search {
    const struct window *w;
    int64_t within_ms;
    bool any;             /* the first interval that is found is enough */
    struct interval in;   /* in hand */
    struct interval best; /* the count that an interval must reach, and the one that did last */
    bool is_found;
};

static void begin_at(struct search *s, int64_t ms)
{
    s->in.last = first_after(s->w, ms - 1);
    s->in.first = first_after(s->w, ms - s->within_ms);
    s->in.before = sum_before(s->w, s->in.first);
}

/* Skips a whole block if all that its intervals hold together is not enough. That keeps a search of
 * 65,536 times under a threshold of 30,000 from 110 to 10 µs. */
static bool skip_block(struct search *s, int64_t until_ms)
{
    struct interval *in = &s->in;
    const struct window_block *block = &s->w->blocks[in->last.block];
    struct place end = {.block = in->last.block, .i = block->n - 1};

    if (in->last.i > 0 || block->end_ms >= until_ms)
        return false;
    in->first = first_after(s->w, block->times[0].ms - s->within_ms);
    in->before = sum_before(s->w, in->first);
    if (sum_at(s->w, end) - in->before >= s->best.count)
        return false;
    in->last = next(s->w, end);
    return true;
}

static void judge_last(struct search *s)
{
    struct interval *in = &s->in;
    int64_t start_ms = ms_at(s->w, in->last) - s->within_ms;

    for (; ms_at(s->w, in->first) <= start_ms; in->first = next(s->w, in->first))
        in->before = sum_at(s->w, in->first);
    in->count = sum_at(s->w, in->last) - in->before;
    if (in->count < s->best.count)
        return;
    s->best = *in;
    s->is_found = true;
}

/* Tries the intervals that end before `until_ms`. */
static void judge_until(struct search *s, int64_t until_ms)
{
    struct interval *in = &s->in;

    while (!is_end(s->w, in->last) && ms_at(s->w, in->last) < until_ms) {
        if (skip_block(s, until_ms))
            continue;
        judge_last(s);
        if (s->any && s->is_found)
            return;
        in->last = next(s->w, in->last);
    }
}

/* Intervals that end at a time of the window are enough: any other one holds no more than the one
 * that ends at its last match. */
static void judge(struct search *s, const struct window_run *fresh, size_t n)
{
    assert(n > 0 && s->w->n > 0 && s->within_ms > 0);
    begin_at(s, where(s->w, &fresh[0]));
    for (size_t f = 0; f < n && !(s->any && s->is_found); f++) {
        int64_t at_ms = where(s->w, &fresh[f]);
        int64_t until_ms = at_ms + s->within_ms; /* intervals that end here no longer hold it */

        if (ms_at(s->w, s->in.last) < at_ms)
            begin_at(s, at_ms);
        if (f + 1 < n && where(s->w, &fresh[f + 1]) < until_ms)
            until_ms = where(s->w, &fresh[f + 1]);
        judge_until(s, until_ms);
    }
}

/* The intervals that hold a fresh match hold the times from it to their end, too. So of a storm
 * `more_than` + 1 intervals are tried at most. */
bool window_exceeds(const struct window *w, const struct window_run *fresh, size_t n,
                    int64_t within_ms, uint64_t more_than)
{
    struct search s = {.w = w, .within_ms = within_ms, .any = true, .best.count = more_than + 1};

    if (sum_all(w) - w->before <= more_than)
        return false;
    judge(&s, fresh, n);
    return s.is_found;
}

struct window_count window_judge(const struct window *w, const struct window_run *fresh, size_t n,
                                 int64_t within_ms)
{
    struct search s = {.w = w, .within_ms = within_ms};
    int64_t last_ms;

    judge(&s, fresh, n);
    last_ms = ms_at(w, s.best.last);
    return (struct window_count){.count = s.best.count,
                                 .first_ms = ms_at(w, s.best.first),
                                 .last_ms = last_ms,
                                 .about = last_ms - within_ms < w->merged_ms};
}

uint64_t window_count_after(const struct window *w, int64_t ms)
{
    return w->n == 0 ? 0 : sum_all(w) - sum_before(w, first_after(w, ms));
}

/* One number for most times: twice the distance from the time before, and 1 more if a number of
 * matches follows, because it is not 1. */
static size_t encode_time(uint8_t *out, uint64_t gap, uint64_t n)
{
    size_t len = snapshot_encode_u64(out, gap << 1 | (n != 1));

    return n != 1 ? len + snapshot_encode_u64(out + len, n) : len;
}

/* Saves the block's times from index `i` on. *ms and *sum are of the time before. */
static void save_block(const struct window_block *b, uint32_t i, int64_t *ms, uint64_t *sum,
                       struct snapshot_writer *out)
{
    enum { TIME_BYTES = 2 * SNAPSHOT_U64_BYTES };
    uint8_t bytes[16 * TIME_BYTES];
    size_t len = 0;

    for (; i < b->n; i++) {
        const struct window_time *time = &b->times[i];
        const uint64_t upto = time->sum + b->added;

        if (len > sizeof bytes - TIME_BYTES) {
            snapshot_put_encoded(out, bytes, len);
            len = 0;
        }
        len += encode_time(bytes + len, (uint64_t)(time->ms - *ms), upto - *sum);
        *ms = time->ms;
        *sum = upto;
    }
    snapshot_put_encoded(out, bytes, len);
}

void window_save(const struct window *w, struct snapshot_writer *out)
{
    uint64_t sum = w->before;
    int64_t ms = oldest_ms(w);

    assert(w->n > 0);
    snapshot_put_u64(out, w->merged_ms != INT64_MIN);
    if (w->merged_ms != INT64_MIN)
        snapshot_put_i64(out, w->merged_ms);
    snapshot_put_u64(out, w->n);
    snapshot_put_i64(out, ms);
    for (uint32_t b = 0; b < w->n_blocks; b++)
        save_block(&w->blocks[b], b == 0 ? w->head : 0, &ms, &sum, out);
}

static int64_t load_ms(struct snapshot_reader *in)
{
    int64_t ms = snapshot_get_i64(in);

    if (ms > MS_MAX || ms < -MS_MAX)
        in->bad = true;
    return in->bad ? 0 : ms;
}

/* Moves a run to the next time. Before version 6 the distance stood alone, the first time had none,
 * and a number of matches always followed. */
static void load_time(struct snapshot_reader *in, bool is_first, uint64_t n_max,
                      struct window_run *run)
{
    uint64_t code = 1;

    if (in->version >= 6)
        code = snapshot_get_u64(in);
    else if (!is_first)
        code = snapshot_get_max(in, UINT64_MAX >> 1) << 1 | 1;
    if ((code >> 1 == 0) != is_first || code >> 1 > (uint64_t)(MS_MAX - run->ms))
        in->bad = true;
    else
        run->ms += (int64_t)(code >> 1);
    run->n = (code & 1) != 0 ? snapshot_get_u64(in) : 1;
    in->bad = in->bad || run->n == 0 || run->n > n_max;
}

static int load_times(struct window *w, struct snapshot_reader *in, size_t n)
{
    struct window_run run = {.ms = load_ms(in)};
    uint64_t sum = 0;
    int rc = 0;

    for (size_t i = 0; i < n && !in->bad && rc == 0; i++) {
        load_time(in, i == 0, (UINT64_MAX >> 1) - sum, &run);
        sum += run.n;
        rc = in->bad ? ERR_DAMAGED : add(w, &run);
    }
    return in->bad ? ERR_DAMAGED : rc;
}

int window_load(struct window *w, struct snapshot_reader *in, size_t max_times)
{
    size_t n;

    if (snapshot_get_max(in, 1) != 0)
        w->merged_ms = load_ms(in);
    n = snapshot_get_count(in, in->version < 6 ? 2 : 1);
    if (in->bad || n == 0 || n > max_times)
        return ERR_DAMAGED;
    return load_times(w, in, n);
}
