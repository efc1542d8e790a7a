/* Guesses a misspelt word; called for commands, options, settings, keys and apps. */
#include "common/base/nearest.h"

#include <assert.h>
#include <string.h>

enum { WORD_MAX = 32 }; /* longer words are not compared: the time is the product of both lengths */

/* The edit distance of Levenshtein, by rows of the usual table. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_MAX + 1];

    assert(b_len <= WORD_MAX);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[b_len];
}

void nearest_begin(struct nearest *n, const char *word, size_t len)
{
    /* "mor_than" is near "more_than", "foo" is near nothing. */
    *n = (struct nearest){.word = word, .len = len, .least = 2 + len / 4};
}

void nearest_offer(struct nearest *n, const char *known)
{
    size_t len = strlen(known), away;

    if (n->len > WORD_MAX || len > WORD_MAX)
        return;
    away = distance(n->word, n->len, known, len);
    if (away < n->least && away < len) {
        n->least = away;
        n->best = known;
    }
}
