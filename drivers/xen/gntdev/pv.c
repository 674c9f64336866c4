// SPDX-License-Identifier: GPL-2.0-only
/*
 * User PTEs in a PV domain: Xen writes and clears them, by hypercall.
 *
 * The mm must never change such a PTE: what it writes would be refused, what it zaps Xen
 * would take for an implicit unmap and keep the handle for ever. So whatever an
 * invalidation announces (unmap, a change of protection, soft-dirty, the mere possibility of
 * a huge page), when its callback returns Xen has cleared the PTEs in its range, and the mm
 * finds none. Most of these events are no loss of the mapping; e.g. splitting a VMA announces
 * MMU_NOTIFY_CLEAR for the 2 MiB around. The next access faults the pages back in, with the
 * protection that the VMA has then.
 *
 * This makes installation a reader in the sense of mmu_notifier.h:
 *
 *   fault                                   invalidation
 *   seq = mmu_interval_read_begin()
 *   find the PTEs
 *                                           lock user_lock
 *                                             mmu_interval_set_seq()
 *                                           unlock
 *                                           clear PTEs that have a handle
 *   lock user_lock
 *     mmu_interval_read_retry(): true
 *   unlock, start again: waits until the    the mm changes what it wants
 *   invalidation has ended                  range_end
 *
 * Without the retry the fault would put a PTE under the mm's hands. user_lock is held
 * across both hypercalls, so that of two invalidations of one page neither returns before
 * the PTE is clear.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>

#include <trace/events/gntdev.h>
#include <xen/page.h>

#include "gntdev.h"

/* PTEs of up to GNTDEV_BATCH consecutive grants of a user side. */
struct pte_batch {
	struct gntdev_user *user;
	unsigned int n;
	unsigned int grant[GNTDEV_BATCH];
	u64 maddr[GNTDEV_BATCH];
};

/* The first PTE bit that Xen leaves to the guest is the kernel's "special" bit. */
#define USER_PTE_FLAGS (GNTMAP_host_map | GNTMAP_application_map | \
			GNTMAP_contains_pte | (1 << _GNTMAP_guest_avail0))

static int collect_pte(pte_t *pte, unsigned long addr, void *data)
{
	struct pte_batch *batch = data;

	batch->grant[batch->n] = gntdev_user_grant(batch->user, addr);
	batch->maddr[batch->n] = arbitrary_virt_to_machine(pte).maddr;
	batch->n++;
	return 0;
}

static int touch_pte(pte_t *pte, unsigned long addr, void *data)
{
	return 0;
}

/* Write the PTEs of claimed grants that have none. user_lock is held. */
static int install_batch(struct pte_batch *batch, bool writable)
{
	u32 flags = USER_PTE_FLAGS | (writable ? 0 : GNTMAP_readonly);
	struct gnttab_map_grant_ref ops[GNTDEV_BATCH];
	struct gntdev_map *map = batch->user->map;
	struct gntdev_grant *grant;
	unsigned int i, n = 0;
	int err;

	lockdep_assert_held(&map->user_lock);
	for (i = 0; i < batch->n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (grant->user != batch->user ||
		    grant->uhandle != INVALID_GRANT_HANDLE)
			continue;
		gnttab_set_map_op(&ops[n], batch->maddr[i], flags, grant->ref,
				  grant->domid);
		batch->grant[n++] = batch->grant[i];
	}
	if (!n)
		return 0;

	err = gntdev_hv_map(ops, NULL, n);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (ops[i].status == GNTST_okay)
			grant->uhandle = ops[i].handle;
		else if (!err)
			err = gntdev_errno(ops[i].status);
	}
	return err;
}

/**
 * gntdev_pv_install() - Have Xen write the user PTEs of a range
 * @user: user side
 * @vma: VMA of @user, says whether the PTEs shall be writable
 * @start: first address, in @vma
 * @end: end of the range, exclusive
 *
 * PTEs that are there already are left alone. On an error some of them may have been
 * written.
 *
 * Context: sleeps; mmap lock held. Waits for invalidations of the range to end.
 * Return: 0; -ENOMEM for page tables; what gntdev_errno() makes of Xen's answer.
 */
