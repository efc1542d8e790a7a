/* Judges lines by the rules. A delivery calls it for each chunk, then for each candidate. */
#include "ingest/match/match.h"

#include "common/base/buf.h"
#include "common/rules/expression.h"
#include "ingest/match/criteria.h"
#include "ingest/match/expressions.h"
#include "ingest/match/logfmt.h"
#include "ingest/match/origin.h"
#include "ingest/match/pass.h"
#include "ingest/match/special.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a rule that a line has passed. */
enum { PASSED_FIELD = 1, PASSED_MATCH = 2 };

/* A criterion at work. */
struct trial {
    struct hs_database *db; /* of an expression or a value; NULL until it is first tried */
    uint64_t named;         /* serial of the last line for which the pass reported it */
    uint64_t tried;         /* serial of the last line that was tried for it */
    bool passed;            /* the result of that */
};

struct progress {
    uint64_t serial; /* of the line that `passed` is about */
    unsigned passed; /* the parts of the rule that the line passed */
};

struct match {
    const struct rules *rules;
    struct criteria criteria;
    struct pass pass;
    struct trial *trials;       /* of each criterion */
    struct hs_scratch *scratch; /* for every database */
    uint64_t serial;            /* of the line being judged */
    bool special;               /* the line may be one that special.h knows */
    bool odd_pair;              /* the line may hold a pair that the pass cannot see */
    uint32_t *hits;             /* criteria that the line may meet */
    size_t n_hits;
    struct progress *progress; /* of each rule */
    uint32_t *matched;         /* rules that match the line */
    size_t n_matched;
    struct candidates candidates;
};

const struct rules *match_rules(const struct match *m)
{
    return m->rules;
}

bool match_is_line_by_line(const struct match *m)
{
    return m->pass.db == NULL || m->pass.n_always > 0;
}

/* ---- compiling ---- */

static int alloc_scratch(struct match *m, const struct hs_database *db)
{
    return hs_alloc_scratch(db, &m->scratch) == HS_SUCCESS ? 0 : ERR_NOMEM;
}

/* Compiles the exact expression of a criterion on its first use. Alone an expression takes 0.03 to
 * 2 ms, together with 1,000 others it takes far longer, and most are never needed. */
static int compile_trial(struct match *m, uint32_t index, struct err *err)
{
    const struct criterion *criterion = &m->criteria.items[index];
    bool is_value = criterion->kind == CRITERION_VALUE;
    struct trial *trial = &m->trials[index];
    struct expressions list = {0};
    struct buf whole;
    int rc = 0;

    if (trial->db != NULL)
        return 0;
    buf_init(&whole, SIZE_MAX / 8);
    if (is_value)
        rc = expression_append_whole(criterion->text, &whole);
    if (rc == 0)
        rc = expressions_add(&list, is_value ? buf_text(&whole) : criterion->text,
                             HS_FLAG_SINGLEMATCH, 0);
    if (rc == 0)
        rc = expressions_compile(&list, &trial->db, NULL, err);
    if (rc == 0)
        rc = alloc_scratch(m, trial->db);
    expressions_close(&list);
    buf_close(&whole);
    return rc;
}

static bool alloc_tables(struct match *m)
{
    m->trials = calloc(m->criteria.n + 1, sizeof *m->trials);
    m->hits = calloc(m->criteria.n + 1, sizeof *m->hits);
    m->progress = calloc(m->rules->n + 1, sizeof *m->progress);
    m->matched = calloc(m->rules->n + 1, sizeof *m->matched);
    return m->trials && m->hits && m->progress && m->matched;
}

static int compile(struct match *m, size_t whole_max, struct err *err)
{
    int rc = pass_open(&m->pass, &m->criteria, whole_max, err);

    if (rc == 0 && m->pass.db != NULL)
        rc = alloc_scratch(m, m->pass.db);
    for (size_t i = 0; rc == 0 && i < m->pass.n_always; i++) { /* the first line needs them */
        uint32_t index = m->pass.always[i];

        if (m->criteria.items[index].kind != CRITERION_FIELD)
            rc = compile_trial(m, index, err);
    }
    return rc;
}

