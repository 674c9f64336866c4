// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: invalidation in two passes, and invalidations that are refused.
 *
 * The log says who was called: "ab" first passes or one-pass callbacks, "AB" second
 * passes. In which order subscriptions are called is the core's choice, the relation
 * of the passes is not.
 */

#include <linux/ctype.h>
#include <linux/mm.h>

#include "mmu_notifier_test.h"

/* -- the order of passes -------------------------------------------------- */

static void second_pass_follows_the_first(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);
	struct mn_inv *inv;

	/* Both when the start returns: the entries change then. */
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_STREQ(test, ctx->log, "aA");
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
	mn_end(inv);
	KUNIT_EXPECT_STREQ(test, ctx->log, "aA");
}

static const unsigned int mn_numbers[] = { 2, 15, 16, 17, 25 };

static void mn_number_desc(const unsigned int *n, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u", *n);
}

KUNIT_ARRAY_PARAM(mn_number, mn_numbers, mn_number_desc);

static void all_first_passes_come_before_the_second_in_one_order(struct kunit *test)
{
	const unsigned int n = *(const unsigned int *)test->param_value;
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < n; i++)
		mn_insert_two_pass(ctx, i, 60);
	mn_invalidate(ctx, 50, 51);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 2 * n);
	for (i = 0; i < n; i++) {
		KUNIT_EXPECT_TRUE(test, islower(ctx->log[i]));
		KUNIT_EXPECT_EQ(test, ctx->log[n + i], toupper(ctx->log[i]));
		KUNIT_EXPECT_EQ(test, mn_calls(&ctx->subs[i]), 1);
		KUNIT_EXPECT_EQ(test, mn_finish_calls(&ctx->subs[i], 0), 1);
	}
}

static void one_pass_users_are_called_with_the_first_passes(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	/* a, c, e and g have one pass. */
	for (i = 0; i < 8; i++) {
		if (i & 1)
			mn_insert_two_pass(ctx, 4, 8);
		else
			mn_insert(ctx, 4, 8);
	}
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 12);
	for (i = 0; i < 12; i++)
		KUNIT_EXPECT_EQ_MSG(test, !!islower(ctx->log[i]), i < 8, "%s",
				    ctx->log);
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_EQ(test, mn_calls(&ctx->subs[i]), 1);
		KUNIT_EXPECT_EQ(test, mn_finish_calls(&ctx->subs[i], 0), i & 1);
	}
}

/* -- which second passes there are ---------------------------------------- */

static void no_second_pass_for_who_did_all_in_the_first(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *poor = mn_insert_two_pass(ctx, 4, 8);
	struct mn_sub *rich = mn_insert_two_pass(ctx, 4, 8);

	/* As a driver does that finds no memory for its finish. */
	poor->no_finish = true;
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(poor), 1);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(poor, 0), 0);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(rich, 0), 1);
	KUNIT_EXPECT_FALSE(test, mn_collides(poor));
}

static void nobody_has_a_second_pass(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_insert_two_pass(ctx, 4, 8)->no_finish = true;
	mn_insert_two_pass(ctx, 4, 8)->no_finish = true;
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 2);
}

static void second_pass_knows_its_subscription(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *a = mn_insert_two_pass(ctx, 4, 8);
	struct mn_sub *b = mn_insert_two_pass(ctx, 4, 8);

	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_PTR_EQ(test, a->finishes[0].finish.notifier, &a->notifier);
	KUNIT_EXPECT_PTR_EQ(test, b->finishes[0].finish.notifier, &b->notifier);
}

static void first_pass_finds_finish_unset(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < 20; i++)
		mn_insert_two_pass(ctx, 4, 8);
	mn_invalidate(ctx, 4, 8);
	mn_invalidate(ctx, 4, 8);
	for (i = 0; i < 20; i++)
		KUNIT_EXPECT_TRUE(test, ctx->subs[i].finish_was_null);
}

static void each_invalidation_has_its_own_second_pass(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);
	struct mn_inv *a = mn_start(ctx, 4, 8);
	struct mn_inv *b;

	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
	b = mn_start(ctx, 0, 5);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 1), 1);
	mn_end(b);
	mn_end(a);
	KUNIT_EXPECT_STREQ(test, ctx->log, "aAaA");
}

/* A finish that is freed by its second pass, as one from kmalloc() is. */
static void poison_finish(struct mn_sub *sub)
{
	memset(&sub->finishes[0].finish, 0x6b, sizeof(sub->finishes[0].finish));
}

