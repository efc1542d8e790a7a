/* Reads the environment by one table of settings; called at the start of both programs. */
#include "common/app/settings.h"

#include "common/base/err.h"
#include "common/base/nearest.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/pg/pg.h"
#include "common/storage/journal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)

static const char FLAG[] = "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING";
static const char SECRET[] = "HEROKU_LOG_DRAIN_HMAC_SECRET";
static const char TOKEN[] = "SLACK_BOT_TOKEN";
static const char DATABASE[] = "DRAINWATCH_DATABASE_URL";
static const char PUBLIC_URL[] = "DRAINWATCH_PUBLIC_URL";

struct row;
/* Stores `value` (trimmed, never empty; it stays valid), or returns what would be right. */
typedef const char *set_fn(struct settings *s, const struct row *row, char *value);

struct row {
    const char *name;
    const char *fallback; /* as a user would write it; NULL: unset */
    set_fn *set;
    size_t offset; /* of the field that it fills */
    const char *meaning;
    bool is_secret; /* the value is never shown */
};

static void *field_of(struct settings *s, const struct row *row)
{
    return (char *)s + row->offset;
}

static bool is_one_of(const char *value, const char *const words[4])
{
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(value, words[i]) == 0)
            return true;
    }
    return false;
}

static const char *const yes_words[4] = {"true", "1", "yes", "on"};
static const char *const no_words[4] = {"false", "0", "no", "off"};

/* The flag is the switch of a rollback, so anything that is not clearly on is off. */
static const char *set_flag(struct settings *s, const struct row *row, char *value)
{
    *(bool *)field_of(s, row) = is_one_of(value, yes_words);
    return NULL;
}

static const char *set_bool(struct settings *s, const struct row *row, char *value)
{
    if (!is_one_of(value, yes_words) && !is_one_of(value, no_words))
        return "true or false";
    *(bool *)field_of(s, row) = is_one_of(value, yes_words);
    return NULL;
}

static const char *set_text(struct settings *s, const struct row *row, char *value)
{
    if (!text_is_utf8(value, strlen(value)))
        return "text in UTF-8";
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static const char *set_port(struct settings *s, const struct row *row, char *value)
{
    char *end;
    long port = strtol(value, &end, 10);

    if (*end != '\0' || strspn(value, "0123456789") != strlen(value) || port < 1 || port > 65535)
        return "a port from 1 to 65535";
    *(uint16_t *)field_of(s, row) = (uint16_t)port;
    return NULL;
}

static const char *set_address(struct settings *s, const struct row *row, char *value)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, value, address) != 1 && inet_pton(AF_INET6, value, address) != 1)
        return "an IPv4 or IPv6 address of this machine, such as 127.0.0.1 or ::1, without a port";
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static int64_t size_unit(const char *text)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } sizes[] = {
        {"", 1},     {"b", 1},     {"k", 1 << 10}, {"kb", 1 << 10}, {"kib", 1 << 10}, {"m", MIB},
        {"mb", MIB}, {"mib", MIB}, {"g", GIB},     {"gb", GIB},     {"gib", GIB},
    };

    while (*text == ' ')
        text++;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcasecmp(text, sizes[i].name) == 0)
            return sizes[i].bytes;
    }
    return 0;
}

static const char *set_size(struct settings *s, const struct row *row, char *value)
{
    size_t digits = strspn(value, "0123456789");
    int64_t unit = size_unit(value + digits);
    int64_t n = digits > 0 && digits < 16 ? strtoll(value, NULL, 10) : 0;

    if (unit == 0 || n <= 0 || n > (INT64_C(1) << 50) / unit || n * unit < 64 << 10)
        return "a size of at least 64 KiB, such as 8 MiB or 8388608";
    *(int64_t *)field_of(s, row) = n * unit;
    return NULL;
}

