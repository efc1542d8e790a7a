/* Judges lines by the rules. A delivery calls it for each chunk, then for each candidate. */
#include "ingest/match/match.h"

#include "common/base/buf.h"
#include "common/rules/expression.h"
#include "ingest/match/criteria.h"
#include "ingest/match/expressions.h"
#include "ingest/match/logfmt.h"
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

/* The scanned chunk and its reports. */
struct chunk {
    const char *bytes;
    size_t n; /* its length; 0: none was scanned */
    size_t n_hits;
    bool sorted; /* expressions of different kinds report in turns */
    uint64_t
        hits[MATCH_HITS_MAX]; /* offset of a match's last byte << 32 | what the pass reported */
    uint32_t ends[MATCH_HITS_MAX]; /* the offsets alone */
    struct candidate found[LINE_BATCH_MAX];
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
    struct buf unquoted; /* the message without its quoted text */
    struct chunk chunk;
};

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
    buf_init(&m->unquoted, UINT32_MAX);
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
    buf_close(&m->unquoted);
    free(m->matched);
    free(m->progress);
    free(m->hits);
    free(m->trials);
    free(m);
}

/* ---- a chunk ---- */

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                  void *context)
{
    struct chunk *c = context;
    uint64_t hit = (to - 1) << 32 | id;

    (void)from, (void)flags;
    if (to == 0)
        return 0;
    if (c->n_hits == MATCH_HITS_MAX)
        return 1;
    c->sorted &= c->n_hits == 0 || c->hits[c->n_hits - 1] <= hit;
    c->hits[c->n_hits++] = hit;
    return 0;
}

