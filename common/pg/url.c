/* Checks the database's URL, and tells its host without its secrets; called by the settings and by
 * connect.c. */
#include "common/pg/connection.h"

#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *pg_url_value(const PQconninfoOption *parsed, const char *keyword)
{
    while (parsed->keyword != NULL && strcmp(parsed->keyword, keyword) != 0)
        parsed++;
    return parsed->val == NULL || parsed->val[0] == '\0' ? NULL : parsed->val;
}

bool pg_url_is_local(const PQconninfoOption *parsed)
{
    const char *host = pg_url_value(parsed, "host");

    if (pg_url_value(parsed, "hostaddr") != NULL)
        host = pg_url_value(parsed, "hostaddr");
    return host == NULL || host[0] == '/' || host[0] == '@' || strcasecmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

/* libpq takes an unescaped "@" or "/" of a password for the end of it, and would show the rest as
 * the host's name. */
static const char *shape_fault(const char *url)
{
    const char *rest = strstr(url, "://") + 3;
    const char *at = strchr(rest, '@');
    size_t authority = strcspn(rest, "/?#");

    for (const char *c = url; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return "without spaces: write them, and letters beyond ASCII, as %20 and so on";
    }
    if (at != NULL && (size_t)(at - rest) > authority)
        return "a URL with %2F, %3F and %23 for a /, ? and # in the password";
    if (at != NULL && strchr(at + 1, '@') != NULL)
        return "a URL with %40 for an @ in the user or the password";
    return NULL;
}

static bool is_port_list(const char *text)
{
    while (text != NULL && *text != '\0') {
        char *end;
        long port = strtol(text, &end, 10);

        if (!text_is_digit(*text) || port < 1 || port > 65535 || (*end != ',' && *end != '\0'))
            return false;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

static bool is_sslmode(const char *text)
{
    static const char *const modes[] = {"disable", "allow",     "prefer",
                                        "require", "verify-ca", "verify-full"};

    for (size_t i = 0; text != NULL && i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(text, modes[i]) == 0)
            return true;
    }
    return text == NULL;
}

static const char *parsed_fault(const PQconninfoOption *parsed)
{
    if (parsed == NULL)
        return "a URL as libpq reads it, postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for "
               "special characters in the user and the password";
    if (!is_port_list(pg_url_value(parsed, "port")))
        return "a URL with a port from 1 to 65535";
    if (!is_sslmode(pg_url_value(parsed, "sslmode")))
        return "a URL whose sslmode is disable, allow, prefer, require, verify-ca or verify-full";
    return NULL;
}

const char *pg_url_fault(const char *url)
{
    PQconninfoOption *parsed;
    const char *fault;

    if (strncmp(url, "postgres://", 11) != 0 && strncmp(url, "postgresql://", 13) != 0)
        return "a URL that begins with postgres://";
    fault = shape_fault(url);
    if (fault != NULL)
        return fault;
    parsed = PQconninfoParse(url, NULL);
    fault = parsed_fault(parsed);
    PQconninfoFree(parsed);
    return fault;
}

/* A folder of sockets, and a list of hosts, say enough without a port. */
static void write_host(const PQconninfoOption *parsed, struct buf *out)
{
    const char *host = pg_url_value(parsed, "host"), *port = pg_url_value(parsed, "port");

    if (host == NULL)
        host = pg_url_value(parsed, "hostaddr");
    if (host == NULL || host[0] == '/' || host[0] == '@' || strchr(host, ',') != NULL)
        (void)buf_puts(out, host == NULL ? "the server" : host);
    else
        (void)buf_printf(out, strchr(host, ':') == NULL ? "%s:%s" : "[%s]:%s", host,
                         port == NULL ? "5432" : port);
}

void pg_url_host(const char *url, char *out, size_t size)
{
    PQconninfoOption *parsed = pg_url_fault(url) == NULL ? PQconninfoParse(url, NULL) : NULL;
    struct buf text;

    buf_init(&text, PG_HOST_SIZE);
    if (parsed != NULL)
        write_host(parsed, &text);
    text_copy_printable(out, size, text.len == 0 ? "the server" : buf_text(&text));
    buf_close(&text);
    PQconninfoFree(parsed);
}

bool pg_schema_is_valid(const char *schema)
{
    size_t n = strspn(schema, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return schema[0] >= 'a' && schema[0] <= 'z' && schema[n] == '\0' && n <= PG_SCHEMA_MAX;
}
