// SPDX-License-Identifier: GPL-2.0-only
/*
 * mirror_example: a driver whose device works on a process's memory. It is the example of
 * Documentation/tutorial-mirror.md; the marks [like this] are what that shows.
 *
 * The device has a page table of its own (struct example.entry) that mirrors a range of the
 * process. A missing entry is a fault: the driver asks HMM for the page and enters it. When
 * the process's page table changes, the notifier's callback takes the entry away first.
 *
 * There is no hardware here: the device's engine is a loop on the CPU. It does what hardware
 * does, look up its own table and no other, and goes to memory through the page frame there.
 * The DMA address of each entry is made and unmade as a real one would need it.
 *
 * For a device with a large page table of its own, device_mirror (linux/device_mirror.h) does
 * all of this; see Documentation/device-mirror.md.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hmm-dma.h>
#include <linux/hmm.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mirror_example.h"

/* [state] */
/* An entry of the device's page table */
struct entry {
	struct page *page; /* NULL: not valid */
	dma_addr_t dma;
	bool write;
};

/**
 * struct example - a device at work: an open file
 * @sub: the subscription to [@start, @start + @pages)
 * @bind_lock: one binds at a time
 * @bound: @sub is inserted; set once
 * @start: first address, bytes
 * @pages: how many
 * @lock: the one lock of the notifier contract: protects all below, and is held from
 *	mmu_interval_read_retry() until the entries are written
 * @map: page frames and their DMA addresses, of entries that are valid
 * @entry: the device's page table
 * @stats: what has been done
 */
struct example {
	struct mmu_interval_notifier sub;
	struct mutex bind_lock; /* bound */
	bool bound;
	unsigned long start;
	unsigned long pages;

	struct mutex lock; /* entries */
	struct hmm_dma_map map;
	struct entry *entry;
	struct gm_mirror_stats stats;
};

/* [state end] */

static struct platform_device *example_device;

/* [clear] */
/* The device lets go of page @i: nothing uses its entry when this returns. */
static void clear_entry(struct example *ex, unsigned long i)
{
	struct entry *entry = &ex->entry[i];

	lockdep_assert_held(&ex->lock);
	if (!entry->page)
		return;
	/*
	 * Hardware: make the entry invalid, shoot down the TLB, wait. Here the engine holds
	 * ex->lock while it uses an entry, so it is not using this one.
	 */
	if (entry->write)
		set_page_dirty(entry->page); /* the CPU's entry need not say so */
	hmm_dma_unmap_pfn(&example_device->dev, &ex->map, i);
	*entry = (struct entry){};
	ex->stats.entries--;
}

static bool example_invalidate(struct mmu_interval_notifier *sub,
			       const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct example *ex = container_of(sub, struct example, sub);
	unsigned long first, last, i;
	u64 before;

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&ex->lock);
	else if (!mutex_trylock(&ex->lock))
		return false;

	/* Always, and under the lock: whoever is reading just now will see it. */
	mmu_interval_set_seq(sub, cur_seq);

	first = (max(range->start, ex->start) - ex->start) >> PAGE_SHIFT;
	last = (min(range->end, ex->start + ex->pages * PAGE_SIZE) - 1 - ex->start) >> PAGE_SHIFT;
	before = ex->stats.entries;
	for (i = first; i <= last; i++)
		clear_entry(ex, i);
	ex->stats.invalidations += before != ex->stats.entries;
	mutex_unlock(&ex->lock);
	return true;
}

static const struct mmu_interval_notifier_ops example_notifier_ops = {
	.invalidate = example_invalidate,
};

/* [clear end] */

/* [enter] */
/* HMM's answers @pfns for pages [@first, @first + @count) become entries. */
static int write_entries(struct example *ex, const unsigned long *pfns, unsigned long first,
			 unsigned long count)
{
	struct device *dev = &example_device->dev;
	unsigned long i;

	lockdep_assert_held(&ex->lock);
	for (i = first; i < first + count; i++) {
		unsigned long pfn = pfns[i - first];
		struct entry *entry = &ex->entry[i];
		dma_addr_t dma;

		/* Here already: then it is the same page, and may be writable now. */
		if (entry->page) {
			entry->write |= !!(pfn & HMM_PFN_WRITE);
			continue;
		}
		ex->map.pfn_list[i] = pfn & ~HMM_PFN_INOUT_FLAGS;
		dma = hmm_dma_map_pfn(dev, &ex->map, i, NULL);
		if (dma == DMA_MAPPING_ERROR)
			return -EIO;
		*entry = (struct entry){
			.page = hmm_pfn_to_page(pfn),
			.dma = dma,
			.write = pfn & HMM_PFN_WRITE,
		};
		ex->stats.entries++;
	}
	return 0;
}

