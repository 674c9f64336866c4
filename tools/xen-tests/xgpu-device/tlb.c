// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each context's TLB: set-associative, filled by walks, and never looking at memory by
 * itself. An entry stays until a shootdown, or the next one in its place.
 *
 * The search for stale entries stands beside the device: it compares with the table, and
 * counts, and never changes what the device does.
 *
 * What is an error? A driver clears an entry of the table, and then submits its shootdown;
 * in between the device may use the old translation, and so it may until the shootdown is
 * complete. So a stale hit is counted as `stale' at first, and remembered with its TLB entry
 * (or in `evicted', once that has gone); the shootdown of the address, as soon as it is
 * submitted, moves it to `stale_pending'. What remains in `stale' when the driver has submitted
 * all that it is going to, has been missed by it.
 */
#include "xgpu.h"

/* So many walks does a scan take at most. */
#define SCAN_WALKS	8192

static const uint8_t shifts[] = { 12, 16, 21 };

static unsigned int set_of(uint64_t va, unsigned int shift)
{
	return (va >> shift) % XGPU_TLB_SETS;
}

static uint64_t last_of(const struct xgpu_tlb_entry *e)
{
	return e->va + (1ULL << e->shift) - 1;
}

static struct xgpu_tlb_entry *lookup(struct xgpu_ctx *c, uint64_t va)
{
	struct xgpu_tlb_entry *e;
	unsigned int i, way;

	for (i = 0; i < ARRAY_SIZE(shifts); i++) {
		e = c->tlb[set_of(va, shifts[i])];
		for (way = 0; way < XGPU_TLB_WAYS; way++, e++)
			if (e->shift == shifts[i] && e->va >> e->shift == va >> e->shift)
				return e;
	}
	return NULL;
}

/* Drop an entry without a shootdown: what it was guilty of is kept, as far as there is room. */
static void evict(struct xgpu_ctx *c, struct xgpu_tlb_entry *e)
{
	if (e->shift && e->stale && c->nr_evicted < XGPU_EVICTED)
		c->evicted[c->nr_evicted++] = (struct xgpu_evicted){
			.va = e->va,
			.last = last_of(e),
			.stale = e->stale,
		};
	e->shift = 0;
	e->stale = 0;
}

static void insert(struct xgpu_ctx *c, uint64_t va, const struct xgpu_leaf *leaf)
{
	unsigned int set = set_of(va, leaf->shift), way;

	for (way = 0; way < XGPU_TLB_WAYS; way++)
		if (!c->tlb[set][way].shift)
			break;
	if (way == XGPU_TLB_WAYS)
		way = c->tlb_next[set]++ % XGPU_TLB_WAYS;
	evict(c, &c->tlb[set][way]);
	c->tlb[set][way] = (struct xgpu_tlb_entry){
		.va = va >> leaf->shift << leaf->shift,
		.place = leaf->place,
		.shift = leaf->shift,
		.write = leaf->write,
	};
}

/* Does the table not lead from this address to where the entry does, or not let it write? */
static bool differs(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_tlb_entry *e, uint64_t va,
		    struct xgpu_leaf *leaf)
{
	uint64_t by_entry = e->place.addr + (va - e->va), by_table;

	if (xgpu_walk_quietly(s, c, va, leaf) != XGPU_WALK_OK)
		return true;
	by_table = leaf->place.addr + (va & ((1ULL << leaf->shift) - 1));
	return by_table != by_entry || leaf->place.vram != e->place.vram ||
	       (e->write && !leaf->write);
}

static void check_hit(struct xgpu *s, struct xgpu_ctx *c, struct xgpu_tlb_entry *e, uint64_t va)
{
	struct xgpu_leaf leaf;

	if (!differs(s, c, e, va, &leaf))
		return;
	if (xgpu_shoot_pending(s, c, va)) {
		xgpu_count(s, c, stale_pending, 1);
	} else {
		xgpu_count(s, c, stale, 1);
		e->stale++;
	}
}

/**
 * xgpu_translate - translate an address of a context, by its TLB or by a walk
 * @s: the device
 * @c: the context
 * @va: the address
 * @write: it is going to be written
 * @place: where that is
 * @left: bytes from @va to the end of the page
 * @level: where a walk ended that found nothing
 *
 * Return: XGPU_WALK_OK, or why not.
 */
