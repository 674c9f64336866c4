// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables. A walk reads one entry of each level; upper levels are not cached.
 */
#include "xgpu.h"

/* Neither named in xgpu_hw.h nor software's */
#define RESERVED	(~(XGPU_PTE_VALID | XGPU_PTE_WRITE | XGPU_PTE_VRAM | XGPU_PTE_LEAF | \
		    XGPU_PTE_64K | XGPU_PTE_ADDR | XGPU_PTE_SOFTWARE))

static bool read_entry(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_place *p, uint64_t va,
		       bool quietly, uint64_t *entry)
{
	uint64_t e;

	if (!quietly) {
		if (!xgpu_access(s, c, p, va, &e, 8, false))
			return false;
	} else if (p->vram) {
		if (!xgpu_vram_holds(s, p->addr, 8))
			return false;
		memcpy(&e, (uint8_t *)memory_region_get_ram_ptr(&s->vram) + p->addr, 8);
	} else if (!xgpu_dma_quietly(s, p->addr, &e, 8)) {
		return false;
	}
	*entry = le64_to_cpu(e);
	return true;
}

/* Of a valid entry: is it one that the device understands, in this place? */
static bool well_formed(uint64_t e, uint64_t va, unsigned int level)
{
	if (e & RESERVED)
		return false;
	switch (level) {
	case 0:
		/* A page of 64 KiB has 16 entries, each with the address of its own 4 KiB. */
		return !(e & XGPU_PTE_64K) || !((e ^ va) & 0xf000);
	case 1:
		if (e & XGPU_PTE_64K)
			return false;
		return !(e & XGPU_PTE_LEAF) || !(e & 0x1ff000);
	default:
		return !(e & (XGPU_PTE_64K | XGPU_PTE_LEAF));
	}
}

static void fill_leaf(struct xgpu_leaf *leaf, uint64_t e, unsigned int level)
{
	leaf->shift = 12;
	if (level)
		leaf->shift = 21;
	else if (e & XGPU_PTE_64K)
		leaf->shift = 16;
	leaf->place.addr = (e & XGPU_PTE_ADDR) & ~((1ULL << leaf->shift) - 1);
	leaf->place.vram = e & XGPU_PTE_VRAM;
	leaf->write = e & XGPU_PTE_WRITE;
}

static enum xgpu_walk walk(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, bool quietly,
			   struct xgpu_leaf *leaf)
{
	uint64_t e = c->pt_root;
	struct xgpu_place p;
	int level;

	leaf->level = XGPU_PT_LEVELS - 1;
	if (!(e & XGPU_PTE_VALID))
		return XGPU_WALK_MISS;
	for (level = XGPU_PT_LEVELS - 1; level >= 0; level--) {
		leaf->level = level;
		p.addr = (e & XGPU_PTE_ADDR) + XGPU_PT_INDEX(va, level) * 8;
		p.vram = e & XGPU_PTE_VRAM;
		if (!read_entry(s, c, &p, va, quietly, &e))
			return XGPU_WALK_REFUSED;
		if (!(e & XGPU_PTE_VALID))
			return XGPU_WALK_MISS;
		if (!well_formed(e, va, level)) {
			if (!quietly) {
				s->cnt.bad_ptes++;
				xgpu_error(s, c, XGPU_ERR_PTE, p.addr, va, e);
			}
			return XGPU_WALK_MALFORMED;
		}
		if (level == 0 || (e & XGPU_PTE_LEAF)) {
			fill_leaf(leaf, e, level);
			return XGPU_WALK_OK;
		}
	}
	g_assert_not_reached();
}

/**
 * xgpu_walk - what the page table of a context says of an address
 * @s: the device
 * @c: the context
 * @va: the address, of 48 bits
 * @leaf: the page, if there is one
 *
 * Return: XGPU_WALK_PERMISSION is for the caller to find out. What is refused or
 * malformed is in the error log then.
 */
enum xgpu_walk xgpu_walk(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, struct xgpu_leaf *leaf)
{
	xgpu_count(s, c, walks, 1);
	return walk(s, c, va, false, leaf);
}

/* The same for whom it is nobody's error, and nobody's work, whatever is found. */
enum xgpu_walk xgpu_walk_quietly(struct xgpu *s, struct xgpu_ctx *c, uint64_t va,
				 struct xgpu_leaf *leaf)
{
	return walk(s, c, va, true, leaf);
}
