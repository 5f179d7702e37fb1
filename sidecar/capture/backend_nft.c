/*
 * Rules through nft: both families in one file, which the kernel takes as one transaction, so that
 * there is never a moment with half of them. Owns nothing between calls; called by backend.c.
 */
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "sidecar/capture/backend_internal.h"
#include "sidecar/capture/tool.h"

static int nft_run(struct str text, bool check, struct trouble *t)
{
	const char *const argv[] = {"nft", "-f", "-", check ? "--check" : NULL, NULL};
	struct tool_result res;
	int err = tool_run(argv, text, &res);

	if (err < 0 || res.status != 0) {
		tool_explain(t, "nft", err, &res);
		err = err < 0 ? err : ERR_IO;
	}
	tool_result_clear(&res);
	return err;
}

static enum addr_family family_at(size_t i)
{
	return i == 0 ? ADDR_V4 : ADDR_V6;
}

/* Takes the family's table as it is now, where there is one. */
static void look_at_table(size_t i, struct holding *h)
{
	const char *const argv[] = {
		"nft", "list", "table", text_nft_family(family_at(i)), CAPTURE_TABLE, NULL};
	struct tool_result res;

	if (tool_run(argv, STR_NULL, &res) == 0 && res.status == 0) {
		h->nft[i] = mem_strdup(res.out);
		h->ours = true;
	}
	tool_result_clear(&res);
}

void nft_look(size_t n, struct holding *h)
{
	const char *const argv[] = {"nft", "list", "tables", NULL};
	struct tool_result res;
	int err = tool_run(argv, STR_NULL, &res);

	h->usable = err == 0 && res.status == 0;
	if (!h->usable)
		tool_explain(&h->why, "nft", err, &res);
	for (size_t i = 0; h->usable && i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "table %s " CAPTURE_TABLE "\n",
			text_nft_family(family_at(i)));
		if (strstr(res.out, name) != NULL)
			look_at_table(i, h);
	}
	tool_result_clear(&res);
}

/* Naming a table makes it where it is not there, so that deleting it never fails. */
static void put_removal(FILE *out, size_t i)
{
	const char *family = text_nft_family(family_at(i));

	fprintf(out, "table %s " CAPTURE_TABLE "\ndelete table %s " CAPTURE_TABLE "\n", family,
		family);
}

static int run_text(FILE *out, char **text, const size_t *size, bool check, struct trouble *t)
{
	fclose(out);
	int err = *size > 0 ? nft_run(str_make(*text, *size), check, t) : 0;
	mem_free(*text);
	return err;
}

static int nft_write(const struct rules_by_family *rules, bool check, struct trouble *t)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < rules->n; i++) {
		put_removal(out, i);
		text_nft_table(&rules->v[i], out);
	}
	return run_text(out, &text, &size, check, t);
}

int nft_try(const struct rules_by_family *rules, struct trouble *t)
{
	return nft_write(rules, true, t);
}

int nft_apply(const struct rules_by_family *rules, struct trouble *t)
{
	return nft_write(rules, false, t);
}

int nft_clean(const struct holding *now, struct trouble *t)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < CAPTURE_FAMILIES; i++)
		if (now->nft[i] != NULL)
			put_removal(out, i);
	return run_text(out, &text, &size, false, t);
}

int nft_bring_back(const struct holding *then, struct trouble *t)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; i < CAPTURE_FAMILIES; i++) {
		if (then->nft[i] == NULL)
			continue;
		put_removal(out, i);
		fputs(then->nft[i], out);
	}
	return run_text(out, &text, &size, false, t);
}
