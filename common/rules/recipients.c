/* Reads and checks Slack channels and mentions; called for the rows of rules.c and keys.c. */
#include "common/rules/recipients.h"

#include <string.h>
#include <strings.h>

enum {
    MENTIONS_MAX = 20, /* a message has to hold them */
    ID_LENGTH = 9,     /* Slack's ids have at least so many characters */
};

static const char capitals_and_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* Whether this is an id of Slack's, of one of these kinds. */
static bool is_id(const char *text, const char *kinds)
{
    return *text != '\0' && strchr(kinds, *text) != NULL &&
           text[strspn(text, capitals_and_digits)] == '\0';
}

/* The first text from `at` on that looks like a channel's id, cut at its end; or NULL. It is how
 * ids stand in links (…/archives/C0123456789) and in messages (<#C0123456789|name>). */
static const char *find_id(const char *at, char id[YAMLDOC_SHOWN_SIZE])
{
    while (*at != '\0') {
        size_t n = strspn(at, capitals_and_digits);

        if (n >= ID_LENGTH && n < YAMLDOC_SHOWN_SIZE && strchr("CDG", *at) != NULL) {
            memcpy(id, at, n);
            id[n] = '\0';
            return id;
        }
        at += n > 0 ? n : 1;
    }
    return NULL;
}

/* The remedy for a text that is no channel; NULL if it may be one. chat.postMessage takes an id, or
 * a name with or without "#". */
static const char *channel_remedy(const char *text)
{
    if (strchr(text, '$') != NULL)
        return "is not replaced by a variable's value (write the channel's id itself, such as "
               "C0123456789)";
    if (strstr(text, "hooks.slack.com") != NULL)
        return "is a webhook's address (write the channel's id, such as C0123456789, and set "
               "SLACK_BOT_TOKEN; alerts are posted by a bot)";
    if (*text == '@')
        return "names a person (write a channel's id, such as C0123456789, or the person's user "
               "id, "
               "such as U0123456789; a bot cannot post to a direct message between two people)";
    if (strpbrk(text, " \t") != NULL)
        return "holds a space (write one channel's id, or its name as '#name')";
    if (strpbrk(text, "/<>:@,\"'") != NULL || strcmp(text, "#") == 0)
        return "names no channel (write the id, such as C0123456789, or the name, such as "
               "'#general')";
    if (strlen(text) >= ID_LENGTH && is_id(text, "ABEFHIJKLMNOPQRSTVXYZ"))
        return "is no channel's id (those begin with C, D, G, U or W: write the last part of the "
               "channel's link)";
    return NULL;
}

void recipients_read_channel(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                             void *target)
{
    char id[YAMLDOC_SHOWN_SIZE];
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, value);
    const char *remedy;

    if (text == NULL)
        return;
    remedy = channel_remedy(text);
    if (remedy == NULL)
        *(const char **)target = text;
    else if (strpbrk(text, "/<") != NULL && find_id(text, id) != NULL &&
             strchr(text, '$') == NULL && strstr(text, "hooks.slack.com") == NULL)
        yamldoc_refuse(&r->doc, value, key->name, "is more than an id (write \"%s\")", id);
    else
        yamldoc_refuse(&r->doc, value, key->name, "%s", remedy);
}

/* The word for everybody that was meant, with or without "@", or NULL. */
static const char *mention_word(const char *text)
{
    static const char *const words[] = {"here", "channel", "everyone", "none"};

    text += text[0] == '@';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0)
            return words[i];
    }
    return NULL;
}

/* In a message "@anna" is plain text: Slack knows members and groups by their ids alone. */
static void read_mention_item(void *ctx, const struct yamlmap_key *key, yaml_node_t *item)
{
    struct reader *r = ctx;
    const char *text = yamlmap_text(&r->doc, key, item);
    const char *word;

    if (text == NULL)
        return;
    word = mention_word(text);
    if (is_id(text, "UWS") || (word != NULL && strcmp(text, word) == 0))
        reader_take(r, text, yamldoc_line(item));
    else if (word != NULL)
        yamldoc_refuse(&r->doc, item, key->name, "is not known to Slack (write \"%s\")", word);
    else
        yamldoc_refuse(&r->doc, item, key->name,
                       "is neither an id nor here, channel, everyone or none (nobody is mentioned "
                       "by name: write a member's id, such as U0123456789, or a user group's, such "
                       "as S0123456789)");
}

void recipients_read_mention(void *ctx, const struct yamlmap_key *key, yaml_node_t *value,
                             void *target)
{
    struct reader *r = ctx;
    struct rules_list *list = target;

    reader_read_list(r, key, value, read_mention_item, list);
    reader_check_list(r, key, value, list, MENTIONS_MAX);
    for (size_t i = 0; i < list->n && list->n > 1; i++) {
        if (strcmp(list->items[i], "none") == 0)
            yamldoc_fault_at(&r->doc, reader_line(r, list, i),
                             "mention: \"none\" stands with others (leave it out, or write "
                             "\"mention: none\" alone)");
    }
    if (list->n == 1 && strcmp(list->items[0], "none") == 0)
        list->n = 0;
}
