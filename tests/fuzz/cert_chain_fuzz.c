/*
 * Any bytes as a peer's chain, as a bundle and as a key: never more than a verdict, never a good
 * one, and what is read writes back the same.
 */
#include "certs/chain.h"
#include "certs/issue.h"
#include "certs/key.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"

#define NOW 1800000000

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return crypto_init();
}

static void write_back(const struct cert_chain *chain)
{
	struct cert_chain *again;
	char *pem = cert_chain_pem(chain);
	ASSERT(cert_chain_parse(str_from(pem), &again) == 0);
	ASSERT(str_eq(cert_chain_der(again), cert_chain_der(chain)));
	cert_chain_unref(&again);
	mem_free(pem);
}

/* Under a root whose key nobody has, nothing can be good. */
static void judge(const struct cert_chain *chain)
{
	const struct cert_leaf *leaf = cert_chain_leaf(chain);
	struct cert_bundle *b = cert_bundle_new();
	struct cert_ca *ca;
	if (leaf->id.id.n > 0) {
		ASSERT(cert_ca_create(leaf->id.trust_domain, NOW - 1, NOW + 1, &ca) == 0);
		char *pem = cert_ca_cert_pem(ca);
		ASSERT(cert_bundle_add(b, leaf->id.trust_domain, str_from(pem)) == 0);
		mem_free(pem);
		cert_ca_free(&ca);
	}
	ASSERT(cert_verify(chain, b, NOW, true, NULL) != CERT_GOOD);
	ASSERT(cert_verify(chain, b, NOW, false, NULL) != CERT_GOOD);
	cert_bundle_unref(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_make(data, size);
	struct cert_bundle *b = cert_bundle_new();
	struct cert_chain *chain;
	struct cert_key *key;
	bool added = cert_bundle_add(b, STR("td"), in) == 0;
	ASSERT(added == cert_bundle_has(b, STR("td")));
	if (cert_key_parse(in, &key) == 0)
		cert_key_unref(&key);
	if (cert_chain_parse(in, &chain) == 0) {
		ASSERT(!added || cert_chain_leaf(chain)->is_ca);
		(void)cert_verify(chain, b, NOW, true, NULL);
		write_back(chain);
		judge(chain);
		cert_chain_unref(&chain);
	}
	cert_bundle_unref(&b);
	return 0;
}