static const char *set_duration(struct settings *s, const struct row *row, char *value)
{
    int64_t us;

    if (!time_parse_duration(value, strlen(value), &us) || us < TIME_HOUR)
        return "a duration of at least 1h, such as 7d or 36h";
    *(int64_t *)field_of(s, row) = us;
    return NULL;
}

static const char *set_sync(struct settings *s, const struct row *row, char *value)
{
    bool full = strcasecmp(value, "full") == 0;

    if (!full && strcasecmp(value, "normal") != 0)
        return "normal or full";
    *(bool *)field_of(s, row) = full;
    return NULL;
}

static bool is_loopback(const char *host)
{
    size_t n = strcspn(host, ":/");

    if (strncmp(host, "127.", 4) == 0)
        return strspn(host, "0123456789.") == n;
    return (n == 9 && strncasecmp(host, "localhost", n) == 0) || strncmp(host, "[::1]", 5) == 0;
}

static const char *set_url(struct settings *s, const struct row *row, char *value)
{
    static const char method[] = "/chat.postMessage";
    size_t n = strlen(value);
    bool https = strncasecmp(value, "https://", 8) == 0;

    if ((!https && strncasecmp(value, "http://", 7) != 0) || n == (https ? 8u : 7u) ||
        strpbrk(value, " \t?#@") != NULL)
        return "an address such as https://slack.com/api";
    while (value[n - 1] == '/')
        value[--n] = '\0';
    if (n >= sizeof method - 1 && strcasecmp(value + n - (sizeof method - 1), method) == 0)
        return "the address without the method, such as https://slack.com/api: /chat.postMessage "
               "is "
               "appended";
    *(const char **)field_of(s, row) = value;
    return NULL;
}

