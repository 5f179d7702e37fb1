/*
 * What goes on after its owner let go of it: the loop knows of it, bounds how much there is, and
 * ends the rest when it goes itself.
 */
#include "tests/unit/lib/net/support.h"

/* Work that nobody waits for; remembers when it was ended. */
struct errand {
	struct loop_orphan orphan;
	int *ends, ended; /* ended: its place among those that were, 0: not yet */
};

static void on_end(void *arg)
{
	struct errand *e = arg;

	loop_orphan_done(&e->orphan);
	e->ended = ++*e->ends;
}

static void the_oldest_goes_where_there_are_too_many(void **state)
{
	static struct errand errands[LOOP_ORPHANS_MAX + 4];
	struct loop *loop = loop_new_sim(1);
	int ends = 0;

	(void)state;
	for (int i = 0; i < LOOP_ORPHANS_MAX + 3; i++) {
		errands[i] = (struct errand){.ends = &ends};
		loop_adopt(loop, &errands[i].orphan, on_end, &errands[i]);
		assert_int_equal(ends, i < LOOP_ORPHANS_MAX ? 0 : i - LOOP_ORPHANS_MAX + 1);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(errands[i].ended, i < 3 ? i + 1 : 0);
	/* One that is done makes room. */
	loop_orphan_done(&errands[10].orphan);
	struct errand *last = &errands[LOOP_ORPHANS_MAX + 3];
	*last = (struct errand){.ends = &ends};
	loop_adopt(loop, &last->orphan, on_end, last);
	assert_int_equal(ends, 3);
	assert_true(loop_has_orphans(loop));
	loop_free(&loop);
	assert_int_equal(ends, 3 + LOOP_ORPHANS_MAX);
	assert_int_equal(errands[10].ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_goes_where_there_are_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
