// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: plain notifiers. mmu_notifier_test_two_pass.c has those that refuse, and
 * mmu_notifier_test_exit.c the end of a process.
 */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "mmu_notifier_test.h"

static int mn_mm_count(const struct mn_ctx *ctx)
{
	return atomic_read(&ctx->mm->mm_count);
}

/* -- invalidations -------------------------------------------------------- */

static void start_and_end_are_called_once(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv;

	mn_register(ctx, &mn_plain_ops);
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0(");
	mn_end(inv);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0(0)");
}

static void start_sees_the_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);

	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_PTR_EQ(test, plain->seen.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, plain->seen.start, 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, plain->seen.end, 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, plain->seen.event, MMU_NOTIFY_CLEAR);
	KUNIT_EXPECT_TRUE(test, mmu_notifier_range_blockable(&plain->seen));
}

static void start_sees_that_it_may_not_sleep(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	struct mn_inv *inv;

	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), 0);
	KUNIT_EXPECT_FALSE(test, mmu_notifier_range_blockable(&plain->seen));
	mn_end(inv);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0(0)");
}

static void all_are_called_wherever_it_is(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < 3; i++)
		mn_register(ctx, &mn_plain_ops);
	mn_invalidate(ctx, 0, 1);
	mn_end(mn_start_bytes(ctx, 0, ULONG_MAX));
	mn_end(mn_start_bytes(ctx, ULONG_MAX - 1, ULONG_MAX));
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, atomic_read(&ctx->plains[i].starts), 3);
		KUNIT_EXPECT_EQ(test, atomic_read(&ctx->plains[i].ends), 3);
	}
}

static void interval_ones_are_called_first(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_register(ctx, &mn_plain_ops);
	mn_insert_two_pass(ctx, 4, 8);
	mn_invalidate(ctx, 4, 8);
	/* Whatever refuses early spares the others the work. */
	KUNIT_EXPECT_EQ(test, ctx->log[0], 'a');
	KUNIT_EXPECT_EQ(test, ctx->log_len, 6);
}

static const struct mmu_notifier_ops mn_no_ops = {};

static void every_callback_is_optional(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_no_ops);
	struct mn_inv *inv;

	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), 0);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_flush_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_test_young(ctx->mm, 0), 0);
	mmu_notifier_arch_invalidate_secondary_tlbs(ctx->mm, 0, PAGE_SIZE);
	mn_unregister(plain);
	mn_register(ctx, &mn_no_ops);
	mn_exit_mm(ctx);
}

/* -- register and unregister ---------------------------------------------- */

static void registered_pins_the_mm_not_its_users(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	int count = mn_mm_count(ctx);
	int users = atomic_read(&ctx->mm->mm_users);
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);

	KUNIT_EXPECT_PTR_EQ(test, plain->notifier.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count + 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->mm->mm_users), users);
	mn_unregister(plain);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void register_works_under_the_mmap_lock(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_new_plain(ctx, &mn_plain_ops);
	int err;

	mmap_write_lock(ctx->mm);
	err = __mmu_notifier_register(&plain->notifier, ctx->mm);
	mmap_write_unlock(ctx->mm);
	plain->registered = !err;
	KUNIT_EXPECT_EQ(test, err, 0);
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0(0)");
}

static void unregister_calls_release_once(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);

	mn_unregister(plain);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x");
}

static void unregistered_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *gone = mn_register(ctx, &mn_plain_ops);
	struct mn_plain *here = mn_register(ctx, &mn_plain_ops);

	mn_unregister(gone);
	mn_invalidate(ctx, 4, 8);
	mmu_notifier_test_young(ctx->mm, 0);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x1(1)1y");
	mn_unregister(here);
}

static void unregistered_can_register_again(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	int err;

	mn_unregister(plain);
	err = mmu_notifier_register(&plain->notifier, ctx->mm);
	plain->registered = !err;
	KUNIT_EXPECT_EQ(test, err, 0);
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x0(0)");
}

static void block_in_start(struct mn_plain *plain)
{
	complete(&plain->entered);
	plain->flag = mn_happens(&plain->gate);
}

static void unregister_main(struct mn_thread *thread)
{
	mn_unregister(thread->plain);
}

static void unregister_waits_for_a_callback(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	struct mn_thread *invalidation, *unregister;

	plain->in_start = block_in_start;
	invalidation = mn_invalidate_thread(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_happens(&plain->entered));
	unregister = mn_new_thread(ctx, unregister_main);
	unregister->plain = plain;
	mn_go(unregister);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(unregister));
	complete(&plain->gate);
	mn_expect_returns(invalidation);
	mn_expect_returns(unregister);
	KUNIT_EXPECT_TRUE(test, plain->flag);
}

static void plain_and_interval_ones_share_an_mm(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *early = mn_register(ctx, &mn_plain_ops);
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_plain *late = mn_register(ctx, &mn_plain_ops);

	mn_invalidate(ctx, 4, 8);
	mn_invalidate(ctx, 8, 12);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&early->starts), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&late->ends), 2);
	mn_remove(sub);
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, atomic_read(&early->ends), 3);
}

