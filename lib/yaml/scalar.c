/*
 * Tells null, booleans, integers and other numbers from strings among plain scalars. Pure, owns
 * nothing; called by the tree builder for each scalar that is not quoted.
 */
#include "lib/yaml/scalar.h"

#include "lib/base/err.h"

static bool one_of(struct str s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (str_eq(s, str_from(*words)))
			return true;
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of the run of digits (with '_' between them, as YAML 1.1 has it) at the start of s. */
static size_t digits(struct str s)
{
	size_t n = 0;
	while (n < s.n && (is_digit(s.p[n]) || (n > 0 && s.p[n] == '_')))
		n++;
	return n;
}

/* 0x1F, 0o17, 0b11. */
static bool is_based(struct str s)
{
	static const char *const allowed[] = {"xX0123456789abcdefABCDEF_", "oO01234567_", "bB01_"};
	if (s.n < 3 || s.p[0] != '0')
		return false;
	for (size_t k = 0; k < 3; k++) {
		size_t i = 2;
		if (s.p[1] != allowed[k][0] && s.p[1] != allowed[k][1])
			continue;
		while (i < s.n && strchr(allowed[k] + 2, s.p[i]) != NULL && s.p[i] != '\0')
			i++;
		return i == s.n;
	}
	return false;
}

/* Digits with a fraction and an exponent, each optional, but some digit there. */
static bool is_decimal(struct str s)
{
	size_t whole = digits(s), fraction = 0;
	s = str_sub(s, whole, s.n);
	if (s.n > 0 && s.p[0] == '.') {
		fraction = digits(str_sub(s, 1, s.n));
		s = str_sub(s, 1 + fraction, s.n);
	}
	if (whole + fraction == 0)
		return false;
	if (s.n == 0)
		return true;
	if (s.p[0] != 'e' && s.p[0] != 'E')
		return false;
	s = str_sub(s, 1, s.n);
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = str_sub(s, 1, s.n);
	return s.n > 0 && digits(s) == s.n;
}

static bool is_number(struct str s)
{
	static const char *const special[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		s = str_sub(s, 1, s.n);
	return is_based(s) || is_decimal(s) || one_of(s, special);
}

/* One spelling per integer: no sign but minus, no leading zero, within 64 bits. */
static bool is_integer(struct str s, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	struct str rest = negative ? str_sub(s, 1, s.n) : s;
	uint64_t v;
	if (rest.n == 0 || (rest.p[0] == '0' && (rest.n > 1 || negative)))
		return false;
	if (str_to_u64(rest, INT64_MAX, &v) != 0)
		return false;
	*out = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

void yaml_scalar_resolve(struct yaml_node *node)
{
	static const char *const nothing[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const yes[] = {"true", "True", "TRUE", NULL};
	static const char *const no[] = {"false", "False", "FALSE", NULL};
	if (one_of(node->text, nothing)) {
		node->kind = YAML_NULL;
	} else if (one_of(node->text, yes) || one_of(node->text, no)) {
		node->kind = YAML_BOOL;
		node->truth = one_of(node->text, yes);
	} else if (is_integer(node->text, &node->number)) {
		node->kind = YAML_INT;
	} else {
		node->kind = is_number(node->text) ? YAML_REAL : YAML_STRING;
	}
}
