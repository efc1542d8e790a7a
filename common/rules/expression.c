#include "common/rules/expression.h"

#include <hs/hs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Hyperscan builds automata of up to 512 states, and about one for each byte of an expression,
 * times what its repeats multiply. Below half of that only hs_expression_info is asked. */
enum { SURELY_SMALL = 256 };

/* What a person can do about a complaint of Hyperscan; the first part found in it counts. */
static const struct {
    const char *complaint;
    const char *remedy;
} remedies[] = {
    {"Zero-width", "lookahead and lookbehind are not supported; write what stands there as part of "
                   "the expression"},
    {"ack-reference", "write the repeated text out"},
    {"ack reference", "write the repeated text out"},
    {"Possessive", "leave out the \"+\" behind the repeat"},
    {"Atomic", "use a plain group, \"(?:...)\""},
    {"start anchors", "\"^\" can only stand first; write \"\\^\" for the character"},
    {"end anchors", "\"$\" can only stand last; write \"\\$\" for the character"},
    {"never match", "look at its \"\\b\", \"^\" and \"$\": no text meets them all"},
    {"empty buffer", "let it ask for at least one character"},
    {"too large", "use smaller repeats, or several items instead of one"},
    {"exceeds limit", "use several items instead of one"},
    {"Invalid repeat", "a repeat needs something to repeat, and at least once; write \"\\*\", "
                       "\"\\+\", \"\\?\" or \"\\{\" for the character"},
    {"Unterminated comment", "close the comment, or write \"\\#\" for the character"},
    {"parenthes", "write \"\\(\" or \"\\)\" for the character"},
    {"character class", "write \"\\[\" for the character"},
    {"greater than", "expressions match bytes; write the character itself"},
};

static const char *remedy_for(const char *complaint)
{
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
        if (strstr(complaint, remedies[i].complaint) != NULL)
            return remedies[i].remedy;
    }
    return "leave that construct out, or put a \"\\\" before a character that is meant as such";
}

/* Turns Hyperscan's answer into ours and frees its error. Running out of memory is told apart by
 * its message alone: the code is that of any bad expression (ue2/src/compiler/error.cpp). */
static int answer(hs_error_t rc, hs_compile_error_t *complaint, struct err *err)
{
    const char *text = complaint != NULL ? complaint->message : "Hyperscan failed";
    size_t len = strlen(text);
    int code;

    if (rc == HS_SUCCESS)
        return 0;
    if (rc == HS_NOMEM || strstr(text, "allocate memory") != NULL)
        code = err_set(err, ERR_NOMEM, "out of memory");
    else
        code = err_set(err, ERR_INPUT, "%.*s (%s)", (int)(len - (len > 0 && text[len - 1] == '.')),
                       text, remedy_for(text));
    hs_free_compile_error(complaint);
    return code;
}

/* The largest number in the braces at `s`, cut at SURELY_SMALL; 1 where there is none. */
static size_t repeat_at(const char *s)
{
    size_t most = 1, n = 0;

    for (; *s != '\0' && *s != '}'; s++) {
        if (*s < '0' || *s > '9')
            n = 0;
        else if (n < SURELY_SMALL)
            n = n * 10 + (size_t)(*s - '0');
        most = n > most ? n : most;
    }
    return most;
}

/* A bound from above: each byte makes one state at most, a bounded repeat of one character as many
 * as it counts, and one of a group multiplies what stands in the group, so at most everything. */
static bool is_surely_small(const char *expression)
{
    size_t states = strlen(expression), times = 1;

    for (const char *s = expression; *s != '\0' && states * times < SURELY_SMALL; s++) {
        if (*s != '{')
            continue;
        if (s > expression && (s[-1] == ')' || s[-1] == '}'))
            times *= repeat_at(s);
        else
            states += repeat_at(s);
    }
    return states * times < SURELY_SMALL;
}

