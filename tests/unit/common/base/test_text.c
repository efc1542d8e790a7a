/* Text made fit to show: UTF-8, escapes, tokens, terminal sequences. */
#include "common/base/err.h"
#include "common/base/text.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

/* Encodes a code point by the table of RFC 3629 section 3. */
static size_t encode(uint32_t c, char out[4])
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (len == 1) {
        out[0] = (char)c;
        return 1;
    }
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[len] | c);
    return len;
}

UNIT_TEST(every_code_point_is_utf8)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        bool surrogate = c >= 0xd800 && c < 0xe000;
        char text[4];
        size_t len = encode(c, text);

        if (text_is_utf8(text, len) == surrogate)
            fail_msg("U+%04X", c);
    }
}

/* Only encodings of code points are UTF-8. Tried with all sequences of three bytes, and with all of
 * four that begin with a lead byte of four. */
static bool is_some_code_point(const uint8_t *s, size_t len)
{
    static const uint32_t mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & mask[len];
    char again[4];

    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c < 0x110000 && !(c >= 0xd800 && c < 0xe000) && encode(c, again) == len &&
           memcmp(again, s, len) == 0;
}

UNIT_TEST(no_other_sequence_is_utf8)
{
    for (uint32_t n = 0; n < 1 << 24; n++) {
        uint8_t s[4] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0x80};
        bool four = s[0] >= 0xf0;

        if (s[0] < 0xe0) /* shorter ones are told by the first two bytes */
            continue;
        if (text_is_utf8((char *)s, four ? 4 : 3) != is_some_code_point(s, four ? 4 : 3))
            fail_msg("%02x %02x %02x %02x", s[0], s[1], s[2], s[3]);
    }
    for (uint32_t n = 0; n < 1 << 16; n++) {
        uint8_t s[2] = {(uint8_t)(n >> 8), (uint8_t)n};
        bool ascii = s[0] < 0x80 && s[1] < 0x80;

        if (text_is_utf8((char *)s, 2) != (ascii || (s[0] >= 0x80 && is_some_code_point(s, 2))))
            fail_msg("%02x %02x", s[0], s[1]);
    }
}

UNIT_TEST(the_well_formed_prefix_is_measured)
{
    assert_int_equal(text_utf8_len("", 0), 0);
    assert_int_equal(text_utf8_len("a\xc3\xa9", 3), 3);
    assert_int_equal(text_utf8_len("a\xc3\xa9", 2), 1);
    assert_int_equal(text_utf8_len("ab\xff"
                                   "c",
                                   4),
                     2);
}

static void assert_printable(const char *bytes, size_t n, const char *want)
{
    struct buf b;

    buf_init(&b, 1000);
    assert_int_equal(text_append_printable(&b, bytes, n), 0);
    assert_string_equal(buf_text(&b), want);
    buf_close(&b);
}

