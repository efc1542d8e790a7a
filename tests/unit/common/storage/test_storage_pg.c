/* The storage on PostgreSQL: the fence, lost answers, roles, and the rows in the tables. */
#include "tests/unit/database.h"

#include "common/base/time.h"
#include "common/storage/storage.h"

#include <poll.h>
#include <string.h>

#define SCHEMA "test_storage_pg"

/* An alerter. Time is its own, and goes on only if a test says so. */
struct alerter {
    struct storage *s;
    int64_t now_us;
    enum storage_role role;
};

static struct err err;
static char set_aside[512];

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static struct alerter open_it(const char *holder)
{
    struct alerter a = {.now_us = TIME_HOUR};

    OK(storage_open(
        &(struct storage_options){
            .location = database_url(), .schema = SCHEMA, .program = "test", .holder = holder},
        &a.s, set_aside, &err));
    return a;
}

static void tend(struct alerter *a, int64_t us)
{
    a->now_us += us;
    OK(storage_tend(a->s, a->now_us, &a->role, &err));
}

/* Tends in short steps, until the role is this one, for `us` at most. */
static int64_t tend_until(struct alerter *a, enum storage_role role, int64_t us)
{
    const int64_t begin_us = a->now_us;

    tend(a, 0);
    while (a->role != role && a->now_us - begin_us < us) {
        struct pollfd p = {.fd = storage_fd(a->s), .events = POLLIN};

        if (a->role == STORAGE_AWAY)
            poll(&p, 1, 20);
        tend(a, 10 * TIME_MS);
    }
    if (a->role != role)
        fail_msg("the role is %d: %s", (int)a->role, err.text);
    return a->now_us - begin_us;
}

static void become_active(struct alerter *a)
{
    tend_until(a, STORAGE_ACTIVE, 10 * TIME_S);
    OK(storage_restore(a->s, &err));
}

static int append(struct alerter *a, enum wire_input input, int64_t step_us, const char *text)
{
    struct wire_entry entry = {
        .step_us = step_us, .input = input, .bytes = {(const uint8_t *)text, strlen(text)}};

    return storage_append(a->s, &entry, NULL, &err);
}

static int turn(struct alerter *a, int64_t step_us, const char *text)
{
    int rc = storage_begin(a->s, &err);

    if (rc == 0)
        rc = append(a, WIRE_INPUT_RECORD, step_us, text);
    if (rc == 0)
        return storage_commit(a->s, &err);
    if (storage_in_transaction(a->s))
        storage_rollback(a->s);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    database_drop_schema(SCHEMA);
    return 0;
}

UNIT_TEST(a_free_lease_is_taken_at_once)
{
    struct alerter a = open_it("one");

    become_active(&a);
    assert_in_range(a.now_us - TIME_HOUR, 0, 30 * TIME_MS);
    OK(turn(&a, 1, "x"));
    assert_string_equal(database_sql("SELECT holder || epoch || last FROM " SCHEMA ".lease"),
                        "one11");
    storage_close(a.s);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_free_lease_is_taken_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
