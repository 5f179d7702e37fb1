/*
 * What a process sets once, and what the system says about it. Owns nothing; process_init is called
 * by each main before anything else.
 */
#include "lib/base/process.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"

#ifndef WEFT_VERSION
#define WEFT_VERSION "0.1.0"
#endif
#ifndef WEFT_COMMIT
#define WEFT_COMMIT "unknown"
#endif

int process_init(void)
{
	struct rlimit files;

	umask(077);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return ERR_IO;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return ERR_IO;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? ERR_IO : 0;
}

uint64_t process_max_files(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

uint64_t process_rss_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_open_files(void)
{
	uint64_t count = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (dir == NULL)
		return 0;
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		count += e->d_name[0] != '.';
	closedir(dir);
	/* The directory itself was open while it was read. */
	return count > 0 ? count - 1 : 0;
}

const char *process_version(void)
{
	return WEFT_VERSION " (" WEFT_COMMIT ")";
}
