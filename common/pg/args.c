/* Packs the parameters of a statement in PostgreSQL's binary form; called by the users of pg.h. */
#include "common/pg/connection.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Type numbers from PostgreSQL's pg_type.dat; they never change. */
enum {
    TYPE_BOOL = 16,
    TYPE_BYTES = 17,
    TYPE_I64 = 20,
    TYPE_TEXT = 25,
    TYPE_BOOLS = 1000,
    TYPE_BYTESS = 1001,
    TYPE_TEXTS = 1009,
    TYPE_I64S = 1016,
};

struct pg_args *pg_args_new(void)
{
    struct pg_args *a = calloc(1, sizeof *a);

    if (a != NULL)
        buf_init(&a->bytes, PG_ARGS_BYTES_MAX);
    return a;
}

void pg_args_free(struct pg_args *a)
{
    if (a == NULL)
        return;
    buf_close(&a->bytes);
    free(a);
}

void pg_args_clear(struct pg_args *a)
{
    buf_clear(&a->bytes);
    a->n = 0;
}

static void begin(struct pg_args *a, Oid type)
{
    assert(a->n < PG_ARGS_MAX);
    a->types[a->n] = type;
    a->starts[a->n] = a->bytes.len;
}

static void end(struct pg_args *a)
{
    a->lengths[a->n] = (int)(a->bytes.len - a->starts[a->n]);
    a->n++;
}

static void add(struct pg_args *a, const void *bytes, size_t n)
{
    if (n > 0)
        (void)buf_append(&a->bytes, bytes, n);
}

static void add_i32(struct pg_args *a, size_t value)
{
    uint32_t wire = htobe32((uint32_t)value);

    add(a, &wire, sizeof wire);
}

static void add_i64(struct pg_args *a, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);

    add(a, &wire, sizeof wire);
}

void pg_put_i64(struct pg_args *a, int64_t value)
{
    begin(a, TYPE_I64);
    add_i64(a, value);
    end(a);
}

void pg_put_bool(struct pg_args *a, bool value)
{
    begin(a, TYPE_BOOL);
    add(a, value ? "\1" : "\0", 1);
    end(a);
}

void pg_put_text(struct pg_args *a, const char *value)
{
    begin(a, TYPE_TEXT);
    if (value != NULL)
        add(a, value, strlen(value));
    end(a);
    if (value == NULL)
        a->lengths[a->n - 1] = -1;
}

void pg_put_bytes(struct pg_args *a, const void *bytes, size_t n)
{
    begin(a, TYPE_BYTES);
    add(a, bytes, n);
    end(a);
}

/* An array's head: dimensions, whether it holds NULLs, the elements' type, length, first index. */
static void begin_array(struct pg_args *a, Oid type, Oid of, size_t n)
{
    begin(a, type);
    add_i32(a, n > 0 ? 1 : 0);
    add_i32(a, 0);
    add_i32(a, of);
    if (n == 0)
        return;
    add_i32(a, n);
    add_i32(a, 1);
}

static void add_element(struct pg_args *a, const void *bytes, size_t n)
{
    add_i32(a, n);
    add(a, bytes, n);
}

void pg_put_i64s(struct pg_args *a, const int64_t *values, size_t n)
{
    begin_array(a, TYPE_I64S, TYPE_I64, n);
    for (size_t i = 0; i < n; i++) {
        add_i32(a, sizeof values[i]);
        add_i64(a, values[i]);
    }
    end(a);
}

void pg_put_bools(struct pg_args *a, const bool *values, size_t n)
{
    begin_array(a, TYPE_BOOLS, TYPE_BOOL, n);
    for (size_t i = 0; i < n; i++)
        add_element(a, values[i] ? "\1" : "\0", 1);
    end(a);
}

void pg_put_texts(struct pg_args *a, const char *const *values, size_t n)
{
    begin_array(a, TYPE_TEXTS, TYPE_TEXT, n);
    for (size_t i = 0; i < n; i++)
        add_element(a, values[i], strlen(values[i]));
    end(a);
}

void pg_put_bytess(struct pg_args *a, const struct wire_bytes *values, size_t n)
{
    begin_array(a, TYPE_BYTESS, TYPE_BYTES, n);
    for (size_t i = 0; i < n; i++)
        add_element(a, values[i].data, values[i].len);
    end(a);
}
