/* Starts, restarts and stops the alerter as a child process; called by the loop. */
#include "ingest/solo.h"

#include "common/app/clock.h"
#include "common/app/log.h"
#include "common/app/process.h"
#include "common/base/time.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECRETS_MAX_BYTES = 1 << 20 }; /* of a variable; the kernel takes 128 KiB */

static const char ALERTER[] = "drainwatch-alerter";
static const int64_t PAUSE_FIRST_US = TIME_S;
static const int64_t PAUSE_MAX_US = 30 * TIME_S;
/* A child that lived so long died for a new reason: the pauses begin anew. */
static const int64_t STEADY_US = TIME_MINUTE;

static int find_alerter(struct solo *s, struct err *err)
{
    ssize_t n = readlink("/proc/self/exe", s->path, sizeof s->path - 1);
    char *slash;

    if (n <= 0)
        return err_set(err, ERR_IO, "cannot find my own program: %s", strerror(errno));
    s->path[n] = '\0';
    slash = strrchr(s->path, '/');
    if (slash == NULL || (size_t)(slash + 1 - s->path) + sizeof ALERTER > sizeof s->path)
        return err_set(err, ERR_IO, "cannot find %s beside %s", ALERTER, s->path);
    memcpy(slash + 1, ALERTER, sizeof ALERTER);
    if (access(s->path, X_OK) != 0)
        return err_set(err, ERR_IO, "%s: %s (DRAINWATCH_SOLO starts it)", s->path, strerror(errno));
    return 0;
}

/* The child's part of a fork. */
static _Noreturn void become_alerter(struct solo *s, pid_t parent, char **environment)
{
    char *argv[] = {s->path, NULL};

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* ingest died before the line above */
        _exit(0);
    process_unblock_signals();
    execve(s->path, argv, environment);
    _exit(127);
}

static int fork_alerter(struct solo *s, char **environment, struct err *err)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return err_set(err, ERR_IO, "cannot start %s: %s", ALERTER, strerror(errno));
    if (pid == 0)
        become_alerter(s, parent, environment);
    s->pid = pid;
    return 0;
}

/* This process's environment, from which the secrets were wiped, and all of them. */
static int spawn_with(struct solo *s, struct buf secrets[SETTINGS_SECRET_VARIABLES],
                      struct err *err)
{
    size_t n = 0;
    char **environment;
    int rc;

    while (environ[n] != NULL)
        n++;
    environment = calloc(n + SETTINGS_SECRET_VARIABLES + 1, sizeof *environment);
    if (environment == NULL || settings_secret_variables(s->settings, secrets) != 0) {
        free(environment);
        return err_set(err, ERR_NOMEM, "cannot start %s: out of memory", ALERTER);
    }
    memcpy(environment, environ, n * sizeof *environment);
    for (size_t i = 0; i < SETTINGS_SECRET_VARIABLES; i++)
        environment[n + i] = (char *)secrets[i].data;
    rc = fork_alerter(s, environment, err);
    free(environment);
    return rc;
}

static void wipe(struct buf secrets[SETTINGS_SECRET_VARIABLES])
{
    for (size_t i = 0; i < SETTINGS_SECRET_VARIABLES; i++) {
        if (secrets[i].len > 0)
            explicit_bzero(secrets[i].data, secrets[i].len);
        buf_close(&secrets[i]);
    }
}

static int spawn(struct solo *s, int64_t now_us, struct err *err)
{
    struct buf secrets[SETTINGS_SECRET_VARIABLES];
    int rc;

    for (size_t i = 0; i < SETTINGS_SECRET_VARIABLES; i++)
        buf_init(&secrets[i], SECRETS_MAX_BYTES);
    rc = spawn_with(s, secrets, err);
    wipe(secrets);
    if (rc != 0)
        return rc;
    s->started_us = now_us;
    s->start_again_us = INT64_MAX;
    return 0;
}

int solo_start(struct solo *s, const struct settings *settings, int64_t now_us, struct err *err)
{
    int rc;

    *s = (struct solo){
        .settings = settings, .pause_us = PAUSE_FIRST_US, .start_again_us = INT64_MAX};
    rc = find_alerter(s, err);
    return rc != 0 ? rc : spawn(s, now_us, err);
}

void solo_signal(struct solo *s, int sig)
{
    s->is_told = s->is_told || sig == SIGTERM || sig == SIGINT;
    if (s->pid > 0)
        kill(s->pid, sig);
}

static void say_how_it_died(const struct solo *s, int status)
{
    char how[80], then[48] = "";

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(status));
    if (!s->stopping)
        snprintf(then, sizeof then, "; it starts again in %lld s",
                 (long long)(s->pause_us / TIME_S));
    log_error("%s %s%s", ALERTER, how, then);
}

/* An alerter that is told to end waits for ingest's records, but not for those that the next one
 * finds in a database. */
static bool ended_in_order(const struct solo *s, int status)
{
    return status == 0 && (s->stopping || (s->is_told && s->settings->database_url != NULL));
}

void solo_child_died(struct solo *s, int64_t now_us)
{
    int status;

    if (s->pid <= 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
        return;
    s->pid = 0;
    if (now_us - s->started_us >= STEADY_US)
        s->pause_us = PAUSE_FIRST_US;
    if (!ended_in_order(s, status))
        say_how_it_died(s, status);
    if (s->stopping || ended_in_order(s, status))
        return;
    s->start_again_us = now_us + s->pause_us;
    s->pause_us = 2 * s->pause_us < PAUSE_MAX_US ? 2 * s->pause_us : PAUSE_MAX_US;
}

void solo_run(struct solo *s, int64_t now_us)
{
    struct err err;

    if (s->stopping || now_us < s->start_again_us)
        return;
    if (spawn(s, now_us, &err) != 0) {
        log_error("%s", err.text);
        s->start_again_us = now_us + s->pause_us;
    }
}

void solo_stop(struct solo *s, int64_t patience_us)
{
    int64_t give_up_us = clock_boot_us() + patience_us;

    s->stopping = true;
    solo_signal(s, SIGTERM);
    while (s->pid > 0) {
        solo_child_died(s, clock_boot_us());
        if (s->pid > 0 && clock_boot_us() >= give_up_us) {
            log_warning("%s did not stop in time and is killed", ALERTER);
            solo_signal(s, SIGKILL);
            waitpid(s->pid, NULL, 0);
            s->pid = 0;
        }
        if (s->pid > 0)
            poll(NULL, 0, 20);
    }
}
