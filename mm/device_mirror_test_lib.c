// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device of the KUnit suites of device mirrors; see device_mirror_test.h.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "device_mirror_test.h"

static struct mt_device *mt_of(struct device_mirror *mirror)
{
	return container_of(mirror, struct mt_device, mirror);
}

static unsigned long mt_page(const struct mt_device *device, unsigned long addr)
{
	return (addr - device->ctx->base) >> PAGE_SHIFT;
}

/* Pages of [start, end) that the device knows: [*first, *last) */
static void mt_clip(const struct mt_device *device, unsigned long start, unsigned long end,
		    unsigned long *first, unsigned long *last)
{
	start = max(start, device->ctx->base);
	end = min(end, ht_addr(device->ctx, MT_PAGES));
	*first = mt_page(device, start);
	*last = start < end ? mt_page(device, end) : *first;
}

/* The test may take it back as soon as it knows that somebody waits: it is looked at once. */
static void mt_wait_if_held(struct mt_device *device, struct completion *const *hold)
{
	struct completion *wait = READ_ONCE(*hold);

	if (!wait)
		return;
	complete(&device->held);
	wait_for_completion(wait);
}

static int mt_prepare(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	struct mt_device *device = mt_of(mirror);

	KUNIT_EXPECT_TRUE(device->ctx->test, IS_ALIGNED(start | end, PMD_SIZE));
	mt_wait_if_held(device, &device->hold_prepare);
	return device->prepare_error;
}

static void mt_map(struct device_mirror *mirror, const struct device_mirror_run *run)
{
	struct mt_device *device = mt_of(mirror);
	unsigned long i, first = mt_page(device, run->addr);

	KUNIT_EXPECT_TRUE(device->ctx->test, IS_ALIGNED(run->addr, PAGE_SIZE << run->order));
	for (i = 0; i < 1UL << run->order; i++) {
		struct mt_entry *entry = &device->table[first + i];
		u64 address = run->address + i * PAGE_SIZE;

		/* Either nothing was there, or the same with less permission. */
		KUNIT_EXPECT_TRUE(device->ctx->test,
				  !entry->valid || (entry->address == address && !entry->write));
		*entry = (struct mt_entry){
			.address = address,
			.valid = true,
			.write = run->write,
			.local = run->device_memory,
		};
	}
	device->last = *run;
	device->runs++;
}

static void mt_clear(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	struct mt_device *device = mt_of(mirror);
	unsigned long first, last;

	mt_clip(device, start, end, &first, &last);
	memset(device->table + first, 0, (last - first) * sizeof(*device->table));
}

static void mt_log(struct mt_device *device, char what)
{
	size_t len = device->log ? strlen(device->log) : 0;

	if (device->log && len < 30) {
		device->log[len] = device->name;
		device->log[len + 1] = what;
	}
}

static void mt_shootdown_start(struct device_mirror *mirror,
			       struct device_mirror_shootdown *shootdown)
{
	struct mt_device *device = mt_of(mirror);

	shootdown->cookie = atomic_inc_return(&device->started);
	mt_log(device, '+');
}

static void mt_shootdown_finish(struct device_mirror *mirror,
				struct device_mirror_shootdown *shootdown)
{
	struct mt_device *device = mt_of(mirror);
	unsigned long first, last;

	mt_wait_if_held(device, &device->hold);
	mt_clip(device, shootdown->start, shootdown->end, &first, &last);
	spin_lock(&device->lock);
	memset(device->tlb + first, 0, (last - first) * sizeof(*device->tlb));
	spin_unlock(&device->lock);
	KUNIT_EXPECT_GT(device->ctx->test, shootdown->cookie, 0ULL);
	atomic_inc(&device->finished);
	mt_log(device, '-');
}

static const struct device_mirror_ops mt_ops = {
	.prepare = mt_prepare,
	.map = mt_map,
	.clear = mt_clear,
	.shootdown_start = mt_shootdown_start,
	.shootdown_finish = mt_shootdown_finish,
};

static int mt_copy(struct device_memory *memory, const struct device_memory_copy *copies,
		   unsigned int nr, enum dma_data_direction direction)
{
	struct mt_device *device = memory->driver_data;
	unsigned int i;

	if (device->in_copy)
		device->in_copy(device, copies);
	if (device->copy_error)
		return device->copy_error;
	for (i = 0; i < nr; i++) {
		size_t size = (size_t)copies[i].nr_pages << PAGE_SHIFT;
		void *local = device->vram + copies[i].offset;

		if (copies[i].clear)
			memset(local, 0, size);
		else if (direction == DMA_TO_DEVICE)
			memcpy(local, phys_to_virt(copies[i].system), size);
		else
			memcpy(phys_to_virt(copies[i].system), local, size);
	}
	return 0;
}

