/*
 * Any first bytes: a verdict on a prefix is never taken back by what follows, facts lie within the
 * bytes, and at the bound there is a verdict.
 */
#include "lib/base/obj.h"
#include "sidecar/detect/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_slice(struct str all, struct str part)
{
	ASSERT(part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_make(data, size);
	struct sniff_facts facts;
	enum sniff_verdict last = SNIFF_MORE;
	size_t step = size / 64 + 1;
	for (size_t n = 0; n <= size; n += step) {
		enum sniff_verdict v = sniff(str_make(data, n), false, &facts);
		ASSERT(last == SNIFF_MORE || v == last);
		ASSERT(v != SNIFF_MORE || n < SNIFF_MAX);
		last = v;
		ASSERT(sniff(str_make(data, n), true, &facts) != SNIFF_MORE);
	}
	sniff(all, false, &facts);
	check_slice(all, facts.sni);
	ASSERT(facts.n_alpn <= SNIFF_ALPN_MAX);
	for (size_t i = 0; i < facts.n_alpn; i++)
		check_slice(all, facts.alpn[i]);
	(void)sniff_is_mesh(&facts);
	(void)sniff_http_server(all);
	return 0;
}
