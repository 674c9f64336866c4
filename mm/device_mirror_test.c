// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: a process's memory in a device's page table: what a fault brings, what an
 * invalidation takes, and how mirrors end. The device is that of device_mirror_test.h.
 */
#include <kunit/static_stub.h>
#include <kunit/test-bug.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "device_mirror.h"
#include "device_mirror_test.h"

/* Without memory of its own, in test->priv's address space */
#define MT_DEVICE(test) mt_device_new(test, 0)

/*
 * -- what a fault brings
 */

static void first_touch_of_a_huge_page_is_one_run(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	mt_needs_huge_pages(device);
	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_HUGEPAGE);
	KUNIT_EXPECT_EQ(test, mt_write(device, 7, 1), 0);
	KUNIT_EXPECT_EQ(test, device->runs, 1U);
	KUNIT_EXPECT_EQ(test, device->last.order, (unsigned int)(PMD_SHIFT - PAGE_SHIFT));
	KUNIT_EXPECT_EQ(test, device->last.addr, ht_addr(ctx, 0));
	KUNIT_EXPECT_EQ(test, mt_read(device, HT_PMD_PAGES - 1, &word), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->mirror.count.faults), 1LL);
	mt_device_free(device);
}

static void fault_brings_pages_around(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i, got = 0;
	u64 word;

	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_NOHUGEPAGE);
	KUNIT_EXPECT_EQ(test, mt_read(device, 20, &word), 0);
	for (i = 0; i < HT_PMD_PAGES; i++)
		got += mt_has(device, i);
	KUNIT_EXPECT_EQ(test, got, 16UL);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 16) && mt_has(device, 31));
	mt_device_free(device);
}

static void fault_brings_what_the_cpu_has_in_the_chunk(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_NOHUGEPAGE);
	ht_fill(ctx, 300, 5);
	KUNIT_EXPECT_EQ(test, mt_read(device, 20, &word), 0);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 300) && mt_has(device, 304));
	KUNIT_EXPECT_FALSE(test, mt_has(device, 305));
	mt_expect_read(device, 300, 5);
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->mirror.count.faults), 1LL);
	mt_device_free(device);
}

static void device_and_cpu_see_what_the_other_writes(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;

	ht_map(ctx, 0, 40, HT_RW_PROT);
	ht_fill(ctx, 0, 40);
	mt_expect_read(device, 0, 40);
	KUNIT_EXPECT_EQ(test, mt_write(device, 33, 0x1234), 0);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 33), 0x1234ULL);
	ht_fill(ctx, 33, 1);
	mt_expect_read(device, 33, 1);
	mt_device_free(device);
}

/* The zero page, of which a write makes a page of its own */
static void write_after_read_gets_a_page(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word = 1;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_read(ctx, 0, 4);
	KUNIT_EXPECT_EQ(test, mt_read(device, 2, &word), 0);
	KUNIT_EXPECT_EQ(test, word, 0ULL);
	KUNIT_EXPECT_EQ(test, mt_write(device, 2, 5), 0);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 2), 5ULL);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 3), 0ULL);
	mt_device_free(device);
}

/* Read-only for the device because it was so for the CPU, which no invalidation has changed */
static void permission_to_write_is_added(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;

	ht_map(ctx, 0, 16, HT_RW_PROT);
	ht_fill(ctx, 0, 16);
	ht_wrprotect(ctx, 3);
	mt_expect_read(device, 0, 16);
	KUNIT_EXPECT_FALSE(test, device->table[3].write);
	KUNIT_EXPECT_EQ(test, mt_write(device, 3, 77), 0);
	KUNIT_EXPECT_TRUE(test, device->table[3].write);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 3), 77ULL);
	mt_device_free(device);
}

/*
 * After MADV_FREE the CPU's entry is writable and clean, and stays so when the device writes:
 * reclaim must not take the page for one that nobody has written since.
 */
