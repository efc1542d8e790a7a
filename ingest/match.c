#include "ingest/match.h"

#include "ingest/logfmt.h"
#include "ingest/match_impl.h"
#include "ingest/special.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a rule that a line has passed. */
enum { PASSED_FIELD = 1, PASSED_MATCH = 2 };

const struct rules *match_rules(const struct match *m)
{
    return m->rules;
}

struct redact *match_redact(const struct match *m)
{
    return m->redact;
}

bool match_is_line_by_line(const struct match *m)
{
    return m->pass == NULL || m->n_always > 0;
}

/* ------------------------------------------------------------------------------------- the pass */

struct marking {
    const struct logplex_span *lines;
    size_t n;
    size_t last; /* the line that was marked last: the next report is mostly about it or the next */
    size_t unmarked;
    bool *marked;
};

static bool holds(const struct marking *k, size_t line, uint64_t byte)
{
    return line < k->n && byte >= k->lines[line].start &&
           byte - k->lines[line].start < k->lines[line].len;
}

/* The line that holds the byte at this offset, or `n`: a report may end between two lines. */
static size_t line_at(const struct marking *k, uint64_t byte)
{
    size_t low = 0, high = k->n;

    if (holds(k, k->last, byte))
        return k->last;
    if (holds(k, k->last + 1, byte))
        return k->last + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (k->lines[middle].start <= byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && holds(k, low - 1, byte) ? low - 1 : k->n;
}

/* A match that lies within a line ends within it, and every end is reported (no SINGLEMATCH): so
 * each line with a match is marked, whatever the expressions make of its neighbours. */
static int on_report(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                     void *context)
{
    struct marking *k = context;
    size_t line;

    (void)id, (void)from, (void)flags;
    line = to > 0 ? line_at(k, to - 1) : k->n;
    if (line == k->n)
        return 0;
    k->last = line;
    if (!k->marked[line]) {
        k->marked[line] = true;
        k->unmarked--;
    }
    return k->unmarked == 0; /* nothing is left to find */
}

int match_candidates(struct match *m, const char *region, size_t region_len,
                     const struct logplex_span *lines, size_t n, uint32_t *found)
{
    bool all = match_is_line_by_line(m);
    struct marking k = {.lines = lines, .n = n, .unmarked = all ? 0 : n, .marked = m->marked};
    hs_error_t rc;
    int n_found = 0;

    assert(n <= LOGPLEX_BATCH_MAX && region_len <= UINT32_MAX);
    memset(m->marked, all, n);
    if (!all) {
        rc = hs_scan(m->pass, region, (unsigned)region_len, 0, m->scratch, on_report, &k);
        if (rc != HS_SUCCESS && rc != HS_SCAN_TERMINATED)
            return ERR_IO;
    }
    for (uint32_t i = 0; i < n && k.unmarked < n; i++) {
        if (m->marked[i])
            found[n_found++] = i;
    }
    return n_found;
}

/* ---------------------------------------------------------------------- before lines are known */

static int on_end(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                  void *context)
{
    struct match_look *look = context;

    (void)id, (void)from, (void)flags;
    if (to == 0 || (look->n_ends > 0 && look->ends[look->n_ends - 1] == to - 1))
        return 0;
    look->all = look->n_ends == MATCH_LOOK_MAX;
    if (!look->all)
        look->ends[look->n_ends++] = (uint32_t)(to - 1);
    return look->all;
}

static int compare_indexes(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

int match_look(struct match *m, const char *bytes, size_t n, struct match_look *out)
{
    hs_error_t rc;

    out->bytes = bytes;
    out->n = n;
    out->n_ends = 0;
    out->all = match_is_line_by_line(m) || n == 0 || n > UINT32_MAX;
    if (out->all)
        return 0;
    rc = hs_scan(m->pass, bytes, (unsigned)n, 0, m->scratch, on_end, out);
    if (rc != HS_SUCCESS && rc != HS_SCAN_TERMINATED)
        return ERR_IO;
    /* Expressions of different kinds report in turns. */
    if (out->n_ends > 1)
        qsort(out->ends, out->n_ends, sizeof *out->ends, compare_indexes);
    return 0;
}

size_t match_looked(const struct match_look *look, const char *region,
                    const struct logplex_span *lines, size_t n, uint32_t *found)
{
    struct marking k = {.lines = lines, .n = n};
    size_t at = (size_t)(region - look->bytes), n_found = 0;

    assert(region >= look->bytes && at <= look->n && !look->all);
    for (size_t i = 0; i < look->n_ends; i++) {
        size_t line = look->ends[i] < at ? n : line_at(&k, look->ends[i] - at);

        if (line == n || (n_found > 0 && found[n_found - 1] == line))
            continue;
        k.last = line;
        found[n_found++] = (uint32_t)line;
    }
    return n_found;
}

/* ------------------------------------------------------------------------------------- one line */

static bool text_is(struct logplex_text text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

static bool passes_source(const struct rule *rule, const struct logplex_line *line)
{
    if (rule->sources.n == 0 || line->form == LOGPLEX_BARE)
        return true;
    for (size_t i = 0; i < rule->sources.n; i++) {
        if (text_is(line->source, rule->sources.items[i]))
            return true;
    }
    return false;
}

/* "web.*" stands for "web." and anything. */
static bool is_process(struct logplex_text process, const char *item)
{
    size_t len = strlen(item);

    if (len >= 2 && memcmp(item + len - 2, ".*", 2) == 0)
        return process.len >= len - 1 && memcmp(process.data, item, len - 1) == 0;
    return text_is(process, item);
}

static bool passes_process(const struct rule *rule, const struct logplex_line *line)
{
    if (rule->processes.n == 0 || line->form == LOGPLEX_BARE)
        return true;
    for (size_t i = 0; i < rule->processes.n; i++) {
        if (is_process(line->process, rule->processes.items[i]))
            return true;
    }
    return false;
}

/* Takes note that a line passed one part of a rule; the last of its parts lists the rule. */
static void pass_part(struct match *m, uint32_t index, unsigned part)
{
    const struct rule *rule = &m->rules->rules[index];
    struct match_progress *p = &m->progress[index];
    unsigned needed =
        (rule->n_fields > 0 ? PASSED_FIELD : 0u) | (rule->matches.n > 0 ? PASSED_MATCH : 0u);

    if (p->serial != m->serial)
        *p = (struct match_progress){.serial = m->serial};
    if (p->passed & part)
        return;
    p->passed |= part;
    if (p->passed == needed)
        m->matched[m->n_matched++] = index;
}

/* ------------------------------------------------------------------------------------ one test */

static int on_found(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 1; /* no need to look further */
}

static int scan(struct match *m, struct match_test *test, const char *text, size_t len, bool *found)
{
    hs_error_t rc;

    assert(len <= UINT32_MAX);
    rc = hs_scan(test->db, text, (unsigned)len, 0, m->scratch, on_found, found);
    return rc == HS_SUCCESS || rc == HS_SCAN_TERMINATED ? 0 : ERR_IO;
}

/* Whether the expression matches some value of the key, without its quotes. */
static int scan_values(struct match *m, struct match_test *test, struct logplex_text message,
                       bool *found)
{
    size_t key_len = strlen(test->key), at = 0;
    struct logfmt_pair pair;
    int rc = 0;

    while (rc == 0 && !*found && logfmt_next(message.data, message.len, &at, &pair)) {
        if (pair.cut || pair.key_len != key_len || memcmp(pair.key, test->key, key_len) != 0)
            continue;
        rc = scan(m, test, pair.content, pair.content_len, found);
    }
    return rc;
}

static int try_test(struct match *m, struct match_test *test, struct logplex_text message,
                    bool *passed)
{
    struct err err;

    if (test->kind == MATCH_FIELD) {
        *passed = logfmt_has(message.data, message.len, test->key, test->text);
        return 0;
    }
    if (match_compile_test(m, test, &err) != 0)
        return ERR_IO;
    if (test->kind == MATCH_VALUE)
        return scan_values(m, test, message, passed);
    return scan(m, test, message.data, message.len, passed);
}

/* Whether the line passes the test; it is tried once, whoever asks. */
static int ask(struct match *m, uint32_t index, struct logplex_text message, bool *passed)
{
    struct match_test *test = &m->tests[index];
    int rc = 0;

    if (test->tried != m->serial) {
        test->tried = m->serial;
        test->passed = test->settled && test->named == m->serial;
        if (!test->settled)
            rc = try_test(m, test, message, &test->passed);
    }
    *passed = test->passed;
    return rc;
}

/* ------------------------------------------------------------------------------------- one line */

static int on_named(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    struct match *m = context;

    (void)from, (void)to, (void)flags;
    if (id == m->n_tests) {
        m->special = true;
        return 0;
    }
    if (m->tests[id].named == m->serial)
        return 0;
    m->tests[id].named = m->serial;
    m->hits[m->n_hits++] = id;
    return 0;
}

/* The pass finds a superset on a message, too, and says what for. */
static int list_hits(struct match *m, struct logplex_text message)
{
    assert(message.len <= UINT32_MAX);
    memcpy(m->hits, m->always, m->n_always * sizeof *m->hits);
    m->n_hits = m->n_always;
    if (m->pass != NULL && hs_scan(m->pass, message.data, (unsigned)message.len, 0, m->scratch,
                                   on_named, m) != HS_SUCCESS)
        return ERR_IO;
    return 0;
}

/* Whether an expression of the rule's `unless` matches. */
static int ask_unless(struct match *m, uint32_t rule, struct logplex_text message, bool *excepted)
{
    const struct match_unless *list = &m->rule_unless[rule];
    int rc = 0;

    *excepted = false;
    for (uint32_t i = 0; rc == 0 && !*excepted && i < list->n; i++)
        rc = ask(m, m->unless[list->first + i], message, excepted);
    return rc;
}

/* Keeps those of the listed rules that also take the line's source and process, and do not except
 * it. That comes last, so that only they are asked for. */
static int keep_rules(struct match *m, const struct logplex_line *line)
{
    size_t n = m->n_matched;
    int rc = 0;

    m->n_matched = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint32_t index = m->matched[i];
        const struct rule *rule = &m->rules->rules[index];
        bool excepted;

        if (!passes_source(rule, line) || !passes_process(rule, line))
            continue;
        rc = ask_unless(m, index, line->message, &excepted);
        if (rc == 0 && !excepted)
            m->matched[m->n_matched++] = index;
    }
    return rc;
}

static int judge_rules(struct match *m, const struct logplex_line *line)
{
    int rc;

    m->serial++;
    if (m->n_tests == 0)
        return 0;
    rc = list_hits(m, line->message);
    for (size_t i = 0; rc == 0 && i < m->n_hits; i++) {
        const struct match_test *test = &m->tests[m->hits[i]];
        unsigned part = test->kind == MATCH_EXPRESSION ? PASSED_MATCH : PASSED_FIELD;
        bool passed;

        rc = ask(m, m->hits[i], line->message, &passed);
        for (uint32_t j = 0; rc == 0 && passed && j < test->n_users; j++)
            pass_part(m, m->users[test->first_user + j], part);
    }
    if (rc == 0)
        rc = keep_rules(m, line);
    if (m->n_matched > 1)
        qsort(m->matched, m->n_matched, sizeof *m->matched, compare_indexes);
    return rc;
}

int match_line(struct match *m, const struct logplex_line *line, struct match_result *out)
{
    int rc;

    m->n_matched = 0;
    *out = (struct match_result){.rules = m->matched, .own = special_is_ours(line)};
    if (out->own)
        return 0;
    m->special = m->pass == NULL || m->n_tests == 0; /* or the pass says so */
    rc = judge_rules(m, line);
    if (m->special) {
        out->lost = special_lost(line);
        out->own = special_is_about_us(line);
    }
    out->n_rules = rc == 0 ? m->n_matched : 0;
    return rc;
}
