/*
 * What a head must be before anyone above sees it, the same for HTTP/1 and HTTP/2: grammar, limits,
 * framing fields, hop-by-hop fields, Host, Upgrade, CONNECT. Pure; called by the gate for every
 * head that comes in. RFC 9110, 9112, 9113 section 8.
 */
#include "lib/http/codec.h"

/* Options that Connection may name; more is abuse, since each is compared with each field. */
#define MAX_OPTIONS 16

enum field_kind {
	FIELD_PLAIN,
	FIELD_SECRET, /* kept out of HPACK tables */
	FIELD_HOST,
	FIELD_CONNECTION,
	FIELD_HOP, /* keep-alive, proxy-connection: dropped */
	FIELD_TE,
	FIELD_TRANSFER_ENCODING,
	FIELD_UPGRADE,
	FIELD_EXPECT,
	FIELD_CONTENT_LENGTH
};

/* What one pass over the fields finds; lives for the call. */
struct check {
	struct http_head *head;
	bool request, h2;
	const char *detail;
	struct str options[MAX_OPTIONS]; /* Connection's names but close, keep-alive, upgrade, te */
	size_t n_options;
	bool close, keep_alive, upgrade_option, websocket;
	unsigned hosts, lengths, codings;
	bool chunked, continue_asked;
	struct str host;
	uint64_t length;
};

static int bad(struct check *k, const char *detail)
{
	k->detail = detail;
	return k->request ? REASON_PROTOCOL : REASON_UPSTREAM_PROTOCOL;
}

static enum field_kind field_kind(struct str name)
{
	static const struct {
		struct str name;
		enum field_kind kind;
	} known[] = {
		{{"te", 2}, FIELD_TE},
		{{"host", 4}, FIELD_HOST},
		{{"cookie", 6}, FIELD_SECRET},
		{{"expect", 6}, FIELD_EXPECT},
		{{"upgrade", 7}, FIELD_UPGRADE},
		{{"connection", 10}, FIELD_CONNECTION},
		{{"keep-alive", 10}, FIELD_HOP},
		{{"set-cookie", 10}, FIELD_SECRET},
		{{"authorization", 13}, FIELD_SECRET},
		{{"content-length", 14}, FIELD_CONTENT_LENGTH},
		{{"proxy-connection", 16}, FIELD_HOP},
		{{"transfer-encoding", 17}, FIELD_TRANSFER_ENCODING},
		{{"proxy-authorization", 19}, FIELD_SECRET},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && known[i].name.n <= name.n; i++) {
		if (known[i].name.n == name.n && memcmp(known[i].name.p, name.p, name.n) == 0)
			return known[i].kind;
	}
	return FIELD_PLAIN;
}

static bool has_upper(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	}
	return false;
}

/* --- single fields --- */

static int on_connection(struct check *k, struct str value)
{
	struct str piece;

	while (str_split(&value, ',', &piece)) {
		piece = str_trim(piece);
		if (piece.n == 0)
			continue;
		if (!http_is_token(piece))
			return bad(k, "malformed connection field");
		if (str_eq_nocase(piece, STR("close")))
			k->close = true;
		else if (str_eq_nocase(piece, STR("keep-alive")))
			k->keep_alive = true;
		else if (str_eq_nocase(piece, STR("upgrade")))
			k->upgrade_option = true;
		else if (k->n_options == MAX_OPTIONS)
			return bad(k, "connection field names too many fields");
		else
			k->options[k->n_options++] = piece;
	}
	return 0;
}

static int on_content_length(struct check *k, struct str value)
{
	if (++k->lengths > 1)
		return bad(k, "more than one content-length field");
	if (str_to_u64(value, HTTP_LENGTH_UNKNOWN - 1, &k->length) != 0)
		return bad(k, "malformed content-length");
	return 0;
}

static int on_transfer_encoding(struct check *k, struct str value)
{
	if (++k->codings > 1)
		return bad(k, "more than one transfer-encoding field");
	if (k->head->version_minor == 0)
		return bad(k, "transfer-encoding in HTTP/1.0");
	if (!str_eq_nocase(value, STR("chunked")))
		return bad(k, "transfer-encoding other than chunked");
	k->chunked = true;
	return 0;
}

static int on_te(struct check *k, struct str value)
{
	struct str piece;

	if (k->h2 && !str_eq_nocase(value, STR("trailers")))
		return bad(k, "te other than trailers");
	while (str_split(&value, ',', &piece)) {
		if (str_eq_nocase(str_trim(piece), STR("trailers")))
			k->head->te_trailers = true;
	}
	return 0;
}

static int on_upgrade(struct check *k, struct str value)
{
	struct str piece;

	while (str_split(&value, ',', &piece)) {
		if (str_eq_nocase(str_trim(piece), STR("websocket")))
			k->websocket = true;
	}
	return 0;
}

static int on_expect(struct check *k, struct str value)
{
	if (!k->request)
		return 0;
	if (!str_eq_nocase(value, STR("100-continue")))
		return bad(k, "expect other than 100-continue");
	/* RFC 9110 10.1.1: one in HTTP/1.0 is ignored. */
	k->continue_asked = k->h2 || k->head->version_minor > 0;
	return 0;
}

