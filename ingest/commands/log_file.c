/* Opens and reads one saved log; used by scan. */
#include "ingest/commands/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files that zlib cannot unpack, known by bytes at a fixed place. */
static const struct {
    size_t at;
    const char *bytes;
    const char *command;
} packed[] = {
    {0,
     "\xfd"
     "7zXZ",
     "xz -dc"},
    {4, "1AY&SY", "bzip2 -dc"},
    {0, "\x28\xb5\x2f\xfd", "zstd -dc"},
    {0, "\x04\x22\x4d\x18", "lz4 -dc"},
    {0, "PK\x03\x04", "unzip -p"},
    {257, "ustar", "tar -xOf"},
    {0, "\xff\xfe", "iconv -f UTF-16 -t UTF-8"},
    {0, "\xfe\xff", "iconv -f UTF-16 -t UTF-8"},
};

static bool has_at(const char *bytes, size_t n, size_t at, const char *mark)
{
    size_t len = strlen(mark);

    return n >= at + len && memcmp(bytes + at, mark, len) == 0;
}

int log_file_open(struct log_file *f, struct err *err)
{
    struct stat file;

    if (strcmp(f->name, "-") == 0) {
        f->name = "standard input";
        f->fd = dup(STDIN_FILENO);
    } else {
        f->fd = open(f->name, O_RDONLY | O_CLOEXEC);
    }
    if (f->fd < 0)
        return err_set(err, ERR_IO, "%s: %s", f->name, strerror(errno));
    if (fstat(f->fd, &file) == 0 && S_ISDIR(file.st_mode)) {
        close(f->fd);
        return err_set(err, ERR_IO, "%s: %s", f->name, strerror(EISDIR));
    }
    f->gz = gzdopen(f->fd, "rb"); /* reads other files as they are */
    if (f->gz == NULL) {
        close(f->fd);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    gzbuffer(f->gz, LOG_FILE_CHUNK / 4);
    return 0;
}

void log_file_close(struct log_file *f)
{
    if (f->gz != NULL)
        gzclose(f->gz);
    f->gz = NULL;
}

static int explain(const struct log_file *f, struct err *err)
{
    int code;
    const char *text = gzerror(f->gz, &code);

    if (code == Z_ERRNO)
        return err_set(err, ERR_IO, "%s: %s", f->name, strerror(errno));
    if (code == Z_OK || code == Z_STREAM_END)
        return 0;
    return err_set(err, ERR_INPUT, "%s: the gzip file is damaged or cut off: %s", f->name, text);
}

static int refuse_packed(const struct log_file *f, const char *bytes, size_t n, struct err *err)
{
    bool is_file = strcmp(f->name, "standard input") != 0;

    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
        if (has_at(bytes, n, packed[i].at, packed[i].bytes))
            return err_set(err, ERR_INPUT,
                           "%s: scan cannot read this format; unpack it with: %s %s | "
                           "drainwatch-ingest scan",
                           f->name, packed[i].command, is_file ? f->name : "FILE");
    }
    return 0;
}

/* Returns how many bytes at the beginning are no text, or ERR_INPUT. */
static int begin(struct log_file *f, const char *bytes, size_t n, struct err *err)
{
    int mark = has_at(bytes, n, 0, "\xef\xbb\xbf") ? 3 : 0; /* UTF-8's byte order mark */
    int rc = refuse_packed(f, bytes, n, err);

    if (rc != 0)
        return rc;
    f->format = input_recognise(bytes + mark, n - (size_t)mark);
    return mark;
}

ssize_t log_file_read(struct log_file *f, char *chunk, struct err *err)
{
    size_t n;

    do {
        int got = gzread(f->gz, chunk, LOG_FILE_CHUNK), mark = 0;

        if (got <= 0)
            return explain(f, err);
        n = (size_t)got;
        if (f->format == NULL)
            mark = begin(f, chunk, n, err);
        if (mark < 0)
            return mark;
        n -= (size_t)mark;
        memmove(chunk, chunk + mark, mark > 0 ? n : 0);
        if (f->format == &input_plain) /* the length of a frame counts the bytes of its colours */
            n = colours_strip(&f->colours, chunk, n);
    } while (n == 0);
    return (ssize_t)n;
}

off_t log_file_offset(const struct log_file *f)
{
    return gzoffset(f->gz);
}
