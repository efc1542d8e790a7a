/* Knows lines that count without any rule. The matcher calls it for candidates. */
#include "ingest/match/special.h"

#include "common/base/text.h"
#include "ingest/match/logfmt.h"

#include <string.h>

static const char own_path[] = "/api/internal/heroku-log-drain";

/* Few and short: with more than 8 literals in all the pass takes half as long again, and 8 is what
 * two usual rules leave. "dropped" made it 12 % slower, as Hyperscan stops at the last bytes of a
 * literal and those stand in "skipped" and "stopped", too. */
const char *const special_expressions[SPECIAL_EXPRESSIONS] = {
    "dropp", /* dropped */
    "drain", /* heroku_log_drain:, drainwatch, /heroku-log-drain */
};

static bool starts_with(const char *bytes, size_t n, const char *start)
{
    size_t len = strlen(start);

    return n >= len && memcmp(bytes, start, len) == 0;
}

static bool from_heroku(const struct line *line, const char *process)
{
    return line->form != LINE_BARE && line_text_is(line->source, "heroku") &&
           line_text_is(line->process, process);
}

/* The length of the time that our log lines begin with outside of Heroku and systemd. */
static size_t own_time_len(struct line_text message)
{
    static const char form[] = "0000-00-00T00:00:00.000Z ";
    size_t i = 0;

    while (i < sizeof form - 1 && i < message.len &&
           (form[i] == '0' ? text_is_digit(message.data[i]) : message.data[i] == form[i]))
        i++;
    return i == sizeof form - 1 ? i : 0;
}

bool special_is_ours(const struct line *line)
{
    size_t skip = own_time_len(line->message);
    const char *message = line->message.data + skip;
    size_t n = line->message.len - skip;

    return starts_with(message, n, "heroku_log_drain:") || starts_with(message, n, "drainwatch");
}

bool special_is_about_us(const struct line *line)
{
    struct line_text message = line->message;
    struct logfmt_pair pair;
    struct logfmt pairs;

    if (!from_heroku(line, "router"))
        return false;
    logfmt_begin(&pairs, message.data, message.len);
    while (logfmt_next(&pairs, &pair)) {
        if (line_text_is(pair.key, "path"))
            return starts_with(pair.content.data, pair.content.len, own_path);
    }
    return false;
}

/* Moves `*at` over `text` if it stands there. */
static bool skip_text(struct line_text s, size_t *at, const char *text)
{
    if (!starts_with(s.data + *at, s.len - *at, text))
        return false;
    *at += strlen(text);
    return true;
}

static bool is_digit_at(struct line_text s, size_t at)
{
    return at < s.len && text_is_digit(s.data[at]);
}

/* Moves `*at` over the number that stands there. A number over the bound becomes the bound. */
static bool read_number(struct line_text s, size_t *at, uint64_t *n)
{
    size_t start = *at;

    for (*n = 0; is_digit_at(s, *at); (*at)++) {
        *n = *n * 10 + (uint64_t)(s.data[*at] - '0');
        if (*n > SPECIAL_LOST_MAX)
            *n = SPECIAL_LOST_MAX;
    }
    return *at > start;
}

/* "N messages " that ends at `end`. */
static bool number_before(struct line_text s, size_t end, uint64_t *n)
{
    static const char *const words[] = {" messages ", " message "};

    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(words[i]), at;

        if (end < len || memcmp(s.data + end - len, words[i], len) != 0)
            continue;
        for (at = end - len; at > 0 && is_digit_at(s, at - 1); at--)
            ;
        return read_number(s, &at, n);
    }
    return false;
}

/* The known wordings of L10: "N messages dropped since …" and "dropped N messages". */
uint64_t special_lost(const struct line *line)
{
    static const char dropped[] = "dropped";
    struct line_text s = line->message;
    size_t at = 0;
    uint64_t n;

    if (!from_heroku(line, "logplex"))
        return 0;
    while (at < s.len) {
        const char *hit = memmem(s.data + at, s.len - at, dropped, sizeof dropped - 1);
        size_t start;

        if (hit == NULL)
            return 0;
        start = (size_t)(hit - s.data);
        at = start + sizeof dropped - 1;
        if (number_before(s, start, &n))
            return n;
        if (skip_text(s, &at, " ") && read_number(s, &at, &n) && skip_text(s, &at, " message"))
            return n;
    }
    return 0;
}
