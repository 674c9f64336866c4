// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: pages of a process in the memory of a device: moved there, brought back by the CPU
 * or to make room, lost. The device is that of device_mirror_test.h; its memory is full of
 * old data at first.
 */
#include <linux/hmm.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/rmap.h>

#include "device_mirror.h"
#include "device_mirror_test.h"
#include "internal.h"

/* There, used, and back with what the device has written */
static void pages_move_there_and_back(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, HT_PMD_PAGES), (long)PMD_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 0) && mt_is_local(device, 511));
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), (u64)PMD_SIZE);
	KUNIT_EXPECT_EQ_MSG(test, device->last.order, (unsigned int)(PMD_SHIFT - PAGE_SHIFT),
			    "not one large entry");
	mt_expect_read(device, 0, HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_write(device, 17, 4242), 0);

	/* One access of the CPU brings the chunk back. */
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 17), 4242ULL);
	KUNIT_EXPECT_FALSE(test, mt_has(device, 17));
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_expect_cpu(ctx, 18, 400);
	mt_expect_read(device, 0, 17);
	mt_device_free(device);
}

/* Some of the chunk's pages have been thrown away meanwhile: they are zero now. */
static void pages_come_back_from_between_holes(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, HT_PMD_PAGES), (long)PMD_SIZE);
	ht_madvise(ctx, 100, 50, MADV_DONTNEED);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 462ULL * PAGE_SIZE);
	mt_expect_cpu(ctx, 0, 100);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 120), 0ULL);
	mt_expect_cpu(ctx, 150, 300);
	mt_device_free(device);
}

static void huge_page_moves_in_one_piece(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_needs_huge_pages(device);
	ht_map(ctx, 0, HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_HUGEPAGE);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, HT_PMD_PAGES), (long)PMD_SIZE);
	KUNIT_EXPECT_EQ(test, device->last.order, (unsigned int)(PMD_SHIFT - PAGE_SHIFT));
	KUNIT_EXPECT_TRUE(test, device->last.device_memory);
	mt_expect_read(device, 0, HT_PMD_PAGES);
	mt_expect_cpu(ctx, 0, HT_PMD_PAGES);
	mt_device_free(device);
}

/* Memory that the process has never touched is zero, not what the device had there before. */
static void untouched_pages_are_zero(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	u64 word = 1;

	mt_map_small(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 64), 64L * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 33));
	KUNIT_EXPECT_EQ(test, mt_read(device, 33, &word), 0);
	KUNIT_EXPECT_EQ(test, word, 0ULL);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 34), 0ULL);
	mt_device_free(device);
}

/* All pages have contents; of them the first @nr move, block by block. */
static void mt_move_first(struct mt_device *device, unsigned long nr)
{
	struct ht_ctx *ctx = device->ctx;
	unsigned long i;

	mt_map_small(ctx, 0, HT_PAGES);
	ht_fill(ctx, 0, HT_PAGES);
	for (i = 0; i < nr; i += HT_PMD_PAGES)
		KUNIT_EXPECT_EQ(ctx->test, mt_move(device, i, HT_PMD_PAGES), (long)PMD_SIZE);
}

/* Twice as much as the device has, all of it used by the device and right in the end */
static void more_memory_than_the_device_has(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_move_first(device, HT_PAGES);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), (u64)MT_MEMORY);
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->memory.evicted), (s64)HT_PAGES / 2);
	/* The ones least recently wanted have gone. */
	KUNIT_EXPECT_FALSE(test, mt_is_local(device, 0));
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, HT_PAGES - 1));
	mt_expect_read(device, 0, HT_PAGES);
	mt_expect_cpu(ctx, 0, HT_PAGES);
	mt_device_free(device);
}

