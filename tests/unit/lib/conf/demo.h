/*
 * The demo program of the conf tests: struct and table from demo_params.def. Included by each of
 * them; owns nothing.
 */
#ifndef WEFT_TESTS_CONF_DEMO_H
#define WEFT_TESTS_CONF_DEMO_H

#include "lib/base/clock.h"
#include "lib/conf/params.h"

/* On a test's stack; its strings are freed by conf_free. */
struct demo_conf {
#define PARAM PARAM_MEMBER
#define PARAM_GROUP PARAM_GROUP_MEMBER
#include "tests/unit/lib/conf/demo_params.def"
#undef PARAM
#undef PARAM_GROUP
};

static const struct param demo_params[] = {
#define PARAM(...) PARAM_ROW(struct demo_conf, __VA_ARGS__)
#define PARAM_GROUP PARAM_GROUP_ROW
#include "tests/unit/lib/conf/demo_params.def"
#undef PARAM
#undef PARAM_GROUP
};

static const struct conf_program demo_program = {
	.name = "demo",
	.summary =
		"a program that shows what a parameter table gives, from flags and environment to "
		"help and documentation.",
	.synopsis = "demo [flags]\n  demo run [flags] FILE",
	.examples = "demo --drain-time 10s",
	.params = demo_params,
	.n_params = sizeof(demo_params) / sizeof(demo_params[0]),
};

#endif
