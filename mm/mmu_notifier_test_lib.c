// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the KUnit suites of the notifier core share; see mmu_notifier_test.h.
 */

#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "mmu_notifier_internal.h"
#include "mmu_notifier_test.h"

void mn_log(struct mn_ctx *ctx, char who, char what)
{
	spin_lock(&ctx->log_lock);
	/* The last byte stays 0. */
	if (ctx->log_len + 2 < MN_LOG) {
		ctx->log[ctx->log_len++] = who;
		if (what)
			ctx->log[ctx->log_len++] = what;
	}
	spin_unlock(&ctx->log_lock);
}

/* -- subscriptions -------------------------------------------------------- */

static struct mn_sub *mn_sub_of(struct mmu_interval_notifier *notifier)
{
	return container_of(notifier, struct mn_sub, notifier);
}

/* Both kinds of callbacks. Returns how often it had been called before, or -EAGAIN. */
static int mn_callback(struct mn_sub *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct mn_ctx *ctx = sub->ctx;
	int n = atomic_inc_return(&sub->calls) - 1;

	sub->seen = *range;
	sub->cur_seq = cur_seq;
	if (atomic_inc_return(&ctx->nr_calls) == ctx->refuse &&
	    !mmu_notifier_range_blockable(range)) {
		mn_log(ctx, sub->name, '!');
		return -EAGAIN;
	}
	mn_log(ctx, sub->name, 0);
	if (!sub->no_set_seq)
		mmu_interval_set_seq(&sub->notifier, cur_seq);
	if (sub->in_callback)
		sub->in_callback(sub);
	return n;
}

static bool mn_one_pass(struct mmu_interval_notifier *notifier,
			const struct mmu_notifier_range *range,
			unsigned long cur_seq)
{
	return mn_callback(mn_sub_of(notifier), range, cur_seq) >= 0;
}

const struct mmu_interval_notifier_ops mn_one_pass_ops = {
	.invalidate = mn_one_pass,
};

static bool mn_first_pass(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq,
			  struct mmu_interval_notifier_finish **finish)
{
	struct mn_sub *sub = mn_sub_of(notifier);
	int n;

	sub->finish_was_null &= !*finish;
	n = mn_callback(sub, range, cur_seq);
	if (n < 0)
		return false;
	/* Without memory for a second pass, this one has done everything. */
	if (!sub->no_finish && n < (int)ARRAY_SIZE(sub->finishes))
		*finish = &sub->finishes[n].finish;
	return true;
}

static void mn_second_pass(struct mmu_interval_notifier_finish *finish)
{
	struct mn_finish *f = container_of(finish, struct mn_finish, finish);
	struct mn_sub *sub = mn_sub_of(finish->notifier);

	mn_log(sub->ctx, toupper(sub->name), 0);
	if (sub->in_finish)
		sub->in_finish(sub);
	atomic_inc(&f->calls);
}

const struct mmu_interval_notifier_ops mn_two_pass_ops = {
	.invalidate_start = mn_first_pass,
	.invalidate_finish = mn_second_pass,
};

struct mn_sub *mn_new_sub(struct mn_ctx *ctx)
{
	struct mn_sub *sub = &ctx->subs[ctx->nr_subs];

	sub->ctx = ctx;
	/* The log is not read where there are more than letters. */
	sub->name = ctx->nr_subs < 26 ? 'a' + ctx->nr_subs : 'z';
	sub->finish_was_null = true;
	init_completion(&sub->entered);
	init_completion(&sub->gate);
	ctx->nr_subs++;
	return sub;
}

void mn_insert_sub(struct mn_sub *sub, unsigned long first, unsigned long end)
{
	int err;

	err = mmu_interval_notifier_insert(&sub->notifier, sub->ctx->mm,
					   first * PAGE_SIZE,
					   (end - first) * PAGE_SIZE,
					   sub->two_pass ? &mn_two_pass_ops :
							   &mn_one_pass_ops);
	sub->inserted = !err;
	KUNIT_EXPECT_EQ(sub->ctx->test, err, 0);
}

struct mn_sub *mn_insert(struct mn_ctx *ctx, unsigned long first,
			 unsigned long end)
{
	struct mn_sub *sub = mn_new_sub(ctx);

	mn_insert_sub(sub, first, end);
	return sub;
}

