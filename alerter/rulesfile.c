/* Reads the rules file again and describes the change. Called by turn. */
#include "alerter/rulesfile.h"

#include "alerter/engine/ruleset.h"
#include "common/app/log.h"
#include "common/app/startup.h"
#include "common/base/err.h"

#include <stdio.h>

/* Tells the operator how many rules keep their windows. */
static void describe(struct rulesfile *f, const struct engine *engine, const struct rules *next)
{
    const struct rules *old = engine_rules(engine);
    size_t added = 0, changed = 0, kept = 0;

    for (size_t i = 0; i < next->n; i++) {
        const struct rule *before = engine_rule(engine, next->rules[i].name);

        added += before == NULL;
        changed += before != NULL && !ruleset_same_matching(before, &next->rules[i]);
        kept += before != NULL;
    }
    snprintf(f->change, sizeof f->change,
             "%zu rule%s, %zu new, %zu gone; %zu start with empty windows, %zu keep theirs",
             next->n, next->n == 1 ? "" : "s", added, (old != NULL ? old->n : 0) - kept,
             added + changed, kept - changed);
}

void rulesfile_read(struct rulesfile *f, const char *path, const struct engine *engine)
{
    const struct rules *rules;
    struct buf text;

    if (startup_reload_rules(path, &text, &rules) != 0)
        return;
    rulesfile_close(f);
    if (engine_has_rules_text(engine, buf_text(&text), text.len)) {
        log_info("%s was read again: nothing has changed", path);
        buf_close(&text);
    } else {
        describe(f, engine, rules);
        f->text = text;
        f->is_new = true;
    }
    rules_free(rules);
}

void rulesfile_in_force(struct rulesfile *f)
{
    if (!f->is_new)
        return;
    log_info("the rules were read again: %s", f->change);
    rulesfile_close(f);
}

void rulesfile_close(struct rulesfile *f)
{
    if (f->is_new)
        buf_close(&f->text);
    f->is_new = false;
}
