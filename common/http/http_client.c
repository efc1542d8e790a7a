/* HTTP over libcurl's multi interface; called by the alerter's dispatch.c and ingest's
 * sibling.c. */
#include "common/http/http_client.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_client {
    CURLM *multi;
    struct http_client_options options;
    int n_calls; /* added to `multi`, and their end not taken yet */
    int running; /* as libcurl counted last */
};

struct http_call {
    struct http_client *client; /* NULL: it ended */
    void *ctx;
    CURL *easy;
    struct curl_slist *headers;
    const char *secret;
    struct buf body;
    size_t sent;
    struct buf reply;
    size_t head_bytes; /* of the heads and trailers of the reply */
    size_t raw_bytes;  /* of the body as it came, with the marks of its chunks */
    bool reply_too_long;
    char error[CURL_ERROR_SIZE];
};

/* --- callbacks of libcurl --- */

/* A body that is read through a function cannot be rewound. So libcurl does not send it again by
 * itself if a kept connection turns out to be closed (RFC 9110 section 9.2.2): each try must be
 * counted and paced by retry.h. */
static size_t read_body(char *to, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    size_t left = call->body.len - call->sent;
    size_t len = size * n < left ? size * n : left;

    if (len > 0)
        memcpy(to, call->body.data + call->sent, len);
    call->sent += len;
    return len;
}

static size_t write_reply(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;

    if (buf_append(&call->reply, bytes, size * n) == 0)
        return size * n;
    call->reply_too_long = true;
    return 0;
}

/* libcurl keeps all trailers that it reads. */
static size_t count_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;

    (void)bytes;
    call->head_bytes += size * n;
    call->reply_too_long |= call->head_bytes > HTTP_CLIENT_REPLY_MAX;
    return call->reply_too_long ? 0 : size * n;
}

/* libcurl skips a chunk extension of any length. No other callback hears of its bytes. */
static int count_raw(CURL *easy, curl_infotype kind, char *bytes, size_t n, void *ctx)
{
    struct http_call *call = ctx;

    (void)easy;
    (void)bytes;
    if (kind == CURLINFO_DATA_IN)
        call->raw_bytes += n;
    return 0;
}

static int check_raw(void *ctx, curl_off_t to_read, curl_off_t have_read, curl_off_t to_send,
                     curl_off_t have_sent)
{
    struct http_call *call = ctx;

    (void)to_read, (void)have_read, (void)to_send, (void)have_sent;
    call->reply_too_long |= call->raw_bytes > HTTP_CLIENT_RAW_MAX;
    return call->reply_too_long;
}

/* --- the client --- */

static int check_libcurl(struct err *err)
{
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

    if ((curl->features & CURL_VERSION_SSL) == 0)
        return err_set(err, ERR_IO, "libcurl %s has no TLS: install one with OpenSSL",
                       curl->version);
    if ((curl->features & CURL_VERSION_ASYNCHDNS) == 0)
        return err_set(err, ERR_IO,
                       "libcurl %s would stop this program while it looks up a name: install one "
                       "with asynchronous DNS",
                       curl->version);
    return 0;
}

int http_client_new(const struct http_client_options *options, struct http_client **out,
                    struct err *err)
{
    struct http_client *c;
    int rc = check_libcurl(err);

    if (rc != 0)
        return rc;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_IO, "libcurl cannot be started");
    c = calloc(1, sizeof *c);
    if (c == NULL || (c->multi = curl_multi_init()) == NULL) {
        free(c);
        curl_global_cleanup();
        return err_set(err, ERR_NOMEM, "no memory for the HTTP client");
    }
    c->options = *options;
    *out = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    assert(c->n_calls == 0);
    curl_multi_cleanup(c->multi);
    free(c);
    curl_global_cleanup();
}

/* --- a call --- */

void http_call_free(struct http_call *call)
{
    if (call == NULL)
        return;
    if (call->client != NULL) {
        curl_multi_remove_handle(call->client->multi, call->easy);
        call->client->n_calls--;
    }
    curl_easy_cleanup(call->easy);
    for (struct curl_slist *h = call->headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(call->headers);
    buf_close(&call->body);
    buf_close(&call->reply);
    free(call);
}

static bool add_header(struct http_call *call, const char *line)
{
    struct curl_slist *longer = curl_slist_append(call->headers, line);

    if (longer != NULL)
        call->headers = longer;
    return longer != NULL;
}

static bool copy_headers(struct http_call *call, const struct buf *lines)
{
    char *text = strdup(buf_text(lines)), *rest = text, *line;
    bool ok =
        text != NULL && add_header(call, "Expect:"); /* waiting for "100 Continue" is no gain */

    while (ok && (line = strsep(&rest, "\n")) != NULL)
        ok = line[0] == '\0' || add_header(call, line);
    if (text != NULL)
        explicit_bzero(text, lines->len);
    free(text);
    return ok;
}

/* Sets one option and keeps the first failure. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(call->easy, option, value);                                      \
    } while (0)

static CURLcode set_request(struct http_call *call, const struct http_request *request)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_URL, buf_text(&request->url));
    SET(CURLOPT_HTTPHEADER, call->headers);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    SET(CURLOPT_READFUNCTION, read_body);
    SET(CURLOPT_READDATA, call);
    SET(CURLOPT_WRITEFUNCTION, write_reply);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, count_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_VERBOSE, 1L); /* calls count_raw */
    SET(CURLOPT_DEBUGFUNCTION, count_raw);
    SET(CURLOPT_DEBUGDATA, call);
    SET(CURLOPT_NOPROGRESS, 0L); /* calls check_raw */
    SET(CURLOPT_XFERINFOFUNCTION, check_raw);
    SET(CURLOPT_XFERINFODATA, call);
    SET(CURLOPT_ERRORBUFFER, call->error);
    SET(CURLOPT_PRIVATE, call);
    return rc;
}