/* What the device has wanted again stays; the other goes, although it came later. */
static void what_is_wanted_again_stays(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 3 * HT_PMD_PAGES);
	ht_fill(ctx, 0, 3 * HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, HT_PMD_PAGES), (long)PMD_SIZE);
	KUNIT_EXPECT_EQ(test, mt_move(device, HT_PMD_PAGES, HT_PMD_PAGES), (long)PMD_SIZE);
	ht_invalidate(ctx, 0, 1);
	mt_expect_read(device, 0, 1);
	KUNIT_EXPECT_EQ(test, mt_move(device, 2 * HT_PMD_PAGES, HT_PMD_PAGES), (long)PMD_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 0));
	KUNIT_EXPECT_FALSE(test, mt_is_local(device, HT_PMD_PAGES));
	mt_expect_read(device, 0, 3 * HT_PMD_PAGES);
	mt_device_free(device);
}

/* Pages with contents and pages that do not exist yet, by turns: copied and cleared, each. */
static void touched_and_untouched_pages_move_together(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i;
	u64 word;

	mt_map_small(ctx, 0, HT_PMD_PAGES);
	for (i = 0; i < HT_PMD_PAGES; i += 2)
		ht_fill(ctx, i, 1);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, HT_PMD_PAGES), (long)PMD_SIZE);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), (u64)PMD_SIZE);
	for (i = 0; i < HT_PMD_PAGES; i += 2) {
		mt_expect_read(device, i, 1);
		word = 1;
		KUNIT_EXPECT_EQ(test, mt_read(device, i + 1, &word), 0);
		KUNIT_EXPECT_EQ_MSG(test, word, 0ULL, "page %lu", i + 1);
	}
	for (i = 0; i < HT_PMD_PAGES; i += 2) {
		mt_expect_cpu(ctx, i, 1);
		KUNIT_EXPECT_EQ_MSG(test, mt_cpu_read(ctx, i + 1), 0ULL, "page %lu", i + 1);
	}
	mt_device_free(device);
}

/* What is there already is not moved again, and the room for it is given back. */
static void moving_again_takes_no_room(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 32ULL * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 64), 64L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 64ULL * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic64_read(&device->mirror.count.to_device), 64LL);
	mt_expect_read(device, 0, 64);
	mt_unmap(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_device_free(device);
}

/* Behind a few single pages, a large piece still lies so that it is one entry. */
static void large_pieces_are_aligned(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 2 * HT_PMD_PAGES);
	ht_fill(ctx, 0, 2 * HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, mt_move(device, HT_PMD_PAGES, 3), 3L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 256), 256L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, device->table[255].address, device->table[0].address + SZ_1M - SZ_4K);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(device->table[0].address, SZ_1M));
	mt_expect_read(device, 0, 2 * HT_PMD_PAGES);
	mt_device_free(device);
}

static void advice_read_mostly(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	unsigned long i, got = 0;

	mt_map_small(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 5, 1);
	KUNIT_EXPECT_EQ(test, mt_advise(device, 0, HT_PMD_PAGES, DEVICE_MIRROR_ADVICE_READ_MOSTLY),
			0);
	mt_expect_read(device, 5, 1);
	for (i = 0; i < HT_PMD_PAGES; i++)
		got += mt_has(device, i);
	KUNIT_EXPECT_EQ_MSG(test, got, HT_PMD_PAGES, "not all of the chunk came");
	KUNIT_EXPECT_EQ_MSG(test, device_memory_used(&device->memory), 0ULL, "it has moved");
	mt_device_free(device);
}

static void advice_moves_what_the_device_touches(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 256);
	ht_fill(ctx, 0, 256);
	KUNIT_EXPECT_EQ(test, mt_advise(device, 0, 128, DEVICE_MIRROR_ADVICE_DEVICE), 0);
	mt_expect_read(device, 5, 1);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 5));
	mt_expect_cpu(ctx, 5, 1);
	mt_expect_read(device, 5, 1);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 5));

	/* Not there, whatever is asked for. */
	KUNIT_EXPECT_EQ(test, mt_advise(device, 0, 256, DEVICE_MIRROR_ADVICE_SYSTEM), 0);
	mt_expect_cpu(ctx, 5, 1);
	KUNIT_EXPECT_GT(test, mt_move(device, 0, 256), 0L);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 5) && !mt_is_local(device, 5));
	KUNIT_EXPECT_EQ(test, mt_advise(device, 1, 0, 0), -EINVAL);
	mt_device_free(device);
}

