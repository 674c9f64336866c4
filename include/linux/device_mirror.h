/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mirror a process's memory into a device's page table: what a driver of a GPU or an
 * accelerator needs to let its device use ordinary pointers. Documentation/device-mirror.md
 * is the guide for driver writers; mm/device_mirror.c opens with how it works.
 *
 * Source rules: new with grantmirror, GPL only, may change with it. There is no user ABI
 * in this file.
 *
 * An address range is written [start, end), in bytes. Addresses of device memory are offsets
 * into it, in bytes.
 */
#ifndef LINUX_DEVICE_MIRROR_H
#define LINUX_DEVICE_MIRROR_H

#include <linux/dma-direction.h>
#include <linux/maple_tree.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct device;
struct device_memory;
struct device_mirror;
struct memory_block_state;
struct memory_move;
struct mm_struct;

/**
 * struct device_mirror_run - entries to be written into the device's page table
 * @addr: virtual address, a multiple of PAGE_SIZE << @order
 * @address: DMA address (of system memory, or of another device's), or offset into the device's
 *	memory; a multiple of @order only as far as the DMA layer makes it one: check before
 *	using a large entry
 * @order: 1 << @order pages follow each other, at most a chunk (2 MiB). Whatever entries the
 *	driver makes of them, clear() gets the run as a whole
 * @write: the device may write
 * @device_memory: @address is in the device's memory
 */
struct device_mirror_run {
	unsigned long addr;
	u64 address;
	unsigned int order;
	bool write;
	bool device_memory;
};

/**
 * struct device_mirror_shootdown - a shootdown of the device's TLB that is under way
 * @start: first byte
 * @end: end of the range
 * @cookie: the driver's: what shootdown_start() wants shootdown_finish() to know
 */
struct device_mirror_shootdown {
	unsigned long start;
	unsigned long end;
	u64 cookie;
};

/**
 * struct device_mirror_ops - what the driver does for its page table
 *
 * No call may take the mmap lock, allocate memory that could be reclaimed from the process
 * (only prepare() may allocate at all), or call into the mirror.
 */
struct device_mirror_ops {
	/**
	 * @prepare: make tables for [start, end), which is aligned to chunks, so that map()
	 * cannot fail. They stay at least until the mirror is destroyed.
	 * May sleep, and is called concurrently. Returns 0 or an errno that the fault
	 * then returns.
	 */
	int (*prepare)(struct device_mirror *mirror, unsigned long start, unsigned long end);

	/**
	 * @map: write entries. Also over those of the same run, to add the permission to
	 * write: a device whose TLB keeps the old permission must ask the table again before
	 * it reports a fault.
	 * Under a spinlock; concurrently for different windows.
	 */
	void (*map)(struct device_mirror *mirror, const struct device_mirror_run *run);

	/**
	 * @clear: entries of [start, end) become invalid; whole runs, and what lies between
	 * them. The TLB is shot down afterwards. Under a spinlock, like @map.
	 */
	void (*clear)(struct device_mirror *mirror, unsigned long start, unsigned long end);

	/**
	 * @shootdown_start: let the device drop translations of [start, end), and finish
	 * what it does with them. Does not wait. Several may be under way.
	 * Under a spinlock, but for the last one, of all, in device_mirror_destroy().
	 */
	void (*shootdown_start)(struct device_mirror *mirror,
				struct device_mirror_shootdown *shootdown);

	/**
	 * @shootdown_finish: wait until that is done. Cannot fail: a driver whose device
	 * does not answer resets it, and returns when it does no more DMA.
	 * May sleep.
	 */
	void (*shootdown_finish)(struct device_mirror *mirror,
				 struct device_mirror_shootdown *shootdown);
};

