/*
 * From documents to objects: which kind each is, its metadata, and whether it was there before.
 * Called for each file by the world's owner; the kinds' own files do the rest.
 */
#include <stdarg.h>
#include <stdio.h>

#include "ctrlplane/compile/decode_internal.h"
#include "certs/chain.h"

#define OUR_GROUP "mesh.weft.dev"
#define OUR_API OUR_GROUP "/v1alpha1"

/* What is done with a kind. */
static const struct kind {
	const char *api, *name;
	void (*decode)(struct decoder *d);
} kinds[] = {
	{"v1", "Namespace", decode_namespace},
	{"v1", "Service", decode_service},
	{"v1", "Pod", decode_pod},
	{"discovery.k8s.io/v1", "EndpointSlice", decode_slice},
	{OUR_API, "AuthorizationPolicy", decode_authz},
	{OUR_API, "PeerAuthentication", decode_peer_auth},
	{OUR_API, "MeshConfig", decode_mesh_config},
	{OUR_API, "TrafficPolicy", decode_traffic},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Kinds that decide nothing about who may call whom: refused without a denial in their place. */
static const char *const harmless[] = {
	"TrafficPolicy", "ServiceEntry", "WorkloadEntry", "Telemetry", NULL};
static const char *const our_kinds[] = {
	"AuthorizationPolicy", "PeerAuthentication", "MeshConfig", "TrafficPolicy", NULL};

static void add_problem(struct decoder *d, enum problem_severity s, uint32_t line, struct str field,
	struct str text)
{
	if (s == PROBLEM_ERROR && d->first_problem.n == 0)
		d->first_problem = arena_printf(&d->w->arena, "%.*s%s%.*s", STR_ARG(field),
			field.n > 0 ? ": " : "", STR_ARG(text));
	if (d->redo != NULL) {
		/* What was said of it when it was read holds; a conflict is news, but for what
		 * nobody can read now. */
		if (s != PROBLEM_ERROR || d->redo->kept)
			return;
		line = d->meta.line;
	}
	if (problems_full(&d->w->problems, s))
		return;
	struct str object = object_title(&d->w->arena, &d->meta);
	problems_add(&d->w->problems,
		&(struct problem){.severity = s,
			.file = d->meta.file,
			.line = line,
			.object = object,
			.field = field,
			.text = text});
}

static void on_problem(void *arg, uint32_t line, struct str path, struct str text)
{
	add_problem(arg, PROBLEM_ERROR, line, path, text);
}

void decode_tell(struct decoder *d, enum problem_severity s, const struct yaml_node *node,
	const char *fmt, ...)
{
	char text[512];
	va_list args;
	if (d->redo != NULL || problems_full(&d->w->problems, s))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	add_problem(d, s, node->line, yaml_path(&d->w->arena, d->r.root, node), str_from(text));
}

void decode_check_top(struct decoder *d)
{
	static const char *const known[] = {
		"apiVersion", "kind", "metadata", "spec", "status", NULL};
	yaml_check_keys(&d->r, d->r.root, known);
}

/* -- metadata --------------------------------------------------------------------------------- */

static void decode_owner(struct decoder *d, const struct yaml_node *metadata)
{
	const struct yaml_node *owners =
		yaml_read_list(&d->r, metadata, "ownerReferences", YAML_OPTIONAL);
	for (const struct yaml_node *o = owners != NULL ? owners->first : NULL; o != NULL;
		o = o->next) {
		bool controller = false;
		struct str name;
		if (!yaml_as_map(&d->r, o))
			continue;
		(void)yaml_read_bool(&d->r, o, "controller", YAML_OPTIONAL, &controller);
		if (!yaml_read_str(&d->r, o, "name", YAML_REQUIRED, &name))
			continue;
		if (d->meta.owner.n == 0 || controller)
			d->meta.owner = name;
	}
}

static void decode_names(struct decoder *d, const struct yaml_node *metadata)
{
	struct object_meta *m = &d->meta;
	bool cluster = str_eq(m->kind, STR("Namespace"));
	d->named = false;
	if (yaml_read_str(&d->r, metadata, "name", YAML_REQUIRED, &m->name) &&
		!dns_subdomain_valid(m->name)) {
		yaml_problem_at(&d->r, metadata, "name",
			"not a name: lower-case letters, digits, '-' and '.', at most 253");
		m->name = STR_NULL;
	}
	if (metadata == NULL)
		return;
	d->named = m->name.n > 0;
	if (cluster)
		return;
	d->named = false;
	struct str ns = str_eq(m->kind, STR("MeshConfig")) ? STR(ROOT_NAMESPACE) : STR("default");
	unsigned before = d->r.problems;
	(void)yaml_read_str(&d->r, metadata, "namespace", YAML_OPTIONAL, &ns);
	if (d->r.problems > before)
		return;
	if (!dns_label_valid(ns))
		yaml_problem_at(&d->r, metadata, "namespace",
			"not a namespace: lower-case letters, digits and '-', at most 63");
	else
		m->ns = ns;
	d->named = m->ns.n > 0 && m->name.n > 0;
}

static void decode_metadata(struct decoder *d)
{
	struct object_meta *m = &d->meta;
	const struct yaml_node *metadata =
		yaml_read_map(&d->r, d->r.root, "metadata", YAML_REQUIRED);
	struct str deleted;
	decode_names(d, metadata);
	if (yaml_read_str(&d->r, metadata, "uid", YAML_OPTIONAL, &m->uid) &&
		!cert_uid_valid(m->uid))
		yaml_problem_at(&d->r, metadata, "uid",
			"not a UID: 1 to %d letters, digits, '.', '-' or '_'", CERT_UID_MAX);
	(void)yaml_read_str(&d->r, metadata, "creationTimestamp", YAML_OPTIONAL, &m->created);
	m->deleting = yaml_read_str(&d->r, metadata, "deletionTimestamp", YAML_OPTIONAL, &deleted);
	decode_labels(d, yaml_read_map(&d->r, metadata, "labels", YAML_OPTIONAL), &m->labels);
	decode_owner(d, metadata);
	d->meta_ok = d->r.problems == 0;
}

/* Two objects of one name: nobody can say which one is meant, so the later one is refused. */
static void check_again(struct decoder *d)
{
	struct arena *a = &d->w->arena;
	struct object_meta *m = &d->meta;
	if (!d->named || d->redo != NULL)
		return;
	struct str key = arena_printf(a, "%.*s/%.*s/%.*s", STR_ARG(m->kind), STR_ARG(m->ns),
		STR_ARG(m->name));
	struct seen_object *before = map_get(d->w->seen, key);
	if (before == NULL) {
		d->seen = ARENA_NEW(a, struct seen_object);
		*d->seen = (struct seen_object){
			.meta = *m, .blob = d->w->blob, .ordinal = d->w->ordinal - 1};
		map_put(d->w->seen, key, d->seen);
		return;
	}
	d->again = before->twice = true;
	yaml_problem(&d->r, d->r.root, "defined again; it is already at %.*s:%u",
		STR_ARG(before->meta.file), before->meta.line);
}

/* Who it is, and whether it is the only one. */
static void decode_identity(struct decoder *d)
{
	decode_metadata(d);
	check_again(d);
	if (!d->named && d->redo == NULL)
		world_add_hole(d->w, d->meta.file.p, true);
}

/* -- kinds ------------------------------------------------------------------------------------ */

static bool in_group(struct str api, const char *group)
{
	struct str g;
	return str_split(&api, '/', &g) && str_eq(g, str_from(group)) && api.p != NULL;
}

static bool listed(struct str s, const char *const *list)
{
	for (; *list != NULL; list++)
		if (str_eq(s, str_from(*list)))
			return true;
	return false;
}

/* Whom a slip of the pen meant: our group in capitals or without its version, or one of our kinds
 * without any group. A denial that is passed over for that opens a door. */
static bool is_ours(struct str api, struct str kind)
{
	struct str rest = api, group = STR_NULL;
	(void)str_split(&rest, '/', &group);
	if (str_eq_nocase(group, STR(OUR_GROUP)))
		return true;
	return rest.p == NULL &&
		(listed(kind, our_kinds) || str_eq(kind, STR("RequestAuthentication")));
}

/*
 * Our own group: what is not known there is refused, for passing over a policy opens doors. A known
 * kind of another version is read all the same, to see what it would have selected.
 */
static void unknown_of_ours(struct decoder *d, const struct kind *known, struct str api)
{
	struct str kind = d->meta.kind;
	bool spelt = listed(kind, harmless) || str_eq(kind, STR("RequestAuthentication"));
	if (!str_eq(api, STR(OUR_API)))
		yaml_problem(&d->r, yaml_field(d->r.root, STR("apiVersion")),
			"expected %s, found \"%.*s\"", OUR_API,
			(int)(api.n < YAML_SHOWN ? api.n : YAML_SHOWN), api.p);
	else
		yaml_problem_at(&d->r, d->r.root, "kind", "%.*s is not supported by this version%s",
			(int)(kind.n < YAML_SHOWN ? kind.n : YAML_SHOWN), kind.p,
			spelt ? "" : yaml_nearest(&d->w->arena, kind, our_kinds));
	if (known != NULL) {
		known->decode(d);
		return;
	}
	/* It may be one whose kind was misspelt. */
	d->named = false;
	world_add_hole(d->w, d->meta.file.p, true);
	if (!listed(kind, harmless))
		decode_unknown_security(d);
}

static void pass_over(struct decoder *d, struct str api)
{
	struct str kind = d->meta.kind;
	if (in_group(api, "security.istio.io") && listed(kind, our_kinds))
		decode_tell(d, PROBLEM_WARNING, d->r.root,
			"passed over: apiVersion is Istio's; write %s to have it enforced here",
			OUR_API);
	else if (in_group(api, "networking.k8s.io") && str_eq(kind, STR("NetworkPolicy")))
		decode_tell(d, PROBLEM_WARNING, d->r.root,
			"passed over: this version does not enforce NetworkPolicy");
	else
		decode_tell(d, PROBLEM_NOTE, d->r.root, "passed over: not used (apiVersion %.*s)",
			(int)(api.n < YAML_SHOWN ? api.n : YAML_SHOWN), api.p);
}

/* The name of an object that is passed over, for its note; whatever it is. */
static void peek_names(struct decoder *d)
{
	const struct yaml_node *name = yaml_get(d->r.root, "metadata.name");
	const struct yaml_node *ns = yaml_get(d->r.root, "metadata.namespace");
	if (name != NULL && name->kind == YAML_STRING)
		d->meta.name = arena_str(&d->w->arena, name->text);
	if (ns != NULL && ns->kind == YAML_STRING)
		d->meta.ns = arena_str(&d->w->arena, ns->text);
}

static const struct kind *find_kind(struct str name)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (str_eq(name, str_from(kinds[i].name)))
			return &kinds[i];
	return NULL;
}

