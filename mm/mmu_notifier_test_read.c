// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: readers. One waits for the collisions that are in flight when it begins, and
 * for nothing else; it retries when there was one since.
 */

#include <linux/mm.h>

#include "mmu_notifier_test.h"

static bool mn_retry(struct mn_sub *sub, unsigned long seq)
{
	return mmu_interval_read_retry(&sub->notifier, seq);
}

/* -- read_begin, read_retry: alone ---------------------------------------- */

static void idle_read_begins_and_succeeds(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_thread *reader = mn_read_thread(sub);

	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
	KUNIT_EXPECT_FALSE(test, mmu_interval_check_retry(&sub->notifier, reader->seq));
}

static void try_read_gives_the_number_of_read_begin(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct mn_thread *reader = mn_read_thread(sub);

		mn_expect_returns(reader);
		KUNIT_EXPECT_EQ(test, mn_try_read(sub), reader->seq);
		mn_invalidate(ctx, 4, 8);
	}
}

static void read_before_a_collision_retries(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned long seq = mn_try_read(sub);
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 5);
	KUNIT_EXPECT_TRUE(test, mn_retry(sub, seq));
	KUNIT_EXPECT_TRUE(test, mmu_interval_check_retry(&sub->notifier, seq));
	mn_end(inv);
	KUNIT_EXPECT_TRUE(test, mn_retry(sub, seq));
	KUNIT_EXPECT_TRUE(test, mmu_interval_check_retry(&sub->notifier, seq));
}

static void read_after_a_collision_succeeds(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);

	mn_invalidate(ctx, 4, 5);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, mn_try_read(sub)));
}

static void read_does_not_retry_for_another_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_sub *other = mn_insert(ctx, 8, 12);
	unsigned long seq = mn_try_read(sub);
	struct mn_inv *quiet, *colliding;

	quiet = mn_start(ctx, 0, 4);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, seq));
	colliding = mn_start(ctx, 8, 9);
	KUNIT_EXPECT_EQ(test, mn_calls(other), 1);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, seq));
	KUNIT_EXPECT_FALSE(test, mmu_interval_check_retry(&sub->notifier, seq));
	mn_end(quiet);
	mn_end(colliding);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, seq));
}

static void collision_without_set_seq_is_none(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	unsigned long seq = mn_try_read(sub);

	/* For the driver to say: there was nothing of its own in the range. */
	sub->no_set_seq = true;
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 1);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, seq));
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void try_read_fails_from_start_to_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv;

	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
	inv = mn_start(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(inv);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void note_collision(struct mn_sub *sub)
{
	sub->flag = mn_collides(sub);
	if (sub->other)
		sub->other->flag = mn_collides(sub->other);
}

static void try_read_fails_in_the_callback(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);

	sub->in_callback = note_collision;
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_TRUE(test, sub->flag);
}

/* The window between the start and one's own callback. */
static void try_read_fails_before_its_callback_is_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *a = mn_insert(ctx, 4, 8);
	struct mn_sub *b = mn_insert(ctx, 4, 8);

	/* Whoever is called first looks at both. */
	a->other = b;
	b->other = a;
	a->in_callback = note_collision;
	b->in_callback = note_collision;
	mn_invalidate(ctx, 4, 8);
	KUNIT_EXPECT_EQ(test, ctx->log_len, 2);
	KUNIT_EXPECT_TRUE(test, a->flag);
	KUNIT_EXPECT_TRUE(test, b->flag);
}

static void start_reader_of_other(struct mn_sub *sub)
{
	/* The first of the two that is called: the other has not set its number. */
	if (mn_calls(sub->other))
		return;
	sub->flag = mn_sleeps(mn_go(sub->thread));
}

static void reader_waits_before_its_callback_is_called(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *a = mn_insert(ctx, 4, 8);
	struct mn_sub *b = mn_insert(ctx, 4, 8);
	struct mn_sub *first;
	struct mn_inv *inv;

	a->other = b;
	b->other = a;
	a->thread = mn_new_reader(b);
	b->thread = mn_new_reader(a);
	a->in_callback = start_reader_of_other;
	b->in_callback = start_reader_of_other;
	inv = mn_start(ctx, 4, 8);
	first = a->thread->going ? a : b;
	KUNIT_EXPECT_TRUE(test, first->flag);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(first->thread));
	mn_end(inv);
	mn_expect_returns(first->thread);
}

