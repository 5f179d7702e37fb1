/*
 * A discovery and its control plane in memory. Called by the tests of sidecar/discovery.
 */
#include "tests/support/discovery_world.h"

#include "lib/crypto/crypto.h"

#define TD "cluster.local"
#define WALL 1760000000ll

static char *text(struct disc *w, const char *z)
{
	return arena_strdup(&w->a, str_from(z));
}

static ProtobufCBinaryData bytes_of(struct disc *w, const char *ip)
{
	struct addr a = raw_addr(ip);
	size_t n = a.family == ADDR_V4 ? 4 : 16;
	return (ProtobufCBinaryData){n, (uint8_t *)arena_strdup(&w->a, str_make(a.bytes, n))};
}

/* -- the user --------------------------------------------------------------------------------- */

static void add_text(char *dst, size_t size, const char *z)
{
	size_t n = strlen(dst);
	snprintf(dst + n, size - n, "%s%s", n > 0 && dst[n - 1] != ' ' ? " " : "", z);
}

static int check(void *arg, const resource *r, struct snapshot_fault *fault)
{
	(void)arg;
	return snapshot_check_resource(TD, r, fault);
}

static int fails(struct disc *w, const Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	if (w->apply_fails == NULL)
		return 0;
	for (size_t i = 0; i < st->n_used; i++)
		if (strcmp(st->used[i]->name, w->apply_fails) == 0)
			fault->resource = st->used[i]->name;
	for (size_t i = 0; i < st->n_required; i++)
		if (strcmp(st->required[i]->name, w->apply_fails) == 0)
			fault->resource = st->required[i]->name;
	if (fault->resource == NULL && w->apply_fails[0] != '\0')
		return 0;
	snprintf(fault->field, sizeof(fault->field), "whole");
	snprintf(fault->reason, sizeof(fault->reason), "does not go with the rest");
	return ERR_INVAL;
}

static void write_down(struct disc *w, const Weft__Mesh__V1__State *st)
{
	w->broken[0] = '\0';
	snprintf(w->in_force, sizeof(w->in_force), "required: ");
	for (size_t i = 0; i < st->n_required; i++) {
		const resource *r = st->required[i];
		add_text(w->in_force, sizeof(w->in_force), r->name);
		if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY &&
			r->authorization_policy->broken[0] != '\0')
			add_text(w->broken, sizeof(w->broken), r->authorization_policy->broken);
	}
	add_text(w->in_force, sizeof(w->in_force), "used: ");
	for (size_t i = 0; i < st->n_used; i++)
		add_text(w->in_force, sizeof(w->in_force), st->used[i]->name);
}

static int apply(void *arg, const Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	struct disc *w = arg;
	Weft__Mesh__V1__State whole = *st;
	whole.trust_domain = text(w, TD);
	whole.written_at = WALL;
	int e = fails(w, st, fault);
	if (e == 0)
		e = snapshot_try(&whole, 1, NULL, fault);
	if (e != 0)
		return e;
	w->applied++;
	write_down(w, st);
	return 0;
}

static void answered(void *arg, const struct addr *ip)
{
	struct disc *w = arg;
	char t[ADDR_TEXT];
	add_text(w->answered, sizeof(w->answered), addr_format_ip(ip, t));
}

static bool in_use(void *arg, const struct addr *ip)
{
	struct disc *w = arg;
	char t[ADDR_TEXT];
	return w->in_use != NULL && strcmp(addr_format_ip(ip, t), w->in_use) == 0;
}

static void changed(void *arg)
{
	((struct disc *)arg)->changed++;
}

static void refused(void *arg)
{
	((struct disc *)arg)->credential_refused++;
}

static struct str credential(void *arg)
{
	return str_from(((struct disc *)arg)->credential);
}

static const struct discovery_user user = {check, apply, answered, in_use, changed, refused};

/* -- the control plane ------------------------------------------------------------------------ */

static void forget_requests(struct disc *w)
{
	for (size_t i = 0; i < w->n_requests; i++)
		protobuf_c_message_free_unpacked(&w->requests[i]->base, NULL);
	w->n_requests = 0;
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct disc *w = arg;
	request *q = (request *)grpc_unpack(&weft__mesh__v1__discovery_request__descriptor, bytes);
	assert_ptr_equal(c, w->call);
	assert_non_null(q);
	w->all_requests++;
	w->all_keys += q->n_subscribe + q->n_unsubscribe;
	if (w->n_requests == DISC_REQUESTS)
		forget_requests(w);
	w->requests[w->n_requests++] = q;
	if (w->on_request != NULL)
		w->on_request(w, q);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct disc *w = arg;
	(void)end;
	if (w->call == c)
		w->call = NULL;
}