static void decode_kind(struct decoder *d, struct str api)
{
	const struct kind *kind = find_kind(d->meta.kind);
	bool ours = is_ours(api, d->meta.kind);
	if (kind != NULL && !str_eq(str_from(kind->api), STR(OUR_API)) && ours)
		kind = NULL; /* a Pod of ours is no Pod */
	if (kind != NULL && str_eq(api, str_from(kind->api))) {
		decode_identity(d);
		kind->decode(d);
		if (d->seen != NULL)
			d->seen->valid = d->r.problems == 0;
	} else if (ours) {
		if (kind != NULL)
			decode_identity(d);
		else
			decode_metadata(d);
		unknown_of_ours(d, kind, api);
	} else {
		peek_names(d);
		pass_over(d, api);
	}
}

/* -- documents -------------------------------------------------------------------------------- */

static void decode_object(struct world *w, const char *file, const struct yaml_node *node,
	struct str api, struct str kind);

/* A List, or a PodList and the like, whose items need not repeat what they are. */
static void decode_list(struct decoder *d, const char *file, struct str api,
	const struct yaml_node *items)
{
	struct str kind = str_sub(d->meta.kind, 0, d->meta.kind.n - 4);
	for (const struct yaml_node *c = items->first; c != NULL; c = c->next)
		decode_object(d->w, file, c, kind.n > 0 ? api : STR_NULL, kind);
}