/* -- get and put ---------------------------------------------------------- */

/* What alloc_notifier of the running test takes, and what it says if there is none. */
static struct mn_plain *mn_next_plain;
static int mn_alloc_error;

static struct mmu_notifier *mn_alloc(struct mm_struct *mm)
{
	if (!mn_next_plain)
		return ERR_PTR(mn_alloc_error);
	return &mn_next_plain->notifier;
}

static void mn_free(struct mmu_notifier *notifier)
{
	struct mn_plain *plain = container_of(notifier, struct mn_plain, notifier);

	mn_log(plain->ctx, plain->name, 'f');
}

static void mn_get_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct mn_plain *plain = container_of(notifier, struct mn_plain, notifier);

	mn_log(plain->ctx, plain->name, 'x');
	if (plain->in_release)
		plain->in_release(plain);
}

static const struct mmu_notifier_ops mn_get_ops = {
	.release = mn_get_release,
	.alloc_notifier = mn_alloc,
	.free_notifier = mn_free,
};

static const struct mmu_notifier_ops mn_other_get_ops = {
	.alloc_notifier = mn_alloc,
	.free_notifier = mn_free,
};

/* A get that makes a new notifier. */
static struct mn_plain *mn_get_new(struct mn_ctx *ctx,
				   const struct mmu_notifier_ops *ops)
{
	struct mn_plain *plain = mn_new_plain(ctx, NULL);

	mn_next_plain = plain;
	KUNIT_EXPECT_PTR_EQ(ctx->test, mmu_notifier_get(ops, ctx->mm),
			    &plain->notifier);
	mn_next_plain = NULL;
	mn_alloc_error = -EIO;
	return plain;
}

static void get_makes_one_and_finds_it_again(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	int count = mn_mm_count(ctx);
	struct mn_plain *plain = mn_get_new(ctx, &mn_get_ops);
	struct mmu_notifier *again;

	KUNIT_EXPECT_PTR_EQ(test, plain->notifier.ops, &mn_get_ops);
	again = mmu_notifier_get(&mn_get_ops, ctx->mm);
	KUNIT_EXPECT_PTR_EQ(test, again, &plain->notifier);
	/* One notifier, one pin. */
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count + 1);
	mmu_notifier_put(&plain->notifier);
	if (!IS_ERR(again))
		mmu_notifier_put(again);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void get_locked_works_under_the_mmap_lock(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_new_plain(ctx, NULL);
	struct mmu_notifier *notifier;

	mn_next_plain = plain;
	mmap_write_lock(ctx->mm);
	notifier = mmu_notifier_get_locked(&mn_get_ops, ctx->mm);
	mmap_write_unlock(ctx->mm);
	mn_next_plain = NULL;
	KUNIT_EXPECT_PTR_EQ(test, notifier, &plain->notifier);
	if (!IS_ERR(notifier))
		mmu_notifier_put(notifier);
}

static void get_with_other_ops_makes_another(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *a = mn_get_new(ctx, &mn_get_ops);
	struct mn_plain *b = mn_get_new(ctx, &mn_other_get_ops);

	mmu_notifier_put(&a->notifier);
	mmu_notifier_put(&b->notifier);
}

static void only_the_last_put_frees(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_get_new(ctx, &mn_get_ops);

	KUNIT_EXPECT_FALSE(test, IS_ERR(mmu_notifier_get(&mn_get_ops, ctx->mm)));
	mmu_notifier_put(&plain->notifier);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
	mmu_notifier_put(&plain->notifier);
	mmu_notifier_synchronize();
	/* Not released: who puts has seen to its shadow. */
	KUNIT_EXPECT_STREQ(test, ctx->log, "0f");
}

static void get_after_the_last_put_makes_a_new_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *a = mn_get_new(ctx, &mn_get_ops);
	struct mn_plain *b;

	mmu_notifier_put(&a->notifier);
	b = mn_get_new(ctx, &mn_get_ops);
	mmu_notifier_put(&b->notifier);
}

static void get_says_what_alloc_says(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	int count = mn_mm_count(ctx);

	mn_next_plain = NULL;
	mn_alloc_error = -EIO;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(mmu_notifier_get(&mn_get_ops, ctx->mm)),
			-EIO);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void get_refuses_one_user_too_many(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_get_new(ctx, &mn_get_ops);

	plain->notifier.users = UINT_MAX;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(mmu_notifier_get(&mn_get_ops, ctx->mm)),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, plain->notifier.users, UINT_MAX);
	plain->notifier.users = 1;
	mmu_notifier_put(&plain->notifier);
}

static void put_this(struct mn_plain *plain)
{
	mmu_notifier_put(&plain->notifier);
}

static void release_may_put(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_get_new(ctx, &mn_get_ops);

	plain->in_release = put_this;
	mn_exit_mm(ctx);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x0f");
}

static void put_after_exit_frees(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_get_new(ctx, &mn_get_ops);

	mn_exit_mm(ctx);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x");
	mmu_notifier_put(&plain->notifier);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x0f");
}

/* -- the young bit, and the architecture's flushes ------------------------ */

