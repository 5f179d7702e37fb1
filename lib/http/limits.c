/*
 * The default bounds and times of HTTP connections, read from limits.def. Owns nothing; everyone
 * who makes connections starts from these and overrides what its parameters say.
 */
#include "lib/http/conn.h"

struct http_limits http_limits_default(void)
{
	return (struct http_limits){
#define HTTP_LIMIT(name, type, value, text) .name = (value),
#include "lib/http/limits.def"
#undef HTTP_LIMIT
	};
}
