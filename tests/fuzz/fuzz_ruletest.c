/* Any bytes as a file of rule tests: they are tests within the bounds of their header, or they have
 * at least one fault, each with a line of the file. */
#include "tests/fuzz/feed.h"

#include "alerter/commands/ruletest_file.h"

#include <stdio.h>

static void check_delivery(const struct ruletest_delivery *d)
{
    assert(d->line > 0 && d->n_lines > 0 && d->times > 0 && d->every_us >= 0);
    assert(d->drain == NULL || d->drain[0] != '\0');
    for (size_t i = 0; i < d->n_lines; i++)
        assert(strlen(d->lines[i]) <= RULETEST_LINE_MAX);
}

static void check_test(const struct ruletest *t, uint64_t *lines)
{
    assert(t->line > 0 && t->name[0] != '\0');
    for (size_t i = 0; i < t->n_deliveries; i++) {
        const struct ruletest_delivery *d = &t->deliveries[i];

        check_delivery(d);
        assert(d->times <= RULETEST_LINES_MAX);
        *lines += d->times * d->n_lines;
    }
    for (size_t i = 0; i < t->n_alerts; i++) {
        const struct ruletest_alert *a = &t->alerts[i];

        assert(a->line > 0 && a->rule[0] != '\0');
        assert(i == 0 || t->alerts[i - 1].at_us <= a->at_us);
        for (size_t k = 0; k < a->n_group; k++)
            assert(a->group[k].key[0] != '\0' && a->group[k].value != NULL);
    }
}

static void check_file(const struct ruletest_file *file)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < file->n_tests; i++)
        check_test(&file->tests[i], &lines);
    assert(lines <= RULETEST_LINES_MAX);
}

static void check_faults(const struct buf *faults)
{
    const char *at = buf_text(faults);

    assert(faults->len > 0 && faults->len <= RULETEST_FAULTS_MAX);
    assert(feed_is_shown(at, faults->len) && at[faults->len - 1] == '\n');
    while (*at != '\0') {
        size_t line = 0;
        bool names_line = sscanf(at, "f:%zu: ", &line) == 1 && line > 0;

        assert(names_line || strncmp(at, "and ", 4) == 0 || strncmp(at, "f: ", 3) == 0);
        at = strchr(at, '\n') + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ruletest_file *file;
    char *text = feed_copy(data, size);
    struct buf faults;
    int rc;

    buf_init(&faults, RULETEST_FAULTS_MAX);
    rc = ruletest_file_parse(text, size, "f", &file, &faults);
    free(text); /* the tests keep nothing of it */
    assert(rc == 0 || rc == ERR_INPUT);
    if (rc == 0) {
        assert(faults.len == 0);
        check_file(file);
        ruletest_file_free(file);
    } else {
        check_faults(&faults);
    }
    buf_close(&faults);
    return 0;
}
