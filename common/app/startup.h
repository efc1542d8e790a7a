/* Reads the settings and rules that a program or command starts with, and prints their faults, each
 * as "PROGRAM: FAULT" on standard error. Also the exit codes of both programs. */
#ifndef DRAINWATCH_COMMON_APP_STARTUP_H
#define DRAINWATCH_COMMON_APP_STARTUP_H

#include "common/app/process.h"
#include "common/app/settings.h"
#include "common/base/buf.h"
#include "common/rules/rules.h"
#include "common/storage/storage.h"

#include <stdbool.h>
#include <stdio.h>

enum startup_exit {
    STARTUP_OK = 0,
    STARTUP_FAILED = 1,  /* cannot serve: a port in use, a second instance */
    STARTUP_USAGE = 64,  /* EX_USAGE of sysexits.h, and so the next two */
    STARTUP_DATA = 65,   /* EX_DATAERR: a capture is damaged */
    STARTUP_CONFIG = 78, /* EX_CONFIG */
};

struct startup_program {
    const char *name;
    const char *summary; /* one line */
};

struct startup_config {
    struct settings settings;
    struct buf rules_text;
    const struct rules *rules;
    struct buf notes; /* lines about values that work but that an operator should know */
};

/* Reads settings and rules. Returns STARTUP_OK; STARTUP_CONFIG if there are faults; STARTUP_FAILED
 * if memory ran out. startup_release is due after STARTUP_OK. */
int startup_configure(const struct startup_program *program, struct startup_config *config);
/* For a program that posts nothing: overwrites Slack's token. */
void startup_forget_token(struct startup_config *config);
/* Logs the notes, each as a warning. */
void startup_log_notes(const struct buf *notes);
/* Logs that a connection pool lies before the database, once. */
void startup_log_pooled(bool *is_told);
void startup_release(struct startup_config *config);

/* Reads a rules file for a command. Returns STARTUP_OK with the text and the rules, which the
 * caller closes and frees; STARTUP_CONFIG or STARTUP_FAILED with nothing to close. */
int startup_read_rules(const struct startup_program *program, const char *path, struct buf *text,
                       const struct rules **rules);

/* Reads the rules file again for a program that serves. It logs every fault as an error, and that
 * the old rules stay in force. Returns 0 with the text and the rules, which the caller closes and
 * frees, or ERR_* with nothing to close. */
int startup_reload_rules(const char *path, struct buf *text, const struct rules **rules);

/* Reads the settings alone, for a command that needs no rules. Returns as startup_configure does;
 * after STARTUP_OK the caller closes the settings. */
int startup_settings(const struct startup_program *program, struct settings *settings);

/* process_make_folder for the state folder; messages name the setting. */
int startup_make_state_dir(const struct settings *settings, struct err *err);

/* The alerter's storage as the settings name it: a database, or a file in the state folder. The
 * options borrow from the settings and from the rest of this struct. */
struct startup_storage {
    struct storage_options options;
    char path[STORAGE_LOCATION_SIZE];
    char holder[PROCESS_NAME_SIZE];
};
void startup_storage(const struct settings *settings, const char *program,
                     struct startup_storage *out);

/* Prints each line as "PROGRAM: LINE", without secrets, which an operator may have put into the
 * wrong setting. */
void startup_print(const struct startup_program *program, struct buf *lines, FILE *out);

/* Prints why the program cannot begin to serve. Returns STARTUP_CONFIG for ERR_INPUT (a setting
 * that only then proved wrong), else STARTUP_FAILED. */
int startup_cannot(const struct startup_program *program, int rc, const char *text);

/* Prints "PROGRAM: TEXT" on standard error and returns STARTUP_FAILED. */
int startup_fail(const struct startup_program *program, const char *text);

#endif
