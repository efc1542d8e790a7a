/* Reads the header of one line; called by every format, ingest/collect and rule tests. */
#include "ingest/input/line.h"

#include "common/base/time.h"
#include "ingest/input/head.h"

#include <string.h>

enum {
    TIME_MIN = 20,   /* 2026-05-07T08:06:12Z */
    TIME_USUAL = 32, /* 2026-05-07T08:06:12.123456+00:00, Heroku's own */
};

/* A time of the usual length and a space: its end need not be searched for. */
static bool usual_time(const char *s, size_t n, int64_t *us)
{
    return n > TIME_USUAL && s[TIME_USUAL] == ' ' && time_parse_rfc3339(s, TIME_USUAL, us);
}

enum line_known line_time(const char *s, size_t n, int64_t *us, size_t *len)
{
    size_t seen = n < LINE_TIME_MAX ? n : LINE_TIME_MAX;
    const char *space;

    /* Most other text differs from a time in its first bytes. */
    for (size_t i = 0; i < seen && i < 5; i++) {
        if (i < 4 ? !text_is_digit(s[i]) : s[i] != '-')
            return LINE_NO;
    }
    if (usual_time(s, seen, us)) {
        *len = TIME_USUAL + 1;
        return LINE_YES;
    }
    /* A space may stand between date and time, so the search for the space after the time begins at
     * the end of the shortest time. */
    space = seen < TIME_MIN ? NULL : memchr(s + TIME_MIN, ' ', seen - TIME_MIN);
    if (space == NULL)
        return n < LINE_TIME_MAX ? LINE_MORE : LINE_NO;
    *len = (size_t)(space - s) + 1;
    return time_parse_rfc3339(s, *len - 1, us) ? LINE_YES : LINE_NO;
}

/* The unread rest of a line. */
struct rest {
    const char *at;
    size_t left;
};

static void skip(struct rest *r, size_t n)
{
    r->at += n;
    r->left -= n;
}

static bool skip_byte(struct rest *r, char c)
{
    if (r->left == 0 || *r->at != c)
        return false;
    skip(r, 1);
    return true;
}

static struct line_text text_of(const struct rest *r, size_t len)
{
    return (struct line_text){.data = r->at, .len = len};
}

/* Takes one field of the header and the space after it. The last field may end the line. A header
 * with a line end in it was cut: returns false. */
static bool take_token(struct rest *r, bool last, struct line_text *out)
{
    size_t n = 0;

    while (n < r->left && r->at[n] != ' ') {
        if (r->at[n] == '\n' || r->at[n] == '\r')
            return false;
        n++;
    }
    if (n == r->left && !last)
        return false;
    *out = text_of(r, n);
    skip(r, n);
    skip_byte(r, ' ');
    return true;
}

/* Takes the TIMESTAMP; an unreadable one counts as none. Heroku's own has a fixed length. */
static bool take_time(struct rest *r, struct line *out)
{
    struct line_text time;

    out->has_time = usual_time(r->at, r->left, &out->time_us);
    if (out->has_time && r->at[10] != ' ') {
        skip(r, TIME_USUAL + 1);
        return true;
    }
    if (!take_token(r, false, &time))
        return false;
    out->has_time = time_parse_rfc3339(time.data, time.len, &out->time_us);
    return true;
}

/* RFC 5424's NILVALUE reads as empty. */
static struct line_text nil_is_empty(struct line_text t)
{
    if (line_text_is(t, "-"))
        t.len = 0;
    return t;
}

/* SD-NAME, RFC 5424 section 6.3: printable ASCII but '=', ' ', ']', '"'. */
static bool skip_name(struct rest *r)
{
    size_t n = 0;

    while (n < r->left && r->at[n] > ' ' && r->at[n] < 0x7f && strchr("=]\"", r->at[n]) == NULL)
        n++;
    skip(r, n);
    return n > 0;
}

/* Skips PARAM-VALUE after its opening quote, and the closing quote. A backslash escapes the next
 * byte; a bare ']' is not allowed (section 6.3.3). */
static bool skip_value(struct rest *r)
{
    while (r->left > 0 && *r->at != ']') {
        if (skip_byte(r, '"'))
            return true;
        if (*r->at == '\\' && r->left > 1 && memchr("\"\\]", r->at[1], 3) != NULL)
            skip(r, 1);
        skip(r, 1);
    }
    return false;
}

/* Skips SD-ELEMENT. The RFC allows one without parameters; here it needs one, because Gunicorn and
 * others begin messages with "[4]". */
