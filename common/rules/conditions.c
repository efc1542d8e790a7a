/* Reads and checks the conditions of a rule on a line; called for the rows of keys.c and rules.c.
 */
#include "common/rules/conditions.h"

#include "common/base/err.h"
#include "common/rules/expression.h"

#include <string.h>
#include <strings.h>

enum {
    /* Of the file: each takes about a millisecond to compile, and all go into one database. */
    REDACTS_MAX = 500,
};

/* Whether `text` holds nothing but printable ASCII, and none of `but`. */
static bool is_plain(const char *text, const char *but)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr(but, *text) != NULL)
            return false;
    }
    return true;
}

/* ---- source and process ---- */

/* Processes that Heroku itself names; no log source has the names of the first three. */
static const char *const platform_processes[] = {"router",  "logplex", "web",      "api",
                                                 "release", "run",     "scheduler"};
enum {
    PLATFORM_PROCESSES = sizeof platform_processes / sizeof platform_processes[0],
    NO_SOURCES = 3,
};

/* The first of `n` of Heroku's names that begins `text`, in any case, up to its end or a "."; or
 * NULL. */
static const char *platform_process(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(platform_processes[i]);

        if (strncasecmp(text, platform_processes[i], len) == 0 &&
            (text[len] == '\0' || text[len] == '.'))
            return platform_processes[i];
    }
    return NULL;
}

/* Heroku's own log source that `text` is in any case, or NULL. */
static const char *platform_source(const char *text)
{
    return strcasecmp(text, "heroku") == 0 ? "heroku" : strcasecmp(text, "app") == 0 ? "app" : NULL;
}

/* Whether `text` is a dyno's name: a process type, a dot and a number. */
static bool is_dyno(const char *text)
{
    const char *dot = strrchr(text, '.');

    return dot != NULL && dot > text && dot[1] != '\0' &&
           dot[1 + strspn(dot + 1, "0123456789")] == '\0';
}

/* Splits "heroku/router" and "heroku[router]", as other tools show a line's origin. */
static bool split_origin(const char *text, char source[YAMLDOC_SHOWN_SIZE],
                         char process[YAMLDOC_SHOWN_SIZE])
{
    size_t n = strcspn(text, "/[");
    size_t rest = text[n] != '\0' ? strcspn(text + n + 1, "]") : 0;

    if (n == 0 || rest == 0 || n >= YAMLDOC_SHOWN_SIZE || rest >= YAMLDOC_SHOWN_SIZE)
        return false;
    memcpy(source, text, n);
    source[n] = '\0';
    memcpy(process, text + n + 1, rest);
    process[rest] = '\0';
    return true;
}

/* Reports a text that names source and process together; returns whether it does. */
static bool refuse_origin(struct reader *r, const char *key, yaml_node_t *item, const char *text)
{
    char source[YAMLDOC_SHOWN_SIZE], process[YAMLDOC_SHOWN_SIZE];

    if (!split_origin(text, source, process))
        return false;
    yamldoc_refuse(&r->doc, item, key,
                   "names a source and a process (write \"source: %s\" and \"process: %s\")",
                   source, process);
    return true;
}

/* "!NAME" stands for any other name. */
static const char *without_mark(const char *text)
{
    return text != NULL && text[0] == '!' && text[1] != '\0' ? text + 1 : text;
}

static void read_source_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *whole = yamlmap_text(&r->doc, key, item), *text = without_mark(whole);
    const char *own, *process;

    if (text == NULL || refuse_origin(r, key->name, item, text))
        return;
    own = platform_source(text);
    process = is_dyno(text) ? text : platform_process(text, NO_SOURCES);
    if (!is_plain(text, "[]*\",/!"))
        yamldoc_refuse(&r->doc, item, key->name,
                       "is not a log source (write one whole name, such as \"heroku\" or \"app\"; "
                       "the name in brackets is a process)");
    else if (own != NULL && strcmp(text, own) != 0)
        yamldoc_refuse(&r->doc, item, key->name,
                       "matches no line (log sources are lower case: write \"%s\")", own);
    else if (process != NULL)
        yamldoc_refuse(&r->doc, item, key->name,
                       "is a process, not a log source (write \"process: %s\")", process);
    else
        reader_take(r, whole, yamldoc_line(item));
}

