// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user side: mmap(), faults, and what the mm does to the mapping later.
 *
 * Each mmap() makes one gntdev_user with one interval notifier over the whole range,
 * and claims the grants: grant.user says whose they are. VMAs that it is split into
 * share the gntdev_user. A claim ends in close(), when the VMA is gone and its PTEs are
 * zapped; only then may the kernel side be given back.
 *
 * User PTEs are a shadow of that claim, not the claim itself: they are filled by mmap()
 * and by faults, may be taken away at any time, and come back by the next fault.
 *
 * Auto-translated: ordinary PTEs to the page, each with a page reference. The mm does
 * with them what it likes.
 *
 * PV: Xen writes and clears the PTEs, by hypercall. The mm must never change one: what it
 * writes would be refused, what it zaps Xen would take for an implicit unmap and keep the
 * handle for ever. So whatever an invalidation announces (unmap, a change of protection,
 * soft-dirty, the mere possibility of a huge page), when its callback returns Xen has
 * cleared the PTEs in its range, and the mm finds none. Most of these events are no loss
 * of the mapping; e.g. splitting a VMA announces MMU_NOTIFY_CLEAR for the 2 MiB around.
 * The next access faults the pages back in, with the protection that the VMA has then.
 *
 * This makes the PV fault path a reader in the sense of mmu_notifier.h:
 *
 *   fault                                   invalidation
 *   seq = mmu_interval_read_begin()
 *   find the PTEs
 *                                           lock user_lock
 *                                             mmu_interval_set_seq()
 *                                             clear PTEs that have a handle
 *                                           unlock
 *   lock user_lock
 *     mmu_interval_read_retry(): true
 *   unlock, start again: waits until the    the mm changes what it wants
 *   invalidation has ended                  range_end
 *
 * Without the retry the fault would put a PTE under the mm's hands. user_lock is held
 * across both hypercalls, so that of two invalidations of one page neither returns before
 * the PTE is clear.
 *
 * Fork: VM_DONTCOPY keeps the VMA from the child. MADV_DOFORK takes that flag away;
 * then open() marks the child's VMA to be wiped before any page table is copied, and
 * the child has an empty mapping in which every access is a SIGBUS.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <asm/xen/hypercall.h>
#include <xen/page.h>

#include "gntdev.h"

#define BATCH_BYTES ((unsigned long)GNTDEV_BATCH << PAGE_SHIFT)

/* Addresses looked at before user_lock is let go, so that nobody spins for long. */
#define SCAN_BYTES (1024UL << PAGE_SHIFT)

static unsigned long user_end(const struct gntdev_user *user)
{
	return user->start + ((unsigned long)user->count << PAGE_SHIFT);
}

static unsigned int user_grant(const struct gntdev_user *user,
			       unsigned long addr)
{
	return user->first + ((addr - user->start) >> PAGE_SHIFT);
}

static bool vma_in_user(const struct vm_area_struct *vma,
			const struct gntdev_user *user)
{
	return vma->vm_start >= user->start && vma->vm_end <= user_end(user);
}

/* ---- PV: user PTEs by hypercall ---- */

#ifdef CONFIG_XEN_PV

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

	batch->grant[batch->n] = user_grant(batch->user, addr);
	batch->maddr[batch->n] = arbitrary_virt_to_machine(pte).maddr;
	batch->n++;
	return 0;
}

static int touch_pte(pte_t *pte, unsigned long addr, void *data)
{
	return 0;
}

/* Write the PTEs of claimed grants that have none. user_lock is held. */
static int pv_install_batch(struct pte_batch *batch, bool writable)
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

	err = HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, ops, n);
	for (i = 0; i < n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (ops[i].status == GNTST_okay)
			grant->uhandle = ops[i].handle;
		else if (!err)
			err = gntdev_errno(ops[i].status);
	}
	return err;
}

