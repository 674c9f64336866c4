// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that a device has lost: it went, with what processes had in its memory.
 *
 * Nothing can take the place of what such a page held, so nothing does. Its entries become
 * markers, as for memory that the hardware has lost (PTE_MARKER_POISONED): to touch one is a
 * SIGBUS, or -EFAULT for a system call; a device mirror's fault is -EFAULT. The kernel knows
 * these markers from userfaultfd and from swap that cannot be read: fork() copies them, mremap()
 * moves them, munmap() and MADV_DONTNEED end them, and what is mapped there next is new memory.
 *
 * When a page gets here, migrate_device_range() has locked it, has a reference to it, and
 * has put migration entries in place of the entries of all processes. Nobody has the page any
 * more, neither CPU nor device: the invalidation was then. So this does once more what
 * migrate_device_finalize() is about to do, a walk of the reverse map from one migration entry to
 * the next, with another end. What holds there holds here:
 *
 *	The page lock keeps out every other migration, and makes those who have met a migration
 *	entry wait. Once it is unlocked they look at the entry again, and find the marker.
 *
 *	The anon_vma cannot go, as memory_evict() has a reference. Under its lock
 *	no VMA joins or leaves, and a fork's child, which comes behind its parent in the walk,
 *	has copied either a migration entry, which is met, or a marker.
 *
 *	The lock of the page table keeps a migration entry what it is. Who unmaps the page
 *	under it takes the entry out and uncounts the page, so it is done once.
 *
 * A migration entry is counted in rss (MM_ANONPAGES), and has neither a reference to the
 * page nor a part in its map count; a marker is not counted anywhere. migrate_device_finalize()
 * then meets no entry of this page, unlocks it, and drops the last reference: the page is free.
 * Somebody else's, of a fault that has just met the old entry, may keep it a little longer.
 */
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/swapops.h>

#include "device_memory.h"

static bool lost_mark(struct folio *folio, struct vm_area_struct *vma, unsigned long addr,
		      void *arg)
{
	DEFINE_FOLIO_VMA_WALK(walk, folio, vma, addr, PVMW_SYNC | PVMW_MIGRATION);
	pte_t marker = make_pte_marker(PTE_MARKER_POISONED);

	while (page_vma_mapped_walk(&walk)) {
		/* No TLB has anything of it: it was not present before. */
		set_pte_at(vma->vm_mm, walk.address, walk.pte, marker);
		dec_mm_counter(vma->vm_mm, mm_counter(folio));
	}
	return true;
}

/*
 * Gives up what the device has failed to copy (move->failed). Returns how many pages that were.
 * Before migrate_device_finalize().
 */
unsigned int memory_lose(struct device_memory *memory, const struct memory_move *move)
{
	struct rmap_walk_control walk = { .rmap_one = lost_mark };
	unsigned int i, lost = 0;

	for_each_set_bit(i, move->failed, MIRROR_CHUNK_PAGES) {
		struct folio *folio = page_folio(migrate_pfn_to_page(move->src[i]));

		VM_WARN_ON_FOLIO(!folio_test_locked(folio) || folio_mapped(folio), folio);
		rmap_walk(folio, &walk);
		lost++;
	}
	if (lost)
		dev_err(memory->dev, "lost %u pages of processes that were in its memory\n", lost);
	return lost;
}
