#include "alerter/deliver/http_client.h"

#include "common/base/buf.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum slot_state { SLOT_FREE, SLOT_FLYING, SLOT_ENDED };

/* One post. The easy handle stays with its slot, with all its options. */
struct slot {
    CURL *easy;
    enum slot_state state;
    int64_t row_id;
    struct buf request;
    size_t sent;
    struct buf answer;
    bool answer_too_long;
    CURLcode code;
    char error[HTTP_CLIENT_ERROR_SIZE];
};

struct http_client {
    CURLM *multi;
    struct curl_slist *headers;
    char *token;
    char *url;
    struct slot slots[HTTP_CLIENT_SLOTS];
};

static const char path[] = "/chat.postMessage";

/* --- what libcurl calls --- */

/* The body is read through a function and cannot be rewound, which keeps libcurl from sending it
 * again by itself when a kept connection turns out to be closed: RFC 9110 section 9.2.2 wants no
 * silent repeat of what is not idempotent, and each try has to be counted and paced by retry.h. */
static size_t read_request(char *to, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;
    size_t left = slot->request.len - slot->sent;
    size_t take = size * n < left ? size * n : left;

    memcpy(to, slot->request.data + slot->sent, take);
    slot->sent += take;
    return take;
}

static size_t write_answer(char *bytes, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;

    if (buf_append(&slot->answer, bytes, size * n) == 0)
        return size * n;
    slot->answer_too_long = true;
    return 0;
}

/* --- making and unmaking --- */

/* A header ends at a line end, so a token with one would be a header of its own. */
static bool is_header_token(const char *token)
{
    for (const char *c = token; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    }
    return token[0] != '\0';
}

static bool is_web_address(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
}

static int check_settings(const struct http_client_settings *s, struct err *err)
{
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

    if (!is_web_address(s->api_url))
        return err_set(err, ERR_INPUT,
                       "SLACK_API_URL: \"%s\" is not an address (try https://slack.com/api)",
                       s->api_url);
    if (!is_header_token(s->token))
        return err_set(err, ERR_INPUT,
                       "SLACK_BOT_TOKEN: it is empty, or holds a space or a "
                       "character that is not ASCII (try xoxb-…)");
    if ((curl->features & CURL_VERSION_SSL) == 0)
        return err_set(err, ERR_IO, "libcurl %s cannot speak TLS", curl->version);
    if ((curl->features & CURL_VERSION_ASYNCHDNS) == 0)
        return err_set(err, ERR_IO, "libcurl %s would stop everything while it looks up a name",
                       curl->version);
    return 0;
}

/* Keeps what is there where memory runs out, as curl_slist_append does not. */
static bool add_header(struct http_client *p, const char *before, const char *value)
{
    struct curl_slist *longer;
    struct buf line;

    buf_init(&line, strlen(before) + strlen(value));
    if (buf_puts(&line, before) != 0 || buf_puts(&line, value) != 0) {
        buf_close(&line);
        return false;
    }
    longer = curl_slist_append(p->headers, buf_text(&line));
    explicit_bzero(line.data, line.cap);
    buf_close(&line);
    if (longer != NULL)
        p->headers = longer;
    return longer != NULL;
}

static bool make_headers(struct http_client *p, const struct http_client_settings *s)
{
    return add_header(p, "Content-Type: ", "application/json; charset=utf-8") &&
           add_header(p, "Accept: ", "application/json") &&
           add_header(p, "Expect:", "") && /* a wait for "100 Continue" gains nothing here */
           add_header(p, "User-Agent: drainwatch/", s->version) &&
           add_header(p, "Authorization: Bearer ", s->token);
}

static char *make_url(const char *api_url)
{
    size_t n = strlen(api_url);
    char *url = malloc(n + sizeof path);

    if (url == NULL)
        return NULL;
    while (n > 0 && api_url[n - 1] == '/')
        n--;
    memcpy(url, api_url, n);
    memcpy(url + n, path, sizeof path);
    return url;
}