static void second_pass_owns_its_finish(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < 4; i++)
		mn_insert_two_pass(ctx, 4, 8)->in_finish = poison_finish;
	mn_invalidate(ctx, 4, 8);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, mn_finish_calls(&ctx->subs[i], 0), 1);
}

/* Somebody is in the first pass when another invalidation comes by. */
static void invalidate_meanwhile(struct mn_sub *sub)
{
	if (sub->flag)
		return;
	sub->flag = true;
	mn_expect_returns(mn_go(sub->thread));
}

static void passes_of_two_invalidations_do_not_mix(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);

	sub->thread = mn_new_invalidation(ctx, NULL, 6, 7);
	sub->in_callback = invalidate_meanwhile;
	mn_invalidate(ctx, 4, 8);
	/* The inner one begins and ends within the outer one's first pass. */
	KUNIT_EXPECT_STREQ(test, ctx->log, "aaAA");
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 1), 1);
}

/* -- readers -------------------------------------------------------------- */

static void note_collision(struct mn_sub *sub)
{
	sub->flag = mn_collides(sub);
}

static void collides_in_the_second_pass_and_until_the_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);
	unsigned long seq = mn_try_read(sub);
	struct mn_inv *inv;

	sub->in_finish = note_collision;
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, sub->flag);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&sub->notifier, seq));
}

static void remove_waits_for_the_second_pass(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);
	struct mn_thread *invalidation, *remover;

	sub->in_finish = mn_block;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_happens(&sub->entered));
	remover = mn_remove_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	complete(&sub->gate);
	mn_expect_returns(invalidation);
	mn_expect_returns(remover);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
}

/* -- refused by an interval notifier -------------------------------------- */

static const int mn_refusers[] = { 1, 2, 15, 16, 17, 20 };

static void mn_refuser_desc(const int *n, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "call %d of 20", *n);
}

KUNIT_ARRAY_PARAM(mn_refuser, mn_refusers, mn_refuser_desc);

static void expect_nothing_left(struct mn_ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->nr_subs; i++) {
		bool collides = mn_collides(&ctx->subs[i]);

		KUNIT_EXPECT_FALSE_MSG(ctx->test, collides, "sub %u", i);
		/* A reader would not come back. */
		if (collides)
			return;
		mn_expect_returns(mn_read_thread(&ctx->subs[i]));
	}
}

static void refusal_stops_the_calls_and_leaves_no_collision(struct kunit *test)
{
	const int n = *(const int *)test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv;
	unsigned int i;
	int calls = 0;

	for (i = 0; i < 20; i++)
		mn_insert(ctx, i, 60);
	ctx->refuse = n;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 50, 51, &inv), -EAGAIN);
	mn_end(inv);
	for (i = 0; i < 20; i++)
		calls += mn_calls(&ctx->subs[i]);
	KUNIT_EXPECT_EQ(test, calls, n);
	expect_nothing_left(ctx);
}

static void refusal_is_followed_by_the_second_passes_that_were_asked_for(struct kunit *test)
{
	const int n = *(const int *)test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv;
	unsigned int i;
	int finishes = 0;

	for (i = 0; i < 20; i++)
		mn_insert_two_pass(ctx, i, 60);
	ctx->refuse = n;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 50, 51, &inv), -EAGAIN);
	mn_end(inv);
	for (i = 0; i < 20; i++)
		finishes += mn_finish_calls(&ctx->subs[i], 0);
	KUNIT_EXPECT_EQ(test, finishes, n - 1);
	expect_nothing_left(ctx);
}

static void refusals_do_not_add_up(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *a = mn_insert(ctx, 4, 8);
	struct mn_sub *b = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	/* Two rounds: a count that is off by one shows in the second at the latest. */
	ctx->refuse = 2;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_collides(a));
	KUNIT_EXPECT_TRUE(test, mn_collides(b));
	mn_end(inv);
	expect_nothing_left(ctx);
}

static void refusal_leaves_another_collision_alone(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 8);
	struct mn_thread *reader = mn_read_thread(sub);
	struct mn_inv *refused;

	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	ctx->refuse = 2;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &refused), -EAGAIN);
	KUNIT_EXPECT_TRUE(test, mn_sleeps_on(reader));
	mn_end(refused);
	mn_end(inv);
	mn_expect_returns(reader);
}

