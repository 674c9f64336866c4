// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: subscribers and the life of the mm: the first one, what pins it, how it ends,
 * and callers who are being killed.
 */

#include <linux/console.h>
#include <linux/mm.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "mmu_notifier_test.h"

static int mn_mm_count(const struct mn_ctx *ctx)
{
	return atomic_read(&ctx->mm->mm_count);
}

/* -- the first subscriber ------------------------------------------------- */

static void nobody_is_called_without_a_subscription(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_invalidate(ctx, 0, 16);
	mn_invalidate(ctx, 0, 16);
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

static void insert_locked_works_under_the_mmap_lock(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	/* The first of an mm, and one more. */
	for (i = 0; i < 2; i++) {
		struct mn_sub *sub = mn_new_sub(ctx);
		int err;

		mmap_write_lock(ctx->mm);
		err = mmu_interval_notifier_insert_locked(&sub->notifier, ctx->mm,
							  4 * PAGE_SIZE, PAGE_SIZE,
							  &mn_one_pass_ops);
		mmap_write_unlock(ctx->mm);
		sub->inserted = !err;
		KUNIT_EXPECT_EQ(test, err, 0);
		mn_invalidate(ctx, 4, 5);
		KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	}
}

/* On a CPU that has seen none of this mm's, and then on one that has. */
static void born_inside_the_first_invalidation_collides(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	mn_enable(ctx);
	for (i = 0; i < 3; i++) {
		struct mn_inv *inv = mn_start(ctx, 4, 8);
		struct mn_sub *sub = mn_insert(ctx, 4, 8);
		struct mn_sub *apart = mn_insert(ctx, 8, 9);

		KUNIT_EXPECT_TRUE(test, mn_collides(sub));
		KUNIT_EXPECT_FALSE(test, mn_collides(apart));
		mn_expect_returns(mn_read_thread(apart));
		mn_end(inv);
		KUNIT_EXPECT_FALSE(test, mn_collides(sub));
		mn_remove(sub);
		mn_remove(apart);
	}
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

/* -- exit, interval notifiers --------------------------------------------- */

static void exit_calls_subscriptions_with_release(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *low = mn_insert(ctx, 0, 1);
	struct mn_sub *high = mn_insert(ctx, 1000, 2000);

	mn_exit_mm(ctx);
	KUNIT_EXPECT_EQ(test, mn_calls(low), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(high), 1);
	KUNIT_EXPECT_PTR_EQ(test, high->seen.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, high->seen.event, MMU_NOTIFY_RELEASE);
	KUNIT_EXPECT_TRUE(test, mmu_notifier_range_blockable(&high->seen));
	KUNIT_EXPECT_EQ(test, high->seen.start, 0);
	KUNIT_EXPECT_GE(test, high->seen.end, TASK_SIZE);
	KUNIT_EXPECT_EQ(test, high->cur_seq & 1, 1);
}

static void exit_does_not_call_removed_ones(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_remove(mn_insert(ctx, 4, 8));
	mn_exit_mm(ctx);
	KUNIT_EXPECT_STREQ(test, ctx->log, "");
}

static void exit_is_a_collision(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned long seq = mn_try_read(sub);

	mn_exit_mm(ctx);
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&sub->notifier, seq));
	/* It is over: the next reader finds nothing and need not wait for that. */
	mn_expect_returns(mn_read_thread(sub));
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void exit_has_two_passes(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert_two_pass(ctx, 4, 8);

	mn_exit_mm(ctx);
	KUNIT_EXPECT_STREQ(test, ctx->log, "aA");
	KUNIT_EXPECT_EQ(test, mn_finish_calls(sub, 0), 1);
}

static void subscription_pins_the_mm_not_its_users(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	int count = mn_mm_count(ctx);
	int users = atomic_read(&ctx->mm->mm_users);
	struct mn_sub *a = mn_insert(ctx, 4, 8);
	struct mn_sub *b = mn_insert(ctx, 4, 8);

	KUNIT_EXPECT_PTR_EQ(test, a->notifier.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count + 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->mm->mm_users), users);
	mn_remove(a);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count + 1);
	mn_remove(b);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void subscription_pins_the_mm_after_exit(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);

	mn_exit_mm(ctx);
	KUNIT_EXPECT_FALSE(test, mmget_not_zero(sub->notifier.mm));
	/* Ours and its. */
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), 2);
	mn_remove(sub);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
}