/* Log lines are sent there, so they must be encrypted unless they stay on this machine. */
static const char *set_public_url(struct settings *s, const struct row *row, char *value)
{
    bool https = strncasecmp(value, "https://", 8) == 0;
    bool http = strncasecmp(value, "http://", 7) == 0;
    char *host = value + (https ? 8 : 7);
    size_t n;

    if (!https && !http)
        return "an address such as https://my-drainwatch.example";
    if (http && !is_loopback(host))
        return "https://, because log lines are sent there (http:// only to this machine)";
    n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]");
    if (n == 0 || host[n + strspn(host + n, "/")] != '\0')
        return "the address of the host alone, such as https://my-drainwatch.example";
    host[n] = '\0';
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static const char *set_readable(struct settings *s, const struct row *row, char *value)
{
    if (access(value, R_OK) != 0)
        return "the path of something that this user can read";
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static const char *set_token(struct settings *s, const struct row *row, char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return "a token such as xoxb-…, in one piece";
    }
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static const char *set_database(struct settings *s, const struct row *row, char *value)
{
    *(const char **)field_of(s, row) = value;
    return pg_url_fault(value);
}

static const char *set_schema(struct settings *s, const struct row *row, char *value)
{
    if (!pg_schema_is_valid(value))
        return "up to 41 of a to z, 0 to 9 and _, a letter first, such as drainwatch_test";
    *(const char **)field_of(s, row) = value;
    return NULL;
}

static char *trim(char *text)
{
    size_t n;

    text += strspn(text, " \t\r\n");
    n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
        n--;
    text[n] = '\0';
    return text;
}

static const char *set_secrets(struct settings *s, const struct row *row, char *value)
{
    (void)row;
    while (value != NULL) {
        char *part = strsep(&value, ",");

        part = trim(part);
        if (*part == '\0')
            continue;
        if (s->n_secrets == SETTINGS_SECRETS_MAX)
            return "at most 16 secrets, separated by commas";
        s->secrets[s->n_secrets++] = (struct secret){part, strlen(part)};
    }
    return NULL;
}

#define FIELD(name) offsetof(struct settings, name)

static const struct row rows[] = {
    {FLAG, NULL, set_flag, FIELD(enabled),
     "true, 1, yes or on turn alerting on; anything else is off: ingest answers\n"
     "      501, and nothing is posted",
     false},
    {SECRET, NULL, set_secrets, FIELD(secrets),
     "the HMAC key; several, separated by commas, are all accepted", true},
    {"PORT", "8080", set_port, FIELD(port), "HTTP port of ingest", false},
    {"DRAINWATCH_BIND", NULL, set_address, FIELD(bind_address),
     "the address that ingest listens on; unset: all addresses of the machine", false},
    {TOKEN, NULL, set_token, FIELD(slack_token), "without it alerts are printed on standard output",
     true},
    {"SLACK_API_URL", "https://slack.com/api", set_url, FIELD(slack_api_url),
     "base address; /chat.postMessage is appended", false},
    {"SSL_CERT_FILE", NULL, set_readable, FIELD(ca_file),
     "certificate authorities to trust instead of the system's, for Slack and\n"
     "      DRAINWATCH_PUBLIC_URL",
     false},
    {"SSL_CERT_DIR", NULL, set_readable, FIELD(ca_dir),
     "a folder of such, hashed by openssl rehash", false},
    {"DRAINWATCH_RULES", "rules.yaml", set_text, FIELD(rules_path), "the rules file", false},
    {"DRAINWATCH_QUEUE", NULL, set_text, FIELD(queue),
     "ipc://PATH or tcp://HOST:PORT; unset: the database if there is one,\n"
     "      else ipc:// in the state folder",
     false},
    {DATABASE, NULL, set_database, FIELD(database_url),
     "postgres://…: the state lies in this database, and records go through it", true},
    {"DRAINWATCH_SCHEMA", "drainwatch", set_schema, FIELD(schema), "its schema there", false},
    {PUBLIC_URL, NULL, set_public_url, FIELD(public_url),
     "the app's own address: if the database is away when ingest stops, its\n"
     "      records go to the next ingest there; on Heroku known by dyno metadata",
     false},
    {"DRAINWATCH_SOLO", "false", set_bool, FIELD(solo),
     "true: ingest starts the alerter beside itself", false},
    {"DRAINWATCH_STATE_DIR", "state", set_text, FIELD(state_dir), "folder for the journals", false},
    {"DRAINWATCH_MAX_BODY_BYTES", "8 MiB", set_size, FIELD(max_body_bytes),
     "larger deliveries get 413", false},
    {"DRAINWATCH_SPOOL_MAX_BYTES", "256 MiB", set_size, FIELD(spool_max_bytes),
     "ingest's journals may grow to this while the alerter is away", false},
    {"DRAINWATCH_SYNC", "normal", set_sync, FIELD(sync_full),
     "normal: a delivery answered 204 survives the death of any process;\n"
     "      full: of the machine, too",
     false},
    {"DRAINWATCH_HISTORY", "7d", set_duration, FIELD(history_us),
     "how long the alerter keeps the event stream for replay", false},
    {"DRAINWATCH_HISTORY_MAX_BYTES", NULL, set_size, FIELD(history_max_bytes),
     "and how much of it; unset: 1 GiB, or 512 MiB in a database", false},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static char *own(struct settings *s, const char *text)
{
    char *copy = strdup(text);

    assert(s->n_owned < SETTINGS_OWNED_MAX);
    if (copy != NULL)
        s->owned[s->n_owned++] = (struct settings_owned){copy, strlen(copy) + 1};
    return copy;
}

static void add_fault(struct buf *faults, const struct row *row, const char *value,
                      const char *remedy)
{
    (void)buf_printf(faults, "%s: \"", row->name);
    if (row->is_secret)
        (void)buf_puts(faults, "…");
    else
        (void)text_append_printable(faults, value, strlen(value));
    (void)buf_printf(faults, "\" is not valid (it must be %s)\n", remedy);
}

/* Whether a value stands in quotes, which `docker --env-file` and systemd keep as they are. */
static bool is_quoted(const char *value, size_t n)
{
    return n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0];
}

static bool is_unset(const char *value)
{
    return value == NULL || value[strspn(value, " \t\r\n")] == '\0';
}

/* Reads one variable. Returns 0, ERR_INPUT with a fault, or ERR_NOMEM. */
static int read_row(struct settings *s, const struct row *row, struct buf *faults)
{
    const char *given = getenv(row->name);
    const char *remedy;
    char *value;

    if (is_unset(given))
        given = row->fallback;
    if (given == NULL)
        return 0;
    value = own(s, given);
    if (value == NULL)
        return ERR_NOMEM;
    value = trim(value);
    if (is_quoted(value, strlen(value)) && row->set != set_flag && row->set != set_secrets)
        remedy = "without the quotes around it";
    else
        remedy = row->set(s, row, value);
    if (remedy == NULL)
        return 0;
    add_fault(faults, row, given, remedy);
    return ERR_INPUT;
}

/* The smallest plan of Heroku Postgres holds 1 GB, with indexes and dead rows. */
static int64_t default_history_bytes(const struct settings *s)
{
    return s->database_url != NULL ? INT64_C(512) << 20 : INT64_C(1) << 30;
}

/* Heroku sets these if the app's dyno metadata are on. */
static int set_default_address(struct settings *s)
{
    const char *host = getenv("HEROKU_APP_DEFAULT_DOMAIN_NAME");
    char text[512];

    if (s->public_url != NULL || is_unset(getenv("DYNO")) || is_unset(host) ||
        strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(host))
        return 0;
    snprintf(text, sizeof text, "https://%s", host);
    s->public_url = own(s, text);
    return s->public_url == NULL ? ERR_NOMEM : 0;
}

static int set_defaults(struct settings *s)
{
    char text[4096];

    if (set_default_address(s) != 0)
        return ERR_NOMEM;
    if (s->history_max_bytes == 0)
        s->history_max_bytes = default_history_bytes(s);
    if (s->queue != NULL || s->database_url != NULL)
        return 0;
    snprintf(text, sizeof text, "ipc://%s/queue.sock", s->state_dir);
    s->queue = own(s, text);
    return s->queue == NULL ? ERR_NOMEM : 0;
}

static bool has_short_secret(const struct settings *s)
{
    for (size_t i = 0; i < s->n_secrets; i++) {
        if (s->secrets[i].len < SETTINGS_SECRET_SHORT)
            return true;
    }
    return false;
}

/* A queue across a network derives its keys from the secret, so it needs a good one. */
static int check_queue(const struct settings *s, struct buf *faults)
{
    if (strncmp(s->queue, "tcp://", 6) != 0)
        return 0;
    if (s->n_secrets == 0) {
        (void)buf_puts(faults, "DRAINWATCH_QUEUE: \"");
        (void)text_append_printable(faults, s->queue, strlen(s->queue));
        (void)buf_printf(faults,
                         "\" needs %s, from which the keys of its encryption are derived (set it "
                         "on both sides, or use ipc://)\n",
                         SECRET);
    } else if (has_short_secret(s)) {
        (void)buf_printf(faults,
                         "%s: under %d characters is too short for a tcp:// queue (make one with: "
                         "openssl rand -hex 32)\n",
                         SECRET, SETTINGS_SECRET_SHORT);
    } else {
        return 0;
    }
    return ERR_INPUT;
}

/* Shows the value as well, because a misspelt "true" is off. */
static void note_flag(const struct settings *s, struct buf *notes)
{
    const char *given = getenv(FLAG);

    if (s->enabled)
        return;
    given = is_unset(given) ? "unset" : given;
    (void)buf_printf(notes, "%s is ", FLAG);
    (void)text_append_printable(notes, given, strlen(given));
    (void)buf_printf(notes,
                     ", so alerting is off: deliveries are answered 501 and nothing is posted "
                     "(%s turns it on)\n",
                     is_quoted(given, strlen(given)) ? "true without the quotes" : "true");
}

static void note_secrets(const struct settings *s, struct buf *notes)
{
    if (s->n_secrets == 0)
        (void)buf_printf(notes, "%s is unset: deliveries are answered 501\n", SECRET);
    if (has_short_secret(s))
        (void)buf_printf(notes,
                         "%s has a secret under %d characters, which can be guessed (make "
                         "one with: openssl rand -hex 32)\n",
                         SECRET, SETTINGS_SECRET_SHORT);
    for (size_t i = 0; i < s->n_secrets; i++) {
        if (is_quoted(s->secrets[i].bytes, s->secrets[i].len))
            (void)buf_printf(notes,
                             "%s stands in quotes, which count as part of the key: remove them "
                             "unless the drains' HMACs were made with them\n",
                             SECRET);
    }
}

static void note_api_url(const struct settings *s, struct buf *notes)
{
    if (s->slack_api_url != NULL && strncasecmp(s->slack_api_url, "http://", 7) == 0 &&
        !is_loopback(s->slack_api_url + 7))
        (void)buf_puts(notes, "SLACK_API_URL begins with http://, so the token crosses the network "
                              "in plain text (use https://, or an address of this machine)\n");
}

/* Heroku gives an app's first database this name. It may be another program's. */
static void note_other_database(const struct settings *s, struct buf *notes)
{
    if (s->database_url == NULL && !is_unset(getenv("DATABASE_URL")) && !is_unset(getenv("DYNO")))
        (void)buf_printf(notes,
                         "DATABASE_URL is not used, so the state is lost at each restart of this "
                         "dyno (if that database is for drainwatch: heroku addons:attach ADDON "
                         "--as DRAINWATCH_DATABASE)\n");
}

/* On another machine the journal stays. */
static void note_address(const struct settings *s, struct buf *notes)
{
    if (s->database_url != NULL && s->queue == NULL && s->public_url == NULL &&
        !is_unset(getenv("DYNO")))
        (void)buf_printf(notes,
                         "%s is unset: if the database is away when this dyno ends, the records "
                         "that it has not taken are lost (set it to the app's address, such as "
                         "https://my-drainwatch-….herokuapp.com)\n",
                         PUBLIC_URL);
}

/* DRAINWATCH_BIN is read by our scripts, which pass it on. */
static bool is_setting(const char *name, size_t n)
{
    static const char for_scripts[] = "DRAINWATCH_BIN";

    if (n == sizeof for_scripts - 1 && memcmp(name, for_scripts, n) == 0)
        return true;
    for (int i = 0; i < ROWS; i++) {
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
            return true;
    }
    return false;
}

/* Notes one variable with a prefix of ours whose name is no setting. */
static void note_unknown(const char *name, size_t n, size_t prefix, struct buf *notes)
{
    struct nearest nearest;

    nearest_begin(&nearest, name + prefix, n - prefix);
    for (int i = 0; i < ROWS; i++) {
        if (strncmp(rows[i].name, name, prefix) == 0)
            nearest_offer(&nearest, rows[i].name + prefix);
    }
    (void)text_append_printable(notes, name, n);
    if (nearest.best == NULL)
        (void)buf_puts(notes, " is no setting and is ignored (--help lists them)\n");
    else
        (void)buf_printf(notes, " is no setting and is ignored (did you mean %.*s%s?)\n",
                         (int)prefix, name, nearest.best);
}

/* A misspelt name would otherwise leave a setting at its default without a word. */
static void note_misspelt(struct buf *notes)
{
    static const char *const prefixes[] = {"DRAINWATCH_", "HEROKU_LOG_DRAIN_",
                                           "FLAG_CONSOLE_HEROKU_LOG_DRAIN_"};

    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        size_t n = strcspn(*variable, "=");

        for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
            size_t prefix = strlen(prefixes[i]);

            if (strncmp(*variable, prefixes[i], prefix) == 0 && !is_setting(*variable, n))
                note_unknown(*variable, n, prefix, notes);
        }
    }
}

