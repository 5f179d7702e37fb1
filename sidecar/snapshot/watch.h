/*
 * Tells when the state file was replaced: inotify on its folder, so that a rename is seen and a
 * missing file may come later. Owned by struct proxy; without inotify, or without
 * that folder, it polls the file's identity once a second.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_WATCH_H
#define WEFT_SIDECAR_SNAPSHOT_WATCH_H

#include "lib/net/loop.h"

struct watch;
typedef void watch_fn(void *arg);

/* fn is called on the loop after each change, several changes of one turn together. Never fails. */
struct watch *watch_start(struct loop *loop, const char *path, watch_fn *fn, void *arg);
/* Safe on NULL. */
void watch_stop(struct watch **w);

#endif