/* -- readers that wait ---------------------------------------------------- */

static void reader_waits_for_the_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 5);
	struct mn_thread *reader = mn_read_thread(sub);

	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
}

static void newborn_reader_waits_for_the_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *reader;
	struct mn_sub *sub;
	struct mn_inv *inv;

	inv = mn_start(ctx, 4, 8);
	sub = mn_insert(ctx, 4, 5);
	reader = mn_read_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
}

static void all_readers_return_at_the_end(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv = mn_start(ctx, 4, 5);
	struct mn_thread *reader[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reader); i++) {
		reader[i] = mn_read_thread(sub);
		KUNIT_EXPECT_TRUE(test, mn_sleeps(reader[i]));
	}
	mn_end(inv);
	for (i = 0; i < ARRAY_SIZE(reader); i++)
		mn_expect_returns(reader[i]);
}

static void reader_does_not_wait_for_another_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_sub *other = mn_insert(ctx, 8, 12);
	struct mn_inv *quiet = mn_start(ctx, 0, 4);
	struct mn_inv *colliding = mn_start(ctx, 8, 9);
	struct mn_thread *reader = mn_read_thread(sub);

	KUNIT_EXPECT_EQ(test, mn_calls(other), 1);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
	mn_end(colliding);
	mn_end(quiet);
}

static void reader_that_collided_once_does_not_wait_for_another_range(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *elsewhere;
	struct mn_thread *reader;

	elsewhere = mn_start(ctx, 20, 30);
	mn_invalidate(ctx, 4, 8);
	reader = mn_read_thread(sub);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
	mn_end(elsewhere);
}

/* Elsewhere there is never a moment without an invalidation in flight. */
static void reader_returns_in_a_storm_elsewhere(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv, *storm, *next;
	struct mn_thread *reader;
	unsigned int i;

	mn_insert(ctx, 20, 30);
	storm = mn_start(ctx, 20, 30);
	inv = mn_start(ctx, 4, 8);
	reader = mn_read_thread(sub);
	for (i = 0; i < 10; i++) {
		KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
		next = mn_start(ctx, i & 1 ? 20 : 40, 50);
		mn_end(storm);
		storm = next;
	}
	mn_end(inv);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
	mn_end(storm);
}

/* Here, too: a new one has begun before the last has ended. */
static void reader_does_not_wait_for_later_collisions(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *early = mn_start(ctx, 4, 8);
	struct mn_thread *reader = mn_read_thread(sub);
	struct mn_inv *late;

	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	late = mn_start(ctx, 4, 8);
	mn_end(early);
	mn_expect_returns(reader);
	/* It will find out. */
	KUNIT_EXPECT_TRUE(test, mn_retry(sub, reader->seq));
	mn_end(late);
}

static void reader_is_not_let_go_by_the_end_of_a_later_one(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *early = mn_start(ctx, 4, 8);
	struct mn_thread *reader = mn_read_thread(sub);
	struct mn_inv *late;

	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	late = mn_start(ctx, 4, 8);
	mn_end(late);
	KUNIT_EXPECT_TRUE(test, mn_sleeps_on(reader));
	mn_end(early);
	mn_expect_returns(reader);
}

static void reader_waits_for_all_that_collide(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *inv[3];
	struct mn_thread *reader;

	inv[0] = mn_start(ctx, 0, 5);
	inv[1] = mn_start(ctx, 5, 6);
	inv[2] = mn_start(ctx, 7, 9);
	reader = mn_read_thread(sub);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv[1]);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv[0]);
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader));
	mn_end(inv[2]);
	mn_expect_returns(reader);
	KUNIT_EXPECT_FALSE(test, mn_retry(sub, reader->seq));
}

