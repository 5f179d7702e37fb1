/*
 * Any bytes as a CSR: never more than read or refused, and what is asked for never gets into the
 * leaf.
 */
#include "certs/issue.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return crypto_init();
}

/* A CSR that holds is good for a leaf, and for nothing but what the caller says. */
static void issue(const struct cert_csr *csr)
{
	struct cert_ca *ca;
	struct cert_chain *chain;
	const struct cert_issue what = {
		.spiffe_id = STR("spiffe://td/a"), .not_before = 1, .not_after = 2};
	ASSERT(cert_ca_create(STR("td"), 0, 10, &ca) == 0);
	ASSERT(cert_ca_issue(ca, csr, NULL, &what, &chain) == 0);
	const struct cert_leaf *leaf = cert_chain_leaf(chain);
	ASSERT(str_eq(leaf->id.id, what.spiffe_id) && leaf->pod_uid.n == 0 && !leaf->is_ca);
	cert_chain_unref(&chain);
	cert_ca_free(&ca);
}

/* The hash depends on the key alone, and is the same each time that it is asked for. */
static void check_key_hash(const struct cert_csr *csr, struct str bytes)
{
	uint8_t first[CERT_KEY_HASH], again[CERT_KEY_HASH];
	struct cert_csr *twin;
	cert_csr_key_hash(csr, first);
	ASSERT(cert_csr_parse(bytes, &twin) == 0);
	cert_csr_key_hash(twin, again);
	ASSERT(crypto_equal(first, again, sizeof(first)));
	cert_csr_free(&twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cert_csr *csr;
	size_t n;
	if (cert_csr_parse(str_make(data, size), &csr) != 0)
		return 0;
	(void)cert_csr_id(csr, &n);
	check_key_hash(csr, str_make(data, size));
	issue(csr);
	cert_csr_free(&csr);
	return 0;
}