static int compare_hits(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* A match within a line ends within it, and the pass reports every end (no SINGLEMATCH). So each
 * line has a report for everything that it may match, whatever stands beside it. */
int match_scan(struct match *m, const char *bytes, size_t n, const uint32_t **ends, size_t *n_ends)
{
    struct chunk *c = &m->chunk;
    hs_error_t rc;

    *ends = NULL;
    *n_ends = c->n = c->n_hits = 0;
    c->sorted = true;
    if (match_is_line_by_line(m) || n == 0 || n > UINT32_MAX)
        return 0;
    rc = hs_scan(m->pass.db, bytes, (unsigned)n, 0, m->scratch, on_hit, c);
    if (rc != HS_SUCCESS)
        return rc == HS_SCAN_TERMINATED ? 0 : ERR_IO;
    if (!c->sorted)
        qsort(c->hits, c->n_hits, sizeof *c->hits, compare_hits);
    for (size_t i = 0; i < c->n_hits; i++)
        c->ends[i] = (uint32_t)(c->hits[i] >> 32);
    c->bytes = bytes;
    c->n = n;
    *ends = c->ends;
    *n_ends = c->n_hits;
    return 0;
}

void match_forget(struct match *m)
{
    m->chunk.n = 0;
}

/* Whether this byte lies in the scanned chunk. */
static bool covers(const struct chunk *c, const char *at)
{
    return c->n > 0 && (uintptr_t)at >= (uintptr_t)c->bytes &&
           (uintptr_t)at - (uintptr_t)c->bytes < c->n;
}

static size_t find_all(struct chunk *c, size_t n)
{
    for (uint32_t i = 0; i < n; i++)
        c->found[i] = (struct candidate){.line = i};
    return n;
}

size_t match_candidates(struct match *m, const char *region, const struct line_span *lines,
                        size_t n, const struct candidate **out)
{
    struct chunk *c = &m->chunk;
    size_t at, line = 0, n_found = 0;

    assert(n <= LINE_BATCH_MAX);
    *out = c->found;
    if (!covers(c, region))
        return find_all(c, n);
    at = (size_t)(region - c->bytes);
    for (uint32_t i = 0; i < c->n_hits && line < n; i++) {
        if (c->ends[i] < at)
            continue;
        while (line < n && c->ends[i] - at >= (size_t)lines[line].start + lines[line].len)
            line++;
        if (line == n || c->ends[i] - at < lines[line].start)
            continue; /* it ends between two lines */
        if (n_found == 0 || c->found[n_found - 1].line != line)
            c->found[n_found++] = (struct candidate){.line = (uint32_t)line, .first = i};
        c->found[n_found - 1].n++;
    }
    return n_found;
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

/* The first place that an expression matches. */
struct place {
    bool found;
    size_t end;
};

static int on_found(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)flags;
    *(struct place *)context = (struct place){.found = true, .end = (size_t)to};
    return 1; /* no need to look further */
}

static int scan(struct match *m, uint32_t index, const char *text, size_t len, struct place *out)
{
    hs_error_t rc;

    assert(len <= UINT32_MAX);
    rc = hs_scan(m->trials[index].db, text, (unsigned)len, 0, m->scratch, on_found, out);
    return rc == HS_SUCCESS || rc == HS_SCAN_TERMINATED ? 0 : ERR_IO;
}

/* Finds the first pair that meets the criterion. */
static int find_pair(struct match *m, uint32_t index, struct line_text message, struct place *out)
{
    const struct criterion *c = &m->criteria.items[index];
    struct logfmt_pair pair;
    struct logfmt pairs;
    int rc = 0;

    logfmt_begin(&pairs, message.data, message.len);
    while (rc == 0 && !out->found && logfmt_next(&pairs, &pair)) {
        if (pair.cut || !line_text_is(pair.key, c->key))
            continue;
        if (c->kind == CRITERION_FIELD)
            out->found = logfmt_is(&pair, c->text);
        else
            rc = scan(m, index, pair.content.data, pair.content.len, out);
        out->end = (size_t)(pair.value.data + pair.value.len - message.data);
    }
    return rc;
}

/* Finds the first place at which an expression that matched the message matches it without its
 * quoted text, too. So bytes between quotes cannot make a match. */
static int find_outside_quotes(struct match *m, uint32_t index, struct line_text message,
                               struct place *out)
{
    *out = (struct place){0};
    buf_clear(&m->unquoted);
    if (buf_reserve(&m->unquoted, message.len) != 0)
        return ERR_IO;
    logfmt_hide_quoted(message.data, message.len, (char *)m->unquoted.data);
    return scan(m, index, (const char *)m->unquoted.data, message.len, out);
}

/* Finds the first place in the message that meets the criterion. */
static int find_criterion(struct match *m, uint32_t index, struct line_text message,
                          struct place *out)
{
    const struct criterion *c = &m->criteria.items[index];
    struct err err;
    int rc;

    *out = (struct place){0};
    if (c->kind != CRITERION_FIELD && compile_trial(m, index, &err) != 0)
        return ERR_IO;
    if (c->kind != CRITERION_EXPRESSION)
        return find_pair(m, index, message, out);
    rc = scan(m, index, message.data, message.len, out);
    if (rc == 0 && out->found && c->outside_quotes)
        rc = find_outside_quotes(m, index, message, out);
    return rc;
}

/* Whether the line meets the criterion. It is tried once a line, however many rules ask. */
static int meets(struct match *m, uint32_t index, struct line_text message, bool *passed)
{
    struct trial *trial = &m->trials[index];
    struct place place = {.found = trial->named == m->serial};
    int rc = 0;

    if (trial->tried != m->serial) {
        trial->tried = m->serial;
        if (m->pass.settled[index] == 0)
            rc = find_criterion(m, index, message, &place);
        trial->passed = place.found;
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
    const struct chunk *c = &m->chunk;
    size_t begin = (size_t)(message.data - c->bytes);

    assert(covers(c, message.data));
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
        for (size_t i = criteria_find(c, kinds[k], pair->key);
             i < c->n && criterion_is_on(&c->items[i], kinds[k], pair->key); i++) {
            if (kinds[k] == CRITERION_VALUE || logfmt_is(pair, c->items[i].text))
                name(m, (uint32_t)i);
        }
    }
}

/* Lists the criteria that the pairs of a message may meet, in whatever form they are written. */
static void name_pairs(struct match *m, struct line_text message)
{
    struct logfmt_pair pair;
    struct logfmt pairs;

    logfmt_begin(&pairs, message.data, message.len);
    while (logfmt_next(&pairs, &pair))
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

/* "web.*" stands for every name that begins with "web.". */
static bool process_is(struct line_text name, const char *item)
{
    size_t len = strlen(item);

    if (len > 0 && item[len - 1] == '*')
        return name.len >= len - 1 && memcmp(name.data, item, len - 1) == 0;
    return line_text_is(name, item);
}

/* Whether the list takes the name. An item "!NAME" takes it away, whatever else is listed. */
static bool is_listed(const struct rules_list *list, struct line_text name,
                      bool (*is)(struct line_text name, const char *item))
{
    bool found = false, all_exclude = true;

    for (size_t i = 0; i < list->n; i++) {
        bool excludes = list->items[i][0] == '!', is_it = is(name, list->items[i] + excludes);

        if (excludes && is_it)
            return false;
        found |= is_it;
        all_exclude &= excludes;
    }
    return found || all_exclude;
}

/* Whether the line's source and process pass the rule. A bare line, which names neither, passes. */
static bool passes_origin(const struct rule *rule, const struct line *line)
{
    return line->form == LINE_BARE || (is_listed(&rule->sources, line->source, line_text_is) &&
                                       is_listed(&rule->processes, line->process, process_is));
}

/* Keeps the listed rules whose `unless` does not match. */
static int keep_rules(struct match *m, const struct line *line)
{
    size_t n = m->n_matched;
    int rc = 0;

    m->n_matched = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        uint32_t index = m->matched[i];
        bool excepted;

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

/* Passes the line's part of each rule that uses the criterion and takes the line's origin, if the
 * line meets the criterion. */
static int try_criterion(struct match *m, uint32_t index, const struct line *line)
{
    const struct criterion *criterion = &m->criteria.items[index];
    unsigned part = criterion->kind == CRITERION_EXPRESSION ? PASSED_MATCH : PASSED_FIELD;
    bool passed = true;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && passed && i < criterion->n_users; i++) {
        uint32_t rule = m->criteria.users[criterion->first_user + i];

        if (!passes_origin(&m->rules->rules[rule], line))
            continue;
        rc = meets(m, index, line->message, &passed);
        if (rc == 0 && passed)
            pass_part(m, rule, part);
    }
    return rc;
}

static int judge_rules(struct match *m, const struct line *line, const struct candidate *candidate)
{
    int rc;

    m->serial++;
    if (m->criteria.n == 0)
        return 0;
    rc = list_hits(m, line->message, candidate);
    for (size_t i = 0; rc == 0 && i < m->n_hits; i++)
        rc = try_criterion(m, m->hits[i], line);
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
    *end = 0;
    for (uint32_t i = 0; i < m->criteria.n; i++) {
        struct place place;

        if (has_user(&m->criteria, i, rule) &&
            find_criterion(m, i, (struct line_text){message, len}, &place) == 0 && place.found &&
            place.end > *end)
            *end = place.end;
    }
    return *end > 0;
}
