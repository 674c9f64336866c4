// SPDX-License-Identifier: GPL-2.0-only
/*
 * A context's page table: four levels in the system's memory.
 *
 * Tables are only added, under ctx->table_lock, before anything is entered into them
 * (device_mirror_ops.prepare()), and stay until the context goes. So map and clear, which
 * are called under a window's lock, find them without a lock of their own: two windows never
 * meet in an entry that changes, as one at level 1 is a chunk's (2 MiB).
 *
 * That entry is either a large page or the chunk's table of small ones. The table stays
 * allocated while there is a large page.
 */
#include <linux/dma-mapping.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "xgpu.h"

#define XGPU_LARGE_ORDER 9 /* 2 MiB */
#define XGPU_MEDIUM_ORDER 4 /* 64 KiB */

struct xgpu_table {
	__le64 *entries;
	dma_addr_t dma;
	struct xgpu_table **children; /* NULL at level 0 */
};

static u64 xgpu_pointer(const struct xgpu_table *table)
{
	return XGPU_PTE_VALID | table->dma;
}

static void xgpu_table_delete(struct xgpu *xgpu, struct xgpu_table *table)
{
	unsigned int i;

	if (!table)
		return;
	for (i = 0; table->children && i < XGPU_PT_ENTRIES; i++)
		xgpu_table_delete(xgpu, table->children[i]);
	if (table->entries)
		dma_free_coherent(xgpu_dev(xgpu), PAGE_SIZE, table->entries, table->dma);
	kfree(table->children);
	kfree(table);
}

static struct xgpu_table *xgpu_table_new(struct xgpu *xgpu, int level)
{
	struct xgpu_table *table = kzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);

	if (!table)
		return NULL;
	table->entries = dma_alloc_coherent(xgpu_dev(xgpu), PAGE_SIZE, &table->dma,
					    GFP_KERNEL_ACCOUNT);
	if (level)
		table->children = kcalloc(XGPU_PT_ENTRIES, sizeof(*table->children),
					  GFP_KERNEL_ACCOUNT);
	if (!table->entries || (level && !table->children)) {
		xgpu_table_delete(xgpu, table);
		return NULL;
	}
	return table;
}

int xgpu_table_init(struct xgpu_ctx *ctx)
{
	ctx->table = xgpu_table_new(ctx->xgpu, XGPU_PT_LEVELS - 1);
	return ctx->table ? 0 : -ENOMEM;
}

/* The device does not walk it any more. */
void xgpu_table_free(struct xgpu_ctx *ctx)
{
	xgpu_table_delete(ctx->xgpu, ctx->table);
	ctx->table = NULL;
}

/* For XGPU_CTX_PT_ROOT */
u64 xgpu_table_root(const struct xgpu_ctx *ctx)
{
	return xgpu_pointer(ctx->table);
}

/* The table of @level that covers @addr; there must be one. */
static struct xgpu_table *xgpu_table_find(const struct xgpu_ctx *ctx, unsigned long addr, int level)
{
	struct xgpu_table *table = ctx->table;
	int l;

	for (l = XGPU_PT_LEVELS - 1; table && l > level; l--)
		/* Pairs with xgpu_table_prepare(): what is in the table is seen, too. */
		table = smp_load_acquire(&table->children[XGPU_PT_INDEX(addr, l)]);
	return table;
}

/**
 * xgpu_table_prepare - make the tables for a chunk
 * @ctx: the context
 * @addr: any address in it
 *
 * Context: may sleep
 * Return: 0, -ENOMEM
 */