static void what_the_device_writes_is_not_thrown_away(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i;

	ht_map(ctx, 0, 16, HT_RW_PROT);
	ht_madvise(ctx, 0, 16, MADV_NOHUGEPAGE);
	ht_fill(ctx, 0, 16);
	ht_madvise(ctx, 0, 16, MADV_FREE);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, mt_write(device, i, 1000 + i), 0);
	ht_madvise(ctx, 0, 16, MADV_PAGEOUT);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, i), 1000ULL + i);
	mt_device_free(device);
}

/*
 * A run of which some pages may be written by now, and others not: it comes apart. The pages
 * of a large folio are all read-only for the CPU, and the fault makes half of them writable.
 */
static void write_to_a_part_of_a_run_splits_it(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct page *large = ht_alloc(ctx, 5);
	unsigned long i;

	ctx->vm_flags = VM_MIXEDMAP | VM_DONTEXPAND;
	ht_map_file(ctx, 32, 32, HT_RW_PROT);
	for (i = 0; i < 32; i++) {
		ht_insert(ctx, 32 + i, large + i);
		ht_wrprotect(ctx, 32 + i);
	}
	mt_expect_read(device, 32, 32);
	KUNIT_EXPECT_EQ(test, device->last.order, 5U);
	KUNIT_EXPECT_EQ(test, mt_write(device, 40, 4711), 0);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 40), 4711ULL);
	KUNIT_EXPECT_TRUE(test, device->table[40].write);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 50) && !device->table[50].write);
	mt_expect_read(device, 41, 23);
	mt_device_free(device);
}

static void what_a_device_cannot_have_is_an_error(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ht_map(ctx, 0, 4, PROT_READ);
	KUNIT_EXPECT_EQ(test, mt_write(device, 1, 1), -EPERM);
	KUNIT_EXPECT_EQ(test, mt_read(device, 1, &word), 0);
	KUNIT_EXPECT_EQ(test, mt_read(device, 9, &word), -EFAULT);
	ctx->vm_flags = VM_IO | VM_DONTEXPAND;
	ht_map_file(ctx, 32, 1, PROT_READ);
	KUNIT_EXPECT_EQ(test, mt_read(device, 32, &word), -EFAULT);
	KUNIT_EXPECT_EQ(test, device_mirror_fault(&device->mirror, ULONG_MAX, 0), -EFAULT);
	KUNIT_EXPECT_GT(test, atomic64_read(&device->mirror.count.faults_failed), 3LL);
	mt_device_free(device);
}

/* The neighbours of a page, in a VMA whose pages come from a file that has only one. */
static vm_fault_t mt_only_one_page(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	return vmf->address == ht_addr(ctx, 5) ? 0 : VM_FAULT_SIGBUS;
}

static void neighbours_do_not_spoil_a_fault(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ctx->vm_flags = VM_MIXEDMAP | VM_DONTEXPAND;
	ctx->page = ht_alloc(ctx, 0);
	ctx->in_fault = mt_only_one_page;
	ht_map_file(ctx, 0, 16, HT_RW_PROT);
	KUNIT_EXPECT_EQ(test, mt_read(device, 5, &word), 0);
	KUNIT_EXPECT_EQ(test, mt_read(device, 6, &word), -EFAULT);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 5));
	mt_device_free(device);
}

static void prepare_may_refuse(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	u64 word;

	ht_map(device->ctx, 0, 1, HT_RW_PROT);
	device->prepare_error = -ENOSPC;
	KUNIT_EXPECT_EQ(test, mt_read(device, 0, &word), -ENOSPC);
	device->prepare_error = 0;
	KUNIT_EXPECT_EQ(test, mt_read(device, 0, &word), 0);
	mt_device_free(device);
}

/*
 * -- what an invalidation takes
 */

static void unmapping_a_part_leaves_the_rest(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ht_map(ctx, 0, 64, HT_RW_PROT);
	ht_fill(ctx, 0, 64);
	mt_expect_read(device, 0, 64);
	mt_unmap(ctx, 10, 5);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 10) || mt_has(device, 14));
	KUNIT_EXPECT_TRUE(test, mt_has(device, 9) && mt_has(device, 15));
	KUNIT_EXPECT_EQ(test, mt_read(device, 12, &word), -EFAULT);
	device->runs = 0;
	mt_expect_read(device, 0, 10);
	mt_expect_read(device, 15, 49);
	KUNIT_EXPECT_EQ(test, device->runs, 0U);
	mt_device_free(device);
}