static const char *const empty_faults[] = {
    [EXPRESSION_LINE] =
        "it can match an empty text, and so every line (let it ask for at least one "
        "character)",
    [EXPRESSION_REDACT] = "it can match an empty text (let it ask for at least one character)",
    [EXPRESSION_VALUE] = "it can match an empty value (let it ask for at least one character, such "
                         "as \".+\")",
};

static unsigned flags_of(enum expression_use use)
{
    return use == EXPRESSION_REDACT ? HS_FLAG_SOM_LEFTMOST : 0;
}

static int try_info(const char *expression, enum expression_use use, struct err *err)
{
    hs_compile_error_t *complaint = NULL;
    hs_expr_info_t *info = NULL;
    hs_error_t rc = hs_expression_info(expression, flags_of(use), &info, &complaint);
    unsigned min_width;

    if (rc != HS_SUCCESS)
        return answer(rc, complaint, err);
    min_width = info->min_width;
    free(info); /* allocated with malloc while hs_set_misc_allocator is not called */
    return min_width > 0 ? 0 : err_set(err, ERR_INPUT, "%s", empty_faults[use]);
}

/* Finds what hs_expression_info does not: an automaton that would be too large. Measured: 1.2 ms
 * an expression against 0.03 ms, so it is asked only where that can be. */
static int try_compile(const char *expression, enum expression_use use, struct err *err)
{
    /* The two flags exclude each other. */
    unsigned flags = use == EXPRESSION_REDACT ? HS_FLAG_SOM_LEFTMOST : HS_FLAG_SINGLEMATCH;
    hs_compile_error_t *complaint = NULL;
    hs_database_t *db = NULL;
    hs_error_t rc = hs_compile(expression, flags, HS_MODE_BLOCK, NULL, &db, &complaint);

    if (rc == HS_SUCCESS)
        hs_free_database(db);
    return answer(rc, complaint, err);
}

/* To know where a match begins takes states of its own, so for that use nothing is surely small. */
static int try_both(const char *expression, enum expression_use use, struct err *err)
{
    int rc = try_info(expression, use, err);

    if (rc == 0 && (use == EXPRESSION_REDACT || !is_surely_small(expression)))
        rc = try_compile(expression, use, err);
    return rc;
}

static int try_whole(const char *expression, struct err *err)
{
    struct buf whole;
    int rc;

    buf_init(&whole, SIZE_MAX / 8);
    if (expression_append_whole(expression, &whole) == 0)
        rc = try_both(buf_text(&whole), EXPRESSION_VALUE, err);
    else
        rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_close(&whole);
    return rc;
}

int expression_check(const char *expression, enum expression_use use, struct err *err)
{
    int rc;

    if (strncmp(expression, "(*", 2) == 0) /* (*UTF8) would make it something else than bytes */
        return err_set(err, ERR_INPUT,
                       "it begins with a control verb (leave it out, or write \"\\(\" for the "
                       "character)");
    if (use != EXPRESSION_VALUE)
        return try_both(expression, use, err);
    /* By itself, too: the whole form of "a)(b" is well-formed. */
    rc = try_info(expression, use, err);
    return rc == 0 ? try_whole(expression, err) : rc;
}

/* What stands between the expression and the end of its group ends whatever the expression may have
 * left open: the \E a quotation (a stray one is nothing), and the line end a comment of (?x). Such
 * a comment swallows the first "(?#", which else makes the rest a comment; either way as many
 * parentheses are closed as are open. \z and not $, which would let a line end follow. */
int expression_append_whole(const char *expression, struct buf *out)
{
    size_t before = out->len;
    int rc = buf_puts(out, "\\A(?:");

    if (rc == 0)
        rc = buf_puts(out, expression);
    if (rc == 0)
        rc = buf_puts(out, "\\E(?#\n(?#))\\z");
    if (rc != 0 && out->data != NULL) {
        out->len = before;
        out->data[before] = 0;
    }
    return rc;
}
