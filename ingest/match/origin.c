/* Compares a line's source and process with a rule's. The matcher calls it. */
#include "ingest/match/origin.h"

#include <string.h>

static bool text_is(struct line_text text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

/* "web.*" stands for "web." and anything. */
static bool name_is(struct line_text name, const char *item)
{
    size_t len = strlen(item);

    if (len >= 2 && memcmp(item + len - 2, ".*", 2) == 0)
        return name.len >= len - 1 && memcmp(name.data, item, len - 1) == 0;
    return text_is(name, item);
}

static bool passes_source(const struct rule *rule, const struct line *line)
{
    for (size_t i = 0; i < rule->sources.n; i++) {
        if (text_is(line->source, rule->sources.items[i]))
            return true;
    }
    return rule->sources.n == 0;
}

static bool passes_process(const struct rule *rule, const struct line *line)
{
    for (size_t i = 0; i < rule->processes.n; i++) {
        if (name_is(line->process, rule->processes.items[i]))
            return true;
    }
    return rule->processes.n == 0;
}

bool origin_passes(const struct rule *rule, const struct line *line)
{
    return line->form == LINE_BARE || (passes_source(rule, line) && passes_process(rule, line));
}