static void huge_page_goes_as_a_whole_and_comes_back(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	mt_needs_huge_pages(device);
	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_HUGEPAGE);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	mt_expect_read(device, 0, HT_PMD_PAGES);
	mt_unmap(ctx, 100, 1);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 0));
	KUNIT_EXPECT_EQ(test, mt_read(device, 100, &word), -EFAULT);
	mt_expect_read(device, 0, 100);
	mt_expect_read(device, 101, HT_PMD_PAGES - 101);
	mt_device_free(device);
}

/* An invalidation of one page of a run takes all of it: from the table, and from the TLB. */
static void run_goes_as_a_whole(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i, table = 0, tlb = 0;

	mt_needs_huge_pages(device);
	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_HUGEPAGE);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	mt_expect_read(device, 0, HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, device->runs, 1U);
	ht_invalidate(ctx, 100, 1);
	for (i = 0; i < HT_PMD_PAGES; i++) {
		table += device->table[i].valid;
		tlb += device->tlb[i].valid;
	}
	KUNIT_EXPECT_EQ(test, table, 0UL);
	KUNIT_EXPECT_EQ(test, tlb, 0UL);
	mt_expect_read(device, 0, HT_PMD_PAGES);
	mt_device_free(device);
}

static void invalidation_of_nothing_shoots_nothing_down(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;

	ht_map(ctx, 0, 64, HT_RW_PROT);
	ht_fill(ctx, 0, 16);
	mt_expect_read(device, 0, 16);
	ht_invalidate(ctx, 40, 10);
	KUNIT_EXPECT_EQ(test, atomic_read(&device->started), 0);
	ht_invalidate(ctx, 15, 10);
	KUNIT_EXPECT_EQ(test, atomic_read(&device->started), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&device->finished), 1);
	mt_device_free(device);
}

/* The OOM reaper may take what the device does not have, and nothing else. */
static void reaper_is_refused_what_is_mapped(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct mmu_notifier_range range;
	int ret;

	ht_map(ctx, 0, 64, HT_RW_PROT);
	ht_fill(ctx, 0, 16);
	mt_expect_read(device, 0, 16);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, ht_addr(ctx, 8),
				ht_addr(ctx, 32));
	ret = mmu_notifier_invalidate_range_start_nonblock(&range);
	KUNIT_EXPECT_EQ(test, ret, -EAGAIN);
	if (!ret)
		mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 8));

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, ht_addr(ctx, 16),
				ht_addr(ctx, 32));
	ret = mmu_notifier_invalidate_range_start_nonblock(&range);
	KUNIT_EXPECT_EQ(test, ret, 0);
	if (!ret)
		mmu_notifier_invalidate_range_end(&range);
	mt_device_free(device);
}

/* Two devices: both are asked to let go before either is waited for. */
static void two_devices_are_shot_down_in_two_passes(struct kunit *test)
{
	struct mt_device *a = MT_DEVICE(test), *b = MT_DEVICE(test);
	char *log = kunit_kzalloc(test, 32, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, log);
	ht_map(a->ctx, 0, 16, HT_RW_PROT);
	ht_fill(a->ctx, 0, 16);
	mt_expect_read(a, 0, 16);
	mt_expect_read(b, 0, 16);
	a->name = 'a';
	b->name = 'b';
	a->log = log;
	b->log = log;
	ht_invalidate(a->ctx, 0, 16);
	KUNIT_EXPECT_TRUE_MSG(test, !strcmp(log, "a+b+a-b-") || !strcmp(log, "b+a+b-a-"),
			      "%s", log);
	a->log = NULL;
	b->log = NULL;
	mt_device_free(b);
	mt_device_free(a);
}

