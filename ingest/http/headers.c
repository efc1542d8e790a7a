/* Reads the headers of a delivery; called by its endpoint when it begins. */
#include "ingest/http/headers.h"

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

struct headers headers_read(struct MHD_Connection *connection)
{
    return (struct headers){
        .token = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "drain_token"),
        .credentials = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
        .type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
        .encoding = header(connection, MHD_HTTP_HEADER_CONTENT_ENCODING),
        .length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH),
        .drain = header(connection, "Logplex-Drain-Token"),
        .frame_id = header(connection, "Logplex-Frame-Id"),
        .msg_count = header(connection, "Logplex-Msg-Count"),
        .drop_count = header(connection, "Logplex-Drop-Count"),
        .lost_count = header(connection, "Logplex-Lost-Count"),
    };
}
