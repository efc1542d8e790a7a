/* Any bytes as a saved engine: one that is loaded is saved and loaded again as the same bytes, and
 * both engines then decide alike.
 *
 * Most inputs get a right envelope, because a checksum cannot be guessed. */
#include "tests/fuzz/feed.h"

#include "alerter/engine/engine.h"
#include "alerter/engine/snapshot.h"
#include "common/base/time.h"

enum { SAVED_MAX = 16 << 20 };

static struct buf save(const struct engine *e)
{
    struct buf out;

    buf_init(&out, SAVED_MAX);
    assert(engine_save(e, &out) == 0);
    return out;
}

static void check_same(const struct buf *a, const struct buf *b)
{
    assert(a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
}

/* Times that the input chooses, near the times in the snapshot if it copies them. */
static int64_t step(struct engine *e, struct feed *in, struct engine_outcomes *out)
{
    int64_t at_us = (int64_t)(feed_u64(in) % (INT64_MAX / 4)), times[3] = {at_us, at_us, at_us - 1};
    const char *const rules[] = {"h12", "worker", "paths"};
    unsigned rule = feed_choice(in, 3), has_frame = feed_choice(in, 2);
    struct wire_matches matches = {.rule = rules[rule],
                                   .source = "heroku",
                                   .process = "router",
                                   .times_us = times,
                                   .n_times = 3,
                                   .sample = {(const uint8_t *)"x", 1}};
    struct wire_record record = {.received_us = at_us,
                                 .drain = "d",
                                 .frame_id = has_frame ? "f" : "",
                                 .lost = feed_choice(in, 2),
                                 .matches = &matches,
                                 .n_matches = 1};
    struct engine_event event = engine_record_event(&record, at_us);
    struct err err;

    assert(engine_step(e, &event, out, &err) == 0);
    for (size_t i = 0; i < out->n_alerts; i++) {
        const struct wire_alert *a = &out->alerts[i];

        assert(a->count > a->threshold && a->first_us <= a->last_us);
        assert(a->last_us - a->first_us <= a->window_us);
    }
    return engine_next_us(e);
}

static void check_alike(struct engine *a, struct engine *b, struct feed in)
{
    struct engine_outcomes out_a, out_b;
    struct buf saved_a, saved_b;
    struct feed same;

    for (int i = 0; i < 4; i++) {
        same = in;
        assert(step(a, &in, &out_a) == step(b, &same, &out_b));
        assert(out_a.n_alerts == out_b.n_alerts && out_a.n_cooled == out_b.n_cooled);
        for (size_t k = 0; k < out_a.n_alerts; k++)
            assert(strcmp(out_a.alerts[k].id, out_b.alerts[k].id) == 0 &&
                   out_a.alerts[k].count == out_b.alerts[k].count);
    }
    saved_a = save(a);
    saved_b = save(b);
    check_same(&saved_a, &saved_b);
    buf_close(&saved_a);
    buf_close(&saved_b);
}

static void check(const uint8_t *bytes, size_t n, struct feed in)
{
    struct engine *a, *b;
    struct buf once, twice;
    struct err err;
    int rc = engine_load(&a, bytes, n, &err);

    if (rc != 0) {
        assert(rc == ERR_DAMAGED || rc == ERR_VERSION);
        feed_check_line(err.text);
        return;
    }
    once = save(a);
    assert(engine_load(&b, once.data, once.len, &err) == 0);
    twice = save(b);
    check_same(&once, &twice);
    check_alike(a, b, in);
    engine_free(a);
    engine_free(b);
    buf_close(&once);
    buf_close(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed in = {data, size}, body;
    bool bare = feed_choice(&in, 8) == 7;
    size_t n = (size_t)16 * feed_choice(&in, 256);
    struct snapshot_writer w;
    struct buf whole;

    n += feed_choice(&in, 256);
    body = feed_part(&in, n);
    buf_init(&whole, SAVED_MAX);
    snapshot_begin(&w, &whole);
    assert(buf_append(&whole, body.data, body.n) == 0);
    assert(snapshot_finish(&w) == 0);
    if (bare)
        check(body.data, body.n, in);
    else
        check(whole.data, whole.len, in);
    buf_close(&whole);
    return 0;
}
