/* Tests what is logged about deliveries that are turned away, and how often. */
#include "tests/unit/heard.h"

#include "common/base/time.h"
#include "ingest/http/refusals.h"

#include <string.h>

#define TOKEN "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
#define RIGHT "/api/internal/heroku-log-drain"

static struct refusals r;

static const char *heard_path(const char *path, int64_t now_us)
{
    heard_begin();
    refusals_unknown_path(&r, path, RIGHT, now_us);
    return heard_end();
}

static const char *heard_say(int64_t now_us, bool all)
{
    heard_begin();
    refusals_say(&r, now_us, all);
    return heard_end();
}

static int set_up(void **state)
{
    (void)state;
    r = (struct refusals){0};
    return 0;
}

UNIT_TEST(test_the_first_at_once_the_rest_in_a_sum)
{
    const char *said;

    said = heard_path("/api/internal/heroku-log-drian", 1);
    assert_non_null(
        strstr(said, "404: a delivery was refused: POST /api/internal/heroku-log-drian:"));
    assert_non_null(strstr(said, RIGHT "\"\n"));
    assert_string_equal(heard_path("/a", 2), "");
    assert_string_equal(heard_path("/b", 3), "");
    assert_string_equal(heard_say(TIME_MINUTE, false), "");
    assert_non_null(strstr(heard_say(1 + TIME_MINUTE, false),
                           "404: 2 more deliveries were refused, the last one: POST /b:"));
    assert_string_equal(heard_say(2 + TIME_MINUTE, false), "");
}

UNIT_TEST(test_no_kind_hides_another)
{
    assert_string_not_equal(heard_path("/a", 1), "");
    heard_begin();
    refusals_stranger(&r, "why", "d.one", 2);
    refusals_unlisted(&r, "d.two", 2);
    refusals_shut_out(&r, "d.four", 2);
    refusals_failure(&r, "d.one", "out of memory", 2);
    refusals_stranger(&r, "why", "d.three", 3);
    assert_non_null(
        strstr(heard_end(), "503: a delivery was refused: drain \\\"d.one\\\": out of memory"));
    assert_non_null(
        strstr(heard_say(4, true), "401: 1 more delivery was refused, the last one: why: d.three"));
}

UNIT_TEST(test_a_refused_form_names_the_remedy)
{
    const char *said;

    heard_begin();
    refusals_method(&r, "PUT", "/healthz", "GET, HEAD", RIGHT, 1);
    refusals_too_large(&r, "d.one", 65536, 1);
    refusals_encoding(&r, "d.two", "br", 1);
    said = heard_end();
    assert_non_null(strstr(said, "405: a delivery was refused: PUT /healthz: the path takes GET, "
                                 "HEAD: a drain must POST to " RIGHT "\"\n"));
    assert_non_null(strstr(said, "413: a delivery was refused: drain \\\"d.one\\\": the body is "
                                 "over 65536 bytes: raise DRAINWATCH_MAX_BODY_BYTES"));
    assert_non_null(strstr(said, "415: a delivery was refused: drain \\\"d.two\\\": "
                                 "Content-Encoding \\\"br\\\" cannot be read: "));
    heard_begin();
    refusals_too_large(&r, "d.one", 65536, 2);
    refusals_too_large(&r, "d.one", 65536, 3);
    assert_string_equal(heard_end(), "");
    assert_non_null(
        strstr(heard_say(4, true), "413: 2 more deliveries were refused, the last one: "));
}

UNIT_TEST(test_no_secret_is_shown)
{
    const char *said;

    said = heard_path(RIGHT "/" TOKEN, 1);
    assert_null(strstr(said, TOKEN));
    said = heard_path(RIGHT "&drain_token=" TOKEN, 1 + TIME_MINUTE);
    assert_null(strstr(said, TOKEN));
    said = heard_path(RIGHT "&drain_token=0123456789abcdef", 1 + 2 * TIME_MINUTE);
    assert_non_null(strstr(said, "drain_token=…"));
    assert_null(strstr(said, "0123456789abcdef"));
}

UNIT_TEST(test_a_path_cannot_forge_a_line)
{
    char path[2000];
    const char *said;

    said = heard_path("/x\"\nlevel=error \x1b[31m", 1);
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    assert_non_null(strstr(said, "/x\\\"\\x0alevel=error \\x1b[31m"));
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    said = heard_path(path, 1 + TIME_MINUTE);
    assert_non_null(strstr(said, RIGHT));
    assert_true(strlen(said) < 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_first_at_once_the_rest_in_a_sum, set_up),
        cmocka_unit_test_setup(test_no_kind_hides_another, set_up),
        cmocka_unit_test_setup(test_a_refused_form_names_the_remedy, set_up),
        cmocka_unit_test_setup(test_no_secret_is_shown, set_up),
        cmocka_unit_test_setup(test_a_path_cannot_forge_a_line, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
