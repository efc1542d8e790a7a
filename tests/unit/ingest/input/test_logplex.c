/* Bodies into lines, held to the reference in logplex_reference.h. */
#include "common/base/err.h"
#include "ingest/input/input.h"
#include "ingest/input/plain.h"
#include "tests/unit/ingest/input/logplex_reference.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME "2026-05-07T08:06:12.123456+00:00"

enum { MANY = 70000 }; /* more than LINE_BYTES_MAX */

/* The output of a parser: each line and a newline, so that a difference reads well. A newline or
 * zero byte of the line itself shows as '|'. */
struct seen {
    char *text;
    size_t len;
    size_t cap;
    size_t calls;
    size_t lines;
    size_t largest_region;
    int answer; /* what the callback returns */
};

static int on_lines(void *ctx, const struct input_lines *batch)
{
    const char *region = batch->region;
    const struct line_span *lines = batch->spans;
    size_t region_len = batch->region_len, n = batch->n;
    struct seen *seen = ctx;

    assert_in_range(n, 1, LINE_BATCH_MAX);
    seen->calls++;
    seen->lines += n;
    if (region_len > seen->largest_region)
        seen->largest_region = region_len;
    for (size_t i = 0; i < n; i++) {
        if (seen->len + lines[i].len + 2 > seen->cap) {
            seen->cap = 2 * (seen->len + lines[i].len + 2);
            seen->text = realloc(seen->text, seen->cap);
            assert_non_null(seen->text);
        }
        assert_in_range(lines[i].start + lines[i].len, 1, region_len);
        for (size_t k = 0; k < lines[i].len; k++) {
            char c = region[lines[i].start + k];

            seen->text[seen->len++] = c;
            if (c == '\n' || c == 0)
                seen->text[seen->len - 1] = '|';
        }
        seen->text[seen->len++] = '\n';
        seen->text[seen->len] = 0;
    }
    return seen->answer;
}

static struct input_counts push(struct seen *seen, const char *body, size_t n, size_t chunk)
{
    struct input *p = input_new(&input_logplex, on_lines, seen);
    struct input_counts counts;

    assert_non_null(p);
    for (size_t at = 0; at < n; at += chunk)
        assert_int_equal(input_push(p, body + at, n - at < chunk ? n - at : chunk, NULL), 0);
    assert_int_equal(input_finish(p), 0);
    counts = input_counts(p);
    assert_int_equal(counts.bytes, n);
    assert_int_equal(counts.lines, seen->lines);
    input_free(p);
    return counts;
}

/* The body gives these lines and so many malformed, whole and in chunks of every small size. */
static void expect_n(const char *body, size_t n, const char *lines, uint64_t malformed)
{
    for (size_t chunk = 1; chunk <= n + 1; chunk = chunk < 80 ? chunk + 1 : 2 * chunk) {
        struct seen seen = {0};
        struct input_counts counts = push(&seen, body, n, chunk);

        assert_string_equal(seen.text == NULL ? "" : seen.text, lines);
        assert_int_equal(counts.malformed, malformed);
        free(seen.text);
    }
}

static void expect(const char *body, const char *lines, uint64_t malformed)
{
    expect_n(body, strlen(body), lines, malformed);
}