struct mn_sub *mn_insert_two_pass(struct mn_ctx *ctx, unsigned long first,
				  unsigned long end)
{
	struct mn_sub *sub = mn_new_sub(ctx);

	sub->two_pass = true;
	mn_insert_sub(sub, first, end);
	return sub;
}

void mn_remove(struct mn_sub *sub)
{
	if (!sub->inserted)
		return;
	mn_expect_returns(mn_remove_thread(sub));
}

/* The first insert takes the mmap lock, which an invalidation holds. */
void mn_enable(struct mn_ctx *ctx)
{
	struct mn_sub *sub = &ctx->subs[MN_SUBS - 1];

	sub->ctx = ctx;
	mn_insert_sub(sub, 0, 1);
	mn_remove(sub);
}

/* The first invalidation of an mm on a CPU is not noted as quiet, the next ones are. */
void mn_warm_up(struct mn_ctx *ctx)
{
	cpumask_var_t saved;
	unsigned int cpu;

	if (!alloc_cpumask_var(&saved, GFP_KERNEL)) {
		KUNIT_FAIL(ctx->test, "no memory for a CPU mask");
		return;
	}
	cpumask_copy(saved, current->cpus_ptr);
	for_each_online_cpu(cpu) {
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
		mn_invalidate(ctx, 0, 1);
	}
	set_cpus_allowed_ptr(current, saved);
	free_cpumask_var(saved);
}

/*
 * Let seq (odd) be the last number that an invalidation got. Nothing is in flight. The
 * wrap would be 2^63 collisions away otherwise.
 */
void mn_set_seq(struct mn_ctx *ctx, unsigned long seq)
{
	struct mmu_notifier_subscriptions *subs = ctx->mm->notifier_subscriptions;

	spin_lock(&subs->lock);
	subs->seq = seq;
	spin_unlock(&subs->lock);
}

/* For in_callback: stay in there until the test opens the gate. */
void mn_block(struct mn_sub *sub)
{
	complete(&sub->entered);
	sub->flag = mn_happens(&sub->gate);
}

/* Would a reader have to wait? */
bool mn_collides(struct mn_sub *sub)
{
	unsigned long seq;

	return !mmu_interval_try_read_begin(&sub->notifier, &seq);
}

/* A read begins, where it must not have to wait. */
unsigned long mn_try_read(struct mn_sub *sub)
{
	unsigned long seq = 0;

	KUNIT_EXPECT_TRUE(sub->ctx->test,
			  mmu_interval_try_read_begin(&sub->notifier, &seq));
	return seq;
}

/* -- plain notifiers ------------------------------------------------------ */

static struct mn_plain *plain_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct mn_plain, notifier);
}

static int plain_start(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	struct mn_plain *plain = plain_of(notifier);

	atomic_inc(&plain->starts);
	plain->seen = *range;
	mn_log(plain->ctx, plain->name, '(');
	if (plain->in_start)
		plain->in_start(plain);
	return 0;
}

static void plain_end(struct mmu_notifier *notifier,
		      const struct mmu_notifier_range *range)
{
	struct mn_plain *plain = plain_of(notifier);

	atomic_inc(&plain->ends);
	mn_log(plain->ctx, plain->name, ')');
}

static int refusing_start(struct mmu_notifier *notifier,
			  const struct mmu_notifier_range *range)
{
	struct mn_plain *plain = plain_of(notifier);
	bool blockable = mmu_notifier_range_blockable(range);

	atomic_inc(&plain->starts);
	mn_log(plain->ctx, plain->name, blockable ? '(' : '!');
	return blockable ? 0 : -EAGAIN;
}

static void plain_release(struct mmu_notifier *notifier,
			  struct mm_struct *mm)
{
	struct mn_plain *plain = plain_of(notifier);

	atomic_inc(&plain->releases);
	mn_log(plain->ctx, plain->name, 'x');
	if (plain->in_release)
		plain->in_release(plain);
}

static int plain_young(struct mn_plain *plain)
{
	mn_log(plain->ctx, plain->name, 'y');
	return plain->young;
}

static int plain_range_young(struct mmu_notifier *notifier,
			     struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	return plain_young(plain_of(notifier));
}

