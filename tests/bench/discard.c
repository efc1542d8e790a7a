/* The floor for ingest: libmicrohttpd in the same loop with the same pool (ingest/http), its
 * sockets as the system gives them. Reads each body, ignores it, and answers 204.
 *
 *     discard PORT */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { POOL_BYTES = 48 << 10, IDLE_SECONDS = 330, CONNECTIONS_MAX = 4096 };

static struct MHD_Response *empty;

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **slot)
{
    static char seen;

    (void)ctx, (void)url, (void)method, (void)version, (void)data;
    if (*slot == NULL) {
        *slot = &seen;
        return MHD_YES;
    }
    if (*n > 0) {
        *n = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_NO_CONTENT, empty);
}

static void serve(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fd = {.fd = info->epoll_fd, .events = POLLIN};

    for (;;) {
        MHD_UNSIGNED_LONG_LONG ms;
        int wait = MHD_get_timeout(daemon, &ms) == MHD_YES ? (ms > 1000 ? 1000 : (int)ms) : 1000;

        poll(&fd, 1, wait);
        MHD_run(daemon);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct MHD_Daemon *daemon;

    if (argc != 2)
        return 64;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    empty = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR,
                         &address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_END);
    if (empty == NULL || daemon == NULL) {
        fprintf(stderr, "discard: cannot listen on port %s\n", argv[1]);
        return 1;
    }
    serve(daemon);
}
