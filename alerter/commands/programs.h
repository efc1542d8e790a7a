/* The programs that serve on a storage, for `status`: the owners of the files in the state folder,
 * or the alerters and ingests at a database, with its sizes. */
#ifndef DRAINWATCH_ALERTER_COMMANDS_PROGRAMS_H
#define DRAINWATCH_ALERTER_COMMANDS_PROGRAMS_H

#include "common/app/settings.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/storage/storage.h"

#include <jansson.h>
#include <stdbool.h>

struct programs {
    bool alerter_runs;
    bool ingest_runs;
    bool has_queue;      /* beside the database: the ingests that use it are not known */
    bool has_peers;      /* the next three are known: there is a database */
    struct buf alerters; /* struct programs_one of programs.c */
    struct buf ingests;
    struct storage_sizes sizes;
};

/* Returns 0 or an error of the storage, or ERR_NOMEM. programs_close is due in any case. */
int programs_read(struct programs *p, const struct settings *settings, struct storage *storage,
                  struct err *err);
void programs_close(struct programs *p);

int programs_print(const struct programs *p, struct err *err);
/* Adds the keys alerter and queue, and database if there is one. */
void programs_add_json(const struct programs *p, json_t *status);

#endif