static void insert_that_fails_does_not_pin(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	int count = mn_mm_count(ctx);

	KUNIT_EXPECT_EQ(test,
			mmu_interval_notifier_insert(&sub->notifier, ctx->mm, 0, 0,
						     &mn_one_pass_ops),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void exit_main(struct mn_thread *thread)
{
	mn_exit_mm(thread->ctx);
}

static void remove_during_exit_waits_for_its_callback(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *exit, *remover;

	sub->in_callback = mn_block;
	exit = mn_go(mn_new_thread(ctx, exit_main));
	KUNIT_EXPECT_TRUE(test, mn_happens(&sub->entered));
	remover = mn_remove_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	complete(&sub->gate);
	mn_expect_returns(exit);
	mn_expect_returns(remover);
	KUNIT_EXPECT_TRUE(test, sub->flag);
}

static void exit_does_not_wait_for_an_invalidation(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mmu_notifier_range range;
	struct mn_thread *exit;

	/* As from truncate, which holds a reverse map lock and no mmap lock. */
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, 4 * PAGE_SIZE,
				8 * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	exit = mn_go(mn_new_thread(ctx, exit_main));
	mn_expect_returns(exit);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 2);
}

/* -- exit, plain notifiers ------------------------------------------------ */

static void exit_releases_each_plain_one_once(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < 3; i++)
		mn_register(ctx, &mn_plain_ops);
	mn_exit_mm(ctx);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, atomic_read(&ctx->plains[i].releases), 1);
}

static void unregister_after_exit_does_not_release_again(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);

	mn_exit_mm(ctx);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), 2);
	mn_unregister(plain);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), 1);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x");
}

static void exit_releases_interval_ones_first(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_register(ctx, &mn_plain_ops);
	mn_insert_two_pass(ctx, 4, 8);
	mn_exit_mm(ctx);
	KUNIT_EXPECT_STREQ(test, ctx->log, "aA0x");
}

static void released_plain_one_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;

	mn_register(ctx, &mn_plain_ops);
	mn_exit_mm(ctx);
	/* Somebody who found the mm through the reverse map. */
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mmu_notifier_test_young(ctx->mm, 0), 0);
	KUNIT_EXPECT_STREQ(test, ctx->log, "0x");
}

/* Unregister and exit may both call it: the first one stays in there. */
static void block_in_release(struct mn_plain *plain)
{
	if (atomic_read(&plain->releases) > 1)
		return;
	complete(&plain->entered);
	plain->flag = mn_happens(&plain->gate);
}

static void unregister_main(struct mn_thread *thread)
{
	mn_unregister(thread->plain);
}

/* Either may be first, and both return when release has. */
static void unregister_waits_for_release_in_exit(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	struct mn_thread *exit, *unregister;

	plain->in_release = block_in_release;
	exit = mn_go(mn_new_thread(ctx, exit_main));
	KUNIT_EXPECT_TRUE(test, mn_happens(&plain->entered));
	unregister = mn_new_thread(ctx, unregister_main);
	unregister->plain = plain;
	mn_go(unregister);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(unregister));
	complete_all(&plain->gate);
	mn_expect_returns(exit);
	mn_expect_returns(unregister);
	KUNIT_EXPECT_TRUE(test, plain->flag);
}

static void exit_waits_for_release_in_unregister(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_register(ctx, &mn_plain_ops);
	struct mn_thread *exit, *unregister;

	plain->in_release = block_in_release;
	unregister = mn_new_thread(ctx, unregister_main);
	unregister->plain = plain;
	mn_go(unregister);
	KUNIT_EXPECT_TRUE(test, mn_happens(&plain->entered));
	exit = mn_go(mn_new_thread(ctx, exit_main));
	KUNIT_EXPECT_TRUE(test, mn_sleeps(exit));
	complete_all(&plain->gate);
	mn_expect_returns(unregister);
	mn_expect_returns(exit);
	KUNIT_EXPECT_TRUE(test, plain->flag);
}

/* -- who may not subscribe ------------------------------------------------ */

/*
 * The core warns of a caller's mistake that a test makes on purpose. The warning goes to
 * the log and not to the console, where it would be taken for real.
 */
