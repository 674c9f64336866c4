/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of device mirrors share: a device that is made of arrays.
 *
 * Its page table has an entry for each page of the test's addresses (see hmm_test.h), and its
 * TLB remembers what it has used, until it is shot down. It works on memory by dma_read()
 * and dma_write() of words, as a GPU would: TLB, table, and if neither has the page, a
 * fault, as often as it takes. A word that an entry leads to after the mirror has taken the
 * page back is a word of a page that is somebody else's by now: so each use of the TLB is
 * checked against what the device was told.
 */
#ifndef _MM_DEVICE_MIRROR_TEST_H
#define _MM_DEVICE_MIRROR_TEST_H

#include <linux/device_mirror.h>
#include <linux/sizes.h>

#include "hmm_test.h"

#define MT_PAGES HT_PAGES
#define MT_MEMORY SZ_4M

struct mt_entry {
	u64 address;
	bool valid;
	bool write;
	bool local;
};

/**
 * struct mt_device - the device
 * @ctx: the address space
 * @label: name of @dev, no other's
 * @dev: for the DMA layer
 * @mirror: of @ctx
 * @mirrored: @mirror is there
 * @table: what the mirror has mapped
 * @tlb: what the device has used and not forgotten
 * @lock: of @tlb; the mirror's lock covers @table
 * @memory: of the device
 * @has_memory: @memory is there
 * @vram: what is in it
 * @copy_error: what copies return
 * @copies: calls, where @in_copy counts them
 * @in_copy: called by each copy first, unless NULL
 * @no_peer: another device that does not reach @memory
 * @peer_runs: that other devices have of @memory at the moment
 * @runs: calls of map()
 * @last: the last one
 * @started: shootdowns that have been started
 * @finished: shootdowns that have been waited for
 * @name: for @log
 * @log: the order in which shootdowns of several devices were started and finished
 * @hold: shootdown_finish() waits for this, if it is not NULL
 * @held: it does
 * @prepare_error: what prepare() returns
 * @hold_prepare: prepare() waits for this, if it is not NULL; @held: it does
 */
struct mt_device {
	struct ht_ctx *ctx;
	char label[24];
	struct device *dev;
	struct device_mirror mirror;
	bool mirrored;
	struct mt_entry *table;
	struct mt_entry *tlb;
	spinlock_t lock; /* tlb */

	struct device_memory memory;
	bool has_memory;
	u8 *vram;
	int copy_error;
	int copies;
	void (*in_copy)(struct mt_device *device, const struct device_memory_copy *copies);

	struct mt_device *no_peer;
	atomic_t peer_runs;

	unsigned int runs;
	struct device_mirror_run last;
	atomic_t started;
	atomic_t finished;
	char name;
	char *log;
	struct completion *hold;
	struct completion held;
	int prepare_error;
	struct completion *hold_prepare;
};

int mt_test_init(struct kunit *test);
struct mt_device *mt_device_new(struct kunit *test, u64 memory);
struct mt_device *mt_device_new_peer(struct kunit *test, u64 memory);
void mt_device_free(struct mt_device *device);
void mt_needs_huge_pages(struct mt_device *device);
void mt_mirror_end(struct mt_device *device);
int mt_read(struct mt_device *device, unsigned long page, u64 *word);
int mt_write(struct mt_device *device, unsigned long page, u64 word);
void mt_expect_read(struct mt_device *device, unsigned long first, unsigned long nr);
void mt_unmap(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
u64 mt_cpu_read(struct ht_ctx *ctx, unsigned long page);
long mt_prefetch(struct mt_device *device, unsigned long first, unsigned long nr,
		 unsigned int flags);
int mt_advise(struct mt_device *device, unsigned long first, unsigned long nr,
	      enum device_mirror_advice advice);
void mt_map_small(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
long mt_move(struct mt_device *device, unsigned long first, unsigned long nr);
void mt_expect_cpu(struct ht_ctx *ctx, unsigned long first, unsigned long nr);

static inline bool mt_has(const struct mt_device *device, unsigned long page)
{
	return device->table[page].valid;
}

static inline bool mt_is_local(const struct mt_device *device, unsigned long page)
{
	return device->table[page].valid && device->table[page].local;
}

#endif /* _MM_DEVICE_MIRROR_TEST_H */
