/* Opens the listening socket; called by the server. */
#include "ingest/http/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* By itself Linux keeps up to 32 MB of a connection's unread bytes (tcp_rmem), and under load they
 * drop out of the caches before we read them: with this bound bodies of 200 KB cost a sixth less.
 * Linux doubles the number for its own use. With a round trip of 2 ms, the most within a region, it
 * is room for 100 MB/s a connection. */
enum { RECEIVE_BYTES = 256 << 10 };

static int listen_on(int family, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct sockaddr *address =
        family == AF_INET6 ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    int on = 1, off = 0, receive = RECEIVE_BYTES, saved;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive); /* connections inherit it */
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int port_open(uint16_t port, struct err *err)
{
    int fd = listen_on(AF_INET6, port);

    if (fd < 0 && errno != EADDRINUSE && errno != EACCES)
        fd = listen_on(AF_INET, port); /* a machine without IPv6 */
    if (fd >= 0)
        return fd;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_BUSY,
                       "port %u is in use by another process (stop it, or set PORT to another one)",
                       port);
    return err_set(err, ERR_IO, "cannot listen on port %u: %s", port, strerror(errno));
}