static void only_those_concerned_are_woken(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *a = mn_insert(ctx, 4, 8);
	struct mn_sub *b = mn_insert(ctx, 8, 12);
	struct mn_inv *on_a = mn_start(ctx, 4, 8);
	struct mn_inv *on_b = mn_start(ctx, 8, 12);
	struct mn_inv *quiet = mn_start(ctx, 20, 30);
	struct mn_thread *reader_a = mn_read_thread(a);
	struct mn_thread *reader_b = mn_read_thread(b);

	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader_a));
	KUNIT_EXPECT_TRUE(test, mn_sleeps(reader_b));
	mn_end(quiet);
	KUNIT_EXPECT_TRUE(test, mn_sleeps_on(reader_a));
	KUNIT_EXPECT_TRUE(test, mn_sleeps_on(reader_b));
	mn_end(on_b);
	mn_expect_returns(reader_b);
	KUNIT_EXPECT_TRUE(test, mn_sleeps_on(reader_a));
	mn_end(on_a);
	mn_expect_returns(reader_a);
}

/* -- several in flight, in every order ------------------------------------ */

static const u8 mn_orders[][3] = {
	{ 0, 1, 2 },
	{ 0, 2, 1 },
	{ 1, 0, 2 },
	{ 1, 2, 0 },
	{ 2, 0, 1 },
	{ 2, 1, 0 },
};

static void mn_order_desc(const u8 (*order)[3], char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "ends %u, %u, %u", (*order)[0],
		 (*order)[1], (*order)[2]);
}

KUNIT_ARRAY_PARAM(mn_order, mn_orders, mn_order_desc);

/* Three ranges, one of them around the two others, and a subscription each. */
static const u8 mn_three[3][2] = { { 0, 12 }, { 2, 6 }, { 5, 10 } };

static bool mn_three_overlap(const u8 *range, const struct mn_sub *sub)
{
	return range[0] * PAGE_SIZE <= sub->notifier.interval_tree.last &&
	       range[1] * PAGE_SIZE > sub->notifier.interval_tree.start;
}

static void expect_three(struct mn_ctx *ctx, struct mn_inv **inv,
			 struct mn_sub **sub)
{
	unsigned int r, s;

	for (s = 0; s < 4; s++) {
		bool collides = false;

		for (r = 0; r < 3; r++)
			collides |= inv[r]->in_flight &&
				    mn_three_overlap(mn_three[r], sub[s]);
		KUNIT_EXPECT_EQ_MSG(ctx->test, mn_collides(sub[s]), collides,
				    "sub %u", s);
	}
}

static void insert_three(struct mn_ctx *ctx, struct mn_sub **sub)
{
	sub[0] = mn_insert(ctx, 0, 3);
	sub[1] = mn_insert(ctx, 3, 5);
	sub[2] = mn_insert(ctx, 5, 7);
	sub[3] = mn_insert(ctx, 11, 20);
}

static void start_three(struct mn_ctx *ctx, struct mn_inv **inv)
{
	unsigned int r;

	for (r = 0; r < 3; r++)
		inv[r] = mn_start(ctx, mn_three[r][0], mn_three[r][1]);
}

static void collisions_end_in_every_order(struct kunit *test)
{
	const u8 *order = test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub[4];
	struct mn_inv *inv[3];
	unsigned int i;

	insert_three(ctx, sub);
	start_three(ctx, inv);
	expect_three(ctx, inv, sub);
	for (i = 0; i < 3; i++) {
		mn_end(inv[order[i]]);
		expect_three(ctx, inv, sub);
	}
}

static void promoted_ones_end_in_every_order(struct kunit *test)
{
	const u8 *order = test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub[4];
	struct mn_inv *inv[3];
	unsigned int i;

	start_three(ctx, inv);
	insert_three(ctx, sub);
	expect_three(ctx, inv, sub);
	for (i = 0; i < 3; i++) {
		mn_end(inv[order[i]]);
		expect_three(ctx, inv, sub);
	}
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, mn_calls(sub[i]), 0);
}

