/* Settings from the environment: defaults, faults and notes. */
#include "tests/unit/unit.h"

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/base/time.h"

#include <stdlib.h>
#include <string.h>

#define FLAG "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING"
static const char KEY_A[] = "0123456789abcdef0123456789abcdef";
static const char KEY_B[] = "fedcba9876543210fedcba9876543210";

struct outcome {
    struct settings settings;
    struct buf faults, notes;
    int rc;
};

/* Reads an environment that holds the given NAME, VALUE pairs (ended by NULL) and nothing else. */
static struct outcome read_env(const char *name, ...)
{
    struct outcome o;
    va_list ap;

    clearenv();
    va_start(ap, name);
    for (; name != NULL; name = va_arg(ap, const char *))
        setenv(name, va_arg(ap, const char *), 1);
    va_end(ap);
    buf_init(&o.faults, SETTINGS_FAULTS_MAX);
    buf_init(&o.notes, SETTINGS_FAULTS_MAX);
    o.rc = settings_read(&o.settings, &o.faults, &o.notes);
    return o;
}

static void done(struct outcome *o)
{
    buf_close(&o->faults);
    buf_close(&o->notes);
    settings_close(&o->settings);
}

UNIT_TEST(test_defaults)
{
    struct outcome o = read_env(NULL, NULL);

    assert_int_equal(o.rc, 0);
    assert_false(o.settings.enabled);
    assert_int_equal(o.settings.n_secrets, 0);
    assert_int_equal(o.settings.port, 8080);
    assert_null(o.settings.slack_token);
    assert_string_equal(o.settings.slack_api_url, "https://slack.com/api");
    assert_string_equal(o.settings.rules_path, "rules.yaml");
    assert_string_equal(o.settings.queue, "ipc://state/queue.sock");
    assert_false(o.settings.solo);
    assert_int_equal(o.settings.max_body_bytes, 8 << 20);
    assert_int_equal(o.settings.spool_max_bytes, 256 << 20);
    assert_false(o.settings.sync_full);
    assert_true(o.settings.history_us == 7 * TIME_DAY);
    assert_true(o.settings.history_max_bytes == INT64_C(1) << 30);
    assert_null(o.settings.database_url);
    assert_string_equal(o.settings.schema, "drainwatch");
    assert_non_null(strstr(buf_text(&o.notes), "unset, so alerting is off"));
    done(&o);
}

UNIT_TEST(test_flag)
{
    static const char *const on[] = {"true", "1", "yes", "on", "TRUE", "Yes", " on "};
    static const char *const off[] = {"false", "0", "", "maybe", "truee", "2"};

    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        struct outcome o = read_env(FLAG, on[i], NULL);

        assert_int_equal(o.rc, 0);
        assert_true(o.settings.enabled);
        done(&o);
    }
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        struct outcome o = read_env(FLAG, off[i], NULL);

        assert_int_equal(o.rc, 0);
        assert_false(o.settings.enabled);
        assert_non_null(strstr(buf_text(&o.notes), "alerting is off"));
        done(&o);
    }
}

UNIT_TEST(test_secrets)
{
    struct outcome o = read_env("HEROKU_LOG_DRAIN_HMAC_SECRET", " one , ,two,, \n", NULL);

    assert_int_equal(o.rc, 0);
    assert_int_equal(o.settings.n_secrets, 2);
    assert_string_equal(o.settings.secrets[0].bytes, "one");
    assert_int_equal(o.settings.secrets[0].len, 3);
    assert_string_equal(o.settings.secrets[1].bytes, "two");
    assert_non_null(strstr(buf_text(&o.notes), "under 32 characters"));
    assert_null(strstr(buf_text(&o.notes), "one ,"));
    done(&o);
    o = read_env("HEROKU_LOG_DRAIN_HMAC_SECRET", " , ,", NULL);
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.settings.n_secrets, 0);
    assert_non_null(strstr(buf_text(&o.notes), "HEROKU_LOG_DRAIN_HMAC_SECRET is unset"));
    done(&o);
}

