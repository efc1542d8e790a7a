/* Runs a fuzz target over each file of the folders given, in the order of their names: so that a
 * target is an ordinary test, too, built with any compiler. Fails where a folder holds no file. */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 16 << 20, PATH_SIZE = 4096 };

/* The whole file in a block of exactly its size, so that a sanitizer sees a read beyond it. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    long end = -1;

    if (f == NULL)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0)
        end = ftell(f);
    if (end >= 0 && end <= FILE_MAX && fseek(f, 0, SEEK_SET) == 0)
        data = malloc(end > 0 ? (size_t)end : 1);
    if (data != NULL && fread(data, 1, (size_t)end, f) != (size_t)end) {
        free(data);
        data = NULL;
    }
    fclose(f);
    *size = data == NULL ? 0 : (size_t)end;
    return data;
}

static bool run_file(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    uint8_t *data;
    size_t size;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    data = read_file(path, &size);
    if (data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    /* Said before, so that an assert that fails is seen with the file that made it fail. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return true;
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool run_folder(const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_shown, alphasort);
    bool ok = n > 0;

    if (n < 0)
        perror(folder);
    if (n == 0)
        fprintf(stderr, "%s: holds no file\n", folder);
    for (int i = 0; i < n; i++) {
        ok = run_file(folder, entries[i]->d_name) && ok;
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = argc > 1;

    if (argc < 2)
        fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
    for (int i = 1; i < argc; i++)
        ok = run_folder(argv[i]) && ok;
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
