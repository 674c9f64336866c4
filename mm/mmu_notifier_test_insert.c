// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the life of a subscription: absent, live, removing, absent. Insert takes effect
 * at once and waits for nothing, remove waits for what may still call it.
 *
 * That somebody waits is seen from the state of its task (mn_sleeps()), so that no test
 * has to guess how long a wait is long enough.
 */

#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>

#include "mmu_notifier_test.h"

/* -- insert --------------------------------------------------------------- */

struct mn_insert_case {
	const char *name;
	unsigned long start;
	unsigned long length;
	int err;
};

static const struct mn_insert_case mn_insert_cases[] = {
	{ "one byte at 0", 0, 1, 0 },
	{ "one page at 0", 0, PAGE_SIZE, 0 },
	{ "the last byte there is", ULONG_MAX, 1, 0 },
	{ "the last page there is", ULONG_MAX - PAGE_SIZE + 1, PAGE_SIZE, 0 },
	{ "everything but the last byte", 0, ULONG_MAX, 0 },
	{ "everything but the first byte", 1, ULONG_MAX, 0 },
	{ "no length", PAGE_SIZE, 0, -EOVERFLOW },
	{ "no length at 0", 0, 0, -EOVERFLOW },
	{ "no length at the end", ULONG_MAX, 0, -EOVERFLOW },
	{ "one byte over the end", ULONG_MAX, 2, -EOVERFLOW },
	{ "one page over the end", ULONG_MAX - PAGE_SIZE + 1, 2 * PAGE_SIZE, -EOVERFLOW },
	{ "as far over the end as can be", ULONG_MAX, ULONG_MAX, -EOVERFLOW },
};

KUNIT_ARRAY_PARAM_DESC(mn_insert, mn_insert_cases, name);

static void insert_takes_what_fits_the_address_space(struct kunit *test)
{
	const struct mn_insert_case *c = test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	int before = atomic_read(&ctx->mm->mm_count);
	int err;

	err = mmu_interval_notifier_insert(&sub->notifier, ctx->mm, c->start,
					   c->length, &mn_one_pass_ops);
	sub->inserted = !err;
	KUNIT_EXPECT_EQ(test, err, c->err);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->mm->mm_count), before + !err);
	if (err)
		return;
	KUNIT_EXPECT_EQ(test, sub->notifier.interval_tree.start, c->start);
	KUNIT_EXPECT_EQ(test, sub->notifier.interval_tree.last,
			c->start + c->length - 1);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void refused_insert_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);

	KUNIT_EXPECT_EQ(test,
			mmu_interval_notifier_insert(&sub->notifier, ctx->mm,
						     ULONG_MAX, 2,
						     &mn_one_pass_ops),
			-EOVERFLOW);
	mn_invalidate(ctx, 0, 16);
	mn_end(mn_start_bytes(ctx, 0, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 0);
}

static void single_byte_subscription_is_called_for_that_byte(struct kunit *test)
{
	const unsigned long at = 4 * PAGE_SIZE + 7;
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);

	sub->inserted = !mmu_interval_notifier_insert(&sub->notifier, ctx->mm, at,
						      1, &mn_one_pass_ops);
	KUNIT_EXPECT_TRUE(test, sub->inserted);
	mn_end(mn_start_bytes(ctx, at - 1, at));
	mn_end(mn_start_bytes(ctx, at + 1, at + 2));
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 0);
	mn_end(mn_start_bytes(ctx, at, at + 1));
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
}

static void subscriptions_at_both_ends_are_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *low = mn_new_sub(ctx);
	struct mn_sub *high = mn_new_sub(ctx);
	struct mn_inv *inv;

	low->inserted = !mmu_interval_notifier_insert(&low->notifier, ctx->mm, 0, 1,
						      &mn_one_pass_ops);
	high->inserted = !mmu_interval_notifier_insert(&high->notifier, ctx->mm,
						       ULONG_MAX - 1, 2,
						       &mn_one_pass_ops);
	KUNIT_EXPECT_TRUE(test, low->inserted && high->inserted);

	inv = mn_start_bytes(ctx, 0, 1);
	KUNIT_EXPECT_TRUE(test, mn_collides(low));
	KUNIT_EXPECT_FALSE(test, mn_collides(high));
	mn_end(inv);
	inv = mn_start_bytes(ctx, ULONG_MAX - 1, ULONG_MAX);
	KUNIT_EXPECT_FALSE(test, mn_collides(low));
	KUNIT_EXPECT_TRUE(test, mn_collides(high));
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, mn_calls(low), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(high), 1);
}