static void three_youngs(struct mn_ctx *ctx, int a, int b, int c)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		mn_register(ctx, &mn_plain_ops);
	ctx->plains[0].young = a;
	ctx->plains[1].young = b;
	ctx->plains[2].young = c;
}

static void clear_flush_young_asks_all(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	three_youngs(ctx, 1, 0, 2);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_flush_young(ctx->mm, 0, PAGE_SIZE), 3);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 6);
}

static void clear_young_asks_all(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	three_youngs(ctx, 2, 0, 1);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_young(ctx->mm, 0, PAGE_SIZE), 3);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 6);
}

static void test_young_asks_until_one_was_accessed(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	three_youngs(ctx, 1, 1, 1);
	KUNIT_EXPECT_EQ(test, mmu_notifier_test_young(ctx->mm, 0), 1);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 2);
}

static void nobody_accessed_is_not_young(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	three_youngs(ctx, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_flush_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_test_young(ctx->mm, 0), 0);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 18);
}

static void any_one_accessed_is_young(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	three_youngs(ctx, 0, 0, 0);
	for (i = 0; i < 3; i++) {
		ctx->plains[i].young = 1;
		KUNIT_EXPECT_NE(test, mmu_notifier_clear_flush_young(ctx->mm, 0, 1), 0);
		KUNIT_EXPECT_NE(test, mmu_notifier_clear_young(ctx->mm, 0, 1), 0);
		KUNIT_EXPECT_NE(test, mmu_notifier_test_young(ctx->mm, 0), 0);
		ctx->plains[i].young = 0;
	}
}

static void interval_ones_have_no_young_bit(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_insert(ctx, 0, 8);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_flush_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_clear_young(ctx->mm, 0, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mmu_notifier_test_young(ctx->mm, 0), 0);
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

static void mn_arch_flush(struct mmu_notifier *notifier, struct mm_struct *mm,
			  unsigned long start, unsigned long end)
{
	struct mn_plain *plain = container_of(notifier, struct mn_plain, notifier);

	atomic_inc(&plain->starts);
	plain->seen.mm = mm;
	plain->seen.start = start;
	plain->seen.end = end;
}

static const struct mmu_notifier_ops mn_arch_ops = {
	.arch_invalidate_secondary_tlbs = mn_arch_flush,
};

static void architecture_flushes_call_who_shares_its_table(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *shares = mn_register(ctx, &mn_arch_ops);

	mn_register(ctx, &mn_plain_ops);
	mmu_notifier_arch_invalidate_secondary_tlbs(ctx->mm, 4 * PAGE_SIZE,
						    8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&shares->starts), 1);
	KUNIT_EXPECT_PTR_EQ(test, shares->seen.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, shares->seen.start, 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, shares->seen.end, 8 * PAGE_SIZE);
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
	/* And nothing else does. */
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, atomic_read(&shares->starts), 1);
}

static struct kunit_case mn_plain_cases[] = {
	KUNIT_CASE(start_and_end_are_called_once),
	KUNIT_CASE(start_sees_the_range),
	KUNIT_CASE(start_sees_that_it_may_not_sleep),
	KUNIT_CASE(all_are_called_wherever_it_is),
	KUNIT_CASE(interval_ones_are_called_first),
	KUNIT_CASE(every_callback_is_optional),
	KUNIT_CASE(registered_pins_the_mm_not_its_users),
	KUNIT_CASE(register_works_under_the_mmap_lock),
	KUNIT_CASE(unregister_calls_release_once),
	KUNIT_CASE(unregistered_is_not_called),
	KUNIT_CASE(unregistered_can_register_again),
	KUNIT_CASE(unregister_waits_for_a_callback),
	KUNIT_CASE(plain_and_interval_ones_share_an_mm),
	KUNIT_CASE(get_makes_one_and_finds_it_again),
	KUNIT_CASE(get_locked_works_under_the_mmap_lock),
	KUNIT_CASE(get_with_other_ops_makes_another),
	KUNIT_CASE(only_the_last_put_frees),
	KUNIT_CASE(get_after_the_last_put_makes_a_new_one),
	KUNIT_CASE(get_says_what_alloc_says),
	KUNIT_CASE(get_refuses_one_user_too_many),
	KUNIT_CASE(release_may_put),
	KUNIT_CASE(put_after_exit_frees),
	KUNIT_CASE(clear_flush_young_asks_all),
	KUNIT_CASE(clear_young_asks_all),
	KUNIT_CASE(test_young_asks_until_one_was_accessed),
	KUNIT_CASE(nobody_accessed_is_not_young),
	KUNIT_CASE(any_one_accessed_is_young),
	KUNIT_CASE(interval_ones_have_no_young_bit),
	KUNIT_CASE(architecture_flushes_call_who_shares_its_table),
	{}
};

static struct kunit_suite mn_plain_suite = {
	.name = "mmu_notifier_plain",
	.init = mn_test_init_fresh,
	.exit = mn_test_exit,
	.test_cases = mn_plain_cases,
};

kunit_test_suite(mn_plain_suite);