int xgpu_table_prepare(struct xgpu_ctx *ctx, unsigned long addr)
{
	struct xgpu_table *table = ctx->table, *child;
	int level, ret = 0;

	if (xgpu_table_find(ctx, addr, 0))
		return 0;
	mutex_lock(&ctx->table_lock);
	for (level = XGPU_PT_LEVELS - 1; level; level--) {
		unsigned int i = XGPU_PT_INDEX(addr, level);

		child = table->children[i];
		if (!child) {
			child = xgpu_table_new(ctx->xgpu, level - 1);
			if (!child) {
				ret = -ENOMEM;
				break;
			}
			WRITE_ONCE(table->entries[i], cpu_to_le64(xgpu_pointer(child)));
			/* Whoever finds the child may write to it. */
			smp_store_release(&table->children[i], child);
		}
		table = child;
	}
	mutex_unlock(&ctx->table_lock);
	return ret;
}

static u64 xgpu_leaf(const struct device_mirror_run *run)
{
	return XGPU_PTE_VALID | run->address | (run->write ? XGPU_PTE_WRITE : 0) |
	       (run->device_memory ? XGPU_PTE_VRAM : 0);
}

/* Small entries, as one of 64 KiB wherever sixteen of them lie so that the device can. */
static void xgpu_map_small(struct xgpu_table *table, const struct device_mirror_run *run)
{
	unsigned int i, first = XGPU_PT_INDEX(run->addr, 0), nr = 1U << run->order;
	u64 leaf = xgpu_leaf(run);

	if (run->order >= XGPU_MEDIUM_ORDER && IS_ALIGNED(run->address, SZ_64K))
		leaf |= XGPU_PTE_64K;
	for (i = 0; i < nr; i++)
		WRITE_ONCE(table->entries[first + i], cpu_to_le64(leaf + i * PAGE_SIZE));
}

/**
 * xgpu_table_map - enter a run
 * @ctx: the context
 * @run: what; xgpu_table_prepare() has been called for its chunk
 *
 * Context: any, under the lock of the mirror's window
 */
void xgpu_table_map(struct xgpu_ctx *ctx, const struct device_mirror_run *run)
{
	struct xgpu_table *small = xgpu_table_find(ctx, run->addr, 0);
	struct xgpu_table *large = xgpu_table_find(ctx, run->addr, 1);
	unsigned int i = XGPU_PT_INDEX(run->addr, 1);

	if (run->order == XGPU_LARGE_ORDER && IS_ALIGNED(run->address, SZ_2M)) {
		WRITE_ONCE(large->entries[i], cpu_to_le64(xgpu_leaf(run) | XGPU_PTE_LEAF));
		return;
	}
	xgpu_map_small(small, run);
	/* The device sees the small entries first. */
	dma_wmb();
	WRITE_ONCE(large->entries[i], cpu_to_le64(xgpu_pointer(small)));
}

static void xgpu_clear_chunk(struct xgpu_ctx *ctx, unsigned long start, unsigned long end)
{
	struct xgpu_table *small = xgpu_table_find(ctx, start, 0);
	struct xgpu_table *large = xgpu_table_find(ctx, start, 1);
	__le64 *entry;
	unsigned long addr;

	if (!small)
		return;
	entry = &large->entries[XGPU_PT_INDEX(start, 1)];
	if (le64_to_cpu(*entry) & XGPU_PTE_LEAF) {
		WRITE_ONCE(*entry, cpu_to_le64(xgpu_pointer(small)));
		return;
	}
	for (addr = start; addr < end; addr += PAGE_SIZE)
		WRITE_ONCE(small->entries[XGPU_PT_INDEX(addr, 0)], 0);
}

/**
 * xgpu_table_clear - entries become invalid
 * @ctx: the context
 * @start: first byte
 * @end: end of the range; whole runs
 *
 * The TLB still has them: that is for a shootdown.
 *
 * Context: any, under the lock of the mirror's window
 */
void xgpu_table_clear(struct xgpu_ctx *ctx, unsigned long start, unsigned long end)
{
	unsigned long addr, last;

	for (addr = start; addr < end; addr = last) {
		last = min(end, ALIGN(addr + 1, SZ_2M));
		xgpu_clear_chunk(ctx, addr, last);
	}
}
