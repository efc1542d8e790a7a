/* How both programs begin: arguments, settings, rules; and how they say what is wrong with them. */
#ifndef DRAINWATCH_COMMON_APP_STARTUP_H
#define DRAINWATCH_COMMON_APP_STARTUP_H

#include "common/app/settings.h"
#include "common/base/buf.h"
#include "common/rules/rules.h"

#include <stdbool.h>

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
};

/* Reads settings and rules. Every fault is printed on standard error as "PROGRAM: FAULT"; returns
 * STARTUP_OK, STARTUP_CONFIG, or STARTUP_FAILED where memory ran out. With `quiet` the notes (what
 * works and is worth knowing) are left out. */
int startup_configure(const struct startup_program *program, bool quiet,
                      struct startup_config *config);
void startup_release(struct startup_config *config);

/* Reads a rules file for a command. Every fault is printed on standard error as "PROGRAM: FAULT".
 * Returns STARTUP_OK with the text and the rules, which the caller closes and frees; STARTUP_CONFIG
 * or STARTUP_FAILED with nothing to close. */
int startup_read_rules(const struct startup_program *program, const char *path, struct buf *text,
                       const struct rules **rules);

/* Reads the rules file anew for a program that serves. Every fault is logged as an error, and that
 * the old rules stay in force. Returns 0 with the text and the rules, which the caller closes and
 * frees, or ERR_* with nothing to close. */
int startup_reload_rules(const char *path, struct buf *text, const struct rules **rules);

/* The settings alone, for a command that needs no rules. Returns as startup_configure; the settings
 * are the caller's to close where it is STARTUP_OK. */
int startup_settings(const struct startup_program *program, struct settings *settings);

/* --check: prints what was found. */
void startup_report(const struct startup_program *program, const struct startup_config *config);

/* Prints why the program cannot begin to serve; a setting that only then shows to be wrong
 * (ERR_INPUT) is STARTUP_CONFIG, all else STARTUP_FAILED. */
int startup_cannot(const struct startup_program *program, int rc, const char *text);

/* Prints "PROGRAM: TEXT" on standard error and returns STARTUP_FAILED. */
int startup_fail(const struct startup_program *program, const char *text);

#endif