static void advice_goes_with_the_mapping(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_advise(device, 0, 64, DEVICE_MIRROR_ADVICE_DEVICE), 0);
	mt_expect_read(device, 5, 1);
	mt_unmap(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	mt_expect_read(device, 5, 1);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 5) && !mt_is_local(device, 5));
	mt_device_free(device);
}

/* Memory of a file is not moved, and used where it is. */
static void memory_of_files_stays(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	ctx->vm_flags = VM_MIXEDMAP | VM_DONTEXPAND;
	ht_map_file(ctx, 0, 1, HT_RW_PROT);
	ht_insert(ctx, 0, ht_alloc(ctx, 0));
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 1), (long)PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 0) && !mt_is_local(device, 0));
	mt_expect_read(device, 0, 1);
	mt_device_free(device);
}

/* A device that cannot copy: what is in the system stays there, what it has is an error. */
static void copy_that_fails(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	u64 word;
	int got;

	mt_map_small(ctx, 0, 32);
	ht_fill(ctx, 0, 32);
	device->copy_error = -EIO;
	KUNIT_EXPECT_GT(test, mt_move(device, 0, 32), 0L);
	KUNIT_EXPECT_FALSE(test, mt_is_local(device, 0));
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_expect_read(device, 0, 32);
	mt_expect_cpu(ctx, 0, 32);

	device->copy_error = 0;
	KUNIT_EXPECT_GT(test, mt_move(device, 0, 32), 0L);
	device->copy_error = -EIO;
	got = access_remote_vm(ctx->mm, ht_addr(ctx, 3), &word, sizeof(word), 0);
	KUNIT_EXPECT_LE(test, got, 0);
	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&device->memory), -EIO);
	device->copy_error = 0;
	mt_expect_cpu(ctx, 0, 32);
	mt_device_free(device);
}

static void mt_count_copies(struct mt_device *device, const struct device_memory_copy *copies)
{
	device->copies++;
}

/* Whoever is in the way of others stays there, if making room fails, or is not wanted any more. */
static void making_room_ends_with_the_first_error(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	unsigned long full = MT_MEMORY >> PAGE_SHIFT;

	mt_move_first(device, full);
	device->in_copy = mt_count_copies;
	device->copy_error = -EIO;
	KUNIT_EXPECT_GT(test, mt_move(device, full, HT_PMD_PAGES), 0L);
	KUNIT_EXPECT_EQ(test, device->copies, 1);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), (u64)MT_MEMORY);

	device->copy_error = 0;
	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	KUNIT_EXPECT_EQ(test, memory_make_room(&device->memory, 1), -EINTR);
	flush_signals(current);
	disallow_signal(SIGKILL);
	KUNIT_EXPECT_EQ(test, device->copies, 1);
	KUNIT_EXPECT_EQ(test, memory_make_room(&device->memory, 1), 0);
	mt_expect_cpu(ctx, 0, HT_PAGES);
	mt_device_free(device);
}

/* A page that somebody looks at does not go; that is said, and the others go. */
static void eviction_says_what_is_left(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;
	struct page *page;

	mt_map_small(ctx, 0, 32);
	ht_fill(ctx, 0, 32);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	page = pfn_to_page(PHYS_PFN(device->memory.pgmap.range.start + device->table[5].address));
	get_page(page);
	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&device->memory), -EBUSY);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), (u64)PAGE_SIZE);
	put_page(page);
	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&device->memory), 0);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_expect_cpu(ctx, 0, 32);
	mt_device_free(device);
}

static void destroying_brings_all_back(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 600);
	ht_fill(ctx, 0, 600);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 600), 600L * PAGE_SIZE);
	mt_device_free(device);
	mt_expect_cpu(ctx, 0, 600);
}

/* What a fault of the CPU says */
static vm_fault_t mt_cpu_fault(struct ht_ctx *ctx, unsigned long page)
{
	vm_fault_t ret = VM_FAULT_SIGSEGV;
	struct vm_area_struct *vma;

	mmap_read_lock(ctx->mm);
	vma = vma_lookup(ctx->mm, ht_addr(ctx, page));
	if (vma)
		ret = handle_mm_fault(vma, ht_addr(ctx, page), FAULT_FLAG_REMOTE, NULL);
	mmap_read_unlock(ctx->mm);
	return ret;
}

