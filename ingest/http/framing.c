/* Finds heads that can be read in two ways; called by the server for each request.
 *
 * libmicrohttpd (0.9.75) takes a bare LF for a line's end, joins folded lines wrongly, and cuts a
 * text at a zero byte. None of these can be seen in the strings that it hands over. But the strings
 * lie in its buffer where they came: only zeros take the place of the colon and of CR and LF. So
 * there is a fault wherever a string does not begin two bytes behind the end of the one before. */
#include "ingest/http/framing.h"

#include <string.h>
#include <strings.h>

enum { CRLF = 2 };

struct walk {
    const char *at; /* the next name must begin here */
    const char *encoding;
    unsigned lengths, encodings;
    const char *fault; /* NULL: none so far */
};

struct framing_target framing_target(const char *uri)
{
    if (uri == NULL)
        return (struct framing_target){0};
    return (struct framing_target){uri, uri + strcspn(uri, " \t\r"), strstr(uri, "%00") != NULL};
}

static bool has_blank(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
            return true;
    }
    return false;
}

static bool is_name(const char *name, size_t n, const char *known, size_t n_known)
{
    return n == n_known && strncasecmp(name, known, n) == 0;
}

static const char *line_fault(const struct walk *w, const char *name, size_t n_name,
                              const char *value, size_t n_value)
{
    if (n_name == 0 || has_blank(name, n_name))
        return "the name of a header is empty or has a blank";
    if (name != w->at)
        return "a line of the head ends without CR, is folded, or holds a zero byte";
    if (memchr(value, '\r', n_value) != NULL)
        return "a header holds a CR";
    return NULL;
}

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                 size_t n_name, const char *value, size_t n_value)
{
    static const char length[] = MHD_HTTP_HEADER_CONTENT_LENGTH;
    static const char encoding[] = MHD_HTTP_HEADER_TRANSFER_ENCODING;
    struct walk *w = ctx;

    (void)kind;
    w->fault = line_fault(w, name, n_name, value, n_value);
    w->at = value + n_value + CRLF;
    if (is_name(name, n_name, length, sizeof length - 1)) {
        w->lengths++;
    } else if (is_name(name, n_name, encoding, sizeof encoding - 1)) {
        w->encodings++;
        w->encoding = value;
    }
    return w->fault == NULL ? MHD_YES : MHD_NO;
}

static const char *size_fault(const struct walk *w, const char *version)
{
    if (w->lengths > 1)
        return "more than one Content-Length";
    if (w->encodings == 0)
        return NULL;
    if (w->lengths > 0)
        return "both Content-Length and Transfer-Encoding";
    if (w->encodings > 1 || strcasecmp(w->encoding, "chunked") != 0)
        return "another Transfer-Encoding than: chunked";
    if (strcmp(version, MHD_HTTP_VERSION_1_0) == 0)
        return "a Transfer-Encoding in HTTP/1.0";
    return NULL;
}

static const char *end_of_head(struct MHD_Connection *connection, const char *method)
{
    return method + MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
                        ->header_size;
}

const char *framing_fault(struct MHD_Connection *connection, const struct framing_target *target,
                          const char *method, const char *version, bool *chunked)
{
    struct walk w = {.at = version + strlen(version) + CRLF};

    *chunked = false;
    if (target->begin != method + strlen(method) + 1 || target->end + 1 != version)
        return "the request line is not: METHOD TARGET VERSION";
    if (target->holds_zero)
        return "the target holds a zero byte (%00)";
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, &w);
    if (w.fault != NULL)
        return w.fault;
    if (w.at + CRLF != end_of_head(connection, method))
        return "a line of the head ends without CR, is folded, or holds a zero byte";
    *chunked = w.encodings > 0;
    return size_fault(&w, version);
}
