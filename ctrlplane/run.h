/*
 * The real world for one control plane: loop, sockets, log, signals. Called by main.c, returns its
 * exit code.
 */
#ifndef WEFT_CTRLPLANE_RUN_H
#define WEFT_CTRLPLANE_RUN_H

#include "ctrlplane/params.h"

/* 0: drained and ended in order; 1: could not start (the reason is on stderr). */
int ctrlplane_run(const struct ctrlplane_params *params);

#endif
