/*
 * The sidecar's parameters as one typed struct, made from params.def. Filled by lib/conf in main.c
 * (or by a test), read by proxy.c and flow; owned by whoever filled it.
 */
#ifndef WEFT_SIDECAR_PARAMS_H
#define WEFT_SIDECAR_PARAMS_H

#include "lib/base/clock.h"
#include "lib/conf/params.h"

/* Plain values and owned strings; conf_free releases them. */
struct sidecar_params {
#define PARAM PARAM_MEMBER
#define PARAM_GROUP PARAM_GROUP_MEMBER
#include "sidecar/params.def"
#undef PARAM
#undef PARAM_GROUP
};

/* The table behind it, for conf_load. */
const struct param *sidecar_params_table(size_t *n);

#endif
