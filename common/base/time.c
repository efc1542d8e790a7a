/* Reads and writes times and durations; called everywhere. */
#include "common/base/time.h"

#include "common/base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Days since 1970-01-01 of a proleptic Gregorian date in the years 0 to 10000. Years begin in
 * March, so that a leap day is the last day of its year, and are counted from 400 years before 0,
 * so that none is negative. */
static int64_t days_from_civil(int year, int month, int day)
{
    bool early = month <= 2;
    unsigned y = (unsigned)(year + 400 - early), m = (unsigned)(early ? month + 9 : month - 3);

    return (int64_t)(y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + (unsigned)day - 1) -
           (719468 + 146097);
}

static void civil_from_days(int64_t days, int *y, int *m, int *d)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;

    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = (int)(yoe + era * 400 + (*m <= 2));
}

struct civil {
    int y, mo, d, h, mi, s, us;
};

static int days_in_month(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    return m == 2 && leap ? 29 : days[m - 1];
}

/* Whole seconds since the epoch; false if there is no such date or time of day. */
static bool to_seconds(const struct civil *c, int64_t *seconds)
{
    if (c->y < 1970 || c->mo < 1 || c->mo > 12 || c->d < 1)
        return false;
    if (c->d > 28 && c->d > days_in_month(c->y, c->mo))
        return false;
    if (c->h > 23 || c->mi > 59 || c->s > 60)
        return false;
    *seconds = days_from_civil(c->y, c->mo, c->d) * 86400 + c->h * 3600 + c->mi * 60 + c->s;
    return true;
}

/* Whether the text has this form, in which a '9' stands for any digit. It looks at all bytes, so
 * that compilers make a few vector instructions of it. */
static inline bool has_form(const char *text, const char *form, size_t n)
{
    unsigned char differs = 0;

    for (size_t i = 0; i < n; i++) {
        char least = form[i] == '9' ? '0' : form[i];

        differs |= (text[i] < least) | (text[i] > form[i]);
    }
    return !differs;
}

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + text[1] - '0';
}

/* The date and time of day at `t`, "2026-05-07T08:06:12", in whole seconds since the epoch. */
static bool read_seconds(const char *t, int64_t *seconds)
{
    const struct civil c = {.y = two_digits(t) * 100 + two_digits(t + 2),
                            .mo = two_digits(t + 5),
                            .d = two_digits(t + 8),
                            .h = two_digits(t + 11),
                            .mi = two_digits(t + 14),
                            .s = two_digits(t + 17)};

    return to_seconds(&c, seconds);
}

/* The form of Heroku's times. Each matching line has one, and this takes half of the instructions
 * of the general way. */
static bool parse_usual(const char *t, size_t len, int64_t *us)
{
    static const char form[] = "9999-99-99T99:99:99.999999+00:00";
    int64_t seconds;

    if (len != sizeof form - 1 || !has_form(t, form, sizeof form - 1) || !read_seconds(t, &seconds))
        return false;
    *us = seconds * TIME_S + two_digits(t + 20) * 10000 + two_digits(t + 22) * 100 +
          two_digits(t + 24);
    return true;
}

static bool parse_date_time(const char *t, int64_t *seconds)
{
    if (!has_form(t, "9999-99-99", 10) || !has_form(t + 11, "99:99:99", 8))
        return false;
    return (t[10] == 'T' || t[10] == 't' || t[10] == ' ') && read_seconds(t, seconds);
}

