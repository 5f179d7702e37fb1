/*
 * A root of our own: made on the first start, replaced by steps that survive a restart at any
 * point. The file "rotation" says which step was reached; it is written before what it says is
 * true of the other files, so that a start after a crash ends what was begun.
 */
#include <stdio.h>
#include <unistd.h>

#include "ctrlplane/ca/authority_internal.h"
#include "ctrlplane/ca/sealed.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define ROTATION_KIND "weft-rotation 1"
#define ROTATION_REMEDY "restore it from a backup, together with the other files beside it"
#define ROTATION_BYTES 4096
/* The wall clock may be set: no step is waited for longer than this at a time. */
#define LOOK_NS (60 * NS_PER_S)
#define RETRY_NS (5 * NS_PER_S)
#define SOON_NS (100 * NS_PER_MS)

static const char *const phase_names[] = {
	[ROTATION_NONE] = "none",
	[ROTATION_PUBLISHED] = "published",
	[ROTATION_SIGNING] = "signing",
	[ROTATION_INSTALL] = "install",
};

const char *rotation_phase_name(enum rotation_phase phase)
{
	return phase_names[phase];
}

/* --- the file of the rotation --- */

static int save_phase(const struct authority *a, enum rotation_phase phase, int64_t at, char *err,
	size_t size)
{
	char body[64], *path = authority_path(a, "rotation");
	int n = snprintf(body, sizeof(body), "%s %lld\n", phase_names[phase], (long long)at);
	int e = sealed_write(path, ROTATION_KIND, str_make(body, (size_t)n), err, size);
	mem_free(path);
	return e;
}

static bool parse_phase(struct str body, enum rotation_phase *phase, int64_t *at)
{
	struct str word;
	uint64_t seconds;
	if (!str_split(&body, ' ', &word) || body.n == 0 || body.p[body.n - 1] != '\n' ||
		str_to_u64(str_sub(body, 0, body.n - 1), INT64_MAX, &seconds) != 0)
		return false;
	*at = (int64_t)seconds;
	for (int i = ROTATION_PUBLISHED; i <= ROTATION_INSTALL; i++)
		if (str_eq(word, str_from(phase_names[i]))) {
			*phase = (enum rotation_phase)i;
			return true;
		}
	return false;
}

static int load_phase(struct authority *a, enum rotation_phase *phase, char *err, size_t size)
{
	struct sealed file;
	char *path = authority_path(a, "rotation");
	*phase = ROTATION_NONE;
	int e = sealed_read(path, ROTATION_KIND, ROTATION_REMEDY, ROTATION_BYTES, &file, err, size);
	if (e == 0 && !parse_phase(file.body, phase, &a->step_at)) {
		snprintf(err, size, "%s: says what this version does not know; %s", path,
			ROTATION_REMEDY);
		e = ERR_VERIFY;
	}
	sealed_clear(&file);
	mem_free(path);
	return e == ERR_NOTFOUND ? 0 : e;
}

static void remove_phase(const struct authority *a)
{
	char *path = authority_path(a, "rotation");
	(void)unlink(path);
	mem_free(path);
}

/*
 * next.* become root.*; goes on wherever a crash has left it. The phase is written once more before
 * it is forgotten, which puts the new names on disk: without them a start would find next.* of no
 * rotation, remove it, and go on with a root that nobody trusts any more.
 */
static int install(const struct authority *a, char *err, size_t size)
{
	int e = save_phase(a, ROTATION_INSTALL, 0, err, size);
	if (e == 0)
		e = root_files_promote(a, err, size);
	if (e == 0)
		e = save_phase(a, ROTATION_INSTALL, 0, err, size);
	if (e == 0)
		remove_phase(a);
	return e;
}

/* --- roots --- */

static int make_root(const struct authority *a, struct cert_ca **out, char *err, size_t size)
{
	int64_t now = authority_now(a);
	int64_t from = now - (int64_t)(a->backdate_ns / NS_PER_S);
	int64_t to = now + (int64_t)(a->root_ns / NS_PER_S);
	int e = cert_ca_create(str_from(a->trust_domain), from, to, out);
	if (e != 0)
		snprintf(err, size, "no root can be made for trust domain %s and that lifetime: %s",
			a->trust_domain, err_text(e));
	return e;
}

/* What is trusted, the signing one first. */
static void put_roots(struct authority *a)
{
	bool switched = a->phase == ROTATION_SIGNING;
	struct cert_ca *first = switched ? a->next : a->ca, *second = switched ? a->ca : a->next;
	struct cert_chain *roots[2] = {0};
	size_t n = 0;
	roots[n++] = (struct cert_chain *)(uintptr_t)cert_ca_chain(first);
	if (second != NULL)
		roots[n++] = (struct cert_chain *)(uintptr_t)cert_ca_chain(second);
	authority_put_roots(a, roots, n);
}

static void log_root(const struct authority *a, const char *msg, const struct cert_ca *ca)
{
	const struct cert_leaf *own = cert_chain_leaf(cert_ca_chain(ca));
	log_at(a->log, LOG_INFO, "ca", msg, LOG_Z("trust_domain", a->trust_domain),
		LOG_S("serial", own->serial), LOG_T("not_after", own->not_after));
}

/* The first one goes the way of every later one, so that a crash in the middle leaves no half. */
static int make_first(struct authority *a, char *err, size_t size)
{
	int e = make_root(a, &a->ca, err, size);
	if (e == 0)
		e = root_files_save(a, "next", a->ca, err, size);
	if (e == 0)
		e = install(a, err, size);
	if (e == 0)
		log_root(a, "made a root", a->ca);
	return e;
}

/* --- steps --- */

