/*
 * For tests of the control plane's CA: a directory of its own, a simulated loop, a log that is
 * remembered, a real store with a world from YAML, and an authority in it. Each test opens a world
 * and closes it.
 */
#ifndef WEFT_TESTS_CA_WORLD_H
#define WEFT_TESTS_CA_WORLD_H

#include "ctrlplane/ca/authority.h"
#include "ctrlplane/ca/attest.h"

#define CA_START 1800000000ll /* seconds since the epoch */
#define CA_TD "cluster.local"
#define CA_DAY 86400ll

/* Owned by the test. */
struct ca_world {
	struct loop *loop;
	struct log *log;
	struct store *store;
	struct metrics *metrics;
	struct authority_config cfg;
	struct authority *authority;
	struct attest *attest;
	char base[64], dir[80]; /* dir: the data directory, in base */
	char err[512];
	char said[65536]; /* the log */
	size_t said_n;
	char path[4][160];
	unsigned next;
};

/* Nothing is started but loop and log; files in base are of a test before the first start. */
void ca_world_open(struct ca_world *w);
/* The same on the kernel's loop and clock, for what watches files. */
void ca_world_open_real(struct ca_world *w);
/* Stops what runs, removes all files. */
void ca_world_close(struct ca_world *w);

/* The store, then the authority: 0 or its error, with text in err. */
int ca_world_start(struct ca_world *w);
/* The authority and all else stopped, as at the end of the process; files and clock stay. */
void ca_world_stop(struct ca_world *w);
/* stop and start, which must go well. */
void ca_world_restart(struct ca_world *w);
/* Only the attestation is made on the store that runs: 0 or its error. */
int ca_world_attest(struct ca_world *w);
/* A complete reading of the source with this YAML; what it tells has been told. */
void ca_world_source(struct ca_world *w, const char *yaml);
/* The clock goes on. */
void ca_world_advance(struct ca_world *w, int64_t seconds);
int64_t ca_world_now(const struct ca_world *w);

/* DIR/NAME; one of four. */
const char *ca_world_path(struct ca_world *w, const char *name);
/* The whole file, which must be there: NUL-terminated, free(). */
char *ca_world_read(struct ca_world *w, const char *name);
void ca_world_write(struct ca_world *w, const char *name, unsigned mode, const char *text);
bool ca_world_exists(struct ca_world *w, const char *name);
unsigned ca_world_mode(struct ca_world *w, const char *name);
bool ca_world_said(const struct ca_world *w, const char *text);
void ca_world_hush(struct ca_world *w);

/* A leaf for a new key: 0 or the authority's error. */
int ca_world_issue(struct ca_world *w, const char *id, const char *uid, struct cert_chain **out);
/* The judgement of somebody who trusts these roots (PEM or DER) at the clock's time. */
enum cert_verdict ca_world_judge(const struct ca_world *w, const struct cert_chain *c,
	struct str roots);
/* The chain that the serving context presents, seen by a client without a certificate that trusts
 * these roots: its verdict. */
enum cert_verdict ca_world_judge_serving(struct ca_world *w, struct str roots);

#endif
