/*
 * Rules through iptables-restore, in either flavour. A table is one transaction there, so chains
 * are written in every family first and the hooks that lead to them last. Owns nothing between
 * calls; called by backend.c.
 */
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "sidecar/capture/backend_internal.h"
#include "sidecar/capture/tool.h"

/* Whether the plain program is of this flavour; those before 1.8 do not say and are legacy. */
static bool flavour_is(const char *flavour, const char *version)
{
	bool nft = strstr(version, "nf_tables") != NULL;

	return str_eq(str_from(flavour), STR("nft")) == nft;
}

/*
 * Debian has both flavours under names of their own; elsewhere there may be one, under the plain
 * name. Writes the name of a program that runs, or the first tried.
 */
static bool find_program(const char *flavour, size_t family, const char *verb, char name[32])
{
	const char *base = family == 0 ? "iptables" : "ip6tables";
	struct tool_result res;
	bool found = false;
	char plain[32];

	snprintf(name, 32, "%s-%s-%s", base, flavour, verb);
	snprintf(plain, sizeof(plain), "%s-%s", base, verb);
	const char *const names[] = {name, plain};
	for (size_t i = 0; i < 2 && !found; i++) {
		const char *const argv[] = {names[i], "--version", NULL};

		found = tool_run(argv, STR_NULL, &res) == 0 && res.status == 0 &&
			(i == 0 || flavour_is(flavour, res.out));
		tool_result_clear(&res);
		if (found && i == 1)
			memcpy(name, plain, sizeof(plain));
	}
	return found;
}

static int restore(const char *program, struct str text, bool test, struct trouble *t)
{
	const char *const argv[] = {
		program, "--noflush", "--wait", "10", test ? "--test" : NULL, NULL};
	struct tool_result res;

	if (text.n == 0)
		return 0;
	int err = tool_run(argv, text, &res);
	if (err < 0 || res.status != 0) {
		tool_explain(t, program, err, &res);
		err = err < 0 ? err : ERR_IO;
	}
	tool_result_clear(&res);
	return err;
}

/* Reads one family; false with h->why. */
static bool look_at_family(size_t i, struct holding *h)
{
	const char *const argv[] = {h->save[i], NULL};
	struct tool_result res;
	int err = tool_run(argv, STR_NULL, &res);
	bool ok = err == 0 && res.status == 0;

	if (ok) {
		ipt_state_parse(&h->ipt[i], str_from(res.out));
		h->ours = h->ours || h->ipt[i].n > 0;
		h->foreign += h->ipt[i].foreign;
	} else {
		tool_explain(&h->why, h->save[i], err, &res);
	}
	tool_result_clear(&res);
	return ok;
}

void ipt_look(const char *flavour, size_t n, struct holding *h)
{
	h->usable = true;
	for (size_t i = 0; i < n && h->usable; i++) {
		if (!find_program(flavour, i, "save", h->save[i]) ||
			!find_program(flavour, i, "restore", h->restore[i])) {
			struct tool_result none = {.status = -1};

			tool_explain(&h->why, h->save[i], ERR_NOTFOUND, &none);
			h->usable = false;
			return;
		}
		h->usable = look_at_family(i, h);
	}
}

typedef void text_fn(const void *what, const struct ipt_state *now, FILE *out);

static void chains_text(const void *what, const struct ipt_state *now, FILE *out)
{
	(void)now;
	text_ipt_chains(what, out);
}

static void hooks_text(const void *what, const struct ipt_state *now, FILE *out)
{
	text_ipt_hooks(what, now, out);
}

static void clean_text(const void *what, const struct ipt_state *now, FILE *out)
{
	(void)what;
	text_ipt_clean(now, out);
}

static void state_text(const void *what, const struct ipt_state *now, FILE *out)
{
	(void)what;
	text_ipt_state(now, out);
}

static int restore_text(const struct holding *h, size_t i, text_fn *fn, const void *what, bool test,
	struct trouble *t)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fn(what, &h->ipt[i], out);
	fclose(out);
	int err = restore(h->restore[i], str_make(text, size), test, t);
	mem_free(text);
	return err;
}

/* Whatever is ours now goes, and what was there before comes back. */
static int take_back(const struct rules_by_family *rules, const struct holding *before,
	struct trouble *t)
{
	struct holding now = *before;
	int err = 0;

	for (size_t i = 0; i < rules->n; i++) {
		now.ipt[i] = (struct ipt_state){.n = 0};
		if (!look_at_family(i, &now))
			err = ERR_IO;
		int cleaned = restore_text(&now, i, clean_text, NULL, false, t);
		err = cleaned < 0 ? cleaned : err;
		ipt_state_clear(&now.ipt[i]);
	}
	return err < 0 ? err : ipt_bring_back(before, t);
}

int ipt_try(const struct rules_by_family *rules, const struct holding *now, struct trouble *t)
{
	int err = 0;

	for (size_t i = 0; i < rules->n && err == 0; i++)
		err = restore_text(now, i, chains_text, &rules->v[i], true, t);
	return err;
}

int ipt_apply(const struct rules_by_family *rules, const struct holding *now, struct trouble *t)
{
	text_fn *const steps[] = {chains_text, hooks_text};
	int err = 0;

	for (size_t step = 0; step < 2; step++)
		for (size_t i = 0; i < rules->n && err == 0; i++)
			err = restore_text(now, i, steps[step], &rules->v[i], false, t);
	if (err < 0) {
		struct trouble more = {.what = ""};

		if (take_back(rules, now, &more) < 0) {
			struct trouble first = *t;

			trouble_set(t, "run weft-sidecar capture --clean in this namespace",
				"%.250s; and taking back what was written before failed too: %.250s",
				first.what, more.what);
		}
	}
	return err;
}

int ipt_clean(const struct holding *now, struct trouble *t)
{
	int err = 0;

	for (size_t i = 0; i < CAPTURE_FAMILIES && err == 0; i++)
		err = restore_text(now, i, clean_text, NULL, false, t);
	return err;
}

int ipt_bring_back(const struct holding *then, struct trouble *t)
{
	int err = 0;

	for (size_t i = 0; i < CAPTURE_FAMILIES && err == 0; i++)
		err = restore_text(then, i, state_text, NULL, false, t);
	return err;
}
