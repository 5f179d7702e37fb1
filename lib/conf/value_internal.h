/*
 * One parameter's value between text and struct, and the words in which it is described. Shared
 * by the parser, the help and the documentation, so that they cannot disagree. Only for
 * lib/conf.
 */
#ifndef WEFT_CONF_VALUE_INTERNAL_H
#define WEFT_CONF_VALUE_INTERNAL_H

#include "lib/conf/params.h"

#define PARAM_WORDS 512

/* Checks text and stores it in values; what was there is freed. 0, or ERR_INVAL and no change. */
int param_store(const struct param *p, struct str text, void *values);
/* Where the parameter lives in the program's struct. */
void *param_slot(const struct param *p, void *values);
/* What follows the flag in --help: "DURATION", "FILE"; "" for a boolean. */
const char *param_placeholder(const struct param *p);
/* What is accepted, as the end of "expected ...": "a whole number from 1 to 65535". */
void param_describe(const struct param *p, char dst[PARAM_WORDS]);
/* The bounds alone: "1 to 65535", "at most 1h"; empty where there are none. */
void param_bounds(const struct param *p, char dst[PARAM_WORDS]);

#endif
