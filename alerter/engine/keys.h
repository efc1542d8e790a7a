/* The keys of the engine: a window and a cooldown for each (app, rule, group).
 *
 * Found by their name, and in a list from the one that was longest without a match to the one that
 * was touched last, so that the stalest can go first. The groups of one app's rule are a family
 * with a list of its own; a rule without group has none, and costs nothing of this. Pure.
 *
 * Memory: about 400 bytes a key with its first four distinct times (with names of some 40 bytes),
 * plus the bytes in window.h for each further time. */
#ifndef DRAINWATCH_ALERTER_ENGINE_KEYS_H
#define DRAINWATCH_ALERTER_ENGINE_KEYS_H

#include "alerter/engine/snapshot.h"
#include "alerter/engine/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keys;
struct touch;

struct key {
    struct window window;
    int64_t alerted_us;  /* step time of its last alert; KEY_NEVER: there was none */
    uint64_t since;      /* matches put in since then; 0 while there was none */
    bool is_withheld;    /* that alert got no message of its own */
    bool is_noted;       /* a breach within the cooldown after that alert was reported */
    int64_t arrived_us;  /* step time of the last matches; KEY_NEVER: not known */
    int64_t late_ms;     /* newest arrival time of a match whose own time was too old to count;
                            INT64_MIN: there was none */
    struct touch *touch; /* for the engine: its part of the record in hand; NULL between records */
};
#define KEY_NEVER INT64_C(-1)

struct keys_counts {
    size_t keys;
    size_t times; /* distinct times in all windows */
};

struct keys *keys_new(void); /* NULL: no memory */
void keys_free(struct keys *k);

/* Finds a key or makes it; makes it the last of the list. `group` has the values of its group, in
 * the order of the rule's group_by; none if the rule has no group_by. NULL: no memory. */
struct key *keys_touch(struct keys *k, const char *app, const char *rule, const char *const *group,
                       size_t n_group);
const char *key_app(const struct key *key);
const char *key_rule(const struct key *key);
/* The values of its group, in the order of the rule's group_by; valid as long as the key. */
void key_group(const struct key *key, const char **values);

/* The key after `key` in the list; the first for NULL, and NULL after the last. */
const struct key *keys_next(const struct keys *k, const struct key *key);

/* Puts runs into the key's window as window_put does, keeping the count of times. */
int keys_put(struct keys *k, struct key *key, const struct window_run *runs, size_t n,
             int64_t keep_ms, size_t max_times);

/* For each family touched since the last call: drops its stalest groups beyond `max_groups` (at
 * least 1), so that a visitor who makes up values cannot push out the keys of other rules. Returns
 * the number dropped. */
size_t keys_keep_groups(struct keys *k, size_t max_groups);

/* While there are more than `max_keys`, or more than one and in all more than `max_times` distinct
 * times: drops a sixteenth of the family that has most of them, the stalest keys first. So an app
 * that fills the table forgets its own keys. Of equal families the first by app and rule gives way.
 * Returns the number of dropped keys. */
size_t keys_keep(struct keys *k, size_t max_keys, size_t max_times);
/* The app, and the rule, of the keys that it dropped last; "" if it dropped none. Valid until the
 * next call. */
const char *keys_crowded(const struct keys *k, const char **rule);

/* Drops each key if `keep` returns false for its rule. */
typedef bool keys_keep_fn(void *ctx, const char *rule);
void keys_drop(struct keys *k, keys_keep_fn *keep, void *ctx);

struct keys_counts keys_counts(const struct keys *k);

void keys_save(const struct keys *k, struct snapshot_writer *out);

struct keys_limits {
    size_t keys;
    size_t groups;    /* of an app and rule */
    size_t key_times; /* distinct times of a key */
};

/* Whether there is a rule of this name, with so many keys in its group_by. */
typedef bool keys_known_fn(void *ctx, const char *rule, size_t n_group);

/* Into keys just made: as many as the limits allow, all of known rules, alerted at `step_us` at
 * the latest. Returns 0, ERR_DAMAGED or ERR_NOMEM. */
int keys_load(struct keys *k, struct snapshot_reader *in, const struct keys_limits *limits,
              int64_t step_us, keys_known_fn *known, void *ctx);

#endif