static void mt_expect_lost(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long page;
	u64 word;

	for (page = first; page < first + nr; page++) {
		KUNIT_EXPECT_EQ_MSG(ctx->test, (__force u32)mt_cpu_fault(ctx, page),
				    (__force u32)VM_FAULT_HWPOISON, "page %lu", page);
		KUNIT_EXPECT_LE_MSG(ctx->test,
				    access_remote_vm(ctx->mm, ht_addr(ctx, page), &word,
						     sizeof(word), 0),
				    0, "page %lu", page);
	}
}

static long mt_rss(struct ht_ctx *ctx)
{
	return percpu_counter_sum(&ctx->mm->rss_stat[MM_ANONPAGES]);
}

/*
 * What a device has that copies no more is lost. To touch it is an error, for the CPU and for
 * other devices; it counts as memory of the process no more; the rest is as it was.
 */
static void what_is_lost_is_a_bus_error(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct mt_device *other = mt_device_new(test, 0);
	struct ht_ctx *ctx = device->ctx;
	long rss;
	u64 word;

	mt_map_small(ctx, 0, 100);
	ht_fill(ctx, 0, 100);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 64), 64L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_write(device, 9, 4242), 0);
	rss = mt_rss(ctx);
	device->copy_error = -EIO;
	mt_device_free(device);
	KUNIT_EXPECT_EQ(test, mt_rss(ctx), rss - 64);
	mt_expect_lost(ctx, 0, 64);
	mt_expect_cpu(ctx, 64, 36);
	KUNIT_EXPECT_EQ(test, mt_read(other, 3, &word), -EFAULT);
	KUNIT_EXPECT_EQ(test, mt_write(other, 63, 1), -EFAULT);
	mt_expect_read(other, 64, 36);

	/* Whoever throws it away has new memory there. */
	ht_madvise(ctx, 0, 16, MADV_DONTNEED);
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 15), 0ULL);
	ht_fill(ctx, 0, 16);
	mt_expect_read(other, 0, 16);
	mt_expect_lost(ctx, 16, 48);
	mt_unmap(ctx, 0, 100);
	KUNIT_EXPECT_EQ(test, mt_rss(ctx), rss - 100);
	mt_device_free(other);
}

static void mt_fail_once(struct mt_device *device, const struct device_memory_copy *copies)
{
	device->copy_error = device->copy_error ? 0 : -EIO;
}

/* A copy that fails may have made the driver reset the device: there is a second try. */
static void what_comes_at_the_second_try_is_not_lost(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 32);
	ht_fill(ctx, 0, 32);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	device->in_copy = mt_fail_once;
	mt_device_free(device);
	mt_expect_cpu(ctx, 0, 32);
}

/* For a reset: all goes, nothing comes until it is over; and what is lost then is lost. */
static void suspended_memory_takes_no_pages(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	device_memory_suspend(&device->memory);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_expect_cpu(ctx, 0, 32);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_has(device, 0) && !mt_is_local(device, 0));

	device_memory_resume(&device->memory);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 32), 32L * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 0));
	device->copy_error = -EIO;
	device_memory_suspend(&device->memory);
	device->copy_error = 0;
	device_memory_resume(&device->memory);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_expect_lost(ctx, 0, 32);
	KUNIT_EXPECT_GT(test, mt_move(device, 32, 32), 0L);
	KUNIT_EXPECT_TRUE(test, mt_is_local(device, 32));
	mt_expect_read(device, 32, 32);
	mt_device_free(device);
}