enum xgpu_walk xgpu_translate(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, bool write,
			      struct xgpu_place *place, uint64_t *left, uint8_t *level)
{
	struct xgpu_tlb_entry *e = lookup(c, va);
	struct xgpu_leaf leaf;
	enum xgpu_walk res;

	if (e && (e->write || !write)) {
		xgpu_count(s, c, tlb_hits, 1);
		if (s->stale_check)
			check_hit(s, c, e, va);
		leaf.place = e->place;
		leaf.shift = e->shift;
	} else {
		/* More permission needs no shootdown: the device looks again. */
		if (e)
			evict(c, e);
		xgpu_count(s, c, tlb_misses, 1);
		res = xgpu_walk(s, c, va, &leaf);
		*level = leaf.level;
		if (res != XGPU_WALK_OK)
			return res;
		if (write && !leaf.write)
			return XGPU_WALK_PERMISSION;
		insert(c, va, &leaf);
	}
	*left = (1ULL << leaf.shift) - (va & ((1ULL << leaf.shift) - 1));
	place->addr = leaf.place.addr + (va & ((1ULL << leaf.shift) - 1));
	place->vram = leaf.place.vram;
	return XGPU_WALK_OK;
}

/* A shootdown takes effect: entries that overlap [first, last] go. */
void xgpu_tlb_drop(struct xgpu_ctx *c, uint64_t first, uint64_t last)
{
	struct xgpu_tlb_entry *e;
	unsigned int i;

	for (i = 0; i < XGPU_TLB_SIZE; i++) {
		e = &c->tlb[i / XGPU_TLB_WAYS][i % XGPU_TLB_WAYS];
		if (e->shift && e->va <= last && last_of(e) >= first)
			evict(c, e);
	}
}

/* A shootdown was submitted: stale hits in [first, last] were before it, and are no error. */
void xgpu_tlb_forgive(struct xgpu *s, struct xgpu_ctx *c, uint64_t first, uint64_t last)
{
	struct xgpu_tlb_entry *e;
	uint64_t stale = 0;
	unsigned int i;

	for (i = 0; i < XGPU_TLB_SIZE; i++) {
		e = &c->tlb[i / XGPU_TLB_WAYS][i % XGPU_TLB_WAYS];
		if (e->shift && e->va <= last && last_of(e) >= first) {
			stale += e->stale;
			e->stale = 0;
		}
	}
	for (i = 0; i < c->nr_evicted;) {
		if (c->evicted[i].va <= last && c->evicted[i].last >= first) {
			stale += c->evicted[i].stale;
			c->evicted[i] = c->evicted[--c->nr_evicted];
		} else {
			i++;
		}
	}
	xgpu_count(s, c, stale, -stale);
	xgpu_count(s, c, stale_pending, stale);
}

/* Is any part of the entry stale that is in [first, last]? *walks is what may still be done. */
static bool entry_stale(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_tlb_entry *e,
			uint64_t first, uint64_t last, unsigned int *walks)
{
	uint64_t va = MAX(first, e->va), end = MIN(last, last_of(e));
	struct xgpu_leaf leaf;

	while (va <= end && *walks) {
		(*walks)--;
		if (differs(s, c, e, va, &leaf))
			return true;
		va = ((va >> leaf.shift) + 1) << leaf.shift;
	}
	return false;
}

/* XGPU_SCAN_*: count the entries in a range, and those that the table does not have. */
void xgpu_tlb_scan(struct xgpu *s)
{
	unsigned int walks = SCAN_WALKS, i;
	struct xgpu_tlb_entry *e;
	struct xgpu_ctx *c;

	s->scan_stale = 0;
	s->scan_cached = 0;
	s->scan_status = 0;
	if (s->scan_context >= XGPU_CONTEXTS) {
		xgpu_error(s, NULL, XGPU_ERR_REGISTER, XGPU_SCAN_CONTEXT, 0, s->scan_context);
		return;
	}
	c = &s->ctx[s->scan_context];
	for (i = 0; i < XGPU_TLB_SIZE; i++) {
		e = &c->tlb[i / XGPU_TLB_WAYS][i % XGPU_TLB_WAYS];
		if (!e->shift || e->va > s->scan_last || last_of(e) < s->scan_first)
			continue;
		s->scan_cached++;
		s->scan_stale += entry_stale(s, c, e, s->scan_first, s->scan_last, &walks);
	}
	s->scan_status = !walks;
}
