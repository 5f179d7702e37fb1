/*
 * Names and texts of the verdicts on certificates, from certs/verdict.def. Owns nothing; called by
 * whoever logs or counts a refusal.
 */
#include "certs/chain.h"

#include "lib/base/err.h"

struct verdict_row {
	const char *label, *text;
};

static const struct verdict_row rows[CERT_VERDICT_COUNT] = {
#define CERT_VERDICT(name, label, text) [CERT_##name] = {label, text},
#include "certs/verdict.def"
#undef CERT_VERDICT
};

const char *cert_verdict_label(enum cert_verdict v)
{
	return rows[v].label;
}

const char *cert_verdict_text(enum cert_verdict v)
{
	return rows[v].text;
}

enum cert_verdict cert_verdict_of_parse(int err)
{
	return err == ERR_LIMIT ? CERT_TOO_LONG : CERT_MALFORMED;
}
