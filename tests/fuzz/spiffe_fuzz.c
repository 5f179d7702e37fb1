/*
 * Any bytes as a SPIFFE ID: what is accepted obeys the grammar, and its parts put together are the
 * whole again.
 */
#include "certs/spiffe.h"
#include "lib/base/obj.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str s, const struct spiffe_id *id, bool allow_td)
{
	ASSERT(s.n <= SPIFFE_ID_MAX && str_eq(id->id, s));
	ASSERT(spiffe_td_valid(id->trust_domain));
	ASSERT(9 + id->trust_domain.n + id->path.n == s.n);
	ASSERT(id->path.n > 0 || allow_td);
	ASSERT((id->ns.n > 0) == (id->sa.n > 0));
	if (id->ns.n > 0)
		ASSERT(id->path.n == 8 + id->ns.n + id->sa.n);
	for (size_t i = 0; i < s.n; i++)
		ASSERT(s.p[i] > 0x20 && s.p[i] < 0x7f && s.p[i] != '%');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = str_make(data, size);
	struct spiffe_id id, ca;
	const char *why = NULL;
	int err = spiffe_parse(s, false, &id, &why);
	ASSERT((err == 0) == (why == NULL));
	if (err == 0)
		check(s, &id, false);
	int ca_err = spiffe_parse(s, true, &ca, NULL);
	ASSERT(err != 0 || ca_err == 0);
	if (ca_err == 0)
		check(s, &ca, true);
	return 0;
}
