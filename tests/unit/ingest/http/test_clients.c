/* Tests the deadlines of connections and the room for them, in virtual time. */
#include "tests/unit/heard.h"

#include "common/base/time.h"
#include "ingest/http/clients.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 128, FILES = CLIENTS_RESERVE + 64 };

struct peer {
    struct client client;
    int fd; /* its own end */
};

static struct clients cs;
static struct peer peers[PEERS];
static size_t n_peers;
static int64_t wall_us;

static int set_up(void **state)
{
    (void)state;
    clients_init(&cs, FILES);
    wall_us = INT64_C(1778141172000000);
    clients_set_time(&cs, wall_us);
    n_peers = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_peers; i++) {
        clients_remove(&cs, &peers[i].client);
        close(peers[i].client.fd);
        close(peers[i].fd);
    }
    assert_int_equal(cs.n, 0);
    assert_int_equal(cs.n_strangers, 0);
    assert_null(cs.drains);
    return 0;
}

static struct peer *add(void)
{
    struct peer *p = &peers[n_peers++];
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *p = (struct peer){.fd = fds[0]};
    clients_add(&cs, &p->client, fds[1]);
    return p;
}

static struct peer *add_of(const char *drain)
{
    struct peer *p = add();

    clients_know(&cs, &p->client, drain);
    return p;
}

/* Of one of many drains, none of which has more than its share. */
static struct peer *add_known(void)
{
    char drain[2] = {(char)('a' + n_peers % 16), 0};

    return add_of(drain);
}

