#include "ingest/match.h"

#include "common/buf.h"
#include "ingest/expressions.h"
#include "ingest/logfmt.h"
#include "ingest/pattern.h"
#include "ingest/special.h"

#include <assert.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>

/* The parts of a rule that a line has passed. */
enum { PASSED_FIELD = 1, PASSED_MATCH = 2 };

/* In the pass all reports mean the same: expressions may share an id. With one id for all, or one
 * for each, Hyperscan takes up to five times as long to compile them. */
enum { PASS_SHARE = 64 };

/* One expression or field of one rule, on the way to its test. */
struct use {
    const char *expression; /* NULL: a field */
    const struct rules_field *field;
    uint32_t rule;
};

/* An expression or a field, with the rules that hold it: what many rules share is tried once. */
struct test {
    const struct rules_field *field; /* NULL: an expression */
    uint32_t first_user;             /* into `users` */
    uint32_t n_users;
    uint64_t seen; /* serial of the last line that its expression was seen in */
};

struct progress {
    uint64_t serial; /* of the line that `passed` is about */
    unsigned passed;
};

struct match {
    const struct rules *rules;
    struct test *tests;
    size_t n_tests;
    uint32_t *users;           /* indexes of rules, the users of each test together */
    struct hs_database *pass;  /* NULL: every line is a candidate */
    struct hs_database *exact; /* NULL: no rule at all */
    struct hs_scratch *scratch;
    uint64_t serial; /* of the line being judged */
    uint32_t *hits;  /* tests whose expression was seen in the line */
    size_t n_hits;
    struct progress *progress; /* of each rule */
    uint32_t *matched;         /* rules that match the line */
    size_t n_matched;
    bool marked[LOGPLEX_BATCH_MAX];
};

/* ------------------------------------------------------------------------------------ compiling */

static int compare_uses(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    int order;

    if ((a->expression == NULL) != (b->expression == NULL))
        return a->expression == NULL ? 1 : -1;
    if (a->expression != NULL) {
        order = strcmp(a->expression, b->expression);
    } else {
        order = strcmp(a->field->key, b->field->key);
        if (order == 0)
            order = strcmp(a->field->value, b->field->value);
    }
    return order != 0 ? order : (a->rule > b->rule) - (a->rule < b->rule);
}

static bool same_test(const struct use *a, const struct use *b)
{
    struct use as_b = *a;

    as_b.rule = b->rule;
    return compare_uses(&as_b, b) == 0;
}

static size_t count_uses(const struct rules *rules)
{
    size_t n = 0;

    for (size_t i = 0; i < rules->n; i++)
        n += rules->rules[i].matches.n + rules->rules[i].n_fields;
    return n;
}

static void list_uses(const struct rules *rules, struct use *uses)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->rules[i];

        for (size_t j = 0; j < rule->matches.n; j++)
            *uses++ = (struct use){.expression = rule->matches.items[j], .rule = i};
        for (size_t j = 0; j < rule->n_fields; j++)
            *uses++ = (struct use){.field = &rule->fields[j], .rule = i};
    }
}

static unsigned pass_id(const struct expressions *pass)
{
    return (unsigned)(pass->n / PASS_SHARE);
}

/* What a line with the field must hold: KEY=VALUE or KEY="VALUE". */
static int add_field(struct expressions *list, const struct rules_field *field, unsigned flags,
                     unsigned id)
{
    static const char *const quotes[] = {"", "\""};
    struct buf text;
    int rc = 0;

    buf_init(&text, RULES_TEXT_MAX * 2);
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        buf_clear(&text);
        rc = buf_printf(&text, "%s=%s%s%s", field->key, quotes[i], field->value, quotes[i]);
        if (rc == 0)
            rc = expressions_add_literal(list, buf_text(&text), flags, id);
    }
    buf_close(&text);
    return rc;
}

/* ERR_INPUT: this one cannot be part of the pass. */
static int add_superset(struct expressions *list, const char *expression)
{
    struct buf text;
    int rc;

    buf_init(&text, RULES_TEXT_MAX * 4); /* "$" becomes "(?:)" */
    rc = pattern_superset(expression, &text);
    if (rc == 0)
        rc = expressions_add(list, buf_text(&text), 0, pass_id(list));
    buf_close(&text);
    return rc;
}

/* Fills tests and users, and lists the expressions of both databases. `*whole` says whether the
 * pass can hold all of them. */
static int list_tests(struct match *m, const struct use *uses, size_t n, struct expressions *exact,
                      struct expressions *pass, bool *whole)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct use *use = &uses[i];
        unsigned id = (unsigned)m->n_tests;

        m->users[i] = use->rule;
        if (i > 0 && same_test(&uses[i - 1], use)) {
            m->tests[m->n_tests - 1].n_users++;
            continue;
        }
        m->tests[m->n_tests++] =
            (struct test){.field = use->field, .first_user = (uint32_t)i, .n_users = 1};
        if (use->field != NULL) {
            rc = add_field(exact, use->field, HS_FLAG_SINGLEMATCH, id);
            if (rc == 0 && *whole)
                rc = add_field(pass, use->field, 0, pass_id(pass));
            continue;
        }
        rc = expressions_add(exact, use->expression, HS_FLAG_SINGLEMATCH, id);
        if (rc == 0 && *whole)
            rc = add_superset(pass, use->expression);
        if (rc == ERR_INPUT || rc == ERR_FULL) {
            *whole = false;
            rc = 0;
        }
    }
    return rc;
}

/* A pass that cannot be compiled is done without: each line is then looked at by itself. */
static int compile_pass(struct match *m, struct expressions *pass, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < SPECIAL_EXPRESSIONS; i++)
        rc = expressions_add(pass, special_expressions[i], 0, pass_id(pass));
    if (rc == 0)
        rc = expressions_compile(pass, &m->pass, err);
    return rc == ERR_INPUT ? 0 : rc;
}