/* Takes the meaning of a field that is not passed on. Sets *keep for those that are. */
static int take_field(struct check *k, struct http_field *f, bool *keep)
{
	enum field_kind kind = field_kind(f->name);
	bool connection_specific = kind == FIELD_CONNECTION || kind == FIELD_HOP ||
		kind == FIELD_TRANSFER_ENCODING || kind == FIELD_UPGRADE;

	*keep = false;
	if (k->h2 && connection_specific)
		return bad(k, "connection-specific field in HTTP/2");
	switch (kind) {
	case FIELD_SECRET:
		f->never_index = true;
		*keep = true;
		return 0;
	case FIELD_PLAIN:
		*keep = true;
		return 0;
	case FIELD_HOST:
		/* Means nothing in a response, so it is not passed on from there. */
		k->hosts++;
		k->host = f->value;
		return 0;
	case FIELD_CONNECTION:
		return on_connection(k, f->value);
	case FIELD_HOP:
		return 0;
	case FIELD_TE:
		return k->request ? on_te(k, f->value) : 0;
	case FIELD_TRANSFER_ENCODING:
		return on_transfer_encoding(k, f->value);
	case FIELD_UPGRADE:
		return on_upgrade(k, f->value);
	case FIELD_EXPECT:
		return on_expect(k, f->value);
	case FIELD_CONTENT_LENGTH:
		return on_content_length(k, f->value);
	}
	return 0;
}

static int check_fields(struct check *k)
{
	struct http_fields *fields = &k->head->fields;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < fields->n; i++) {
		struct http_field f = fields->v[i];
		bool keep;

		if (!http_is_token(f.name) || has_upper(f.name))
			return bad(k, "malformed field name");
		if (!http_is_field_value(f.value))
			return bad(k, "malformed field value");
		int r = take_field(k, &f, &keep);

		if (r != 0)
			return r;
		if (keep)
			fields->v[kept++] = f;
	}
	fields->n = kept;
	return 0;
}

/* RFC 9110 7.6.1: what Connection names is for this hop alone. */
static void drop_options(struct check *k)
{
	struct http_fields *fields = &k->head->fields;
	uint32_t kept = 0;

	if (k->n_options == 0)
		return;
	for (uint32_t i = 0; i < fields->n; i++) {
		bool named = false;

		for (size_t o = 0; o < k->n_options && !named; o++)
			named = str_eq_nocase(fields->v[i].name, k->options[o]);
		if (!named)
			fields->v[kept++] = fields->v[i];
	}
	fields->n = kept;
}

/* --- framing --- */

static int check_framing(struct check *k)
{
	struct http_head *h = k->head;

	if (k->chunked && k->lengths > 0)
		return bad(k, "transfer-encoding and content-length");
	if (k->chunked)
		h->length = HTTP_LENGTH_UNKNOWN;
	else if (k->lengths > 0)
		h->length = k->length;
	else
		h->length = k->request && !k->h2 ? 0 : HTTP_LENGTH_UNKNOWN;
	if (k->request)
		return 0;
	/* RFC 9112 6.1, RFC 9110 8.6: neither is for answers that have no body; a zero is common
	 * and harmless. */
	bool empty = h->status / 100 == 1 || h->status == 204;

	if (empty && (k->chunked || (k->lengths > 0 && k->length > 0)))
		return bad(k, "body framing in a response that has none");
	if (empty)
		h->length = 0;
	return 0;
}

static void check_keep_alive(struct check *k)
{
	struct http_head *h = k->head;

	h->keep_alive = k->h2 || (!k->close && (h->version_minor > 0 || k->keep_alive));
}

/* --- requests --- */

static int check_host(struct check *k)
{
	struct http_head *h = k->head;

	if (k->hosts > 1)
		return bad(k, "more than one host field");
	if (k->hosts == 0 && !k->h2 && h->version_minor > 0)
		return bad(k, "no host field");
	if (k->hosts == 1 && h->authority.n > 0 && !str_eq_nocase(k->host, h->authority))
		return bad(k, "host differs from the target's authority");
	if (h->authority.n == 0)
		h->authority = k->host;
	if (h->authority.n == 0 && !k->h2 && h->version_minor == 0 && k->hosts == 0)
		return 0;
	if (!http_is_authority(h->authority))
		return bad(k, "malformed host");
	return 0;
}

static bool has_port(struct str authority)
{
	return authority.n > 0 && authority.p[authority.n - 1] != ']' &&
		str_find(str_sub(authority,
				 authority.p[0] == '[' ? (size_t)str_find(authority, ']') : 0,
				 authority.n),
			':') >= 0;
}

static int check_connect(struct check *k)
{
	struct http_head *h = k->head;

	if (h->path.n > 0 || !has_port(h->authority))
		return bad(k, "malformed target of CONNECT");
	if (k->chunked || k->lengths > 0)
		return bad(k, "CONNECT with a body");
	return 0;
}

