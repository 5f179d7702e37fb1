/*
 * The parameters of the control plane as one typed struct, made from params.def. Filled by lib/conf
 * in main.c (or by a test), read by ctrlplane.c and endpoints.c; owned by whoever filled it.
 */
#ifndef WEFT_CTRLPLANE_PARAMS_H
#define WEFT_CTRLPLANE_PARAMS_H

#include "lib/base/clock.h"
#include "lib/conf/params.h"

/* Plain values and owned strings; conf_free releases them. */
struct ctrlplane_params {
#define PARAM PARAM_MEMBER
#define PARAM_GROUP PARAM_GROUP_MEMBER
#include "ctrlplane/params.def"
#undef PARAM
#undef PARAM_GROUP
};

/* The table behind it, for conf_load. */
const struct param *ctrlplane_params_table(size_t *n);

#endif
