/* The settings, read once at start from environment variables by one table.
 *
 * A malformed value is a fault that names the setting, its value (never of a secret) and the
 * remedy; all faults are reported at once. An empty value counts as unset. */
#ifndef DRAINWATCH_COMMON_APP_SETTINGS_H
#define DRAINWATCH_COMMON_APP_SETTINGS_H

#include "common/base/buf.h"
#include "common/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SETTINGS_SECRETS_MAX = 16,
    SETTINGS_SECRET_SHORT = 32, /* a shorter secret is noted: 128 bits in hex */
    SETTINGS_OWNED_MAX = 26,
    SETTINGS_SECRET_VARIABLES = 3,
    SETTINGS_FAULTS_MAX = 64 << 10,
};

struct settings_owned {
    char *text;
    size_t size;
};

struct settings {
    bool enabled; /* FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING */
    struct secret secrets[SETTINGS_SECRETS_MAX];
    size_t n_secrets;
    uint16_t port;
    const char *bind_address;  /* an IPv4 or IPv6 address; NULL: all of the machine's */
    const char *slack_token;   /* NULL: alerts are printed */
    const char *slack_api_url; /* without a slash at its end */
    const char *ca_file;       /* of certificate authorities; NULL: the system's */
    const char *ca_dir;
    const char *rules_path;
    const char *queue;        /* NULL: the database carries the records */
    const char *database_url; /* of PostgreSQL, a secret; NULL: none */
    const char *schema;
    const char *public_url; /* of the app, without a slash at its end; NULL: not known */
    bool solo;
    const char *state_dir;
    int64_t max_body_bytes;
    int64_t spool_max_bytes;
    bool sync_full;
    int64_t history_us;
    int64_t history_max_bytes;
    struct settings_owned
        owned[SETTINGS_OWNED_MAX]; /* the strings above, overwritten when they are freed */
    size_t n_owned;
};

/* Reads the environment. Returns 0; ERR_INPUT with a line for each fault; or ERR_NOMEM. `notes`
 * gets a line for each value that works but that an operator should know: the flag is off, a secret
 * is short, a name is misspelt. settings_close is due in each case. */
int settings_read(struct settings *s, struct buf *faults, struct buf *notes);
void settings_close(struct settings *s); /* overwrites the secrets */

/* Overwrites the secrets in this process's environment and removes them from it, so that no child
 * inherits them. The settings that were read keep their own copies. */
void settings_wipe_environment(void);
/* Overwrites Slack's token, for a program that posts nothing. */
void settings_forget_token(struct settings *s);
/* Appends each secret variable as NAME=VALUE to a buffer of its own, for a child that needs them.
 * Returns 0, ERR_FULL or ERR_NOMEM. */
int settings_secret_variables(const struct settings *s, struct buf out[SETTINGS_SECRET_VARIABLES]);

/* Where records wait for the alerter, for messages. */
const char *settings_queue_text(const struct settings *s);

/* A table of all settings with defaults and meaning, for --help. */
int settings_help(struct buf *out);

#endif
