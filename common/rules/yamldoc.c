/* Loads a YAML text and collects its faults; called by rules.c and the reader of rule tests. */
#include "common/rules/yamldoc.h"

#include "common/base/err.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    FAULT_MAX = 1024,   /* bytes of one fault */
    LEFT_OUT_ROOM = 64, /* kept free for the line that says how many faults were left out */
    DEPTH_MAX = 16,     /* our files nest 5 deep; libyaml's time is the square of the depth */
};

/* The remedies for libyaml's complaints. The first row counts whose text stands in libyaml's
 * context or problem. */
static const struct {
    const char *complaint;
    const char *remedy;
} remedies[] = {
    {"scanning an alias", "quote a text that begins with \"*\""},
    {"scanning an anchor", "quote a text that begins with \"&\""},
    {"scanning a tag", "quote a text that begins with \"!\""},
    {"escape character", "write an expression in single quotes, where \"\\\" is an ordinary "
                         "character"},
    {"quoted scalar", "close the quote; within single quotes write ' as ''"},
    {"block scalar", "write \">-\" for a text on the lines below, indented"},
    {"flow sequence", "close the \"[\", or quote a text that begins with it"},
    {"flow mapping", "close the \"{\", or quote a text that begins with it"},
    {"mapping values are not allowed", "quote a text that holds \": \"; keys of one mapping stand "
                                       "in one column"},
    {"cannot start any token",
     "quote a text that begins with %, @ or `; a mention is written without "
     "its @"},
    {"could not find expected ':'", "a key is followed by \": \""},
    {"control characters", "write it as \\xNN in a double-quoted text, or remove it"},
    {"document start", "a file holds one document: remove all that follows its end"},
};

static const char *remedy_for(const yaml_parser_t *p)
{
    const char *context = p->context != NULL ? p->context : "";

    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
        if (strstr(context, remedies[i].complaint) != NULL ||
            strstr(p->problem, remedies[i].complaint) != NULL)
            return remedies[i].remedy;
    }
    return "look at this line and the one before: what belongs together stands in one column, "
           "and a text that begins with \"[\", \"{\" or a quote is put in quotes, each ' in it "
           "doubled";
}

/* A full buffer is no failure: the faults are cut there. */
static void append_line(struct yamldoc *d, size_t line, const char *text)
{
    (void)text_append_printable(d->faults, d->file, strlen(d->file));
    (void)buf_printf(d->faults, ":%zu: ", line);
    (void)text_append_printable(d->faults, text, strlen(text));
    (void)buf_puts(d->faults, "\n");
}

__attribute__((format(printf, 3, 0))) static void report(struct yamldoc *d, size_t line,
                                                         const char *fmt, va_list ap)
{
    struct buf *faults = d->faults;
    size_t before = faults->len;
    char text[FAULT_MAX];

    d->n_faults++;
    if (d->n_left_out > 0) {
        d->n_left_out++;
        return;
    }
    vsnprintf(text, sizeof text, fmt, ap);
    append_line(d, line, text);
    /* A line is shown whole or not at all, except the first, which is cut. */
    if (d->n_faults > 1 && faults->max_bytes - faults->len < LEFT_OUT_ROOM) {
        d->n_left_out++;
        faults->len = before;
        if (faults->data != NULL)
            faults->data[before] = 0;
    }
}

void yamldoc_fault_at(struct yamldoc *d, size_t line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(d, line, fmt, ap);
    va_end(ap);
}

void yamldoc_fault(struct yamldoc *d, const yaml_node_t *node, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(d, yamldoc_line(node), fmt, ap);
    va_end(ap);
}