static void insert_locked_refuses_a_bad_length(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	int err;

	mmap_write_lock(ctx->mm);
	err = mmu_interval_notifier_insert_locked(&sub->notifier, ctx->mm,
						  PAGE_SIZE, 0, &mn_one_pass_ops);
	mmap_write_unlock(ctx->mm);
	KUNIT_EXPECT_EQ(test, err, -EOVERFLOW);
}

static void removed_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *gone = mn_insert(ctx, 4, 8);
	struct mn_sub *here = mn_insert(ctx, 4, 8);

	mn_remove(gone);
	mn_invalidate(ctx, 0, 16);
	KUNIT_EXPECT_EQ(test, mn_calls(gone), 0);
	KUNIT_EXPECT_EQ(test, mn_calls(here), 1);
}

static void removed_can_be_inserted_elsewhere(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);

	mn_invalidate(ctx, 4, 5);
	mn_remove(sub);
	mn_insert_sub(sub, 10, 12);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	mn_invalidate(ctx, 10, 11);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 2);
}

/* -- insert inside an invalidation ---------------------------------------- */

static void born_inside_a_quiet_one_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub;
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 8);
	sub = mn_insert(ctx, 6, 10);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	/* It came too late to be told. */
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 0);
}

static void born_inside_a_colliding_one_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *old = mn_insert(ctx, 4, 5);
	struct mn_inv *inv = mn_start(ctx, 4, 8);
	struct mn_sub *sub = mn_insert(ctx, 6, 10);

	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	KUNIT_EXPECT_TRUE(test, mn_collides(old));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	KUNIT_EXPECT_FALSE(test, mn_collides(old));
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 0);
}

static void born_beside_an_invalidation_is_free(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *quiet, *colliding;
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 8);
	quiet = mn_insert(ctx, 8, 10);
	KUNIT_EXPECT_FALSE(test, mn_collides(quiet));
	/* From here on it collides with this one. */
	mn_insert(ctx, 5, 6);
	colliding = mn_insert(ctx, 2, 4);
	KUNIT_EXPECT_FALSE(test, mn_collides(quiet));
	KUNIT_EXPECT_FALSE(test, mn_collides(colliding));
	mn_end(inv);
}

static void born_inside_several_collides_until_the_last_ends(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv[3];
	struct mn_sub *sub;

	inv[0] = mn_start(ctx, 4, 8);
	inv[1] = mn_start(ctx, 0, 5);
	inv[2] = mn_start(ctx, 7, 20);
	sub = mn_insert(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv[1]);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv[2]);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv[0]);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void born_inside_is_called_for_the_next_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv, *next;
	struct mn_sub *sub;

	inv = mn_start(ctx, 4, 8);
	sub = mn_insert(ctx, 4, 8);
	next = mn_start(ctx, 5, 6);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	mn_end(next);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void second_born_inside_the_same_one_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *first, *second;
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 8);
	first = mn_insert(ctx, 4, 8);
	second = mn_insert(ctx, 7, 9);
	KUNIT_EXPECT_TRUE(test, mn_collides(first));
	KUNIT_EXPECT_TRUE(test, mn_collides(second));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(first));
	KUNIT_EXPECT_FALSE(test, mn_collides(second));
}

