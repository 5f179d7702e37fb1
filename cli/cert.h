/*
 * What the commands of `weft cert` share: reading and writing their files, CAs in directories,
 * times. `weft compile`, which issues too, uses them.
 */
#ifndef WEFT_CLI_CERT_H
#define WEFT_CLI_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/issue.h"
#include "cli/command.h"

#define CERT_FILE_MAX (256 * 1024)
#define CERT_PATH_MAX 4096

#define CERT_COMMAND(name, function, summary) int function(int argc, char **argv);
#include "cli/cert_commands.def"
#undef CERT_COMMAND

/* Seconds since the epoch, now. */
int64_t cert_cli_now(void);
/* Nanoseconds of a duration parameter as seconds. */
int64_t cert_cli_seconds(uint64_t ns);

/*
 * These print an error that names the file and the remedy, and return false. What they give
 * belongs to the caller.
 */
bool cert_cli_read(const struct conf_program *prog, const char *path, char **text, size_t *n);
bool cert_cli_load_chain(const struct conf_program *prog, const char *path,
	struct cert_chain **out);
bool cert_cli_load_key(const struct conf_program *prog, const char *path, struct cert_key **out);
bool cert_cli_load_csr(const struct conf_program *prog, const char *path, struct cert_csr **out);
/* intermediate.pem or else root.pem in dir, with its key. */
bool cert_cli_load_ca(const struct conf_program *prog, const char *dir, struct cert_ca **out);

/* A file to be written; secret: mode 0600. Everything borrowed. */
struct cert_cli_file {
	char path[CERT_PATH_MAX];
	const char *text;
	bool secret;
};
/* DIR/NAME or PREFIXNAME into f->path. False and an error where that is too long. */
bool cert_cli_path(const struct conf_program *prog, struct cert_cli_file *f, const char *before,
	const char *after);
/*
 * Writes all of them, each whole or not at all; none where one of them exists and force is not set.
 * Says what it wrote on stdout.
 */
bool cert_cli_write(const struct conf_program *prog, const struct cert_cli_file *files, size_t n,
	bool force);
/* Makes the directory, for its owner alone, where there is none. */
bool cert_cli_make_dir(const struct conf_program *prog, const char *dir);

/* Why issuing failed, with what to do; returns the exit code. */
int cert_cli_issue_failed(const struct conf_program *prog, int err, const char *id,
	const char *pod_uid);
/* The ID is one, else says why not. */
bool cert_cli_check_id(const struct conf_program *prog, const char *flag, const char *id);

#endif