static const struct grpc_call_events events = {.on_message = on_message, .on_end = on_end};

static void on_stream(void *arg, struct grpc_call *c)
{
	struct disc *w = arg;
	w->calls++;
	forget_requests(w);
	(void)str_copy(w->bearer, sizeof(w->bearer), grpc_call_bearer(c));
	w->call = c;
	grpc_call_set_user(c, &events, w);
	if (w->refuse != 0)
		grpc_call_finish(c, (enum grpc_status)w->refuse, "as told");
}

static const struct grpc_method methods[] = {{.name = "Stream",
	.start = on_stream,
	.client_streams = true,
	.server_streams = true,
	.max_message = 4 << 20}};

void disc_serve(struct disc *w)
{
	struct grpc_server_config cfg = {0};
	struct listen_config listen = {.addr = w->addr};
	char err[128];
	w->server = grpc_server_new(&w->rig.env, w->rig.net, &cfg);
	grpc_server_add(w->server, &w->service);
	assert_int_equal(grpc_server_listen(w->server, &listen, &w->addr, err, sizeof(err)), 0);
}

void disc_stop_server(struct disc *w)
{
	grpc_server_close(&w->server);
	w->call = NULL;
	disc_settle(w);
}

/* -- the dialler ------------------------------------------------------------------------------ */

static void on_dialled(void *arg, struct io *io, int err)
{
	struct disc *w = arg;
	w->dial = NULL;
	w->dialled(w->dialled_arg, io, err, err != 0 ? err_text(err) : NULL);
}

static void *dial(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct disc *w = arg;
	struct dial_config cfg = {.to = w->addr, .timeout_ns = 2 * NS_PER_S};
	w->dials++;
	w->dialled = done;
	w->dialled_arg = done_arg;
	w->dial = dial_start(w->rig.net, &cfg, on_dialled, w);
	return w;
}

static void cancel(void *arg, void *handle)
{
	struct disc *w = arg;
	assert_ptr_equal(w, handle);
	dial_cancel(&w->dial);
}

/* -- life ------------------------------------------------------------------------------------- */

static void on_line(void *arg, struct str line)
{
	struct disc *w = arg;
	if (w->log_n + line.n >= sizeof(w->log_text))
		return;
	memcpy(w->log_text + w->log_n, line.p, line.n);
	w->log_n += line.n;
	w->log_text[w->log_n] = '\0';
}

/* All but loop, pools and network. */
static void init_user(struct disc *w)
{
	arena_init(&w->a, NULL);
	rng_seed(&w->rng, 7);
	assert_int_equal(crypto_init(), 0);
	assert_int_equal(cert_ca_create(STR(TD), WALL - 10, WALL + 1000000000, &w->ca), 0);
	w->log = log_new_sink(on_line, w, LOG_DEBUG, LOG_TEXT, loop_clock(w->rig.loop));
	w->names = "";
	w->credential = "";
	w->max_destinations = 8;
	w->max_negatives = 16;
	const struct grpc_channel_config cfg = {
		.dialler = {dial, cancel, w}, .authority = "weft-ctrlplane"};
	w->channel = grpc_channel_new(&w->rig.env, &cfg);
}

void disc_init(struct disc *w)
{
	memset(w, 0, sizeof(*w));
	rig_open(&w->rig, 256 * 1024);
	w->addr = raw_addr("127.0.0.1:15012");
	init_user(w);
	w->service = (struct grpc_service){
		.name = "weft.mesh.v1.Discovery", .methods = methods, .n_methods = 1, .arg = w};
	disc_serve(w);
}

void disc_attach(struct disc *w, const struct http_env *env, struct net *net, struct addr to)
{
	memset(w, 0, sizeof(*w));
	w->rig = (struct rig){.loop = env->loop,
		.bufs = env->bufs,
		.arenas = env->arenas,
		.net = net,
		.env = *env};
	w->addr = to;
	init_user(w);
}

void disc_detach(struct disc *w)
{
	discovery_free(&w->d);
	grpc_channel_free(&w->channel);
	disc_settle(w);
	log_free(&w->log);
	cert_ca_free(&w->ca);
	arena_clear(&w->a);
}

