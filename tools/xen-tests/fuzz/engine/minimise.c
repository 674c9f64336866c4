// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be left of a finding: the candidates, in an order in which much goes away early.
 *
 * Of several programs: each alone, then all without one. Of a single one: half of its calls,
 * then all without one, then without threads, then each argument as 0.
 */
#include "fuzz.h"

static void take(struct fz_list *out, const struct fz_prog *p)
{
	out->nr = 0;
	fz_add(out, p);
}

static bool of_several(const struct fz_list *in, unsigned int k, struct fz_list *out)
{
	if (k < in->nr) {
		take(out, &in->prog[k]);
		return true;
	}
	k -= in->nr;
	/* Two without one is one alone, again. */
	if (in->nr < 3 || k >= in->nr)
		return false;
	out->nr = 0;
	for (unsigned int i = 0; i < in->nr; i++)
		if (i != k)
			fz_add(out, &in->prog[i]);
	return true;
}

static bool threads_in(const struct fz_prog *p)
{
	for (unsigned int i = 0; i < p->nr; i++)
		if (p->call[i].thread)
			return true;
	return false;
}

/* The k-th argument, of all calls, that is not 0; NULL: there is none */
static uint64_t *argument(struct fz_prog *p, unsigned int k)
{
	for (unsigned int i = 0; i < p->nr; i++)
		for (int a = 0; a < FZ_ARGS && p->call[i].type->args[a].kind; a++)
			if (p->call[i].arg[a] && !k--)
				return &p->call[i].arg[a];
	return NULL;
}

static bool of_one(const struct fz_prog *in, unsigned int k, struct fz_list *out)
{
	struct fz_prog p = *in;
	unsigned int half = p.nr / 2;
	uint64_t *arg;

	if (half && k < 2) {
		fz_drop_calls(&p, k ? 0 : half, k ? half : p.nr - half);
		take(out, &p);
		return true;
	}
	k -= half ? 2 : 0;
	if (p.nr > 2 && k < p.nr) {
		fz_drop_calls(&p, p.nr - 1 - k, 1);
		take(out, &p);
		return true;
	}
	k -= p.nr > 2 ? p.nr : 0;
	if (threads_in(&p)) {
		if (!k) {
			for (unsigned int i = 0; i < p.nr; i++)
				p.call[i].thread = 0;
			take(out, &p);
			return true;
		}
		k--;
	}
	arg = argument(&p, k);
	if (!arg)
		return false;
	*arg = 0;
	take(out, &p);
	return true;
}

/* Candidate @k of @in; false: there are no more */
bool fz_candidate(const struct fz_list *in, unsigned int k, struct fz_list *out)
{
	if (in->nr > 1)
		return of_several(in, k, out);
	return in->nr && of_one(&in->prog[0], k, out);
}