static void add_notes(const struct settings *s, struct buf *notes)
{
    note_flag(s, notes);
    note_secrets(s, notes);
    note_api_url(s, notes);
    note_other_database(s, notes);
    note_address(s, notes);
    if (s->spool_max_bytes > 0 && s->spool_max_bytes < JOURNAL_MAX_BYTES_LEAST)
        (void)buf_printf(notes,
                         "DRAINWATCH_SPOOL_MAX_BYTES is under %d KiB, the least that a journal can "
                         "be held to: it counts as that\n",
                         JOURNAL_MAX_BYTES_LEAST >> 10);
    note_misspelt(notes);
}

int settings_read(struct settings *s, struct buf *faults, struct buf *notes)
{
    int rc = 0;

    *s = (struct settings){0};
    for (int i = 0; i < ROWS; i++)
        rc = err_worse(rc, read_row(s, &rows[i], faults));
    if (s->state_dir != NULL)
        rc = err_worse(rc, set_defaults(s));
    if (s->queue != NULL)
        rc = err_worse(rc, check_queue(s, faults));
    add_notes(s, notes);
    return faults->failed == ERR_NOMEM || notes->failed == ERR_NOMEM ? ERR_NOMEM : rc;
}

void settings_wipe_environment(void)
{
    for (int i = 0; i < ROWS; i++) {
        char *value = rows[i].is_secret ? getenv(rows[i].name) : NULL;

        if (value == NULL)
            continue;
        explicit_bzero(value, strlen(value));
        unsetenv(rows[i].name);
    }
}