UNIT_TEST(test_good_values)
{
    struct outcome o =
        read_env("PORT", "5000", "SLACK_API_URL", "http://127.0.0.1:9/api//", "SLACK_BOT_TOKEN",
                 "xoxb-1", "DRAINWATCH_STATE_DIR", "/tmp/s", "DRAINWATCH_SOLO", "ON",
                 "DRAINWATCH_MAX_BODY_BYTES", "1048576", "DRAINWATCH_SPOOL_MAX_BYTES", "2 GiB",
                 "DRAINWATCH_SYNC", "full", "DRAINWATCH_HISTORY", "36h", NULL);

    assert_int_equal(o.rc, 0);
    assert_int_equal(o.settings.port, 5000);
    assert_string_equal(o.settings.slack_api_url, "http://127.0.0.1:9/api");
    assert_string_equal(o.settings.slack_token, "xoxb-1");
    assert_string_equal(o.settings.queue, "ipc:///tmp/s/queue.sock");
    assert_true(o.settings.solo);
    assert_int_equal(o.settings.max_body_bytes, 1 << 20);
    assert_true(o.settings.spool_max_bytes == INT64_C(2) << 30);
    assert_true(o.settings.sync_full);
    assert_true(o.settings.history_us == 36 * TIME_HOUR);
    done(&o);
}

UNIT_TEST(test_the_token_can_be_forgotten_alone)
{
    struct outcome o = read_env("PORT", "5000", "SLACK_BOT_TOKEN", " xoxb-1", NULL);
    const char *token = o.settings.slack_token;

    settings_forget_token(&o.settings);
    assert_null(o.settings.slack_token);
    assert_string_equal(token, "");
    assert_string_equal(o.settings.state_dir, "state");
    settings_forget_token(&o.settings); /* there is none any more */
    done(&o);
}

UNIT_TEST(test_faults_name_setting_value_and_remedy)
{
    static const struct {
        const char *name, *value, *remedy;
    } cases[] = {
        {"PORT", "http", "1 to 65535"},
        {"PORT", "0", "1 to 65535"},
        {"PORT", "65536", "1 to 65535"},
        {"PORT", "80 80", "1 to 65535"},
        {"DRAINWATCH_BIND", "localhost", "127.0.0.1"},
        {"DRAINWATCH_BIND", "127.0.0.1:80", "without a port"},
        {"DRAINWATCH_BIND", "[::1]", "::1"},
        {"DRAINWATCH_BIND", "127.1", "IPv4"},
        {"SLACK_API_URL", "slack.com/api", "https://slack.com/api"},
        {"DRAINWATCH_SOLO", "maybe", "true or false"},
        {"DRAINWATCH_MAX_BODY_BYTES", "8 MoB", "8 MiB"},
        {"DRAINWATCH_MAX_BODY_BYTES", "-1", "8 MiB"},
        {"DRAINWATCH_MAX_BODY_BYTES", "99999999999999999999", "8 MiB"},
        {"DRAINWATCH_SPOOL_MAX_BYTES", "1", "at least 64 KiB"},
        {"DRAINWATCH_SYNC", "half", "normal or full"},
        {"DRAINWATCH_HISTORY", "7", "7d"},
        {"DRAINWATCH_HISTORY", "1m", "at least 1h"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o = read_env(cases[i].name, cases[i].value, NULL);
        const char *said = buf_text(&o.faults);

        assert_int_equal(o.rc, ERR_INPUT);
        assert_non_null(strstr(said, cases[i].name));
        assert_non_null(strstr(said, cases[i].value));
        assert_non_null(strstr(said, cases[i].remedy));
        assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
        done(&o);
    }
}

UNIT_TEST(test_all_faults_at_once)
{
    struct outcome o = read_env("PORT", "x", "DRAINWATCH_SYNC", "y", "DRAINWATCH_SOLO", "z", NULL);

    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "PORT"));
    assert_non_null(strstr(buf_text(&o.faults), "DRAINWATCH_SYNC"));
    assert_non_null(strstr(buf_text(&o.faults), "DRAINWATCH_SOLO"));
    done(&o);
}

UNIT_TEST(test_a_secret_value_is_never_shown)
{
    struct outcome o = read_env("SLACK_BOT_TOKEN", "xoxb-very secret", NULL);

    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "SLACK_BOT_TOKEN"));
    assert_null(strstr(buf_text(&o.faults), "xoxb-very"));
    assert_null(strstr(buf_text(&o.faults), "secret"));
    done(&o);
}