/* Wherever it is noted as quiet, and wherever it ends. */
static void born_inside_one_of_any_cpu_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		unsigned int next = cpumask_next(cpu, cpu_online_mask);
		struct mn_sub *signals = mn_new_sub(ctx);
		struct mn_thread *thread;
		struct mn_sub *sub;

		if (ctx->nr_subs > MN_SUBS / 2)
			break;
		if (next >= nr_cpu_ids)
			next = cpumask_first(cpu_online_mask);
		thread = mn_new_invalidation(ctx, signals, 4, 8);
		thread->start_cpu = cpu;
		thread->end_cpu = next;
		mn_go(thread);
		KUNIT_EXPECT_TRUE(test, mn_happens(&signals->entered));
		sub = mn_insert(ctx, 4, 8);
		KUNIT_EXPECT_TRUE_MSG(test, mn_collides(sub), "CPU %u", cpu);
		complete(&signals->gate);
		mn_expect_returns(thread);
		KUNIT_EXPECT_FALSE_MSG(test, mn_collides(sub), "CPU %u", cpu);
		mn_remove(sub);
	}
}

/* More than the core has room for, wherever it notes what is quiet. */
static void born_inside_one_of_many_collides_with_that_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub[20], *apart;
	struct mn_inv *inv[20];
	unsigned int i, j;

	migrate_disable();
	for (i = 0; i < 20; i++)
		inv[i] = mn_start(ctx, 4 * i, 4 * i + 3);
	migrate_enable();
	apart = mn_insert(ctx, 3, 4);
	KUNIT_EXPECT_FALSE(test, mn_collides(apart));
	mn_expect_returns(mn_read_thread(apart));
	for (i = 0; i < 20; i++)
		sub[i] = mn_insert(ctx, 4 * i + 2, 4 * i + 4);

	/* 7 and 20 have no divisor in common: one after the other, in disorder. */
	for (i = 0; i < 20; i++) {
		for (j = 0; j < 20; j++)
			KUNIT_EXPECT_EQ_MSG(test, mn_collides(sub[j * 7 % 20]),
					    j >= i, "%u ended, %u", i, j * 7 % 20);
		mn_end(inv[i * 7 % 20]);
	}
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

static void insert_other(struct mn_sub *sub)
{
	mn_expect_returns(mn_go(sub->thread));
	sub->flag = mn_collides(sub->other);
	sub->in_callback = NULL;
}

static void born_in_a_callback_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	sub->other = mn_new_sub(ctx);
	sub->thread = mn_new_inserter(sub->other, 4, 60);
	sub->in_callback = insert_other;
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, sub->flag);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub->other));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub->other));
	KUNIT_EXPECT_LE(test, mn_calls(sub->other), 1);
}

static void born_in_a_callback_leaves_the_others_called_once(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *newborn = mn_new_sub(ctx);
	unsigned int i;

	/* Into the first, the second and the third batch of callbacks. */
	for (i = 1; i <= 40; i++)
		mn_insert(ctx, i, 60);
	for (i = 1; i <= 40; i += 13) {
		ctx->subs[i].other = newborn;
		ctx->subs[i].thread = mn_new_inserter(newborn, 4, 60);
		ctx->subs[i].in_callback = insert_other;
		mn_invalidate(ctx, 50, 51);
		mn_remove(newborn);
	}
	for (i = 1; i <= 40; i++)
		KUNIT_EXPECT_EQ_MSG(test, mn_calls(&ctx->subs[i]), 4, "sub %u", i);
	KUNIT_EXPECT_LE(test, mn_calls(newborn), 4);
}

/* -- insert does not wait ------------------------------------------------- */

static void insert_does_not_wait_for_collisions(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	struct mn_inv *quiet, *colliding;

	mn_insert(ctx, 4, 8);
	quiet = mn_start(ctx, 20, 30);
	colliding = mn_start(ctx, 4, 8);
	mn_expect_returns(mn_go(mn_new_inserter(sub, 4, 5)));
	/* Done, not put off: the next one calls it already. */
	mn_invalidate(ctx, 4, 5);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	mn_end(colliding);
	mn_end(quiet);
}

static void insert_does_not_wait_for_a_callback(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *busy = mn_insert(ctx, 4, 8);
	struct mn_sub *sub = mn_new_sub(ctx);
	struct mn_thread *invalidation;

	busy->in_callback = mn_block;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_happens(&busy->entered));
	mn_expect_returns(mn_go(mn_new_inserter(sub, 4, 5)));
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	complete(&busy->gate);
	mn_expect_returns(invalidation);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

