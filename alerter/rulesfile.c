#include "alerter/rulesfile.h"

#include "alerter/engine/ruleset.h"
#include "common/app/log.h"
#include "common/app/startup.h"
#include "common/base/err.h"

#include <stdio.h>

/* What an operator wants confirmed: which windows go on. */
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
             "%zu rule%s, %zu new, %zu gone; the windows of %zu start empty, those of %zu go on",
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
        log_info("%s was read anew: nothing has changed", path);
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
    log_info("the rules were read anew: %s", f->change);
    rulesfile_close(f);
}

void rulesfile_close(struct rulesfile *f)
{
    if (f->is_new)
        buf_close(&f->text);
    f->is_new = false;
}