UNIT_TEST(test_a_database)
{
    static const char url[] = "postgres://u:xk%20z@h.example:5432/d?sslmode=verify-full";
    static const char *const bad[] = {"mysql://u:xkz@h/d", "u:xkz@h/d", "postgres:u:xkz@h/d",
                                      "postgres://u:xk z@h/d", "postgres://u:xkz\xc3\xa9@h/d"};
    struct outcome o = read_env("DRAINWATCH_DATABASE_URL", url, "DRAINWATCH_SCHEMA", "a_1", NULL);

    assert_int_equal(o.rc, 0);
    assert_string_equal(o.settings.database_url, url);
    assert_string_equal(o.settings.schema, "a_1");
    assert_null(o.settings.queue);
    assert_string_equal(settings_queue_text(&o.settings), "in PostgreSQL");
    assert_true(o.settings.history_max_bytes == 512 << 20);
    done(&o);
    o = read_env("DRAINWATCH_DATABASE_URL", url, "DRAINWATCH_QUEUE", "ipc:///q", NULL);
    assert_string_equal(o.settings.queue, "ipc:///q");
    done(&o);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o = read_env("DRAINWATCH_DATABASE_URL", bad[i], NULL);
        assert_int_equal(o.rc, ERR_INPUT);
        assert_non_null(strstr(buf_text(&o.faults), "DRAINWATCH_DATABASE_URL"));
        assert_null(strstr(buf_text(&o.faults), "xk"));
        done(&o);
    }
}

static void assert_public_url(const char *value, const char *url)
{
    struct outcome o = read_env("DRAINWATCH_PUBLIC_URL", value, NULL);

    assert_int_equal(o.rc, url != NULL ? 0 : ERR_INPUT);
    if (url != NULL)
        assert_string_equal(o.settings.public_url, url);
    else
        assert_non_null(strstr(buf_text(&o.faults), "DRAINWATCH_PUBLIC_URL: \""));
    done(&o);
}

UNIT_TEST(test_the_app_s_own_address)
{
    static const char *const bad[] = {"a.example",
                                      "ftp://a.example",
                                      "https://",
                                      "https:///",
                                      "http://a.example",
                                      "https://u@a.example",
                                      "https://a.e/path",
                                      "https://a.e?x",
                                      "https://a.example#",
                                      "https://a example",
                                      "http://127.0.0.1.example",
                                      "http://localhost.example"};

    assert_public_url("https://a.example", "https://a.example");
    assert_public_url("https://a.example:8443//", "https://a.example:8443");
    assert_public_url("http://127.0.0.1:8080/", "http://127.0.0.1:8080");
    assert_public_url("http://[::1]:80", "http://[::1]:80");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_public_url(bad[i], NULL);
}

static void assert_known_address(const char *dyno, const char *host, const char *set,
                                 const char *url)
{
    struct outcome o =
        read_env("DRAINWATCH_DATABASE_URL", "postgres://u:xkz@h/d", "DYNO", dyno,
                 "HEROKU_APP_DEFAULT_DOMAIN_NAME", host, "DRAINWATCH_PUBLIC_URL", set, NULL);
    bool is_noted = strstr(buf_text(&o.notes), "DRAINWATCH_PUBLIC_URL is unset") != NULL;

    assert_int_equal(o.rc, 0);
    assert_int_equal(o.settings.public_url == NULL, url == NULL);
    if (url != NULL)
        assert_string_equal(o.settings.public_url, url);
    assert_int_equal(is_noted, url == NULL && dyno[0] != '\0');
    done(&o);
}

UNIT_TEST(test_heroku_may_tell_the_address)
{
    assert_known_address("web.1", "a-1.herokuapp.com", "", "https://a-1.herokuapp.com");
    assert_known_address("web.1", "a-1.herokuapp.com", "https://b.example", "https://b.example");
    assert_known_address("web.1", "", "", NULL);
    assert_known_address("web.1", "a.example/x", "", NULL);
    assert_known_address("", "a-1.herokuapp.com", "", NULL);
    assert_known_address("", "", "", NULL);
}