/* Write the user PTEs of [start, end), part of @vma. */
static int pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end)
{
	spinlock_t *user_lock = &user->map->user_lock;
	struct pte_batch batch = { .user = user };
	unsigned long addr, len, seq;
	bool again;
	int err;

	for (addr = start; addr < end; addr += again ? 0 : len) {
		len = min(end - addr, BATCH_BYTES);
		seq = mmu_interval_read_begin(&user->notifier);
		batch.n = 0;
		err = apply_to_page_range(vma->vm_mm, addr, len, collect_pte,
					  &batch);
		if (err)
			return err;

		spin_lock(user_lock);
		again = mmu_interval_read_retry(&user->notifier, seq);
		if (!again)
			err = pv_install_batch(&batch, vma->vm_flags & VM_WRITE);
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
	pr_err_ratelimited("d%u ref %u: user handle %u not unmapped: status %d, error %d; page leaked\n",
			   grant->domid, grant->ref, op->handle, op->status, err);
	grant->flags |= GRANT_LEAKED;
	atomic_long_inc(&gntdev_stats.leaked);
}

static void pv_remove_batch(struct pte_batch *batch)
{
	struct gnttab_unmap_grant_ref ops[GNTDEV_BATCH];
	struct gntdev_map *map = batch->user->map;
	struct gntdev_grant *grant;
	unsigned int i, n = 0;
	int err = 0;

	spin_lock(&map->user_lock);
	for (i = 0; i < batch->n; i++) {
		grant = &map->grants[batch->grant[i]];
		if (grant->user != batch->user ||
		    grant->uhandle == INVALID_GRANT_HANDLE)
			continue;
		gnttab_set_unmap_op(&ops[n], batch->maddr[i], USER_PTE_FLAGS,
				    grant->uhandle);
		ops[n].status = GNTST_general_error;
		grant->uhandle = INVALID_GRANT_HANDLE;
		batch->grant[n++] = batch->grant[i];
	}
	if (n)
		err = HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, ops, n);
	for (i = 0; i < n; i++)
		if (ops[i].status != GNTST_okay)
			user_pte_leaked(&map->grants[batch->grant[i]], &ops[i],
					err);
	spin_unlock(&map->user_lock);
}

static bool has_user_pte(const struct gntdev_user *user, unsigned long addr)
{
	struct gntdev_grant *grant = &user->map->grants[user_grant(user, addr)];

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
	spinlock_t *user_lock = &user->map->user_lock;
	unsigned long addr, len = 0;

	spin_lock(user_lock);
	for (addr = *start; addr < end && len < BATCH_BYTES; addr += PAGE_SIZE) {
		if (has_user_pte(user, addr)) {
			if (!len)
				*start = addr;
			len += PAGE_SIZE;
		} else if (len) {
			break;
		} else if (!(addr & (SCAN_BYTES - PAGE_SIZE))) {
			spin_unlock(user_lock);
			spin_lock(user_lock);
		}
	}
	spin_unlock(user_lock);
	return len;
}

/* Have Xen clear the user PTEs of [start, end). Does not sleep. */
static void pv_remove(struct gntdev_user *user, unsigned long start,
		      unsigned long end)
{
	struct mm_struct *mm = user->notifier.mm;
	struct pte_batch batch = { .user = user };
	unsigned long len;

	start = max(start, user->start);
	end = min(end, user_end(user));
	for (; (len = next_run(user, &start, end)); start += len) {
		batch.n = 0;
		apply_to_existing_page_range(mm, start, len, collect_pte, &batch);
		pv_remove_batch(&batch);
		/*
		 * Take the page table lock once more: a GUP that saw one of these
		 * PTEs has its page reference when this returns.
		 */
		apply_to_existing_page_range(mm, start, len, touch_pte, NULL);
	}
}

#else /* !CONFIG_XEN_PV: never called, gntdev_pv() is false */

static int pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end)
{
	return -ENODEV;
}

static void pv_remove(struct gntdev_user *user, unsigned long start,
		      unsigned long end)
{
}

#endif /* CONFIG_XEN_PV */

/* ---- Auto-translated: ordinary PTEs ---- */

static int insert_pages(struct gntdev_user *user, struct vm_area_struct *vma)
{
	struct page *pages[GNTDEV_BATCH];
	unsigned long left, addr = vma->vm_start;
	unsigned int i, j, n;
	int err;

	for (i = 0; i < user->count; i += n) {
		n = min(user->count - i, GNTDEV_BATCH);
		for (j = 0; j < n; j++)
			pages[j] = user->map->grants[user->first + i + j].page;
		left = n;
		err = vm_insert_pages(vma, addr, pages, &left);
		if (err)
			return err;
		addr += (unsigned long)n << PAGE_SHIFT;
		cond_resched();
	}
	return 0;
}

/* ---- Both kinds ---- */

static bool gntdev_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct gntdev_user *user = container_of(notifier, struct gntdev_user,
						notifier);

	spin_lock(&user->map->user_lock);
	mmu_interval_set_seq(notifier, cur_seq);
	spin_unlock(&user->map->user_lock);

	if (gntdev_pv())
		pv_remove(user, range->start, range->end);
	return true;
}

static const struct mmu_interval_notifier_ops gntdev_notifier_ops = {
	.invalidate = gntdev_invalidate,
};

/*
 * Claim the grants of @user, which nobody else has claimed but @from, or end the claim
 * of @from on [first, first + count) with @user NULL.
 */