/**
 * enum device_mirror_advice - where memory is best
 * @DEVICE_MIRROR_ADVICE_NONE: where it is
 * @DEVICE_MIRROR_ADVICE_DEVICE: the device works on it: its first access, and the next after
 *	each time that the CPU has brought it back, moves it into the device's memory
 * @DEVICE_MIRROR_ADVICE_SYSTEM: not in the device's memory; not by prefetch either
 * @DEVICE_MIRROR_ADVICE_READ_MOSTLY: both read it: it stays where both can, and the device's
 *	first access brings in all of the chunk
 */
enum device_mirror_advice {
	DEVICE_MIRROR_ADVICE_NONE,
	DEVICE_MIRROR_ADVICE_DEVICE,
	DEVICE_MIRROR_ADVICE_SYSTEM,
	DEVICE_MIRROR_ADVICE_READ_MOSTLY,
};

/* Flags of device_mirror_fault() and device_mirror_prefetch() */
#define DEVICE_MIRROR_WRITE BIT(0) /* the device wants to write */
#define DEVICE_MIRROR_TO_DEVICE BIT(1) /* prefetch: into the device's memory */
#define DEVICE_MIRROR_ONLY_DEVICE BIT(2) /* fault: nowhere else will do (the device's atomics) */
#define DEVICE_MIRROR_READ_ONLY BIT(3) /* new entries: without permission to write */

/**
 * struct device_mirror_stats - what a mirror has done, counted since it was made
 * @faults: calls of device_mirror_fault()
 * @faults_failed: those that returned an error
 * @retries: an invalidation came between reading the CPU's page table and mapping
 * @mapped: runs given to map()
 * @mapped_pages: pages in them
 * @invalidations: that found something mapped
 * @shootdowns: shootdowns started
 * @to_device: pages moved into the device's memory
 * @to_system: pages of this mirror's device moved back, by eviction or the CPU. Counted for
 *	the device memory as a whole
 * @evicted: those of @to_system that made room
 */
struct device_mirror_stats {
	u64 faults;
	u64 faults_failed;
	u64 retries;
	u64 mapped;
	u64 mapped_pages;
	u64 invalidations;
	u64 shootdowns;
	u64 to_device;
	u64 to_system;
	u64 evicted;
};

/**
 * struct device_mirror - one address space in one device page table
 * @dev: what does the DMA
 * @mm: the address space; the mirror has a reference to the structure, not to the memory
 * @ops: the driver's
 * @memory: the device's memory; NULL if it has none that memory is to be moved to
 */
struct device_mirror {
	struct device *dev;
	struct mm_struct *mm;
	const struct device_mirror_ops *ops;
	struct device_memory *memory;

	/* private: */
	struct xarray windows;
	struct maple_tree advice;
	bool advice_lost;
	bool dead;
	struct work_struct gc;
	struct {
		atomic64_t faults;
		atomic64_t faults_failed;
		atomic64_t retries;
		atomic64_t mapped;
		atomic64_t mapped_pages;
		atomic64_t invalidations;
		atomic64_t shootdowns;
		atomic64_t to_device;
	} count;
};

int device_mirror_init(struct device_mirror *mirror, struct device *dev, struct mm_struct *mm,
		       const struct device_mirror_ops *ops, struct device_memory *memory);
void device_mirror_kill(struct device_mirror *mirror);
void device_mirror_destroy(struct device_mirror *mirror);

int device_mirror_fault(struct device_mirror *mirror, unsigned long addr, unsigned int flags);
long device_mirror_prefetch(struct device_mirror *mirror, unsigned long start,
			    unsigned long end, unsigned int flags);
int device_mirror_advise(struct device_mirror *mirror, unsigned long start, unsigned long end,
			 enum device_mirror_advice advice);
void device_mirror_get_stats(struct device_mirror *mirror, struct device_mirror_stats *stats);

/* -- the device's own memory ------------------------------------------------------- */

/**
 * struct device_memory_copy - pages to be copied
 * @system: DMA address of the system's side; unused with @clear
 * @offset: in the device's memory, bytes
 * @nr_pages: that follow each other on both sides
 * @clear: no system side: fill with zeroes (never from device to system)
 */
