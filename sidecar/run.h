/*
 * The real world for one proxy: loop, sockets, log, signals. Called by main.c, returns its exit
 * code.
 */
#ifndef WEFT_SIDECAR_RUN_H
#define WEFT_SIDECAR_RUN_H

#include "sidecar/params.h"

/* 0: drained and ended in order; 1: could not start (the reason is on stderr). */
int sidecar_run(const struct sidecar_params *params);

#endif
