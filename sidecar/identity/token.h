/*
 * The file with the credential that a pod is given at its start. Read anew at each use, since
 * whoever gives them out replaces them.
 */
#ifndef WEFT_SIDECAR_IDENTITY_TOKEN_H
#define WEFT_SIDECAR_IDENTITY_TOKEN_H

#include <stddef.h>

#define TOKEN_BYTES_MAX 8192

/*
 * The content without white space around it, to be freed with mem_free_secret(p, strlen(p)). 0, or
 * ERR_NOTFOUND (no such file, or none named), ERR_IO, ERR_LIMIT, ERR_INVAL (empty, or bytes that no
 * credential has) with text in err that names the file.
 */
int token_read(const char *path, char **out, char *err, size_t size);

#endif
