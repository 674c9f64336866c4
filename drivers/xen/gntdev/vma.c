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
 * PV: Xen writes and clears the PTEs, and the mm must find none where it changes any: pv.c.
 *
 * Fork: VM_DONTCOPY keeps the VMA from the child. MADV_DOFORK takes that flag away;
 * then open() marks the child's VMA to be wiped before any page table is copied, and
 * the child has an empty mapping in which every access is a SIGBUS.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <trace/events/gntdev.h>
#include <xen/page.h>

#include "gntdev.h"

static bool vma_in_user(const struct vm_area_struct *vma,
			const struct gntdev_user *user)
{
	return vma->vm_start >= user->start && vma->vm_end <= gntdev_user_end(user);
}

/* Auto-translated: ordinary PTEs, each with a page reference. */
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

static bool gntdev_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct gntdev_user *user = container_of(notifier, struct gntdev_user,
						notifier);
	unsigned long cleared = 0;

	spin_lock(&user->map->user_lock);
	mmu_interval_set_seq(notifier, cur_seq);
	spin_unlock(&user->map->user_lock);

	if (gntdev_pv())
		cleared = gntdev_pv_remove(user, range->start, range->end);
	trace_gntdev_invalidate(range, cleared);
	return true;
}

static const struct mmu_interval_notifier_ops gntdev_notifier_ops = {
	.invalidate = gntdev_invalidate,
};

/* Is each grant of [first, first + count) claimed by @user, or by nobody if NULL? */
static bool all_claimed_by(struct gntdev_map *map, const struct gntdev_user *user,
			   unsigned int first, unsigned int count)
{
	bool all = true;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count && all; i++) {
		all = map->grants[i].user == user;
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return all;
}

/*
 * What @from has claimed of [first, first + count) is @to's from now on. From NULL, the
 * caller holds the map's lock and knows that nobody has claimed any of them.
 */
static void claim(struct gntdev_map *map, struct gntdev_user *from,
		  struct gntdev_user *to, unsigned int first, unsigned int count)
{
	unsigned int i;
	long n = 0;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count; i++) {
		if (map->grants[i].user == from) {
			map->grants[i].user = to;
			n++;
		}
		gntdev_relax(map, i);
	}
	map->claimed += n * (!!to - !!from);
	spin_unlock(&map->user_lock);
	atomic_long_add(n * (!!to - !!from), &gntdev_stats.user_side);
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
		first = gntdev_user_grant(user, vma->vm_start);
		/* An mmap() that fails after us closes before it zaps. */
		if (gntdev_pv())
			gntdev_pv_remove(user, vma->vm_start, vma->vm_end);
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

	if (!old)
		return 0;
	gntdev_map_get(old->map);
	user = user_alloc(old->map, vma);
	if (IS_ERR(user))
		return PTR_ERR(user);

	claim(user->map, old, user, user->first, user->count);
	vma->vm_private_data = user;
	user_put(old);
	return 0;
}

static int pv_fault(struct gntdev_user *user, struct vm_area_struct *vma,
		    unsigned long addr)
{
	unsigned long start = ALIGN_DOWN(addr, GNTDEV_BATCH_BYTES);
	int err;

	/* One hypercall for the neighbours too: they were most likely lost together. */
	err = gntdev_pv_install(user, vma, max(start, vma->vm_start),
				min(start + GNTDEV_BATCH_BYTES, vma->vm_end));
	/* If Xen would not have all of them, only this one counts. */
	if (err && err != -ENOMEM)
		err = gntdev_pv_install(user, vma, addr, addr + PAGE_SIZE);
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
		vmf->page = user->map->grants[gntdev_user_grant(user, vmf->address)].page;
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

	if (!user || addr < user->start || addr >= gntdev_user_end(user) ||
	    mmap_locked_for_write(vma->vm_mm))
		return NULL;
	return user->map->grants[gntdev_user_grant(user, addr)].page;
}

const struct vm_operations_struct gntdev_vm_ops = {
	.open = gntdev_vma_open,
	.close = gntdev_vma_close,
	.mremap = gntdev_vma_mremap,
	.fault = gntdev_vma_fault,
	.find_special_page = gntdev_vma_find_special_page,
};

static bool all_writable(struct gntdev_map *map, unsigned int first,
			 unsigned int count)
{
	bool all = true;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count && all; i++) {
		all = !(map->grants[i].flags & GRANT_READONLY);
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return all;
}

static int fill_ptes(struct gntdev_user *user, struct vm_area_struct *vma)
{
	if (!gntdev_pv())
		return insert_pages(user, vma);
	if (!(vma->vm_flags & VM_ACCESS_FLAGS))
		return 0;
	return gntdev_pv_install(user, vma, vma->vm_start, vma->vm_end);
}

/* Claim the grants, make sure that the kernel side is there, fill the PTEs. */
static int user_install(struct gntdev_user *user, struct vm_area_struct *vma)
{
	struct gntdev_map *map = user->map;
	int err;

	mutex_lock(&map->lock);
	if (!all_claimed_by(map, NULL, user->first, user->count)) {
		err = -EBUSY;
		goto unlock;
	}

	claim(map, NULL, user, user->first, user->count);
	err = gntdev_map_kernel(map, user->first, user->count, false);
	if (!err && user->writable &&
	    !all_writable(map, user->first, user->count))
		err = -EINVAL;
	if (!err)
		err = fill_ptes(user, vma);
	if (err) {
		if (gntdev_pv())
			gntdev_pv_remove(user, vma->vm_start, vma->vm_end);
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