struct mt_thread {
	struct mt_device *device;
	unsigned long first;
	unsigned long nr;
	struct task_struct *task;
	struct completion done;
	int ret;
};

static int mt_invalidator(void *arg)
{
	struct mt_thread *thread = arg;

	ht_invalidate(thread->device->ctx, thread->first, thread->nr);
	complete(&thread->done);
	return 0;
}

static void mt_start(struct kunit *test, struct mt_thread *thread, int (*what)(void *))
{
	struct task_struct *task;

	init_completion(&thread->done);
	task = kthread_run(what, thread, "device-mirror-test");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
}

/*
 * The first invalidation waits for the device; a second one of a page of the first comes.
 * It must not return before the device has let go, although the entry is gone already.
 */
static void second_invalidation_waits_too(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct mt_thread one = { .device = device, .first = 0, .nr = 16 };
	struct mt_thread two = { .device = device, .first = 3, .nr = 1 };
	DECLARE_COMPLETION_ONSTACK(hold);

	ht_map(device->ctx, 0, 16, HT_RW_PROT);
	ht_fill(device->ctx, 0, 16);
	mt_expect_read(device, 0, 16);
	WRITE_ONCE(device->hold, &hold);
	mt_start(test, &one, mt_invalidator);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 3));
	mt_start(test, &two, mt_invalidator);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	KUNIT_EXPECT_EQ(test, atomic_read(&device->started), 2);
	KUNIT_EXPECT_FALSE(test, completion_done(&two.done));
	complete_all(&hold);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&one.done, HT_LIMIT), 0UL);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&two.done, HT_LIMIT), 0UL);
	WRITE_ONCE(device->hold, NULL);
	mt_expect_read(device, 0, 16);
	mt_device_free(device);
}

/* Two at a time, of different pages: each lets go of its own, whichever comes first. */
static void invalidations_in_flight_are_apart(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct mt_thread one = { .device = device, .first = 0, .nr = 16 };
	struct mt_thread two = { .device = device, .first = 32, .nr = 16 };
	DECLARE_COMPLETION_ONSTACK(hold);
	unsigned long i, left = 0;

	ht_map(device->ctx, 0, 64, HT_RW_PROT);
	ht_fill(device->ctx, 0, 64);
	mt_expect_read(device, 0, 64);
	WRITE_ONCE(device->hold, &hold);
	mt_start(test, &one, mt_invalidator);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	mt_start(test, &two, mt_invalidator);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	complete_all(&hold);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&one.done, HT_LIMIT), 0UL);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&two.done, HT_LIMIT), 0UL);
	WRITE_ONCE(device->hold, NULL);
	for (i = 0; i < 16; i++)
		left += device->tlb[i].valid + device->tlb[32 + i].valid;
	KUNIT_EXPECT_EQ(test, left, 0UL);
	KUNIT_EXPECT_TRUE(test, device->tlb[16].valid && device->tlb[48].valid);
	mt_expect_read(device, 0, 64);
	mt_device_free(device);
}

static int mt_faulter(void *arg)
{
	struct mt_thread *thread = arg;
	u64 word;

	thread->ret = mt_read(thread->device, thread->first, &word);
	complete(&thread->done);
	return 0;
}

/* While an invalidation is in flight nothing of it gets in; elsewhere faults go on. */
static void fault_waits_for_an_invalidation_of_its_window_only(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct mt_thread here = { .device = device, .first = 3 };
	struct mmu_notifier_range range;
	u64 word;

	/* Windows are 32 MiB, the test's addresses 8: so half of them are moved out of it. */
	ht_map(ctx, 0, 16, HT_RW_PROT);
	ht_fill(ctx, 0, 16);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, ctx->base - SZ_64M,
				ctx->base - SZ_32M);
	mmu_notifier_invalidate_range_start(&range);
	KUNIT_EXPECT_EQ(test, mt_read(device, 1, &word), 0);
	mmu_notifier_invalidate_range_end(&range);

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, ctx->mm, ht_addr(ctx, 3),
				ht_addr(ctx, 4));
	mmu_notifier_invalidate_range_start(&range);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 3));
	mt_start(test, &here, mt_faulter);
	msleep(50);
	KUNIT_EXPECT_FALSE(test, completion_done(&here.done));
	KUNIT_EXPECT_FALSE(test, mt_has(device, 3));
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&here.done, HT_LIMIT), 0UL);
	KUNIT_EXPECT_EQ(test, here.ret, 0);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 3));
	mt_device_free(device);
}