/* The next object of the file. False where it is not wanted. */
static bool take_object(struct decoder *d)
{
	struct world *w = d->w;
	uint32_t ordinal = w->ordinal++;
	if (w->wanted == NULL)
		return true;
	if (w->n_wanted == 0 || w->wanted[0]->form->ordinal != ordinal)
		return false;
	d->redo = *w->wanted++;
	w->n_wanted--;
	d->meta.file = d->redo->now.file;
	d->meta.line = d->redo->now.line;
	d->meta.kept = d->redo->kept;
	return true;
}

static void no_object(struct decoder *d)
{
	if (d->w->wanted != NULL)
		return;
	world_add_hole(d->w, d->meta.file.p, false);
	if (d->w->blob != NULL)
		d->w->blob->whole = false;
}

/* api and kind: what it is where it does not say so. */
static void decode_object(struct world *w, const char *file, const struct yaml_node *node,
	struct str api, struct str kind)
{
	struct decoder d = {.w = w,
		.r = {.arena = &w->arena,
			.root = node,
			.report = on_problem,
			.max = PROBLEMS_OF_OBJECT},
		.meta = {.file = str_from(file), .line = node->line}};
	d.r.arg = &d;
	d.meta.kind = STR("object");
	if (!yaml_as_map(&d.r, node)) {
		no_object(&d);
		return;
	}
	enum yaml_need need = kind.n > 0 ? YAML_OPTIONAL : YAML_REQUIRED;
	(void)yaml_read_str(&d.r, node, "kind", need, &kind);
	(void)yaml_read_str(&d.r, node, "apiVersion", need, &api);
	if (kind.n > 0)
		d.meta.kind = kind;
	if (d.r.problems > 0) {
		no_object(&d);
		return;
	}
	const struct yaml_node *items = yaml_field(node, STR("items"));
	if (str_ends(kind, STR("List")) && items != NULL && items->kind == YAML_LIST)
		decode_list(&d, file, api, items);
	else if (take_object(&d))
		decode_kind(&d, api);
}