int match_new_bounded(const struct rules *rules, size_t whole_max, struct match **out,
                      struct err *err)
{
    struct match *m = calloc(1, sizeof *m);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (m == NULL)
        goto out;
    m->rules = rules;
    rc = criteria_open(&m->criteria, rules);
    if (rc == 0)
        rc = alloc_tables(m) ? compile(m, whole_max, err) : ERR_NOMEM;
    if (rc == 0)
        *out = m;
    else
        match_free(m);
out:
    if (rc == ERR_NOMEM)
        err_set(err, rc, "the rules: no memory to compile them");
    return rc;
}

int match_new(const struct rules *rules, struct match **out, struct err *err)
{
    return match_new_bounded(rules, PASS_WHOLE_MAX, out, err);
}

void match_free(struct match *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; m->trials != NULL && i < m->criteria.n; i++)
        hs_free_database(m->trials[i].db);
    hs_free_scratch(m->scratch);
    pass_close(&m->pass);
    criteria_close(&m->criteria);
    free(m->matched);
    free(m->progress);
    free(m->hits);
    free(m->trials);
    free(m);
}

/* ---- a chunk ---- */

int match_scan(struct match *m, const char *bytes, size_t n, const uint32_t **ends, size_t *n_ends)
{
    int rc;

    *ends = NULL;
    *n_ends = 0;
    match_forget(m);
    if (match_is_line_by_line(m) || n == 0 || n > UINT32_MAX)
        return 0;
    rc = candidates_scan(&m->candidates, m->pass.db, m->scratch, bytes, n);
    if (rc == 0) {
        *ends = m->candidates.ends;
        *n_ends = m->candidates.n_hits;
    }
    return rc == ERR_FULL ? 0 : rc;
}

void match_forget(struct match *m)
{
    candidates_forget(&m->candidates);
}

size_t match_candidates(struct match *m, const char *region, const struct line_span *lines,
                        size_t n, const struct candidate **out)
{
    return candidates_find(&m->candidates, region, lines, n, out);
}

/* ---- one criterion ---- */

/* Notes that the line passed one part of a rule, and lists the rule when it passed all parts. */
static void pass_part(struct match *m, uint32_t index, unsigned part)
{
    const struct rule *rule = &m->rules->rules[index];
    struct progress *p = &m->progress[index];
    unsigned needed =
        (rule->n_fields > 0 ? PASSED_FIELD : 0u) | (rule->matches.n > 0 ? PASSED_MATCH : 0u);

    if (p->serial != m->serial)
        *p = (struct progress){.serial = m->serial};
    if (p->passed & part)
        return;
    p->passed |= part;
    if (p->passed == needed)
        m->matched[m->n_matched++] = index;
}

static int on_found(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 1; /* no need to look further */
}

static int scan(struct match *m, const struct hs_database *db, const char *text, size_t len,
                bool *found)
{
    hs_error_t rc;

    assert(len <= UINT32_MAX);
    rc = hs_scan(db, text, (unsigned)len, 0, m->scratch, on_found, found);
    return rc == HS_SUCCESS || rc == HS_SCAN_TERMINATED ? 0 : ERR_IO;
}

/* Whether the expression matches some value of the key, without its quotes. */
static int scan_values(struct match *m, uint32_t index, struct line_text message, bool *found)
{
    const char *key = m->criteria.items[index].key;
    size_t key_len = strlen(key), at = 0;
    struct logfmt_pair pair;
    int rc = 0;

    while (rc == 0 && !*found && logfmt_next(message.data, message.len, &at, &pair)) {
        if (pair.cut || pair.key_len != key_len || memcmp(pair.key, key, key_len) != 0)
            continue;
        rc = scan(m, m->trials[index].db, pair.content, pair.content_len, found);
    }
    return rc;
}

static int try_criterion(struct match *m, uint32_t index, struct line_text message, bool *passed)
{
    const struct criterion *criterion = &m->criteria.items[index];
    struct err err;

    *passed = false;
    if (criterion->kind == CRITERION_FIELD) {
        *passed = logfmt_has(message.data, message.len, criterion->key, criterion->text);
        return 0;
    }
    if (compile_trial(m, index, &err) != 0)
        return ERR_IO;
    if (criterion->kind == CRITERION_VALUE)
        return scan_values(m, index, message, passed);
    return scan(m, m->trials[index].db, message.data, message.len, passed);
}

