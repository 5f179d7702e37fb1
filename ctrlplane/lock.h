/*
 * The data directory: made where it is not there, and of one process at a time. Used by
 * ctrlplane.c.
 */
#ifndef WEFT_CTRLPLANE_LOCK_H
#define WEFT_CTRLPLANE_LOCK_H

#include <stddef.h>

/*
 * Makes dir (mode 0700; its parent must be there) and locks the file DIR/pid in it. The descriptor
 * of the lock, which close(2) gives back, as does the end of the process; or ERR_EXISTS (another
 * process has it), ERR_DENIED, ERR_IO, ... with text for people.
 */
int data_dir_lock(const char *dir, char *err, size_t size);

#endif