UNIT_TEST(test_a_schema_needs_no_quotes)
{
    static const char *const bad[] = {
        "1a", "_a", "A", "a-b", "a.b", "a\"b", "a23456789_123456789_123456789_123456789_12"};
    struct outcome o =
        read_env("DRAINWATCH_SCHEMA", "a23456789_123456789_123456789_123456789_1", NULL);

    assert_int_equal(o.rc, 0);
    done(&o);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o = read_env("DRAINWATCH_SCHEMA", bad[i], NULL);
        assert_int_equal(o.rc, ERR_INPUT);
        done(&o);
    }
}

UNIT_TEST(test_tcp_needs_a_good_secret)
{
    struct outcome o = read_env("DRAINWATCH_QUEUE", "tcp://*:5555", NULL);
    char both[128];

    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "HEROKU_LOG_DRAIN_HMAC_SECRET"));
    done(&o);
    o = read_env("DRAINWATCH_QUEUE", "tcp://*:5555", "HEROKU_LOG_DRAIN_HMAC_SECRET", "short", NULL);
    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "under 32"));
    done(&o);
    strcpy(both, KEY_A);
    strcat(both, ",");
    strcat(both, KEY_B);
    o = read_env("DRAINWATCH_QUEUE", "tcp://*:5555", "HEROKU_LOG_DRAIN_HMAC_SECRET", both, NULL);
    assert_int_equal(o.rc, 0);
    assert_int_equal(o.settings.n_secrets, 2);
    done(&o);
}

UNIT_TEST(test_names_and_values_are_shown_printably)
{
    struct outcome o =
        read_env("DRAINWATCH_QUEUE", "tcp://h\033[31m:1", "DRAINWATCH_\001", "x", NULL);

    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "tcp://h\\x1b[31m:1"));
    assert_null(strchr(buf_text(&o.faults), '\033'));
    assert_non_null(strstr(buf_text(&o.notes), "DRAINWATCH_\\x01 is no setting"));
    assert_null(strchr(buf_text(&o.notes), '\001'));
    done(&o);
}

UNIT_TEST(test_a_spool_that_counts_as_a_larger_one_is_noted)
{
    static const struct {
        const char *value;
        bool noted;
    } cases[] = {{"64 KiB", true}, {"262143", true}, {"256 KiB", false}, {"1 MiB", false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o = read_env("DRAINWATCH_SPOOL_MAX_BYTES", cases[i].value, NULL);
        bool noted =
            strstr(buf_text(&o.notes), "DRAINWATCH_SPOOL_MAX_BYTES is under 256 KiB") != NULL;

        assert_int_equal(o.rc, 0);
        assert_int_equal(noted, cases[i].noted);
        done(&o);
    }
}

UNIT_TEST(test_help_names_every_default)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    assert_int_equal(settings_help(&out), 0);
    assert_non_null(strstr(buf_text(&out), "DRAINWATCH_SPOOL_MAX_BYTES (default: 256 MiB)"));
    assert_non_null(strstr(buf_text(&out), "PORT (default: 8080)"));
    buf_close(&out);
}

/* `note` is "" if the environment is all right. */
static void assert_note(const char *name, const char *value, const char *note)
{
    struct outcome o =
        read_env(FLAG, "on", "HEROKU_LOG_DRAIN_HMAC_SECRET", KEY_A, name, value, NULL);

    assert_int_equal(o.rc, 0);
    assert_string_equal(buf_text(&o.notes), note);
    done(&o);
}

UNIT_TEST(test_unknown_names_are_guessed)
{
    assert_note("DRAINWATCH_RULE", "x",
                "DRAINWATCH_RULE is no setting and is ignored (did you mean DRAINWATCH_RULES?)\n");
    assert_note("DRAINWATCH_HISTORY_MAX_BYTE", "1",
                "DRAINWATCH_HISTORY_MAX_BYTE is no setting and is ignored (did you mean "
                "DRAINWATCH_HISTORY_MAX_BYTES?)\n");
    assert_note("HEROKU_LOG_DRAIN_HMAC_SECRETS", "1",
                "HEROKU_LOG_DRAIN_HMAC_SECRETS is no setting and is ignored (did you mean "
                "HEROKU_LOG_DRAIN_HMAC_SECRET?)\n");
    assert_note("FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTIN", "1",
                "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTIN is no setting and is ignored (did you mean "
                "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING?)\n");
    assert_note("DRAINWATCH_COLOUR_OF_SHED", "1",
                "DRAINWATCH_COLOUR_OF_SHED is no setting and is ignored (--help lists them)\n");
    assert_note("HEROKU_APP_NAME", "x", "");
}