static int plain_test_young(struct mmu_notifier *notifier,
			    struct mm_struct *mm, unsigned long address)
{
	return plain_young(plain_of(notifier));
}

const struct mmu_notifier_ops mn_plain_ops = {
	.release = plain_release,
	.clear_flush_young = plain_range_young,
	.clear_young = plain_range_young,
	.test_young = plain_test_young,
	.invalidate_range_start = plain_start,
	.invalidate_range_end = plain_end,
};

const struct mmu_notifier_ops mn_refusing_ops = {
	.invalidate_range_start = refusing_start,
};

struct mn_plain *mn_new_plain(struct mn_ctx *ctx,
			      const struct mmu_notifier_ops *ops)
{
	struct mn_plain *plain = &ctx->plains[ctx->nr_plains];

	plain->ctx = ctx;
	plain->name = '0' + ctx->nr_plains;
	plain->notifier.ops = ops;
	init_completion(&plain->entered);
	init_completion(&plain->gate);
	ctx->nr_plains++;
	return plain;
}

struct mn_plain *mn_register(struct mn_ctx *ctx,
			     const struct mmu_notifier_ops *ops)
{
	struct mn_plain *plain = mn_new_plain(ctx, ops);
	int err;

	err = mmu_notifier_register(&plain->notifier, ctx->mm);
	plain->registered = !err;
	KUNIT_EXPECT_EQ(ctx->test, err, 0);
	return plain;
}

void mn_unregister(struct mn_plain *plain)
{
	if (!plain->registered)
		return;
	plain->registered = false;
	mmu_notifier_unregister(&plain->notifier, plain->ctx->mm);
}

/* -- invalidations -------------------------------------------------------- */

/*
 * One mmap lock for all invalidations that the test's thread has in flight, which shuts
 * out the first subscriber of an mm, as it should. Not told to lockdep: what the same
 * thread does next stands for other threads, and may say that it might take the lock.
 */
static struct mn_inv *mn_new_inv(struct mn_ctx *ctx, unsigned long start,
				 unsigned long end)
{
	struct mn_inv *inv = ctx->invs;

	/* No test has more than MN_INVS in flight. */
	while (inv->in_flight)
		inv++;
	inv->ctx = ctx;
	inv->in_flight = true;
	if (!ctx->nr_in_flight++)
		down_read_non_owner(&ctx->mm->mmap_lock);
	mmu_notifier_range_init(&inv->range, MMU_NOTIFY_CLEAR, 0, ctx->mm, start,
				end);
	return inv;
}

static void mn_old_inv(struct mn_inv *inv)
{
	inv->in_flight = false;
	if (!--inv->ctx->nr_in_flight)
		up_read_non_owner(&inv->ctx->mm->mmap_lock);
}

struct mn_inv *mn_start_bytes(struct mn_ctx *ctx, unsigned long start,
			      unsigned long end)
{
	struct mn_inv *inv = mn_new_inv(ctx, start, end);

	mmu_notifier_invalidate_range_start(&inv->range);
	return inv;
}

struct mn_inv *mn_start(struct mn_ctx *ctx, unsigned long first,
			unsigned long end)
{
	return mn_start_bytes(ctx, first * PAGE_SIZE, end * PAGE_SIZE);
}

/* *inv is NULL if it was refused. */
int mn_start_nonblock(struct mn_ctx *ctx, unsigned long first,
		      unsigned long end, struct mn_inv **inv)
{
	int err;

	*inv = mn_new_inv(ctx, first * PAGE_SIZE, end * PAGE_SIZE);
	err = mmu_notifier_invalidate_range_start_nonblock(&(*inv)->range);
	if (err) {
		mn_old_inv(*inv);
		*inv = NULL;
	}
	return err;
}

void mn_end(struct mn_inv *inv)
{
	if (!inv || !inv->in_flight)
		return;
	mmu_notifier_invalidate_range_end(&inv->range);
	mn_old_inv(inv);
}

void mn_invalidate(struct mn_ctx *ctx, unsigned long first, unsigned long end)
{
	mn_end(mn_start(ctx, first, end));
}

/* The process exits: its last user goes. */
void mn_exit_mm(struct mn_ctx *ctx)
{
	ctx->exited = true;
	mmput(ctx->mm);
}

