/*
 * What appProtocol and port names say about a port's protocol. A table; called by decode_service.c.
 */
#include "ctrlplane/compile/decode_internal.h"

#define HTTP WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP
#define HTTP2 WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP2
#define TCP WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP
#define TLS WEFT__MESH__V1__PROTOCOL__PROTOCOL_TLS

static const struct {
	const char *name;
	Weft__Mesh__V1__Protocol protocol;
} names[] = {
	{"http", HTTP},
	{"http2", HTTP2},
	{"h2c", HTTP2},
	{"grpc", HTTP2},
	{"grpc-web", HTTP},
	{"ws", HTTP},
	{"https", TLS},
	{"wss", TLS},
	{"tls", TLS},
	{"tcp", TCP},
	{"mongo", TCP},
	{"mysql", TCP},
	{"postgresql", TCP},
	{"redis", TCP},
	/* Kubernetes' own prefix: KEP-3726 */
	{"kubernetes.io/h2c", HTTP2},
	{"kubernetes.io/ws", HTTP},
	{"kubernetes.io/wss", TLS},
};

bool protocol_by_name(struct str name, Weft__Mesh__V1__Protocol *out)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (str_eq_nocase(name, str_from(names[i].name))) {
			*out = names[i].protocol;
			return true;
		}
	}
	return false;
}

bool protocol_by_port_name(struct str name, Weft__Mesh__V1__Protocol *out)
{
	struct str rest = name, prefix;
	if (str_eq(name, STR("grpc-web")) || str_starts(name, STR("grpc-web-")))
		return protocol_by_name(STR("grpc-web"), out);
	return str_split(&rest, '-', &prefix) && protocol_by_name(prefix, out);
}