/* -- remove --------------------------------------------------------------- */

static void remove_does_not_wait_for_another_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *quiet, *colliding;

	mn_insert(ctx, 8, 12);
	quiet = mn_start(ctx, 0, 4);
	colliding = mn_start(ctx, 8, 9);
	mn_remove(sub);
	mn_end(colliding);
	mn_end(quiet);
}

static void remove_that_collided_once_does_not_wait_for_another_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *elsewhere;

	mn_insert(ctx, 20, 30);
	elsewhere = mn_start(ctx, 20, 30);
	mn_invalidate(ctx, 4, 8);
	mn_remove(sub);
	mn_end(elsewhere);
}

static void remove_ends_with_the_collision(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 8);
	struct mn_thread *remover = mn_remove_thread(sub);

	mn_end(inv);
	mn_expect_returns(remover);
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
}

static void newborn_can_be_removed_at_the_end_of_its_collision(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *remover;
	struct mn_sub *sub;
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 8);
	sub = mn_insert(ctx, 4, 8);
	remover = mn_remove_thread(sub);
	mn_end(inv);
	mn_expect_returns(remover);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 0);
}

static void remove_waits_for_its_callback(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *invalidation, *remover;

	sub->in_callback = mn_block;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_happens(&sub->entered));
	remover = mn_remove_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	complete(&sub->gate);
	mn_expect_returns(invalidation);
	mn_expect_returns(remover);
	KUNIT_EXPECT_TRUE(test, sub->flag);
}

static void remove_does_not_wait_for_the_callback_of_another(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *busy = mn_insert(ctx, 4, 8);
	struct mn_sub *sub = mn_insert(ctx, 8, 12);
	struct mn_thread *invalidation;

	busy->in_callback = mn_block;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_happens(&busy->entered));
	mn_remove(sub);
	complete(&busy->gate);
	mn_expect_returns(invalidation);
}

static void removing_is_not_called_by_a_new_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_sub *stays = mn_insert(ctx, 4, 8);
	struct mn_inv *old = mn_start(ctx, 4, 8);
	struct mn_thread *remover = mn_remove_thread(sub);
	struct mn_inv *new;

	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	new = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(stays), 2);
	mn_end(old);
	mn_expect_returns(remover);
	mn_end(new);
}

static void remove_does_not_wait_for_later_collisions(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *old = mn_start(ctx, 4, 8);
	struct mn_thread *remover = mn_remove_thread(sub);
	struct mn_inv *new;
	unsigned int i;

	/* There is never a moment without a collision. */
	for (i = 0; i < 10; i++) {
		KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
		new = mn_start(ctx, 4, 8);
		if (i < 9)
			mn_end(new);
	}
	mn_end(old);
	mn_expect_returns(remover);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	mn_end(new);
}

/* Somebody else, of the same place, is leaving. */
static void reader_is_not_bothered_by_a_remove(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *goes = mn_insert(ctx, 4, 8);
	struct mn_sub *stays = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 8);
	struct mn_thread *remover = mn_remove_thread(goes);
	struct mn_thread *reader = mn_read_thread(stays);

	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv);
	mn_expect_returns(reader);
	mn_expect_returns(remover);
}

static void remove_while_another_is_called_ends_its_calls(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *invalidation, *remover;
	struct mn_sub *sub[2];
	unsigned int busy;
	int calls;

	sub[0] = mn_insert(ctx, 4, 8);
	sub[1] = mn_insert(ctx, 4, 8);
	sub[0]->in_callback = mn_block;
	sub[1]->in_callback = mn_block;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	/* Which is called first is the core's choice. */
	KUNIT_EXPECT_TRUE(test, mn_sleeps(invalidation));
	busy = mn_calls(sub[0]) ? 0 : 1;
	KUNIT_EXPECT_EQ(test, mn_calls(sub[busy]), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(sub[!busy]), 0);

	remover = mn_remove_thread(sub[!busy]);
	complete(&sub[!busy]->gate);
	complete(&sub[busy]->gate);
	mn_expect_returns(remover);
	calls = mn_calls(sub[!busy]);
	mn_expect_returns(invalidation);
	KUNIT_EXPECT_LE(test, calls, 1);
	KUNIT_EXPECT_EQ(test, mn_calls(sub[!busy]), calls);
}