/* -- files ------------------------------------------------------------------------------------ */

static void file_error(struct world *w, const char *file, uint32_t line, const char *text)
{
	problems_add(&w->problems,
		&(struct problem){.severity = PROBLEM_ERROR,
			.file = str_from(file),
			.line = line,
			.text = str_from(text)});
	world_add_hole(w, file, false);
}

void world_unread(struct world *w, const char *path, const char *why)
{
	const char *name = arena_strdup(&w->arena, str_from(path));
	struct str text = arena_printf(&w->arena, "cannot be read: %s", why);
	file_error(w, name, 0, text.p);
}

/* A chain of hashes, so that neither names nor bytes can be cut differently. */
static void digest(struct world *w, const char *file, const uint8_t *hash)
{
	uint8_t all[3 * SHA256_SIZE];
	memcpy(all, w->digest, SHA256_SIZE);
	crypto_sha256(file, strlen(file), all + SHA256_SIZE);
	memcpy(all + (size_t)2 * SHA256_SIZE, hash, SHA256_SIZE);
	crypto_sha256(all, sizeof(all), w->digest);
}

/* The tree is gone afterwards: objects have copies of what they keep. */
int decode_bytes(struct world *w, const char *file, struct str bytes, struct yaml_error *error)
{
	struct arena tree;
	const struct yaml_node *docs;
	arena_init(&tree, NULL);
	int failed = yaml_parse(&tree, bytes, &docs, error);
	w->ordinal = 0;
	for (const struct yaml_node *doc = docs; failed == 0 && doc != NULL; doc = doc->next)
		decode_object(w, file, doc, STR_NULL, STR_NULL);
	arena_clear(&tree);
	return failed;
}

void world_add(struct world *w, const char *file, struct str bytes)
{
	struct yaml_error error;
	uint8_t hash[SHA256_SIZE];
	const char *name = arena_strdup(&w->arena, str_from(file));
	w->files++;
	crypto_sha256(bytes.p, bytes.n, hash);
	digest(w, file, hash);
	if (w->good != NULL) {
		w->blob = good_blob(w->good, file, bytes);
		object_list_add(&w->blobs, w->blob);
	}
	if (decode_bytes(w, name, bytes, &error) != 0)
		file_error(w, name, error.line, error.text);
	else if (w->good != NULL)
		good_put_file(w->good, w->blob);
	w->blob = NULL;
}