void disc_make(struct disc *w)
{
	const struct discovery_config cfg = {.loop = w->rig.loop,
		.log = w->log,
		.rng = &w->rng,
		.channel = w->channel,
		.credential = credential,
		.user = &user,
		.arg = w,
		.names = w->names,
		.max_destinations = w->max_destinations,
		.max_negatives = w->max_negatives};
	w->d = discovery_new(&cfg);
}

void disc_start(struct disc *w)
{
	disc_make(w);
	discovery_start(w->d);
	disc_settle(w);
}

void disc_free(struct disc *w)
{
	discovery_free(&w->d);
	disc_settle(w);
}

void disc_fini(struct disc *w)
{
	discovery_free(&w->d);
	grpc_channel_free(&w->channel);
	grpc_server_close(&w->server);
	forget_requests(w);
	disc_advance(w, 60 * NS_PER_S);
	log_free(&w->log);
	cert_ca_free(&w->ca);
	arena_clear(&w->a);
	rig_close(&w->rig);
}

void disc_settle(struct disc *w)
{
	rig_settle(&w->rig);
}

void disc_advance(struct disc *w, uint64_t ns)
{
	loop_sim_advance(w->rig.loop, ns);
}

/* -- responses -------------------------------------------------------------------------------- */

response *say(struct disc *w)
{
	response *m = ARENA_NEW(&w->a, response);
	weft__mesh__v1__discovery_response__init(m);
	return m;
}

/* One more in an array of pointers; the old one stays in the arena. */
static void *grown(struct disc *w, void *v, size_t n)
{
	void **more = arena_zalloc(&w->a, (n + 1) * sizeof(void *));
	if (n > 0)
		memcpy(more, v, n * sizeof(void *));
	return more;
}

static Weft__Mesh__V1__NameList *name_list(struct disc *w, const char *names)
{
	Weft__Mesh__V1__NameList *l = ARENA_NEW(&w->a, Weft__Mesh__V1__NameList);
	struct str rest = str_from(names), one;
	weft__mesh__v1__name_list__init(l);
	while (rest.n > 0 && str_split(&rest, ' ', &one)) {
		l->names = grown(w, l->names, l->n_names);
		l->names[l->n_names++] = arena_strdup(&w->a, one);
	}
	return l;
}

void say_required(struct disc *w, response *m, const char *policies)
{
	Weft__Mesh__V1__Required *q = ARENA_NEW(&w->a, Weft__Mesh__V1__Required);
	weft__mesh__v1__required__init(q);
	q->workload = text(w, "Workload/shop/me");
	q->mesh = text(w, "Mesh");
	q->revocations = text(w, "Revocations");
	q->trust_bundles = name_list(w, "TrustBundle/" TD);
	q->authorization_policies = policies != NULL ? name_list(w, policies) : NULL;
	m->required = q;
}

void say_resource(struct disc *w, response *m, resource *r)
{
	m->resources = grown(w, m->resources, m->n_resources);
	m->resources[m->n_resources++] = r;
}

void say_removed(struct disc *w, response *m, const char *name)
{
	m->removed = grown(w, m->removed, m->n_removed);
	m->removed[m->n_removed++] = text(w, name);
}

/* Digits first: an address; otherwise a name. */
static Weft__Mesh__V1__Answer *answer(struct disc *w, response *m, const char *key)
{
	Weft__Mesh__V1__Answer *a = ARENA_NEW(&w->a, Weft__Mesh__V1__Answer);
	weft__mesh__v1__answer__init(a);
	a->key = ARENA_NEW(&w->a, Weft__Mesh__V1__Key);
	weft__mesh__v1__key__init(a->key);
	if ((key[0] >= '0' && key[0] <= '9') || strchr(key, ':') != NULL) {
		a->key->by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
		a->key->address = bytes_of(w, key);
	} else {
		a->key->by_case = WEFT__MESH__V1__KEY__BY_NAME;
		a->key->name = text(w, key);
	}
	m->answers = grown(w, m->answers, m->n_answers);
	m->answers[m->n_answers++] = a;
	return a;
}

void say_answer(struct disc *w, response *m, const char *ip, const char *name)
{
	Weft__Mesh__V1__Answer *a = answer(w, m, ip);
	a->not_meshed = name == NULL;
	if (name != NULL)
		a->resource = text(w, name);
}

void say_refused(struct disc *w, response *m, const char *ip, const char *why)
{
	answer(w, m, ip)->refused = text(w, why);
}

