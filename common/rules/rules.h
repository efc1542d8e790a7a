/* Turns the text of a rules file into rules.
 *
 * It reports all faults of a text at once, each as one line "FILE:LINE: fault (remedy)". Both
 * programs read the same file with this one reader, so they agree on its meaning. Pure: the caller
 * reads the file. */
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
    RULES_FAULTS_MAX = 64 << 10, /* room for faults; a last line counts the others */
};

/* A list of texts; empty (n == 0) if the key is not in the file. */
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

/* At most `n` messages in `period_us`; the alerts beyond go into one digest. */
struct rules_messages {
    uint64_t n;        /* 1 to 1,000; 0 while a rules file is read: not given */
    int64_t period_us; /* 1 s to 1 h */
};

/* A line matches a rule if it passes every test that the rule has; a list passes if any of its
 * items does. Every rule has at least one `match` or `field`. */
struct rule {
    const char *name;            /* unique in the file; letters, digits, '-', '_', '.' */
    const char *title;           /* default: the name */
    const char *severity;        /* "info", "warning", "error", "critical"; default: "" */
    struct rules_list sources;   /* log sources: "heroku", "app"; "!app": any other one */
    struct rules_list processes; /* process names; "web.*" stands for every name that begins with
                                    "web.", "!web.*" for any other one. A process type in the file,
                                    such as web, is "web" and "web.*" here */
    const struct rules_field *fields;
    size_t n_fields;
    struct rules_list matches; /* regular expressions, in Hyperscan's dialect of PCRE */
    bool outside_quotes; /* `match` counts only if it also matches without double-quoted text */
    struct rules_list unless; /* expressions, too: a line that one of them matches does not count */
    struct rules_list apps;   /* only these apps, each one that the file names; empty: all */
    struct rules_list
        group_by;              /* "process" or a logfmt key; at most RULES_GROUP_BY_MAX, distinct */
    bool fold_ids;             /* group_by: path takes all numbers and other ids as ":id" */
    struct rules_list redacts; /* expressions of this rule alone */
    bool sample;               /* whether the message shows a line */
    uint64_t more_than;
    int64_t within_us;
    int64_t cooldown_us;            /* at least 1 s */
    struct rules_messages messages; /* the rule's own, the file's, or 5 in a minute */
    const char *runbook;            /* default: "" */
    const char *channel;            /* the rule's own or slack.channel */
    struct rules_list mentions; /* the rule's own or slack.mention: "here", "channel", "everyone",
                                   or the id of a user (U…, W…) or user group (S…) */
};

struct rules_drain {
    const char *drain; /* a drain's token, or the name of its Basic credentials */
    const char *app;
};

struct rules {
    const char *app;     /* of every drain that is not listed; NULL: such a drain has none */
    const char *channel; /* slack.channel; NULL: each rule has its own */
    size_t app_line, channel_line;    /* of the file; 0: not there */
    const struct rules_drain *drains; /* by `apps`, sorted by drain */
    size_t n_drains;
    struct rules_list
        refused; /* drains that may not deliver, sorted; any of them may have an app */
    struct rules_list app_names; /* all apps that a drain can belong to, `app` first, each once */
    struct rules_list redacts;   /* expressions of the whole file */
    struct rules_messages messages; /* of rules without their own */
    const struct rule *rules;
    size_t n;
};

/* Reads a whole text. `file` only names it in faults. Returns 0 and the rules, which the caller
 * frees; ERR_INPUT with all faults appended to `faults`, a line each; or ERR_NOMEM. */
int rules_parse(const char *text, size_t len, const char *file, const struct rules **out,
                struct buf *faults);
void rules_free(const struct rules *rules); /* NULL is fine */

/* The name of the app that a drain belongs to; NULL if it is not listed and there is no default. */
const char *rules_app(const struct rules *rules, const char *drain);
/* Whether `refuse` lists a drain. */
bool rules_refuses(const struct rules *rules, const char *drain);

#endif
