/*
 * The process that outlives a killed command, and the lock that keeps two commands apart. Owns the
 * page that carries the answer back; called by plan.c and capture.c.
 */
#include "sidecar/capture/commit.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/err.h"

/* Shared with the child. */
struct answer {
	int err;
	struct trouble trouble;
};

static int wait_for(pid_t pid)
{
	int raw;

	while (waitpid(pid, &raw, 0) < 0)
		if (errno != EINTR)
			return ERR_IO;
	return WIFEXITED(raw) && WEXITSTATUS(raw) == 0 ? 0 : ERR_IO;
}

int commit_run(commit_fn *fn, void *arg, struct trouble *t)
{
	struct answer *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err;

	trouble_set(t, "run this again", "the process that writes the rules was killed");
	if (answer == MAP_FAILED)
		return ERR_IO;
	pid_t pid = fork();
	if (pid == 0) {
		/* Out of reach of signals to the command's process group and terminal. */
		setsid();
		answer->err = fn(arg, &answer->trouble);
		_exit(0);
	}
	err = pid > 0 ? wait_for(pid) : ERR_IO;
	if (err == 0) {
		err = answer->err;
		*t = answer->trouble;
	}
	munmap(answer, sizeof(*answer));
	return err;
}

int commit_lock(unsigned timeout_ms)
{
	static const char name[] = "weft-capture";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return ERR_IO;
	memcpy(at.sun_path + 1, name, sizeof(name) - 1);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name));
	for (unsigned waited = 0;; waited += 20) {
		if (bind(fd, (struct sockaddr *)&at, len) == 0)
			return fd;
		if (errno != EADDRINUSE || waited >= timeout_ms)
			break;
		poll(NULL, 0, 20);
	}
	int err = errno == EADDRINUSE ? ERR_EXISTS : ERR_IO;
	close(fd);
	return err;
}
