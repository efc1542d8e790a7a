/* Checks regular expressions with Hyperscan; called by the reader of rules and by match. */
#include "common/rules/expression.h"

#include "common/base/text.h"

#include <hs/hs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Hyperscan builds automata of up to 512 states: about one for each byte of an expression,
 * multiplied by its repeats. Below half of that, hs_expression_info alone is asked. */
enum { SURELY_SMALL = 256 };

/* The remedies for Hyperscan's complaints; the first row counts whose text stands in the complaint.
 */
static const struct {
    const char *complaint;
    const char *remedy;
} remedies[] = {
    {"Zero-width", "lookahead and lookbehind are not supported; write their text as part of the "
                   "expression"},
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

/* Turns Hyperscan's result into ours and frees its error. Only the message tells that memory ran
 * out: the code is the same as for any bad expression (ue2/src/compiler/error.cpp). */
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

/* The largest number in the braces at `s`, at most SURELY_SMALL; 1 if there is none. */
static size_t repeat_at(const char *s)
{
    size_t most = 1, n = 0;

    for (; *s != '\0' && *s != '}'; s++) {
        if (!text_is_digit(*s))
            n = 0;
        else if (n < SURELY_SMALL)
            n = n * 10 + (size_t)(*s - '0');
        most = n > most ? n : most;
    }
    return most;
}

/* Counts an upper bound: each byte makes at most one state, a bounded repeat of a character as many
 * as its number, and a repeat of a group multiplies the states of the group, so at most all states.
 */
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
    free(info); /* Hyperscan allocates it with malloc by default */
    return min_width > 0 ? 0 : err_set(err, ERR_INPUT, "%s", empty_faults[use]);
}

/* Compiles the expression, because hs_expression_info does not find an automaton that is too large.
 * That takes 1.2 ms instead of 0.03 ms (measured), so small expressions are left out. */
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

/* A redaction needs more states, to know where a match begins, so it is always compiled. */
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

    if (strncmp(expression, "(*", 2) == 0) /* (*UTF8) would match characters, not bytes */
        return err_set(err, ERR_INPUT,
                       "it begins with a control verb (leave it out, or write \"\\(\" for the "
                       "character)");
    if (use != EXPRESSION_VALUE)
        return try_both(expression, use, err);
    /* By itself, too, because the whole form of "a)(b" is well-formed. */
    rc = try_info(expression, use, err);
    return rc == 0 ? try_whole(expression, err) : rc;
}

/* The tail closes all that the expression may leave open: \E ends a quotation (or does nothing),
 * and the line end ends a comment of (?x). Such a comment swallows the first "(?#", which otherwise
 * begins a comment itself; the parentheses balance in both cases. "$" would let a line end follow,
 * \z does not. */
int expression_append_whole(const char *expression, struct buf *out)
{
    return buf_printf(out, "\\A(?:%s\\E(?#\n(?#))\\z", expression);
}