void say_basics(struct disc *w, response *m)
{
	say_required(w, m, "");
	say_resource(w, m, make_workload(w, "1"));
	say_resource(w, m, make_mesh(w, "1"));
	say_resource(w, m, make_bundle(w, "1"));
	say_resource(w, m, make_revocations(w, "1"));
	m->position = text(w, "x:1");
}

void say_bytes(struct disc *w, struct str bytes)
{
	assert_non_null(w->call);
	(void)grpc_call_send_bytes(w->call, bytes);
	disc_settle(w);
	disc_advance(w, FLUSH_EVERY);
}

void say_it(struct disc *w, response *m)
{
	char nonce[16];
	snprintf(nonce, sizeof(nonce), "n%u", ++w->nonce);
	m->nonce = text(w, nonce);
	assert_non_null(w->call);
	(void)grpc_call_send(w->call, &m->base);
	disc_settle(w);
	disc_advance(w, FLUSH_EVERY);
}

/* -- resources -------------------------------------------------------------------------------- */

static resource *make(struct disc *w, const char *name, const char *version,
	Weft__Mesh__V1__Resource__KindCase kind)
{
	resource *r = ARENA_NEW(&w->a, resource);
	weft__mesh__v1__resource__init(r);
	r->name = text(w, name);
	r->hash = (ProtobufCBinaryData){strlen(version), (uint8_t *)text(w, version)};
	r->kind_case = kind;
	return r;
}

resource *make_workload(struct disc *w, const char *version)
{
	resource *r = make(w, "Workload/shop/me", version, WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD);
	Weft__Mesh__V1__Workload *x = ARENA_NEW(&w->a, Weft__Mesh__V1__Workload);
	weft__mesh__v1__workload__init(x);
	x->namespace_ = text(w, "shop");
	x->name = x->uid = x->service_account = text(w, "me");
	x->n_addresses = 1;
	x->addresses = ARENA_NEW(&w->a, ProtobufCBinaryData);
	x->addresses[0] = bytes_of(w, "10.77.0.1");
	r->workload = x;
	return r;
}

resource *make_mesh(struct disc *w, const char *version)
{
	resource *r = make(w, "Mesh", version, WEFT__MESH__V1__RESOURCE__KIND_MESH);
	r->mesh = ARENA_NEW(&w->a, Weft__Mesh__V1__Mesh);
	weft__mesh__v1__mesh__init(r->mesh);
	r->mesh->trust_domain = text(w, TD);
	return r;
}

resource *make_bundle(struct disc *w, const char *version)
{
	struct str der = cert_chain_der(cert_ca_chain(w->ca));
	resource *r =
		make(w, "TrustBundle/" TD, version, WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE);
	r->trust_bundle = ARENA_NEW(&w->a, Weft__Mesh__V1__TrustBundle);
	weft__mesh__v1__trust_bundle__init(r->trust_bundle);
	r->trust_bundle->trust_domain = text(w, TD);
	r->trust_bundle->roots = (ProtobufCBinaryData){der.n, (uint8_t *)arena_strdup(&w->a, der)};
	return r;
}

resource *make_revocations(struct disc *w, const char *version)
{
	resource *r = make(w, "Revocations", version, WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS);
	r->revocations = ARENA_NEW(&w->a, Weft__Mesh__V1__Revocations);
	weft__mesh__v1__revocations__init(r->revocations);
	return r;
}

resource *make_policy(struct disc *w, const char *name, const char *version, bool bad)
{
	char *full = mem_printf("AuthorizationPolicy/shop/%s", name);
	resource *r = make(w, full, version, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY);
	Weft__Mesh__V1__AuthorizationPolicy *p =
		ARENA_NEW(&w->a, Weft__Mesh__V1__AuthorizationPolicy);
	mem_free(full);
	weft__mesh__v1__authorization_policy__init(p);
	p->namespace_ = text(w, "shop");
	p->name = text(w, name);
	p->action = bad ? (Weft__Mesh__V1__AuthorizationPolicy__Action)7
			: WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__ALLOW;
	r->authorization_policy = p;
	return r;
}

static Weft__Mesh__V1__Endpoint *make_endpoint(struct disc *w, const char *name, const char *ip)
{
	Weft__Mesh__V1__Endpoint *e = ARENA_NEW(&w->a, Weft__Mesh__V1__Endpoint);
	weft__mesh__v1__endpoint__init(e);
	e->n_addresses = 1;
	e->addresses = ARENA_NEW(&w->a, ProtobufCBinaryData);
	e->addresses[0] = bytes_of(w, ip);
	e->name = text(w, name);
	e->ready = true;
	return e;
}