/* While page 2 is faulted in, page 1, which has been looked at already, goes. */
static vm_fault_t mt_lose_page_1(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	if (vmf->address == ht_addr(ctx, 2) && !ctx->busy) {
		ctx->busy++;
		zap_page_range_single(vmf->vma, ht_addr(ctx, 1), PAGE_SIZE, NULL);
	}
	return 0;
}

static void page_that_goes_during_a_fault_is_not_entered(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ctx->page = ht_alloc(ctx, 0);
	ctx->in_fault = mt_lose_page_1;
	ctx->vm_flags = VM_MIXEDMAP | VM_DONTEXPAND;
	ht_map_file(ctx, 0, 4, HT_RW_PROT);
	ht_insert(ctx, 1, ht_alloc(ctx, 0));
	KUNIT_EXPECT_EQ(test, mt_read(device, 2, &word), 0);
	KUNIT_EXPECT_EQ(test, ctx->busy, 1);
	/* All pages that the file provides by itself are the same one. */
	KUNIT_EXPECT_TRUE(test, mt_has(device, 1));
	KUNIT_EXPECT_EQ_MSG(test, device->table[1].address, device->table[2].address,
			    "the page that is gone is mapped");
	mt_device_free(device);
}

/* What the stub of mirror_chunk_alloc() does first: under no lock, by the task that faults */
static struct mirror_chunk *mt_replace_page_3(struct device_mirror *mirror)
{
	struct kunit *test = kunit_get_current_test();
	struct ht_ctx *ctx = test->priv;

	kunit_deactivate_static_stub(test, mirror_chunk_alloc);
	ht_madvise(ctx, 3, 1, MADV_DONTNEED);
	ht_fill(ctx, 3, 1);
	return mirror_chunk_alloc(mirror);
}

/* The page goes after the CPU's table was read, and before what was read is entered. */
static void page_that_goes_before_it_is_entered_is_not(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct page *old;

	ht_map(ctx, 0, 16, HT_RW_PROT);
	ht_madvise(ctx, 0, 16, MADV_NOHUGEPAGE);
	ht_fill(ctx, 0, 16);
	/* So that the new one cannot be the same */
	old = pfn_to_page(ht_pfn(ctx, 3));
	get_page(old);
	kunit_activate_static_stub(test, mirror_chunk_alloc, mt_replace_page_3);
	mt_expect_read(device, 3, 1);
	KUNIT_EXPECT_NE(test, device->table[3].address, (u64)page_to_phys(old));
	KUNIT_EXPECT_EQ(test, device->table[3].address, PFN_PHYS((u64)ht_pfn(ctx, 3)));
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->mirror.count.retries), 1LL);
	put_page(old);
	mt_device_free(device);
}

/*
 * -- prefetch
 */

static int mt_prefetcher(void *arg)
{
	struct mt_thread *thread = arg;

	allow_signal(SIGKILL);
	thread->ret = mt_prefetch(thread->device, thread->first, thread->nr, 0);
	complete(&thread->done);
	return 0;
}

static int mt_killable_faulter(void *arg)
{
	allow_signal(SIGKILL);
	return mt_faulter(arg);
}

static void mt_create(struct kunit *test, struct mt_thread *thread, int (*what)(void *))
{
	init_completion(&thread->done);
	thread->task = kthread_create(what, thread, "device-mirror-test");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread->task);
	get_task_struct(thread->task);
}

