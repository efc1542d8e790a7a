/* Finds the endpoint of a request by its path and method; called by the server for each head. */
#include "ingest/http/routes.h"

#include "ingest/input/input.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { PATH_SIZE = 256 };

struct call {
    struct MHD_Connection *connection;
    const char *path;
    int64_t now_us;
};

/* Returns a request whose body is to follow, or NULL with `answer` set. */
typedef struct incoming *endpoint_fn(const struct routes *routes, const struct call *call,
                                     struct answer *answer);

struct endpoint {
    const char *path;           /* NULL: each path of an input format */
    const char *method, *other; /* NULL: there is no other */
    const char *allowed;        /* the methods as the header Allow lists them */
    endpoint_fn *begin;
};

/* The headers that `struct headers` holds. */
static const struct {
    const char *name;
    size_t n_name;
    size_t at; /* in struct headers */
} wanted[] = {
#define WANTED(NAME, FIELD)                                                                        \
    {                                                                                              \
        (NAME), sizeof(NAME) - 1, offsetof(struct headers, FIELD)                                  \
    }
    WANTED(MHD_HTTP_HEADER_AUTHORIZATION, credentials),
    WANTED(MHD_HTTP_HEADER_CONTENT_ENCODING, encoding),
    WANTED(MHD_HTTP_HEADER_CONTENT_LENGTH, length),
    WANTED("Logplex-Drain-Token", drain),
    WANTED("Logplex-Frame-Id", frame_id),
    WANTED("Logplex-Msg-Count", msg_count),
    WANTED("Logplex-Drop-Count", drop_count),
    WANTED("Logplex-Lost-Count", lost_count),
    WANTED(HANDOVER_HAVE, have),
    WANTED(HANDOVER_SIGNATURE, signature),
#undef WANTED
};

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                 size_t n_name, const char *value, size_t n_value)
{
    (void)kind, (void)n_value;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char **field = (const char **)((char *)ctx + wanted[i].at);

        if (n_name == wanted[i].n_name && *field == NULL &&
            strncasecmp(name, wanted[i].name, n_name) == 0)
            *field = value;
    }
    return MHD_YES;
}

/* One walk over the headers: to look each of them up costs 2 % of a delivery. */
static struct headers read_headers(struct MHD_Connection *connection)
{
    struct headers h = {
        .token = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "drain_token"),
    };

    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, &h);
    return h;
}

static struct incoming *begin_delivery(const struct routes *routes, const struct call *call,
                                       struct answer *answer)
{
    const struct headers headers = read_headers(call->connection);

    return requests_begin(routes->requests, call->path, &headers, call->now_us, answer);
}

static struct incoming *begin_handover(const struct routes *routes, const struct call *call,
                                       struct answer *answer)
{
    const struct headers headers = read_headers(call->connection);

    return handovers_begin(routes->handovers, &headers, call->now_us, answer);
}

static struct incoming *show_health(const struct routes *routes, const struct call *call,
                                    struct answer *answer)
{
    char reason[ANSWER_TEXT_SIZE - 2];

    (void)call;
    if (routes->is_healthy(routes->ctx, reason, sizeof reason))
        answer_set(answer, MHD_HTTP_OK, "ok\n");
    else
        answer_set(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "%s\n", reason);
    answer_set_header(answer, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    return NULL;
}

static const struct endpoint endpoints[] = {
    {NULL, "POST", NULL, "POST", begin_delivery},
    {HANDOVER_PATH, "POST", NULL, "POST", begin_handover},
    {ROUTES_HEALTH_PATH, "GET", "HEAD", "GET, HEAD", show_health},
};

static bool is_at(const struct endpoint *e, const char *path)
{
    return e->path == NULL ? input_at(path) != NULL : strcmp(e->path, path) == 0;
}

static const struct endpoint *find(const struct routes *routes, const char *path)
{
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        if (is_at(&endpoints[i], path) &&
            (endpoints[i].begin != begin_handover || routes->handovers != NULL))
            return &endpoints[i];
    }
    return NULL;
}

static void answer_not_found(const struct routes *routes, const struct call *call,
                             const char *method, struct answer *answer)
{
    /* A drain with a typo in its URL would otherwise be lost without a word. */
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        refusals_unknown_path(routes->refusals, call->path, input_logplex.path, call->now_us);
    answer_set(answer, MHD_HTTP_NOT_FOUND, "there are %s and " ROUTES_HEALTH_PATH "\n",
               input_logplex.path);
}

static void answer_not_allowed(const struct routes *routes, const struct call *call,
                               const char *method, const char *allowed, struct answer *answer)
{
    refusals_method(routes->refusals, method, call->path, allowed, input_logplex.path,
                    call->now_us);
    answer_set(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "%s takes %s\n", call->path, allowed);
    answer_set_header(answer, MHD_HTTP_HEADER_ALLOW, allowed);
}

/* Copies the path of a delivery without one "/" at its end: people add one to drain URLs. */
static const char *without_slash(const char *path, char out[PATH_SIZE])
{
    size_t n = strlen(path);

    if (n < 2 || n >= PATH_SIZE || path[n - 1] != '/')
        return path;
    memcpy(out, path, n - 1);
    out[n - 1] = '\0';
    return input_at(out) != NULL ? out : path;
}

/* The path of a target in absolute form, http://HOST/PATH, which a server must accept (RFC 9112
 * section 3.2.2). Another target is a path already. */
static const char *without_host(const char *target)
{
    const char *host = strncasecmp(target, "http://", 7) == 0    ? target + 7
                       : strncasecmp(target, "https://", 8) == 0 ? target + 8
                                                                 : NULL;

    if (host == NULL)
        return target;
    return host[strcspn(host, "/")] == '/' ? host + strcspn(host, "/") : "/";
}

struct incoming *routes_begin(const struct routes *routes, struct MHD_Connection *connection,
                              const char *path, const char *method, int64_t now_us,
                              struct answer *answer)
{
    char shorter[PATH_SIZE];
    const struct call call = {connection, without_slash(without_host(path), shorter), now_us};
    const struct endpoint *endpoint = find(routes, call.path);

    if (endpoint == NULL) {
        answer_not_found(routes, &call, method, answer);
    } else if (strcmp(method, endpoint->method) != 0 &&
               (endpoint->other == NULL || strcmp(method, endpoint->other) != 0)) {
        answer_not_allowed(routes, &call, method, endpoint->allowed, answer);
    } else {
        return endpoint->begin(routes, &call, answer);
    }
    return NULL;
}