static void read_process_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *whole = yamlmap_text(&r->doc, key, item), *text = without_mark(whole);
    const char *star, *own;

    if (text == NULL || refuse_origin(r, key->name, item, text))
        return;
    star = strchr(text, '*');
    own = platform_process(text, PLATFORM_PROCESSES);
    if (!is_plain(text, "[]\",/!") || (star != NULL && star[1] != '\0'))
        yamldoc_refuse(&r->doc, item, key->name,
                       "is not a process (write a whole name, such as \"router\", or its beginning "
                       "and one \"*\", such as \"web.*\")");
    else if (own != NULL && strncmp(text, own, strlen(own)) != 0)
        yamldoc_refuse(&r->doc, item, key->name,
                       "matches no line (Heroku's processes are lower case: write \"%s%s\")", own,
                       text + strlen(own));
    else if (strcasecmp(text, "heroku") == 0)
        yamldoc_refuse(&r->doc, item, key->name,
                       "is a log source, not a process (write \"source: heroku\")");
    else {
        reader_take(r, whole, yamldoc_line(item));
        if (strpbrk(text, ".*") == NULL)
            reader_take_joined(r, whole, ".*", yamldoc_line(item));
    }
}

void conditions_read_source(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                            void *target)
{
    reader_read_list(ctx, key, value, read_source_item, target);
}

void conditions_read_process(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                             void *target)
{
    reader_read_list(ctx, key, value, read_process_item, target);
}

/* ---- expressions ---- */

/* Whether the expression can be used; if not, reports `item`, which holds it. */
static bool check_expression(struct reader *r, const struct yamlmap_key *key, yaml_node_t *item,
                             const char *expression, enum expression_use use)
{
    struct err err;
    int rc = expression_check(expression, use, &err);

    if (rc == ERR_NOMEM)
        r->doc.out_of_memory = true;
    else if (rc != 0)
        yamldoc_refuse(&r->doc, item, key->name, "cannot be used: %s", err.text);
    return rc == 0;
}

static void read_line_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, item);

    if (text != NULL && check_expression(r, key, item, text, EXPRESSION_LINE))
        reader_take(r, text, yamldoc_line(item));
}

static void read_redact_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, item);

    if (text == NULL || ++r->n_redacts > REDACTS_MAX + 1)
        return;
    if (r->n_redacts > REDACTS_MAX)
        yamldoc_fault(&r->doc, item,
                      "redact: the file holds more than %d of these expressions (put some together "
                      "as \"a|b\", or write what all rules share once, at the top of the file)",
                      REDACTS_MAX);
    else if (check_expression(r, key, item, text, EXPRESSION_REDACT))
        reader_take(r, text, yamldoc_line(item));
}

void conditions_read_expressions(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                                 void *target)
{
    reader_read_list(ctx, key, value, read_line_item, target);
}

void conditions_read_redact(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                            void *target)
{
    reader_read_list(ctx, key, value, read_redact_item, target);
}

/* ---- field ---- */

static size_t word_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
}

/* Reports two pairs in one text, such as "at=error,code=H12"; returns whether it holds them. */
static bool refuse_two_pairs(struct reader *r, yaml_node_t *item, const char *text)
{
    size_t first = word_length(text), second, key, value;

    if (first == 0 || text[first] != '=')
        return false;
    first += 1 + word_length(text + first + 1);
    second = first + strspn(text + first, " ,;&");
    key = word_length(text + second);
    if (second == first || key == 0 || text[second + key] != '=')
        return false;
    value = word_length(text + second + key + 1);
    yamldoc_refuse(&r->doc, item, "field",
                   "holds more than one pair (to ask for both write \"field: %.*s\" and \"match: "
                   "'%.*s'\"; to ask for either, a list: [%.*s, %.*s])",
                   (int)(key + 1 + value), text + second, (int)first, text, (int)first, text,
                   (int)(key + 1 + value), text + second);
    return true;
}

enum operator{
    OPERATOR_NONE,
    OPERATOR_COMPARES,
    OPERATOR_EXCLUDES,
    OPERATOR_EQUALS, /* but for its sign it is a pair */
};

