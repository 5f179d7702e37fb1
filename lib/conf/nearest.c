/*
 * Edit distance with transpositions (optimal string alignment) over short words. Pure; owns
 * nothing. Called where a word of the user matches nothing, to name what was probably meant.
 */
#include "lib/conf/nearest.h"

#define WORD_MAX 64
#define TOO_FAR SIZE_MAX

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t distance(struct str a, struct str b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.n > WORD_MAX || b.n > WORD_MAX)
		return TOO_FAR;
	for (size_t j = 0; j <= b.n; j++)
		before[j] = above[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			row[j] = min3(change, above[j] + 1, row[j - 1] + 1);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				row[j] = before[j - 2] + 1 < row[j] ? before[j - 2] + 1 : row[j];
		}
		size_t *oldest = before;

		before = above;
		above = row;
		row = oldest;
	}
	return above[b.n];
}

void nearest_init(struct nearest *n, struct str word)
{
	*n = (struct nearest){.word = word, .best = STR_NULL, .distance = TOO_FAR};
}

void nearest_offer(struct nearest *n, struct str candidate)
{
	size_t d = distance(n->word, candidate);

	/* An abbreviation is far by distance, but what was meant is clear. */
	if (n->word.n >= 3 && str_starts(candidate, n->word))
		d = 1;
	if (d < n->distance) {
		n->distance = d;
		n->best = candidate;
	}
}

struct str nearest_pick(const struct nearest *n)
{
	if (n->distance == TOO_FAR || n->distance > 1 + n->word.n / 4)
		return STR_NULL;
	return n->best;
}
