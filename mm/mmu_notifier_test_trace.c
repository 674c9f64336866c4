// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the tracepoints of the notifier core, seen by probes.
 */

#include <linux/mm.h>
#include <linux/tracepoint.h>
#include <trace/events/mmu_notifier.h>

#include "mmu_notifier_test.h"

/**
 * struct mn_probe - what a probe has seen
 * @mm: the test's; others are at work, too
 * @hits: events of that mm
 * @sub: of the last one
 * @range: of the last one
 * @count: of the last one: count, overlaps or woken
 * @ret: of the last one
 */
struct mn_probe {
	const struct mm_struct *mm;
	atomic_t hits;
	const void *sub;
	const void *range;
	unsigned long count;
	int ret;
};

static void mn_probe_interval(void *data,
			      const struct mmu_interval_notifier *interval_sub,
			      unsigned long count)
{
	struct mn_probe *probe = data;

	if (interval_sub->mm != probe->mm)
		return;
	probe->sub = interval_sub;
	probe->count = count;
	atomic_inc(&probe->hits);
}

static void mn_probe_start(void *data, const struct mmu_notifier_range *range,
			   unsigned long overlaps, int ret)
{
	struct mn_probe *probe = data;

	if (range->mm != probe->mm)
		return;
	probe->range = range;
	probe->count = overlaps;
	probe->ret = ret;
	atomic_inc(&probe->hits);
}

static void mn_probe_end(void *data, const struct mmu_notifier_range *range,
			 unsigned long woken)
{
	struct mn_probe *probe = data;

	if (range->mm != probe->mm)
		return;
	probe->range = range;
	probe->count = woken;
	atomic_inc(&probe->hits);
}

/* A pair of functions for each event. */
#define MN_ATTACH(event, fn)							\
	static void mn_attach_##event(struct mn_ctx *ctx, struct mn_probe *probe) \
	{									\
		memset(probe, 0, sizeof(*probe));				\
		probe->mm = ctx->mm;						\
		KUNIT_EXPECT_EQ(ctx->test,					\
				register_trace_##event(fn, probe), 0);		\
	}

#define MN_DETACH(event, fn)							\
	static void mn_detach_##event(struct mn_probe *probe)			\
	{									\
		unregister_trace_##event(fn, probe);				\
		tracepoint_synchronize_unregister();				\
	}

MN_ATTACH(mmu_interval_insert, mn_probe_interval)
MN_DETACH(mmu_interval_insert, mn_probe_interval)
MN_ATTACH(mmu_interval_remove, mn_probe_interval)
MN_DETACH(mmu_interval_remove, mn_probe_interval)
MN_ATTACH(mmu_interval_wait, mn_probe_interval)
MN_DETACH(mmu_interval_wait, mn_probe_interval)
MN_ATTACH(mmu_interval_retry, mn_probe_interval)
MN_DETACH(mmu_interval_retry, mn_probe_interval)
MN_ATTACH(mmu_notifier_invalidate_start, mn_probe_start)
MN_DETACH(mmu_notifier_invalidate_start, mn_probe_start)
MN_ATTACH(mmu_notifier_invalidate_end, mn_probe_end)
MN_DETACH(mmu_notifier_invalidate_end, mn_probe_end)

static void expect_hit(struct kunit *test, struct mn_probe *probe, int hits,
		       unsigned long count)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&probe->hits), hits);
	KUNIT_EXPECT_EQ(test, probe->count, count);
}

static void insert_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_probe probe;
	struct mn_sub *sub;

	mn_attach_mmu_interval_insert(ctx, &probe);
	sub = mn_insert(ctx, 4, 8);
	expect_hit(test, &probe, 1, 0);
	KUNIT_EXPECT_PTR_EQ(test, probe.sub, &sub->notifier);
	mn_detach_mmu_interval_insert(&probe);
}

