/* Records deliveries in ingest's journal and sends them to the alerter; called by the loop. */
#include "ingest/spool.h"

#include "common/app/log.h"
#include "common/base/time.h"

#include <stdio.h>

static int open_journal(struct spool *s, struct err *err)
{
    char path[4096], set_aside[512];
    int rc;

    snprintf(path, sizeof path, "%s/ingest.db", s->settings->state_dir);
    rc = journal_open(&(struct journal_options){.path = path,
                                                .sync_full = s->settings->sync_full,
                                                .exclusive = true,
                                                .max_bytes = s->settings->spool_max_bytes},
                      &s->journal, set_aside, err);
    if (rc == 0 && set_aside[0] != '\0')
        log_error("the journal was damaged and is set aside as %s; its records are not delivered",
                  set_aside);
    return rc;
}

int spool_open(struct spool *s, const struct settings *settings, int64_t now_us, struct err *err)
{
    const struct queue_options queue = {settings->queue, settings->secrets, settings->n_secrets};
    int rc;

    *s = (struct spool){.settings = settings};
    rc = open_journal(s, err);
    if (rc == 0)
        rc = sender_open(&queue, s->journal, now_us, &s->sender, err);
    if (rc != 0)
        spool_close(s);
    return rc;
}

void spool_close(struct spool *s)
{
    sender_close(s->sender);
    journal_close(s->journal);
    s->sender = NULL;
    s->journal = NULL;
}

static void undo(struct spool *s)
{
    journal_rollback(s->journal);
    sender_rollback(s->sender);
}

/* ---- recording ---- */

/* Appends all records of a request. Returns 0 or an error; `torn` tells that some are in already.
 */
static int append_request(struct spool *s, const struct request *r, bool *torn, struct err *err)
{
    size_t n;
    const struct wire_record *records = request_records(r, &n);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct wire_record record = records[i];

        rc = sender_append(s->sender, &record, err);
        *torn = rc != 0 && i > 0;
    }
    return rc;
}

/* Appends all that is not refused yet. Returns 0 or the error of the last that was refused now;
 * `torn` tells that a part of it is in, so that the transaction must begin again. */
static int append_all(struct spool *s, struct request *waiting, bool *torn, struct err *err)
{
    int failed = 0;

    *torn = false;
    for (struct request *r = waiting; r != NULL && !*torn; r = request_next(r)) {
        int rc = request_is_accepted(r) ? append_request(s, r, torn, err) : 0;

        if (rc == 0)
            continue;
        request_set_accepted(r, false);
        failed = rc;
    }
    return failed;
}

static void set_all(struct request *waiting, bool accepted)
{
    for (struct request *r = waiting; r != NULL; r = request_next(r))
        request_set_accepted(r, accepted);
}

int spool_record(struct spool *s, struct request *waiting, struct err *err)
{
    bool torn = true;
    int refused = 0, rc = 0;

    set_all(waiting, true);
    while (rc == 0 && torn) {
        int failed;

        rc = journal_begin(s->journal, err);
        if (rc != 0)
            break;
        failed = append_all(s, waiting, &torn, err);
        refused = failed != 0 ? failed : refused;
        if (torn)
            undo(s);
    }
    if (rc == 0)
        rc = sender_trim(s->sender, err);
    if (rc == 0)
        rc = journal_commit(s->journal, err);
    if (rc == 0)
        return refused;
    undo(s);
    set_all(waiting, false);
    return rc;
}

/* ---- the alerter ---- */

int spool_exchange(struct spool *s, int64_t now_us, struct err *err)
{
    int rc = sender_push(s->sender, now_us, err);

    if (rc == 0)
        rc = sender_receive(s->sender, now_us, err);
    return rc == 0 ? sender_timer(s->sender, now_us, err) : rc;
}

/* ---- damage ---- */

int spool_check(struct spool *s, int64_t now_us, struct err *err)
{
    const struct settings *settings = s->settings;

    if (now_us >= s->look_us && journal_is_gone(s->journal))
        return err_set(err, ERR_IO, "%s was removed or replaced while in use: start again",
                       settings->state_dir);
    if (now_us >= s->look_us)
        s->look_us = now_us + TIME_S;
    if (!journal_is_suspect(s->journal))
        return 0;
    spool_close(s);
    return spool_open(s, settings, now_us, err);
}