static int check_target(struct check *k)
{
	struct http_head *h = k->head;

	if (str_eq(h->method, STR("CONNECT")))
		return check_connect(k);
	if (!str_eq_nocase(h->scheme, STR("http")) && !str_eq_nocase(h->scheme, STR("https")))
		return bad(k, "unknown scheme");
	if (str_eq(h->path, STR("*")) && str_eq(h->method, STR("OPTIONS")))
		return 0;
	if (!http_is_path(h->path))
		return bad(k, "malformed request target");
	return 0;
}

static bool has_lower(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'a' && s.p[i] <= 'z')
			return true;
	}
	return false;
}

/*
 * Only a websocket handshake is an upgrade here; others are ignored, as RFC 9110 7.8 permits. In
 * HTTP/2 it is RFC 8441's extended CONNECT, which is made to look like the GET that it stands for.
 */
static int check_upgrade(struct check *k)
{
	struct http_head *h = k->head;

	if (k->h2) {
		if (h->protocol.n == 0)
			return 0;
		if (!str_eq(h->method, STR("CONNECT")))
			return bad(k, ":protocol without CONNECT");
		h->method = STR("GET");
		if (str_eq(h->protocol, STR("websocket")))
			return 0;
		k->detail = "unknown :protocol";
		return REASON_UNSUPPORTED;
	}
	if (k->websocket && k->upgrade_option && h->version_minor > 0 && !k->chunked &&
		k->length == 0 && str_eq(h->method, STR("GET")))
		h->protocol = STR("websocket");
	return 0;
}

static int check_request(struct check *k, const struct http_limits *limits)
{
	struct http_head *h = k->head;
	int r;

	if (h->path.n > limits->target_bytes || h->authority.n > limits->target_bytes) {
		k->detail = "request target too long";
		return REASON_URI_TOO_LONG;
	}
	if (!http_is_token(h->method) || has_lower(h->method))
		return bad(k, "malformed method");
	if ((r = check_upgrade(k)) != 0 || (r = check_host(k)) != 0 || (r = check_target(k)) != 0)
		return r;
	h->expect_continue = k->continue_asked;
	return 0;
}

/* --- responses --- */

static int check_response(struct check *k)
{
	struct http_head *h = k->head;

	if (h->status < 100 || h->status > 999)
		return bad(k, "malformed status");
	if (h->status != 101 || k->h2)
		return 0;
	if (!k->websocket || !k->upgrade_option)
		return bad(k, "101 without the upgrade that was asked for");
	h->protocol = STR("websocket");
	return 0;
}

/* --- public --- */

static bool over_limits(const struct http_head *head, const struct http_limits *limits)
{
	return head->fields.n > limits->header_count ||
		http_fields_size(&head->fields) > limits->header_bytes;
}

int http_check_head(struct http_head *head, const struct http_limits *limits, const char **detail)
{
	struct check k = {.head = head,
		.request = head->kind == HTTP_REQUEST,
		.h2 = head->version_major >= 2};
	int r;

	if (over_limits(head, limits)) {
		*detail = "header fields exceed the limit";
		return k.request ? REASON_HEADERS_TOO_LARGE : REASON_RESPONSE_HEADERS_TOO_LARGE;
	}
	if ((r = check_fields(&k)) != 0 || (r = check_framing(&k)) != 0 ||
		(r = k.request ? check_request(&k, limits) : check_response(&k)) != 0) {
		*detail = k.detail;
		return r;
	}
	drop_options(&k);
	check_keep_alive(&k);
	return 0;
}

/* RFC 9110 6.5.1: fields for framing, routing, authentication, request modifiers, content handling
 * do nothing good after the body. */
static bool forbidden_in_trailers(struct str name)
{
	static const struct str known[] = {{"te", 2}, {"age", 3}, {"date", 4}, {"host", 4},
		{"vary", 4}, {"range", 5}, {"cookie", 6}, {"expect", 6}, {"pragma", 6},
		{"expires", 7}, {"trailer", 7}, {"upgrade", 7}, {"warning", 7}, {"if-match", 8},
		{"if-range", 8}, {"location", 8}, {"connection", 10}, {"keep-alive", 10},
		{"set-cookie", 10}, {"retry-after", 11}, {"content-type", 12}, {"max-forwards", 12},
		{"authorization", 13}, {"cache-control", 13}, {"content-range", 13},
		{"if-none-match", 13}, {"content-length", 14}, {"content-encoding", 16},
		{"proxy-connection", 16}, {"www-authenticate", 16}, {"if-modified-since", 17},
		{"transfer-encoding", 17}, {"proxy-authenticate", 18}, {"if-unmodified-since", 19},
		{"proxy-authorization", 19}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (str_eq(name, known[i]))
			return true;
	}
	return false;
}

void http_check_trailers(struct http_fields *trailers)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < trailers->n; i++) {
		struct http_field f = trailers->v[i];

		if (http_is_token(f.name) && !has_upper(f.name) && http_is_field_value(f.value) &&
			!forbidden_in_trailers(f.name))
			trailers->v[kept++] = f;
	}
	trailers->n = kept;
}
