/* Runs the lines of one test through ingest's matching and the engine. Called by ruletest. */
#include "alerter/commands/ruletest_run.h"

#include "alerter/stream/fold.h"
#include "common/base/time.h"
#include "ingest/input/line.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Times and frame lengths take some bytes more; a delivery's lines stand in the file. */
enum { BODY_MAX = 16 * RULETEST_TEXT_MAX };

int ruletest_run_open(struct ruletest_run *r, const struct rules *rules, const struct buf *text,
                      struct err *err)
{
    int rc;

    *r = (struct ruletest_run){.text = text, .delivery = delivery_new(0)};
    buf_init(&r->body, BODY_MAX);
    buf_init(&r->record, WIRE_RECORD_MAX);
    rc = r->delivery == NULL ? err_set(err, ERR_NOMEM, "out of memory")
                             : rulebook_new_borrowed(rules, &r->book, err);
    if (rc != 0)
        ruletest_run_close(r);
    return rc;
}

void ruletest_run_close(struct ruletest_run *r)
{
    delivery_free(r->delivery);
    rulebook_release(r->book);
    buf_close(&r->body);
    buf_close(&r->record);
    *r = (struct ruletest_run){0};
}

/* ---- the order of deliveries ---- */

/* A delivery of a test and how often it is still to come. */
struct due {
    int64_t at_us;
    const struct ruletest_delivery *what;
    uint64_t left;
};

/* By time; of the same time the one that stands first in the file comes first, with all of its. */
static int by_time(const void *a, const void *b)
{
    const struct due *x = a, *y = b;
    int order = (x->at_us > y->at_us) - (x->at_us < y->at_us);

    return order != 0 ? order : (x->what > y->what) - (x->what < y->what);
}

/* Restores the heap after its first item became later. */
static void sift(struct due *heap, size_t n)
{
    size_t i = 0, child;

    while ((child = 2 * i + 1) < n) {
        struct due moved = heap[i];

        if (child + 1 < n && by_time(&heap[child + 1], &heap[child]) < 0)
            child++;
        if (by_time(&moved, &heap[child]) <= 0)
            return;
        heap[i] = heap[child];
        heap[child] = moved;
        i = child;
    }
}

/* ---- one delivery ---- */

/* A line that begins like a syslog line goes in a frame, as Logplex sends it; any other stands
 * behind a time, its own or that of the delivery, so that nothing in it is taken for a frame. */
static int add_line(struct buf *body, const char *text, int64_t at_us)
{
    char time[TIME_RFC3339_SIZE];
    size_t n = strlen(text);
    struct line line;

    line_read(text, n, &line);
    if (line.form == LINE_SYSLOG)
        return buf_printf(body, "%zu %s\n", n + 1, text);
    time_format_rfc3339(at_us, time);
    return buf_printf(body, "%s%s%s\n", line.has_time ? "" : time, line.has_time ? "" : " ", text);
}

static int make_body(struct ruletest_run *r, const struct ruletest_delivery *d, int64_t at_us)
{
    int rc = 0;

    buf_clear(&r->body);
    for (size_t i = 0; rc == 0 && i < d->n_lines; i++)
        rc = add_line(&r->body, d->lines[i], at_us);
    return rc;
}

static int receive(struct ruletest_run *r, const struct ruletest_delivery *d, int64_t at_us,
                   const struct wire_record **records, size_t *n)
{
    const struct delivery_head head = {.received_us = at_us, .drain = d->drain};
    int rc = make_body(r, d, at_us);

    if (rc == 0)
        rc = delivery_begin(r->delivery, r->book, &head);
    if (rc == 0)
        rc = delivery_push(r->delivery, r->body.data, r->body.len);
    return rc == 0 ? delivery_finish(r->delivery, records, n) : rc;
}

static int decide(struct ruletest_run *r, struct fold *fold, const struct wire_record *record,
                  int64_t at_us, struct ruletest_diff *diff, struct err *err)
{
    struct wire_entry entry = {.step_us = at_us, .input = WIRE_INPUT_RECORD};
    struct engine_outcomes alerts;
    int rc;

    buf_clear(&r->record);
    rc = wire_pack_record(record, &r->record);
    if (rc != 0)
        return err_set(err, rc, "a record cannot be packed");
    entry.bytes = (struct wire_bytes){r->record.data, r->record.len};
    rc = fold_entry(fold, &entry, &alerts, err);
    for (size_t i = 0; rc == 0 && i < alerts.n_alerts; i++)
        ruletest_diff_take(diff, &alerts.alerts[i]);
    return rc;
}

static int deliver(struct ruletest_run *r, struct fold *fold, const struct due *due,
                   struct ruletest_diff *diff, struct err *err)
{
    const struct wire_record *records = NULL;
    size_t n = 0;
    int rc = receive(r, due->what, due->at_us, &records, &n);

    if (rc != 0)
        return err_set(err, rc, "the lines cannot be taken: %s",
                       rc == ERR_NOMEM ? "out of memory" : "a delivery is too large");
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = decide(r, fold, &records[i], due->at_us, diff, err);
    return rc;
}

/* ---- a test ---- */

static int deliver_all(struct ruletest_run *r, struct fold *fold, struct due *heap, size_t n,
                       struct ruletest_diff *diff, struct err *err)
{
    int rc = 0;

    while (rc == 0 && n > 0) {
        rc = deliver(r, fold, &heap[0], diff, err);
        heap[0].at_us += heap[0].what->every_us;
        if (--heap[0].left == 0)
            heap[0] = heap[--n];
        sift(heap, n);
    }
    return rc;
}

int ruletest_run_test(struct ruletest_run *r, const struct ruletest *test,
                      struct ruletest_diff *diff, struct err *err)
{
    struct due *heap = calloc(test->n_deliveries + 1, sizeof *heap);
    struct fold fold;
    int rc;

    if (heap == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < test->n_deliveries; i++)
        heap[i] = (struct due){test->deliveries[i].at_us, &test->deliveries[i],
                               test->deliveries[i].times};
    qsort(heap, test->n_deliveries, sizeof *heap, by_time); /* a sorted array is a heap */
    rc = fold_open_trial(&fold, buf_text(r->text), r->text->len, err);
    if (rc == 0) {
        rc = deliver_all(r, &fold, heap, test->n_deliveries, diff, err);
        fold_close(&fold);
    }
    free(heap);
    return rc;
}
