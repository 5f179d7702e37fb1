/*
 * A real openssl process on one side of a Unix socket and our TLS on the other, on the real loop:
 * what the interoperability tests of lib/tls stand on. Each test opens a lab and closes it.
 */
#ifndef WEFT_TESTS_OPENSSL_LAB_H
#define WEFT_TESTS_OPENSSL_LAB_H

#include <sys/types.h>

#include "certs/issue.h"
#include "lib/tls/tls.h"

#define LAB_SERVER "spiffe://mesh.test/ns/shop/sa/server"
#define LAB_CLIENT "spiffe://mesh.test/ns/shop/sa/client"

/* One connection between us and an openssl process; owned by the test. */
struct lab {
	struct loop *loop;
	struct buf_pool *bufs;
	struct cert_ca *ca;
	struct cert_bundle *bundle;
	char dir[64];
	struct loop_timer patience;
	bool (*until)(const struct lab *lab);
	/* the process */
	pid_t pid;
	int to, from; /* its standard input and output */
	struct loop_fd from_watch;
	char said[65536]; /* what it wrote, cut */
	size_t said_n;
	uint64_t said_all;
	uint64_t records; /* before its last command */
	/* our end */
	int listener;
	struct loop_fd listener_watch;
	struct tls_ctx *ctx;
	struct tls_handshake *handshake;
	struct io *io;
	bool client, done, echo;
	struct tls_failure failure;
	struct buf in, out;
	uint64_t received;
	int end; /* 1: reading goes on */
	uint64_t rekey;
};

/* False where there is no such program. */
bool lab_possible(void);

/* A CA, and files for the process: root.pem, and server, client and expired, each .pem and .key. */
struct lab *lab_open(void);
/* Kills the process and removes the files; fails the test where buffers are left. */
void lab_close(struct lab *lab);
/* Runs the loop until the condition holds; fails the test where nothing happens for too long. */
void lab_run_until(struct lab *lab, bool (*until)(const struct lab *lab));

/* Our side: a context with a leaf of that flaw, ALPN "weft/h2" and "weft/tcp". */
void lab_use(struct lab *lab, enum tls_role role, enum cert_flaw flaw);
/* Waits for the process to connect; connects to the process. Then the handshake runs. */
void lab_listen(struct lab *lab);
void lab_dial(struct lab *lab);
/* Writes what is in lab->out. */
void lab_flush(struct lab *lab);

/* Runs openssl with these words, split at spaces; @NAME is a file of the lab. */
void lab_start(struct lab *lab, const char *words);
/* To its standard input. */
void lab_type(struct lab *lab, const char *text);
/* A command of its own there, awaited until a record of it comes. It takes all that it reads at
 * once for one. */
void lab_command(struct lab *lab, const char *text);
/* It has written this. */
bool lab_said(const struct lab *lab, const char *text);

#endif
