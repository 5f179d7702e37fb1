/*
 * "Did you mean": the candidate nearest to a misspelt word by edit distance. Plain values,
 * nothing owned. Used for flags and choices here, and by the command line tool for its commands.
 */
#ifndef WEFT_CONF_NEAREST_H
#define WEFT_CONF_NEAREST_H

#include "lib/base/str.h"

/* Lives on the caller's stack; borrows word and the candidates. */
struct nearest {
	struct str word, best;
	size_t distance;
};

void nearest_init(struct nearest *n, struct str word);
void nearest_offer(struct nearest *n, struct str candidate);
/* The best candidate, or STR_NULL where none is near enough to be worth naming. */
struct str nearest_pick(const struct nearest *n);

#endif
