/* Feeds a stream to the engine under other rules and names rules that it cannot answer for. Called
 * by replay. */
#include "alerter/commands/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int start(struct trial *t, const struct buf *text, struct err *err)
{
    const char *bytes = buf_text(text);
    int rc = fold_open_trial(&t->fold, bytes, text->len, err);

    if (rc == 0)
        rc = ruleset_read(&t->rules, bytes, text->len, err);
    if (rc != 0)
        return rc;
    t->named = calloc(t->rules.rules->n + 1, sizeof *t->named);
    t->recorded = calloc(t->rules.rules->n + 1, sizeof *t->recorded);
    if (t->named == NULL || t->recorded == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    return 0;
}

int trial_open(struct trial *t, const struct startup_program *program, const char *path,
               struct progress *progress)
{
    const struct rules *rules;
    struct buf text;
    struct err err;
    int code = startup_read_rules(program, path, &text, &rules);

    *t = (struct trial){.program = program, .path = path, .progress = progress};
    if (code != STARTUP_OK)
        return code;
    rules_free(rules); /* all faults were printed; the engine reads the text itself */
    if (start(t, &text, &err) != 0) {
        trial_close(t);
        code = startup_fail(program, err.text);
    }
    buf_close(&text);
    return code;
}

void trial_close(struct trial *t)
{
    fold_close(&t->fold);
    ruleset_close(&t->rules);
    free(t->recorded);
    free(t->named);
    *t = (struct trial){0};
}

static void name(struct trial *t, size_t i, const char *why)
{
    if (t->named[i])
        return;
    t->named[i] = true;
    progress_end(t->progress);
    fprintf(stderr,
            "%s: %s: %s: %s: matches as recorded; use \"drainwatch-ingest scan\" on the logs to "
            "try this\n",
            t->program->name, t->path, t->rules.rules->rules[i].name, why);
}

/* Names each rule that was not recorded, or recorded with other lines or groups. */
static void compare(struct trial *t, const struct rules *recorded)
{
    const struct rules *tried = t->rules.rules;

    t->has_recorded = true;
    memset(t->recorded, 0, tried->n * sizeof *t->recorded);
    for (size_t i = 0; i < recorded->n; i++) {
        const struct rule *now = ruleset_find(&t->rules, recorded->rules[i].name);

        if (now != NULL)
            t->recorded[now - tried->rules] = &recorded->rules[i];
    }
    for (size_t i = 0; i < tried->n; i++) {
        if (t->recorded[i] == NULL)
            name(t, i, "was not recorded, or not all the time");
        else if (!ruleset_same_lines(t->recorded[i], &tried->rules[i]))
            name(t, i, "takes other lines than the recorded rule");
        else if (!ruleset_has_groups(t->recorded[i], &tried->rules[i]))
            name(t, i, "groups by a key that was not recorded");
    }
}

/* Warns that some recorded rules come from a build with other rules. */
static void say_unsure(struct trial *t, const struct err *why)
{
    if (t->is_unsure)
        return;
    t->is_unsure = true;
    progress_end(t->progress);
    fprintf(stderr,
            "%s: %s: cannot be compared with all that was recorded, so not every rule that takes "
            "other lines is named: %s\n",
            t->program->name, t->path, why->text);
}

static int look_at_rules(struct trial *t, struct wire_bytes text, struct err *err)
{
    struct ruleset recorded;
    int rc = ruleset_read(&recorded, (const char *)text.data, text.len, err);

    if (rc == ERR_INPUT) {
        say_unsure(t, err);
        return 0;
    }
    if (rc != 0)
        return rc;
    compare(t, recorded.rules);
    ruleset_close(&recorded);
    return 0;
}

static int look_at_snapshot(struct trial *t, struct wire_bytes bytes, struct err *err)
{
    struct engine *recorded;
    int rc = engine_load(&recorded, bytes.data, bytes.len, err);

    if (rc == ERR_VERSION) {
        say_unsure(t, err);
        return 0;
    }
    if (rc != 0)
        return rc;
    if (engine_rules(recorded) != NULL)
        compare(t, engine_rules(recorded));
    engine_free(recorded);
    return 0;
}

int trial_entry(struct trial *t, const struct wire_entry *entry, struct engine_outcomes *alerts,
                struct err *err)
{
    int rc = 0;

    if (entry->input == WIRE_INPUT_RULES)
        rc = look_at_rules(t, entry->bytes, err);
    else if (entry->input == WIRE_INPUT_SNAPSHOT && !t->has_recorded)
        rc = look_at_snapshot(t, entry->bytes, err); /* a later one has the rules before it */
    return rc != 0 ? rc : fold_entry(&t->fold, entry, alerts, err);
}

void trial_end(struct trial *t)
{
    if (t->has_recorded || t->is_unsure)
        return;
    for (size_t i = 0; i < t->rules.rules->n; i++)
        name(t, i, "was not recorded, or not all the time");
}