/* Whether the line meets the criterion. It is tried once a line, however many rules ask. */
static int meets(struct match *m, uint32_t index, struct line_text message, bool *passed)
{
    struct trial *trial = &m->trials[index];
    bool settled = m->pass.settled[index] > 0;
    int rc = 0;

    if (trial->tried != m->serial) {
        trial->tried = m->serial;
        trial->passed = settled && trial->named == m->serial;
        if (!settled)
            rc = try_criterion(m, index, message, &trial->passed);
    }
    *passed = trial->passed;
    return rc;
}

/* ---- one line ---- */

/* Lists what the pass reported for the line. */
static void name(struct match *m, uint32_t id)
{
    if (id == pass_special(&m->criteria)) {
        m->special = true;
    } else if (id == pass_odd_pair(&m->criteria)) {
        m->odd_pair = true;
    } else if (m->trials[id].named != m->serial) {
        m->trials[id].named = m->serial;
        m->hits[m->n_hits++] = id;
    }
}

static int on_named(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    name(context, id);
    return 0;
}

/* Lists the reports that end in the message. A report that settles its criterion must begin there,
 * too. */
static void name_found(struct match *m, struct line_text message, const struct candidate *candidate)
{
    const struct candidates *c = &m->candidates;
    size_t begin = (size_t)(message.data - c->bytes);

    assert(candidates_cover(c, message.data));
    for (size_t i = candidate->first; i < candidate->first + candidate->n; i++) {
        uint32_t id = (uint32_t)c->hits[i];
        size_t settled = id < m->criteria.n ? m->pass.settled[id] : 0;

        if (c->ends[i] >= begin && c->ends[i] + (size_t)1 >= begin + settled)
            name(m, id);
    }
}

/* Lists the criteria that a pair may meet. */
static void name_pair(struct match *m, const struct logfmt_pair *pair)
{
    static const enum criterion_kind kinds[] = {CRITERION_FIELD, CRITERION_VALUE};
    const struct criteria *c = &m->criteria;

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t i = criteria_find(c, kinds[k], pair->key, pair->key_len);
             i < c->n && criterion_is_on(&c->items[i], kinds[k], pair->key, pair->key_len); i++) {
            if (kinds[k] == CRITERION_VALUE || logfmt_is(pair, c->items[i].text))
                name(m, (uint32_t)i);
        }
    }
}

/* Lists the criteria that the pairs of a message may meet, in whatever form they are written. */
static void name_pairs(struct match *m, struct line_text message)
{
    struct logfmt_pair pair;
    size_t at = 0;

    while (logfmt_next(message.data, message.len, &at, &pair))
        name_pair(m, &pair);
}

static int list_hits(struct match *m, struct line_text message, const struct candidate *candidate)
{
    assert(message.len <= UINT32_MAX);
    m->n_hits = 0;
    m->odd_pair = false;
    for (size_t i = 0; i < m->pass.n_always; i++)
        name(m, m->pass.always[i]);
    if (m->pass.db == NULL || message.len == 0)
        return 0;
    if (candidate != NULL && candidate->n > 0)
        name_found(m, message, candidate);
    else if (hs_scan(m->pass.db, message.data, (unsigned)message.len, 0, m->scratch, on_named, m) !=
             HS_SUCCESS)
        return ERR_IO;
    if (m->odd_pair)
        name_pairs(m, message);
    return 0;
}

/* Whether an expression of the rule's `unless` matches. */
static int meets_unless(struct match *m, uint32_t rule, struct line_text message, bool *excepted)
{
    const struct criteria_span *list = &m->criteria.rule_unless[rule];
    int rc = 0;

    *excepted = false;
    for (uint32_t i = 0; rc == 0 && !*excepted && i < list->n; i++)
        rc = meets(m, m->criteria.unless[list->first + i], message, excepted);
    return rc;
}

/* Keeps the listed rules that also take the line's source and process and whose `unless` does not
 * match. `unless` comes last, so that it is tried for these rules only. */
