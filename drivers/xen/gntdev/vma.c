// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user side: mmap(), faults, and what the mm does to the mapping later.
 *
 * Each mmap() makes one gntdev_user with one interval notifier over the whole range,
 * and claims the grants. VMAs that it is split into share the gntdev_user. A claim ends in
 * close(), when the VMA is gone and its PTEs are zapped; only then may the kernel side be
 * given back.
 *
 * User PTEs are a shadow of that claim, not the claim itself: they are filled by mmap()
 * and by faults, may be taken away at any time, and come back by the next fault.
 *
 * Auto-translated: ordinary PTEs to the page, each with a page reference. The mm does
 * with them what it likes.
 *
 * PV: Xen writes and clears the PTEs, and the mm must find none where it changes any: pv.c.
 * A page that its guest has to page in first gets no PTE from mmap(); the first access waits
 * for it, with no lock held.
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

/* 512 bytes of stack. */
#define PAGES_AT_ONCE 64U

/* Pages around a fault that come back with it. */
#define FAULT_AROUND (32 * PAGE_SIZE)

/* How long a fault waits before it asks again whether the guest has a page in memory. */
#define EAGAIN_WAIT_MS 2

static bool vma_in_user(const struct vm_area_struct *vma,
			const struct gntdev_user *user)
{
	return vma->vm_start >= user->start && vma->vm_end <= gntdev_user_end(user);
}

/* Is each page of it where mmap() has put it? */
static bool vma_in_place(const struct vm_area_struct *vma,
			 const struct gntdev_user *user)
{
	return vma_in_user(vma, user) &&
	       gntdev_user_grant(user, vma->vm_start) ==
		       vma->vm_pgoff - user->map->index;
}

/* Auto-translated: ordinary PTEs, each with a page reference. */
static int insert_pages(struct gntdev_user *user, struct vm_area_struct *vma)
{
	struct gntdev_grant *grants = user->map->grants + user->first;
	struct page *pages[PAGES_AT_ONCE] __uninitialized;
	unsigned long left, addr;
	unsigned int i, n = 0;
	int err;

	for (i = 0; i < user->count; i++) {
		if (!(grants[i].flags & GRANT_ABSENT))
			pages[n++] = grants[i].page;
		else if (!n)
			continue;
		/* A run of pages ends with the array, a hole, or the mapping. */
		if (n < PAGES_AT_ONCE && i < user->count - 1 &&
		    !(grants[i + 1].flags & GRANT_ABSENT))
			continue;
		addr = vma->vm_start + ((unsigned long)(i + 1 - n) << PAGE_SHIFT);
		left = n;
		err = vm_insert_pages(vma, addr, pages, &left);
		if (err)
			return err;
		n = 0;
		cond_resched();
	}
	return 0;
}

/*
 * Will the process miss the mapping? Announcements say more than will happen (see pv.c), but
 * never UNMAP for what stays, except for what mremap() moves: gntdev_vma_open() sees to that;
 * and for what the OOM reaper takes from a process that has been killed, but has not ended.
 */
static bool mapping_ends(const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_UNMAP ||
	       range->event == MMU_NOTIFY_RELEASE;
}

static bool gntdev_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct gntdev_user *user = container_of(notifier, struct gntdev_user,
						notifier);
	unsigned int cleared = 0;

	spin_lock(&user->map->user_lock);
	mmu_interval_set_seq(notifier, cur_seq);
	spin_unlock(&user->map->user_lock);

	if (gntdev_pv())
		cleared = gntdev_pv_remove(user, range->start, range->end,
					   !mapping_ends(range));
	trace_gntdev_invalidate(range, cleared);
	return true;
}

static const struct mmu_interval_notifier_ops gntdev_notifier_ops = {
	.invalidate = gntdev_invalidate,
};

/*
 * What nobody has claimed becomes @user's, which covers all of it: all or nothing. The map
 * is locked.
 */
static int claim_all(struct gntdev_map *map, struct gntdev_user *user)
{
	struct gntdev_grant *grants = map->grants + user->first;
	u16 claim = GRANT_CLAIMED | (user->writable ? 0 : GRANT_USER_READONLY);
	unsigned int i;
	u16 flags = 0;

	lockdep_assert_held(&map->lock);
	spin_lock(&map->user_lock);
	for (i = 0; (map->claimed || map->leaked) && i < user->count; i++) {
		flags |= grants[i].flags;
		gntdev_relax(map, i);
	}
	if (flags & (GRANT_CLAIMED | GRANT_LEAKED)) {
		spin_unlock(&map->user_lock);
		return flags & GRANT_CLAIMED ? -EBUSY : -EIO;
	}
	for (i = 0; i < user->count; i++) {
		grants[i].flags |= claim;
		gntdev_relax(map, i);
	}
	bitmap_fill(user->claims, user->count);
	map->claimed += user->count;
	spin_unlock(&map->user_lock);
	atomic_long_add(user->count, &gntdev_stats.user_side);
	return 0;
}

