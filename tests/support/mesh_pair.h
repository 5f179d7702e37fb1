/*
 * The smallest mesh: a client pod and a server pod, both meshed, service web:80 over 8080; and what
 * applications of the tests do. Used by the tests in tests/mem.
 */
#ifndef TESTS_SUPPORT_MESH_PAIR_H
#define TESTS_SUPPORT_MESH_PAIR_H

#include "tests/support/mesh_support.h"

/* The state of a cmocka test. */
struct pair {
	struct mesh m;
	struct mesh_test_pod *client, *web;
};

int pair_setup(void **state);
int pair_setup_v6(void **state);
int pair_teardown(void **state);
#define PAIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, pair_setup, pair_teardown)
#define PAIR_TEST_V6(fn) {#fn " over IPv6", fn, pair_setup_v6, pair_teardown, NULL}

/* -- what applications do (struct mesh_app's setup) -- */
void app_hello(struct http_user *u);  /* 200 "hello" at the end of the request */
void app_echo(struct http_user *u);   /* 200 at once, then what comes, as it comes */
void app_silent(struct http_user *u); /* nothing */
void app_early(struct http_user *u);  /* 413 at the head */

/* -- what clients do -- */
/* A raw connection of the client pod's application to the service. */
void pair_wire(struct pair *p, struct wire *x);
/* An HTTP client of the client pod's to the service; settled. */
void pair_client(struct pair *p, struct http_user *u, enum http_version version);
/* Sends text, settles; what came back, to be freed. */
char *pair_ask(struct wire *x, const char *text);
/* The same, asserting that part comes back. */
void pair_expect(struct wire *x, const char *text, const char *part);
void assert_has(const char *text, const char *part);
void assert_has_not(const char *text, const char *part);

/* Requests counted, all or with a label ("code=\"200\""). */
unsigned pair_requests(struct mesh_test_pod *p, const char *label);

#endif