/* -- threads -------------------------------------------------------------- */

static int mn_thread_main(void *data)
{
	struct mn_thread *thread = data;

	complete(&thread->started);
	thread->fn(thread);
	complete_all(&thread->done);
	return 0;
}

/*
 * To be filled in, and started with mn_go(). The task is made here: a callback, which may
 * be in reclaim, must not do that.
 */
struct mn_thread *mn_new_thread(struct mn_ctx *ctx,
				void (*fn)(struct mn_thread *thread))
{
	struct mn_thread *thread = ctx->threads;
	struct task_struct *task;

	/* No test has more than MN_THREADS on their way. */
	while (thread->task)
		thread++;
	memset(thread, 0, sizeof(*thread));
	thread->ctx = ctx;
	thread->fn = fn;
	thread->start_cpu = nr_cpu_ids;
	thread->end_cpu = nr_cpu_ids;
	init_completion(&thread->started);
	init_completion(&thread->done);

	task = kthread_create(mn_thread_main, thread, "mn-test");
	if (IS_ERR(task))
		KUNIT_FAIL(ctx->test, "no thread: %pe", task);
	else
		/* It may be gone when it is looked at. */
		thread->task = get_task_struct(task);
	return thread;
}

struct mn_thread *mn_go(struct mn_thread *thread)
{
	if (!thread->task) {
		complete_all(&thread->done);
		return thread;
	}
	thread->going = true;
	wake_up_process(thread->task);
	wait_for_completion(&thread->started);
	return thread;
}

static void mn_read_main(struct mn_thread *thread)
{
	thread->seq = mmu_interval_read_begin(&thread->sub->notifier);
}

/* A thread that calls read_begin. */
struct mn_thread *mn_new_reader(struct mn_sub *sub)
{
	struct mn_thread *thread = mn_new_thread(sub->ctx, mn_read_main);

	thread->sub = sub;
	return thread;
}

struct mn_thread *mn_read_thread(struct mn_sub *sub)
{
	return mn_go(mn_new_reader(sub));
}

static void mn_remove_main(struct mn_thread *thread)
{
	mmu_interval_notifier_remove(&thread->sub->notifier);
}

/* A thread that removes a subscription. */
struct mn_thread *mn_remove_thread(struct mn_sub *sub)
{
	struct mn_thread *thread = mn_new_thread(sub->ctx, mn_remove_main);

	thread->sub = sub;
	sub->inserted = false;
	return mn_go(thread);
}

static void mn_insert_main(struct mn_thread *thread)
{
	struct mn_sub *sub = thread->sub;

	mn_insert_sub(sub, thread->first, thread->end);
}

/* A thread that inserts a subscription; a callback must not do it itself. */
struct mn_thread *mn_new_inserter(struct mn_sub *sub, unsigned long first,
				  unsigned long end)
{
	struct mn_thread *thread = mn_new_thread(sub->ctx, mn_insert_main);

	thread->sub = sub;
	thread->first = first;
	thread->end = end;
	return thread;
}

static void mn_go_to_cpu(unsigned int cpu)
{
	if (cpu < nr_cpu_ids)
		set_cpus_allowed_ptr(current, cpumask_of(cpu));
}

static void mn_invalidate_main(struct mn_thread *thread)
{
	struct mm_struct *mm = thread->ctx->mm;
	struct mmu_notifier_range range;

	mn_go_to_cpu(thread->start_cpu);
	mmap_read_lock(mm);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm,
				thread->first * PAGE_SIZE,
				thread->end * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	if (thread->sub) {
		complete(&thread->sub->entered);
		mn_happens(&thread->sub->gate);
	}
	mn_go_to_cpu(thread->end_cpu);
	mmu_notifier_invalidate_range_end(&range);
	mmap_read_unlock(mm);
}

/*
 * A thread that runs a whole invalidation. With a sub (which need not be inserted) it
 * completes entered of that one after the start, and waits for its gate before the end.
 */
struct mn_thread *mn_new_invalidation(struct mn_ctx *ctx, struct mn_sub *sub,
				      unsigned long first, unsigned long end)
{
	struct mn_thread *thread = mn_new_thread(ctx, mn_invalidate_main);

	thread->sub = sub;
	thread->first = first;
	thread->end = end;
	return thread;
}

