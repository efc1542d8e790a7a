/* Fails every allocation of the rules reader once, in turn, also in libyaml and Hyperscan. The
 * reader must return ERR_NOMEM, or read the rules if a library could do without the memory, and
 * leak nothing.
 *
 * The functions below stand for the C library's in the whole process, as glibc allows. A sanitizer
 * replaces the same functions, so under one the rules are only read. */
#include "common/base/err.h"
#include "common/rules/rules.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static long until_failure = -1; /* how many allocations still succeed; -1: all */
static long live;               /* allocations less frees */

#ifndef SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static bool fails(void)
{
    if (until_failure < 0)
        return false;
    return until_failure-- == 0;
}

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *malloc(size_t n)
{
    return fails() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    void *moved = fails() ? NULL : __libc_realloc(p, n);

    live += p == NULL && moved != NULL;
    return moved;
}

/* Never fails: hs_compile does not check this result (5.4.0). */
int posix_memalign(void **out, size_t alignment, size_t n)
{
    *out = counted(__libc_memalign(alignment, n));
    return *out == NULL ? ENOMEM : 0;
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}
#endif

/* Not every expression would do: for 'token=\S+' as a redaction, one of the 5,602 allocations of
 * hs_compile ends the process when it fails (5.4.0). */
static const char good[] =
    "app: shop\n"
    "apps: [{name: pay, drain: [d.1, d.2]}, {name: stage, drain: d.3}]\n"
    "slack: {channel: C1, mention: here}\n"
    "redact: ['b.c', tok]\n"
    "rules:\n"
    "  - {name: a, field: [code=H12, status=5..], more_than: 3, within: 5m, apps: [pay, shop]}\n"
    "  - {name: b, match: ['fo+', 'a{300}'], unless: x, more_than: 1, within: 5m, sample: no,\n"
    "     group_by: [process, path], redact: 'd.e', severity: info, mention: none}\n";
static const char bad[] = "app: shop\nrule: 1\napps: [{name: a, drain: [b, b]}]\n"
                          "redact: '('\n"
                          "rules: [{name: a, match: 'a*', apps: [x, x], field: 'a=)('}]\n";

/* Reads `text` with the allocation after `n` others failing; whether that one was ever asked for.
 */
static bool read_with_failure(const char *text, long n, int otherwise)
{
    const struct rules *rules;
    struct buf faults;
    long before;
    bool failed;
    int rc;

    buf_init(&faults, RULES_FAULTS_MAX);
    before = live;
    until_failure = n;
    rc = rules_parse(text, strlen(text), "r.yaml", &rules, &faults);
    failed = n >= 0 && until_failure < 0;
    until_failure = -1;
    if (rc != otherwise && !(failed && rc == ERR_NOMEM))
        fail_msg("allocation %ld: %d\n%s", n, rc, buf_text(&faults));
    if (rc != 0)
        assert_null(rules);
    rules_free(rules);
    buf_close(&faults);
    if (live != before)
        fail_msg("allocation %ld: %ld leaked", n, live - before);
    return failed;
}

static void fail_each(const char *text, int otherwise)
{
    long n = 0;

    read_with_failure(text, -1, otherwise); /* the libraries keep some memory for good */
    while (read_with_failure(text, n, otherwise))
        n++;
#ifndef SANITIZED
    assert_in_range(n, 100, 100000);
#endif
}

UNIT_TEST(good_rules_survive_each_failure)
{
    fail_each(good, 0);
}

UNIT_TEST(faults_survive_each_failure)
{
    fail_each(bad, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_rules_survive_each_failure),
        cmocka_unit_test(faults_survive_each_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