static void refused_one_can_be_tried_again(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	ctx->refuse = 1;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	/* It has asked for this once only. */
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), 0);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void nobody_refuses_what_is_elsewhere(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv;

	mn_insert(ctx, 4, 8);
	ctx->refuse = 1;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 8, 12, &inv), 0);
	mn_end(inv);
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

/* -- refused, with plain and interval notifiers --------------------------- */

static void plain_ones_are_not_called_when_an_interval_one_refuses(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	struct mn_inv *inv;

	mn_insert(ctx, 4, 8);
	ctx->refuse = 1;
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, atomic_read(&plain->starts), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&plain->ends), 0);
	expect_nothing_left(ctx);
}

static void interval_ones_do_not_collide_after_a_plain_one_refused(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *one = mn_insert(ctx, 4, 8);
	struct mn_sub *two = mn_insert_two_pass(ctx, 4, 8);
	struct mn_inv *inv;

	mn_register(ctx, &mn_refusing_ops);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, mn_calls(one), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(two), 1);
	KUNIT_EXPECT_EQ(test, mn_finish_calls(two, 0), 1);
	expect_nothing_left(ctx);
	mn_remove(one);
}

static void quiet_one_is_undone_when_a_plain_one_refuses(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub;
	struct mn_inv *inv;

	mn_register(ctx, &mn_refusing_ops);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	/* Nothing is in flight that it could be born into. */
	sub = mn_insert(ctx, 4, 8);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void plain_ones_that_started_get_their_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *a = mn_register(ctx, &mn_plain_ops);
	struct mn_plain *refuses = mn_register(ctx, &mn_refusing_ops);
	struct mn_plain *b = mn_register(ctx, &mn_plain_ops);
	struct mn_inv *inv;

	mn_insert(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, atomic_read(&refuses->starts), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&a->starts), atomic_read(&a->ends));
	KUNIT_EXPECT_EQ(test, atomic_read(&b->starts), atomic_read(&b->ends));
	expect_nothing_left(ctx);
}

static void who_may_refuse_takes_a_blockable_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_refusing_ops);
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 8);

	KUNIT_EXPECT_EQ(test, atomic_read(&plain->starts), 1);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static struct kunit_case mn_two_pass_cases[] = {
	KUNIT_CASE(second_pass_follows_the_first),
	KUNIT_CASE_PARAM(all_first_passes_come_before_the_second_in_one_order,
			 mn_number_gen_params),
	KUNIT_CASE(one_pass_users_are_called_with_the_first_passes),
	KUNIT_CASE(no_second_pass_for_who_did_all_in_the_first),
	KUNIT_CASE(nobody_has_a_second_pass),
	KUNIT_CASE(second_pass_knows_its_subscription),
	KUNIT_CASE(first_pass_finds_finish_unset),
	KUNIT_CASE(each_invalidation_has_its_own_second_pass),
	KUNIT_CASE(second_pass_owns_its_finish),
	KUNIT_CASE(passes_of_two_invalidations_do_not_mix),
	KUNIT_CASE(collides_in_the_second_pass_and_until_the_end),
	KUNIT_CASE(remove_waits_for_the_second_pass),
	{}
};

static struct kunit_case mn_refuse_cases[] = {
	KUNIT_CASE_PARAM(refusal_stops_the_calls_and_leaves_no_collision,
			 mn_refuser_gen_params),
	KUNIT_CASE_PARAM(refusal_is_followed_by_the_second_passes_that_were_asked_for,
			 mn_refuser_gen_params),
	KUNIT_CASE(refusals_do_not_add_up),
	KUNIT_CASE(refusal_leaves_another_collision_alone),
	KUNIT_CASE(refused_one_can_be_tried_again),
	KUNIT_CASE(nobody_refuses_what_is_elsewhere),
	KUNIT_CASE(plain_ones_are_not_called_when_an_interval_one_refuses),
	KUNIT_CASE(interval_ones_do_not_collide_after_a_plain_one_refused),
	KUNIT_CASE(quiet_one_is_undone_when_a_plain_one_refuses),
	KUNIT_CASE(plain_ones_that_started_get_their_end),
	KUNIT_CASE(who_may_refuse_takes_a_blockable_one),
	{}
};

static struct kunit_suite mn_two_pass_suite = {
	.name = "mmu_notifier_two_pass",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_two_pass_cases,
};

static struct kunit_suite mn_refuse_suite = {
	.name = "mmu_notifier_refuse",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_refuse_cases,
};

kunit_test_suites(&mn_two_pass_suite, &mn_refuse_suite);
