/* Takes the records that lie in the database before a move copies it. Called by move. */
#include "alerter/commands/drain.h"

#include "alerter/turn.h"
#include "common/base/text.h"

#include <inttypes.h>

static int count_left(struct storage *s, int64_t *left, struct err *err)
{
    struct storage_sizes sizes = {0};
    int rc = s->ops->sizes(s, &sizes, err);

    *left = sizes.inbox_left;
    return rc;
}

static int refuse_left(int64_t left, const char *why, struct err *err)
{
    return err_set(err, ERR_BUSY,
                   "%" PRId64 " %s in the database that this program cannot take (%s)", left,
                   text_plural((uint64_t)left, "message waits", "messages wait"),
                   why[0] != '\0' ? why
                                  : "start an alerter there until status shows that no message "
                                    "waits, stop it, move again");
}

static int take_turn(struct turn *t, enum turn_result *result, struct err *err)
{
    int rc = turn_take(t, clock_steady_us(&t->clock), result, err);

    if (rc != 0)
        return rc;
    if (*result == TURN_NONE) /* it was undone, and err has the reason */
        return ERR_AWAY;
    turn_end(t, *result);
    return 0;
}

/* A turn that stored nothing has found nothing that it can take. */
static int take_all(struct turn *t, int (*keep)(void *ctx, struct err *err), void *ctx,
                    struct err *err)
{
    enum turn_result result = TURN_STORED;
    int64_t left = 0;
    int rc = 0;

    while (rc == 0 && (result == TURN_STORED || turn_is_pending(t))) {
        rc = keep(ctx, err);
        if (rc == 0)
            rc = take_turn(t, &result, err);
    }
    if (rc == 0)
        rc = count_left(t->storage, &left, err);
    return rc != 0 || left == 0 ? rc : refuse_left(left, receiver_refused(t->receiver), err);
}

static int activate(struct turn *t, struct err *err)
{
    return t->rules.len == 0 ? err_set(err, ERR_BUSY,
                                       "messages wait in the database, and no alerter was ever "
                                       "active there (start one until status shows that none "
                                       "waits, stop it, move again)")
                             : turn_activate(t, clock_boot_us(), err);
}

int drain_inbox(struct storage *s, const struct settings *settings,
                int (*keep)(void *ctx, struct err *err), void *ctx, struct err *err)
{
    struct settings own = *settings;
    struct notices notices;
    struct turn t = {0};
    int64_t left;
    int rc = count_left(s, &left, err);

    if (rc != 0 || left == 0)
        return rc;
    own.queue = NULL; /* records come from the storage */
    notices_init(&notices);
    rc = turn_open(&t, &(struct turn_options){.settings = &own, .notices = &notices, .storage = s},
                   err);
    if (rc == 0)
        rc = activate(&t, err);
    if (rc == 0)
        rc = take_all(&t, keep, ctx, err);
    turn_close(&t);
    notices_close(&notices);
    return rc;
}