/* Its memory is the kernel's, page by page. */
static dma_addr_t mt_peer_map(struct device_memory *memory, struct device *dev, u64 offset,
			      unsigned int *order)
{
	struct mt_device *device = memory->driver_data;

	KUNIT_EXPECT_PTR_NE(device->ctx->test, dev, device->dev);
	KUNIT_EXPECT_TRUE(device->ctx->test, IS_ALIGNED(offset, PAGE_SIZE << *order));
	if (device->no_peer && dev == device->no_peer->dev)
		return DMA_MAPPING_ERROR;
	*order = 0;
	atomic_inc(&device->peer_runs);
	return page_to_phys(vmalloc_to_page(device->vram + offset));
}

static void mt_peer_unmap(struct device_memory *memory, struct device *dev, dma_addr_t address,
			  unsigned int order)
{
	struct mt_device *device = memory->driver_data;

	KUNIT_EXPECT_EQ(device->ctx->test, order, 0U);
	KUNIT_EXPECT_GE(device->ctx->test, atomic_dec_return(&device->peer_runs), 0);
}

static const struct device_memory_ops mt_memory_ops = {
	.copy = mt_copy,
};

static const struct device_memory_ops mt_peer_ops = {
	.copy = mt_copy,
	.peer_map = mt_peer_map,
	.peer_unmap = mt_peer_unmap,
};

/* For the suites: as for those of HMM, whose subscription is not wanted here */
int mt_test_init(struct kunit *test)
{
	int ret = ht_test_init(test);

	if (!ret)
		ht_unsubscribe(test->priv);
	return ret;
}

static struct mt_device *mt_device_make(struct kunit *test, u64 memory,
					const struct device_memory_ops *memory_ops)
{
	struct mt_device *device = kunit_kzalloc(test, sizeof(*device), GFP_KERNEL);
	static unsigned int number;

	KUNIT_ASSERT_NOT_NULL(test, device);
	snprintf(device->label, sizeof(device->label), "device-mirror-%u", number++);
	device->ctx = test->priv;
	spin_lock_init(&device->lock);
	init_completion(&device->held);
	device->dev = ht_dma_device(test, device->label, 64);

	device->table = vzalloc(array_size(MT_PAGES, sizeof(*device->table)));
	device->tlb = vzalloc(array_size(MT_PAGES, sizeof(*device->tlb)));
	device->vram = memory ? vmalloc(memory) : NULL;
	if (!device->table || !device->tlb || (memory && !device->vram))
		goto fail;
	if (memory) {
		/* Nobody's old secrets are to be seen. */
		memset(device->vram, 0x5c, memory);
		device->has_memory = !device_memory_init(&device->memory, device->dev, memory,
							 memory_ops, device);
		if (!device->has_memory)
			goto fail;
	}
	if (device_mirror_init(&device->mirror, device->dev, device->ctx->mm, &mt_ops,
			       memory ? &device->memory : NULL))
		goto fail;
	device->mirrored = true;
	return device;
fail:
	mt_device_free(device);
	KUNIT_FAIL(test, "no device");
	kunit_skip(test, "no memory for the device");
	return NULL;
}

/* A device with so many bytes of memory of its own, that mirrors the test's address space */
struct mt_device *mt_device_new(struct kunit *test, u64 memory)
{
	return mt_device_make(test, memory, &mt_memory_ops);
}

/* The same; other devices reach its memory */
struct mt_device *mt_device_new_peer(struct kunit *test, u64 memory)
{
	return mt_device_make(test, memory, &mt_peer_ops);
}

/* The mirror ends; the device has nothing left. */
void mt_mirror_end(struct mt_device *device)
{
	struct kunit *test = device->ctx->test;
	unsigned long i, table = 0, tlb = 0;

	if (!device->mirrored)
		return;
	device_mirror_destroy(&device->mirror);
	device->mirrored = false;
	for (i = 0; i < MT_PAGES; i++) {
		table += device->table[i].valid;
		tlb += device->tlb[i].valid;
	}
	KUNIT_EXPECT_EQ_MSG(test, table, 0UL, "entries are left");
	KUNIT_EXPECT_EQ_MSG(test, tlb, 0UL, "translations are left in the TLB");
	KUNIT_EXPECT_EQ(test, atomic_read(&device->started), atomic_read(&device->finished));
}