struct device_memory_copy {
	dma_addr_t system;
	u64 offset;
	unsigned int nr_pages;
	bool clear;
};

/**
 * struct device_memory_ops - what the driver does for its memory
 */
struct device_memory_ops {
	/**
	 * @copy: copy, all in one direction (DMA_TO_DEVICE or DMA_FROM_DEVICE), and return
	 * when that is done. Called concurrently, may sleep; also from a CPU's page fault
	 * and from reclaim, so it allocates nothing and takes no lock under which the
	 * driver calls device_mirror_*() or allocates.
	 * Returns 0, or an errno: then nothing has moved. If the memory goes, errors that last
	 * are final: all that was to be copied is lost.
	 */
	int (*copy)(struct device_memory *memory, const struct device_memory_copy *copies,
		    unsigned int nr, enum dma_data_direction direction);

	/**
	 * @peer_map: where @dev, another device, finds 1 << *@order pages from @offset on: an
	 * address for its DMA. May lower *@order. DMA_MAPPING_ERROR: it does not reach them;
	 * the page that it wants goes back to the system's memory then.
	 * NULL (and no @peer_unmap): no other device reaches this memory.
	 * Under a spinlock; concurrently.
	 */
	dma_addr_t (*peer_map)(struct device_memory *memory, struct device *dev, u64 offset,
			       unsigned int *order);

	/**
	 * @peer_unmap: @dev, which uses the address no longer, gives back what @peer_map
	 * returned. Under a spinlock; concurrently.
	 */
	void (*peer_unmap)(struct device_memory *memory, struct device *dev, dma_addr_t address,
			   unsigned int order);
};

/**
 * struct device_memory - memory of a device that pages of processes can move to
 * @dev: the device
 * @ops: the driver's
 * @size: bytes, a multiple of 2 MiB
 * @driver_data: the driver's
 * @timeslice_ms: what has moved to the device stays so long although the CPU wants it, which
 *	waits: so that both do not get in each other's way with every access. 0, as
 *	device_memory_init() leaves it: no time at all. The driver's to set. Eviction does not wait
 */
struct device_memory {
	struct device *dev;
	const struct device_memory_ops *ops;
	u64 size;
	void *driver_data;
	unsigned int timeslice_ms;

	/* private: */
	struct dev_pagemap pgmap;
	spinlock_t lock; /* blocks to dying */
	struct memory_block_state *blocks;
	unsigned int nr_blocks;
	struct list_head lru;
	bool dying;
	struct mutex evict_lock; /* one makes room at a time */
	struct mutex spare_lock; /* spare */
	struct memory_move *spare;
	atomic64_t to_system;
	atomic64_t evicted;
};

#ifdef CONFIG_DEVICE_PRIVATE
int device_memory_init(struct device_memory *memory, struct device *dev, u64 size,
		       const struct device_memory_ops *ops, void *driver_data);
void device_memory_destroy(struct device_memory *memory);
u64 device_memory_used(struct device_memory *memory);
int device_memory_evict_all(struct device_memory *memory);
void device_memory_suspend(struct device_memory *memory);
void device_memory_resume(struct device_memory *memory);
#else
/* No memory of a process can be anywhere but in the system's. */
static inline int device_memory_init(struct device_memory *memory, struct device *dev, u64 size,
				     const struct device_memory_ops *ops, void *driver_data)
{
	return -EOPNOTSUPP;
}

static inline void device_memory_destroy(struct device_memory *memory)
{
}

static inline u64 device_memory_used(struct device_memory *memory)
{
	return 0;
}

static inline int device_memory_evict_all(struct device_memory *memory)
{
	return 0;
}

static inline void device_memory_suspend(struct device_memory *memory)
{
}

static inline void device_memory_resume(struct device_memory *memory)
{
}
#endif

#endif /* LINUX_DEVICE_MIRROR_H */