int gntdev_pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end)
{
	spinlock_t *user_lock = &user->map->user_lock;
	struct pte_batch batch = { .user = user };
	unsigned long addr, len, seq;
	bool again;
	int err;

	for (addr = start; addr < end; addr += again ? 0 : len) {
		len = min(end - addr, GNTDEV_BATCH_BYTES);
		seq = mmu_interval_read_begin(&user->notifier);
		batch.n = 0;
		err = apply_to_page_range(vma->vm_mm, addr, len, collect_pte,
					  &batch);
		if (err)
			return err;

		spin_lock(user_lock);
		again = mmu_interval_read_retry(&user->notifier, seq);
		if (!again)
			err = install_batch(&batch, vma->vm_flags & VM_WRITE);
		spin_unlock(user_lock);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* Xen and this driver disagree about a user PTE: its page must not be used again. */
static void user_pte_leaked(struct gntdev_grant *grant,
			    const struct gnttab_unmap_grant_ref *op, int err)
{
	trace_gntdev_error(GNTDEV_UNMAP_USER, grant->domid, grant->ref, op->handle,
			   op->status, err);
	pr_err_ratelimited("d%u ref %u: user handle %u not unmapped: status %d, error %d; page leaked\n",
			   grant->domid, grant->ref, op->handle, op->status, err);
	grant->flags |= GRANT_LEAKED;
	atomic_long_inc(&gntdev_stats.leaked);
}

static unsigned int remove_batch(struct pte_batch *batch)
{
	struct gnttab_unmap_grant_ref ops[GNTDEV_BATCH];
	struct gntdev_map *map = batch->user->map;
	struct gntdev_grant *grant;
	unsigned int i, n = 0;
	bool traced = trace_gntdev_unmap_enabled();
	int err = 0;

	spin_lock(&map->user_lock);
	for (i = 0; i < batch->n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (grant->user != batch->user ||
		    grant->uhandle == INVALID_GRANT_HANDLE)
			continue;
		gnttab_set_unmap_op(&ops[n], batch->maddr[i], USER_PTE_FLAGS,
				    grant->uhandle);
		grant->uhandle = INVALID_GRANT_HANDLE;
		batch->grant[n++] = batch->grant[i];
	}
	if (n)
		err = gntdev_unmap_retried(ops, NULL, n);
	for (i = 0; i < n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (traced)
			trace_gntdev_unmap(GNTDEV_UNMAP_USER, grant->domid,
					   grant->ref, ops[i].handle,
					   ops[i].status);
		if (ops[i].status != GNTST_okay)
			user_pte_leaked(grant, &ops[i], err);
	}
	spin_unlock(&map->user_lock);
	return n;
}

static bool has_user_pte(const struct gntdev_user *user, unsigned int i)
{
	struct gntdev_grant *grant = &user->map->grants[i];

	return grant->user == user && grant->uhandle != INVALID_GRANT_HANDLE;
}

/*
 * The next run of pages in [start, end) that have a PTE of ours, one batch at the most:
 * stores where it starts and returns its length in bytes, 0 if there is none. Only there
 * may the page table be looked at: after a munmap() of a part, the addresses between may
 * belong to another mapping, whose page tables can go away under us.
 */
static unsigned long next_run(struct gntdev_user *user, unsigned long *start,
			      unsigned long end)
{
	struct gntdev_map *map = user->map;
	unsigned long addr, len = 0;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (addr = *start; addr < end && len < GNTDEV_BATCH_BYTES; addr += PAGE_SIZE) {
		i = gntdev_user_grant(user, addr);
		if (has_user_pte(user, i)) {
			if (!len)
				*start = addr;
			len += PAGE_SIZE;
		} else if (len) {
			break;
		}
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return len;
}

/**
 * gntdev_pv_remove() - Have Xen clear the user PTEs of a range
 * @user: user side
 * @start: first address; the range may reach beyond @user
 * @end: end of the range, exclusive
 *
 * When this returns there are no PTEs in the range, and nobody who saw one can still get
 * a reference on its page.
 *
 * Context: does not sleep.
 * Return: how many there were.
 */
unsigned long gntdev_pv_remove(struct gntdev_user *user, unsigned long start,
			       unsigned long end)
{
	struct mm_struct *mm = user->notifier.mm;
	struct pte_batch batch = { .user = user };
	unsigned long len, cleared = 0;

	start = max(start, user->start);
	end = min(end, gntdev_user_end(user));
	for (; (len = next_run(user, &start, end)); start += len) {
		batch.n = 0;
		apply_to_existing_page_range(mm, start, len, collect_pte, &batch);
		cleared += remove_batch(&batch);
		/*
		 * Take the page table lock once more: a GUP that saw one of these
		 * PTEs has its page reference when this returns.
		 */
		apply_to_existing_page_range(mm, start, len, touch_pte, NULL);
	}
	return cleared;
}