static int mn_silence_console(struct kunit *test)
{
	int level = console_loglevel;

	/* Also ends the line that KUnit has left open, which would be lost. */
	kunit_info(test, "makes the core warn; that is not for the console\n");
	pr_flush(1000, true);
	console_loglevel = CONSOLE_LOGLEVEL_SILENT;
	return level;
}

static void mn_restore_console(int level)
{
	pr_flush(1000, true);
	console_loglevel = level;
}

static void insert_refuses_an_mm_without_users(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	int count, level, err;

	if (panic_on_warn)
		kunit_skip(test, "panic_on_warn is set");
	mn_enable(ctx);
	mn_exit_mm(ctx);
	count = mn_mm_count(ctx);
	level = mn_silence_console(test);
	err = mmu_interval_notifier_insert(&sub->notifier, ctx->mm, 0, PAGE_SIZE,
					   &mn_one_pass_ops);
	mn_restore_console(level);
	sub->inserted = !err;
	KUNIT_EXPECT_EQ(test, err, -EINVAL);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void register_refuses_an_mm_without_users(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_new_plain(ctx, &mn_plain_ops);
	struct mn_sub *sub = mn_new_sub(ctx);
	int level, err;

	if (panic_on_warn)
		kunit_skip(test, "panic_on_warn is set");
	/* Nothing subscribed while it lived. */
	mn_exit_mm(ctx);
	level = mn_silence_console(test);
	err = mmu_notifier_register(&plain->notifier, ctx->mm);
	plain->registered = !err;
	KUNIT_EXPECT_EQ(test, err, -EINVAL);
	err = mmu_interval_notifier_insert(&sub->notifier, ctx->mm, 0, PAGE_SIZE,
					   &mn_one_pass_ops);
	sub->inserted = !err;
	KUNIT_EXPECT_EQ(test, err, -EINVAL);
	mn_restore_console(level);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), 1);
}

static bool mn_no_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	return true;
}

static bool mn_no_invalidate_start(struct mmu_interval_notifier *notifier,
				   const struct mmu_notifier_range *range,
				   unsigned long cur_seq,
				   struct mmu_interval_notifier_finish **finish)
{
	return true;
}

static void mn_no_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
}

static const struct mmu_interval_notifier_ops mn_wrong_ops[] = {
	{},
	{ .invalidate_start = mn_no_invalidate_start },
	{ .invalidate_finish = mn_no_invalidate_finish },
	{ .invalidate = mn_no_invalidate,
	  .invalidate_finish = mn_no_invalidate_finish },
	{ .invalidate = mn_no_invalidate,
	  .invalidate_start = mn_no_invalidate_start,
	  .invalidate_finish = mn_no_invalidate_finish },
};