/* Until it has ended, as it does not listen from the beginning. */
static bool mt_kill(struct mt_thread *thread)
{
	unsigned int i;

	for (i = 0; i < 100; i++) {
		send_sig(SIGKILL, thread->task, 1);
		if (wait_for_completion_timeout(&thread->done, HZ / 20))
			return true;
	}
	return false;
}

/* Somebody has the mmap lock, for long: whoever waits for it can be killed. */
static void waiting_for_the_mmap_lock_ends_with_a_kill(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct mt_thread threads[] = {
		{ .device = device, .first = 0, .nr = 16 },
		{ .device = device, .first = 3 },
	};
	bool ended[ARRAY_SIZE(threads)];
	unsigned int i;

	ht_map(ctx, 0, 16, HT_RW_PROT);
	mt_create(test, &threads[0], mt_prefetcher);
	mt_create(test, &threads[1], mt_killable_faulter);
	mmap_write_lock(ctx->mm);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		wake_up_process(threads[i].task);
		ended[i] = mt_kill(&threads[i]);
	}
	mmap_write_unlock(ctx->mm);
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, ended[i], "thread %u waits on", i);
		if (!ended[i])
			wait_for_completion(&threads[i].done);
		KUNIT_EXPECT_EQ_MSG(test, threads[i].ret, -EINTR, "thread %u", i);
		put_task_struct(threads[i].task);
	}
	mt_device_free(device);
}

static void prefetch_passes_over_holes(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;

	ht_map(ctx, 2, 10, HT_RW_PROT);
	ht_map(ctx, 600, 20, PROT_READ);
	KUNIT_EXPECT_EQ(test, mt_prefetch(device, 0, 1024, DEVICE_MIRROR_WRITE), 30L * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 2) && mt_has(device, 11) && mt_has(device, 619));
	KUNIT_EXPECT_TRUE(test, device->table[2].write);
	KUNIT_EXPECT_FALSE(test, device->table[600].write);
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->mirror.count.faults), 0LL);
	KUNIT_EXPECT_EQ(test, mt_prefetch(device, 4, 0, 0), (long)-EINVAL);
	mt_device_free(device);
}

/*
 * -- how mirrors, windows, processes end
 */

static void process_may_end_first(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ht_map(ctx, 0, 100, HT_RW_PROT);
	ht_fill(ctx, 0, 100);
	mt_expect_read(device, 0, 100);
	ht_exit_mm(ctx);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 0) || mt_has(device, 99));
	KUNIT_EXPECT_EQ(test, atomic_read(&device->started), atomic_read(&device->finished));
	KUNIT_EXPECT_EQ(test, mt_read(device, 0, &word), -ESRCH);
	KUNIT_EXPECT_EQ(test, mt_prefetch(device, 0, 4, 0), 0L);
	mt_device_free(device);
}

static void mirror_may_end_first(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	u64 word;

	ht_map(ctx, 0, 100, HT_RW_PROT);
	ht_fill(ctx, 0, 100);
	mt_expect_read(device, 0, 100);
	device_mirror_kill(&device->mirror);
	KUNIT_EXPECT_EQ(test, device_mirror_fault(&device->mirror, ht_addr(ctx, 0), 0), -ENODEV);
	KUNIT_EXPECT_EQ(test, mt_read(device, 1, &word), 0);
	mt_mirror_end(device);
	/* What the process does now concerns nobody. */
	ht_invalidate(ctx, 0, 100);
	mt_unmap(ctx, 0, 100);
	mt_device_free(device);
}

static bool mt_is_empty(struct device_mirror *mirror)
{
	unsigned int i;

	for (i = 0; i < 100 && !xa_empty(&mirror->windows); i++)
		msleep(20);
	return xa_empty(&mirror->windows);
}

static void windows_go_with_what_was_in_them(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	unsigned int round;

	for (round = 0; round < 3; round++) {
		ht_map(ctx, 0, 100, HT_RW_PROT);
		ht_fill(ctx, 0, 100);
		mt_expect_read(device, 0, 100);
		KUNIT_EXPECT_FALSE(test, xa_empty(&device->mirror.windows));
		mt_unmap(ctx, 0, 50);
		msleep(20);
		KUNIT_EXPECT_FALSE(test, xa_empty(&device->mirror.windows));
		mt_expect_read(device, 50, 50);
		mt_unmap(ctx, 50, 50);
		KUNIT_EXPECT_TRUE(test, mt_is_empty(&device->mirror));
	}
	mt_device_free(device);
}