UNIT_TEST(frames_are_lines)
{
    expect("", "", 0);
    expect("9 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 0);
    expect("8 <1>1 one8 <1>1 two", "<1>1 one\n<1>1 two\n", 0);
    /* The last line of a frame that Logplex builds itself (L10) ends without a newline. */
    expect("9 <1>1 one\n8 <1>1 L10", "<1>1 one\n<1>1 L10\n", 0);
    expect("8 <1>1 L109 <1>1 one\n", "<1>1 L10\n<1>1 one\n", 0);
    expect("10 <1>1 one\r\n9 <1>1 two\r", "<1>1 one\n<1>1 two\n", 0);
}

UNIT_TEST(a_frame_may_hold_anything)
{
    static const char zero[] = "8 <1>1 \0\0\0"
                               "8 <1>1 two";

    expect("15 <1>1 one\n\ntwo.\n9 <1>1 two\n", "<1>1 one||two.\n<1>1 two\n", 0);
    expect("18 <1>1 x 8 <1>1 one\n9 <1>1 two\n", "<1>1 x 8 <1>1 one\n<1>1 two\n", 0);
    expect_n(zero, sizeof zero - 1, "<1>1 |||\n<1>1 two\n", 0);
}

UNIT_TEST(blanks_between_lines_are_nothing)
{
    expect("\n\r  \n \r", "", 0);
    expect(" 8 <1>1 one\n\n 8 <1>1 two\r\n  three\n", "<1>1 one\n<1>1 two\nthree\n", 0);
}

UNIT_TEST(a_bad_length_costs_no_neighbour)
{
    expect("10 <1>1 one\n9 <1>1 two\n8 <1>1 end", "<1>1 one\n<1>1 two\n<1>1 end\n", 1);
    expect("99 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("99 <1>1 one9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("7 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("0 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("09 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("-9 <1>1 one\n+9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 2);
    expect("99999999999999999999 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("18446744073709551625 <1>1 one\n9 <1>1 two\n", "<1>1 one\n<1>1 two\n", 1);
    expect("90 <1>1 a90 <1>1 b90 <1>1 c", "<1>1 a\n<1>1 b\n<1>1 c\n", 3);
}

UNIT_TEST(a_length_that_happens_to_end_well_is_believed)
{
    expect("19 <1>1 one\n9 <1>1 two\n", "<1>1 one|9 <1>1 two\n", 0);
    expect("20 <1>1 one\n9 <1>1 two\n9 <1>1 end\n", "<1>1 one|9 <1>1 two\n<1>1 end\n", 0);
    expect("18 <1>1 one\n9 <1>1 two\n9 <1>1 end\n", "<1>1 one\n<1>1 two\n<1>1 end\n", 1);
    expect("21 <1>1 one\n9 <1>1 two\n9 <1>1 end\n", "<1>1 one\n<1>1 two\n<1>1 end\n", 1);
}

UNIT_TEST(unframed_lines)
{
    expect("one\ntwo\r\nthree", "one\ntwo\nthree\n", 0);
    expect("<158>1 one\n<158>1 two\n", "<158>1 one\n<158>1 two\n", 0);
    expect(TIME " heroku[router]: one\n" TIME " app[web.1]: two\n",
           TIME " heroku[router]: one\n" TIME " app[web.1]: two\n", 0);
    expect("one\n9 <1>1 two\n<1>1 three\n" TIME " a[b]: four\n9 <1>1 five",
           "one\n<1>1 two\n<1>1 three\n" TIME " a[b]: four\n<1>1 five\n", 0);
}

UNIT_TEST(text_ends_at_a_head)
{
    expect("cut off 8 <1>1 one8 <1>1 two", "cut off \n<1>1 one\n<1>1 two\n", 0);
    expect("<1>1 one8 <1>1 two", "<1>1 one\n<1>1 two\n", 0);
    expect("x-8 <1>1 one\n", "x\n<1>1 one\n", 1);
    expect("x--8 <1>1 one\n", "x-\n<1>1 one\n", 1);
    expect("--8 <1>1 one\n", "-\n<1>1 one\n", 1);
}

UNIT_TEST(what_is_almost_a_head_is_text)
{
    expect("x 8 <1>2 y\n", "x 8 <1>2 y\n", 0);
    expect("x 8 <1234>1 y 8 <>1 z 8  <1>1 8<1>1 8 <1>1\n",
           "x 8 <1234>1 y 8 <>1 z 8  <1>1 8<1>1 8 <1>1\n", 0);
    expect("x <1>1 y\n", "x <1>1 y\n", 0);
    /* 21 digits are no length. Their last 20 are none either. */
    expect("x 000000000000000000008 <1>1 y\n", "x 000000000000000000008 <1>1 y\n", 0);
    expect("000000000000000000008 <1>1 y\n", "000000000000000000008 <1>1 y\n", 0);
    expect("x 00000000000000000008 <1>1 y\n", "x \n<1>1 y\n", 1);
}

UNIT_TEST(a_timed_line_ends_at_its_newline_only)
{
    expect(TIME " app[web.1]: 9 <1>1 one\ntwo\n", TIME " app[web.1]: 9 <1>1 one\ntwo\n", 0);
    expect("2026-05-07 08:06:12Z 9 <1>1 one", "2026-05-07 08:06:12Z 9 <1>1 one\n", 0);
    /* No times, so the head in them counts. */
    expect("2026-05-07T08:06:12Z\t8 <1>1 one", "2026-05-07T08:06:12Z\t\n<1>1 one\n", 0);
    expect("2026-05-32T08:06:12Z 8 <1>1 one", "2026-05-32T08:06:12Z \n<1>1 one\n", 0);
}

/* A body of `n` bytes: `before`, as many 'x' as it takes, `behind`. */
static char *filled(const char *before, size_t n, const char *behind)
{
    char *body = malloc(n + 1);

    assert_non_null(body);
    memset(body, 'x', n);
    memcpy(body, before, strlen(before));
    memcpy(body + n - strlen(behind), behind, strlen(behind) + 1);
    return body;
}

/* `body` gives lines of these lengths. Frees it. */
static void expect_lengths(char *body, size_t n, const size_t *lengths, size_t lines,
                           uint64_t malformed)
{
    static const size_t chunks[] = {1, 7, 4096, 65536, 65560, 1 << 20};

    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct seen seen = {0};
        struct input_counts counts = push(&seen, body, n, chunks[i]);
        const char *line = seen.text;

        assert_int_equal(counts.malformed, malformed);
        assert_int_equal(counts.lines, lines);
        for (size_t k = 0; k < lines; k++, line = strchr(line, '\n') + 1)
            assert_int_equal(strcspn(line, "\n"), lengths[k]);
        free(seen.text);
    }
    free(body);
}

UNIT_TEST(the_longest_line)
{
    const size_t max[] = {LINE_BYTES_MAX, 4};
    const size_t salvaged[] = {LINE_BYTES_MAX, 8, 4};

    expect_lengths(filled("", LINE_BYTES_MAX + 5, "\nnext"), LINE_BYTES_MAX + 5, max, 2, 0);
    expect_lengths(filled("", LINE_BYTES_MAX + 6, "\nnext"), LINE_BYTES_MAX + 6, max, 2, 1);
    expect_lengths(filled("", LINE_BYTES_MAX, ""), LINE_BYTES_MAX, max, 1, 0);
    expect_lengths(filled("", LINE_BYTES_MAX + 1, ""), LINE_BYTES_MAX + 1, max, 1, 1);
    expect_lengths(filled(TIME " ", MANY, " 8 <1>1 one\nnext"), MANY, max, 2, 1);
    expect_lengths(filled("65536 <1>1 ", LINE_BYTES_MAX + 6 + 5, "\nnext"), LINE_BYTES_MAX + 6 + 5,
                   max, 2, 0);
    expect_lengths(filled("65537 <1>1 ", LINE_BYTES_MAX + 6 + 6, "\nnext"), LINE_BYTES_MAX + 6 + 6,
                   max, 2, 2);
    /* The rest of a line that was cut ends at a head, too. */
    expect_lengths(filled("0 <1>1 ", MANY, "8 <1>1 one\nnext"), MANY, salvaged, 3, 2);
    expect_lengths(filled("", LINE_BYTES_MAX + 15, "8 <1>1 one\nnext"), LINE_BYTES_MAX + 15,
                   salvaged, 3, 0);
    expect_lengths(filled("", LINE_BYTES_MAX + 16, "8 <1>1 one\nnext"), LINE_BYTES_MAX + 16,
                   salvaged, 3, 1);
}

UNIT_TEST(digits_without_end_are_no_length)
{
    const size_t one[] = {LINE_BYTES_MAX};
    char *body = filled("x ", MANY, " <1>1 one\n");

    memset(body + 2, '1', MANY - 12);
    expect_lengths(body, MANY, one, 1, 1);
}

/* Times so many `unit`s in one chunk, and says how many calls came. */
static struct seen push_times(const char *unit, size_t times, size_t chunk)
{
    size_t len = strlen(unit);
    char *body = malloc(len * times);
    struct seen seen = {0};

    assert_non_null(body);
    for (size_t i = 0; i < times; i++)
        memcpy(body + i * len, unit, len);
    push(&seen, body, len * times, chunk == 0 ? len * times : chunk);
    assert_int_equal(seen.lines, times);
    free(seen.text);
    free(body);
    return seen;
}

UNIT_TEST(lines_come_in_large_batches)
{
    const char *mixed = "9 <1>1 one\n";
    char long_line[8193];

    assert_int_equal(push_times(mixed, LINE_BATCH_MAX, 0).calls, 1);
    assert_int_equal(push_times(mixed, LINE_BATCH_MAX + 1, 0).calls, 2);
    assert_int_equal(push_times("bare\n", LINE_BATCH_MAX, 0).calls, 1);
    /* 100 frames in each chunk and one across its end: one call for those, one for that. */
    assert_int_equal(push_times(mixed, 1000, 1105).calls, 19);
    /* A region stays within its bound, however long the lines are. */
    memset(long_line, 'x', 8191);
    strcpy(long_line + 8191, "\n");
    assert_in_range(push_times(long_line, 300, 0).largest_region, LINE_REGION_MAX - 8192,
                    LINE_REGION_MAX);
}

UNIT_TEST(forms_share_a_batch)
{
    const char *body = "9 <1>1 one\nbare\n99 <1>1 bad\n" TIME " a[b]: c\n<1>1 d\n";
    struct seen seen = {0};

    push(&seen, body, strlen(body), strlen(body));
    assert_int_equal(seen.lines, 5);
    /* The bad length needs the whole body; the lines before it came at once. */
    assert_int_equal(seen.calls, 2);
    free(seen.text);
}

UNIT_TEST(the_callback_can_stop_it)
{
    struct seen seen = {.answer = -42};
    struct input *p = input_new(&input_logplex, on_lines, &seen);

    assert_int_equal(input_push(p, "one\ntwo\nthr", 11, NULL), -42);
    assert_int_equal(seen.calls, 1);
    seen.answer = 0;
    input_begin(p);
    assert_int_equal(input_push(p, "thr", 3, NULL), 0);
    seen.answer = -43;
    assert_int_equal(input_push(p, "ee\nfour", 7, NULL), -43);
    input_begin(p);
    assert_int_equal(input_push(p, "last", 4, NULL), 0);
    assert_int_equal(input_finish(p), -43);
    assert_string_equal(seen.text, "one\ntwo\nthree\nlast\n");
    free(seen.text);
    input_free(p);
    input_free(NULL);
}

UNIT_TEST(reset_forgets_the_body)
{
    static const char *const starts[] = {"9 <1>1 o", "unfinished", "99 <1>1 x", TIME " un", "12"};
    struct seen seen = {0};
    struct input *p = input_new(&input_logplex, on_lines, &seen);

    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        input_begin(p);
        assert_int_equal(input_push(p, starts[i], strlen(starts[i]), NULL), 0);
    }
    input_begin(p);
    assert_int_equal(input_push(p, "9 <1>1 one\n", 11, NULL), 0);
    assert_int_equal(input_finish(p), 0);
    assert_string_equal(seen.text, "<1>1 one\n");
    assert_int_equal(input_counts(p).lines, 1);
    assert_int_equal(input_counts(p).bytes, 11);
    assert_int_equal(input_counts(p).malformed, 0);
    free(seen.text);
    input_free(p);
}

/* --- allocations that fail ------------------------------------------------------------------ */

/* Linked with -Wl,--wrap=malloc, so that each allocation of the parser comes by here. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

static int mallocs_until_failure; /* 0: none fails */

void *__wrap_malloc(size_t n)
{
    if (mallocs_until_failure > 0 && --mallocs_until_failure == 0)
        return NULL;
    return __real_malloc(n);
}

UNIT_TEST(no_memory)
{
    struct seen seen = {0};
    struct input *p;

    mallocs_until_failure = 1;
    assert_null(input_new(&input_logplex, on_lines, &seen));
    p = input_new(&input_logplex, on_lines, &seen);
    assert_non_null(p);
    mallocs_until_failure = 1;
    assert_int_equal(input_push(p, "9 <1>1 one\n9 <1>", 16, NULL), ERR_NOMEM);
    assert_int_equal(mallocs_until_failure, 0);
    input_begin(p);
    assert_int_equal(input_push(p, "9 <1>1 one\n9 <1>", 16, NULL), 0);
    assert_int_equal(input_push(p, "1 two\n", 6, NULL), 0);
    assert_int_equal(input_finish(p), 0);
    assert_string_equal(seen.text, "<1>1 one\n<1>1 one\n<1>1 two\n");
    free(seen.text);
    input_free(p);
}

/* --- against the reference ------------------------------------------------------------------ */

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

/* A body of pieces that go together well and badly. */
static size_t random_body(uint32_t *state, char *body, size_t room)
{
    static const char *const pieces[] = {
        "9 <1>1 one\n", "8 <1>1 one", "12 <134>1 ", "-", "+",    "3", "5 <1>1 ", "\n",
        "\r\n",         " ",          "<1>1 ",      "<", "bare", "0", "x",       "7 ",
        TIME " ",       ">1 ",        "60 <1>1 ",
    };
    size_t n = 0;

    for (uint32_t left = 1 + draw(state, 40); left > 0; left--) {
        const char *piece = pieces[draw(state, sizeof pieces / sizeof *pieces)];

        if (n + strlen(piece) > room)
            break;
        memcpy(body + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return n;
}

struct wanted {
    const char *body;
    struct seen seen;
};

static void on_wanted(void *ctx, size_t start, size_t len)
{
    struct wanted *w = ctx;
    struct line_span span = {.len = (uint32_t)len};

    on_lines(&w->seen, &(struct input_lines){w->body + start, len, &span, 1, NULL});
}

UNIT_TEST(random_bodies_agree_with_the_reference)
{
    uint32_t seed = 20260507;
    char body[1024];

    for (int i = 0; i < 3000; i++) {
        size_t n = random_body(&seed, body, sizeof body);
        struct wanted want = {.body = body};
        struct input_counts wanted = reference_parse(body, n, on_wanted, &want);
        struct seen seen = {0};
        struct input_counts counts = push(&seen, body, n, 1 + draw(&seed, 100));

        assert_string_equal(seen.text == NULL ? "" : seen.text,
                            want.seen.text == NULL ? "" : want.seen.text);
        assert_int_equal(counts.malformed, wanted.malformed);
        free(want.seen.text);
        free(seen.text);
    }
}

/* Frames without end that each declare 60,000 bytes: all wait, none is good. What waits moves along
 * in the carry, which is far smaller than the body. */
UNIT_TEST(lies_without_end_agree_with_the_reference)
{
    static const char lie[] = "60000 <1>1 x";
    const size_t n = 500001, chunks[] = {17, 1000, 16384, 70000, 500001};
    char *body = malloc(n);
    struct wanted want = {.body = body};
    struct input_counts wanted;

    assert_non_null(body);
    for (size_t i = 0; i < n; i++)
        body[i] = lie[i % (sizeof lie - 1)];
    wanted = reference_parse(body, n, on_wanted, &want);
    assert_true(wanted.malformed > 40000);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        struct seen seen = {0};
        struct input_counts counts = push(&seen, body, n, chunks[i]);

        assert_int_equal(counts.malformed, wanted.malformed);
        assert_int_equal(seen.len, want.seen.len);
        assert_memory_equal(seen.text, want.seen.text, seen.len);
        free(seen.text);
    }
    free(want.seen.text);
    free(body);
}

/* --- plain text in blocks -------------------------------------------------------------- */

/* Lines up to `n` bytes of text, by the slowest obvious loop; false if they are not plain. */
static bool plain_slowly(const char *s, size_t n, size_t *end, uint64_t *lines)
{
    *end = 0;
    *lines = 0;
    for (size_t i = 0; i < n; i++) {
        bool begins = i == 0 || s[i - 1] == '\n';

        if (s[i] == '<' || (begins && (int8_t)s[i] <= ' '))
            return false;
        if (s[i] == '\n') {
            *end = i + 1;
            ++*lines;
        }
    }
    return *lines > 0 && (*end < n || (int8_t)s[n] > ' ');
}

UNIT_TEST(plain_blocks)
{
    static const char rare[] = "<\n\r \t\x01\xc3";
    char *block = malloc(PLAIN_BLOCK + 1); /* so that a sanitizer sees a read beyond it */
    uint32_t seed = 5;
    unsigned n_plain = 0;

    assert_non_null(block);
    for (int round = 0; round < 20000; round++) {
        uint32_t newlines = draw(&seed, 4) == 0 ? 3000 : 1 + draw(&seed, 300);
        uint64_t slow = 0, fast = 7;
        size_t end;
        bool plain;

        for (size_t i = 0; i <= PLAIN_BLOCK; i++)
            block[i] = draw(&seed, newlines) == 0 ? '\n' : "x2[~"[draw(&seed, 4)];
        if (draw(&seed, 2) == 0)
            block[draw(&seed, PLAIN_BLOCK + 1)] = rare[draw(&seed, sizeof rare - 1)];
        if (round == 0) /* as many newlines in a lane as there can be */
            memset(block, '\n', PLAIN_BLOCK + 1);
        plain = plain_slowly(block, PLAIN_BLOCK, &end, &slow);
        assert_int_equal(plain_block(block, &fast), plain ? end : 0);
        assert_int_equal(fast, 7 + (plain ? slow : 0));
        n_plain += plain;
    }
    assert_in_range(n_plain, 500, 19500);
    free(block);
}

/* --- lines that nobody asked for ------------------------------------------------------------ */

enum { POINTS_MAX = 64, LINES_MAX = 4000, FRAME_SIZE = 480 };

/* A body whose lines all differ, and the points whose lines must be handed over. */
struct asked {
    char body[160 << 10];
    size_t n;
    struct line_span lines[LINES_MAX]; /* by the reference */
    bool timed[LINES_MAX];
    size_t n_lines;
    uint64_t n_malformed;
    uint32_t points[POINTS_MAX]; /* into the body */
    size_t n_points;
    bool times_matter;
    size_t next;       /* the first line that may come */
    size_t last_timed; /* of the lines that came; n_lines: none */
    size_t n_came;
};

static void on_asked_reference(void *ctx, size_t start, size_t len)
{
    struct asked *a = ctx;
    struct line line;

    assert_true(a->n_lines < LINES_MAX);
    line_read(a->body + start, len, &line);
    a->timed[a->n_lines] = line.has_time;
    a->lines[a->n_lines++] = (struct line_span){(uint32_t)start, (uint32_t)len};
}

static bool holds_point(const struct asked *a, const struct line_span *line)
{
    for (size_t i = 0; i < a->n_points; i++) {
        if (a->points[i] >= line->start && a->points[i] - line->start < line->len)
            return true;
    }
    return false;
}

/* The lines before `line` that did not come hold no point. Returns which is the last with a time.
 */
static size_t pass_left_out(struct asked *a, size_t line)
{
    size_t last_timed = a->last_timed;

    for (; a->next < line; a->next++) {
        assert_false(holds_point(a, &a->lines[a->next]));
        if (a->timed[a->next])
            last_timed = a->next;
    }
    return last_timed;
}

static int on_asked_lines(void *ctx, const struct input_lines *batch)
{
    const struct line_span *lines = batch->spans;
    struct asked *a = ctx;

    assert_in_range(batch->region_len, 1, LINE_REGION_MAX);
    for (size_t i = 0; i < batch->n; i++) {
        const char *came = batch->region + lines[i].start;
        size_t line = a->next, last_timed;

        while (line < a->n_lines &&
               (a->lines[line].len != lines[i].len ||
                memcmp(a->body + a->lines[line].start, came, lines[i].len) != 0))
            line++;
        assert_true(line < a->n_lines);
        last_timed = pass_left_out(a, line);
        if (a->timed[line])
            a->last_timed = line;
        else if (a->times_matter)
            assert_int_equal(a->last_timed, last_timed);
        a->next = line + 1;
        a->n_came++;
    }
    return 0;
}

/* Makes a frame; some hold a newline and a text like a frame, and some have a bad head. */
static void frame_asked(const struct asked *a, uint32_t *seed, const char *text,
                        char frame[FRAME_SIZE])
{
    const char *false_frame = draw(seed, 8) ? "" : "\n20 <190>1 - - - - - x\n";
    const char *unusual = draw(seed, 50) ? "" : "0";
    char line[400];

    snprintf(line, sizeof line, "<190>1 %s host app web.1 - - %zu %s%s", draw(seed, 3) ? TIME : "-",
             a->n, false_frame, text);
    snprintf(frame, FRAME_SIZE, "%s%zu %s\n", unusual, strlen(line) + 1, line);
}

static void add_asked(struct asked *a, uint32_t *seed, unsigned timed, unsigned framed)
{
    static const char filler[] = "................................................................"
                                 "................................................................";
    char line[300], frame[FRAME_SIZE];
    uint32_t kind = draw(seed, 400), n = draw(seed, sizeof filler);

    if (kind < timed)
        snprintf(line, sizeof line, TIME " app[web.1]: %zu %.*s", a->n, (int)n, filler);
    else
        snprintf(line, sizeof line, "%zu%.*s", a->n, (int)n, filler);
    if (draw(seed, 400) < framed)
        frame_asked(a, seed, filler + sizeof filler - 1 - n, frame);
    else
        snprintf(frame, sizeof frame, "%s%s\n",
                 kind % 50 == 1   ? "\r\n  "
                 : kind % 60 == 2 ? "<"
                                  : "",
                 line);
    assert_true(a->n + strlen(frame) < sizeof a->body);
    memcpy(a->body + a->n, frame, strlen(frame));
    a->n += strlen(frame);
}

static int compare_points(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static void make_asked(struct asked *a, uint32_t *seed)
{
    unsigned timed = (unsigned[]){0, 3, 200, 400}[draw(seed, 4)];
    unsigned framed = (unsigned[]){10, 10, 390, 400}[draw(seed, 4)];

    *a = (struct asked){0};
    for (uint32_t lines = 1 + draw(seed, 400); lines > 0; lines--)
        add_asked(a, seed, timed, framed);
    a->n_malformed = reference_parse(a->body, a->n, on_asked_reference, a).malformed;
    a->last_timed = a->n_lines;
    a->times_matter = draw(seed, 2);
    a->n_points = draw(seed, 2) ? draw(seed, 3) : draw(seed, POINTS_MAX);
    for (size_t i = 0; i < a->n_points; i++)
        a->points[i] = draw(seed, (uint32_t)a->n);
    qsort(a->points, a->n_points, sizeof *a->points, compare_points);
}

static void push_asked(struct asked *a, struct input *p, size_t at, size_t n)
{
    uint32_t points[POINTS_MAX];
    size_t n_points = 0;
    char *chunk = malloc(n);

    assert_non_null(chunk);
    memcpy(chunk, a->body + at, n);
    for (size_t i = 0; i < a->n_points; i++) {
        if (a->points[i] >= at && a->points[i] - at < n)
            points[n_points++] = (uint32_t)(a->points[i] - at);
    }
    assert_int_equal(
        input_push(p, chunk, n, &(struct input_points){points, n_points, a->times_matter}), 0);
    free(chunk);
}

UNIT_TEST(lines_that_nobody_asked_for)
{
    static struct asked a;
    struct input *p = input_new(&input_logplex, on_asked_lines, &a);
    uint32_t seed = 77;
    size_t n_lines = 0, n_came = 0;

    assert_non_null(p);
    for (int round = 0; round < 1500; round++) {
        size_t chunk;

        make_asked(&a, &seed);
        chunk = draw(&seed, 2) ? a.n : 1 + draw(&seed, 20000);
        input_begin(p);
        for (size_t at = 0; at < a.n; at += chunk)
            push_asked(&a, p, at, a.n - at < chunk ? a.n - at : chunk);
        assert_int_equal(input_finish(p), 0);
        if (a.times_matter)
            assert_int_equal(pass_left_out(&a, a.n_lines), a.last_timed);
        else
            pass_left_out(&a, a.n_lines);
        assert_int_equal(input_counts(p).lines, a.n_lines);
        assert_int_equal(input_counts(p).malformed, a.n_malformed);
        n_lines += a.n_lines;
        n_came += a.n_came;
    }
    assert_in_range(n_came, n_lines / 20, n_lines * 9 / 10); /* and many are left out */
    input_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_lines),
        cmocka_unit_test(a_frame_may_hold_anything),
        cmocka_unit_test(blanks_between_lines_are_nothing),
        cmocka_unit_test(a_bad_length_costs_no_neighbour),
        cmocka_unit_test(a_length_that_happens_to_end_well_is_believed),
        cmocka_unit_test(unframed_lines),
        cmocka_unit_test(text_ends_at_a_head),
        cmocka_unit_test(what_is_almost_a_head_is_text),
        cmocka_unit_test(a_timed_line_ends_at_its_newline_only),
        cmocka_unit_test(the_longest_line),
        cmocka_unit_test(digits_without_end_are_no_length),
        cmocka_unit_test(lines_come_in_large_batches),
        cmocka_unit_test(forms_share_a_batch),
        cmocka_unit_test(the_callback_can_stop_it),
        cmocka_unit_test(reset_forgets_the_body),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(random_bodies_agree_with_the_reference),
        cmocka_unit_test(lies_without_end_agree_with_the_reference),
        cmocka_unit_test(plain_blocks),
        cmocka_unit_test(lines_that_nobody_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
