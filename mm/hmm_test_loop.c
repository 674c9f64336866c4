// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: collisions, and hmm_range_fault_unlocked_timeout(), which has the loop around
 * hmm_range_fault() in it.
 */
#include <linux/kthread.h>

#include "hmm_test.h"

/* Long enough not to be reached, short enough to be waited for, in ms */
#define HT_LONG 20000
#define HT_SHORT 20

/*
 * -- hmm_range_fault()
 */

static void collided_before_the_call(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_fill(ctx, 0, 4);
	ht_range(ctx, 0, 4);
	ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
	ht_invalidate(ctx, 2, 1);
	ctx->keep_seq = true;
	KUNIT_EXPECT_EQ(test, ht_call(ctx), -EBUSY);
	ht_expect_inputs(ctx, 0, 4);
	ctx->keep_seq = false;
	KUNIT_EXPECT_EQ(test, ht_call(ctx), 0);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
}

static void collision_of_another_range_is_none(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_fill(ctx, 0, 8);
	if (!ht_subscribe(ctx, 0, 4))
		return;
	ht_range(ctx, 0, 4);
	ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
	ht_invalidate(ctx, 4, 4);
	ctx->keep_seq = true;
	KUNIT_EXPECT_EQ(test, ht_call(ctx), 0);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, atomic_read(&ctx->calls), 0);
}

/* The first fault of page 2 is one in which page 1 goes. */
static vm_fault_t ht_lose_page_1(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	if (vmf->address == ht_addr(ctx, 2) && !ctx->busy) {
		ctx->busy++;
		ht_invalidate(ctx, 1, 1);
	}
	return 0;
}

static void ht_map_collider(struct ht_ctx *ctx)
{
	ctx->page = ht_alloc(ctx, 0);
	ctx->in_fault = ht_lose_page_1;
	ctx->vm_flags = VM_MIXEDMAP;
	ht_map_file(ctx, 0, 4, HT_RW_PROT);
}

static void collided_in_the_call(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long i, present;

	ht_map_collider(ctx);
	present = page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE;
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_R;
	KUNIT_EXPECT_EQ(test, ht_call(ctx), -EBUSY);
	for (i = 0; i < 4; i++)
		if (ctx->pfns[i] != ctx->asked[i])
			ht_expect(ctx, i, present);
	ht_expect_inputs(ctx, 2, 2);
	/* What the caller then does */
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 4, HT_R), 0);
	ht_expect_all(ctx, 0, 4, page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE);
}

/* Breaking copy-on-write exchanges the page: an invalidation by the fault itself. */
static void fault_that_collides_with_itself(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_read(ctx, 0, 4);
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call(ctx), -EBUSY);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 4, HT_RW), 0);
	ht_fill(ctx, 0, 4);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
}

/*
 * -- hmm_range_fault_unlocked_timeout()
 */

static int ht_call_unlocked(struct ht_ctx *ctx, unsigned int timeout_ms)
{
	unsigned long nr = (ctx->range.end - ctx->range.start) >> PAGE_SHIFT;

	memcpy(ctx->asked, ctx->pfns, nr * sizeof(*ctx->pfns));
	return hmm_range_fault_unlocked_timeout(&ctx->range, timeout_ms);
}

static void unlocked_snapshot(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_fill(ctx, 1, 2);
	ht_range(ctx, 0, 5);
	ctx->range.notifier_seq = 0;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), 0);
	ht_expect(ctx, 0, 0UL);
	ht_expect_pages(ctx, 1, 2, HMM_PFN_WRITE);
	ht_expect(ctx, 3, 0UL);
	ht_expect(ctx, 4, HMM_PFN_ERROR);
	KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&ctx->notifier,
							 ctx->range.notifier_seq));
	KUNIT_EXPECT_FALSE(test, rwsem_is_locked(&ctx->mm->mmap_lock));
	ht_invalidate(ctx, 1, 1);
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&ctx->notifier,
							ctx->range.notifier_seq));
}