void mt_device_free(struct mt_device *device)
{
	mt_mirror_end(device);
	if (device->has_memory)
		device_memory_destroy(&device->memory);
	device->has_memory = false;
	vfree(device->vram);
	vfree(device->tlb);
	vfree(device->table);
}

/* The test ends here in a kernel that has none, as with PREEMPT_RT. */
void mt_needs_huge_pages(struct mt_device *device)
{
	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return;
	mt_device_free(device);
	kunit_skip(device->ctx->test, "no huge pages");
}

/* Where the device finds page @page; false: it has to fault. Under device->lock. */
static bool mt_translate(struct mt_device *device, unsigned long page, bool write, u64 **word)
{
	struct mt_entry *entry = &device->tlb[page];

	if (!entry->valid || (write && !entry->write))
		*entry = device->table[page];
	if (!entry->valid || (write && !entry->write))
		return false;
	*word = entry->local ? (u64 *)(device->vram + entry->address) :
			       phys_to_virt(entry->address);
	return true;
}

static int mt_access(struct mt_device *device, unsigned long page, bool write, u64 *word)
{
	unsigned int tries;
	u64 *at;
	int ret;

	for (tries = 0; tries < 1000; tries++) {
		spin_lock(&device->lock);
		if (mt_translate(device, page, write, &at)) {
			if (write)
				WRITE_ONCE(*at, *word);
			else
				*word = READ_ONCE(*at);
			spin_unlock(&device->lock);
			return 0;
		}
		spin_unlock(&device->lock);
		ret = device_mirror_fault(&device->mirror, ht_addr(device->ctx, page) + 8,
					  write ? DEVICE_MIRROR_WRITE : 0);
		if (ret)
			return ret;
	}
	return -ELOOP;
}

/* The device reads the first word of a page. */
int mt_read(struct mt_device *device, unsigned long page, u64 *word)
{
	return mt_access(device, page, false, word);
}

/* The device writes it. */
int mt_write(struct mt_device *device, unsigned long page, u64 word)
{
	return mt_access(device, page, true, &word);
}

/* The device sees in these pages what ht_fill() has written. */
void mt_expect_read(struct mt_device *device, unsigned long first, unsigned long nr)
{
	struct ht_ctx *ctx = device->ctx;
	unsigned long page;
	u64 word;

	for (page = first; page < first + nr; page++) {
		word = 0;
		KUNIT_EXPECT_EQ_MSG(ctx->test, mt_read(device, page, &word), 0, "page %lu", page);
		KUNIT_EXPECT_EQ_MSG(ctx->test, word, ht_tag(ctx, page), "page %lu", page);
	}
}

void mt_unmap(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	int ret;

	kthread_use_mm(ctx->mm);
	ret = vm_munmap(ht_addr(ctx, first), nr * PAGE_SIZE);
	kthread_unuse_mm(ctx->mm);
	KUNIT_EXPECT_EQ(ctx->test, ret, 0);
}

u64 mt_cpu_read(struct ht_ctx *ctx, unsigned long page)
{
	u64 word = 0;
	int got;

	got = access_remote_vm(ctx->mm, ht_addr(ctx, page), &word, sizeof(word), 0);
	KUNIT_EXPECT_EQ(ctx->test, got, (int)sizeof(word));
	return word;
}

long mt_prefetch(struct mt_device *device, unsigned long first, unsigned long nr,
		 unsigned int flags)
{
	return device_mirror_prefetch(&device->mirror, ht_addr(device->ctx, first),
				      ht_addr(device->ctx, first + nr), flags);
}

int mt_advise(struct mt_device *device, unsigned long first, unsigned long nr,
	      enum device_mirror_advice advice)
{
	return device_mirror_advise(&device->mirror, ht_addr(device->ctx, first),
				    ht_addr(device->ctx, first + nr), advice);
}

/* Small pages, so that none is in the way of moving single ones */
void mt_map_small(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	ht_map(ctx, first, nr, HT_RW_PROT);
	ht_madvise(ctx, first, nr, MADV_NOHUGEPAGE);
}

long mt_move(struct mt_device *device, unsigned long first, unsigned long nr)
{
	return mt_prefetch(device, first, nr, DEVICE_MIRROR_TO_DEVICE | DEVICE_MIRROR_WRITE);
}

void mt_expect_cpu(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long page;

	for (page = first; page < first + nr; page++)
		KUNIT_EXPECT_EQ_MSG(ctx->test, mt_cpu_read(ctx, page), ht_tag(ctx, page),
				    "page %lu", page);
}
