/*
 * Starts and ends the control plane of a test mesh; see mesh_control.h. Owns its folder.
 */
#include "tests/support/mesh_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrlplane/ca/attest.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define MAX_FLAGS 16

static const char *path_of(const struct mesh_control *c, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *p = paths[next++ % 4];
	snprintf(p, sizeof(paths[0]), "%s/%s", c->folder, name);
	return p;
}

static void put(const char *path, const char *text)
{
	char err[256];
	if (file_replace(path, 0600, str_from(text), err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

void mesh_control_init(struct mesh_control *c, struct mesh *m, const char *const *flags)
{
	char source[128], data[128];
	char *argv[MAX_FLAGS + 8] = {(char *)(uintptr_t)"weft-ctrlplane",
		(char *)(uintptr_t)"--source", source, (char *)(uintptr_t)"--data-dir", data,
		(char *)(uintptr_t)"--control-socket="};
	struct conf_program prog = {.name = "test", .summary = "", .synopsis = ""};
	int argc = 6, n;
	memset(c, 0, sizeof(*c));
	c->mesh = m;
	strcpy(c->folder, "/tmp/weft-control-test-XXXXXX");
	assert_non_null(mkdtemp(c->folder));
	assert_int_equal(mkdir(path_of(c, "source"), 0700), 0);
	snprintf(source, sizeof(source), "dir:%s/source", c->folder);
	snprintf(data, sizeof(data), "%s/data", c->folder);
	for (; flags != NULL && *flags != NULL; flags++) {
		assert_true(argc < MAX_FLAGS + 6);
		argv[argc++] = (char *)(uintptr_t)*flags;
	}
	prog.params = ctrlplane_params_table(&prog.n_params);
	assert_int_equal(conf_load(&prog, argc, argv, &n, &c->params, stdout, stderr), CONF_RUN);
	rng_seed(&c->rng, 99);
}

static void remove_folder(const char *folder)
{
	char *command = mem_printf("rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
	mem_free(command);
}

void mesh_control_fini(struct mesh_control *c)
{
	struct conf_program prog = {.name = "test"};
	if (c->cp != NULL)
		mesh_control_stop(c);
	prog.params = ctrlplane_params_table(&prog.n_params);
	conf_free(&prog, &c->params);
	remove_folder(c->folder);
}

static void on_done(void *arg)
{
	((struct mesh_control *)arg)->done = true;
}

void mesh_control_start(struct mesh_control *c)
{
	struct mesh *m = c->mesh;
	char err[512];
	struct ctrlplane_env env = {.loop = m->w.loop,
		.net = m->net,
		.bufs = m->w.bufs,
		.arenas = m->w.arenas,
		.log = m->log,
		.rng = &c->rng};
	assert_int_equal(addr_parse(STR(MESH_CONTROL), &env.bind), 0);
	mesh_control_write(c);
	c->done = false;
	c->cp = ctrlplane_new(&env, &c->params, on_done, c);
	if (ctrlplane_start(c->cp, err, sizeof(err)) != 0)
		fail_msg("ctrlplane_start: %s", err);
	c->addr = addr_with_port(&env.bind, ctrlplane_grpc_addr(c->cp).port);
	mesh_settle(m);
}

void mesh_control_stop(struct mesh_control *c)
{
	ctrlplane_quit(c->cp);
	mesh_settle(c->mesh);
	assert_true(c->done);
	ctrlplane_free(&c->cp);
	mesh_settle(c->mesh);
}

static void add_pod(struct buf *b, const struct mesh_test_pod *p)
{
	buf_printf(b,
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: default, uid: %s, "
		"labels: {app: %s}}\n",
		p->name, p->uid, strncmp(p->name, "web", 3) == 0 ? "web" : p->name);
	buf_printf(b,
		"spec: {serviceAccountName: %s, containers: [{name: app, ports: "
		"[{containerPort: %u}]}%s]}\n",
		p->name, p->mesh->target, p->meshed ? ", {name: weft-sidecar}" : "");
	buf_printf(b,
		"status: {phase: Running, podIP: \"%s\", podIPs: [{ip: \"%s\"}], conditions: "
		"[{type: Ready, status: \"%s\"}]}\n",
		p->ip, p->ip, p->unready ? "False" : "True");
}

void mesh_control_write(struct mesh_control *c)
{
	struct mesh *m = c->mesh;
	struct buf b;
	buf_init(&b, m->log_bufs);
	buf_printf(&b,
		"apiVersion: mesh.weft.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: mesh, "
		"namespace: weft-system}\nspec: {trustDomain: cluster.local, meshRanges: "
		"[10.0.0.0/8, \"fd00::/8\"]}\n");
	buf_printf(&b,
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n"
		"spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: %u, targetPort: "
		"%u}]}\n",
		m->port, m->target);
	for (size_t i = 0; i < m->n_pods; i++)
		add_pod(&b, &m->pods[i]);
	if (c->extra != NULL)
		buf_printf(&b, "---\n%s", c->extra);
	size_t n = buf_len(&b);
	char *text = mem_alloc(n + 1);
	buf_copy_out(&b, 0, text, n);
	buf_clear(&b);
	put(path_of(c, "source/mesh.yaml"), text);
	mem_free(text);
	if (c->cp != NULL)
		ctrlplane_reload(c->cp);
	mesh_settle(m);
}

static const char *file_of(const struct mesh_control *c, const struct mesh_test_pod *p,
	const char *what)
{
	char name[64];
	snprintf(name, sizeof(name), "%s-%s", p->name, what);
	return path_of(c, name);
}

const char *mesh_control_state(const struct mesh_control *c, const struct mesh_test_pod *p)
{
	return file_of(c, p, "state");
}

void mesh_control_token(struct mesh_control *c, struct mesh_test_pod *p)
{
	char err[256], *token;
	if (attest_create_token(ctrlplane_attest(c->cp), STR("default"), str_from(p->name),
		    600 * NS_PER_S, &token, err, sizeof(err)) != 0)
		fail_msg("attest_create_token: %s", err);
	put(file_of(c, p, "token"), token);
	mem_free_secret(token, strlen(token));
}

static void set(char **param, const char *value)
{
	mem_free(*param);
	*param = mem_strdup(value);
}

void mesh_control_prepare(struct mesh_control *c, struct mesh_test_pod *p)
{
	char to[ADDR_TEXT];
	mesh_control_token(c, p);
	set(&p->params.control_plane, addr_format(&c->addr, to));
	set(&p->params.root, path_of(c, "data/root.pem"));
	set(&p->params.token, file_of(c, p, "token"));
	set(&p->params.state, mesh_control_state(c, p));
	set(&p->params.pod_uid, p->uid);
	set(&p->params.trust_domain, "cluster.local");
}

void mesh_control_kill(struct mesh_test_pod *p)
{
	proxy_quit(p->proxy);
	mesh_settle(p->mesh);
	assert_true(p->done);
	proxy_free(&p->proxy);
	p->done = false;
	mesh_settle(p->mesh);
}
