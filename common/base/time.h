/* Times and durations as text and back.
 *
 * All times in drainwatch are int64_t microseconds since the epoch, UTC. This module never asks
 * what time it is; `clock` does. */
#ifndef DRAINWATCH_COMMON_BASE_TIME_H
#define DRAINWATCH_COMMON_BASE_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_MS INT64_C(1000)
#define TIME_S INT64_C(1000000)
#define TIME_MINUTE (60 * TIME_S)
#define TIME_HOUR (60 * TIME_MINUTE)
#define TIME_DAY (24 * TIME_HOUR)

enum {
    TIME_RFC3339_SIZE = 28, /* 2026-05-07T08:06:12.123456Z and a zero */
    TIME_UTC_SIZE = 24,     /* 2026-05-07 08:06:12 UTC and a zero */
    TIME_WORDS_SIZE = 96,
};

/* Reads a whole RFC 3339 time ("2026-05-07T08:06:12.123456+00:00", "…Z"; also a space or lower
 * case "t" for "T", RFC 3339 section 5.6). Digits beyond the microsecond are cut; a leap second
 * (":60") is read as the second after ":59". Years 1970 to 9999. False if `text` is anything
 * else. */
bool time_parse_rfc3339(const char *text, size_t len, int64_t *us);

/* Writes with six digits and "Z". A time outside of the years 0000 to 9999 is clamped to them. */
void time_format_rfc3339(int64_t us, char out[TIME_RFC3339_SIZE]);

/* Writes "2026-05-07 08:06:12 UTC", the fraction cut. */
void time_format_utc(int64_t us, char out[TIME_UTC_SIZE]);

/* Reads a duration: whole numbers with a unit each, largest first: "5m", "90s", "1h30m", "1d",
 * "500ms". A number without a unit is refused, because one person reads it as seconds and another
 * as minutes. False also for more than 1,000 days. */
bool time_parse_duration(const char *text, size_t len, int64_t *us);

/* Writes a duration in words: "5 minutes", "1 hour 30 minutes", "90 seconds" reads "1 minute 30
 * seconds", "1 day". The part under a millisecond is cut. */
void time_format_words(int64_t us, char out[TIME_WORDS_SIZE]);

#endif