resource *make_service(struct disc *w, const char *name, const char *vip, const char *version)
{
	char *full = mem_printf("Service/shop/%s", name);
	resource *r = make(w, full, version, WEFT__MESH__V1__RESOURCE__KIND_SERVICE);
	mem_free(full);
	r->service = ARENA_NEW(&w->a, Weft__Mesh__V1__Service);
	weft__mesh__v1__service__init(r->service);
	r->service->namespace_ = text(w, "shop");
	r->service->name = text(w, name);
	if (vip[0] == '\0')
		return r;
	r->service->n_addresses = 1;
	r->service->addresses = ARENA_NEW(&w->a, ProtobufCBinaryData);
	r->service->addresses[0] = bytes_of(w, vip);
	return r;
}

resource *make_pod(struct disc *w, const char *name, const char *ip, const char *version)
{
	char *full = mem_printf("Pod/shop/%s", name);
	resource *r = make(w, full, version, WEFT__MESH__V1__RESOURCE__KIND_POD);
	mem_free(full);
	r->pod = ARENA_NEW(&w->a, Weft__Mesh__V1__Pod);
	weft__mesh__v1__pod__init(r->pod);
	r->pod->endpoint = make_endpoint(w, name, ip);
	return r;
}

resource *make_unpacked(const resource *r)
{
	size_t n = weft__mesh__v1__resource__get_packed_size(r);
	uint8_t *p = mem_alloc(n + 1);
	weft__mesh__v1__resource__pack(r, p);
	resource *copy = weft__mesh__v1__resource__unpack(NULL, n, p);
	mem_free(p);
	return copy;
}

/* -- what the sidecar did --------------------------------------------------------------------- */

enum lookup_answer disc_ask(struct disc *w, const char *ip)
{
	struct addr a = raw_addr(ip);
	return (enum lookup_answer)discovery_ask(w->d, &a);
}

const request *disc_last_answer(const struct disc *w)
{
	for (size_t i = w->n_requests; i-- > 0;)
		if (w->requests[i]->response_nonce[0] != '\0')
			return w->requests[i];
	return NULL;
}

static unsigned count_key(size_t n, Weft__Mesh__V1__Key *const *v, const char *key)
{
	unsigned count = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i]->by_case == WEFT__MESH__V1__KEY__BY_NAME) {
			count += strcmp(v[i]->name, key) == 0;
			continue;
		}
		char t[ADDR_TEXT];
		struct addr a = {.family = v[i]->address.len == 4 ? ADDR_V4 : ADDR_V6};
		memcpy(a.bytes, v[i]->address.data, v[i]->address.len);
		count += strcmp(addr_format_ip(&a, t), key) == 0;
	}
	return count;
}

unsigned disc_subscribed(const struct disc *w, const char *key)
{
	unsigned n = 0;
	for (size_t i = 0; i < w->n_requests; i++)
		n += count_key(w->requests[i]->n_subscribe, w->requests[i]->subscribe, key);
	return n;
}

unsigned disc_unsubscribed(const struct disc *w, const char *key)
{
	unsigned n = 0;
	for (size_t i = 0; i < w->n_requests; i++)
		n += count_key(w->requests[i]->n_unsubscribe, w->requests[i]->unsubscribe, key);
	return n;
}

const char *disc_rejected(struct disc *w)
{
	const request *q = disc_last_answer(w);
	struct str all = STR("");
	assert_non_null(q);
	for (size_t i = 0; i < q->n_rejected; i++)
		all = arena_printf(&w->a, "%.*s%s: %s: %s\n", STR_ARG(all), q->rejected[i]->name,
			q->rejected[i]->field, q->rejected[i]->reason);
	return arena_strdup(&w->a, all);
}

bool disc_held(const request *q, const char *name, const char *version)
{
	for (size_t i = 0; i < q->n_held; i++)
		if (strcmp(q->held[i]->name, name) == 0)
			return str_eq(str_make(q->held[i]->hash.data, q->held[i]->hash.len),
				str_from(version));
	return false;
}

const char *disc_describe(struct disc *w)
{
	struct json j;
	struct buf out;
	buf_init(&out, w->rig.bufs);
	json_init(&j, &out, false);
	json_object(&j);
	discovery_describe(w->d, &j);
	json_object_end(&j);
	char *z = arena_alloc(&w->a, buf_len(&out) + 1);
	z[buf_copy_out(&out, 0, z, buf_len(&out))] = '\0';
	buf_clear(&out);
	return z;
}
