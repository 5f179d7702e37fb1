/*
 * Error numbers as text, and the map from the system's errno. Owns only constant tables.
 * Called by everyone who reports or translates a failure.
 */
#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *err_text(int err)
{
	switch (err) {
	case ERR_AGAIN:
		return "would block";
	case ERR_CLOSED:
		return "closed by peer";
	case ERR_RESET:
		return "connection reset";
	case ERR_REFUSED:
		return "connection refused";
	case ERR_UNREACHABLE:
		return "unreachable";
	case ERR_TIMEOUT:
		return "timed out";
	case ERR_PROTOCOL:
		return "protocol error";
	case ERR_LIMIT:
		return "limit reached";
	case ERR_INVAL:
		return "invalid argument or input";
	case ERR_NOTFOUND:
		return "not found";
	case ERR_EXISTS:
		return "already exists or in use";
	case ERR_DENIED:
		return "permission denied";
	case ERR_VERIFY:
		return "verification failed";
	case ERR_EXPIRED:
		return "expired";
	case ERR_IO:
		return "input/output error";
	case ERR_NOFILES:
		return "out of file descriptors";
	}
	return err >= 0 ? "no error" : "unknown error";
}

/* One errno and what the caller can do about it. */
struct err_row {
	int errno_value;
	enum err err;
};

static const struct err_row err_rows[] = {
	{EAGAIN, ERR_AGAIN},
	{EINTR, ERR_AGAIN},
	{EINPROGRESS, ERR_AGAIN},
	{EALREADY, ERR_AGAIN},
	{EPIPE, ERR_RESET},
	{ECONNRESET, ERR_RESET},
	{ECONNABORTED, ERR_RESET},
	{ENOTCONN, ERR_RESET},
	{ESHUTDOWN, ERR_RESET},
	{ENETRESET, ERR_RESET},
	{ECONNREFUSED, ERR_REFUSED},
	{EHOSTUNREACH, ERR_UNREACHABLE},
	{ENETUNREACH, ERR_UNREACHABLE},
	{ENETDOWN, ERR_UNREACHABLE},
	{EHOSTDOWN, ERR_UNREACHABLE},
	{ENONET, ERR_UNREACHABLE},
	{EADDRNOTAVAIL, ERR_UNREACHABLE},
	{ETIMEDOUT, ERR_TIMEOUT},
	{EPROTO, ERR_PROTOCOL},
	{ENOBUFS, ERR_LIMIT},
	{ENOMEM, ERR_LIMIT},
	{E2BIG, ERR_LIMIT},
	{EMSGSIZE, ERR_LIMIT},
	{ENAMETOOLONG, ERR_LIMIT},
	{EINVAL, ERR_INVAL},
	{EAFNOSUPPORT, ERR_INVAL},
	{EPROTONOSUPPORT, ERR_INVAL},
	{EDESTADDRREQ, ERR_INVAL},
	{ENOENT, ERR_NOTFOUND},
	{ENOTDIR, ERR_NOTFOUND},
	{ESRCH, ERR_NOTFOUND},
	{EEXIST, ERR_EXISTS},
	{EADDRINUSE, ERR_EXISTS},
	{EISCONN, ERR_EXISTS},
	{EACCES, ERR_DENIED},
	{EPERM, ERR_DENIED},
	{EROFS, ERR_DENIED},
	{EMFILE, ERR_NOFILES},
	{ENFILE, ERR_NOFILES},
};

void err_append(char *err, size_t size, const char *more)
{
	size_t used = strnlen(err, size);
	if (used < size)
		snprintf(err + used, size - used, "%s", more);
}

int err_from_errno(int errno_value)
{
	for (size_t i = 0; i < sizeof(err_rows) / sizeof(err_rows[0]); i++)
		if (err_rows[i].errno_value == errno_value)
			return err_rows[i].err;
	return ERR_IO;
}
