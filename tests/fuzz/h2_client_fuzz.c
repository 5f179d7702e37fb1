/*
 * Fuzzes the HTTP/2 codec in the role of the client: frames of a hostile peer between the calls of
 * a user. The rules are in tests/support/h2_fuzz.c; run by libFuzzer.
 */
#include "tests/support/h2_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	h2_fuzz_run(HTTP_CLIENT, data, size);
	return 0;
}