/* A batch of callbacks is out when subscriptions leave behind it and in it. */
static void removes_between_batches_leave_the_others_called_once(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *invalidation, *remover[4];
	static const u8 goes[4] = { 0, 15, 16, 35 };
	unsigned int i, j;

	for (i = 0; i < 36; i++)
		mn_insert(ctx, i, 60);
	ctx->subs[3].in_callback = mn_block;
	invalidation = mn_invalidate_thread(ctx, 50, 51);
	KUNIT_EXPECT_TRUE(test, mn_happens(&ctx->subs[3].entered));
	for (i = 0; i < 4; i++)
		remover[i] = mn_remove_thread(&ctx->subs[goes[i]]);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, mn_sleeps(remover[i]));
	complete(&ctx->subs[3].gate);
	mn_expect_returns(invalidation);
	for (i = 0; i < 4; i++)
		mn_expect_returns(remover[i]);
	for (i = 0, j = 0; i < 36; i++) {
		if (j < 4 && goes[j] == i) {
			KUNIT_EXPECT_LE_MSG(test, mn_calls(&ctx->subs[i]), 1,
					    "sub %u", i);
			j++;
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, mn_calls(&ctx->subs[i]), 1, "sub %u", i);
	}
}

static struct kunit_case mn_insert_remove_cases[] = {
	KUNIT_CASE_PARAM(insert_takes_what_fits_the_address_space, mn_insert_gen_params),
	KUNIT_CASE(refused_insert_is_not_called),
	KUNIT_CASE(single_byte_subscription_is_called_for_that_byte),
	KUNIT_CASE(subscriptions_at_both_ends_are_called),
	KUNIT_CASE(insert_locked_refuses_a_bad_length),
	KUNIT_CASE(removed_is_not_called),
	KUNIT_CASE(removed_can_be_inserted_elsewhere),
	KUNIT_CASE(born_inside_a_quiet_one_collides),
	KUNIT_CASE(born_inside_a_colliding_one_collides),
	KUNIT_CASE(born_beside_an_invalidation_is_free),
	KUNIT_CASE(born_inside_several_collides_until_the_last_ends),
	KUNIT_CASE(born_inside_is_called_for_the_next_one),
	KUNIT_CASE(second_born_inside_the_same_one_collides),
	KUNIT_CASE(born_inside_one_of_any_cpu_collides),
	KUNIT_CASE(born_inside_one_of_many_collides_with_that_one),
	KUNIT_CASE(born_in_a_callback_collides),
	KUNIT_CASE(born_in_a_callback_leaves_the_others_called_once),
	KUNIT_CASE(insert_does_not_wait_for_collisions),
	KUNIT_CASE(insert_does_not_wait_for_a_callback),
	KUNIT_CASE(remove_does_not_wait_for_another_range),
	KUNIT_CASE(remove_that_collided_once_does_not_wait_for_another_range),
	KUNIT_CASE(remove_ends_with_the_collision),
	KUNIT_CASE(newborn_can_be_removed_at_the_end_of_its_collision),
	KUNIT_CASE(remove_waits_for_its_callback),
	KUNIT_CASE(remove_does_not_wait_for_the_callback_of_another),
	KUNIT_CASE(removing_is_not_called_by_a_new_one),
	KUNIT_CASE(remove_does_not_wait_for_later_collisions),
	KUNIT_CASE(reader_is_not_bothered_by_a_remove),
	KUNIT_CASE(remove_while_another_is_called_ends_its_calls),
	KUNIT_CASE(removes_between_batches_leave_the_others_called_once),
	{}
};

static struct kunit_suite mn_insert_remove_suite = {
	.name = "mmu_notifier_insert_remove",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_insert_remove_cases,
};

kunit_test_suite(mn_insert_remove_suite);
