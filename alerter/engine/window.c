/* Counts matches in a sliding window. Called by keys and judge. */
#include "alerter/engine/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct window_time {
    int64_t ms;
    uint64_t sum; /* matches at this time and before it, ever */
};

enum { FIRST_TIMES = 4 };

/* No difference of two such times overflows. */
#define MS_MAX (INT64_MAX / 1000)

void window_init(struct window *w)
{
    *w = (struct window){.merged_ms = INT64_MIN};
}

void window_close(struct window *w)
{
    free(w->times);
    window_init(w);
}

static struct window_time *held(const struct window *w)
{
    return w->head == 0 ? w->times : w->times + w->head; /* no sum with a null pointer */
}

/* The running sum before the time at `i`. */
static uint64_t sum_before(const struct window *w, size_t i)
{
    return i == 0 ? w->before : held(w)[i - 1].sum;
}

/* The index of the first time later than `ms`. It looks at the end first, because most matches are
 * new. The steps add instead of branching: a mispredicted branch that waits for memory costs more
 * than the whole search. */
static size_t first_after(const struct window *w, int64_t ms)
{
    const struct window_time *times = held(w);
    size_t first = 0, n = w->n;

    if (n == 0 || times[n - 1].ms <= ms)
        return n;
    if (n > 1 && times[n - 2].ms <= ms)
        return n - 1;
    while (n > 1) {
        size_t half = n / 2;

        first += (size_t)(times[first + half - 1].ms <= ms) * half;
        n -= half;
    }
    return first;
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
    if (n == 0 || (w->n > 0 && held(w)[w->n - 1].ms > runs[n - 1].ms))
        return held(w)[w->n - 1].ms;
    return runs[n - 1].ms;
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

/* Makes room for `more` times at the end. With a third of slack the times move to the front once in
 * so many appends, so an append stays cheap while the oldest are forgotten. */
static int reserve(struct window *w, size_t more)
{
    size_t need = w->n + more, cap;
    struct window_time *times;

    if (w->head + need <= w->cap)
        return 0;
    if (need + need / 4 <= w->cap) {
        memmove(w->times, held(w), w->n * sizeof *w->times);
        w->head = 0;
        return 0;
    }
    cap = need <= FIRST_TIMES ? FIRST_TIMES : need + need / 2;
    times = malloc(cap * sizeof *times);
    if (times == NULL)
        return ERR_NOMEM;
    if (w->n > 0)
        memcpy(times, held(w), w->n * sizeof *times);
    free(w->times);
    w->times = times;
    w->cap = cap;
    w->head = 0;
    return 0;
}

/* Frees memory after a storm; if that fails, the window just stays large. */
static void shrink(struct window *w)
{
    size_t cap = w->n < FIRST_TIMES ? FIRST_TIMES : w->n + w->n / 2;
    struct window_time *times;

    if (w->cap <= 64 || w->cap / 4 <= w->n)
        return;
    memmove(w->times, held(w), w->n * sizeof *w->times);
    w->head = 0;
    times = realloc(w->times, cap * sizeof *times);
    if (times == NULL)
        return;
    w->times = times;
    w->cap = cap;
}

static void forget(struct window *w, int64_t cut_ms)
{
    size_t gone = 0;

    while (gone < w->n && held(w)[gone].ms <= cut_ms)
        gone++;
    if (gone == 0)
        return;
    w->before = held(w)[gone - 1].sum;
    w->head += gone;
    w->n -= gone;
}

/* How many of the runs are at times that the window does not have from index `from` on. */
static size_t count_new(const struct window *w, size_t from, const struct window_run *runs,
                        size_t n)
{
    const struct window_time *times = held(w);
    size_t fresh = 0;

    for (size_t i = 0; i < n; i++) {
        while (from < w->n && times[from].ms < runs[i].ms)
            from++;
        fresh += from == w->n || times[from].ms != runs[i].ms;
    }
    return fresh;
}

/* As merge for a single run, as most records bring: one pass over the later times. */
static void merge_one(struct window *w, size_t from, const struct window_run *run, size_t more)
{
    struct window_time *times = held(w);

    if (from == w->n) {
        times[w->n++] = (struct window_time){.ms = run->ms, .sum = sum_before(w, from) + run->n};
        return;
    }
    if (more > 0) {
        memmove(times + from + 1, times + from, (w->n - from) * sizeof *times);
        times[from] = (struct window_time){.ms = run->ms, .sum = sum_before(w, from)};
        w->n++;
    }
    for (size_t i = from; i < w->n; i++)
        times[i].sum += run->n;
}

/* Merges the runs into the times from index `from` on; there is room for the `more` new ones. While
 * it works from the back, `sum` holds the matches at each time alone. */
static void merge(struct window *w, size_t from, const struct window_run *runs, size_t n,
                  size_t more)
{
    struct window_time *times = held(w);
    uint64_t sum = sum_before(w, from);
    size_t old = w->n, to = w->n + more;

    for (size_t i = old; i-- > from;)
        times[i].sum -= i == from ? sum : times[i - 1].sum;
    while (n > 0) {
        const struct window_run *run = &runs[n - 1];

        if (old > from && times[old - 1].ms > run->ms) {
            times[--to] = times[--old];
            continue;
        }
        if (old > from && times[old - 1].ms == run->ms) {
            times[--to] = times[--old];
            times[to].sum += run->n;
        } else {
            times[--to] = (struct window_time){.ms = run->ms, .sum = run->n};
        }
        n--;
    }
    assert(to == old);
    w->n += more;
    for (size_t i = from; i < w->n; i++)
        times[i].sum = sum += times[i].sum;
}

static int add(struct window *w, const struct window_run *runs, size_t n)
{
    size_t from = first_after(w, runs[0].ms - 1);
    size_t more = count_new(w, from, runs, n);
    int rc = reserve(w, more);

    if (rc == 0 && n == 1)
        merge_one(w, from, runs, more);
    else if (rc == 0)
        merge(w, from, runs, n, more);
    return rc;
}

int window_put(struct window *w, const struct window_run *runs, size_t n, int64_t keep_ms,
               size_t max_times)
{
    int64_t cut;
    int rc;

    assert(n + w->n > 0 && max_times > 0);
    cut = newest(w, runs, n) - keep_ms;
    assert(n == 0 || runs[0].ms > cut);
    rc = n == 0 ? 0 : add(w, runs, n);
    if (rc != 0)
        return rc;
    forget(w, cut);
    if (w->n > max_times) {
        /* Their matches stay in the running sums, so the next time stands for the dropped ones. */
        w->head += w->n - max_times;
        w->n = max_times;
        w->merged_ms = held(w)[0].ms;
    }
    shrink(w);
    return 0;
}

/* The time of a fresh match, or the one that it was merged into. */
static int64_t where(const struct window *w, const struct window_run *fresh)
{
    int64_t oldest = held(w)[0].ms;

    return fresh->ms < oldest ? oldest : fresh->ms;
}

/* An interval that ends at the time at `last`; the first that it holds is at `first`. */
struct interval {
    size_t first;
    size_t last;
    uint64_t before; /* the running sum before `first` */
    uint64_t count;
};

static void begin_at(const struct window *w, struct interval *in, int64_t ms, int64_t within_ms)
{
    in->last = first_after(w, ms - 1);
    in->first = first_after(w, ms - within_ms);
    in->before = sum_before(w, in->first);
}

/* Tries the intervals that end before `end_ms` and keeps the largest. */
static void judge_until(const struct window *w, struct interval *in, int64_t end_ms,
                        int64_t within_ms, struct interval *best)
{
    const struct window_time *times = held(w);

    for (; in->last < w->n && times[in->last].ms < end_ms; in->last++) {
        int64_t start_ms = times[in->last].ms - within_ms;

        for (; times[in->first].ms <= start_ms; in->first++)
            in->before = times[in->first].sum;
        in->count = times[in->last].sum - in->before;
        if (in->count >= best->count)
            *best = *in;
    }
}

/* Intervals that end at a time of the window are enough: any other one holds no more than the one
 * that ends at its last match. */
struct window_count window_judge(const struct window *w, const struct window_run *fresh, size_t n,
                                 int64_t within_ms)
{
    const struct window_time *times = held(w);
    struct interval in, best = {0};

    assert(n > 0 && w->n > 0 && within_ms > 0);
    begin_at(w, &in, where(w, &fresh[0]), within_ms);
    for (size_t f = 0; f < n; f++) {
        int64_t at_ms = where(w, &fresh[f]);
        int64_t end_ms = at_ms + within_ms; /* intervals that end here no longer hold it */

        if (times[in.last].ms < at_ms)
            begin_at(w, &in, at_ms, within_ms);
        if (f + 1 < n && where(w, &fresh[f + 1]) < end_ms)
            end_ms = where(w, &fresh[f + 1]);
        judge_until(w, &in, end_ms, within_ms, &best);
    }
    return (struct window_count){.count = best.count,
                                 .first_ms = times[best.first].ms,
                                 .last_ms = times[best.last].ms,
                                 .about = times[best.last].ms - within_ms < w->merged_ms};
}

uint64_t window_count_after(const struct window *w, int64_t ms)
{
    return sum_before(w, w->n) - sum_before(w, first_after(w, ms));
}

void window_save(const struct window *w, struct snapshot_writer *out)
{
    const struct window_time *times = held(w);

    assert(w->n > 0);
    snapshot_put_u64(out, w->merged_ms != INT64_MIN);
    if (w->merged_ms != INT64_MIN)
        snapshot_put_i64(out, w->merged_ms);
    snapshot_put_u64(out, w->n);
    snapshot_put_i64(out, times[0].ms);
    for (size_t i = 0; i < w->n; i++) {
        if (i > 0)
            snapshot_put_u64(out, (uint64_t)(times[i].ms - times[i - 1].ms));
        snapshot_put_u64(out, times[i].sum - sum_before(w, i));
    }
}

static int64_t load_ms(struct snapshot_reader *in)
{
    int64_t ms = snapshot_get_i64(in);

    if (ms > MS_MAX || ms < -MS_MAX)
        in->bad = true;
    return in->bad ? 0 : ms;
}

static void load_times(struct window *w, struct snapshot_reader *in, size_t n)
{
    int64_t ms = load_ms(in);
    uint64_t sum = 0;

    for (size_t i = 0; i < n && !in->bad; i++) {
        uint64_t count;

        if (i > 0) {
            uint64_t gap = snapshot_get_max(in, (uint64_t)(MS_MAX - ms));

            in->bad = in->bad || gap == 0;
            ms += (int64_t)gap;
        }
        count = snapshot_get_max(in, (UINT64_MAX >> 1) - sum);
        in->bad = in->bad || count == 0;
        sum += count;
        w->times[i] = (struct window_time){.ms = ms, .sum = sum};
    }
}

int window_load(struct window *w, struct snapshot_reader *in, size_t max_times)
{
    size_t n;

    if (snapshot_get_max(in, 1) != 0)
        w->merged_ms = load_ms(in);
    n = snapshot_get_count(in, 2);
    if (in->bad || n == 0 || n > max_times)
        return ERR_DAMAGED;
    if (reserve(w, n) != 0)
        return ERR_NOMEM;
    load_times(w, in, n);
    if (in->bad)
        return ERR_DAMAGED;
    w->n = n;
    return 0;
}
