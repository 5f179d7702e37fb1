/*
 * What every object was when it last validated, kept from one reading of a source to the next: a
 * world that is given it falls back on it for what is broken or cannot be read now. Made by a
 * source that watches; the command line, which reads once, has none.
 */
#ifndef WEFT_CTRLPLANE_COMPILE_GOOD_H
#define WEFT_CTRLPLANE_COMPILE_GOOD_H

/* Owned by the source; owns copies of the files in which each object was last good. */
struct good;

struct good *good_new(void);
void good_free(struct good **g);

#endif