UNIT_TEST(test_an_empty_flag_is_called_unset)
{
    assert_note(FLAG, " ",
                FLAG " is unset, so alerting is off: deliveries are answered 501 and nothing is "
                     "posted (true turns it on)\n");
}

UNIT_TEST(test_quotes_are_named)
{
    static const char *const names[] = {"SLACK_BOT_TOKEN", "DRAINWATCH_STATE_DIR",
                                        "DRAINWATCH_RULES", "PORT", "SLACK_API_URL"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct outcome o = read_env(names[i], "\"value\"", NULL);

        assert_int_equal(o.rc, ERR_INPUT);
        assert_non_null(strstr(buf_text(&o.faults), "(it must be without the quotes around it)"));
        done(&o);
    }
    assert_note(FLAG, "\"true\"",
                FLAG " is \"true\", so alerting is off: deliveries are answered 501 and nothing is "
                     "posted (true without the quotes turns it on)\n");
    assert_note("HEROKU_LOG_DRAIN_HMAC_SECRET", "'0123456789abcdef0123456789abcdef'",
                "HEROKU_LOG_DRAIN_HMAC_SECRET stands in quotes, which count as part of the key: "
                "remove them unless the drains' HMACs were made with them\n");
}

UNIT_TEST(test_an_address_of_slack_that_cannot_be_right)
{
    static const char in_plain_text[] =
        "SLACK_API_URL begins with http://, so the token crosses the network in plain text (use "
        "https://, or an address of this machine)\n";
    struct outcome o = read_env("SLACK_API_URL", "https://slack.com/api/chat.postMessage/", NULL);

    assert_int_equal(o.rc, ERR_INPUT);
    assert_non_null(strstr(buf_text(&o.faults), "without the method"));
    done(&o);
    assert_note("SLACK_API_URL", "http://slack.example.com/api", in_plain_text);
    assert_note("SLACK_API_URL", "http://127.0.0.1:80/api", "");
    assert_note("SLACK_API_URL", "http://[::1]/api", "");
    assert_note("SLACK_API_URL", "http://localhost", "");
    assert_note("SLACK_API_URL", "http://localhost.example/", in_plain_text);
    assert_note("SLACK_API_URL", "http://127.0.example/", in_plain_text);
}

static bool notes_database(const char *dyno, const char *ours)
{
    struct outcome o = read_env("DATABASE_URL", "postgres://u:xkz@h/d", "DYNO", dyno,
                                "DRAINWATCH_DATABASE_URL", ours, NULL);
    bool noted = strstr(buf_text(&o.notes), "DATABASE_URL is not used") != NULL;

    assert_int_equal(o.rc, 0);
    assert_null(strstr(buf_text(&o.notes), "xkz"));
    done(&o);
    return noted;
}

/* It may be another program's. */
UNIT_TEST(test_heroku_s_first_database_is_not_used_in_silence)
{
    assert_true(notes_database("web.1", ""));
    assert_false(notes_database("web.1", "postgres://u:xkz@h/d"));
    assert_false(notes_database("", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_flag),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_good_values),
        cmocka_unit_test(test_the_token_can_be_forgotten_alone),
        cmocka_unit_test(test_faults_name_setting_value_and_remedy),
        cmocka_unit_test(test_all_faults_at_once),
        cmocka_unit_test(test_a_secret_value_is_never_shown),
        cmocka_unit_test(test_a_database),
        cmocka_unit_test(test_the_app_s_own_address),
        cmocka_unit_test(test_heroku_may_tell_the_address),
        cmocka_unit_test(test_a_schema_needs_no_quotes),
        cmocka_unit_test(test_tcp_needs_a_good_secret),
        cmocka_unit_test(test_names_and_values_are_shown_printably),
        cmocka_unit_test(test_a_spool_that_counts_as_a_larger_one_is_noted),
        cmocka_unit_test(test_help_names_every_default),
        cmocka_unit_test(test_unknown_names_are_guessed),
        cmocka_unit_test(test_an_empty_flag_is_called_unset),
        cmocka_unit_test(test_quotes_are_named),
        cmocka_unit_test(test_an_address_of_slack_that_cannot_be_right),
        cmocka_unit_test(test_heroku_s_first_database_is_not_used_in_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