static int64_t leaf_seconds(const struct authority *a)
{
	return (int64_t)((a->leaf_ns + NS_PER_S - 1) / NS_PER_S);
}

/* The second after the last leaf of the old root has ended. */
static int begin_signing(struct authority *a, char *err, size_t size)
{
	int64_t at = authority_now(a) + leaf_seconds(a) + 1;
	int e = save_phase(a, ROTATION_SIGNING, at, err, size);
	if (e != 0)
		return e;
	a->phase = ROTATION_SIGNING;
	a->step_at = at;
	put_roots(a);
	log_root(a, "the next root signs from now on", a->next);
	return 0;
}

static int finish(struct authority *a, char *err, size_t size)
{
	int e = install(a, err, size);
	if (e != 0)
		return e;
	log_root(a, "the old root is no longer trusted", a->ca);
	cert_ca_free(&a->ca);
	a->ca = a->next;
	a->next = NULL;
	a->phase = ROTATION_NONE;
	a->step_at = 0;
	a->warned = 0;
	a->own.signer = NULL;
	put_roots(a);
	log_root(a, "the rotation of the root is done", a->ca);
	return 0;
}

static int step(struct authority *a, char *err, size_t size)
{
	switch (a->phase) {
	case ROTATION_PUBLISHED:
		return begin_signing(a, err, size);
	case ROTATION_SIGNING:
		return finish(a, err, size);
	case ROTATION_NONE:
	case ROTATION_INSTALL:
		break;
	}
	return 0;
}

static uint64_t until(const struct authority *a)
{
	uint64_t at = (uint64_t)a->step_at * NS_PER_S, now = loop_wall(a->loop);
	if (at <= now + SOON_NS)
		return SOON_NS;
	return at - now < LOOK_NS ? at - now : LOOK_NS;
}

uint64_t own_root_step(struct authority *a)
{
	while (a->phase != ROTATION_NONE && a->step_at <= authority_now(a)) {
		int e = step(a, a->problem, sizeof(a->problem));
		if (e != 0) {
			log_at(a->log, LOG_ERROR, "ca", "a step of the rotation failed",
				LOG_Z("phase", phase_names[a->phase]), LOG_Z("error", a->problem));
			return RETRY_NS;
		}
		a->problem[0] = '\0';
	}
	return a->phase == ROTATION_NONE ? LOOK_NS : until(a);
}

/* The root that is being replaced may have ended: it only waits to be forgotten. */
static int judge_signer(const struct authority *a, char *err, size_t size)
{
	const struct cert_leaf *own = cert_chain_leaf(cert_ca_chain(authority_signer(a)));
	if (own->not_after > authority_now(a))
		return 0;
	snprintf(err, size,
		"%s/root.pem: the root has expired; remove it and root.key to have a new one made, "
		"and give that to the sidecars",
		a->dir);
	return ERR_EXPIRED;
}

static int load_next(struct authority *a, char *err, size_t size)
{
	int e = root_files_load(a, "next", &a->next, err, size);
	if (e != ERR_NOTFOUND)
		return e;
	snprintf(err, size,
		"%s: a rotation of the root is under way (phase %s), and next.pem and next.key are "
		"not there; restore them from a backup%s",
		a->dir, phase_names[a->phase],
		a->phase == ROTATION_PUBLISHED
			? ", or remove the file rotation to give it up: nothing is signed by them yet"
			: "");
	return ERR_VERIFY;
}

/* What a crash between the files of one step can have left is put right. */
static int resume(struct authority *a, char *err, size_t size)
{
	enum rotation_phase phase;
	int e = load_phase(a, &phase, err, size);
	if (e == 0 && phase == ROTATION_INSTALL)
		e = install(a, err, size);
	if (e != 0)
		return e;
	a->phase = phase == ROTATION_INSTALL ? ROTATION_NONE : phase;
	if (a->phase == ROTATION_NONE)
		root_files_remove(a, "next");
	e = root_files_load(a, "root", &a->ca, err, size);
	if (e == ERR_NOTFOUND && a->phase == ROTATION_NONE)
		return make_first(a, err, size);
	if (e == 0 && a->phase != ROTATION_NONE)
		e = load_next(a, err, size);
	if (e == 0)
		e = judge_signer(a, err, size);
	return e == 0 ? root_files_publish(a, err, size) : e;
}

int own_root_start(struct authority *a, char *err, size_t size)
{
	int e = resume(a, err, size);
	if (e != 0)
		return e;
	put_roots(a);
	log_root(a, "the root is in force", a->ca);
	if (a->phase != ROTATION_NONE)
		log_at(a->log, LOG_INFO, "ca", "a rotation of the root goes on",
			LOG_Z("phase", phase_names[a->phase]), LOG_I("next_step", a->step_at));
	return 0;
}

int own_root_rotate(struct authority *a, uint64_t overlap_ns, char *err, size_t size)
{
	if (a->phase != ROTATION_NONE) {
		snprintf(err, size, "a rotation of the root is under way");
		return ERR_EXISTS;
	}
	int64_t at = authority_now(a) + (int64_t)((overlap_ns + NS_PER_S - 1) / NS_PER_S);
	int e = make_root(a, &a->next, err, size);
	if (e == 0)
		e = root_files_save(a, "next", a->next, err, size);
	if (e == 0)
		e = save_phase(a, ROTATION_PUBLISHED, at, err, size);
	if (e == 0)
		e = root_files_publish(a, err, size);
	if (e != 0) {
		remove_phase(a);
		root_files_remove(a, "next");
		cert_ca_free(&a->next);
		return e;
	}
	a->phase = ROTATION_PUBLISHED;
	a->step_at = at;
	put_roots(a);
	log_root(a, "the next root is published", a->next);
	return 0;
}
