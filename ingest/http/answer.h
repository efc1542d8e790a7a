/* The answer to one HTTP request: a status, one line of text, and perhaps a header. Functions that
 * decide fill one in; the server sends it. */
#ifndef DRAINWATCH_INGEST_HTTP_ANSWER_H
#define DRAINWATCH_INGEST_HTTP_ANSWER_H

#include <microhttpd.h>
#include <stdbool.h>

enum { ANSWER_TEXT_SIZE = 640 };

struct answer {
    unsigned status;             /* 0: not decided yet */
    const char *header;          /* static; a header that the status calls for, NULL: none */
    const char *value;           /* static */
    char text[ANSWER_TEXT_SIZE]; /* "": the body is empty */
};

void answer_init(struct answer *a);

/* Sets the status and the text, with its newline: it names the fault and the remedy. A text that
 * does not fit is cut. */
void answer_set(struct answer *a, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sets a 401, with its header. */
void answer_unauthorized(struct answer *a, const char *why);
void answer_set_header(struct answer *a, const char *header, const char *value);

/* A response without text and headers, which most answers can share. NULL: there is no memory. To
 * be freed with MHD_destroy_response. */
struct MHD_Response *answer_new_empty(void);
/* Sends it. `last`: the connection closes afterwards. `empty`: of answer_new_empty. Returns MHD_NO
 * if there is no memory; then libmicrohttpd drops the connection. */
enum MHD_Result answer_send(const struct answer *a, struct MHD_Connection *connection, bool last,
                            struct MHD_Response *empty);

#endif