static int mt_unmapper(void *arg)
{
	struct mt_thread *thread = arg;

	mt_unmap(thread->device->ctx, thread->first, thread->nr);
	complete(&thread->done);
	return 0;
}

/* The device takes its time to let go: the window is looked at after that, not before. */
static void window_goes_when_the_device_is_slow(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct mt_thread unmap = { .device = device, .first = 0, .nr = 16 };
	DECLARE_COMPLETION_ONSTACK(hold);

	ht_map(device->ctx, 0, 16, HT_RW_PROT);
	ht_fill(device->ctx, 0, 16);
	mt_expect_read(device, 0, 16);
	WRITE_ONCE(device->hold, &hold);
	mt_start(test, &unmap, mt_unmapper);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	flush_work(&device->mirror.gc);
	complete_all(&hold);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&unmap.done, HT_LIMIT), 0UL);
	WRITE_ONCE(device->hold, NULL);
	KUNIT_EXPECT_TRUE(test, mt_is_empty(&device->mirror));
	mt_device_free(device);
}

/* A fault is under way in a window in which nothing is left: the window stays, and works. */
static void window_in_use_stays(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct ht_ctx *ctx = device->ctx;
	struct mt_thread fault = { .device = device, .first = 3 };
	DECLARE_COMPLETION_ONSTACK(hold);

	ht_map(ctx, 0, 100, HT_RW_PROT);
	ht_fill(ctx, 0, 100);
	mt_expect_read(device, 50, 1);
	mt_unmap(ctx, 16, 84);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 3));
	ht_invalidate(ctx, 0, 16);
	WRITE_ONCE(device->hold_prepare, &hold);
	mt_start(test, &fault, mt_faulter);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&device->held, HT_LIMIT), 0UL);
	mt_unmap(ctx, 8, 8);
	flush_work(&device->mirror.gc);
	KUNIT_EXPECT_FALSE_MSG(test, xa_empty(&device->mirror.windows), "a window in use is gone");
	WRITE_ONCE(device->hold_prepare, NULL);
	complete_all(&hold);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&fault.done, HT_LIMIT), 0UL);
	KUNIT_EXPECT_EQ(test, fault.ret, 0);
	mt_expect_read(device, 0, 8);
	mt_unmap(ctx, 0, 8);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 3));
	KUNIT_EXPECT_TRUE(test, mt_is_empty(&device->mirror));
	mt_device_free(device);
}

/*
 * -- all at once
 */

#define MT_STORM_PAGES 256
#define MT_STORM_THREADS 3

struct mt_storm {
	struct mt_device *device;
	struct completion done;
	bool stop;
	u64 rnd;
	unsigned long reads;
	unsigned long wrong;
};

/* The device reads pages at random: a page holds its tag, or nothing yet. */
static int mt_storm_thread(void *arg)
{
	struct mt_storm *storm = arg;
	struct ht_ctx *ctx = storm->device->ctx;
	unsigned long page;
	u64 word;

	while (!READ_ONCE(storm->stop)) {
		storm->rnd = storm->rnd * 6364136223846793005ULL + 1442695040888963407ULL;
		page = (storm->rnd >> 33) % MT_STORM_PAGES;
		if (mt_read(storm->device, page, &word))
			storm->wrong++;
		else if (word && word != ht_tag(ctx, page))
			storm->wrong++;
		storm->reads++;
		cond_resched();
	}
	complete(&storm->done);
	return 0;
}

/*
 * The CPU throws pages away and fills them again, while several units of the device read. A
 * translation that is used too long finds a page that has become somebody else's.
 */