/* The process exits in the middle of an eviction: the reverse map of its pages stays. */
static void mt_exit_in_copy(struct mt_device *device, const struct device_memory_copy *copies)
{
	unsigned long pfn = PHYS_PFN(device->memory.pgmap.range.start + copies->offset);
	struct anon_vma *anon_vma = folio_anon_vma(pfn_folio(pfn));
	struct kunit *test = device->ctx->test;

	device->in_copy = NULL;
	KUNIT_EXPECT_NOT_NULL(test, anon_vma);
	ht_exit_mm(device->ctx);
	if (anon_vma)
		KUNIT_EXPECT_GT_MSG(test, atomic_read(&anon_vma->refcount), 0,
				    "the reverse map is gone");
}

static void process_ends_during_an_eviction(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 100);
	ht_fill(ctx, 0, 100);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 100), 100L * PAGE_SIZE);
	mt_mirror_end(device);
	device->in_copy = mt_exit_in_copy;
	KUNIT_EXPECT_EQ(test, device_memory_evict_all(&device->memory), 0);
	KUNIT_EXPECT_TRUE(test, ctx->exited);
	mt_device_free(device);
}

static void process_ends_with_pages_in_the_device(struct kunit *test)
{
	struct mt_device *device = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = device->ctx;

	mt_map_small(ctx, 0, 600);
	ht_fill(ctx, 0, 600);
	KUNIT_EXPECT_EQ(test, mt_move(device, 0, 600), 600L * PAGE_SIZE);
	ht_exit_mm(ctx);
	KUNIT_EXPECT_EQ(test, device_memory_used(&device->memory), 0ULL);
	mt_device_free(device);
}

/* What one device has the other gets through the system's memory. */
static void two_devices_with_memory(struct kunit *test)
{
	struct mt_device *a = mt_device_new(test, MT_MEMORY);
	struct mt_device *b = mt_device_new(test, MT_MEMORY);
	struct ht_ctx *ctx = a->ctx;

	mt_map_small(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	KUNIT_EXPECT_EQ(test, mt_move(a, 0, 64), 64L * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt_write(a, 7, 99), 0);
	mt_expect_read(b, 8, 20);
	KUNIT_EXPECT_FALSE(test, mt_is_local(a, 8));
	KUNIT_EXPECT_EQ(test, mt_cpu_read(ctx, 7), 99ULL);
	ht_fill(ctx, 7, 1);
	KUNIT_EXPECT_EQ(test, mt_move(b, 0, 64), 64L * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, mt_is_local(b, 30));
	mt_expect_read(b, 0, 64);
	mt_device_free(b);
	mt_device_free(a);
	mt_expect_cpu(ctx, 0, 64);
}

static struct kunit_case device_memory_cases[] = {
	KUNIT_CASE(pages_move_there_and_back),
	KUNIT_CASE(pages_come_back_from_between_holes),
	KUNIT_CASE(huge_page_moves_in_one_piece),
	KUNIT_CASE(untouched_pages_are_zero),
	KUNIT_CASE(more_memory_than_the_device_has),
	KUNIT_CASE(what_is_wanted_again_stays),
	KUNIT_CASE(touched_and_untouched_pages_move_together),
	KUNIT_CASE(moving_again_takes_no_room),
	KUNIT_CASE(large_pieces_are_aligned),
	KUNIT_CASE(advice_read_mostly),
	KUNIT_CASE(advice_moves_what_the_device_touches),
	KUNIT_CASE(advice_goes_with_the_mapping),
	KUNIT_CASE(memory_of_files_stays),
	KUNIT_CASE(copy_that_fails),
	KUNIT_CASE(making_room_ends_with_the_first_error),
	KUNIT_CASE(eviction_says_what_is_left),
	KUNIT_CASE(destroying_brings_all_back),
	KUNIT_CASE(what_is_lost_is_a_bus_error),
	KUNIT_CASE(what_comes_at_the_second_try_is_not_lost),
	KUNIT_CASE(suspended_memory_takes_no_pages),
	KUNIT_CASE(process_ends_during_an_eviction),
	KUNIT_CASE(process_ends_with_pages_in_the_device),
	KUNIT_CASE(two_devices_with_memory),
	{}
};

static struct kunit_suite device_memory_suite = {
	.name = "device_memory",
	.init = mt_test_init,
	.exit = ht_test_exit,
	.test_cases = device_memory_cases,
};

kunit_test_suite(device_memory_suite);