UNIT_TEST(control_and_broken_bytes_are_escaped)
{
    assert_printable("", 0, "");
    assert_printable("plain \\x00 text", 15, "plain \\x00 text");
    assert_printable("a\0b\nc\td\x1b[0m\x7f", 12, "a\\x00b\\x0ac\\x09d\\x1b[0m\\x7f");
    assert_printable("\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5", 9,
                     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5");
    assert_printable("\xc3(\xff\xe2\x82", 5, "\\xc3(\\xff\\xe2\\x82");
    assert_printable("\xc2\x9b", 2, "\\xc2\\x9b");          /* U+009B starts a terminal sequence */
    assert_printable("\xc2\xa1", 2, "\xc2\xa1");            /* U+00A1 does not */
    assert_printable("\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* a surrogate */
}

/* The neighbours of each range stay as they are. */
UNIT_TEST(characters_that_turn_text_are_escaped)
{
    assert_printable("\xd8\x9b\xd8\x9c\xd8\x9d", 6, "\xd8\x9b\\xd8\\x9c\xd8\x9d");
    assert_printable("\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", 9,
                     "\\xe2\\x80\\x8e\\xe2\\x80\\x8f\xe2\x80\x90");
    assert_printable("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xb0", 12,
                     "\xe2\x80\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xae\xe2\x80\xb0");
    assert_printable("\xe2\x81\x9e\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xb0", 12,
                     "\xe2\x81\x9e\\xe2\\x81\\xa6\\xe2\\x81\\xa9\xe2\x81\xb0");
}

UNIT_TEST(characters_that_cannot_be_seen_are_escaped)
{
    assert_printable("\u00a0", 2, "\\xc2\\xa0");
    assert_printable("\u200b", 3, "\\xe2\\x80\\x8b");
    assert_printable("\u2060", 3, "\\xe2\\x81\\xa0");
    assert_printable("\u3164", 3, "\\xe3\\x85\\xa4");
    assert_printable("\ufeff", 3, "\\xef\\xbb\\xbf");
    assert_printable("\U000e0041", 4, "\\xf3\\xa0\\x81\\x81");
    assert_printable("\ufe0f", 3, "\\xef\\xb8\\x8f");
    assert_printable("é€🔥\u3163\u3165", 15, "é€🔥\u3163\u3165");
}

static bool is_shown(uint32_t c)
{
    char text[4];
    size_t len = encode(c, text);
    struct buf b;
    bool shown;

    buf_init(&b, 4 * sizeof text);
    assert_int_equal(text_append_printable(&b, text, len), 0);
    shown = b.len == len;
    buf_close(&b);
    return shown;
}

/* Of each property one character at each end of a range, and the neighbours that stay. */
UNIT_TEST(each_property_of_misleading_characters_counts)
{
    static const uint32_t hidden[] = {
        0x00a0,  0x00ad,  0x034f,  0x0600,  0x0605,   0x061c,   0x06dd,  0x070f,  0x115f,  0x1160,
        0x1680,  0x17b4,  0x17b5,  0x180b,  0x180f,   0x2000,   0x200c,  0x200d,  0x2028,  0x2029,
        0x2060,  0x206f,  0x2800,  0x3000,  0x3164,   0xe000,   0xf8ff,  0xfdd0,  0xfdef,  0xfe00,
        0xfe0f,  0xfeff,  0xffa0,  0xfff0,  0xfff9,   0xfffb,   0xfffe,  0xffff,  0x13430, 0x1bca0,
        0x1bca3, 0x1d173, 0x1d17a, 0x1fffe, 0xdffff,  0xe0000,  0xe007f, 0xe0100, 0xe01ef, 0xe0fff,
        0xefffe, 0xf0000, 0xffffd, 0xfffff, 0x100000, 0x10ffff,
    };
    static const uint32_t shown[] = {
        0x00a1,  0x00ac,  0x00ae,  0x034e,  0x0350,  0x0606,  0x1161,  0x1681,  0x180a,  0x1810,
        0x2010,  0x2027,  0x2030,  0x205e,  0x2070,  0x27ff,  0x2801,  0x2fff,  0x3001,  0xf900,
        0xfdcf,  0xfdf0,  0xfdff,  0xfe10,  0xfefe,  0xff00,  0xffef,  0xfffc,  0xfffd,  0x10000,
        0x13440, 0x1bca4, 0x1d172, 0x1d17b, 0x1fffd, 0x20000, 0xdfffd, 0xe1000, 0xefffd,
    };

    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        assert_false(is_shown(hidden[i]));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        assert_true(is_shown(shown[i]));
}

/* The number by the data files of Unicode 15.0: beside the properties the 32 controls from U+0080
 * and U+2800. */
UNIT_TEST(no_other_character_counts)
{
    size_t n = 0;

    for (uint32_t c = 0x80; c < 0x110000; c++)
        n += !(c >= 0xd800 && c < 0xe000) && !is_shown(c);
    assert_int_equal(n, 141791);
}

UNIT_TEST(a_full_buffer_gets_whole_characters)
{
    const char text[] = "ab\xe2\x82\xac\n\xc3\xa9"; /* written as "ab€\x0aé" */
    const size_t ends[] = {0, 1, 2, 2, 2, 5, 5, 5, 5, 9, 9};

    for (size_t max = 0; max <= 10; max++) {
        struct buf b;

        buf_init(&b, max);
        assert_int_equal(text_append_printable(&b, text, sizeof text - 1), ERR_FULL);
        assert_int_equal(b.len, ends[max]);
        assert_memory_equal(buf_text(&b), "ab\xe2\x82\xac\\x0a\xc3\xa9", b.len);
        buf_close(&b);
    }
}

typedef size_t redact_fn(char *bytes, size_t n);

static void assert_redacted_by(redact_fn *redact, const char *text, const char *want)
{
    char bytes[200];
    size_t n = strlen(text), len;

    memcpy(bytes, text, n);
    memset(bytes + n, '!', sizeof bytes - n);
    len = redact(bytes, n);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(bytes, want, len);
    assert_int_equal(bytes[n], '!'); /* the next byte is untouched */
    assert_int_equal(redact(bytes, len), len);
    assert_memory_equal(bytes, want, len);
}

static void assert_redacted(const char *text, const char *want)
{
    assert_redacted_by(text_redact_secrets, text, want);
}

static void assert_line(const char *text, const char *want)
{
    assert_redacted_by(text_redact_line, text, want);
}

UNIT_TEST(tokens_are_redacted)
{
    assert_redacted("", "");
    assert_redacted("nothing here", "nothing here");
    assert_redacted("drain_token", "drain_token");
    assert_redacted("drain_token=", "drain_token=");
    assert_redacted("drain_token=a", "drain_token=*");
    assert_redacted("drain_token=ab c", "drain_token=** c");
    assert_redacted("drain_token=abc", "drain_token=" ELLIPSIS);
    assert_redacted("Drain_TOKEN=abc a=b", "Drain_TOKEN=" ELLIPSIS " a=b");
    assert_redacted("=drain_toke=abc rain_token=", "=drain_toke=abc rain_token=");
    assert_redacted("path=\"/api?drain_token=0123456789abcdef\" host=x",
                    "path=\"/api?drain_token=" ELLIPSIS "\" host=x");
    assert_redacted("?a=1&drain_token=ABCDEF&b=2 drain_token='0123'\ndrain_token=dead\tx",
                    "?a=1&drain_token=" ELLIPSIS " drain_token='" ELLIPSIS
                    "'\ndrain_token=" ELLIPSIS "\tx");
    assert_redacted("drain_token=drain_token=abcdef", "drain_token=" ELLIPSIS);
    assert_redacted("drain_token=\xff\xfe%20#;,x\x7f"
                    "y",
                    "drain_token=" ELLIPSIS "\x7f"
                    "y");
    assert_redacted("drain_token=&drain_token=abcdef", "drain_token=" ELLIPSIS);
}

UNIT_TEST(passwords_of_web_addresses_are_redacted)
{
    assert_redacted("https://shop:0123456789abcdef@dw.example/api",
                    "https://shop:" ELLIPSIS "@dw.example/api");
    assert_redacted("a://u:p@h b://:pa@h c://u:@h", "a://u:*@h b://:**@h c://u:@h");
    assert_redacted("postgres://u:a:b:c@h/d", "postgres://u:" ELLIPSIS "@h/d");
    assert_redacted("://://u:abc@h", "://:" ELLIPSIS "@h");
    assert_redacted("https://h:8080/a@b", "https://h:8080/a@b");
    assert_redacted("https://h:80?x@b https://u@h x:y@z", "https://h:80?x@b https://u@h x:y@z");
    assert_redacted("redis://u:12/345@h redis://h:6379 x@y",
                    "redis://u:" ELLIPSIS "@h redis://h:6379 x@y");
    assert_redacted("http://[::1]:80/a@b http://h/@u/x:y@z",
                    "http://[::1]:80/a@b http://h/@u/x:y@z");
    assert_redacted("https://u:\"pq@h https://u:p q@h", "https://u:" ELLIPSIS "@h https://u:p q@h");
    assert_redacted("https://u:p", "https://u:p");
    assert_redacted("https://u:", "https://u:");
    assert_redacted("://", "://");
    assert_redacted("https://u:drain_token=abcd@h", "https://u:drain_token=" ELLIPSIS);
}

UNIT_TEST(any_characters_of_a_password_are_redacted)
{
    static const char *const passwords[] = {"plain", "se&cret", "se'cret", "p@s@s", "p/ss/",
                                            "p?ss",  "p#s\"s",  "a%26b",   "p%40s", "p:ss",
                                            "päss",  "p\\\"ss", "1234/x",  "p,s}s", "[p<s>s]"};

    for (size_t i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        char text[100];

        snprintf(text, sizeof text, "no db: postgres://u:%s@db.example/x a=b@c", passwords[i]);
        assert_redacted(text, "no db: postgres://u:" ELLIPSIS "@db.example/x a=b@c");
    }
}

UNIT_TEST(passwords_of_addresses_in_other_spellings_are_redacted)
{
    assert_line("{\"url\":\"postgres://u:pwd1@h/x\",\"user\":\"a@b\"}",
                "{\"url\":\"postgres://u:" ELLIPSIS "@h/x\",\"user\":\"a@b\"}");
    assert_line("{\\\"url\\\":\\\"redis://:p\"q@h\\\",\\\"m\\\":\\\"x@y\\\"}",
                "{\\\"url\\\":\\\"redis://:" ELLIPSIS "@h\\\",\\\"m\\\":\\\"x@y\\\"}");
    assert_line("'url': 'amqp:\\/\\/u:p\\/w@h'", "'url': 'amqp:\\/\\/u:" ELLIPSIS "@h'");
    assert_line("?to=https%3A%2F%2Fu%3Apwd1%40h%2Fx", "?to=https%3A%2F%2Fu%3A" ELLIPSIS "%40h%2Fx");
    assert_line("mongodb://me@x.com:pwd1@h", "mongodb://me@x.com:" ELLIPSIS "@h");
    assert_line("{\"url\":\"https://x.com\",\"user\":\"a@b\"}",
                "{\"url\":\"https://x.com\",\"user\":\"a@b\"}");
}

UNIT_TEST(values_of_secret_keys_are_redacted)
{
    assert_line("DB_PASSWORD=se&cret' x=1", "DB_PASSWORD=" ELLIPSIS "' x=1");
    assert_line("{\"password\":\"a\\\"bc\",\"user\":\"bob\"}",
                "{\"password\":\"" ELLIPSIS "\",\"user\":\"bob\"}");
    assert_line("\\\"apiKey\\\" : \\\"abc\\\",x", "\\\"apiKey\\\" : \\\"" ELLIPSIS "\\\",x");
    assert_line("{\"token\":null,\"user\":1}", "{\"token\":" ELLIPSIS ",\"user\":1}");
    assert_line("password='se cret' host=h", "password='" ELLIPSIS "' host=h");
    assert_line("{\"passwd\"=>\"x yz\", :u=>1}", "{\"passwd\"=>\"" ELLIPSIS "\", :u=>1}");
    assert_line("secret = hunter2 x", "secret = " ELLIPSIS " x");
    assert_line("token= path=/x", "token= path=/x");
    assert_line("{\"ua\":\"token=\",\"db_password\":\"abcd\"}",
                "{\"ua\":\"token=\",\"db_password\":\"" ELLIPSIS "\"}");
    assert_line("\"GET /?token=\" 500 {\"secret\":\"abcd\"}",
                "\"GET /?token=\" 500 {\"secret\":\"" ELLIPSIS "\"}");
    assert_line("{\"error\":\"missing token:\",\"token\":\",abc\"}",
                "{\"error\":\"missing token:\",\"token\":\"" ELLIPSIS "\"}");
    assert_line("no token, password or secret here", "no token, password or secret here");
    assert_line("password=\"never closed", "password=\"" ELLIPSIS);
    assert_redacted("SLACK_BOT_TOKEN: set it", "SLACK_BOT_TOKEN: set it"); /* words of our own */
}

UNIT_TEST(credentials_of_headers_are_redacted)
{
    assert_line("Authorization: Basic dTpw next", "Authorization: " ELLIPSIS " next");
    assert_line("\"authorization\":\"Bearer abc\",\"a\":1",
                "\"authorization\":\"" ELLIPSIS "\",\"a\":1");
    assert_line("map[Authorization:[Bearer abcd] x", "map[Authorization:[" ELLIPSIS " x");
    assert_line("'Authorization', 'Bearer 0123456789abcdef'",
                "'Authorization', 'Bearer " ELLIPSIS "'");
    assert_line("basic authentication failed", "basic authentication failed");
}

UNIT_TEST(a_cut_leaves_no_half_character)
{
    const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5z"; /* aé€🔥z */
    const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};

    for (size_t max = 0; max <= 12; max++)
        assert_int_equal(text_cut(text, sizeof text - 1, max), ends[max]);
    assert_int_equal(text_cut("\x80\x80\x80\x80\x80", 5, 3), 3); /* broken: any place will do */
    assert_int_equal(text_cut("ab\xf0\x9f", 4, 3), 3);
}

UNIT_TEST(terminal_sequences_are_stripped)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain caf\xc3\xa9", "plain caf\xc3\xa9"},
        {"a\tb", "a b"},
        {"a\r\nb\rc\nd", "a\nb\nc\nd"},
        {"\x1b[31mred\x1b[0m", "red"},
        {"\x1b[1;38;5;208mbold\x1b[m\x1b(B", "bold"},
        {"\x1b[?25l\x1b[2K\x1b[1Ghidden cursor", "hidden cursor"},
        {"\x1b]0;title\aafter", "after"},
        {"\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "link"},
        {"cut \x1b[3", "cut "},
        {"cut \x1b(", "cut "},
        {"open \x1b]0;the rest stays", "open \x1b]0;the rest stays"},
        {"bad \x1b[3\x01m", "bad \x1b[3\x01m"},
        {"alone \x1b", "alone \x1b"},
        {"\x1b\x1b[0m", "\x1b"},
        {"\x1bM \x01", "\x1bM \x01"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        size_t n = strlen(strcpy(text, cases[i][0]));

        n = text_strip_terminal(text, n);
        text[n] = '\0';
        assert_string_equal(text, cases[i][1]);
    }
}

UNIT_TEST(test_one_is_singular)
{
    char count[TEXT_COUNT_SIZE];

    assert_string_equal(text_plural(0, "try", "tries"), "tries");
    assert_string_equal(text_plural(1, "try", "tries"), "try");
    assert_string_equal(text_plural(2, "try", "tries"), "tries");
    text_format_count(999, count);
    assert_string_equal(count, "999");
    text_format_count(1204, count);
    assert_string_equal(count, "1,204");
    text_format_count(UINT64_MAX, count);
    assert_string_equal(count, "18,446,744,073,709,551,615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_utf8),
        cmocka_unit_test(no_other_sequence_is_utf8),
        cmocka_unit_test(the_well_formed_prefix_is_measured),
        cmocka_unit_test(control_and_broken_bytes_are_escaped),
        cmocka_unit_test(characters_that_turn_text_are_escaped),
        cmocka_unit_test(characters_that_cannot_be_seen_are_escaped),
        cmocka_unit_test(each_property_of_misleading_characters_counts),
        cmocka_unit_test(no_other_character_counts),
        cmocka_unit_test(a_full_buffer_gets_whole_characters),
        cmocka_unit_test(tokens_are_redacted),
        cmocka_unit_test(passwords_of_web_addresses_are_redacted),
        cmocka_unit_test(any_characters_of_a_password_are_redacted),
        cmocka_unit_test(passwords_of_addresses_in_other_spellings_are_redacted),
        cmocka_unit_test(values_of_secret_keys_are_redacted),
        cmocka_unit_test(credentials_of_headers_are_redacted),
        cmocka_unit_test(terminal_sequences_are_stripped),
        cmocka_unit_test(a_cut_leaves_no_half_character),
        cmocka_unit_test(test_one_is_singular),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
