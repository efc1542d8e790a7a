/* Preloaded into a program under test by faults.py: makes one call fail, once.
 *
 * A place is a function that can fail, and the innermost frames of the program that led to it.
 * Calls from threads of a library have no such frame and never fail.
 *
 * FAIL_AT is the place whose first call fails. FAIL_NOTES names a file: the place is written there
 * when it fails. Without FAIL_AT each place is written there when it is first reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#define FRAMES 4
#define PLACES 65536

struct place {
    const char *function;
    uintptr_t at[FRAMES]; /* from the start of the program; 0 beyond the last */
    int n;
};

static const char *target;
static size_t target_name_len;
static int notes = -1;
static uintptr_t base, begin, end;
static struct place seen[PLACES];
static bool failed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool busy __attribute__((tls_model("initial-exec")));

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t to, size_t n);

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];

        if (h->p_type == PT_LOAD && (h->p_flags & PF_X) != 0) {
            begin = base + h->p_vaddr;
            end = begin + h->p_memsz;
        }
    }
    return 1; /* the program comes before its libraries */
}

__attribute__((constructor)) static void start(void)
{
    target = getenv("FAIL_AT");
    target_name_len = target != NULL ? strcspn(target, " ") : 0;
    dl_iterate_phdr(find_program, NULL);
    notes = open(getenv("FAIL_NOTES"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (notes < 0)
        abort(); /* a sweep would take the place for one that is never reached */
}

static bool is_own(uintptr_t at)
{
    return at >= begin && at < end;
}

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
    struct place *p = arg;
    uintptr_t at = _Unwind_GetIP(context) - 1; /* the call, not what follows it */

    if (is_own(at))
        p->at[p->n++] = at - base;
    return p->n == FRAMES ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static bool is_new(const struct place *p)
{
    uintptr_t hash = (uintptr_t)p->function;

    for (int i = 0; i < p->n; i++)
        hash = hash * 31 + p->at[i];
    for (struct place *s = &seen[hash % PLACES];; s = s == &seen[PLACES - 1] ? seen : s + 1) {
        if (s->function == NULL) {
            *s = *p;
            return true;
        }
        if (s->function == p->function && memcmp(s->at, p->at, sizeof s->at) == 0)
            return false;
    }
}

static bool is_failing(const struct place *p)
{
    char text[128];
    int len = snprintf(text, sizeof text, "%s", p->function);
    bool yes;

    for (int i = 0; i < p->n; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, " %lx", (unsigned long)p->at[i]);
    yes = target != NULL && strcmp(text, target) == 0;
    text[len] = '\n';
    if ((target == NULL || yes) && write(notes, text, (size_t)len + 1) < 0)
        abort();
    return yes;
}

/* Returns whether this call is to fail. */
static bool fails(const char *function)
{
    struct place p = {.function = function};
    bool yes = false;

    if (busy || notes < 0 || failed ||
        (target != NULL &&
         (strncmp(function, target, target_name_len) != 0 || function[target_name_len] != '\0')))
        return false;
    busy = true;
    _Unwind_Backtrace(add_frame, &p);
    pthread_mutex_lock(&lock);
    if (p.n > 0 && !failed && is_new(&p))
        failed = yes = is_failing(&p);
    pthread_mutex_unlock(&lock);
    busy = false;
    return yes;
}

/* ---- memory ---- */

void *malloc(size_t n)
{
    if (fails("malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    if (fails("calloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    if (n > 0 && fails("realloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, n);
}

int posix_memalign(void **p, size_t to, size_t n)
{
    if (fails("posix_memalign"))
        return ENOMEM;
    *p = __libc_memalign(to, n);
    return *p == NULL ? ENOMEM : 0;
}

/* ---- libraries: arguments are passed on in registers, whatever their types ---- */

#define PARAMETERS long a, long b, long c, long d, long e, long f
#define REAL(name) real_call(&real, #name)(a, b, c, d, e, f)

typedef long (*call)(PARAMETERS);

static call real_call(call *real, const char *name)
{
    if (*real == NULL) {
        busy = true;
        *real = (call)dlsym(RTLD_NEXT, name);
        busy = false;
    }
    return *real;
}

/* What a call does to fail may use its arguments. A library's own call of its function does not
 * fail: the statement or socket is sound, so its reaction shows nothing. */
#define FAIL(name, failure)                                                                        \
    long name(PARAMETERS)                                                                          \
    {                                                                                              \
        static call real;                                                                          \
                                                                                                   \
        if (is_own((uintptr_t)__builtin_return_address(0)) && fails(#name))                        \
            return (failure);                                                                      \
        sqlite_error = 0;                                                                          \
        return REAL(name);                                                                         \
    }
#define NO_SQLITE(code) (sqlite_error = (code))
#define NO_SQLITE_AT(out, code) (*(void **)(out) = NULL, NO_SQLITE(code))
#define NO(code, result) (errno = (code), (result))

/* No call within it fails: the library dies of SIGSEGV if it has no memory there. */
#define FAIL_ALONE(name, failure)                                                                  \
    long name(PARAMETERS)                                                                          \
    {                                                                                              \
        static call real;                                                                          \
        long result;                                                                               \
                                                                                                   \
        if (is_own((uintptr_t)__builtin_return_address(0)) && fails(#name))                        \
            return (failure);                                                                      \
        (void)real_call(&real, #name);                                                             \
        busy = true;                                                                               \
        result = real(a, b, c, d, e, f);                                                           \
        busy = false;                                                                              \
        return result;                                                                             \
    }

FAIL_ALONE(zmq_ctx_new, NO(EMFILE, 0)) /* it starts libpgm */
FAIL_ALONE(EVP_MAC_fetch, 0)
FAIL_ALONE(EVP_KDF_fetch, 0)

enum { SQLITE_BUSY = 5, SQLITE_NOMEM = 7, SQLITE_IOERR = 10 };
enum { CURLE_FAILED_INIT = 2, CURLE_OUT_OF_MEMORY = 27, CURLM_OUT_OF_MEMORY = 3 };

static long sqlite_error; /* of the call before */

FAIL(sqlite3_open_v2, NO_SQLITE_AT(b, SQLITE_NOMEM))
FAIL(sqlite3_prepare_v3, NO_SQLITE_AT(e, SQLITE_NOMEM))
FAIL(sqlite3_exec, NO_SQLITE(SQLITE_IOERR))
FAIL(sqlite3_step, NO_SQLITE(SQLITE_IOERR))
FAIL(sqlite3_config, NO_SQLITE(SQLITE_NOMEM))
FAIL(sqlite3_db_config, NO_SQLITE(SQLITE_NOMEM))
FAIL(sqlite3_file_control, NO_SQLITE(SQLITE_IOERR))
FAIL(sqlite3_wal_checkpoint_v2, NO_SQLITE(SQLITE_BUSY))

#define SQLITE_CODE(name)                                                                          \
    long name(PARAMETERS)                                                                          \
    {                                                                                              \
        static call real;                                                                          \
                                                                                                   \
        return sqlite_error != 0 ? sqlite_error : REAL(name);                                      \
    }

SQLITE_CODE(sqlite3_errcode)
SQLITE_CODE(sqlite3_extended_errcode)

FAIL(zmq_socket, NO(EMFILE, 0))
FAIL(zmq_setsockopt, NO(EINVAL, -1))
FAIL(zmq_getsockopt, NO(EINTR, -1))
FAIL(zmq_bind, NO(EADDRINUSE, -1))
FAIL(zmq_connect, NO(EMFILE, -1))
FAIL(zmq_disconnect, NO(ENOENT, -1))
FAIL(zmq_socket_monitor, NO(EMFILE, -1))
FAIL(zmq_send, NO(EHOSTUNREACH, -1))
FAIL(zmq_recv, NO(EINTR, -1))
FAIL(zmq_msg_recv, NO(EINTR, -1))

FAIL(curl_global_init, CURLE_FAILED_INIT)
FAIL(curl_easy_init, 0)
FAIL(curl_easy_setopt, CURLE_OUT_OF_MEMORY)
FAIL(curl_multi_init, 0)
FAIL(curl_multi_add_handle, CURLM_OUT_OF_MEMORY)
FAIL(curl_multi_remove_handle, CURLM_OUT_OF_MEMORY)
FAIL(curl_multi_perform, CURLM_OUT_OF_MEMORY)
FAIL(curl_multi_poll, CURLM_OUT_OF_MEMORY)
FAIL(curl_slist_append, 0)

FAIL(MHD_create_response_from_buffer, 0)
FAIL(MHD_add_response_header, 0)
FAIL(MHD_set_connection_value, 0)
FAIL(MHD_queue_response, 0)