static bool is_open(const struct peer *p)
{
    char byte;

    return recv(p->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
}

/* Turns follow each other at short intervals. */
static void pass(int seconds)
{
    for (int i = 0; i < seconds; i++) {
        wall_us += TIME_S;
        clients_set_time(&cs, wall_us);
        clients_look(&cs);
    }
}

static void allows(struct peer *p, int seconds)
{
    pass(seconds - 1);
    assert_true(is_open(p));
    pass(1);
    assert_false(is_open(p));
}

UNIT_TEST(test_a_stranger_has_ten_seconds_for_a_head)
{
    allows(add(), 10);
}

UNIT_TEST(test_an_authenticated_connection_may_be_idle_for_longer)
{
    struct peer *p = add_known();

    pass(300);
    clients_go_to(&cs, &p->client, CLIENTS_HEAD);
    allows(p, CLIENTS_IDLE_S);
}

UNIT_TEST(test_a_body_earns_time_by_its_bytes)
{
    struct peer *silent = add_known(), *slow = add_known();

    clients_go_to(&cs, &silent->client, CLIENTS_BODY);
    clients_go_to(&cs, &slow->client, CLIENTS_BODY);
    slow->client.body_bytes = 5 * CLIENTS_BODY_RATE;
    allows(silent, CLIENTS_BODY_S);
    allows(slow, 5);
}

UNIT_TEST(test_a_body_and_an_answer_must_end_soon_once_we_stop)
{
    struct peer *silent = add_known(), *quick = add_known(), *reader = add_known();
    struct peer *waiting = add_known();

    clients_go_to(&cs, &silent->client, CLIENTS_BODY);
    clients_go_to(&cs, &quick->client, CLIENTS_BODY);
    clients_go_to(&cs, &reader->client, CLIENTS_ANSWER);
    clients_go_to(&cs, &waiting->client, CLIENTS_WAIT);
    clients_stop(&cs);
    pass(1);
    quick->client.body_bytes += 100 * CLIENTS_BODY_RATE;
    clients_go_to(&cs, &reader->client, CLIENTS_ANSWER); /* it reads an answer after another */
    allows(silent, CLIENTS_LAST_S - 1);
    assert_false(is_open(quick));
    assert_false(is_open(reader));
    assert_true(is_open(waiting));
}

UNIT_TEST(test_our_own_work_has_no_deadline_and_an_answer_has)
{
    struct peer *p = add_known();

    clients_go_to(&cs, &p->client, CLIENTS_WAIT);
    pass(1000);
    assert_true(is_open(p));
    clients_go_to(&cs, &p->client, CLIENTS_ANSWER);
    allows(p, CLIENTS_ANSWER_S);
}

UNIT_TEST(test_a_clock_that_is_set_ends_nothing)
{
    struct peer *p = add();

    wall_us += TIME_HOUR;
    clients_set_time(&cs, wall_us);
    clients_look(&cs);
    assert_true(is_open(p));
    wall_us -= 2 * TIME_HOUR;
    clients_set_time(&cs, wall_us);
    clients_look(&cs);
    assert_true(is_open(p));
    allows(p, 8); /* the hour counted as two seconds */
}

UNIT_TEST(test_a_peer_that_has_left_is_let_go)
{
    struct peer *idle = add_known(), *half = add_known(), *waiting = add_known();

    clients_go_to(&cs, &half->client, CLIENTS_BODY);
    clients_go_to(&cs, &waiting->client, CLIENTS_WAIT);
    for (size_t i = 0; i < n_peers; i++)
        shutdown(peers[i].fd, SHUT_WR);
    pass(1);
    assert_true(is_open(half)); /* its last bytes may wait for its drain's turn */
    assert_true(is_open(idle)); /* an answer may be on its way */
    pass(1);
    assert_false(is_open(half));
    assert_false(is_open(idle));
    assert_true(is_open(waiting));
}

UNIT_TEST(test_the_oldest_stranger_makes_room)
{
    struct peer *known = add_known(), *first = add(), *second = add();

    while (n_peers < cs.max / 4 * 3 + 1)
        add();
    assert_true(is_open(first));
    heard_begin();
    add();
    assert_non_null(strstr(heard_end(), "a connection was closed: 49 of at most 64 were open"));
    assert_false(is_open(first));
    assert_true(is_open(second));
    add();
    assert_false(is_open(second));
    assert_true(is_open(known));
}

UNIT_TEST(test_the_newest_strangers_stay)
{
    struct peer *newest[4];

    while (n_peers < cs.max - 16)
        add_known();
    for (size_t i = 0; i < 4; i++)
        newest[i] = add();
    for (size_t i = 0; i < 4; i++)
        assert_true(is_open(newest[i]));
    add();
    add();
    assert_false(is_open(newest[0]));
    for (size_t i = 0; i < cs.max - 16; i++)
        assert_true(is_open(&peers[i]));
}

static void crowd_with(const char *drain, enum clients_step step)
{
    while (n_peers < cs.max - 11)
        clients_go_to(&cs, &add_of(drain)->client, step);
}

UNIT_TEST(test_a_drain_beyond_its_share_makes_room)
{
    struct peer *honest = add_of("honest"), *busy = add_of("greedy"), *idle = add_of("greedy"),
                *new;

    clients_go_to(&cs, &busy->client, CLIENTS_WAIT);
    wall_us += TIME_S;
    clients_set_time(&cs, wall_us);
    crowd_with("greedy", CLIENTS_HEAD);
    heard_begin();
    new = add();
    assert_non_null(strstr(heard_end(),
                           "53 of at most 64 were open, and the drain greedy held 52 of "
                           "them"));
    assert_false(is_open(idle)); /* it was idle for longest */
    assert_true(is_open(honest) && is_open(busy) && is_open(new));
}

UNIT_TEST(test_the_newest_body_makes_room_if_no_connection_is_idle)
{
    struct peer *honest = add_of("honest"), *first = add_of("greedy"), *last, *stranger;

    clients_go_to(&cs, &first->client, CLIENTS_BODY);
    crowd_with("greedy", CLIENTS_BODY);
    last = &peers[n_peers - 1];
    stranger = add();
    assert_false(is_open(last));
    assert_true(is_open(honest) && is_open(first) && is_open(stranger));
}

UNIT_TEST(test_the_last_delivery_of_a_connection_tells_its_drain)
{
    struct peer *honest = add_of("greedy");

    clients_know(&cs, &honest->client, "honest");
    wall_us += TIME_S;
    clients_set_time(&cs, wall_us);
    crowd_with("greedy", CLIENTS_HEAD);
    add();
    assert_true(is_open(honest));
}

UNIT_TEST(test_a_full_server_makes_room_by_itself)
{
    struct peer *first = add_of("greedy");

    clients_go_to(&cs, &first->client, CLIENTS_WAIT);
    while (n_peers < cs.max)
        clients_go_to(&cs, &add_of("greedy")->client, CLIENTS_WAIT);
    assert_true(is_open(first));
    clients_go_to(&cs, &first->client, CLIENTS_HEAD);
    clients_look(&cs);
    assert_false(is_open(first));
}

UNIT_TEST(test_no_room_at_all_is_logged)
{
    const char *said;

    while (n_peers < cs.max)
        add_known();
    heard_begin();
    pass(2);
    said = heard_end();
    assert_non_null(strstr(said, "all 64 connections are open"));
    assert_non_null(strstr(said, "ulimit -n"));
}

UNIT_TEST(test_ends_are_summed_up)
{
    const char *said;

    for (int i = 0; i < 3; i++)
        add();
    heard_begin();
    pass(10);
    said = heard_end();
    assert_non_null(strstr(said, "a connection was closed: a head must come within 10 s"));
    assert_null(strstr(said, "more"));
    heard_begin();
    clients_log_all(&cs);
    assert_non_null(strstr(heard_end(), "2 more connections were closed: a head must"));
}

UNIT_TEST(test_the_limit_of_open_files_bounds_the_connections)
{
    struct clients small, large;

    clients_init(&small, 10);
    clients_init(&large, UINT64_MAX);
    assert_int_equal(small.max, 16);
    assert_int_equal(large.max, CLIENTS_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_stranger_has_ten_seconds_for_a_head),
        TEST(test_an_authenticated_connection_may_be_idle_for_longer),
        TEST(test_a_body_earns_time_by_its_bytes),
        TEST(test_a_body_and_an_answer_must_end_soon_once_we_stop),
        TEST(test_our_own_work_has_no_deadline_and_an_answer_has),
        TEST(test_a_clock_that_is_set_ends_nothing),
        TEST(test_a_peer_that_has_left_is_let_go),
        TEST(test_the_oldest_stranger_makes_room),
        TEST(test_the_newest_strangers_stay),
        TEST(test_a_drain_beyond_its_share_makes_room),
        TEST(test_the_newest_body_makes_room_if_no_connection_is_idle),
        TEST(test_the_last_delivery_of_a_connection_tells_its_drain),
        TEST(test_a_full_server_makes_room_by_itself),
        TEST(test_no_room_at_all_is_logged),
        TEST(test_ends_are_summed_up),
        TEST(test_the_limit_of_open_files_bounds_the_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