void yamldoc_refuse(struct yamldoc *d, const yaml_node_t *scalar, const char *key, const char *fmt,
                    ...)
{
    char shown[YAMLDOC_SHOWN_SIZE], message[FAULT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    yamldoc_fault(d, scalar, "%s: \"%s\" %s", key, yamldoc_shown(scalar, shown), message);
}

size_t yamldoc_line(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static size_t line_of_offset(const char *text, size_t len, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < len && i < offset; i++)
        line += text[i] == '\n';
    return line;
}

/* Whether a tab stands where the parser stopped. A mark counts lines and characters, not bytes. */
static bool is_tab_at(const char *text, size_t len, const yaml_mark_t *mark)
{
    size_t i = 0, column = 0;

    for (size_t line = 0; line < mark->line && i < len; i++)
        line += text[i] == '\n';
    for (; column < mark->column && i < len; column++) {
        for (i++; i < len && ((unsigned char)text[i] & 0xc0) == 0x80; i++)
            ;
    }
    return i < len && text[i] == '\t';
}

/* Reports why the parser stopped. libyaml's reader knows only an offset, its scanner a mark. For a
 * quote or bracket that is never closed, the line that opens it is reported. */
static void report_syntax(struct yamldoc *d, const yaml_parser_t *p, const char *text, size_t len)
{
    const char *problem = p->problem;
    size_t line = p->problem_mark.line + 1;

    /* At some places libyaml's loader names no error if memory runs out. */
    if (p->error == YAML_MEMORY_ERROR || problem == NULL) {
        d->out_of_memory = true;
        return;
    }
    if (p->error == YAML_READER_ERROR)
        line = line_of_offset(text, len, p->problem_offset);
    else if (p->context != NULL && strstr(problem, "end of stream") != NULL)
        line = p->context_mark.line + 1;
    else if (is_tab_at(text, len, &p->problem_mark)) {
        yamldoc_fault_at(d, line, "a tab stands here (indent with spaces)");
        return;
    }
    yamldoc_fault_at(d, line, "not YAML: %s%s%s (%s)", p->context != NULL ? p->context : "",
                     p->context != NULL ? ", " : "", problem, remedy_for(p));
}

static void start_parser(yaml_parser_t *p, const char *text, size_t len)
{
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, (const unsigned char *)text, len);
}

/* Reports an alias, anchor or tag. Returns whether it is an alias, which would lead the walk to one
 * node twice, or in circles. */
static bool check_token(struct yamldoc *d, const yaml_token_t *token)
{
    size_t line = token->start_mark.line + 1;

    if (token->type == YAML_ALIAS_TOKEN)
        yamldoc_fault_at(d, line,
                         "\"*%.40s\": aliases are not supported (write the value out; quote a text "
                         "that begins with \"*\")",
                         (const char *)token->data.alias.value);
    else if (token->type == YAML_ANCHOR_TOKEN)
        yamldoc_fault_at(d, line,
                         "\"&%.40s\": anchors are not supported (remove it; quote a text that "
                         "begins with \"&\")",
                         (const char *)token->data.anchor.value);
    else if (token->type == YAML_TAG_TOKEN)
        yamldoc_fault_at(d, line,
                         "\"%.20s%.40s\": tags are not supported (remove it; quote a text that "
                         "begins with \"!\")",
                         (const char *)token->data.tag.handle,
                         (const char *)token->data.tag.suffix);
    return token->type == YAML_ALIAS_TOKEN;
}

static int depth_change(yaml_token_type_t type)
{
    switch (type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
    case YAML_FLOW_SEQUENCE_START_TOKEN:
    case YAML_FLOW_MAPPING_START_TOKEN:
        return 1;
    case YAML_BLOCK_END_TOKEN:
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN:
        return -1;
    default:
        return 0;
    }
}

static bool check_each_token(struct yamldoc *d, yaml_parser_t *p)
{
    bool can_load = true, at_end = false;
    int depth = 0;

    while (!at_end) {
        yaml_token_t token;

        if (!yaml_parser_scan(p, &token))
            return can_load;
        can_load &= !check_token(d, &token);
        depth += depth_change(token.type);
        at_end = token.type == YAML_STREAM_END_TOKEN;
        if (depth > DEPTH_MAX) {
            yamldoc_fault_at(d, token.start_mark.line + 1,
                             "lists and mappings nest more than %d deep here (close the brackets, "
                             "or quote a text that begins with \"[\" or \"{\")",
                             DEPTH_MAX);
            can_load = false;
            at_end = true;
        }
        yaml_token_delete(&token);
    }
    return can_load;
}

/* Checks all tokens up to the first syntax error, which the loader will report. Returns whether the
 * text may be loaded. */
static bool check_tokens(struct yamldoc *d, const char *text, size_t len)
{
    bool can_load;
    yaml_parser_t p;

    if (!yaml_parser_initialize(&p)) {
        d->out_of_memory = true;
        return false;
    }
    start_parser(&p, text, len);
    can_load = check_each_token(d, &p);
    d->out_of_memory |= p.error == YAML_MEMORY_ERROR;
    yaml_parser_delete(&p);
    return can_load && !d->out_of_memory;
}

