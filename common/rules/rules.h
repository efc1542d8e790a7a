/* The rules file: its text to rules.
 *
 * Pure: reading the file is the caller's. Every fault of a text is reported at once, each as one
 * line "FILE:LINE: what is wrong (what would be right)". Both programs read the same file with this
 * one reader, so they agree on what it means. */
#ifndef DRAINWATCH_COMMON_RULES_RULES_H
#define DRAINWATCH_COMMON_RULES_RULES_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RULES_TEXT_MAX = 1 << 20,    /* bytes of a rules file */
    RULES_MAX = 10000,           /* rules in it */
    RULES_GROUP_BY_MAX = 4,      /* keys of one rule's group_by */
    RULES_FAULTS_MAX = 64 << 10, /* room for faults; those beyond it are counted in a last line */
};

/* A list of texts; empty (n == 0) where the key was not given. */
struct rules_list {
    const char *const *items;
    size_t n;
};

/* A logfmt pair that must stand in the message outside of quotes. */
struct rules_field {
    const char *key;
    const char *value;
    bool is_pattern; /* the value is a regular expression on the whole of the line's value; else
                        it is compared byte for byte */
};

/* A line matches a rule if it passes every test that the rule has; a list passes if any of its
 * items does. Every rule has at least one `match` or `field`. */
struct rule {
    const char *name;          /* unique in the file; letters, digits, '-', '_', '.' */
    const char *title;         /* the name where none was given */
    const char *severity;      /* "info", "warning", "error", "critical"; "" where none was given */
    struct rules_list sources; /* log sources: "heroku", "app" */
    struct rules_list processes; /* process names; "web.*" stands for "web." and anything */
    const struct rules_field *fields;
    size_t n_fields;
    struct rules_list matches; /* regular expressions, in Hyperscan's dialect of PCRE */
    struct rules_list unless; /* of the same kind: a line that one of them matches does not match */
    struct rules_list apps;   /* only these apps, each one that the file names; empty: all */
    struct rules_list
        group_by;              /* "process" or a logfmt key; at most RULES_GROUP_BY_MAX, distinct */
    bool fold_ids;             /* group_by: path takes all numbers and other ids as ":id" */
    struct rules_list redacts; /* expressions of this rule alone */
    bool sample;               /* whether the message shows a line */
    uint64_t more_than;
    int64_t within_us;
    int64_t cooldown_us;        /* at least 1 s */
    const char *runbook;        /* "" where none was given */
    const char *channel;        /* the rule's own or slack.channel */
    struct rules_list mentions; /* the rule's own or slack.mention: "here", "channel", "everyone",
                                   or the id of a user (U…, W…) or user group (S…) */
};

struct rules_drain {
    const char *drain; /* a drain's token, or the name of its Basic credentials */
    const char *app;
};

struct rules {
    const char *app; /* the name of every drain that is not listed; NULL: none has one */
    const struct rules_drain *drains; /* by `apps`, sorted by drain */
    size_t n_drains;
    struct rules_list app_names; /* all that a drain can belong to, `app` first, each once */
    struct rules_list redacts;   /* expressions of the whole file */
    const struct rule *rules;
    size_t n;
};

/* Reads a whole text. `file` only names it in faults. Returns 0 and the rules, which the caller
 * frees; ERR_INPUT with all faults appended to `faults`, a line each; or ERR_NOMEM. */
int rules_parse(const char *text, size_t len, const char *file, const struct rules **out,
                struct buf *faults);
void rules_free(const struct rules *rules); /* NULL is fine */

/* The name of the app that a drain belongs to; NULL where it is not listed and there is no default.
 */
const char *rules_app(const struct rules *rules, const char *drain);

#endif