static int claim(struct gntdev_map *map, struct gntdev_user *from,
		 struct gntdev_user *user, unsigned int first,
		 unsigned int count)
{
	unsigned int i, end = first + count;
	int err = 0;

	spin_lock(&map->user_lock);
	for (i = first; user && i < end && !err; i++)
		if (map->grants[i].user != from)
			err = -EBUSY;
	for (i = first; i < end && !err; i++) {
		if (map->grants[i].user != from)
			continue;
		map->grants[i].user = user;
		atomic_long_add(!!user - !!from, &gntdev_stats.user_side);
	}
	spin_unlock(&map->user_lock);
	return err;
}

/* A user side for all of @vma, registered, without a claim. Takes over @map. */
static struct gntdev_user *user_alloc(struct gntdev_map *map,
				      struct vm_area_struct *vma)
{
	struct gntdev_user *user;
	int err = -ENOMEM;

	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (!user)
		goto put_map;
	user->map = map;
	refcount_set(&user->vmas, 1);
	user->start = vma->vm_start;
	user->first = vma->vm_pgoff - map->index;
	user->count = vma_pages(vma);
	user->writable = vma->vm_flags & VM_MAYWRITE;

	err = mmu_interval_notifier_insert_locked(&user->notifier, vma->vm_mm,
						  vma->vm_start,
						  vma->vm_end - vma->vm_start,
						  &gntdev_notifier_ops);
	/* The first one in an mm minds signals; handle it, and begin again. */
	if (err == -EINTR)
		err = -ERESTARTNOINTR;
	if (err)
		goto free_user;
	return user;

free_user:
	kfree(user);
put_map:
	gntdev_map_put(map);
	return ERR_PTR(err);
}

static void user_put(struct gntdev_user *user)
{
	if (!refcount_dec_and_test(&user->vmas))
		return;
	mmu_interval_notifier_remove(&user->notifier);
	gntdev_map_put(user->map);
	kfree(user);
}

static void gntdev_vma_open(struct vm_area_struct *vma)
{
	struct gntdev_user *user = vma->vm_private_data;

	if (!user)
		return;
	if (vma->vm_mm != user->notifier.mm) {
		/* A fork's child inherits nothing. */
		vm_flags_set(vma, VM_WIPEONFORK);
		vma->vm_private_data = NULL;
		return;
	}
	refcount_inc(&user->vmas);
}

static void gntdev_vma_close(struct vm_area_struct *vma)
{
	struct gntdev_user *user = vma->vm_private_data;
	unsigned int first;

	if (!user)
		return;
	vma->vm_private_data = NULL;

	/* Otherwise it is the target of an mremap that failed half way. */
	if (vma_in_user(vma, user)) {
		first = user_grant(user, vma->vm_start);
		/* An mmap() that fails after us closes before it zaps. */
		if (gntdev_pv())
			pv_remove(user, vma->vm_start, vma->vm_end);
		claim(user->map, user, NULL, first, vma_pages(vma));
		gntdev_map_release(user->map, first, vma_pages(vma));
	}
	user_put(user);
}

/*
 * The mm is moving the mapping, or a part of it, to @vma, which shares the old user side
 * so far. Hand the claim over to a new one. If that fails the mm moves everything back.
 * In PV there are no PTEs to move, faults fill them in at the new place.
 */
static int gntdev_vma_mremap(struct vm_area_struct *vma)
{
	struct gntdev_user *user, *old = vma->vm_private_data;
	int err;

	if (!old)
		return 0;
	gntdev_map_get(old->map);
	user = user_alloc(old->map, vma);
	if (IS_ERR(user))
		return PTR_ERR(user);

	err = claim(user->map, old, user, user->first, user->count);
	if (err) {
		user_put(user);
		return err;
	}
	vma->vm_private_data = user;
	user_put(old);
	return 0;
}

static int pv_fault(struct gntdev_user *user, struct vm_area_struct *vma,
		    unsigned long addr)
{
	unsigned long start = ALIGN_DOWN(addr, BATCH_BYTES);
	int err;

	/* One hypercall for the neighbours too: they were most likely lost together. */
	err = pv_install(user, vma, max(start, vma->vm_start),
			 min(start + BATCH_BYTES, vma->vm_end));
	/* If Xen would not have all of them, only this one counts. */
	if (err && err != -ENOMEM)
		err = pv_install(user, vma, addr, addr + PAGE_SIZE);
	return err;
}

static vm_fault_t gntdev_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct gntdev_user *user = vma->vm_private_data;
	int err;

	/* In a child of fork(); after an mremap() that could not even be undone. */
	if (!user || !vma_in_user(vma, user))
		return VM_FAULT_SIGBUS;

	if (!gntdev_pv()) {
		vmf->page = user->map->grants[user_grant(user, vmf->address)].page;
		get_page(vmf->page);
		return 0;
	}

	/* Xen has no PTE without access; a debugger that insists gets an error. */
	if (!(vma->vm_flags & VM_ACCESS_FLAGS))
		return VM_FAULT_SIGBUS;
	err = pv_fault(user, vma, vmf->address & PAGE_MASK);
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	return err ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

