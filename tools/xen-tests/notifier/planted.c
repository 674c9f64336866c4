// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checker checked: with a bug planted in the subscriptions (not in the kernel) it
 * has to find something wrong, or nothing that check.c says can be believed.
 */
#include "storm.h"

/* With the bugs' windows as wide as WINDOW_US this is ages. */
#define LIMIT_MS	300000
#define WINDOW_US	2000

FIXTURE(planted) {
	struct storm storm;
	int fd;
};

FIXTURE_SETUP(planted)
{
	self->fd = bench_open(_metadata);
	storm_prepare(_metadata, &self->storm, self->fd, OPS_FAULT | OPS_MAP);
}

FIXTURE_TEARDOWN(planted)
{
	bench_close(_metadata, self->fd);
}

/*
 * The storm goes on until @stat is not 0 any more. Where one kind of event is forgotten
 * there are no operations that cause others: these would make good for it.
 */
static void expect_found(META, struct storm *s, unsigned int bug, unsigned int forget,
			 unsigned int stat)
{
	double start = gm_now();

	ASSERT_EQ(0, bench_tune(s->fd, bug, forget, WINDOW_US));
	storm_start(_metadata, s);
	EXPECT_TRUE(gm_wait(bench_stat(s->fd, stat), LIMIT_MS))
		TH_LOG("the planted bug was not found");
	gm_note("found after %.1f s", gm_now() - start);
	storm_stop(_metadata, s);
	note_ops(s);
	note_stats(s->fd);
	note_reports(s->fd);
}

TEST_F_TIMEOUT(planted, planted_no_sequence_set, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_SKIP_SET_SEQ, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_retry_ignored, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_IGNORE_RETRY, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_freed_before_removed, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_FREE_EARLY, 0,
		     GM_MN_AFTER_FREE);
	EXPECT_EQ(0, bench_stat(self->fd, GM_MN_MISMATCHES));
}

TEST_F_TIMEOUT(planted, planted_unmap_forgotten, GM_LONG_TEST_S)
{
	self->storm.ops = OPS_FAULT | BIT(OP_REMAP) | BIT(OP_MREMAP);
	expect_found(_metadata, &self->storm, GM_MN_PLANT_FORGET_EVENT, EVENT_UNMAP,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_clear_forgotten, GM_LONG_TEST_S)
{
	self->storm.ops = OPS_FAULT | BIT(OP_DONTNEED);
	expect_found(_metadata, &self->storm, GM_MN_PLANT_FORGET_EVENT, EVENT_CLEAR,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_mprotect_forgotten, GM_LONG_TEST_S)
{
	self->storm.ops = OPS_FAULT | BIT(OP_MPROTECT);
	expect_found(_metadata, &self->storm, GM_MN_PLANT_FORGET_EVENT,
		     EVENT_PROTECTION_VMA, GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_fork_forgotten, GM_LONG_TEST_S)
{
	self->storm.ops = OPS_FAULT | BIT(OP_FORK);
	expect_found(_metadata, &self->storm, GM_MN_PLANT_FORGET_EVENT,
		     EVENT_PROTECTION_PAGE, GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_write_permission_assumed, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_ASSUME_WRITE, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_wrong_pfn, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_WRONG_PFN, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_wrong_order, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_WRONG_ORDER, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_request_not_passed_on, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_NO_FAULT, 0,
		     GM_MN_MISMATCHES);
}

TEST_F_TIMEOUT(planted, planted_last_page_kept, GM_LONG_TEST_S)
{
	expect_found(_metadata, &self->storm, GM_MN_PLANT_OFF_BY_ONE, 0,
		     GM_MN_MISMATCHES);
}

TEST_HARNESS_MAIN
