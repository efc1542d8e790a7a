/* Remembers Frame-Ids one by one. Called by the oracle. */
#include "tests/sim/oracle_repeats.h"

#include "tests/sim/oracle_key.h"

#include <stdlib.h>
#include <string.h>

static void drop_frame(struct oracle_repeats *f, size_t at)
{
    f->n--;
    memmove(&f->frames[at], &f->frames[at + 1], (f->n - at) * sizeof *f->frames);
}

static size_t frames_of(const struct oracle_repeats *f, const char *drain, int64_t *newest_us,
                        size_t *oldest)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->frames[i].drain, drain) != 0)
            continue;
        if (n++ == 0)
            *oldest = i;
        *newest_us = f->frames[i].step_us;
    }
    return n;
}

static void drop_drain(struct oracle_repeats *f, const char *drain)
{
    char name[ORACLE_NAME];

    strcpy(name, drain);
    for (size_t i = f->n; i-- > 0;) {
        if (strcmp(f->frames[i].drain, name) == 0)
            drop_frame(f, i);
    }
}

/* The drain that was longest without a new frame, other than `but`; NULL: there is none. */
static const char *stalest_drain(const struct oracle_repeats *f, const char *but,
                                 int64_t *newest_us, size_t *n_drains)
{
    const char *stalest = NULL;

    *n_drains = 0;
    for (size_t i = 0; i < f->n; i++) {
        bool last = true;

        for (size_t j = i + 1; j < f->n; j++)
            last = last && strcmp(f->frames[i].drain, f->frames[j].drain) != 0;
        if (!last)
            continue;
        (*n_drains)++;
        if (stalest == NULL && strcmp(f->frames[i].drain, but) != 0) {
            stalest = f->frames[i].drain;
            *newest_us = f->frames[i].step_us;
        }
    }
    return stalest;
}

/* "What carries a (drain, Frame-Id) that was taken within the last hour is counted as a repeat and
 * not fed on (bounded per drain; without a Frame-Id nothing is compared)." */
bool oracle_repeats_repeat(struct oracle_repeats *f, const char *drain, const char *id,
                           int64_t step_us, const struct engine_limits *limits)
{
    struct oracle_frame frame = {.step_us = step_us};
    const char *stalest;
    int64_t newest_us = 0;
    size_t oldest = 0, n_drains;

    if (id[0] == 0)
        return false;
    for (size_t i = f->n; i-- > 0;) {
        if (strcmp(f->frames[i].drain, drain) == 0 && step_us - f->frames[i].step_us >= HOUR_US)
            drop_frame(f, i);
    }
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->frames[i].drain, drain) == 0 && strcmp(f->frames[i].id, id) == 0)
            return true;
    }
    while (frames_of(f, drain, &newest_us, &oldest) >= limits->frames_per_drain)
        drop_frame(f, oldest);
    strcpy(frame.drain, drain);
    strcpy(frame.id, id);
    f->frames = oracle_grown(f->frames, f->n + 1, sizeof *f->frames);
    f->frames[f->n++] = frame;
    while ((stalest = stalest_drain(f, drain, &newest_us, &n_drains)) != NULL &&
           (n_drains > limits->drains || f->n > limits->frames || step_us - newest_us >= HOUR_US))
        drop_drain(f, stalest);
    return false;
}

void oracle_repeats_close(struct oracle_repeats *f)
{
    free(f->frames);
}