/* One for callbacks that wait. */
struct mn_thread *mn_invalidate_thread(struct mn_ctx *ctx, unsigned long first,
				       unsigned long end)
{
	return mn_go(mn_new_invalidation(ctx, NULL, first, end));
}

/*
 * Has the thread gone to sleep in what it does, off its CPU? Waits until it has, or
 * until it has returned: no time decides, only which of the two comes.
 */
bool mn_sleeps(struct mn_thread *thread)
{
	unsigned long limit = jiffies + MN_LIMIT;

	while (!completion_done(&thread->done) && time_before(jiffies, limit)) {
		thread->switches = wait_task_inactive(thread->task,
						      TASK_UNINTERRUPTIBLE);
		if (thread->switches)
			return true;
		schedule_timeout_uninterruptible(1);
	}
	return false;
}

/* Has it slept without a break since the last mn_sleeps()? */
bool mn_sleeps_on(struct mn_thread *thread)
{
	return !completion_done(&thread->done) &&
	       wait_task_inactive(thread->task, TASK_UNINTERRUPTIBLE) ==
		       thread->switches;
}

/* Does what the thread does return? */
bool mn_returns(struct mn_thread *thread)
{
	if (!mn_happens(&thread->done))
		return false;
	if (thread->task)
		kthread_stop_put(thread->task);
	thread->task = NULL;
	return true;
}

void mn_expect_returns(struct mn_thread *thread)
{
	KUNIT_EXPECT_TRUE_MSG(thread->ctx->test, mn_returns(thread),
			      "%ps does not return", thread->fn);
}

/* -- set-up and cleaning up ----------------------------------------------- */

/* An mm that has not seen a subscriber. */
int mn_test_init_fresh(struct kunit *test)
{
	struct mn_ctx *ctx;

	/* Not KUnit's memory, which goes with the test: see mn_test_exit(). */
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	ctx->mm = mm_alloc();
	if (!ctx->mm) {
		kfree(ctx);
		return -ENOMEM;
	}
	mmgrab(ctx->mm);
	ctx->test = test;
	spin_lock_init(&ctx->log_lock);
	test->priv = ctx;
	return 0;
}

/* An mm that has had one, on which invalidations can be quiet. */
int mn_test_init(struct kunit *test)
{
	int err = mn_test_init_fresh(test);

	if (err)
		return err;
	mn_enable(test->priv);
	mn_warm_up(test->priv);
	return 0;
}

/* Open every gate and see everybody home. False if somebody does not come. */
static bool mn_join_all(struct mn_ctx *ctx)
{
	bool all = true;
	unsigned int i;

	for (i = 0; i < ctx->nr_subs; i++)
		complete_all(&ctx->subs[i].gate);
	for (i = 0; i < ctx->nr_plains; i++)
		complete_all(&ctx->plains[i].gate);
	for (i = 0; i < MN_THREADS; i++) {
		struct mn_thread *thread = &ctx->threads[i];

		if (!thread->task)
			continue;
		if (thread->going) {
			all &= mn_returns(thread);
		} else {
			kthread_stop_put(thread->task);
			thread->task = NULL;
		}
	}
	return all;
}

void mn_test_exit(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	if (!ctx)
		return;

	for (i = MN_INVS; i-- > 0;)
		mn_end(&ctx->invs[i]);
	if (!mn_join_all(ctx))
		goto leak;
	for (i = 0; i < MN_SUBS; i++) {
		struct mn_sub *sub = &ctx->subs[i];

		if (sub->inserted && !mn_returns(mn_remove_thread(sub)))
			goto leak;
	}
	for (i = 0; i < ctx->nr_plains; i++)
		mn_unregister(&ctx->plains[i]);
	mmu_notifier_synchronize();
	if (!ctx->exited)
		mn_exit_mm(ctx);
	/* Ours alone: nothing of the core pins it any more. */
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&ctx->mm->mm_count), 1,
			    "mm is pinned at the end");
	mmdrop(ctx->mm);
	kfree(ctx);
	return;

leak:
	/* What is stuck may touch any of it, at any time. */
	KUNIT_FAIL(test, "a thread is stuck; its mm is leaked");
}
