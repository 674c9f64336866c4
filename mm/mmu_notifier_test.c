// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: interval notifiers: who is called, for what, with which number.
 */

#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>

#include "mmu_notifier_test.h"

/* -- who is called -------------------------------------------------------- */

struct mn_overlap_case {
	const char *name;
	unsigned long start;
	unsigned long end;
	int calls;
};

/* Against a subscription to the pages 4 to 7. */
static const struct mn_overlap_case mn_overlap_cases[] = {
	{ "the same range", 4 * PAGE_SIZE, 8 * PAGE_SIZE, 1 },
	{ "inside", 5 * PAGE_SIZE, 6 * PAGE_SIZE, 1 },
	{ "around", 3 * PAGE_SIZE, 9 * PAGE_SIZE, 1 },
	{ "over the left border", 3 * PAGE_SIZE, 5 * PAGE_SIZE, 1 },
	{ "over the right border", 7 * PAGE_SIZE, 9 * PAGE_SIZE, 1 },
	{ "first byte only", 4 * PAGE_SIZE, 4 * PAGE_SIZE + 1, 1 },
	{ "last byte only", 8 * PAGE_SIZE - 1, 8 * PAGE_SIZE, 1 },
	{ "ends with the first byte", 0, 4 * PAGE_SIZE + 1, 1 },
	{ "begins with the last byte", 8 * PAGE_SIZE - 1, ULONG_MAX, 1 },
	{ "the whole address space", 0, ULONG_MAX, 1 },
	{ "up to the first byte", 3 * PAGE_SIZE, 4 * PAGE_SIZE, 0 },
	{ "from behind the last byte", 8 * PAGE_SIZE, 9 * PAGE_SIZE, 0 },
	{ "all below", 0, 4 * PAGE_SIZE, 0 },
	{ "all above", 8 * PAGE_SIZE, ULONG_MAX, 0 },
	{ "byte 0", 0, 1, 0 },
	{ "the byte before the last", ULONG_MAX - 1, ULONG_MAX, 0 },
};

KUNIT_ARRAY_PARAM_DESC(mn_overlap, mn_overlap_cases, name);

static void called_once_if_range_overlaps(struct kunit *test)
{
	const struct mn_overlap_case *c = test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	inv = mn_start_bytes(ctx, c->start, c->end);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), c->calls);
	KUNIT_EXPECT_EQ(test, mn_collides(sub), !!c->calls);
	mn_end(inv);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), c->calls);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void callback_sees_the_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);

	mn_invalidate(ctx, 3, 6);
	KUNIT_EXPECT_PTR_EQ(test, sub->seen.mm, ctx->mm);
	KUNIT_EXPECT_EQ(test, sub->seen.start, 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, sub->seen.end, 6 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, sub->seen.event, MMU_NOTIFY_CLEAR);
	KUNIT_EXPECT_TRUE(test, mmu_notifier_range_blockable(&sub->seen));
}

static void callback_sees_event_and_owner(struct kunit *test)
{
	static const enum mmu_notifier_event events[] = {
		MMU_NOTIFY_UNMAP,
		MMU_NOTIFY_CLEAR,
		MMU_NOTIFY_PROTECTION_VMA,
		MMU_NOTIFY_PROTECTION_PAGE,
		MMU_NOTIFY_SOFT_DIRTY,
		MMU_NOTIFY_MIGRATE,
		MMU_NOTIFY_EXCLUSIVE,
	};
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		struct mmu_notifier_range range;

		mmu_notifier_range_init_owner(&range, events[i], 0, ctx->mm,
					      4 * PAGE_SIZE, 5 * PAGE_SIZE, ctx);
		mmap_read_lock(ctx->mm);
		mmu_notifier_invalidate_range_start(&range);
		mmu_notifier_invalidate_range_end(&range);
		mmap_read_unlock(ctx->mm);
		KUNIT_EXPECT_EQ(test, sub->seen.event, events[i]);
		KUNIT_EXPECT_PTR_EQ(test, sub->seen.owner, ctx);
	}
}

