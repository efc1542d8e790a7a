/* Any text as the value of each setting: it is taken within the bounds that its fault names, or it
 * has one printable fault, and no secret is ever shown. */
#include "tests/fuzz/feed.h"

#include "common/app/settings.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "common/pg/pg.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static const char *const names[] = {
    "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING",
    "HEROKU_LOG_DRAIN_HMAC_SECRET",
    "PORT",
    "SLACK_BOT_TOKEN",
    "SLACK_API_URL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DRAINWATCH_RULES",
    "DRAINWATCH_QUEUE",
    "DRAINWATCH_SOLO",
    "DRAINWATCH_STATE_DIR",
    "DRAINWATCH_MAX_BODY_BYTES",
    "DRAINWATCH_SPOOL_MAX_BYTES",
    "DRAINWATCH_SYNC",
    "DRAINWATCH_HISTORY",
    "DRAINWATCH_HISTORY_MAX_BYTES",
    "DRAINWATCH_HISTROY", /* misspelt */
    "DRAINWATCH_SCHEMA",
    "DRAINWATCH_DATABASE_URL",
    "DRAINWATCH_PUBLIC_URL",
};
enum { NAMES = sizeof names / sizeof names[0], SECRET = 1, TOKEN = 3, DATABASE = NAMES - 2 };

#define MARK "Kx9-Zq7-mW2" /* each secret ends in it */

static void check_values(const struct settings *s)
{
    assert(s->port > 0 && s->n_secrets <= SETTINGS_SECRETS_MAX);
    for (size_t i = 0; i < s->n_secrets; i++)
        assert(s->secrets[i].len > 0 &&
               memchr(s->secrets[i].bytes, ',', s->secrets[i].len) == NULL);
    for (const char *c = s->slack_token; c != NULL && *c != '\0'; c++)
        assert(isgraph((unsigned char)*c));
    for (const char *c = s->database_url; c != NULL && *c != '\0'; c++)
        assert(isgraph((unsigned char)*c));
    assert(islower((unsigned char)s->schema[0]) && strlen(s->schema) <= PG_SCHEMA_MAX &&
           strpbrk(s->schema, " \"'\\.;") == NULL);
    assert(strncasecmp(s->slack_api_url, "http", 4) == 0);
    assert(s->slack_api_url[strlen(s->slack_api_url) - 1] != '/');
    assert(s->public_url == NULL || strncasecmp(s->public_url, "http", 4) == 0);
    assert(s->rules_path[0] != '\0' && s->state_dir[0] != '\0');
    assert(s->queue == NULL ? s->database_url != NULL : s->queue[0] != '\0');
    assert(s->max_body_bytes >= 64 << 10 && s->spool_max_bytes >= 64 << 10);
    assert(s->history_us >= TIME_HOUR && s->history_us <= 1000 * TIME_DAY);
    assert(s->history_max_bytes >= 64 << 10 && s->history_max_bytes <= INT64_C(1) << 50);
}

/* `hidden`: nothing but a secret holds the mark. */
static void check_text(const struct buf *text, bool hidden)
{
    assert(text->failed == 0 && feed_is_shown(buf_text(text), text->len));
    assert(text->len == 0 || buf_text(text)[text->len - 1] == '\n');
    assert(!hidden || strstr(buf_text(text), MARK) == NULL);
}

static void check(bool hidden)
{
    struct buf faults, notes;
    struct settings s;
    int rc;

    buf_init(&faults, SETTINGS_FAULTS_MAX);
    buf_init(&notes, SETTINGS_FAULTS_MAX);
    rc = settings_read(&s, &faults, &notes);
    assert(rc == 0 ? faults.len == 0 : rc == ERR_INPUT && faults.len > 0);
    if (rc == 0)
        check_values(&s);
    check_text(&faults, hidden);
    check_text(&notes, hidden);
    settings_close(&s);
    buf_close(&faults);
    buf_close(&notes);
}

static void set(const char *name, const char *value, bool is_secret)
{
    char text[4096];

    snprintf(text, sizeof text, "%s%s", value, is_secret ? MARK : "");
    setenv(name, text, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size};
    bool hidden = true;

    for (size_t i = 0; i < NAMES; i++)
        unsetenv(names[i]);
    while (in.n > 0) {
        unsigned i = feed_choice(&in, NAMES);
        bool is_secret = i == SECRET || i == TOKEN || i == DATABASE;
        char *value = feed_text(&in);

        set(names[i], value, is_secret);
        hidden = hidden && (is_secret || strstr(value, MARK) == NULL);
        free(value);
    }
    check(hidden);
    return 0;
}