static int keep_rules(struct match *m, const struct line *line)
{
    size_t n = m->n_matched;
    int rc = 0;

    m->n_matched = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint32_t index = m->matched[i];
        const struct rule *rule = &m->rules->rules[index];
        bool excepted;

        if (!origin_passes(rule, line))
            continue;
        rc = meets_unless(m, index, line->message, &excepted);
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

static int judge_rules(struct match *m, const struct line *line, const struct candidate *candidate)
{
    int rc;

    m->serial++;
    if (m->criteria.n == 0)
        return 0;
    rc = list_hits(m, line->message, candidate);
    for (size_t i = 0; rc == 0 && i < m->n_hits; i++) {
        const struct criterion *criterion = &m->criteria.items[m->hits[i]];
        unsigned part = criterion->kind == CRITERION_EXPRESSION ? PASSED_MATCH : PASSED_FIELD;
        bool passed;

        rc = meets(m, m->hits[i], line->message, &passed);
        for (uint32_t j = 0; rc == 0 && passed && j < criterion->n_users; j++)
            pass_part(m, m->criteria.users[criterion->first_user + j], part);
    }
    if (rc == 0)
        rc = keep_rules(m, line);
    if (m->n_matched > 1)
        qsort(m->matched, m->n_matched, sizeof *m->matched, compare_indexes);
    return rc;
}

int match_line(struct match *m, const struct line *line, const struct candidate *candidate,
               struct match_result *out)
{
    int rc;

    m->n_matched = 0;
    *out = (struct match_result){.rules = m->matched, .own = special_is_ours(line)};
    if (out->own)
        return 0;
    m->special = m->pass.db == NULL || m->criteria.n == 0; /* else the pass reports it */
    rc = judge_rules(m, line, candidate);
    if (m->special) {
        out->lost = special_lost(line);
        out->own = special_is_about_us(line);
    }
    out->n_rules = rc == 0 ? m->n_matched : 0;
    return rc;
}

/* ---- the place of a match ---- */

static int on_place(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)flags;
    *(size_t *)context = (size_t)to;
    return 1;
}

/* The end of the first pair that meets the criterion, or 0. */
static size_t find_pair(struct match *m, uint32_t index, struct line_text message)
{
    const struct criterion *c = &m->criteria.items[index];
    struct logfmt_pair pair;
    size_t at = 0;

    while (logfmt_next(message.data, message.len, &at, &pair)) {
        bool found = c->kind == CRITERION_FIELD && logfmt_is(&pair, c->text);

        if (pair.cut || !criterion_is_on(c, c->kind, pair.key, pair.key_len))
            continue;
        if (c->kind == CRITERION_VALUE &&
            scan(m, m->trials[index].db, pair.content, pair.content_len, &found) != 0)
            return 0;
        if (found)
            return (size_t)(pair.value + pair.value_len - message.data);
    }
    return 0;
}

/* The end of the first place that meets the criterion, or 0. */
static size_t find_criterion(struct match *m, uint32_t index, struct line_text message)
{
    struct err err;
    size_t end = 0;

    if (m->criteria.items[index].kind != CRITERION_FIELD && compile_trial(m, index, &err) != 0)
        return 0;
    if (m->criteria.items[index].kind != CRITERION_EXPRESSION)
        return find_pair(m, index, message);
    hs_scan(m->trials[index].db, message.data, (unsigned)message.len, 0, m->scratch, on_place,
            &end);
    return end;
}

static bool has_user(const struct criteria *c, size_t index, uint32_t rule)
{
    for (uint32_t i = 0; i < c->items[index].n_users; i++) {
        if (c->users[c->items[index].first_user + i] == rule)
            return true;
    }
    return false;
}

bool match_find(struct match *m, uint32_t rule, const char *message, size_t len, size_t *end)
{
    assert(len <= UINT32_MAX);
    *end = 0;
    for (uint32_t i = 0; i < m->criteria.n; i++) {
        size_t found = has_user(&m->criteria, i, rule)
                           ? find_criterion(m, i, (struct line_text){message, len})
                           : 0;

        *end = found > *end ? found : *end;
    }
    return *end > 0;
}