static void unlocked_fault(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, 0), 0);
	ht_fill(ctx, 0, 4);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
}

static void unlocked_call_begins_again_when_it_collides(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_read(ctx, 0, 4);
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), 0);
	KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&ctx->notifier,
							 ctx->range.notifier_seq));
	KUNIT_EXPECT_NE(test, atomic_read(&ctx->calls), 0);
	ht_fill(ctx, 0, 4);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
}

/*
 * With the caller's requests: page 1 has been asked for and is an output, which looks like
 * a request, when the collision comes; pages 0 and 3 have not been asked for.
 */
static vm_fault_t ht_zap_page_1(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	if (vmf->address == ht_addr(ctx, 2) && !ctx->busy) {
		ctx->busy++;
		zap_page_range_single(vmf->vma, ht_addr(ctx, 0), 2 * PAGE_SIZE, NULL);
	}
	return 0;
}

static void requests_survive_a_collision(struct kunit *test)
{
	static const unsigned long requests[] = { 0, HT_R, HT_R, 0 };
	struct ht_ctx *ctx = test->priv;
	unsigned long present;

	ht_map_collider(ctx);
	ctx->in_fault = ht_zap_page_1;
	present = page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE;
	ht_insert(ctx, 0, ctx->page);
	ht_range(ctx, 0, 4);
	ht_ask(ctx, 4, requests);
	ctx->pfns[0] |= HMM_PFN_DMA_MAPPED;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), 0);
	KUNIT_EXPECT_EQ(test, ctx->busy, 1);
	/* Had its first output been taken for a request, it would have come back. */
	ht_expect(ctx, 0, HMM_PFN_DMA_MAPPED);
	ht_expect_all(ctx, 1, 2, present);
	ht_expect(ctx, 3, 0UL);
}

/* Likewise; and a fault that wants to write shows. */
#define HT_WROTE 100

static vm_fault_t ht_zap_page_1_unwritten(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	vm_fault_t ret = ht_zap_page_1(ctx, vmf);

	if (vmf->flags & FAULT_FLAG_WRITE)
		ctx->busy += HT_WROTE;
	return ret;
}

/* All pages are to be read, and an entry may ask for more: none does, then or later. */
static void collision_makes_no_request_to_write(struct kunit *test)
{
	static const unsigned long requests[4] = {};
	struct ht_ctx *ctx = test->priv;

	ht_map_collider(ctx);
	ctx->in_fault = ht_zap_page_1_unwritten;
	ht_insert(ctx, 0, ctx->page);
	ht_range(ctx, 0, 4);
	ht_ask(ctx, 4, requests);
	ctx->range.default_flags = HT_R;
	ctx->range.pfn_flags_mask = HMM_PFN_REQ_WRITE;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), 0);
	KUNIT_EXPECT_EQ(test, ctx->busy, 1);
	ht_expect_all(ctx, 0, 4, page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE);
}

static void unlocked_call_waits_no_longer_than_asked(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct mmu_notifier_range inv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_range(ctx, 0, 4);
	mmu_notifier_range_init(&inv, MMU_NOTIFY_CLEAR, 0, ctx->mm, ht_addr(ctx, 1),
				ht_addr(ctx, 2));
	mmu_notifier_invalidate_range_start(&inv);
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_SHORT), -EBUSY);
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, 1), -EBUSY);
	mmu_notifier_invalidate_range_end(&inv);
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_SHORT), 0);
}

/* Every fault collides, and loses what the last one brought. */
static vm_fault_t ht_always_collide(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	ctx->busy++;
	zap_page_range_single(vmf->vma, ht_addr(ctx, 0), 2 * PAGE_SIZE, NULL);
	return 0;
}