/* [enter end] */

/* [fault] */
/* The device has no entry for some of these pages, or none that it may write through. */
static int example_fault(struct example *ex, unsigned long first, unsigned long count, bool write)
{
	struct hmm_range range = {
		.notifier = &ex->sub,
		.start = ex->start + first * PAGE_SIZE,
		.end = ex->start + (first + count) * PAGE_SIZE,
		.default_flags = HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0),
	};
	int ret;

	/* Our own: HMM writes it without a lock, and another thread may have a fault, too. */
	range.hmm_pfns = kvcalloc(count, sizeof(*range.hmm_pfns), GFP_KERNEL);
	if (!range.hmm_pfns)
		return -ENOMEM;
	do {
		/* No lock is held: this may wait for a disk, or for userfaultfd. */
		ret = hmm_range_fault_unlocked_timeout(&range, HMM_RANGE_DEFAULT_TIMEOUT);
		if (ret)
			break;

		mutex_lock(&ex->lock);
		if (mmu_interval_read_retry(&ex->sub, range.notifier_seq)) {
			/* The process's page table changed between HMM's look and our lock. */
			ex->stats.retries++;
			ret = -EAGAIN;
		} else {
			ret = write_entries(ex, range.hmm_pfns, first, count);
			ex->stats.faults++;
		}
		mutex_unlock(&ex->lock);
	} while (ret == -EAGAIN);
	kvfree(range.hmm_pfns);
	return ret;
}

/* [fault end] */

/* [engine] */
/* One page of work, through the device's own table; -EAGAIN: a fault. Adds to *@value. */
static int engine_page(struct example *ex, unsigned long i, bool write, u64 *value)
{
	struct entry *entry = &ex->entry[i];
	unsigned int w;
	u64 *words;

	lockdep_assert_held(&ex->lock);
	if (!entry->page || (write && !entry->write))
		return -EAGAIN;
	words = kmap_local_page(entry->page);
	for (w = 0; w < PAGE_SIZE / sizeof(*words); w++) {
		if (write)
			WRITE_ONCE(words[w], *value);
		else
			*value += READ_ONCE(words[w]);
	}
	kunmap_local(words);
	return 0;
}

/* Page @i, with @left of them still to come: works, or stalls at a fault and works again. */
static int engine_step(struct example *ex, unsigned long i, unsigned long left, bool write,
		       u64 *value)
{
	int ret;

	for (;;) {
		mutex_lock(&ex->lock);
		ret = engine_page(ex, i, write, value);
		mutex_unlock(&ex->lock);
		if (ret != -EAGAIN)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = example_fault(ex, i, left, write);
		if (ret)
			return ret;
	}
}

static int example_work(struct example *ex, struct gm_mirror_work *work, bool write)
{
	u64 value = write ? work->value : 0;
	unsigned long i;
	int ret = 0;

	if (!work->count || work->first >= ex->pages || work->count > ex->pages - work->first)
		return -EINVAL;
	for (i = 0; i < work->count && !ret; i++)
		ret = engine_step(ex, work->first + i, work->count - i, write, &value);
	if (!write)
		work->value = value;
	return ret;
}

/* [engine end] */

