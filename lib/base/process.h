/*
 * What a process needs once, before any object of ours: ignored SIGPIPE, descriptor limit, sane
 * umask. Called by each main and by the test runner's support code.
 */
#ifndef WEFT_BASE_PROCESS_H
#define WEFT_BASE_PROCESS_H

#include <stdint.h>

/* 0 or ERR_IO. Raises the soft descriptor limit to the hard one. */
int process_init(void);
/* Descriptors that the process may have open. */
uint64_t process_max_files(void);
uint64_t process_rss_bytes(void);
uint64_t process_open_files(void);

/* Version of the build, "0.1.0 (abcdef0)". */
const char *process_version(void);

#endif
