/* Cuts bodies into lines: the parser of input_logplex and input_plain. Its grammar:
 *
 *   head     = [sign] LENGTH SP "<" 1*3DIGIT ">1 "       LENGTH of 1 to 20 digits
 *   time     = an RFC 3339 time SP, of at most LINE_TIME_MAX bytes
 *
 * Before each line '\n', '\r' and spaces are skipped. A line is one of these:
 *
 *   frame    A head with a good LENGTH: no sign, no leading zero, at most LINE_BYTES_MAX. So many
 *            bytes follow the space of the head, and they either end in '\n' or are followed by
 *            '\n', '\r', another head or the end of the body. All of them are one line.
 *   salvage  A head with a bad LENGTH, counted as malformed. The text after it may still be a line
 *            that matters, so it becomes one, up to the next '\n' or head. A wrong length skips
 *            nothing, so it cannot cost its neighbours.
 *   timed    Text that begins with a time: a line up to '\n', even if it holds a head. Otherwise an
 *            app could print text that passes for another line of a saved `heroku logs`.
 *   text     Anything else: a line up to the next '\n' or head. So a body that begins within a
 *            frame loses only that frame. A syslog line without LENGTH is text, too.
 *
 * Within text, digits after a digit begin no head, and a sign before a head belongs to it. A line
 * of more than LINE_BYTES_MAX bytes is cut there and counted as malformed. '\r' and '\n' at the end
 * of a line are taken off.
 *
 * The parser is linear and independent of chunks: each question ("is a head here?", "is this length
 * good?", "where does the text end?") has the answer yes, no or not yet, and further bytes never
 * change a yes or no. Undecided bytes wait in the carry; a text remembers how far it was searched.
 *
 * Example: "10 <190>1 ab\n" comes as "10 <190>1 a" and, with the next frame, "b\n10 <190>1 cd\n".
 * At the end of the first chunk length_is_good lacks 2 bytes, so its 11 bytes go into the carry.
 * complete_carry adds the 2 bytes of the second chunk, the frame is whole, and it is handed over
 * from the carry. The walk goes on in the second chunk itself, behind "b\n". */
#include "ingest/input/input.h"

#include "common/base/err.h"
#include "ingest/input/head.h"
#include "ingest/input/plain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKAHEAD = LINE_TIME_MAX, /* enough to recognise a head or a time */
    /* The most undecided bytes: a frame of full length with the heads before and after it, or a
     * text of full length in whose last bytes a head may begin. */
    KEEP_MAX = LINE_BYTES_MAX + 2 * HEAD_MAX,
    /* Room to complete each line that begins in the kept bytes, and enough more that moving them to
     * the front costs less than one byte for each byte that came. Unused room is never touched. */
    CARRY_SIZE = 3 * KEEP_MAX,
    FIRST_LINES = 20, /* of a saved log: a frame among them makes it input_logplex */
};

enum place {
    AT_BEGIN, /* a line may begin here, or has begun and its kind is not known yet */
    IN_TEXT,  /* salvage or text */
    IN_TIMED,
};

struct logplex {
    struct input in; /* first: the seam sees this part */
    int rc;          /* the error that stopped the parser */

    enum place place;
    bool cut;        /* the line was handed over; its rest is skipped */
    size_t searched; /* bytes from its start in which a text does not end */
    size_t lacking;  /* bytes to get before the next step is tried; at least 1 */

    char *carry; /* bytes from `carry_at` to `carry_end` are kept */
    size_t carry_at;
    size_t carry_end;

    /* Of the chunk that is walked in place. */
    const uint32_t *points; /* the remaining input_points; NULL: every line is handed over */
    size_t n_points;
    bool times_matter;
    size_t count_from; /* count_plain is not tried before this offset */

    const char *region; /* where the first line of the batch begins */
    size_t n_lines;
    struct line_span lines[LINE_BATCH_MAX];
};

/* Bytes of the body, all of one chunk or of the carry. */
struct stretch {
    const char *data;
    size_t len;
    bool last; /* the body ends with them */
};

static struct input *logplex_new(void)
{
    struct logplex *p = malloc(sizeof *p);

    if (p == NULL)
        return NULL;
    p->carry = NULL;
    return &p->in;
}

static void logplex_free(struct input *in)
{
    struct logplex *p = (struct logplex *)in;

    free(p->carry);
    free(p);
}

static void logplex_begin(struct input *in)
{
    struct logplex *p = (struct logplex *)in;

    p->rc = 0;
    p->place = AT_BEGIN;
    p->cut = false;
    p->searched = 0;
    p->lacking = 1;
    p->carry_at = p->carry_end = p->n_lines = 0;
    p->points = NULL;
}

