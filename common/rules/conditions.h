/* Reads the conditions that a line must meet: `source`, `process`, `field`, `match`, `unless`; and
 * `redact`, whose expressions have the same rules. A form that no line could ever meet is a fault.
 * Pure. */
#ifndef DRAINWATCH_COMMON_RULES_CONDITIONS_H
#define DRAINWATCH_COMMON_RULES_CONDITIONS_H

#include "common/rules/reader.h"

enum {
    CONDITIONS_SOURCE_MAX_BYTES = 48, /* APP-NAME and PROCID, RFC 5424 section 6 */
    CONDITIONS_PROCESS_MAX_BYTES = 128,
    CONDITIONS_EXPRESSION_MAX_BYTES = 16000, /* Hyperscan's own limit */
};

/* The target is a struct rules_list. A process type, such as "web", becomes two items: "web" and
 * "web.*". "!" before a name excludes it. */
yamlmap_read_fn conditions_read_source, conditions_read_process;
yamlmap_read_fn conditions_read_expressions, conditions_read_redact;
/* The target is the struct rule. */
yamlmap_read_fn conditions_read_field;

#endif
