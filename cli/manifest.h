/*
 * Kubernetes YAML from files and directories into a world, and what is wrong with it on the screen.
 * Used by the commands that compile or check manifests.
 */
#ifndef WEFT_CLI_MANIFEST_H
#define WEFT_CLI_MANIFEST_H

#include <stdbool.h>

#include "cli/command.h"
#include "ctrlplane/compile/world.h"

/*
 * Reads every file that a path names: a file whatever its name, "-" for standard input, a directory
 * with all below it that ends in .yaml, .yml or .json (what begins with '.' is left out), in order
 * of names. Then joins the world. What cannot be read is a problem of the world; but where it is
 * what a path names, or there are no files at all, that is said on stderr and it is false.
 */
bool manifest_load(const struct conf_program *prog, char *const *paths, int n, struct world *w);

/* One line each on stderr: errors, warnings and (where wanted) notes, and how many more. */
void manifest_print(const struct world *w, bool notes);

#endif
