/* Writes the journal of an alerter that has run for a week: a record each two seconds and a
 * snapshot every ten minutes, up to this moment.
 *
 *     week ALERTER.DB RULES.YAML
 */
#include "alerter/stream/fold.h"
#include "common/app/clock.h"
#include "common/base/time.h"
#include "common/storage/storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t WEEK_US =
    7 * TIME_DAY - TIME_HOUR; /* the alerter trims older records at its start */
static const int64_t EACH_US = 2 * TIME_S;
static const int64_t SNAPSHOT_US = 10 * TIME_MINUTE; /* as alerter/turn.c */

struct week {
    struct storage *storage;
    struct fold fold;
    struct buf packed;
    struct err err;
    int64_t now_us;
};

static void must(struct week *w, int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "week: %s\n", w->err.text);
    exit(1);
}

static void enter_rules(struct week *w, const char *path)
{
    static char text[RULES_TEXT_MAX];
    FILE *file = fopen(path, "r");
    size_t n = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    const struct wire_entry entry = {w->now_us, WIRE_INPUT_RULES, {(const uint8_t *)text, n}};
    struct engine_outcomes alerts;

    if (file != NULL)
        fclose(file);
    must(w, storage_append(w->storage, &entry, NULL, &w->err));
    must(w, fold_entry(&w->fold, &entry, &alerts, &w->err));
}

/* One H12 in a delivery of a hundred lines. */
static void enter_record(struct week *w, uint64_t number)
{
    char frame_id[48];
    const struct wire_matches matches = {
        .rule = "h12-request-timeout",
        .source = "heroku",
        .process = "router",
        .times_us = &w->now_us,
        .n_times = 1,
        .sample = {(const uint8_t *)"at=error code=H12 desc=\"Request timeout\"", 40},
    };
    struct wire_record record = {
        .sequence = (UINT64_C(1) << 40) + number,
        .received_us = w->now_us,
        .drain = "d.01234567-89ab-cdef-0123-456789abcdef",
        .frame_id = frame_id,
        .lines = 100,
        .bytes = 21000,
        .matches = &matches,
        .n_matches = 1,
    };
    const struct engine_event event = engine_record_event(&record, w->now_us);
    struct engine_outcomes alerts;

    snprintf(frame_id, sizeof frame_id, "%032" PRIX64, number);
    buf_clear(&w->packed);
    must(w, wire_pack_record(&record, &w->packed));
    must(w, storage_append(
                w->storage,
                &(struct wire_entry){w->now_us, WIRE_INPUT_RECORD, {w->packed.data, w->packed.len}},
                NULL, &w->err));
    must(w, fold_event(&w->fold, &event, w->packed.len, &alerts, &w->err));
}

/* Writes the records up to the next snapshot in one transaction. */
static uint64_t enter_stretch(struct week *w, uint64_t number, int64_t end_us)
{
    int64_t until_us = w->now_us + SNAPSHOT_US < end_us ? w->now_us + SNAPSHOT_US : end_us;

    must(w, storage_begin(w->storage, &w->err));
    for (; w->now_us < until_us; w->now_us += EACH_US)
        enter_record(w, number++);
    if (w->now_us < end_us)
        must(w, fold_save(&w->fold, w->storage, w->now_us, &w->err));
    must(w, storage_commit(w->storage, &w->err));
    return number;
}

int main(int argc, char **argv)
{
    struct week w = {0};
    char set_aside[512];
    int64_t end_us = clock_wall_us();
    uint64_t number = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: week ALERTER.DB RULES.YAML\n");
        return 64;
    }
    w.now_us = end_us - WEEK_US;
    buf_init(&w.packed, WIRE_RECORD_MAX);
    must(&w, fold_open(&w.fold, &w.err));
    must(&w, storage_open(&(struct storage_options){.location = argv[1]}, &w.storage, set_aside,
                          &w.err));
    must(&w, storage_begin(w.storage, &w.err));
    enter_rules(&w, argv[2]);
    must(&w, storage_commit(w.storage, &w.err));
    while (w.now_us < end_us)
        number = enter_stretch(&w, number, end_us);
    printf("%" PRIu64 "\n", number);
    storage_close(w.storage);
    fold_close(&w.fold);
    buf_close(&w.packed);
    return 0;
}