static void callback_sees_that_it_may_not_sleep(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	KUNIT_EXPECT_EQ(test, mn_start_nonblock(ctx, 4, 8, &inv), 0);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	KUNIT_EXPECT_FALSE(test, mmu_notifier_range_blockable(&sub->seen));
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

/* Around multiples of what the core calls at a time. */
static const unsigned int mn_numbers[] = { 1, 2, 15, 16, 17, 32, 33, 40 };

static void mn_number_desc(const unsigned int *n, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u", *n);
}

KUNIT_ARRAY_PARAM(mn_number, mn_numbers, mn_number_desc);

static void all_that_overlap_are_called_once(struct kunit *test)
{
	const unsigned int *n = test->param_value;
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < *n; i++)
		mn_insert(ctx, i, 50);
	mn_invalidate(ctx, 45, 46);
	for (i = 0; i < *n; i++)
		KUNIT_EXPECT_EQ_MSG(test, mn_calls(&ctx->subs[i]), 1, "sub %u", i);
}

static void all_in_the_same_place_are_called_once(struct kunit *test)
{
	const unsigned int *n = test->param_value;
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < *n; i++)
		mn_insert(ctx, 4, 8);
	mn_invalidate(ctx, 0, 50);
	for (i = 0; i < *n; i++)
		KUNIT_EXPECT_EQ_MSG(test, mn_calls(&ctx->subs[i]), 1, "sub %u", i);
}

static void only_those_that_overlap_are_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned long first, end;
	unsigned int i;

	for (i = 0; i < 40; i++)
		mn_insert(ctx, i, i + 2);
	for (first = 0; first < 40; first += 3) {
		end = first + 1 + first % 7;
		for (i = 0; i < 40; i++)
			atomic_set(&ctx->subs[i].calls, 0);
		mn_invalidate(ctx, first, end);
		for (i = 0; i < 40; i++)
			KUNIT_EXPECT_EQ_MSG(test, mn_calls(&ctx->subs[i]),
					    i < end && first < i + 2,
					    "sub %u, range %lu to %lu", i, first,
					    end);
	}
}

static void short_ones_inside_a_long_one_are_found(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *whole = mn_insert(ctx, 0, 1000);
	struct mn_sub *early = mn_insert(ctx, 1, 2);
	struct mn_sub *late = mn_insert(ctx, 998, 999);

	mn_invalidate(ctx, 500, 501);
	KUNIT_EXPECT_EQ(test, mn_calls(whole), 1);
	KUNIT_EXPECT_EQ(test, mn_calls(early), 0);
	KUNIT_EXPECT_EQ(test, mn_calls(late), 0);
	mn_invalidate(ctx, 998, 1001);
	KUNIT_EXPECT_EQ(test, mn_calls(whole), 2);
	KUNIT_EXPECT_EQ(test, mn_calls(early), 0);
	KUNIT_EXPECT_EQ(test, mn_calls(late), 1);
}

static struct mn_sub *mn_insert_into(struct mn_ctx *ctx, struct mm_struct *mm,
				     unsigned long first, unsigned long end)
{
	struct mn_sub *sub = mn_new_sub(ctx);
	int err;

	err = mmu_interval_notifier_insert(&sub->notifier, mm, first * PAGE_SIZE,
					   (end - first) * PAGE_SIZE,
					   &mn_one_pass_ops);
	sub->inserted = !err;
	KUNIT_EXPECT_EQ(ctx->test, err, 0);
	return sub;
}

static void another_mm_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mm_struct *other = mm_alloc();
	struct mn_sub *here = mn_insert(ctx, 4, 8);
	struct mmu_notifier_range range;
	struct mn_sub *there;

	KUNIT_EXPECT_NOT_NULL(test, other);
	if (!other)
		return;
	there = mn_insert_into(ctx, other, 0, 8);

	mmap_read_lock(other);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, other, 4 * PAGE_SIZE,
				8 * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	KUNIT_EXPECT_EQ(test, mn_calls(here), 0);
	KUNIT_EXPECT_EQ(test, mn_calls(there), 1);
	KUNIT_EXPECT_FALSE(test, mn_collides(here));
	mmu_notifier_invalidate_range_end(&range);
	mmap_read_unlock(other);

	mn_remove(there);
	mmput(other);
}