static void readers_return_in_every_order(struct kunit *test)
{
	const u8 *order = test->param_value;
	struct mn_ctx *ctx = test->priv;
	struct mn_thread *reader[4];
	struct mn_sub *sub[4];
	struct mn_inv *inv[3];
	unsigned int i, r, s;

	insert_three(ctx, sub);
	start_three(ctx, inv);
	for (s = 0; s < 4; s++)
		reader[s] = mn_read_thread(sub[s]);
	for (i = 0; i < 3; i++) {
		for (s = 0; s < 4; s++) {
			bool waits = false;

			for (r = 0; r < 3; r++)
				waits |= inv[r]->in_flight &&
					 mn_three_overlap(mn_three[r], sub[s]);
			if (waits)
				KUNIT_EXPECT_TRUE(test, mn_sleeps(reader[s]));
			else
				mn_expect_returns(reader[s]);
		}
		mn_end(inv[order[i]]);
	}
	for (s = 0; s < 4; s++)
		mn_expect_returns(reader[s]);
}

static void nested_one_leaves_the_outer_in_flight(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *outer = mn_start(ctx, 0, 16);
	unsigned long seq = sub->cur_seq;

	mn_invalidate(ctx, 4, 5);
	KUNIT_EXPECT_EQ(test, mn_calls(sub), 2);
	KUNIT_EXPECT_NE(test, sub->cur_seq, seq);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(outer);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static void same_range_twice_is_two_invalidations(struct kunit *test)
{
	struct mn_ctx *ctx = test->priv;
	struct mn_sub *sub = mn_insert(ctx, 4, 8);
	struct mn_inv *a = mn_start(ctx, 4, 8);
	struct mn_inv *b = mn_start(ctx, 4, 8);

	KUNIT_EXPECT_EQ(test, mn_calls(sub), 2);
	mn_end(a);
	KUNIT_EXPECT_TRUE(test, mn_collides(sub));
	mn_end(b);
	KUNIT_EXPECT_FALSE(test, mn_collides(sub));
}

static struct kunit_case mn_read_cases[] = {
	KUNIT_CASE(idle_read_begins_and_succeeds),
	KUNIT_CASE(try_read_gives_the_number_of_read_begin),
	KUNIT_CASE(read_before_a_collision_retries),
	KUNIT_CASE(read_after_a_collision_succeeds),
	KUNIT_CASE(read_does_not_retry_for_another_range),
	KUNIT_CASE(collision_without_set_seq_is_none),
	KUNIT_CASE(try_read_fails_from_start_to_end),
	KUNIT_CASE(try_read_fails_in_the_callback),
	KUNIT_CASE(try_read_fails_before_its_callback_is_called),
	KUNIT_CASE(reader_waits_before_its_callback_is_called),
	KUNIT_CASE(reader_waits_for_the_end),
	KUNIT_CASE(newborn_reader_waits_for_the_end),
	KUNIT_CASE(all_readers_return_at_the_end),
	KUNIT_CASE(reader_does_not_wait_for_another_range),
	KUNIT_CASE(reader_that_collided_once_does_not_wait_for_another_range),
	KUNIT_CASE(reader_returns_in_a_storm_elsewhere),
	KUNIT_CASE(reader_does_not_wait_for_later_collisions),
	KUNIT_CASE(reader_is_not_let_go_by_the_end_of_a_later_one),
	KUNIT_CASE(reader_waits_for_all_that_collide),
	KUNIT_CASE(only_those_concerned_are_woken),
	KUNIT_CASE_PARAM(collisions_end_in_every_order, mn_order_gen_params),
	KUNIT_CASE_PARAM(promoted_ones_end_in_every_order, mn_order_gen_params),
	KUNIT_CASE_PARAM(readers_return_in_every_order, mn_order_gen_params),
	KUNIT_CASE(nested_one_leaves_the_outer_in_flight),
	KUNIT_CASE(same_range_twice_is_two_invalidations),
	{}
};

static struct kunit_suite mn_read_suite = {
	.name = "mmu_notifier_read",
	.init = mn_test_init,
	.exit = mn_test_exit,
	.test_cases = mn_read_cases,
};

kunit_test_suite(mn_read_suite);