static void storm_of_invalidations(struct kunit *test)
{
	struct mt_device *device = MT_DEVICE(test);
	struct mt_storm *storm = kunit_kcalloc(test, MT_STORM_THREADS, sizeof(*storm), GFP_KERNEL);
	struct ht_ctx *ctx = device->ctx;
	unsigned int i, round;

	KUNIT_ASSERT_NOT_NULL(test, storm);
	ht_map(ctx, 0, MT_STORM_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, MT_STORM_PAGES, MADV_NOHUGEPAGE);
	for (i = 0; i < MT_STORM_THREADS; i++) {
		storm[i].device = device;
		storm[i].rnd = i;
		init_completion(&storm[i].done);
		if (IS_ERR(kthread_run(mt_storm_thread, &storm[i], "device-mirror-storm")))
			complete(&storm[i].done);
	}
	for (round = 0; round < 300; round++) {
		unsigned long first = (round * 37) % (MT_STORM_PAGES - 16);

		ht_fill(ctx, first, 16);
		ht_madvise(ctx, first + round % 8, 8, MADV_DONTNEED);
		cond_resched();
	}
	for (i = 0; i < MT_STORM_THREADS; i++)
		WRITE_ONCE(storm[i].stop, true);
	for (i = 0; i < MT_STORM_THREADS; i++) {
		wait_for_completion(&storm[i].done);
		KUNIT_EXPECT_EQ(test, storm[i].wrong, 0UL);
	}
	kunit_info(test, "%lu reads, %lld shootdowns, %lld retries", storm[0].reads,
		   atomic64_read(&device->mirror.count.shootdowns),
		   atomic64_read(&device->mirror.count.retries));
	mt_device_free(device);
}

static struct kunit_case device_mirror_cases[] = {
	KUNIT_CASE(first_touch_of_a_huge_page_is_one_run),
	KUNIT_CASE(fault_brings_pages_around),
	KUNIT_CASE(fault_brings_what_the_cpu_has_in_the_chunk),
	KUNIT_CASE(device_and_cpu_see_what_the_other_writes),
	KUNIT_CASE(write_after_read_gets_a_page),
	KUNIT_CASE(permission_to_write_is_added),
	KUNIT_CASE(what_the_device_writes_is_not_thrown_away),
	KUNIT_CASE(write_to_a_part_of_a_run_splits_it),
	KUNIT_CASE(what_a_device_cannot_have_is_an_error),
	KUNIT_CASE(neighbours_do_not_spoil_a_fault),
	KUNIT_CASE(prepare_may_refuse),
	KUNIT_CASE(unmapping_a_part_leaves_the_rest),
	KUNIT_CASE(huge_page_goes_as_a_whole_and_comes_back),
	KUNIT_CASE(run_goes_as_a_whole),
	KUNIT_CASE(invalidation_of_nothing_shoots_nothing_down),
	KUNIT_CASE(reaper_is_refused_what_is_mapped),
	KUNIT_CASE(two_devices_are_shot_down_in_two_passes),
	KUNIT_CASE(second_invalidation_waits_too),
	KUNIT_CASE(invalidations_in_flight_are_apart),
	KUNIT_CASE(fault_waits_for_an_invalidation_of_its_window_only),
	KUNIT_CASE(page_that_goes_during_a_fault_is_not_entered),
	KUNIT_CASE(page_that_goes_before_it_is_entered_is_not),
	KUNIT_CASE(waiting_for_the_mmap_lock_ends_with_a_kill),
	KUNIT_CASE(prefetch_passes_over_holes),
	KUNIT_CASE(process_may_end_first),
	KUNIT_CASE(mirror_may_end_first),
	KUNIT_CASE(windows_go_with_what_was_in_them),
	KUNIT_CASE(window_goes_when_the_device_is_slow),
	KUNIT_CASE(window_in_use_stays),
	KUNIT_CASE(storm_of_invalidations),
	{}
};

static struct kunit_suite device_mirror_suite = {
	.name = "device_mirror",
	.init = mt_test_init,
	.exit = ht_test_exit,
	.test_cases = device_mirror_cases,
};

kunit_test_suite(device_mirror_suite);
