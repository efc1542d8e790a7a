/* Opens the port that the server listens on; called by the server. */
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

static int listen_on(int family, const void *address, uint16_t port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct sockaddr *name =
        family == AF_INET6 ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    socklen_t size = family == AF_INET6 ? sizeof six : sizeof four;
    int on = 1, off = 0, receive = RECEIVE_BYTES, saved;

    if (fd < 0)
        return -1;
    if (family == AF_INET6)
        memcpy(&six.sin6_addr, address, sizeof six.sin6_addr);
    else
        memcpy(&four.sin_addr, address, sizeof four.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive); /* connections inherit it */
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, name, size) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int listen_on_all(uint16_t port)
{
    const struct in_addr any = {.s_addr = htonl(INADDR_ANY)};
    int fd = listen_on(AF_INET6, &in6addr_any, port);

    if (fd < 0 && errno != EADDRINUSE && errno != EACCES)
        fd = listen_on(AF_INET, &any, port); /* a machine without IPv6 */
    return fd;
}

static int listen_on_one(const char *text, uint16_t port)
{
    unsigned char address[sizeof(struct in6_addr)];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

    if (inet_pton(family, text, address) != 1) {
        errno = EINVAL;
        return -1;
    }
    return listen_on(family, address, port);
}

int port_open(const char *address, uint16_t port, struct err *err)
{
    int fd = address == NULL ? listen_on_all(port) : listen_on_one(address, port);
    const char *of = address == NULL ? "" : " of ", *name = address == NULL ? "" : address;

    if (fd >= 0)
        return fd;
    if (errno == EADDRINUSE)
        return err_set(err, ERR_BUSY,
                       "port %u%s%s is in use by another process (stop it, or set PORT to another "
                       "one)",
                       port, of, name);
    if (errno == EADDRNOTAVAIL)
        return err_set(err, ERR_INPUT,
                       "DRAINWATCH_BIND: \"%s\" is no address of this machine (`ip addr` lists "
                       "them)",
                       name);
    return err_set(err, ERR_IO, "cannot listen on port %u%s%s: %s", port, of, name,
                   strerror(errno));
}
