/*
 * A child process with its three descriptors on memory files, so that no pipe can fill and nobody
 * has to poll. Owns the files and the child until it has ended. Called by the backends.
 */
#include "sidecar/capture/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define TOOL_TIMEOUT_MS 30000
#define TOOL_OUTPUT_MAX (16u << 20)
#define EXIT_NOT_FOUND 127

void trouble_set(struct trouble *t, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->what, sizeof(t->what), fmt, ap);
	va_end(ap);
	snprintf(t->remedy, sizeof(t->remedy), "%s", remedy);
}

static int memory_file(struct str content)
{
	int low = memfd_create("weft-capture", MFD_CLOEXEC);

	if (low < 0)
		return -1;
	/* Above the standard descriptors, which may be closed here and are overwritten in the
	 * child. */
	int fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(low);
	if (fd < 0)
		return -1;
	while (content.n > 0) {
		ssize_t n = write(fd, content.p, content.n);
		if (n < 0) {
			close(fd);
			return -1;
		}
		content = str_sub(content, (size_t)n, content.n);
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static char *read_back(int fd)
{
	struct stat st;
	size_t size, n = 0;

	if (fstat(fd, &st) < 0)
		return mem_strdup("");
	size = (size_t)st.st_size < TOOL_OUTPUT_MAX ? (size_t)st.st_size : TOOL_OUTPUT_MAX;
	char *text = mem_alloc(size + 1);
	while (n < size) {
		ssize_t got = pread(fd, text + n, size - n, (off_t)n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return text;
}

/* In the child: only calls that are safe after fork. */
static _Noreturn void exec_tool(const char *const argv[], const int fds[3])
{
	static const char *const folders[] = {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"};
	char path[256];

	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(EXIT_NOT_FOUND - 1);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (strlen(folders[i]) + strlen(argv[0]) >= sizeof(path))
			continue;
		memcpy(path, folders[i], strlen(folders[i]) + 1);
		memcpy(path + strlen(folders[i]), argv[0], strlen(argv[0]) + 1);
		execv(path, (char *const *)(uintptr_t)argv);
	}
	_exit(EXIT_NOT_FOUND);
}

/* Kernels before 5.3 have no pidfd: there the tool is waited for without a limit. */
static bool outlives_limit(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return false;
	struct pollfd ended = {.fd = fd, .events = POLLIN};
	int n;
	do
		n = poll(&ended, 1, TOOL_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n == 0;
}

static int wait_for(pid_t pid, int *status)
{
	bool late = outlives_limit(pid);
	int raw;

	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &raw, 0) < 0)
		if (errno != EINTR)
			return ERR_IO;
	*status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
	if (late)
		return ERR_TIMEOUT;
	return *status == EXIT_NOT_FOUND ? ERR_NOTFOUND : 0;
}

int tool_run(const char *const argv[], struct str input, struct tool_result *res)
{
	int fds[3] = {memory_file(input), memory_file(STR_NULL), memory_file(STR_NULL)};
	int err = ERR_IO;

	*res = (struct tool_result){.status = -1};
	if (fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0) {
		pid_t pid = fork();
		if (pid == 0)
			exec_tool(argv, fds);
		if (pid > 0)
			err = wait_for(pid, &res->status);
		res->out = read_back(fds[1]);
		res->err = read_back(fds[2]);
	}
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

void tool_result_clear(struct tool_result *res)
{
	mem_free(res->out);
	mem_free(res->err);
	*res = (struct tool_result){.status = -1};
}

/* Words that the tools are known to use, and what they mean to the one who has to mend it. */
static const char *const remedies[][2] = {
	{"Permission denied", "give the container the capabilities NET_ADMIN and NET_RAW"},
	{"not permitted", "give the container the capabilities NET_ADMIN and NET_RAW"},
	{"must be root", "give the container the capabilities NET_ADMIN and NET_RAW"},
	{"xtables lock", "another program holds the lock of iptables: end it, and run this again"},
	{"xtables.lock", "mount a writable /run into the container, or use --backend=nft"},
	{"Table does not exist",
		"load the kernel modules of this flavour on the node (iptable_nat, ip6table_nat, "
		"iptable_mangle, ip6table_mangle), or use another --iptables"},
	{"can't initialize",
		"load the kernel modules of this flavour on the node (iptable_nat, ip6table_nat, "
		"iptable_mangle, ip6table_mangle), or use another --iptables"},
	{"No chain/target/match by that name",
		"load xt_owner, xt_REDIRECT, xt_multiport and xt_conntrack on the node, or use "
		"--backend=nft"},
	{"Couldn't load match", "install the extensions of iptables in this image"},
	{"Protocol not supported",
		"load nf_tables and nft_chain_nat on the node, or use --backend=iptables"},
	{"No such file or directory",
		"load nf_tables, nft_redir, nft_ct and nft_chain_nat on the node, or use another --backend"},
};

static const char *remedy_for(const char *words)
{
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (strstr(words, remedies[i][0]) != NULL)
			return remedies[i][1];
	return "see the words of the tool; --print shows what it was given";
}

void tool_explain(struct trouble *t, const char *tool, int err, const struct tool_result *res)
{
	if (err == ERR_NOTFOUND) {
		trouble_set(t,
			"install it in this image (Debian: packages nftables, iptables), or use another --backend",
			"the program %s is not there", tool);
		return;
	}
	if (err < 0) {
		trouble_set(t, "run it by hand to see what it waits for", "running %s: %s", tool,
			err_text(err));
		return;
	}
	struct str words = str_trim(str_from(res->err));
	for (size_t i = 0; i < words.n; i++)
		if (res->err[i] == '\n')
			res->err[i] = ' ';
	trouble_set(t, remedy_for(res->err), "%s ended with status %d: %.*s", tool, res->status,
		words.n < 400 ? (int)words.n : 400, res->err);
}