/* Sets one option and remembers the first failure. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(easy, option, value);                                            \
    } while (0)

static CURLcode set_request_options(CURL *easy, struct slot *slot, const struct http_client *p)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_URL, p->url);
    SET(CURLOPT_HTTPHEADER, p->headers);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_READFUNCTION, read_request);
    SET(CURLOPT_READDATA, slot);
    SET(CURLOPT_WRITEFUNCTION, write_answer);
    SET(CURLOPT_WRITEDATA, slot);
    SET(CURLOPT_ERRORBUFFER, slot->error);
    SET(CURLOPT_PRIVATE, slot);
    return rc;
}

/* QUICK_EXIT: without it libcurl waits, on our loop, for a name lookup that it has given up. One
 * message on one connection at a time (HTTP/1.1), so that a stuck one holds up no other. The
 * environment's proxies are honoured; they never see the token of an https address. */
static CURLcode set_transport_options(CURL *easy, const struct http_client_settings *s)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(s->connect_ms ? s->connect_ms : HTTP_CLIENT_CONNECT_MS));
    SET(CURLOPT_TIMEOUT_MS, (long)(s->whole_ms ? s->whole_ms : HTTP_CLIENT_WHOLE_MS));
    return rc;
}

#undef SET

static bool slot_open(struct slot *slot, const struct http_client *p,
                      const struct http_client_settings *s)
{
    buf_init(&slot->request, SIZE_MAX);
    buf_init(&slot->answer, HTTP_CLIENT_ANSWER_MAX);
    slot->easy = curl_easy_init();
    return slot->easy != NULL && set_request_options(slot->easy, slot, p) == CURLE_OK &&
           set_transport_options(slot->easy, s) == CURLE_OK;
}

static bool http_client_open(struct http_client *p, const struct http_client_settings *s)
{
    p->token = strdup(s->token);
    p->url = make_url(s->api_url);
    p->multi = curl_multi_init();
    if (p->token == NULL || p->url == NULL || p->multi == NULL || !make_headers(p, s))
        return false;
    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++) {
        if (!slot_open(&p->slots[i], p, s))
            return false;
    }
    return true;
}

int http_client_new(const struct http_client_settings *settings, struct http_client **out,
                    struct err *err)
{
    struct http_client *p;
    int rc = check_settings(settings, err);

    if (rc != 0)
        return rc;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_IO, "libcurl cannot be started");
    p = calloc(1, sizeof *p);
    if (p == NULL || !http_client_open(p, settings)) {
        if (p == NULL)
            curl_global_cleanup();
        http_client_free(p);
        return err_set(err, ERR_NOMEM, "libcurl cannot be set up (no memory, or older than 7.87)");
    }
    *out = p;
    return 0;
}

static void slot_close(struct slot *slot, CURLM *multi)
{
    if (slot->state == SLOT_FLYING)
        curl_multi_remove_handle(multi, slot->easy);
    if (slot->easy != NULL)
        curl_easy_cleanup(slot->easy);
    buf_close(&slot->request);
    buf_close(&slot->answer);
}

void http_client_free(struct http_client *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++)
        slot_close(&p->slots[i], p->multi);
    curl_multi_cleanup(p->multi);
    for (struct curl_slist *h = p->headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(p->headers);
    if (p->token != NULL)
        explicit_bzero(p->token, strlen(p->token));
    free(p->token);
    free(p->url);
    free(p);
    curl_global_cleanup();
}

/* --- posting --- */

static struct slot *find_slot(struct http_client *p, enum slot_state state)
{
    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++) {
        if (p->slots[i].state == state)
            return &p->slots[i];
    }
    return NULL;
}

/* Takes the token out of what came back: an answer or an error that holds it would carry it into
 * the outbox and the log. */
static void hide_token(const struct http_client *p, char *bytes, size_t n)
{
    const size_t len = strlen(p->token);
    char *hit;

    while ((hit = memmem(bytes, n, p->token, len)) != NULL) {
        memset(hit, '*', len);
        n -= (size_t)(hit - bytes) + len;
        bytes = hit + len;
    }
}