static int alloc_scratch(struct match *m)
{
    if (m->pass != NULL && hs_alloc_scratch(m->pass, &m->scratch) != HS_SUCCESS)
        return ERR_NOMEM;
    if (m->exact != NULL && hs_alloc_scratch(m->exact, &m->scratch) != HS_SUCCESS)
        return ERR_NOMEM;
    return 0;
}

static int compile(struct match *m, const struct use *uses, size_t n, struct err *err)
{
    struct expressions exact = {0}, pass = {0};
    bool whole = true;
    int rc = list_tests(m, uses, n, &exact, &pass, &whole);

    if (rc == 0 && exact.n > 0)
        rc = expressions_compile(&exact, &m->exact, err);
    if (rc == 0 && whole)
        rc = compile_pass(m, &pass, err);
    if (rc == 0)
        rc = alloc_scratch(m);
    expressions_close(&exact);
    expressions_close(&pass);
    return rc;
}

static bool alloc_tables(struct match *m, size_t n_uses)
{
    m->tests = calloc(n_uses + 1, sizeof *m->tests);
    m->users = calloc(n_uses + 1, sizeof *m->users);
    m->hits = calloc(n_uses + 1, sizeof *m->hits);
    m->progress = calloc(m->rules->n + 1, sizeof *m->progress);
    m->matched = calloc(m->rules->n + 1, sizeof *m->matched);
    return m->tests && m->users && m->hits && m->progress && m->matched;
}

int match_new(const struct rules *rules, struct match **out, struct err *err)
{
    size_t n = count_uses(rules);
    struct match *m = calloc(1, sizeof *m);
    struct use *uses = calloc(n + 1, sizeof *uses);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (m == NULL || uses == NULL)
        goto out;
    m->rules = rules;
    if (!alloc_tables(m, n))
        goto out;
    list_uses(rules, uses);
    qsort(uses, n, sizeof *uses, compare_uses);
    rc = compile(m, uses, n, err);
out:
    free(uses);
    if (rc == 0)
        *out = m;
    else
        match_free(m);
    if (rc == ERR_NOMEM)
        err_set(err, rc, "the rules: no memory to compile them");
    return rc;
}

void match_free(struct match *m)
{
    if (m == NULL)
        return;
    hs_free_scratch(m->scratch);
    hs_free_database(m->exact);
    hs_free_database(m->pass);
    free(m->matched);
    free(m->progress);
    free(m->hits);
    free(m->users);
    free(m->tests);
    free(m);
}

const struct rules *match_rules(const struct match *m)
{
    return m->rules;
}

bool match_is_line_by_line(const struct match *m)
{
    return m->pass == NULL;
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
    struct marking k = {.lines = lines, .n = n, .unmarked = n, .marked = m->marked};
    hs_error_t rc;
    int n_found = 0;

    assert(n <= LOGPLEX_BATCH_MAX && region_len <= UINT32_MAX);
    memset(m->marked, m->pass == NULL, n);
    if (m->pass != NULL) {
        rc = hs_scan(m->pass, region, (unsigned)region_len, 0, m->scratch, on_report, &k);
        if (rc != HS_SUCCESS && rc != HS_SCAN_TERMINATED)
            return ERR_IO;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (m->marked[i])
            found[n_found++] = i;
    }
    return n_found;
}

/* ------------------------------------------------------------------------------------- one line */

static bool text_is(struct logplex_text text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                  void *context)
{
    struct match *m = context;

    (void)from, (void)to, (void)flags;
    if (m->tests[id].seen == m->serial) /* a field's two forms share an id */
        return 0;
    m->tests[id].seen = m->serial;
    m->hits[m->n_hits++] = id;
    return 0;
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

/* Takes note that a line passed one part of a rule; with the last of its parts the rule is judged
 * by source and process. */
static void pass_part(struct match *m, uint32_t index, unsigned part,
                      const struct logplex_line *line)
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
    if (p->passed == needed && passes_source(rule, line) && passes_process(rule, line))
        m->matched[m->n_matched++] = index;
}

static int compare_indexes(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static int judge_rules(struct match *m, const struct logplex_line *line)
{
    struct logplex_text message = line->message;

    m->serial++;
    m->n_hits = 0;
    if (m->exact == NULL)
        return 0;
    assert(message.len <= UINT32_MAX);
    if (hs_scan(m->exact, message.data, (unsigned)message.len, 0, m->scratch, on_hit, m) !=
        HS_SUCCESS)
        return ERR_IO;
    for (size_t i = 0; i < m->n_hits; i++) {
        const struct test *test = &m->tests[m->hits[i]];
        unsigned part = test->field != NULL ? PASSED_FIELD : PASSED_MATCH;

        if (test->field != NULL &&
            !logfmt_has(message.data, message.len, test->field->key, test->field->value))
            continue;
        for (size_t j = 0; j < test->n_users; j++)
            pass_part(m, m->users[test->first_user + j], part, line);
    }
    if (m->n_matched > 1)
        qsort(m->matched, m->n_matched, sizeof *m->matched, compare_indexes);
    return 0;
}

int match_line(struct match *m, const struct logplex_line *line, struct match_result *out)
{
    int rc;

    m->n_matched = 0;
    *out = (struct match_result){.rules = m->matched, .own = special_is_ours(line)};
    if (out->own)
        return 0;
    out->lost = special_lost(line);
    out->own = special_is_about_us(line);
    rc = judge_rules(m, line);
    out->n_rules = m->n_matched;
    return rc;
}
