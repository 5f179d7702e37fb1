/*
 * Tells when a file was replaced, or when any document in a directory changed: by inotify, so that
 * a rename is seen and what is missing may come later. Owned by whoever reads the files; where the
 * kernel gives no watch it polls once a second.
 */
#ifndef WEFT_NET_WATCH_H
#define WEFT_NET_WATCH_H

#include "lib/net/loop.h"

struct watch;
typedef void watch_fn(void *arg);

/* fn is called on the loop after each change, several changes of one turn together. Never fails. */
struct watch *watch_start(struct loop *loop, const char *path, watch_fn *fn, void *arg);
/* Safe on NULL. */
void watch_stop(struct watch **w);

#define WATCH_TREE_FOLDERS 4096
#define WATCH_TREE_DEPTH 16

struct watch_tree;

/*
 * The .yaml, .yml and .json files in a directory and the directories below it. Names that begin
 * with a dot are passed over, but for the "..data" by which a ConfigMap is exchanged as a whole;
 * links to directories are not entered, though path itself may be one and may come later. fn as
 * above: it may be called for nothing, so its user compares. Folders past WATCH_TREE_FOLDERS, or
 * deeper than WATCH_TREE_DEPTH, are not seen.
 */
struct watch_tree *watch_tree_start(struct loop *loop, const char *path, watch_fn *fn, void *arg);
/* Safe on NULL. */
void watch_tree_stop(struct watch_tree **w);

#endif