static void insert_takes_one_pass_or_two(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	int count = mn_mm_count(ctx);
	unsigned int i;

	if (panic_on_warn)
		kunit_skip(test, "panic_on_warn is set");
	for (i = 0; i < ARRAY_SIZE(mn_wrong_ops); i++) {
		struct mn_sub *sub = mn_new_sub(ctx);
		int level = mn_silence_console(test);
		int err;

		err = mmu_interval_notifier_insert(&sub->notifier, ctx->mm, 0,
						   PAGE_SIZE, &mn_wrong_ops[i]);
		mn_restore_console(level);
		sub->inserted = !err;
		KUNIT_EXPECT_EQ_MSG(test, err, -EINVAL, "ops %u", i);
	}
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

static void mn_no_flush(struct mmu_notifier *notifier, struct mm_struct *mm,
			unsigned long start, unsigned long end)
{
}

static int mn_no_start(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	return 0;
}

static const struct mmu_notifier_ops mn_exclusive_ops = {
	.arch_invalidate_secondary_tlbs = mn_no_flush,
	.invalidate_range_start = mn_no_start,
};

static void register_refuses_callbacks_that_exclude_each_other(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_plain *plain = mn_new_plain(ctx, &mn_exclusive_ops);
	int count = mn_mm_count(ctx);
	int level, err;

	if (panic_on_warn)
		kunit_skip(test, "panic_on_warn is set");
	level = mn_silence_console(test);
	err = mmu_notifier_register(&plain->notifier, ctx->mm);
	mn_restore_console(level);
	plain->registered = !err;
	KUNIT_EXPECT_EQ(test, err, -EINVAL);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
}

/* -- signals -------------------------------------------------------------- */

/* ret: what insert said; seq: whether the signal was still pending after it. */
static void insert_signalled(struct mn_thread *thread, int sig)
{
	struct mn_sub *sub = thread->sub;

	allow_signal(sig);
	send_sig(sig, current, 1);
	thread->ret = mmu_interval_notifier_insert(&sub->notifier, sub->ctx->mm,
						   4 * PAGE_SIZE, PAGE_SIZE,
						   &mn_one_pass_ops);
	thread->seq = signal_pending(current);
}

static void insert_with_a_signal_main(struct mn_thread *thread)
{
	insert_signalled(thread, SIGUSR1);
}

static void insert_killed_main(struct mn_thread *thread)
{
	insert_signalled(thread, SIGKILL);
}

static void first_insert_succeeds_with_a_signal_pending(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *thread = mn_new_thread(ctx, insert_with_a_signal_main);

	thread->sub = mn_new_sub(ctx);
	mn_expect_returns(mn_go(thread));
	KUNIT_EXPECT_EQ(test, thread->ret, 0);
	thread->sub->inserted = !thread->ret;
	/* It is not ours to swallow. */
	KUNIT_EXPECT_TRUE(test, thread->seq);
	mn_invalidate(ctx, 4, 5);
	KUNIT_EXPECT_EQ(test, mn_calls(thread->sub), 1);
}

static void first_insert_of_who_is_being_killed_is_interrupted(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *thread = mn_new_thread(ctx, insert_killed_main);
	int count = mn_mm_count(ctx);
	struct mn_sub *sub;

	thread->sub = mn_new_sub(ctx);
	mn_expect_returns(mn_go(thread));
	thread->sub->inserted = !thread->ret;
	KUNIT_EXPECT_EQ(test, thread->ret, -EINTR);
	KUNIT_EXPECT_EQ(test, mn_mm_count(ctx), count);
	/* Nothing is left half done: others can. */
	sub = mn_insert(ctx, 4, 8);
	mn_invalidate(ctx, 4, 5);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
}

static struct kunit_case mn_exit_cases[] = {
	KUNIT_CASE(nobody_is_called_without_a_subscription),
	KUNIT_CASE(insert_locked_works_under_the_mmap_lock),
	KUNIT_CASE(born_inside_the_first_invalidation_collides),
	KUNIT_CASE(exit_calls_subscriptions_with_release),
	KUNIT_CASE(exit_does_not_call_removed_ones),
	KUNIT_CASE(exit_is_a_collision),
	KUNIT_CASE(exit_has_two_passes),
	KUNIT_CASE(subscription_pins_the_mm_not_its_users),
	KUNIT_CASE(subscription_pins_the_mm_after_exit),
	KUNIT_CASE(insert_that_fails_does_not_pin),
	KUNIT_CASE(remove_during_exit_waits_for_its_callback),
	KUNIT_CASE(exit_does_not_wait_for_an_invalidation),
	KUNIT_CASE(exit_releases_each_plain_one_once),
	KUNIT_CASE(unregister_after_exit_does_not_release_again),
	KUNIT_CASE(exit_releases_interval_ones_first),
	KUNIT_CASE(released_plain_one_is_not_called),
	KUNIT_CASE(unregister_waits_for_release_in_exit),
	KUNIT_CASE(exit_waits_for_release_in_unregister),
	KUNIT_CASE(insert_refuses_an_mm_without_users),
	KUNIT_CASE(register_refuses_an_mm_without_users),
	KUNIT_CASE(insert_takes_one_pass_or_two),
	KUNIT_CASE(register_refuses_callbacks_that_exclude_each_other),
	KUNIT_CASE(first_insert_succeeds_with_a_signal_pending),
	KUNIT_CASE(first_insert_of_who_is_being_killed_is_interrupted),
	{}
};

static struct kunit_suite mn_exit_suite = {
	.name = "mmu_notifier_exit",
	.init = mn_test_init_fresh,
	.exit = mn_test_exit,
	.test_cases = mn_exit_cases,
};

kunit_test_suite(mn_exit_suite);