void settings_forget_token(struct settings *s)
{
    for (size_t i = 0; i < s->n_owned && s->slack_token != NULL; i++) {
        struct settings_owned *o = &s->owned[i];

        if (s->slack_token >= o->text && s->slack_token < o->text + o->size)
            explicit_bzero(o->text, o->size);
    }
    s->slack_token = NULL;
}

int settings_secret_variables(const struct settings *s, struct buf out[SETTINGS_SECRET_VARIABLES])
{
    struct buf *secrets = &out[0], *token = &out[1], *database = &out[2];
    int rc = 0;

    (void)buf_reserve(secrets, 4096); /* a buffer that grows leaves its content behind */
    (void)buf_printf(secrets, "%s=", SECRET);
    for (size_t i = 0; i < s->n_secrets; i++)
        (void)buf_printf(secrets, "%s%s", i == 0 ? "" : ",", s->secrets[i].bytes);
    (void)buf_printf(token, "%s=%s", TOKEN, s->slack_token == NULL ? "" : s->slack_token);
    (void)buf_printf(database, "%s=%s", DATABASE, s->database_url == NULL ? "" : s->database_url);
    for (size_t i = 0; i < SETTINGS_SECRET_VARIABLES; i++)
        rc = err_worse(rc, out[i].failed);
    return rc;
}

void settings_close(struct settings *s)
{
    for (size_t i = 0; i < s->n_owned; i++) {
        explicit_bzero(s->owned[i].text, s->owned[i].size);
        free(s->owned[i].text);
    }
    *s = (struct settings){0};
}

const char *settings_queue_text(const struct settings *s)
{
    return s->queue != NULL ? s->queue : "in PostgreSQL";
}

int settings_help(struct buf *out)
{
    for (int i = 0; i < ROWS; i++)
        (void)buf_printf(
            out, "  %s%s%s%s\n      %s\n", rows[i].name, rows[i].fallback ? " (default: " : "",
            rows[i].fallback ? rows[i].fallback : "", rows[i].fallback ? ")" : "", rows[i].meaning);
    return out->failed;
}