static bool skip_element(struct rest *r)
{
    if (!skip_byte(r, '[') || !skip_name(r) || !skip_byte(r, ' '))
        return false;
    do {
        if (!skip_name(r) || !skip_byte(r, '=') || !skip_byte(r, '"') || !skip_value(r))
            return false;
    } while (skip_byte(r, ' '));
    return skip_byte(r, ']');
}

/* Skips STRUCTURED-DATA and the space after it, unless these bytes are the message. */
static void skip_structured_data(struct rest *r)
{
    struct rest after = *r;

    if (!skip_byte(&after, '-')) {
        do {
            if (!skip_element(&after))
                return;
        } while (after.left > 0 && *after.at == '[');
    }
    if (after.left == 0 || skip_byte(&after, ' '))
        *r = after;
}

/* Takes `SOURCE PROCESS -` without a HOSTNAME, as some drains and viewers write it, if SOURCE is
 * one of Heroku's two. */
static bool take_names_alone(struct rest *r, struct line *out)
{
    struct rest after = *r;
    struct line_text msgid;

    if (!take_token(&after, false, &out->source) ||
        !(line_text_is(out->source, "heroku") || line_text_is(out->source, "app")) ||
        !take_token(&after, false, &out->process) || !take_token(&after, true, &msgid) ||
        !line_text_is(msgid, "-"))
        return false;
    *r = after;
    skip_structured_data(r);
    return true;
}

/* Takes HOSTNAME, APP-NAME, PROCID, MSGID and STRUCTURED-DATA. */
static bool take_names(struct rest *r, struct line *out)
{
    static const char logplex_host[] = "host ";
    bool is_logplex = r->left >= 5 && memcmp(r->at, logplex_host, 5) == 0;
    struct line_text host, msgid;

    if (!is_logplex && take_names_alone(r, out))
        return true;
    if (!take_token(r, false, &host) || !take_token(r, false, &out->source) ||
        !take_token(r, false, &out->process) || !take_token(r, true, &msgid))
        return false;
    /* Logplex never sends STRUCTURED-DATA, and its HOSTNAME is always "host"
     * (doc/README.http_drains.md): then "-" or "[" belongs to the message. */
    if (!is_logplex)
        skip_structured_data(r);
    return true;
}

static bool read_syslog(struct rest r, struct line *out)
{
    size_t pri;

    if (line_pri(r.at, r.left, &pri) != LINE_YES)
        return false;
    skip(&r, pri);
    if (!take_time(&r, out) || !take_names(&r, out))
        return false;
    if (r.left >= 3 && memcmp(r.at, "\xEF\xBB\xBF", 3) == 0) /* MSG-UTF8, section 6.4 */
        skip(&r, 3);
    out->form = LINE_SYSLOG;
    out->source = nil_is_empty(out->source);
    out->process = nil_is_empty(out->process);
    out->message = text_of(&r, r.left);
    return true;
}

/* "heroku[router]: message", as `heroku logs` prints it after the time. */
static bool read_heroku(struct rest r, struct line *out)
{
    struct line_text source = text_of(&r, 0), process;

    while (source.len < r.left && memchr(" []:\r\n", r.at[source.len], 6) == NULL)
        source.len++;
    skip(&r, source.len);
    if (source.len == 0 || !skip_byte(&r, '['))
        return false;
    process = text_of(&r, 0);
    while (process.len < r.left && memchr(" ]\r\n", r.at[process.len], 4) == NULL)
        process.len++;
    skip(&r, process.len);
    if (process.len == 0 || !skip_byte(&r, ']') || !skip_byte(&r, ':'))
        return false;
    if (r.left > 0 && !skip_byte(&r, ' '))
        return false;
    out->form = LINE_HEROKU;
    out->source = source;
    out->process = process;
    out->message = text_of(&r, r.left);
    return true;
}

/* "heroku router - - message" after the time, as viewers of syslog show frames; "host" may stand
 * before it. */
static bool read_viewer(struct rest r, struct line *out)
{
    struct rest after = r;
    struct line_text host;

    if (take_token(&after, false, &host) && line_text_is(host, "host"))
        r = after;
    if (!take_names_alone(&r, out))
        return false;
    out->form = LINE_HEROKU;
    out->message = text_of(&r, r.left);
    return true;
}

void line_read(const char *text, size_t len, struct line *out)
{
    struct rest r = {.at = text, .left = len};
    size_t time_len;

    if (read_syslog(r, out))
        return;
    *out = (struct line){.form = LINE_BARE};
    if (line_time(r.at, r.left, &out->time_us, &time_len) == LINE_YES) {
        out->has_time = true;
        skip(&r, time_len);
        if (read_heroku(r, out) || read_viewer(r, out))
            return;
    }
    out->source = out->process = text_of(&r, 0);
    out->message = text_of(&r, r.left);
}