/* What @user has claimed of [first, first + count) is nobody's from now on. */
static void claim_end(struct gntdev_user *user, unsigned int first,
		      unsigned int count)
{
	struct gntdev_map *map = user->map;
	unsigned int i, n = 0;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count; i++) {
		if (__test_and_clear_bit(i - user->first, user->claims)) {
			map->grants[i].flags &= ~(GRANT_CLAIMED | GRANT_USER_READONLY);
			n++;
		}
		gntdev_relax(map, i);
	}
	map->claimed -= n;
	spin_unlock(&map->user_lock);
	atomic_long_sub(n, &gntdev_stats.user_side);
}

/* What @from has claimed of the grants that @to covers is @to's from now on. */
static void claim_hand_over(struct gntdev_user *from, struct gntdev_user *to)
{
	struct gntdev_map *map = to->map;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = to->first; i < to->first + to->count; i++) {
		if (__test_and_clear_bit(i - from->first, from->claims))
			__set_bit(i - to->first, to->claims);
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
}

/* A user side for all of @vma, registered, without a claim. Takes over @map. */
static struct gntdev_user *user_alloc(struct gntdev_map *map,
				      struct vm_area_struct *vma)
{
	struct gntdev_user *user;
	int err = -ENOMEM;

	user = kvzalloc(struct_size(user, claims, BITS_TO_LONGS(vma_pages(vma))),
			GFP_KERNEL_ACCOUNT);
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
	kvfree(user);
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
	kvfree(user);
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
	/* Elsewhere: it is what mremap() is about to move the mapping to. */
	if (gntdev_pv() && !vma_in_place(vma, user))
		gntdev_pv_hold(user, vma->vm_pgoff - user->map->index,
			       vma_pages(vma));
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
			gntdev_pv_remove(user, vma->vm_start, vma->vm_end, false);
		claim_end(user, first, vma_pages(vma));
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

	claim_hand_over(old, user);
	vma->vm_private_data = user;
	user_put(old);
	return 0;
}

static int pv_fault(struct gntdev_user *user, struct vm_area_struct *vma,
		    unsigned long addr)
{
	unsigned long start = ALIGN_DOWN(addr, FAULT_AROUND);
	int err;

	/* One hypercall for the neighbours too: they were most likely lost together. */
	err = gntdev_pv_install(user, vma, max(start, vma->vm_start),
				min(start + FAULT_AROUND, vma->vm_end));
	/* If Xen would not have all of them, only this one counts. */
	if (err && err != -ENOMEM)
		err = gntdev_pv_install(user, vma, addr, addr + PAGE_SIZE);
	return err;
}

/*
 * The guest must page it in first. Nothing is held while it does, and who waits can be killed. A
 * system call that touches the page goes on whatever other signal there is: would that end the
 * wait, it would be back at once, and again.
 */
static vm_fault_t wait_for_guest(struct vm_fault *vmf)
{
	const unsigned int flags = FAULT_FLAG_INTERRUPTIBLE | FAULT_FLAG_USER;
	bool interruptible = (vmf->flags & flags) == flags;

	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	release_fault_lock(vmf);
	if (interruptible)
		schedule_timeout_interruptible(msecs_to_jiffies(EAGAIN_WAIT_MS));
	else
		schedule_timeout_killable(msecs_to_jiffies(EAGAIN_WAIT_MS));
	return VM_FAULT_RETRY;
}

static vm_fault_t gntdev_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct gntdev_user *user = vma->vm_private_data;
	struct gntdev_grant *grant;
	int err;

	/* In a child of fork(); after an mremap() that could not even be undone. */
	if (!user || !vma_in_user(vma, user))
		return VM_FAULT_SIGBUS;

	grant = &user->map->grants[gntdev_user_grant(user, vmf->address)];
	/* What changes meanwhile are the other flags: this one is set before there is an mmap(). */
	if (data_race(grant->flags) & GRANT_ABSENT)
		return VM_FAULT_SIGBUS;

	if (!gntdev_pv()) {
		vmf->page = grant->page;
		get_page(vmf->page);
		return 0;
	}

	/* Xen has no PTE without access; a debugger that insists gets an error. */
	if (!(vma->vm_flags & VM_ACCESS_FLAGS))
		return VM_FAULT_SIGBUS;
	err = pv_fault(user, vma, vmf->address & PAGE_MASK);
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	if (err == -EAGAIN)
		return wait_for_guest(vmf);
	return err ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