/* --- handing over --------------------------------------------------------------------------- */

static void flush(struct logplex *p)
{
    struct input_lines lines = {.region = p->region, .spans = p->lines, .n = p->n_lines};
    const struct line_span *last;

    if (p->n_lines == 0 || p->rc != 0)
        return;
    last = &p->lines[p->n_lines - 1];
    lines.region_len = last->start + last->len;
    p->n_lines = 0;
    p->in.counts.lines += lines.n;
    p->rc = p->in.on_lines(p->in.ctx, &lines);
}

/* Adds a line of 1 to LINE_BYTES_MAX bytes that does not begin with a line end. Returns false if
 * the parser was stopped. */
static inline bool add_line(struct logplex *p, const char *line, size_t len)
{
    size_t start = p->n_lines > 0 ? (size_t)(line - p->region) : 0;

    while (line[len - 1] <= '\r' && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    if (p->n_lines == 0 || p->n_lines == LINE_BATCH_MAX || start + len > LINE_REGION_MAX) {
        flush(p);
        p->region = line;
        start = 0;
    }
    p->lines[p->n_lines++] = (struct line_span){.start = (uint32_t)start, .len = (uint32_t)len};
    return p->rc == 0;
}

static void hand_over(struct logplex *p, const char *line, size_t len)
{
    if (len > LINE_BYTES_MAX) {
        len = LINE_BYTES_MAX;
        p->in.counts.malformed++;
    }
    add_line(p, line, len);
}

/* --- frames --------------------------------------------------------------------------------- */

/* Whether the bytes after a frame that begins at `begin` confirm its length. */
static enum line_known length_is_good(struct logplex *p, const struct stretch *in, size_t begin,
                                      size_t length)
{
    size_t left = in->len - begin;
    const char *behind;
    struct head next;
    enum line_known known;

    if (length == 0)
        return LINE_NO;
    if (left < length) {
        p->lacking = length - left;
        return in->last ? LINE_NO : LINE_MORE;
    }
    behind = in->data + begin + length;
    if (behind[-1] == '\n')
        return LINE_YES;
    if (left == length)
        return in->last ? LINE_YES : LINE_MORE;
    if (*behind == '\n' || *behind == '\r')
        return LINE_YES;
    known = head_at(behind, left - length, &next);
    return known == LINE_MORE && in->last ? LINE_NO : known;
}

/* The next point, or the end of the bytes. */
static size_t next_point(struct logplex *p, const struct stretch *in, size_t at)
{
    for (; p->n_points > 0 && *p->points < at; p->points++)
        p->n_points--;
    return p->n_points > 0 ? *p->points : in->len;
}

static void begin_text(struct logplex *p, enum place place)
{
    p->place = place;
    p->searched = 0;
}

/* Decides which kind of line begins at `*at`. Returns false if that takes more bytes. */
static bool step_begin(struct logplex *p, const struct stretch *in, size_t *at)
{
    const char *s = in->data + *at;
    size_t n = in->len - *at, time_len;
    struct head head;
    enum line_known known = head_at(s, n, &head);
    int64_t us;

    if (known == LINE_YES) {
        known = length_is_good(p, in, *at + head.len, head.length);
        if (known == LINE_MORE)
            return false;
        if (known == LINE_YES) {
            hand_over(p, s + head.len, head.length);
            *at += head.len + head.length;
            return true;
        }
        p->in.counts.malformed++;
        *at += head.len;
        begin_text(p, IN_TEXT);
        return true;
    }
    if (known == LINE_NO)
        known = line_time(s, n, &us, &time_len);
    if (known == LINE_MORE && !in->last)
        return false;
    begin_text(p, known == LINE_YES ? IN_TIMED : IN_TEXT);
    return true;
}

/* --- text ----------------------------------------------------------------------------------- */

/* Whether the '<' at `lt` is part of a head that begins at `floor` or after it. */
static enum line_known head_around(const struct stretch *in, size_t floor, size_t lt, size_t *begin)
{
    const char *s = in->data;
    size_t i = lt - 1, pri;

    if (lt <= floor || s[i] != ' ')
        return LINE_NO;
    while (i > floor && text_is_digit(s[i - 1]) && lt - i <= HEAD_DIGITS_MAX + 1)
        i--;
    if (i == lt - 1 || lt - i > HEAD_DIGITS_MAX + 1)
        return LINE_NO;
    if (i > floor && (s[i - 1] == '+' || s[i - 1] == '-'))
        i--;
    *begin = i;
    return line_pri(s + lt, in->len - lt, &pri);
}

/* Finds the end of a text: the first '\n' or head from `*from` on. Moves `*from` to the byte from
 * which the search must go on. */
static enum line_known text_end(const struct stretch *in, size_t floor, size_t *from, size_t *end)
{
    for (; *from < in->len; ++*from) {
        char c = in->data[*from];
        enum line_known known = c == '<' ? head_around(in, floor, *from, end) : LINE_NO;

        if (known != LINE_NO)
            return known;
        if (c == '\n') {
            *end = *from;
            return LINE_YES;
        }
    }
    return LINE_MORE;
}

static enum line_known timed_end(const struct stretch *in, size_t *from, size_t *end)
{
    const char *newline = memchr(in->data + *from, '\n', in->len - *from);

    *from = *end = newline == NULL ? in->len : (size_t)(newline - in->data);
    return newline == NULL ? LINE_MORE : LINE_YES;
}

/* Drops the rest of an overlong text as it comes, except the last bytes, in which a head may begin.
 */
static void drop_text(struct logplex *p, size_t *at)
{
    size_t keep = p->searched < HEAD_BEFORE ? p->searched : HEAD_BEFORE;

    p->cut = true;
    *at += p->searched - keep;
    p->searched = keep;
}

/* Ends the text that begins at `*at`. Returns false if that takes more bytes. */
static bool step_text(struct logplex *p, const struct stretch *in, size_t *at)
{
    size_t from = *at + p->searched, end = 0;
    enum line_known known =
        p->place == IN_TIMED ? timed_end(in, &from, &end) : text_end(in, *at, &from, &end);

    if (known == LINE_MORE && in->last) {
        known = LINE_YES;
        end = in->len;
    }
    if (known == LINE_YES) {
        if (!p->cut)
            hand_over(p, in->data + *at, end - *at);
        *at = end;
        p->place = AT_BEGIN;
        p->cut = false;
        return true;
    }
    p->searched = from - *at;
    /* As many bytes again, so that a long text does not grow in small pieces. */
    p->lacking = p->searched + LOOKAHEAD;
    /* A head that begins before the bound may have its '<' this far after it. */
    if (!p->cut && p->searched <= LINE_BYTES_MAX + HEAD_BEFORE)
        return false;
    if (!p->cut)
        hand_over(p, in->data + *at, p->searched);
    drop_text(p, at);
    return false;
}

/* --- lines far from any point --------------------------------------------------------------- */

/* Takes the usual frames from `at` on that end in '\n', and returns where they end. It only counts
 * frames before the next point, unless times matter. */
static size_t take_frames(struct logplex *p, const struct stretch *in, size_t at)
{
    const char *s = in->data;
    uint64_t lines = 0;
    size_t point = 0, end;
    struct head head;

    if (p->points == NULL)
        return at;
    while (in->len - at >= HEAD_USUAL_MAX && head_usual_at(s + at, &head)) {
        end = at + head.len + head.length;
        if (end > in->len || s[end - 1] != '\n')
            break;
        if (end > point && !p->times_matter)
            point = next_point(p, in, at);
        if (end <= point)
            lines++;
        else if (!add_line(p, s + at + head.len, head.length))
            break;
        at = end;
    }
    p->in.counts.lines += lines;
    return at;
}

/* Counts the plain lines from `at` on and returns where they end. Only the last line with a time
 * can matter to a later line, so that one is handed over if times matter. */
static size_t count_plain(struct logplex *p, const struct stretch *in, size_t at)
{
    const char *text;
    uint64_t lines = 0;
    size_t n, stop, timed, len;

    if (p->points == NULL || at < p->count_from)
        return at;
    text = in->data + at;
    stop = next_point(p, in, at);
    n = plain_stretch(text, stop - at, &lines);
    /* The block that is not plain is not tried again for each of its lines. */
    p->count_from = stop - at - n <= PLAIN_BLOCK ? stop : at + n + PLAIN_BLOCK;
    if (p->times_matter && plain_last_timed(text, n, &timed, &len)) {
        hand_over(p, text + timed, len);
        lines--;
    }
    p->in.counts.lines += lines;
    return at + n;
}

/* --- chunks --------------------------------------------------------------------------------- */

static size_t skip_blank(const struct stretch *in, size_t at)
{
    while (at < in->len && (in->data[at] == '\n' || in->data[at] == '\r' || in->data[at] == ' '))
        at++;
    return at;
}

/* Steps from `*at` on until a step begins at `stop` or later, or lacks bytes. */
static void walk(struct logplex *p, const struct stretch *in, size_t *at, size_t stop)
{
    bool went = true;

    while (went && p->rc == 0) {
        if (p->place == AT_BEGIN) {
            *at = skip_blank(in, take_frames(p, in, *at));
            *at = count_plain(p, in, *at);
        }
        if (*at >= stop)
            return;
        p->lacking = LOOKAHEAD; /* unless the step knows better */
        went = p->place == AT_BEGIN ? step_begin(p, in, at) : step_text(p, in, at);
    }
}

/* Only the used part of the carry ever becomes memory. */
static void count_kept(struct logplex *p)
{
    if (p->carry_end > p->in.kept_bytes)
        p->in.kept_bytes = p->carry_end;
}

/* Keeps the undecided bytes at the end of a chunk. */
static int keep(struct logplex *p, const char *bytes, size_t n)
{
    assert(n <= KEEP_MAX);
    if (n == 0)
        return 0;
    if (p->carry == NULL)
        p->carry = malloc(CARRY_SIZE);
    if (p->carry == NULL)
        return ERR_NOMEM;
    memcpy(p->carry, bytes, n);
    p->carry_end = n;
    count_kept(p);
    return 0;
}

static void make_room(struct logplex *p)
{
    size_t kept = p->carry_end - p->carry_at;

    if (p->carry_end <= 2 * KEEP_MAX)
        return;
    memmove(p->carry, p->carry + p->carry_at, kept);
    p->carry_at = 0;
    p->carry_end = kept;
}

/* Completes the lines that begin in the carry with as few bytes of the chunk as possible. Returns
 * how many of these bytes belong to them; the rest of the chunk can be walked in place. */
static size_t complete_carry(struct logplex *p, const char *bytes, size_t n)
{
    size_t copied = 0, kept_end;

    make_room(p);
    kept_end = p->carry_end;
    do {
        size_t room = CARRY_SIZE - p->carry_end;
        size_t more = p->lacking < n - copied ? p->lacking : n - copied;

        more = more < room ? more : room;
        assert(more > 0);
        memcpy(p->carry + p->carry_end, bytes + copied, more);
        copied += more;
        p->carry_end += more;
        walk(p, &(struct stretch){.data = p->carry, .len = p->carry_end}, &p->carry_at, kept_end);
    } while (p->rc == 0 && p->carry_at < kept_end && copied < n);
    count_kept(p);
    flush(p);
    if (p->carry_at < kept_end)
        return n;
    copied = p->carry_at - kept_end;
    p->carry_at = p->carry_end = 0;
    return copied;
}

static int logplex_push(struct input *input, const char *bytes, size_t n,
                        const struct input_points *points)
{
    struct logplex *p = (struct logplex *)input;
    struct stretch in = {.data = bytes, .len = n};
    size_t at = 0;

    assert(p->rc == 0);
    if (n > 0 && p->carry_end > 0)
        at = complete_carry(p, bytes, n);
    if (p->rc == 0 && at < n) {
        p->points = points != NULL ? points->at : NULL;
        p->n_points = points != NULL ? points->n : 0;
        p->times_matter = points == NULL || points->times_matter;
        p->count_from = 0;
        walk(p, &in, &at, n);
        p->points = NULL;
        flush(p);
        if (p->rc == 0)
            p->rc = keep(p, bytes + at, n - at);
    }
    return p->rc;
}

static int logplex_finish(struct input *input)
{
    struct logplex *p = (struct logplex *)input;
    struct stretch in = {.data = p->carry, .len = p->carry_end, .last = true};

    assert(p->rc == 0);
    walk(p, &in, &p->carry_at, p->carry_end);
    flush(p);
    return p->rc;
}

/* Whether a frame begins at the beginning of one of the first lines. */
static bool logplex_recognises(const char *bytes, size_t n)
{
    for (int i = 0; n > 0 && i < FIRST_LINES; i++) {
        const char *newline = memchr(bytes, '\n', n);
        size_t len = newline != NULL ? (size_t)(newline - bytes) + 1 : n;
        struct head head;

        if (head_at(bytes, n, &head) == LINE_YES)
            return true;
        bytes += len;
        n -= len;
    }
    return false;
}

static bool plain_recognises(const char *bytes, size_t n)
{
    (void)bytes, (void)n;
    return true;
}

const struct input_format input_logplex = {
    .name = "Logplex frames",
    .path = "/api/internal/heroku-log-drain",
    .in_place = true,
    .recognises = logplex_recognises,
    .new = logplex_new,
    .free = logplex_free,
    .begin = logplex_begin,
    .push = logplex_push,
    .finish = logplex_finish,
};

const struct input_format input_plain = {
    .name = "heroku logs or plain lines",
    .has_continuations = true,
    .in_place = true,
    .recognises = plain_recognises,
    .new = logplex_new,
    .free = logplex_free,
    .begin = logplex_begin,
    .push = logplex_push,
    .finish = logplex_finish,
};