static void unlocked_call_tries_no_longer_than_asked(struct kunit *test)
{
	static const unsigned long requests[] = { HT_R, HT_R };
	struct ht_ctx *ctx = test->priv;

	ht_map_collider(ctx);
	ctx->in_fault = ht_always_collide;
	ht_range(ctx, 0, 2);
	ht_ask(ctx, 2, requests);
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_SHORT), -EBUSY);
	KUNIT_EXPECT_GT(test, ctx->busy, 1);
}

/* The first fault of a page drops the mmap lock, as one does that reads from a disk. */
static vm_fault_t ht_drop_lock(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY) || (vmf->flags & FAULT_FLAG_TRIED))
		return 0;
	ctx->busy++;
	release_fault_lock(vmf);
	return VM_FAULT_RETRY;
}

static void fault_may_drop_the_lock(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_collider(ctx);
	ctx->in_fault = ht_drop_lock;
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), 0);
	ht_expect_all(ctx, 0, 4, page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ctx->busy, 4);
	KUNIT_EXPECT_FALSE(test, rwsem_is_locked(&ctx->mm->mmap_lock));
}

static vm_fault_t ht_unmap_behind(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return 0;
	release_fault_lock(vmf);
	kthread_use_mm(ctx->mm);
	vm_munmap(ht_addr(ctx, 0), 4 * PAGE_SIZE);
	kthread_unuse_mm(ctx->mm);
	return VM_FAULT_RETRY;
}

/* What is mapped may be another thing, or nothing, when the lock is held again. */
static void vma_may_go_while_the_lock_is_dropped(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_collider(ctx);
	ctx->in_fault = ht_unmap_behind;
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), -EFAULT);
	ht_expect_inputs(ctx, 0, 4);
}

static void unlocked_errors(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 2, HT_RW_PROT);
	ht_map(ctx, 2, 2, PROT_READ);
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), -EPERM);
	ht_expect_inputs(ctx, 2, 2);
	ht_range(ctx, 0, 5);
	ctx->range.default_flags = HT_R;
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, HT_LONG), -EFAULT);
	ctx->range.end = ctx->range.start;
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked_timeout(&ctx->range, 0), -EINVAL);
	ctx->range.end = ctx->range.start + 1;
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked_timeout(&ctx->range, 0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, rwsem_is_locked(&ctx->mm->mmap_lock));
}

static void process_is_gone(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 2, HT_RW_PROT);
	ht_range(ctx, 0, 2);
	ctx->range.default_flags = HT_R;
	ht_exit_mm(ctx);
	KUNIT_EXPECT_EQ(test, ht_call_unlocked(ctx, 0), -ESRCH);
	ht_expect_inputs(ctx, 0, 2);
}

static struct kunit_case ht_loop_cases[] = {
	KUNIT_CASE(collided_before_the_call),
	KUNIT_CASE(collision_of_another_range_is_none),
	KUNIT_CASE(collided_in_the_call),
	KUNIT_CASE(fault_that_collides_with_itself),
	KUNIT_CASE(unlocked_snapshot),
	KUNIT_CASE(unlocked_fault),
	KUNIT_CASE(unlocked_call_begins_again_when_it_collides),
	KUNIT_CASE(requests_survive_a_collision),
	KUNIT_CASE(collision_makes_no_request_to_write),
	KUNIT_CASE(unlocked_call_waits_no_longer_than_asked),
	KUNIT_CASE(unlocked_call_tries_no_longer_than_asked),
	KUNIT_CASE(fault_may_drop_the_lock),
	KUNIT_CASE(vma_may_go_while_the_lock_is_dropped),
	KUNIT_CASE(unlocked_errors),
	KUNIT_CASE(process_is_gone),
	{}
};

static struct kunit_suite ht_loop_suite = {
	.name = "hmm_loop",
	.init = ht_test_init,
	.exit = ht_test_exit,
	.test_cases = ht_loop_cases,
};

kunit_test_suite(ht_loop_suite);