#ifdef CONFIG_PER_VMA_LOCK
static bool mmap_locked_for_write(const struct mm_struct *mm)
{
	return raw_read_seqcount(&mm->mm_lock_seq) & 1;
}
#else
static bool mmap_locked_for_write(const struct mm_struct *mm)
{
	return false;
}
#endif

/*
 * Called under the page table lock, for a special PTE: one that Xen wrote.
 *
 * Those who want the page (GUP, HMM) hold the mmap lock for reading. Who asks while it is
 * held for writing wants to change the PTE: writing 1 to /proc/PID/clear_refs clears the
 * accessed bits of all normal pages, without any notification, and Xen answers an attempt
 * to do so in a granted PTE with a fault that the kernel does not survive. To them, this
 * is no normal page.
 */
static struct page *gntdev_vma_find_special_page(struct vm_area_struct *vma,
						 unsigned long addr)
{
	struct gntdev_user *user = vma->vm_private_data;

	if (!user || addr < user->start || addr >= user_end(user) ||
	    mmap_locked_for_write(vma->vm_mm))
		return NULL;
	return user->map->grants[user_grant(user, addr)].page;
}

const struct vm_operations_struct gntdev_vm_ops = {
	.open = gntdev_vma_open,
	.close = gntdev_vma_close,
	.mremap = gntdev_vma_mremap,
	.fault = gntdev_vma_fault,
	.find_special_page = gntdev_vma_find_special_page,
};

static bool all_writable(const struct gntdev_map *map, unsigned int first,
			 unsigned int count)
{
	unsigned int i;

	for (i = first; i < first + count; i++)
		if (map->grants[i].flags & GRANT_READONLY)
			return false;
	return true;
}

static int fill_ptes(struct gntdev_user *user, struct vm_area_struct *vma)
{
	if (!gntdev_pv())
		return insert_pages(user, vma);
	if (!(vma->vm_flags & VM_ACCESS_FLAGS))
		return 0;
	return pv_install(user, vma, vma->vm_start, vma->vm_end);
}

/* Claim the grants, make sure that the kernel side is there, fill the PTEs. */
static int user_install(struct gntdev_user *user, struct vm_area_struct *vma)
{
	struct gntdev_map *map = user->map;
	int err;

	mutex_lock(&map->lock);
	err = claim(map, NULL, user, user->first, user->count);
	if (err)
		goto unlock;

	err = gntdev_map_kernel(map, user->first, user->count, false);
	if (!err && user->writable &&
	    !all_writable(map, user->first, user->count))
		err = -EINVAL;
	if (!err)
		err = fill_ptes(user, vma);
	if (err) {
		if (gntdev_pv())
			pv_remove(user, vma->vm_start, vma->vm_end);
		claim(map, user, NULL, user->first, user->count);
		gntdev_map_undo(map, user->first, user->count);
	}
unlock:
	mutex_unlock(&map->lock);
	return err;
}

/**
 * gntdev_mmap() - mmap() of a map, or of a part of it
 * @filp: open file
 * @vma: to be filled; its offset and length lie within one map
 *
 * Installs the user side. If the kernel side was given back by an earlier munmap(), it
 * is mapped again first, without waiting for the guest.
 *
 * Context: mmap lock held for write.
 * Return: 0; -EINVAL: no such map, private and writable, or writable over read-only
 *         grants; -EBUSY: part of it is mmapped already; -EAGAIN: the guest must page
 *         memory in first, try again; -ENOSPC: Xen is out of handles; -EIO: so badly
 *         wrong that a page had to be leaked; -ENOMEM; -EINTR: killed;
 *         -ERESTARTNOINTR: a signal is pending, the system call begins again.
 */
int gntdev_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct gntdev_user *user;
	struct gntdev_map *map;
	int err;

	/* A private mapping would copy granted pages on write. */
	if ((vma->vm_flags & VM_WRITE) && !(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	map = gntdev_find_map(filp->private_data, vma->vm_pgoff, vma_pages(vma));
	if (!map)
		return -EINVAL;

	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY | VM_MIXEDMAP);
	/* What was asked for read-only, of grants or privately, stays so. */
	if (!(vma->vm_flags & VM_WRITE))
		vm_flags_clear(vma, VM_MAYWRITE);

	user = user_alloc(map, vma);
	if (IS_ERR(user))
		return PTR_ERR(user);
	err = user_install(user, vma);
	if (err) {
		user_put(user);
		return err;
	}
	vma->vm_private_data = user;
	vma->vm_ops = &gntdev_vm_ops;
	return 0;
}
