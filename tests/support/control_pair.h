/*
 * The usual pair of pods with a real control plane that tells them, and an application behind it.
 */
#ifndef TESTS_SUPPORT_CONTROL_PAIR_H
#define TESTS_SUPPORT_CONTROL_PAIR_H

#include "tests/support/mesh_control.h"
#include "tests/support/mesh_pair.h"

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

/* The usual pair, and who tells it. pair is the first member: what takes a pair takes this. */
struct control_pair {
	struct pair pair;
	struct mesh_control control;
	struct mesh_app app;
};

int control_pair_setup(void **state);
/* Leaves of a minute, as many as anybody asks for. */
int control_pair_setup_brief(void **state);
int control_pair_teardown(void **state);
#define CONTROL_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, control_pair_setup, control_pair_teardown)
#define CONTROL_TEST_BRIEF(fn) \
	cmocka_unit_test_setup_teardown(fn, control_pair_setup_brief, control_pair_teardown)

void expect_ready(struct mesh_test_pod *pod);
void expect_not_ready(struct mesh_test_pod *pod, const char *part);
/* One request on a connection of its own; five seconds pass. */
void expect_answer(struct control_pair *w, const char *part);

#endif