static void insert_says_how_many_it_collides_with(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_inv *inv[3];
	struct mn_probe probe;

	mn_attach_mmu_interval_insert(ctx, &probe);
	inv[0] = mn_start(ctx, 4, 8);
	inv[1] = mn_start(ctx, 7, 9);
	inv[2] = mn_start(ctx, 8, 12);
	mn_insert(ctx, 4, 8);
	expect_hit(test, &probe, 1, 2);
	/* With the same two, and the third: some are colliding already. */
	mn_insert(ctx, 6, 10);
	expect_hit(test, &probe, 2, 3);
	mn_end(inv[2]);
	mn_end(inv[1]);
	mn_end(inv[0]);
	mn_detach_mmu_interval_insert(&probe);
}

static void insert_that_fails_is_not_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_new_sub(ctx);
	struct mn_probe probe;

	mn_attach_mmu_interval_insert(ctx, &probe);
	KUNIT_EXPECT_EQ(test,
			mmu_interval_notifier_insert(&sub->notifier, ctx->mm, 0, 0,
						     &mn_one_pass_ops),
			-EOVERFLOW);
	KUNIT_EXPECT_EQ(test, atomic_read(&probe.hits), 0);
	mn_detach_mmu_interval_insert(&probe);
}

static void remove_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_probe probe;

	mn_attach_mmu_interval_remove(ctx, &probe);
	mn_remove(sub);
	expect_hit(test, &probe, 1, 0);
	KUNIT_EXPECT_PTR_EQ(test, probe.sub, &sub->notifier);
	mn_detach_mmu_interval_remove(&probe);
}

static void remove_says_how_many_it_waits_for(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *a, *b, *elsewhere;
	struct mn_thread *remover;
	struct mn_probe probe;

	mn_insert(ctx, 8, 12);
	mn_attach_mmu_interval_remove(ctx, &probe);
	a = mn_start(ctx, 4, 8);
	b = mn_start(ctx, 7, 9);
	elsewhere = mn_start(ctx, 8, 12);
	remover = mn_remove_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	expect_hit(test, &probe, 1, 2);
	mn_end(elsewhere);
	mn_end(b);
	mn_end(a);
	mn_expect_returns(remover);
	mn_detach_mmu_interval_remove(&probe);
}

static void waiting_reader_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *reader;
	struct mn_probe probe;
	struct mn_inv *a, *b;

	mn_attach_mmu_interval_wait(ctx, &probe);
	a = mn_start(ctx, 4, 8);
	b = mn_start(ctx, 4, 5);
	reader = mn_read_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	expect_hit(test, &probe, 1, 2);
	KUNIT_EXPECT_PTR_EQ(test, probe.sub, &sub->notifier);
	mn_end(b);
	mn_end(a);
	mn_expect_returns(reader);
	KUNIT_EXPECT_EQ(test, atomic_read(&probe.hits), 1);
	mn_detach_mmu_interval_wait(&probe);
}

static void reader_that_does_not_wait_is_not_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_probe probe;
	struct mn_inv *inv;

	mn_insert(ctx, 8, 12);
	mn_attach_mmu_interval_wait(ctx, &probe);
	mn_expect_returns(mn_read_thread(sub));
	inv = mn_start(ctx, 8, 12);
	mn_expect_returns(mn_read_thread(sub));
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, atomic_read(&probe.hits), 0);
	mn_detach_mmu_interval_wait(&probe);
}

static void retry_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_probe probe;
	unsigned long seq;

	mn_attach_mmu_interval_retry(ctx, &probe);
	seq = mn_try_read(sub);
	KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&sub->notifier, seq));
	KUNIT_EXPECT_EQ(test, atomic_read(&probe.hits), 0);
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&sub->notifier, seq));
	expect_hit(test, &probe, 1, seq);
	KUNIT_EXPECT_PTR_EQ(test, probe.sub, &sub->notifier);
	mn_detach_mmu_interval_retry(&probe);
}

