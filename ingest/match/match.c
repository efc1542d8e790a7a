#include "ingest/match/match.h"

#include "ingest/match/logfmt.h"
#include "ingest/match/match_impl.h"
#include "ingest/match/special.h"

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

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                  void *context)
{
    struct match_look *look = context;
    uint64_t hit = (to - 1) << 32 | id;

    (void)from, (void)flags;
    if (to == 0)
        return 0;
    if (look->n_hits == MATCH_LOOK_MAX)
        return 1;
    look->sorted &= look->n_hits == 0 || look->hits[look->n_hits - 1] <= hit;
    look->hits[look->n_hits++] = hit;
    return 0;
}

static int compare_hits(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* What matches within a line ends within it, and every end is reported (no SINGLEMATCH): so for
 * each line all is found that it may match, whatever the expressions make of its neighbours. */
int match_look(struct match *m, const char *bytes, size_t n, const uint32_t **ends, size_t *n_ends)
{
    struct match_look *look = &m->look;
    hs_error_t rc;

    *ends = NULL;
    *n_ends = look->n = look->n_hits = 0;
    if (match_is_line_by_line(m) || n == 0 || n > UINT32_MAX)
        return 0;
    look->sorted = true;
    rc = hs_scan(m->pass, bytes, (unsigned)n, 0, m->scratch, on_hit, look);
    if (rc == HS_SCAN_TERMINATED) /* it is too much */
        return 0;
    if (rc != HS_SUCCESS)
        return ERR_IO;
    if (!look->sorted)
        qsort(look->hits, look->n_hits, sizeof *look->hits, compare_hits);
    for (size_t i = 0; i < look->n_hits; i++)
        look->ends[i] = (uint32_t)(look->hits[i] >> 32);
    look->bytes = bytes;
    look->n = n;
    *ends = look->ends;
    *n_ends = look->n_hits;
    return 0;
}

void match_look_away(struct match *m)
{
    m->look.n = 0;
}

/* Lines that a chunk before this one began lie elsewhere. */
static bool is_looked_at(const struct match_look *look, const char *at)
{
    return look->n > 0 && (uintptr_t)at >= (uintptr_t)look->bytes &&
           (uintptr_t)at - (uintptr_t)look->bytes < look->n;
}

/* The first line from `from` on that ends behind the byte at this offset, or `n`. In a storm it is
 * near. */
static size_t line_of(const struct line_span *lines, size_t n, size_t from, size_t byte)
{
    enum { STEPS_MAX = 8 };
    size_t high = n;

    for (int i = 0; i < STEPS_MAX && from < n; i++, from++) {
        if (byte < (size_t)lines[from].start + lines[from].len)
            return from;
    }
    while (from < high) {
        size_t middle = from + (high - from) / 2;

        if ((size_t)lines[middle].start + lines[middle].len <= byte)
            from = middle + 1;
        else
            high = middle;
    }
    return from;
}

static size_t all_lines(struct match *m, size_t n)
{
    for (uint32_t i = 0; i < n; i++)
        m->candidates[i] = (struct match_candidate){.line = i};
    return n;
}

size_t match_candidates(struct match *m, const char *region, const struct line_span *lines,
                        size_t n, const struct match_candidate **out)
{
    const struct match_look *look = &m->look;
    size_t at, line = 0, n_found = 0;

    assert(n <= LINE_BATCH_MAX);
    *out = m->candidates;
    if (!is_looked_at(look, region))
        return all_lines(m, n);
    at = (size_t)(region - look->bytes);
    for (uint32_t i = 0; i < look->n_hits && line < n; i++) {
        if (look->ends[i] < at)
            continue;
        line = line_of(lines, n, line, look->ends[i] - at);
        if (line == n || look->ends[i] - at < lines[line].start)
            continue; /* it ends between two lines */
        if (n_found == 0 || m->candidates[n_found - 1].line != line)
            m->candidates[n_found++] = (struct match_candidate){.line = (uint32_t)line, .first = i};
        m->candidates[n_found - 1].n++;
    }
    return n_found;
}

/* ------------------------------------------------------------------------------------- one line */

static bool text_is(struct line_text text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

static bool passes_source(const struct rule *rule, const struct line *line)
{
    if (rule->sources.n == 0 || line->form == LINE_BARE)
        return true;
    for (size_t i = 0; i < rule->sources.n; i++) {
        if (text_is(line->source, rule->sources.items[i]))
            return true;
    }
    return false;
}

/* "web.*" stands for "web." and anything. */
static bool is_process(struct line_text process, const char *item)
{
    size_t len = strlen(item);

    if (len >= 2 && memcmp(item + len - 2, ".*", 2) == 0)
        return process.len >= len - 1 && memcmp(process.data, item, len - 1) == 0;
    return text_is(process, item);
}

static bool passes_process(const struct rule *rule, const struct line *line)
{
    if (rule->processes.n == 0 || line->form == LINE_BARE)
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
static int scan_values(struct match *m, struct match_test *test, struct line_text message,
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

static int try_test(struct match *m, struct match_test *test, struct line_text message,
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
static int ask(struct match *m, uint32_t index, struct line_text message, bool *passed)
{
    struct match_test *test = &m->tests[index];
    int rc = 0;

    if (test->tried != m->serial) {
        test->tried = m->serial;
        test->passed = test->settled > 0 && test->named == m->serial;
        if (test->settled == 0)
            rc = try_test(m, test, message, &test->passed);
    }
    *passed = test->passed;
    return rc;
}

/* ------------------------------------------------------------------------------------- one line */

/* `id` as the pass has it. */
static void name_test(struct match *m, uint32_t id)
{
    if (id == m->n_tests) {
        m->special = true;
    } else if (m->tests[id].named != m->serial) {
        m->tests[id].named = m->serial;
        m->hits[m->n_hits++] = id;
    }
}

static int on_named(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    name_test(context, id);
    return 0;
}

/* Of what was found in the line, what lies in its message: all that ends there, except what settles
 * its test and would have to begin there, too. */
static void name_found(struct match *m, struct line_text message,
                       const struct match_candidate *candidate)
{
    size_t begin = (size_t)(message.data - m->look.bytes);

    assert(is_looked_at(&m->look, message.data));
    for (size_t i = candidate->first; i < candidate->first + candidate->n; i++) {
        uint32_t id = (uint32_t)m->look.hits[i];
        size_t settled = id < m->n_tests ? m->tests[id].settled : 0;

        if (m->look.ends[i] >= begin && m->look.ends[i] + (size_t)1 >= begin + settled)
            name_test(m, id);
    }
}

static int list_hits(struct match *m, struct line_text message,
                     const struct match_candidate *candidate)
{
    assert(message.len <= UINT32_MAX);
    memcpy(m->hits, m->always, m->n_always * sizeof *m->hits);
    m->n_hits = m->n_always;
    if (m->pass == NULL || message.len == 0)
        return 0;
    if (candidate != NULL && candidate->n > 0)
        name_found(m, message, candidate);
    else if (hs_scan(m->pass, message.data, (unsigned)message.len, 0, m->scratch, on_named, m) !=
             HS_SUCCESS)
        return ERR_IO;
    return 0;
}

/* Whether an expression of the rule's `unless` matches. */
static int ask_unless(struct match *m, uint32_t rule, struct line_text message, bool *excepted)
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
static int keep_rules(struct match *m, const struct line *line)
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

static int compare_indexes(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static int judge_rules(struct match *m, const struct line *line,
                       const struct match_candidate *candidate)
{
    int rc;

    m->serial++;
    if (m->n_tests == 0)
        return 0;
    rc = list_hits(m, line->message, candidate);
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

int match_line(struct match *m, const struct line *line, const struct match_candidate *candidate,
               struct match_result *out)
{
    int rc;

    m->n_matched = 0;
    *out = (struct match_result){.rules = m->matched, .own = special_is_ours(line)};
    if (out->own)
        return 0;
    m->special = m->pass == NULL || m->n_tests == 0; /* or the pass says so */
    rc = judge_rules(m, line, candidate);
    if (m->special) {
        out->lost = special_lost(line);
        out->own = special_is_about_us(line);
    }
    out->n_rules = rc == 0 ? m->n_matched : 0;
    return rc;
}
