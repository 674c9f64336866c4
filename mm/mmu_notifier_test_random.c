// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: a long random walk through insert, remove, start and end, against a model that
 * knows nothing of trees, buckets and tickets: a table of subscriptions, a table of
 * invalidations in flight, and a comparison of each with each.
 */

#include <linux/mm.h>
#include <linux/prandom.h>

#include "mmu_notifier_test.h"

#define MN_STEPS 3000
/* Small, so that borders meet. In bytes, as nothing here knows of pages. */
#define MN_SPACE 256

/**
 * struct mn_walk - the walk
 * @ctx: the test's
 * @rnd: the same in each run
 * @inv: in flight, or NULL
 * @calls: how often each subscription should have been called
 */
struct mn_walk {
	struct mn_ctx *ctx;
	struct rnd_state rnd;
	struct mn_inv *inv[MN_INVS];
	int calls[MN_SUBS];
};

static unsigned long mn_random(struct mn_walk *walk, unsigned long below)
{
	return prandom_u32_state(&walk->rnd) % below;
}

static bool model_overlaps(const struct mn_inv *inv, const struct mn_sub *sub)
{
	return inv && inv->range.start <= sub->notifier.interval_tree.last &&
	       inv->range.end > sub->notifier.interval_tree.start;
}

static bool model_collides(const struct mn_walk *walk, const struct mn_sub *sub)
{
	unsigned int i;

	for (i = 0; i < MN_INVS; i++) {
		if (model_overlaps(walk->inv[i], sub))
			return true;
	}
	return false;
}

static void walk_insert_or_remove(struct mn_walk *walk, unsigned int nr_subs)
{
	struct mn_sub *sub = &walk->ctx->subs[mn_random(walk, nr_subs)];
	unsigned long start = mn_random(walk, MN_SPACE);

	if (!sub->inserted) {
		sub->inserted = !mmu_interval_notifier_insert(&sub->notifier,
							      walk->ctx->mm, start,
							      1 + mn_random(walk, 16),
							      &mn_one_pass_ops);
		KUNIT_EXPECT_TRUE(walk->ctx->test, sub->inserted);
	} else if (!model_collides(walk, sub)) {
		mn_remove(sub);
	}
}

static void walk_start_or_end(struct mn_walk *walk, unsigned int nr_subs)
{
	struct mn_inv **inv = &walk->inv[mn_random(walk, MN_INVS)];
	unsigned long start = mn_random(walk, MN_SPACE);
	unsigned int i;

	if (*inv) {
		mn_end(*inv);
		*inv = NULL;
		return;
	}
	*inv = mn_start_bytes(walk->ctx, start, start + 1 + mn_random(walk, 16));
	for (i = 0; i < nr_subs; i++) {
		struct mn_sub *sub = &walk->ctx->subs[i];

		walk->calls[i] += sub->inserted && model_overlaps(*inv, sub);
	}
}

/* Returns the first subscription that is not as the model says, or nr_subs. */
static unsigned int walk_compare(struct mn_walk *walk, unsigned int nr_subs)
{
	unsigned int i;

	for (i = 0; i < nr_subs; i++) {
		struct mn_sub *sub = &walk->ctx->subs[i];

		if (mn_calls(sub) != walk->calls[i])
			break;
		if (sub->inserted && mn_collides(sub) != model_collides(walk, sub))
			break;
	}
	return i;
}

struct mn_walk_case {
	const char *name;
	unsigned int nr_subs;
	bool warm;
};

static const struct mn_walk_case mn_walk_cases[] = {
	{ "1 subscription", 1, true },
	{ "4 subscriptions", 4, true },
	{ "16 subscriptions", 16, true },
	{ "45 subscriptions", 45, true },
	{ "4 subscriptions, fresh mm", 4, false },
	{ "45 subscriptions, fresh mm", 45, false },
};

KUNIT_ARRAY_PARAM_DESC(mn_walk, mn_walk_cases, name);

static void random_walk_is_as_the_model_says(struct kunit *test)
{
	const struct mn_walk_case *c = test->param_value;
	const unsigned int nr_subs = c->nr_subs;
	struct mn_ctx *ctx = test->priv;
	struct mn_walk *walk;
	unsigned int i, step, wrong = nr_subs;

	walk = kunit_kzalloc(test, sizeof(*walk), GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, walk);
	if (!walk)
		return;
	walk->ctx = ctx;
	prandom_seed_state(&walk->rnd, nr_subs);
	mn_enable(ctx);
	if (c->warm)
		mn_warm_up(ctx);
	for (i = 0; i < nr_subs; i++)
		mn_new_sub(ctx);

	for (step = 0; step < MN_STEPS && wrong == nr_subs; step++) {
		if (mn_random(walk, 2))
			walk_insert_or_remove(walk, nr_subs);
		else
			walk_start_or_end(walk, nr_subs);
		wrong = walk_compare(walk, nr_subs);
		/* A hang in a remove has been waited for already. */
		if (test->status == KUNIT_FAILURE)
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, nr_subs, "step %u", step);

	for (i = 0; i < MN_INVS; i++)
		mn_end(walk->inv[i]);
}

static struct kunit_case mn_random_cases[] = {
	KUNIT_CASE_PARAM(random_walk_is_as_the_model_says, mn_walk_gen_params),
	{}
};

static struct kunit_suite mn_random_suite = {
	.name = "mmu_notifier_random",
	.init = mn_test_init_fresh,
	.exit = mn_test_exit,
	.test_cases = mn_random_cases,
};

kunit_test_suite(mn_random_suite);