static void start_says_how_many_were_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_probe probe;
	struct mn_inv *inv;
	unsigned int i;

	mn_attach_mmu_notifier_invalidate_start(ctx, &probe);
	for (i = 0; i < 20; i++)
		mn_insert(ctx, i, i + 1);
	inv = mn_start(ctx, 0, 17);
	expect_hit(test, &probe, 1, 17);
	KUNIT_EXPECT_PTR_EQ(test, probe.range, &inv->range);
	KUNIT_EXPECT_EQ(test, probe.ret, 0);
	mn_end(inv);
	mn_detach_mmu_notifier_invalidate_start(&probe);
}

static void quiet_start_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_probe probe;

	mn_insert(ctx, 4, 8);
	mn_attach_mmu_notifier_invalidate_start(ctx, &probe);
	mn_invalidate(ctx, 8, 12);
	expect_hit(test, &probe, 1, 0);
	mn_detach_mmu_notifier_invalidate_start(&probe);
}

static void refused_start_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_probe probe;
	struct mn_inv *inv;

	mn_insert(ctx, 4, 8);
	mn_insert(ctx, 4, 8);
	ctx->refuse = 2;
	mn_attach_mmu_notifier_invalidate_start(ctx, &probe);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, atomic_read(&probe.hits), 1);
	KUNIT_EXPECT_EQ(test, probe.ret, -EAGAIN);
	/* Not more than there are. */
	KUNIT_EXPECT_LE(test, probe.count, 2);
	mn_detach_mmu_notifier_invalidate_start(&probe);
}

static void start_refused_by_a_plain_one_is_traced(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_probe probe;
	struct mn_inv *inv;

	mn_register(ctx, &mn_refusing_ops);
	mn_insert(ctx, 4, 8);
	mn_attach_mmu_notifier_invalidate_start(ctx, &probe);
	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), -EAGAIN);
	mn_end(inv);
	expect_hit(test, &probe, 1, 1);
	KUNIT_EXPECT_EQ(test, probe.ret, -EAGAIN);
	mn_detach_mmu_notifier_invalidate_start(&probe);
}

static void end_says_how_many_were_woken(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *reader[2];
	struct mn_probe probe;
	struct mn_inv *a, *b;

	mn_attach_mmu_notifier_invalidate_end(ctx, &probe);
	a = mn_start(ctx, 4, 8);
	b = mn_start(ctx, 4, 8);
	reader[0] = mn_read_thread(sub);
	reader[1] = mn_read_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader[0]));
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader[1]));
	mn_end(a);
	expect_hit(test, &probe, 1, 0);
	KUNIT_EXPECT_PTR_EQ(test, probe.range, &a->range);
	mn_end(b);
	expect_hit(test, &probe, 2, 2);
	KUNIT_EXPECT_PTR_EQ(test, probe.range, &b->range);
	mn_expect_returns(reader[0]);
	mn_expect_returns(reader[1]);
	mn_detach_mmu_notifier_invalidate_end(&probe);
}

static struct kunit_case mn_trace_cases[] = {
	KUNIT_CASE(insert_is_traced),
	KUNIT_CASE(insert_says_how_many_it_collides_with),
	KUNIT_CASE(insert_that_fails_is_not_traced),
	KUNIT_CASE(remove_is_traced),
	KUNIT_CASE(remove_says_how_many_it_waits_for),
	KUNIT_CASE(waiting_reader_is_traced),
	KUNIT_CASE(reader_that_does_not_wait_is_not_traced),
	KUNIT_CASE(retry_is_traced),
	KUNIT_CASE(start_says_how_many_were_called),
	KUNIT_CASE(quiet_start_is_traced),
	KUNIT_CASE(refused_start_is_traced),
	KUNIT_CASE(start_refused_by_a_plain_one_is_traced),
	KUNIT_CASE(end_says_how_many_were_woken),
	{}
};

static struct kunit_suite mn_trace_suite = {
	.name = "mmu_notifier_trace",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_trace_cases,
};

kunit_test_suite(mn_trace_suite);