/* [bind] */
static int example_bind(struct example *ex, const struct gm_mirror_bind *arg)
{
	int ret;

	if (!arg->pages || arg->pages > GM_MIRROR_MAX_PAGES || !PAGE_ALIGNED(arg->start))
		return -EINVAL;

	mutex_lock(&ex->bind_lock);
	ret = -EBUSY;
	if (ex->bound)
		goto unlock;
	ret = -ENOMEM;
	ex->entry = kvcalloc(arg->pages, sizeof(*ex->entry), GFP_KERNEL_ACCOUNT);
	if (!ex->entry)
		goto unlock;
	ret = hmm_dma_map_alloc(&example_device->dev, &ex->map, arg->pages, PAGE_SIZE);
	if (ret)
		goto free_entries;
	ex->start = arg->start;
	ex->pages = arg->pages;
	/* Last: from here on the callback may run. */
	ret = mmu_interval_notifier_insert(&ex->sub, current->mm, arg->start,
					   arg->pages * PAGE_SIZE, &example_notifier_ops);
	if (ret)
		goto free_map;
	/* Pairs with the one in example_ioctl(). */
	smp_store_release(&ex->bound, true);
	goto unlock;

free_map:
	hmm_dma_map_free(&example_device->dev, &ex->map);
free_entries:
	kvfree(ex->entry);
unlock:
	mutex_unlock(&ex->bind_lock);
	return ret;
}

static int example_release(struct inode *inode, struct file *file)
{
	struct example *ex = file->private_data;
	unsigned long i;

	if (ex->bound) {
		/* The device first: once remove has begun nobody tells us of changes. */
		mutex_lock(&ex->lock);
		for (i = 0; i < ex->pages; i++)
			clear_entry(ex, i);
		mutex_unlock(&ex->lock);
		mmu_interval_notifier_remove(&ex->sub);
		hmm_dma_map_free(&example_device->dev, &ex->map);
		kvfree(ex->entry);
	}
	kfree(ex);
	return 0;
}

/* [bind end] */

static int example_open(struct inode *inode, struct file *file)
{
	struct example *ex = kzalloc(sizeof(*ex), GFP_KERNEL_ACCOUNT);

	if (!ex)
		return -ENOMEM;
	mutex_init(&ex->bind_lock);
	mutex_init(&ex->lock);
	file->private_data = ex;
	return nonseekable_open(inode, file);
}

static long example_ioctl(struct file *file, unsigned int cmd, unsigned long value)
{
	struct example *ex = file->private_data;
	void __user *user = (void __user *)value;
	union {
		struct gm_mirror_bind bind;
		struct gm_mirror_work work;
		struct gm_mirror_stats stats;
	} arg = {};
	int ret;

	if (_IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (_IOC_DIR(cmd) & _IOC_WRITE && copy_from_user(&arg, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	if (cmd == GM_MIRROR_BIND)
		return example_bind(ex, &arg.bind);
	/* Pairs with example_bind(). */
	if (!smp_load_acquire(&ex->bound))
		return -ENXIO;

	switch (cmd) {
	case GM_MIRROR_SUM:
	case GM_MIRROR_FILL:
		ret = example_work(ex, &arg.work, cmd == GM_MIRROR_FILL);
		break;
	case GM_MIRROR_STATS:
		mutex_lock(&ex->lock);
		arg.stats = ex->stats;
		mutex_unlock(&ex->lock);
		ret = 0;
		break;
	default:
		return -ENOTTY;
	}
	if (!ret && _IOC_DIR(cmd) & _IOC_READ && copy_to_user(user, &arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

static const struct file_operations example_fops = {
	.owner = THIS_MODULE,
	.open = example_open,
	.release = example_release,
	.unlocked_ioctl = example_ioctl,
};

static struct miscdevice example_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gm-mirror-example",
	.fops = &example_fops,
};

/* [device] */
/* A real driver has its struct device from the bus, in probe(). */
static int __init example_init(void)
{
	int ret;

	example_device = platform_device_register_simple("gm-mirror-example", PLATFORM_DEVID_NONE,
							 NULL, 0);
	if (IS_ERR(example_device))
		return PTR_ERR(example_device);
	/* Which memory it reaches: what it does not, HMM's DMA mapping refuses, page by page. */
	ret = dma_set_mask_and_coherent(&example_device->dev, DMA_BIT_MASK(64));
	if (!ret)
		ret = misc_register(&example_misc);
	if (ret)
		platform_device_unregister(example_device);
	return ret;
}

/* [device end] */

static void __exit example_exit(void)
{
	misc_deregister(&example_misc);
	platform_device_unregister(example_device);
}

module_init(example_init);
module_exit(example_exit);

MODULE_DESCRIPTION("A device that mirrors a process's memory: example");
MODULE_LICENSE("GPL");