/* Reports a second document. */
static void check_end(struct yamldoc *d, yaml_parser_t *p, const char *text, size_t len)
{
    yaml_document_t next;
    const yaml_node_t *root;

    if (!yaml_parser_load(p, &next)) {
        report_syntax(d, p, text, len);
        return;
    }
    root = yaml_document_get_root_node(&next);
    if (root != NULL)
        yamldoc_fault(d, root,
                      "a second document begins here (a file holds one: remove the \"---\" "
                      "or all that follows it)");
    yaml_document_delete(&next);
}

static bool load(struct yamldoc *d, yaml_parser_t *p, const char *text, size_t len)
{
    start_parser(p, text, len);
    if (!yaml_parser_load(p, &d->tree)) {
        report_syntax(d, p, text, len);
        return false;
    }
    if (yamldoc_root(d) == NULL)
        yamldoc_fault_at(d, 1, "the file is empty (the README shows a short one to start with)");
    else
        check_end(d, p, text, len);
    if (yamldoc_root(d) != NULL && !d->out_of_memory)
        return true;
    yaml_document_delete(&d->tree);
    return false;
}

int yamldoc_open(struct yamldoc *d, const char *text, size_t len, const char *file,
                 struct buf *faults)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    yaml_parser_t p;
    bool loaded = false;

    *d = (struct yamldoc){.file = file, .faults = faults};
    if (len >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        /* libyaml would indent the first line by the editor's mark. */
        text += 3;
        len -= 3;
    }
    if (!text_is_utf8(text, len)) {
        size_t line = line_of_offset(text, len, text_utf8_len(text, len));

        yamldoc_fault_at(d, line,
                         "not UTF-8 (save the file as UTF-8; in an expression a byte is "
                         "written as \\xNN)");
        return yamldoc_finish(d);
    }
    if (check_tokens(d, text, len)) {
        if (!yaml_parser_initialize(&p))
            return ERR_NOMEM;
        loaded = load(d, &p, text, len);
        yaml_parser_delete(&p);
    }
    return loaded ? 0 : yamldoc_finish(d);
}

void yamldoc_close(struct yamldoc *d)
{
    yaml_document_delete(&d->tree);
}

int yamldoc_finish(struct yamldoc *d)
{
    if (d->n_left_out > 0)
        (void)buf_printf(d->faults, "and %zu more\n", d->n_left_out);
    if (d->out_of_memory || d->faults->failed == ERR_NOMEM)
        return ERR_NOMEM;
    return d->n_faults > 0 ? ERR_INPUT : 0;
}

const char *yamldoc_shown(const yaml_node_t *scalar, char shown[YAMLDOC_SHOWN_SIZE])
{
    const char *text = (const char *)scalar->data.scalar.value;
    size_t len = scalar->data.scalar.length;
    size_t cut = text_cut(text, len, YAMLDOC_SHOWN_SIZE - 4);

    snprintf(shown, YAMLDOC_SHOWN_SIZE, "%.*s%s", (int)cut, text, cut < len ? "..." : "");
    return shown;
}

yaml_node_t *yamldoc_root(struct yamldoc *d)
{
    return yaml_document_get_root_node(&d->tree);
}

size_t yamldoc_length(const yaml_node_t *sequence)
{
    assert(sequence->type == YAML_SEQUENCE_NODE);
    return (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start);
}

yaml_node_t *yamldoc_item(struct yamldoc *d, const yaml_node_t *sequence, size_t i)
{
    assert(i < yamldoc_length(sequence));
    return yaml_document_get_node(&d->tree, sequence->data.sequence.items.start[i]);
}

bool yamldoc_is(const yaml_node_t *node, const char *text)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == strlen(text) &&
           memcmp(node->data.scalar.value, text, node->data.scalar.length) == 0;
}

yaml_node_t *yamldoc_find(struct yamldoc *d, const yaml_node_t *mapping, const char *name)
{
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;

    assert(mapping->type == YAML_MAPPING_NODE);
    for (; pair < mapping->data.mapping.pairs.top; pair++) {
        if (yamldoc_is(yaml_document_get_node(&d->tree, pair->key), name))
            return yaml_document_get_node(&d->tree, pair->value);
    }
    return NULL;
}