/* QUICK_EXIT: without it libcurl waits, on our loop, for a name lookup that it has given up.
 * HTTP/1.1: one call at a time on a connection, so a stuck one holds up no other. The environment's
 * proxies are honoured; they never see the token of an https address. */
static CURLcode set_transport(struct http_call *call, const struct http_client_options *o)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_USERAGENT, o->user_agent);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (o->ca_file != NULL)
        SET(CURLOPT_CAINFO, o->ca_file);
    if (o->ca_dir != NULL)
        SET(CURLOPT_CAPATH, o->ca_dir);
    if (o->no_proxy)
        SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_ms ? o->connect_ms : HTTP_CLIENT_CONNECT_MS));
    SET(CURLOPT_TIMEOUT_MS, (long)(o->whole_ms ? o->whole_ms : HTTP_CLIENT_WHOLE_MS));
    return rc;
}

#undef SET

/* NULL: no memory, or a libcurl older than 7.87. */
static struct http_call *new_call(const struct http_client *c, const struct http_request *request,
                                  void *ctx)
{
    struct http_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->ctx = ctx;
    call->secret = request->secret;
    buf_init(&call->body, SIZE_MAX);
    buf_init(&call->reply, HTTP_CLIENT_REPLY_MAX);
    call->easy = curl_easy_init();
    if (call->easy != NULL && copy_headers(call, &request->headers) &&
        buf_append(&call->body, request->body.data, request->body.len) == 0 &&
        set_request(call, request) == CURLE_OK && set_transport(call, &c->options) == CURLE_OK)
        return call;
    http_call_free(call);
    return NULL;
}

int http_client_send(struct http_client *c, const struct http_request *request, void *ctx,
                     struct http_call **out, struct err *err)
{
    struct http_call *call = new_call(c, request, ctx);
    CURLMcode code;

    if (call == NULL)
        return err_set(err, ERR_NOMEM, "libcurl cannot prepare a request");
    code = curl_multi_add_handle(c->multi, call->easy);
    if (code != CURLM_OK) {
        http_call_free(call);
        return err_set(err, ERR_IO, "libcurl cannot start a request: %s",
                       curl_multi_strerror(code));
    }
    call->client = c;
    c->n_calls++;
    /* At once and not at the next poll: on a kept connection the request is out when this returns.
     * A failure shows again in the poll. */
    curl_multi_perform(c->multi, &c->running);
    *out = call;
    return 0;
}

/* --- replies --- */

static void hide_secret(const struct http_call *call, char *bytes, size_t n)
{
    const size_t len = call->secret != NULL ? strlen(call->secret) : 0;
    char *hit;

    while (len > 0 && (hit = memmem(bytes, n, call->secret, len)) != NULL) {
        memset(hit, '*', len);
        n -= (size_t)(hit - bytes) + len;
        bytes = hit + len;
    }
}

/* Puts the reason of a failure into `error`. libcurl does not always write it. */
static void explain(struct http_call *call, CURLcode code)
{
    const size_t size = sizeof call->error;

    if (code == CURLE_OK)
        call->error[0] = '\0';
    else if (call->reply_too_long)
        snprintf(call->error, size, "the answer is larger than %d KiB",
                 HTTP_CLIENT_REPLY_MAX >> 10);
    else if (code == CURLE_SEND_FAIL_REWIND) /* see read_body */
        snprintf(call->error, size, "the connection was closed without an answer");
    else if (call->error[0] == '\0')
        snprintf(call->error, size, "%s", curl_easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        strncat(call->error, " (SSL_CERT_FILE names the file of your own authority)",
                size - strlen(call->error) - 1);
    hide_secret(call, call->error, strlen(call->error));
    if (call->reply.len > 0)
        hide_secret(call, (char *)call->reply.data, call->reply.len);
}

int http_client_poll(struct http_client *c, struct curl_waitfd *extra, unsigned n, int timeout_ms,
                     struct err *err)
{
    CURLMcode code;

    for (unsigned i = 0; i < n; i++) /* libcurl leaves those alone on which nothing happened */
        extra[i].revents = 0;
    if (c->running < c->n_calls) /* a reply is there */
        timeout_ms = 0;
    code = curl_multi_poll(c->multi, extra, n, timeout_ms, NULL);
    if (code == CURLM_OK)
        code = curl_multi_perform(c->multi, &c->running);
    if (code != CURLM_OK)
        return err_set(err, ERR_IO, "libcurl cannot wait: %s", curl_multi_strerror(code));
    return 0;
}

void *http_client_next(struct http_client *c, struct http_reply *reply)
{
    struct http_call *call = NULL;
    curl_off_t retry_after = 0;
    const CURLMsg *msg;
    CURLcode code;
    int left;

    msg = curl_multi_info_read(c->multi, &left);
    if (msg == NULL)
        return NULL;
    assert(msg->msg == CURLMSG_DONE);
    code = msg->data.result; /* `msg` ends when its handle is removed */
    curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
    curl_multi_remove_handle(c->multi, call->easy);
    c->n_calls--;
    call->client = NULL;
    explain(call, code);
    *reply = (struct http_reply){
        .error = call->error, .body = buf_text(&call->reply), .body_len = call->reply.len};
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK)
        reply->retry_after_s = retry_after > 0 ? retry_after : 0;
    return call->ctx;
}