/* "Z", "z" or "+01:00" and nothing more, in seconds east of UTC. */
static bool parse_offset(const char *t, size_t len, int64_t *seconds)
{
    int h, m;

    *seconds = 0;
    if (len == 1)
        return t[0] == 'Z' || t[0] == 'z';
    if (len != 6 || (t[0] != '+' && t[0] != '-') || !has_form(t + 1, "99:99", 5))
        return false;
    h = two_digits(t + 1);
    m = two_digits(t + 4);
    *seconds = (t[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return h <= 23 && m <= 59;
}

bool time_parse_rfc3339(const char *text, size_t len, int64_t *us)
{
    int64_t seconds, offset, fraction = 0, scale = 100000;
    size_t i = 19;

    if (parse_usual(text, len, us))
        return true;
    if (len < 20 || !parse_date_time(text, &seconds))
        return false;
    if (text[i] == '.') {
        i++;
        if (i == len || !text_is_digit(text[i]))
            return false;
        for (; i < len && text_is_digit(text[i]); i++, scale /= 10)
            fraction += (text[i] - '0') * scale;
    }
    if (!parse_offset(text + i, len - i, &offset))
        return false;
    *us = (seconds - offset) * TIME_S + fraction;
    return true;
}

static struct civil civil_of(int64_t us)
{
    const int64_t first = days_from_civil(0, 1, 1) * TIME_DAY;
    const int64_t last = days_from_civil(10000, 1, 1) * TIME_DAY - 1;
    struct civil c;
    int64_t days, rest;

    us = us < first ? first : us > last ? last : us;
    days = us / TIME_DAY - (us % TIME_DAY < 0);
    rest = us - days * TIME_DAY;
    civil_from_days(days, &c.y, &c.mo, &c.d);
    c.h = (int)(rest / TIME_HOUR);
    c.mi = (int)(rest / TIME_MINUTE % 60);
    c.s = (int)(rest / TIME_S % 60);
    c.us = (int)(rest % TIME_S);
    return c;
}

void time_format_rfc3339(int64_t us, char out[TIME_RFC3339_SIZE])
{
    struct civil c = civil_of(us);

    snprintf(out, TIME_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)c.y % 10000,
             (unsigned)c.mo % 100, (unsigned)c.d % 100, (unsigned)c.h % 100, (unsigned)c.mi % 100,
             (unsigned)c.s % 100, (unsigned)c.us % 1000000);
}

void time_format_utc(int64_t us, char out[TIME_UTC_SIZE])
{
    char text[TIME_RFC3339_SIZE];

    time_format_rfc3339(us, text);
    snprintf(out, TIME_UTC_SIZE, "%.10s %.8s UTC", text, text + 11);
}

static const struct unit {
    const char *suffix;
    const char *word;
    int64_t us;
} units[] = {
    {"d", "day", TIME_DAY},  {"h", "hour", TIME_HOUR},       {"m", "minute", TIME_MINUTE},
    {"s", "second", TIME_S}, {"ms", "millisecond", TIME_MS},
};
enum { UNITS = sizeof units / sizeof units[0] };

/* The unit at `text`; its letters end at a digit or at the end of the text. */
static int unit_at(const char *text, size_t len, size_t *letters)
{
    size_t n = 0;

    while (n < len && !text_is_digit(text[n]))
        n++;
    *letters = n;
    for (int i = 0; i < UNITS; i++) {
        if (strlen(units[i].suffix) == n && memcmp(units[i].suffix, text, n) == 0)
            return i;
    }
    return -1;
}

bool time_parse_duration(const char *text, size_t len, int64_t *us)
{
    int64_t total = 0;
    int last = -1;
    size_t i = 0;

    if (len == 0)
        return false;
    while (i < len) {
        int64_t value = 0;
        size_t start = i, letters = 0;
        int unit;

        for (; i < len && text_is_digit(text[i]) && i - start < 10; i++)
            value = value * 10 + (text[i] - '0');
        unit = i == start ? -1 : unit_at(text + i, len - i, &letters);
        if (unit <= last || value > 1000 * TIME_DAY / units[unit].us)
            return false;
        total += value * units[unit].us;
        last = unit;
        i += letters;
    }
    if (total > 1000 * TIME_DAY)
        return false;
    *us = total;
    return true;
}

void time_format_words(int64_t us, char out[TIME_WORDS_SIZE])
{
    size_t len = 0;

    assert(us >= 0);
    for (int i = 0; i < UNITS; i++) {
        int64_t n = us / units[i].us;

        us %= units[i].us;
        if (n > 0)
            len += (size_t)snprintf(out + len, TIME_WORDS_SIZE - len, "%s%lld %s%s",
                                    len > 0 ? " " : "", (long long)n, units[i].word,
                                    n == 1 ? "" : "s");
    }
    if (len == 0)
        snprintf(out, TIME_WORDS_SIZE, "0 seconds");
}