static void born_in_one_mm_does_not_collide_with_another(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mm_struct *other = mm_alloc();
	struct mmu_notifier_range range;
	struct mn_sub *there, *again;
	struct mn_inv *inv;

	KUNIT_EXPECT_NOT_NULL(test, other);
	if (!other)
		return;
	there = mn_insert_into(ctx, other, 0, 8);

	/* Both mms have something quiet in flight in the same bucket, a CPU's. */
	migrate_disable();
	down_read_non_owner(&other->mmap_lock);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, other, 8 * PAGE_SIZE,
				12 * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	inv = mn_start(ctx, 4, 8);
	migrate_enable();

	again = mn_insert_into(ctx, other, 4, 8);
	KUNIT_EXPECT_FALSE(test, mn_collides(there));
	KUNIT_EXPECT_FALSE(test, mn_collides(again));
	mn_end(inv);
	mmu_notifier_invalidate_range_end(&range);
	up_read_non_owner(&other->mmap_lock);
	mn_remove(again);
	mn_remove(there);
	mmput(other);
}

/* -- sequence numbers ----------------------------------------------------- */

static void numbers_are_odd_and_new_each_time(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned long seq[4];
	unsigned int i, j;

	/* What it is born with is a number, too. */
	seq[0] = mn_try_read(sub);
	for (i = 1; i < ARRAY_SIZE(seq); i++) {
		mn_invalidate(ctx, 4, 8);
		seq[i] = sub->cur_seq;
		KUNIT_EXPECT_EQ(test, seq[i] & 1, 1);
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_NE(test, seq[i], seq[j]);
	}
}

static void numbers_of_ranges_in_flight_together_differ(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *a, *b;
	unsigned long seq;

	a = mn_start(ctx, 4, 8);
	seq = sub->cur_seq;
	b = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_NE(test, sub->cur_seq, seq);
	mn_end(a);
	mn_end(b);
}

static void one_invalidation_has_one_number(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned int i;

	for (i = 0; i < 20; i++)
		mn_insert(ctx, 4, 8);
	mn_invalidate(ctx, 4, 8);
	for (i = 1; i < 20; i++)
		KUNIT_EXPECT_EQ(test, ctx->subs[i].cur_seq, ctx->subs[0].cur_seq);
}

/*
 * For in_callback: the other one is born in the first batch of callbacks, and is called
 * in the second. In between it is read, and called by another invalidation.
 */
static void born_and_read_between_batches(struct mn_sub *sub)
{
	struct mn_sub *newborn = sub->other;

	mn_expect_returns(mn_go(sub->thread));
	/* A number that somebody will call it with is no number to begin with. */
	sub->flag = mmu_interval_check_retry(&newborn->notifier, sub->cur_seq);
	KUNIT_EXPECT_TRUE(sub->ctx->test, mn_sleeps(mn_go(newborn->thread)));
	mn_go(sub->signals->thread);
	KUNIT_EXPECT_TRUE(sub->ctx->test, mn_happens(&sub->signals->entered));
}

static void number_of_a_newborn_is_nobodys(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *first, *newborn, *signals;
	struct mn_inv *inv;
	unsigned int i;

	for (i = 0; i < 20; i++)
		mn_insert(ctx, i, 40);
	newborn = mn_new_sub(ctx);
	newborn->thread = mn_new_reader(newborn);
	signals = mn_new_sub(ctx);
	signals->thread = mn_new_invalidation(ctx, signals, 50, 51);
	first = &ctx->subs[0];
	first->other = newborn;
	first->signals = signals;
	first->thread = mn_new_inserter(newborn, 30, 60);
	first->in_callback = born_and_read_between_batches;

	inv = mn_start(ctx, 0, 40);
	KUNIT_EXPECT_TRUE(test, first->flag);
	mn_end(inv);
	mn_expect_returns(newborn->thread);
	/* The other one is in flight and has called it since the read began. */
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&newborn->notifier,
							newborn->thread->seq));
	complete(&signals->gate);
	mn_expect_returns(signals->thread);
}

