/*
 * What a plain scalar means. Private to lib/yaml.
 */
#ifndef WEFT_YAML_SCALAR_H
#define WEFT_YAML_SCALAR_H

#include "lib/yaml/yaml.h"

/* Sets kind, truth and number from text (YAML 1.2 section 10.3, but see enum yaml_kind). */
void yaml_scalar_resolve(struct yaml_node *node);

#endif
