/* Reads and probes endpoints. Called by queue, and by startup to check DRAINWATCH_QUEUE. */
#include "common/queue/queue_endpoint.h"

#include "common/queue/queue.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define IPC "ipc://"
#define TCP "tcp://"
enum { SCHEME_LEN = sizeof IPC - 1, HOST_MAX = 200 };

bool queue_endpoint_is_tcp(const char *endpoint)
{
    return strncmp(endpoint, TCP, SCHEME_LEN) == 0;
}

bool queue_endpoint_is_ipv6(const char *endpoint)
{
    return strncmp(endpoint, TCP "[", SCHEME_LEN + 1) == 0;
}

bool queue_endpoint_is_any(const char *endpoint)
{
    return strncmp(endpoint, TCP "*:", SCHEME_LEN + 2) == 0;
}

static int check_ipc(const char *endpoint, struct err *err)
{
    const char *path = endpoint + SCHEME_LEN;
    size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1; /* unix(7) */

    if (path[0] == '\0')
        return err_set(err, ERR_INPUT,
                       "\"%s\" names no file (try ipc:///run/drainwatch/queue.sock)", endpoint);
    /* ZeroMQ reads "@name" as a socket without a file, open to everybody, and "*" as a file with a
     * random name. */
    if (path[0] == '@' || strcmp(path, "*") == 0)
        return err_set(err, ERR_INPUT,
                       "\"%s\" is not a file (try ipc:///run/drainwatch/queue.sock)", endpoint);
    if (strlen(path) > max)
        return err_set(err, ERR_INPUT,
                       "\"%s\": the path has %zu bytes, and a socket's may have %zu (choose a "
                       "shorter one: DRAINWATCH_QUEUE=ipc://PATH)",
                       endpoint, strlen(path), max);
    return 0;
}

/* A host: a name, an IPv4 address, "[IPv6]" or "*". ZeroMQ's other forms (interfaces, source
 * addresses) would make sense on one side only. */
static bool is_host(const char *host, size_t n)
{
    if (n == 0 || n > HOST_MAX)
        return false;
    if (n == 1 && host[0] == '*')
        return true;
    if (host[0] == '[') {
        for (size_t i = 1; i + 1 < n; i++)
            if (!isxdigit((unsigned char)host[i]) && host[i] != ':' && host[i] != '.')
                return false;
        return n > 2 && host[n - 1] == ']';
    }
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)host[i]) && strchr(".-_", host[i]) == NULL)
            return false;
    return true;
}

static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    long port;

    if (n == 0 || n > 5 || text[n] != '\0')
        return false;
    port = strtol(text, NULL, 10);
    return port >= 1 && port <= 65535;
}

static int check_tcp(const char *endpoint, struct err *err)
{
    const char *host = endpoint + SCHEME_LEN;
    const char *colon = strrchr(host, ':');

    if (colon == NULL || !is_port(colon + 1))
        return err_set(err, ERR_INPUT, "\"%s\" has no port from 1 to 65535 (try tcp://*:5555)",
                       endpoint);
    if (!is_host(host, (size_t)(colon - host)))
        return err_set(err, ERR_INPUT,
                       "\"%s\" names no host (try tcp://*:5555 at the alerter, and "
                       "tcp://worker.example:5555 or tcp://[::1]:5555 at ingest)",
                       endpoint);
    return 0;
}

int queue_check_endpoint(const char *endpoint, struct err *err)
{
    if (strlen(endpoint) > QUEUE_ENDPOINT_MAX)
        return err_set(err, ERR_INPUT, "an endpoint of %zu bytes (at most %d)", strlen(endpoint),
                       QUEUE_ENDPOINT_MAX);
    if (queue_endpoint_is_tcp(endpoint))
        return check_tcp(endpoint, err);
    if (strncmp(endpoint, IPC, SCHEME_LEN) == 0)
        return check_ipc(endpoint, err);
    return err_set(err, ERR_INPUT,
                   "\"%s\" is not a queue's endpoint (try ipc:///run/drainwatch/queue.sock or "
                   "tcp://*:5555)",
                   endpoint);
}

/* Turns the result of connect(2) into ours. */
static int judge(const char *endpoint, int code, struct err *err)
{
    switch (code) {
    case 0:
    case EAGAIN: /* its backlog is full, so a process listens */
        return err_set(err, ERR_BUSY,
                       "%s is in use by another process (stop that one, or give this one its own "
                       "DRAINWATCH_QUEUE)",
                       endpoint);
    case ECONNREFUSED: /* a dead process left its socket */
    case ENOENT:
        return 0;
    default:
        return err_set(err, ERR_INPUT, "%s cannot be used: %s (choose another DRAINWATCH_QUEUE)",
                       endpoint, strerror(code));
    }
}

int queue_endpoint_probe(const char *endpoint, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    int fd, code;

    if (lstat(endpoint + SCHEME_LEN, &st) == 0 && !S_ISSOCK(st.st_mode))
        return err_set(err, ERR_INPUT,
                       "%s is a file and no socket (remove it, or choose another "
                       "DRAINWATCH_QUEUE)",
                       endpoint);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ERR_IO, "socket: %s", strerror(errno));
    memcpy(address.sun_path, endpoint + SCHEME_LEN, strlen(endpoint + SCHEME_LEN) + 1);
    code = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return judge(endpoint, code, err);
}

static bool is_theirs(const struct stat *st)
{
    return st->st_uid == geteuid() || st->st_uid == 0;
}

/* ZeroMQ dials again by itself, unseen. So the folder must be safe, and not this socket alone. */
static int check_folder(const char *endpoint, const char *folder, struct err *err)
{
    struct stat st;

    if (stat(folder, &st) != 0)
        return err_set(err, ERR_IO, "%s: %s: %s", endpoint, folder, strerror(errno));
    if (!is_theirs(&st))
        return err_set(err, ERR_INPUT,
                       "%s: user %u owns the folder %s, so it could listen there instead of the "
                       "alerter (name a file in a folder of this user, %u)",
                       endpoint, (unsigned)st.st_uid, folder, (unsigned)geteuid());
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, ERR_INPUT,
                       "%s: other users can write to the folder %s, so they could listen there "
                       "instead of the alerter (chmod go-w it, or name a file in a new folder)",
                       endpoint, folder);
    return 0;
}

int queue_endpoint_trust(const char *endpoint, struct err *err)
{
    const char *path = endpoint + SCHEME_LEN, *slash = strrchr(path, '/');
    char folder[QUEUE_ENDPOINT_MAX + 1];
    struct stat st;
    int rc;

    if (slash == NULL)
        strcpy(folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    rc = check_folder(endpoint, folder, err);
    if (rc != 0 || lstat(path, &st) != 0 || is_theirs(&st))
        return rc;
    return err_set(err, ERR_INPUT,
                   "%s: the socket belongs to user %u and not to this user, %u (run both programs "
                   "as one user, or remove it)",
                   endpoint, (unsigned)st.st_uid, (unsigned)geteuid());
}
