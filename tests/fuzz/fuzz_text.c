/* Any bytes as a text to show, a time, a duration, a logfmt message and a log line: shown text is
 * printable, parts lie within the bytes, and a written time is read back alike. */
#include "tests/fuzz/feed.h"

#include <stdio.h>

#include "common/base/time.h"
#include "ingest/input/line.h"
#include "ingest/match/logfmt.h"

#define LAST_US INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

static void check_printable(const char *bytes, size_t n)
{
    struct buf shown, again;
    char line[64];
    char *text = feed_copy(bytes, n);

    buf_init(&shown, 8 * n + 8);
    buf_init(&again, 8 * n + 8);
    assert(text_append_printable(&shown, bytes, n) == 0);
    assert(feed_is_shown(buf_text(&shown), shown.len) && strchr(buf_text(&shown), '\n') == NULL);
    assert(text_append_printable(&again, buf_text(&shown), shown.len) == 0);
    assert(shown.len == again.len && strcmp(buf_text(&shown), buf_text(&again)) == 0);
    text_copy_printable(line, sizeof line, buf_text(&shown));
    feed_check_line(line);
    assert(strncmp(line, buf_text(&shown), strlen(line)) == 0);
    buf_close(&shown);
    buf_close(&again);
    free(text);
}

typedef size_t redact_fn(char *bytes, size_t n);

/* A secret that is hidden stays as it is. */
static void check_redacted(redact_fn *redact, const char *bytes, size_t n)
{
    char *text = feed_copy(bytes, n), *once;
    size_t len = redact(text, n);

    assert(len <= n);
    once = feed_copy(text, len);
    assert(redact(text, len) == len && memcmp(text, once, len) == 0);
    free(once);
    free(text);
}

static void check_stripped(const char *bytes, size_t n)
{
    char *text = feed_copy(bytes, n);
    size_t len = text_strip_terminal(text, n);

    assert(len <= n && memchr(text, '\t', len) == NULL && memchr(text, '\r', len) == NULL);
    free(text);
}

/* A secret made of the input's bytes does not survive on a line with any other bytes behind it. */
static void check_secret(const char *bytes, size_t n)
{
    static const char *const befores[] = {
        "postgres://u:", "redis://:", "amqp:\\/\\/u:",          "url='https://u:",
        "password=",     "token: '",  "Authorization: Bearer ", "{\"api_key\":\""};
    static const char *const afters[] = {"@h/x ", "@h ", "@h ", "@h' a=b@c ",
                                         " ",     "' ",  " ",   "\"} "};
    static const char letters[] = "aB0&'/?#@%+=!$*~";
    char secret[16] = "Zq", *text = malloc(n + 64);

    assert(text != NULL);
    for (size_t i = 2; i < sizeof secret - 1; i++)
        secret[i] = letters[i < n ? (unsigned char)bytes[i] % 16 : 0];
    for (size_t i = 0; i < sizeof befores / sizeof befores[0]; i++) {
        size_t len = (size_t)sprintf(text, "%s%s%s", befores[i], secret, afters[i]), left;

        memcpy(text + len, bytes, n);
        left = text_redact_line(text, len + n);
        assert(memmem(text, left < len ? left : len, secret, strlen(secret)) == NULL);
    }
    free(text);
}

static void check_cut(const char *bytes, size_t n)
{
    size_t len = text_utf8_len(bytes, n);

    assert(len <= n && text_is_utf8(bytes, len) && text_is_utf8(bytes, n) == (len == n));
    for (size_t max = 0; max <= len && max < 16; max++) {
        size_t cut = text_cut(bytes, len, max);

        assert(cut <= max && max - cut < 4 && text_is_utf8(bytes, cut));
    }
}

static void check_times(const char *bytes, size_t n)
{
    char text[TIME_RFC3339_SIZE], utc[TIME_UTC_SIZE], words[TIME_WORDS_SIZE];
    int64_t us, again;

    if (time_parse_rfc3339(bytes, n, &us)) {
        time_format_rfc3339(us, text);
        time_format_utc(us, utc);
        assert(strlen(text) == TIME_RFC3339_SIZE - 1 && strlen(utc) == TIME_UTC_SIZE - 1);
        /* A zone can move a time out of the years that are read. */
        if (us >= 0 && us <= LAST_US)
            assert(time_parse_rfc3339(text, strlen(text), &again) && again == us);
    }
    if (time_parse_duration(bytes, n, &us)) {
        assert(us >= 0 && us <= 1000 * TIME_DAY);
        time_format_words(us, words);
        feed_check_line(words);
    }
}

static bool lies_in(const char *part, size_t len, const char *all, size_t n)
{
    return part >= all && len <= n && part <= all + n - len;
}

static void check_pairs(const char *bytes, size_t n)
{
    struct logfmt_pair pair;
    const char *end = bytes;
    char *unquoted = feed_copy((const uint8_t *)bytes, n);
    struct logfmt pairs;
    size_t before = 0;

    logfmt_hide_quoted(bytes, n, unquoted);
    logfmt_begin(&pairs, bytes, n);
    for (; logfmt_next(&pairs, &pair); before = pairs.at) {
        assert(pairs.at > before && pairs.at <= n && pair.key.data >= end);
        assert(lies_in(pair.key.data, pair.key.len, bytes, n));
        assert(lies_in(pair.value.data, pair.value.len, bytes, n));
        assert(lies_in(pair.content.data, pair.content.len, pair.value.data, pair.value.len));
        assert(pair.key.len > 0 && pair.key.data[0] != '"');
        assert(pair.key.data[0] == unquoted[pair.key.data - bytes]);
        assert(memchr(pair.key.data, '=', pair.key.len) == NULL ||
               memchr(pair.key.data, '"', pair.key.len) != NULL);
        end = pair.value.data + pair.value.len;
    }
    assert(pairs.at <= n);
    free(unquoted);
}

static void check_line(const char *bytes, size_t n)
{
    struct line line;
    size_t source, process;

    if (n == 0)
        return;
    line_read(bytes, n, &line);
    source = line.source.len, process = line.process.len;
    assert(lies_in(line.source.data, source, bytes, n));
    assert(lies_in(line.process.data, process, bytes, n));
    assert(lies_in(line.message.data, line.message.len, bytes, n));
    assert(line.message.data + line.message.len == bytes + n);
    assert(line.form != LINE_BARE || (source == 0 && process == 0));
    assert(memchr(line.source.data, ' ', source) == NULL);
    assert(line.form != LINE_HEROKU || line.has_time);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = feed_copy(data, size);

    check_printable(bytes, size);
    check_redacted(text_redact_secrets, bytes, size);
    check_redacted(text_redact_line, bytes, size);
    check_stripped(bytes, size);
    check_secret(bytes, size);
    check_cut(bytes, size);
    check_times(bytes, size);
    check_pairs(bytes, size);
    check_line(bytes, size);
    free(bytes);
    return 0;
}
