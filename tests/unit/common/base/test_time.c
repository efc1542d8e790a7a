/* Times and durations, read and written. */
#include "common/base/time.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void assert_reads(const char *text, int64_t want)
{
    int64_t us = -1;

    if (!time_parse_rfc3339(text, strlen(text), &us))
        fail_msg("refused: %s", text);
    if (us != want)
        fail_msg("%s read as %lld, not %lld", text, (long long)us, (long long)want);
}

UNIT_TEST(times_are_read)
{
    const int64_t at = INT64_C(1778141172) * TIME_S;

    assert_reads("1970-01-01T00:00:00Z", 0);
    assert_reads("2026-05-07T08:06:12Z", at);
    assert_reads("2026-05-07t08:06:12z", at);
    assert_reads("2026-05-07 08:06:12Z", at);
    assert_reads("2026-05-07T08:06:12.123456+00:00", at + 123456);
    assert_reads("2026-05-07T10:06:12.5+02:00", at + 500000);
    assert_reads("2026-05-07T02:36:12-05:30", at);
    assert_reads("2026-05-07T08:06:12.000001-00:00", at + 1);
    assert_reads("2026-05-07T08:06:12.123456789Z", at + 123456); /* cut, not rounded */
    assert_reads("2026-05-07T08:06:12.9999999Z", at + 999999);
    assert_reads("2016-12-31T23:59:60Z", INT64_C(1483228800) * TIME_S); /* a leap second */
    assert_reads("2016-12-31T23:59:60.5Z", INT64_C(1483228800) * TIME_S + 500000);
    assert_reads("2024-02-29T00:00:00Z", INT64_C(1709164800) * TIME_S);
    assert_reads("2000-02-29T00:00:00Z", INT64_C(951782400) * TIME_S);
    assert_reads("9999-12-31T23:59:59.999999Z", INT64_C(253402300799) * TIME_S + 999999);
}

UNIT_TEST(what_is_no_time_is_refused)
{
    static const char *const bad[] = {
        "",
        "2026-05-07",
        "2026-05-07T08:06:12",
        "2026-05-07T08:06:12+00",
        "2026-05-07T08:06:12+0000",
        "2026-05-07T08:06:12 +00:00",
        "2026-05-07T08:06:12.Z",
        "2026-05-07T08:06:12,5Z",
        "2026-05-07T08:06:12Z ",
        " 2026-05-07T08:06:12Z",
        "2026-05-07T08:06:12ZZ",
        "2026-05-07_08:06:12Z",
        "2026/05/07T08:06:12Z",
        "2026-05-07T08.06.12Z",
        "2026-5-07T08:06:12ZZ",
        "2026-00-07T08:06:12Z",
        "2026-13-07T08:06:12Z",
        "2026-05-00T08:06:12Z",
        "2026-04-31T08:06:12Z",
        "2026-02-29T08:06:12Z",
        "1900-02-29T08:06:12Z",
        "2100-02-29T08:06:12Z",
        "1969-12-31T23:59:59Z",
        "2026-05-07T24:06:12Z",
        "2026-05-07T08:60:12Z",
        "2026-05-07T08:06:61Z",
        "2026-05-07T-1:06:12Z",
        "2026-05-07T08:06:+2Z",
        "2026-05-07T08:06:12+24:00",
        "2026-05-07T08:06:12+00:60",
        "2026-05-07T08:06:12+00:00x",
    };
    int64_t us;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (time_parse_rfc3339(bad[i], strlen(bad[i]), &us))
            fail_msg("taken: \"%s\"", bad[i]);
    }
}