/* The error in words; "" where the answer is whole. libcurl does not always write the buffer. */
static void explain(const struct http_client *p, struct slot *slot)
{
    if (slot->code == CURLE_OK)
        slot->error[0] = '\0';
    else if (slot->answer_too_long)
        snprintf(slot->error, sizeof slot->error, "the answer is larger than %d KiB",
                 HTTP_CLIENT_ANSWER_MAX >> 10);
    else if (slot->code == CURLE_SEND_FAIL_REWIND) /* see read_request */
        snprintf(slot->error, sizeof slot->error, "the connection was closed without an answer");
    else if (slot->error[0] == '\0')
        snprintf(slot->error, sizeof slot->error, "%s", curl_easy_strerror(slot->code));
    hide_token(p, slot->error, strlen(slot->error));
    if (slot->answer.len > 0)
        hide_token(p, (char *)slot->answer.data, slot->answer.len);
}

static void take_ended(struct http_client *p)
{
    const CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(p->multi, &left)) != NULL) {
        struct slot *slot = NULL;

        assert(msg->msg == CURLMSG_DONE);
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        slot->code = msg->data.result; /* `msg` ends with the next line */
        curl_multi_remove_handle(p->multi, slot->easy);
        slot->state = SLOT_ENDED;
        explain(p, slot);
    }
}

int http_client_post(struct http_client *p, int64_t row_id, const char *json, struct err *err)
{
    struct slot *slot = find_slot(p, SLOT_FREE);
    CURLMcode code;
    int running;

    if (slot == NULL)
        return err_set(err, ERR_FULL, "%d messages to Slack are in flight", HTTP_CLIENT_SLOTS);
    buf_clear(&slot->request);
    buf_clear(&slot->answer);
    slot->row_id = row_id;
    slot->sent = 0;
    slot->answer_too_long = false;
    slot->error[0] = '\0';
    if (buf_puts(&slot->request, json) != 0)
        return err_set(err, ERR_NOMEM, "no memory to post to Slack");
    if (curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)slot->request.len) !=
        CURLE_OK)
        return err_set(err, ERR_IO, "libcurl does not take a message of %zu bytes",
                       slot->request.len);
    code = curl_multi_add_handle(p->multi, slot->easy);
    if (code != CURLM_OK)
        return err_set(err, ERR_IO, "libcurl does not begin a post: %s", curl_multi_strerror(code));
    slot->state = SLOT_FLYING;
    /* At once, not when next polled: on a connection that was kept it is out by the end of this. A
     * failure shows again there. */
    curl_multi_perform(p->multi, &running);
    take_ended(p);
    return 0;
}

int http_client_poll(struct http_client *p, struct curl_waitfd *extra, unsigned n, int timeout_ms,
                     struct err *err)
{
    int running;
    CURLMcode code;

    for (unsigned i = 0; i < n; i++) /* libcurl leaves them alone where nothing happened */
        extra[i].revents = 0;
    if (find_slot(p, SLOT_ENDED) != NULL)
        timeout_ms = 0;
    code = curl_multi_poll(p->multi, extra, n, timeout_ms, NULL);
    if (code == CURLM_OK)
        code = curl_multi_perform(p->multi, &running);
    take_ended(p);
    if (code != CURLM_OK)
        return err_set(err, ERR_IO, "libcurl cannot wait: %s", curl_multi_strerror(code));
    return 0;
}

bool http_client_done(struct http_client *p, struct http_client_result *out)
{
    struct slot *slot = find_slot(p, SLOT_ENDED);
    curl_off_t retry_after = 0;

    if (slot == NULL)
        return false;
    *out = (struct http_client_result){.row_id = slot->row_id, .error = slot->error};
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &out->status);
    if (curl_easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK)
        out->retry_after_s = retry_after > 0 ? retry_after : 0;
    out->body = buf_text(&slot->answer);
    out->body_len = slot->answer.len;
    slot->state = SLOT_FREE;
    return true;
}

size_t http_client_in_flight(const struct http_client *p)
{
    size_t n = 0;

    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++)
        n += p->slots[i].state != SLOT_FREE;
    return n;
}

bool http_client_holds(const struct http_client *p, int64_t row_id)
{
    for (size_t i = 0; i < HTTP_CLIENT_SLOTS; i++) {
        if (p->slots[i].state != SLOT_FREE && p->slots[i].row_id == row_id)
            return true;
    }
    return false;
}
