/* The tables of drainwatch in PostgreSQL, and their versions. No other room includes it. */
#ifndef DRAINWATCH_COMMON_PG_SCHEMA_H
#define DRAINWATCH_COMMON_PG_SCHEMA_H

#include "common/pg/pg.h"

/* Checks the schema of a fresh connection, and creates or migrates it unless the connection is for
 * reading alone. Returns as pg_open. */
int schema_prepare(struct pg *p, struct err *err);

#endif