/* Only `len` bytes belong to the text, in memory of just that size. */
UNIT_TEST(nothing_is_read_beyond_the_end)
{
    const char whole[] = "2026-05-07T08:06:12.123456+00:00";
    int64_t us;

    for (size_t n = 1; n < sizeof whole - 1; n++) {
        char *part = malloc(n);

        memcpy(part, whole, n);
        assert_false(time_parse_rfc3339(part, n, &us));
        assert_false(time_parse_duration(part, n, &us));
        free(part);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* The C library's calendar agrees, over all years that can be written. */
UNIT_TEST(formatting_agrees_with_the_c_library)
{
    const int64_t from = INT64_C(-62167219200), years = INT64_C(315569520000);
    uint64_t seed = 20260507;

    for (int i = 0; i < 200000; i++) {
        int64_t s = from + (int64_t)(next_random(&seed) % (uint64_t)years);
        int64_t fraction = (int64_t)(next_random(&seed) % 1000000), back;
        char text[TIME_RFC3339_SIZE], utc[TIME_UTC_SIZE], want[64], day[32];
        time_t t = (time_t)s;
        struct tm tm;

        gmtime_r(&t, &tm);
        time_format_rfc3339(s * TIME_S + fraction, text);
        time_format_utc(s * TIME_S + fraction, utc);
        strftime(day, sizeof day, "-%m-%dT%H:%M:%S", &tm);
        snprintf(want, sizeof want, "%04d%s.%06lldZ", tm.tm_year + 1900, day, (long long)fraction);
        assert_string_equal(text, want);
        day[6] = ' ';
        snprintf(want, sizeof want, "%04d%s UTC", tm.tm_year + 1900, day);
        assert_string_equal(utc, want);
        if (s >= 0) {
            assert_true(time_parse_rfc3339(text, strlen(text), &back));
            assert_int_equal(back, s * TIME_S + fraction);
        }
    }
}

UNIT_TEST(times_beyond_the_years_are_clamped)
{
    char text[TIME_RFC3339_SIZE], utc[TIME_UTC_SIZE];

    time_format_rfc3339(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
    time_format_rfc3339(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000000Z");
    time_format_rfc3339(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    time_format_utc(INT64_MAX, utc);
    assert_string_equal(utc, "9999-12-31 23:59:59 UTC");
}

UNIT_TEST(durations_are_read)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"5m", 5 * TIME_MINUTE},
        {"90s", 90 * TIME_S},
        {"1h30m", 90 * TIME_MINUTE},
        {"1d", TIME_DAY},
        {"500ms", 500 * TIME_MS},
        {"0s", 0},
        {"1d2h3m4s5ms", TIME_DAY + 2 * TIME_HOUR + 3 * TIME_MINUTE + 4 * TIME_S + 5 * TIME_MS},
        {"1000d", 1000 * TIME_DAY},
        {"05m", 5 * TIME_MINUTE},
    };
    static const char *const bad[] = {
        "",
        "5",
        "m",
        "5x",
        "5 m",
        "-5m",
        "+5m",
        "5.5m",
        "5m ",
        " 5m",
        "5M",
        "m5",
        "30m1h",
        "5m5m",
        "1s1m",
        "5min",
        "1001d",
        "1000d1ms",
        "99999999999s",
        "5m3",
        "18446744073709551616s",
        "9999999999d",
        "1m500ms1s",
    };
    int64_t us;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(time_parse_duration(good[i].text, strlen(good[i].text), &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (time_parse_duration(bad[i], strlen(bad[i]), &us))
            fail_msg("taken: \"%s\"", bad[i]);
    }
}

UNIT_TEST(durations_are_written_in_words)
{
    static const struct {
        int64_t us;
        const char *words;
    } rows[] = {
        {0, "0 seconds"},
        {999, "0 seconds"},
        {TIME_MS, "1 millisecond"},
        {TIME_S, "1 second"},
        {90 * TIME_S, "1 minute 30 seconds"},
        {5 * TIME_MINUTE, "5 minutes"},
        {90 * TIME_MINUTE, "1 hour 30 minutes"},
        {TIME_DAY, "1 day"},
        {31 * TIME_DAY + 1500 * TIME_MS, "31 days 1 second 500 milliseconds"},
        {INT64_MAX, "106751991 days 4 hours 54 seconds 775 milliseconds"},
    };
    char words[TIME_WORDS_SIZE];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        time_format_words(rows[i].us, words);
        assert_string_equal(words, rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
        cmocka_unit_test(formatting_agrees_with_the_c_library),
        cmocka_unit_test(times_beyond_the_years_are_clamped),
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(durations_are_written_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