/* The operator of another language at `sign`, and its length. "=<nil>" is a pair of ours, and
 * "a:b=c" has a key with a colon. */
static enum operator operator_at(const char *sign, size_t *len)
{
    static const struct {
        const char *sign;
        enum operator kind;
    } known[] = {
        {">=", OPERATOR_COMPARES}, {"<=", OPERATOR_COMPARES}, {"<>", OPERATOR_EXCLUDES},
        {">", OPERATOR_COMPARES},  {"<", OPERATOR_COMPARES},  {"!==", OPERATOR_EXCLUDES},
        {"!=", OPERATOR_EXCLUDES}, {"!~", OPERATOR_EXCLUDES}, {"===", OPERATOR_EQUALS},
        {"==", OPERATOR_EQUALS},   {"=~", OPERATOR_EQUALS},   {"~=", OPERATOR_EQUALS},
        {":=", OPERATOR_EQUALS},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        *len = strlen(known[i].sign);
        if (strncmp(sign, known[i].sign, *len) == 0)
            return known[i].kind;
    }
    *len = 1;
    if (*sign == '=' || ((*sign == ':' || *sign == '~') && strchr(sign, '=') == NULL))
        return OPERATOR_EQUALS;
    return OPERATOR_NONE;
}

/* Reports an operator that other languages have, such as ">=" or "=~"; returns whether it does. */
static bool refuse_operator(struct reader *r, yaml_node_t *item, const char *text)
{
    size_t n = word_length(text), len;
    const char *sign = text + n + strspn(text + n, " "), *value;
    enum operator kind = operator_at(sign, &len);

    value = sign + len + strspn(sign + len, " ");
    if (n == 0 || kind == OPERATOR_NONE || (*sign == '=' && value == text + n + 1))
        return false;
    if (kind == OPERATOR_COMPARES)
        yamldoc_refuse(&r->doc, item, "field",
                       "compares numbers, which a field cannot (write an expression for the whole "
                       "value, such as \"field: status=5..\" or \"field: "
                       "'service=([5-9]\\d{3}|\\d{5,})ms'\")");
    else if (kind == OPERATOR_EXCLUDES)
        yamldoc_refuse(&r->doc, item, "field",
                       "asks for lines without this pair (write \"unless: '%.*s=%.60s'\", which "
                       "takes lines away from those of \"field\" or \"match\")",
                       (int)n, text, value);
    else
        yamldoc_refuse(&r->doc, item, "field",
                       "is not KEY=VALUE (write \"field: '%.*s=%.60s'\"; the value may be an "
                       "expression)",
                       (int)n, text, value);
    return true;
}

static bool is_pair(const char *text)
{
    const char *equals = strchr(text, '=');

    return equals != NULL && equals != text && strpbrk(text, " \t\"") == NULL &&
           memchr(text, '\'', (size_t)(equals - text)) == NULL;
}

/* Splits the text in place: its first "=" becomes the end of the key. */
static void read_field_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    char *text = yamlmap_text(&r->doc, key, item), *equals;
    struct rules_field field = {.key = text};

    if (text == NULL || refuse_two_pairs(r, item, text) || refuse_operator(r, item, text))
        return;
    if (!is_pair(text)) {
        yamldoc_refuse(
            &r->doc, item, key->name,
            "is not KEY=VALUE without spaces and quotes (write \"%s\"; use \"match\" for "
            "other text)",
            key->example);
        return;
    }
    equals = strchr(text, '=');
    field.value = equals + 1;
    field.is_pattern = strpbrk(field.value, "\\^$.[]|()?*+{}") != NULL;
    if (field.is_pattern && !check_expression(r, key, item, field.value, EXPRESSION_VALUE))
        return;
    *equals = '\0';
    r->out->fields[r->n_fields++] = field;
}

void conditions_read_field(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                           void *target)
{
    struct reader *r = ctx;
    struct rule *rule = target;
    size_t before = r->n_fields;

    yamlmap_each(r, key, value, read_field_item);
    rule->fields = r->out->fields + before;
    rule->n_fields = r->n_fields - before;
}