#ifdef CONFIG_PER_VMA_LOCK
static bool mmap_locked_for_write(const struct mm_struct *mm)
{
	return raw_read_seqcount(&mm->mm_lock_seq) & 1;
}
#elif !defined(CONFIG_PREEMPT_RT)
static bool mmap_locked_for_write(const struct mm_struct *mm)
{
	return atomic_long_read(&mm->mmap_lock.count) & RWSEM_WRITER_LOCKED;
}
#else
static bool mmap_locked_for_write(const struct mm_struct *mm)
{
	return atomic_read(&mm->mmap_lock.rwbase.readers) == WRITER_BIAS;
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
	return gntdev_pv_page(user, addr);
}

const struct vm_operations_struct gntdev_vm_ops = {
	.open = gntdev_vma_open,
	.close = gntdev_vma_close,
	.mremap = gntdev_vma_mremap,
	.fault = gntdev_vma_fault,
	.find_special_page = gntdev_vma_find_special_page,
};

/* May the process write wherever the kernel's side of it is mapped already? */
static bool all_writable(struct gntdev_map *map, unsigned int first,
			 unsigned int count)
{
	bool all = true;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = first; map->live && i < first + count && all; i++) {
		all = !gntdev_kernel_mapped(&map->grants[i]) ||
		      !(map->grants[i].flags & GRANT_READONLY);
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return all;
}

static int fill_ptes(struct gntdev_user *user, struct vm_area_struct *vma)
{
	int err;

	if (!gntdev_pv())
		return insert_pages(user, vma);
	if (!(vma->vm_flags & VM_ACCESS_FLAGS))
		return 0;
	err = gntdev_pv_install(user, vma, vma->vm_start, vma->vm_end);
	/* What the guest must page in first is left for a fault. */
	return err == -EAGAIN ? 0 : err;
}

/* Claim the grants, make sure that the kernel side is there, fill the PTEs. */
static int user_install(struct gntdev_user *user, struct vm_area_struct *vma)
{
	struct gntdev_map *map = user->map;
	/* In PV, what gets no PTE is held by its kernel side. */
	bool kernel = !gntdev_pv() || !(vma->vm_flags & VM_ACCESS_FLAGS);
	int err;

	mutex_lock(&map->lock);
	err = claim_all(map, user);
	if (err)
		goto unlock;

	if (kernel)
		err = gntdev_map_kernel(map, user->first, user->count, false, NULL);
	if (!err && user->writable &&
	    !all_writable(map, user->first, user->count))
		err = -EINVAL;
	if (!err)
		err = fill_ptes(user, vma);
	if (err) {
		if (gntdev_pv())
			gntdev_pv_remove(user, vma->vm_start, vma->vm_end, false);
		claim_end(user, user->first, user->count);
		if (kernel)
			gntdev_map_undo(map, user->first, user->count);
	}
unlock:
	mutex_unlock(&map->lock);
	return err;
}

/**
 * gntdev_mmap_map() - mmap() of a map, or of a part of it
 * @map: map; the caller's reference goes over to @vma, or is dropped on an error
 * @vma: to be filled; its offset and length lie within @map
 *
 * Installs the user side. Auto-translated, if the kernel side was given back by an earlier
 * munmap(), it is mapped again first, without waiting for the guest.
 *
 * Context: mmap lock held for write.
 * Return: 0; -EINVAL: private and writable, writable over read-only grants, or (PV) a
 *         grant that does not exist or is not granted to us; -EBUSY: part
 *         of it is mmapped already; -EAGAIN (not PV): the guest must page memory in first,
 *         try again; -ENOSPC: Xen is out of handles; -EIO: so badly
 *         wrong that a page had to be leaked; -ENOMEM; -EINTR: killed;
 *         -ERESTARTNOINTR: a signal is pending, the system call begins again.
 */
int gntdev_mmap_map(struct gntdev_map *map, struct vm_area_struct *vma)
{
	struct gntdev_user *user;
	int err;

	/* A private mapping would copy granted pages on write. */
	if ((vma->vm_flags & VM_WRITE) && !(vma->vm_flags & VM_SHARED)) {
		gntdev_map_put(map);
		return -EINVAL;
	}

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

/**
 * gntdev_mmap() - mmap() of what lies at an offset of the file
 * @filp: open file
 * @vma: to be filled; its offset and length lie within one map
 *
 * Context: mmap lock held for write.
 * Return: as gntdev_mmap_map(), and -EINVAL: no such map.
 */
int gntdev_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct gntdev_map *map = gntdev_find_map(filp->private_data, vma->vm_pgoff,
						 vma_pages(vma));

	return map ? gntdev_mmap_map(map, vma) : -EINVAL;
}