/* Everything that compares numbers, on both sides of the wrap and over it. */
static void numbers_wrap(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	bool wrapped = false;
	unsigned int i;

	mn_set_seq(ctx, ULONG_MAX - 10);
	for (i = 0; i < 16; i++) {
		unsigned long seq = mn_try_read(sub);
		struct mn_thread *early, *late;
		struct mn_inv *a, *b;

		a = mn_start(ctx, 4, 8);
		KUNIT_EXPECT_EQ(test, sub->cur_seq & 1, 1);
		KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&sub->notifier, seq));
		early = mn_read_thread(sub);
		KUNIT_EXPECT_TRUE(test, mn_sleeps(early));
		b = mn_start(ctx, 4, 8);
		wrapped |= sub->cur_seq < seq;
		late = mn_read_thread(sub);
		KUNIT_EXPECT_TRUE(test, mn_sleeps(late));
		/* b is later than what the first of the two waits for. */
		mn_end(a);
		mn_expect_returns(early);
		KUNIT_EXPECT_TRUE(test, mn_sleeps(late));
		mn_end(b);
		mn_expect_returns(late);
	}
	KUNIT_EXPECT_TRUE(test, wrapped);
}

static void born_at_the_wrap_is_free(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	unsigned long last;

	for (last = ULONG_MAX - 2; last != 5; last += 2) {
		struct mn_sub *sub;
		unsigned long seq;

		mn_set_seq(ctx, last);
		sub = mn_insert(ctx, 4, 8);
		seq = mn_try_read(sub);
		KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&sub->notifier, seq));
		mn_invalidate(ctx, 4, 8);
		KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&sub->notifier, seq));
		mn_remove(sub);
	}
}

static void removed_over_the_wrap_is_not_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *remover;
	struct mn_inv *a, *b;

	mn_set_seq(ctx, ULONG_MAX - 2);
	a = mn_start(ctx, 4, 8);
	remover = mn_remove_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(remover));
	b = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	mn_end(a);
	mn_expect_returns(remover);
	mn_end(b);
}

static struct kunit_case mn_call_cases[] = {
	KUNIT_CASE_PARAM(called_once_if_range_overlaps, mn_overlap_gen_params),
	KUNIT_CASE(callback_sees_the_range),
	KUNIT_CASE(callback_sees_event_and_owner),
	KUNIT_CASE(callback_sees_that_it_may_not_sleep),
	KUNIT_CASE_PARAM(all_that_overlap_are_called_once, mn_number_gen_params),
	KUNIT_CASE_PARAM(all_in_the_same_place_are_called_once, mn_number_gen_params),
	KUNIT_CASE(only_those_that_overlap_are_called),
	KUNIT_CASE(short_ones_inside_a_long_one_are_found),
	KUNIT_CASE(another_mm_is_not_called),
	KUNIT_CASE(born_in_one_mm_does_not_collide_with_another),
	KUNIT_CASE(numbers_are_odd_and_new_each_time),
	KUNIT_CASE(numbers_of_ranges_in_flight_together_differ),
	KUNIT_CASE(one_invalidation_has_one_number),
	KUNIT_CASE(number_of_a_newborn_is_nobodys),
	KUNIT_CASE(numbers_wrap),
	KUNIT_CASE(born_at_the_wrap_is_free),
	KUNIT_CASE(removed_over_the_wrap_is_not_called),
	{}
};

static struct kunit_suite mn_call_suite = {
	.name = "mmu_notifier_call",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_call_cases,
};

kunit_test_suite(mn_call_suite);
