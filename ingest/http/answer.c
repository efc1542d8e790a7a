/* Builds and sends the answer to an HTTP request; called by the server and all endpoints. */
#include "ingest/http/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void answer_init(struct answer *a)
{
    a->status = 0;
    a->header = a->value = NULL;
    a->text[0] = '\0';
}

void answer_set(struct answer *a, unsigned status, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(a->text, sizeof a->text, format, ap);
    va_end(ap);
    a->status = status;
}

void answer_set_header(struct answer *a, const char *header, const char *value)
{
    a->header = header;
    a->value = value;
}

void answer_unauthorized(struct answer *a, const char *why)
{
    answer_set(a, MHD_HTTP_UNAUTHORIZED, "%s\n", why);
    answer_set_header(a, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"drainwatch\"");
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_headers(struct MHD_Response *response, const struct answer *a, bool last)
{
    return (a->text[0] == '\0' ||
            add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8")) &&
           (a->header == NULL || add_header(response, a->header, a->value)) &&
           (!last || add_header(response, MHD_HTTP_HEADER_CONNECTION, "close"));
}

struct MHD_Response *answer_new_empty(void)
{
    return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
}

static bool is_plain(const struct answer *a, bool last)
{
    return a->text[0] == '\0' && a->header == NULL && !last;
}

enum MHD_Result answer_send(const struct answer *a, struct MHD_Connection *connection, bool last,
                            struct MHD_Response *empty)
{
    struct MHD_Response *response;
    enum MHD_Result result = MHD_NO;

    if (is_plain(a, last))
        return MHD_queue_response(connection, a->status, empty);
    response = MHD_create_response_from_buffer(strlen(a->text), (void *)(uintptr_t)a->text,
                                               MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    if (add_headers(response, a, last))
        result = MHD_queue_response(connection, a->status, response);
    MHD_destroy_response(response);
    return result;
}
