// SPDX-License-Identifier: GPL-2.0-only
/*
 * User PTEs in a PV domain: Xen writes and clears them, by hypercall. And the kernel side
 * of their grants, which is made only when somebody wants the page.
 *
 * The PTEs
 * ========
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
 *                                           lock user_lock
 *                                             mmu_interval_set_seq()
 *                                           unlock
 *                                           clear PTEs that have a handle
 *   lock page table, user_lock
 *     mmu_interval_read_retry(): true
 *   unlock, start again: waits until the    the mm changes what it wants
 *   invalidation has ended                  range_end
 *
 * Without the retry the fault would put a PTE under the mm's hands. Both hypercalls are made
 * with the page table and user_lock held, one for what a page table has of a range: of two
 * invalidations of one page neither returns before the PTE is clear, and whoever sees a PTE
 * under the page table lock sees the handle that belongs to it.
 *
 * With its PTE gone, the grant would not be in use any more, and its owner might end it under
 * a process that has only called mprotect(). So unless the mapping is really lost (munmap,
 * exit), the kernel side is made first, and holds on to the grant until the mapping ends.
 *
 * The kernel side
 * ===============
 *
 * A backend that reads and writes granted memory itself never needs a struct page. Those who
 * do (direct I/O, vmsplice, HMM) find the PTE, are told by its special bit to ask
 * find_special_page(), and there, under the page table lock, the frame is mapped for the
 * kernel, too. That cannot wait for the guest, nor fail for any reason of the guest's: the
 * user PTE has the frame pinned, with the rights that are asked for. It fails when Xen is
 * out of handles or memory: then the page is no page, and the system call returns EFAULT or
 * EEXIST.
 *
 *   GUP                                     munmap() of the page
 *   lock page table                         lock page table: waits
 *     sees the PTE
 *     find_special_page(): kernel side
 *     takes a page reference
 *   unlock
 *                                             clears the PTE
 *                                           unlock
 *                                           close(): the claim ends
 *                                           page_count() > 1: not given back yet
 *
 * The kernel may write where the process may. So with a writable user side there is either a
 * writable kernel side or none.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/slab.h>

#include <trace/events/gntdev.h>
#include <xen/page.h>

#include "gntdev.h"

/* The first PTE bit that Xen leaves to the guest is the kernel's "special" bit. */
#define USER_PTE_FLAGS (GNTMAP_host_map | GNTMAP_application_map | \
			GNTMAP_contains_pte | (1 << _GNTMAP_guest_avail0))

/*
 * What is done to the PTEs of a user side in one page table: @count of them from @addr on.
 * @ops has room for @size operations.
 */
struct pv_run {
	struct gntdev_user *user;
	unsigned long addr;
	unsigned int count;
	unsigned int size;
	union {
		struct gnttab_map_grant_ref *map;
		struct gnttab_unmap_grant_ref *unmap;
		void *mem;
	} ops;
	void *allocated;
	/*
	 * removal alone; @domid: of the first grant that @ops are about, @mixed: not of all;
	 * @met: the page table had a PTE at @addr, so that those from there on were looked at
	 */
	bool hold;
	bool mixed;
	bool met;
	domid_t domid;
	unsigned int cleared;
	/* installation alone */
	unsigned long seq;
	bool writable;
	bool again;
	int err;
};

/* Room for the operations of up to @count PTEs: @few, on the stack, or more. */
static void run_init(struct pv_run *run, unsigned long count, void *few,
		     size_t op_size, gfp_t gfp)
{
	run->size = min_t(unsigned long, count, GNTDEV_BATCH);
	run->allocated = NULL;
	if (run->size > GNTDEV_FEW)
		run->allocated = kmalloc_array(run->size, op_size, gfp);
	if (!run->allocated)
		run->size = GNTDEV_FEW;
	run->ops.mem = run->allocated ?: few;
}

static void run_exit(struct pv_run *run)
{
	kfree(run->allocated);
}

/* The grant whose PTE an operation is about: PTEs of one table, @base the first of them. */
static struct gntdev_grant *grant_of(const struct pv_run *run, u64 host_addr,
				     u64 base)
{
	unsigned int first = gntdev_user_grant(run->user, run->addr);

	return &run->user->map->grants[first + (host_addr - base) / sizeof(pte_t)];
}

/* Have Xen write the first @n PTEs of @run. */
static void install_ops(struct pv_run *run, unsigned int n, u64 base)
{
	struct gnttab_map_grant_ref *ops = run->ops.map;
	struct gntdev_grant *grants = grant_of(run, base, base);
	unsigned int i, done = 0;
	int ret, err;

	/* What Xen did not get at has a positive status. */
	ret = gntdev_hv_map(run->user->map->file, ops, NULL, n) ?: -EIO;
	for (i = 0; i < n; i++) {
		if (ops[i].status == GNTST_okay) {
			grants[(ops[i].host_addr - base) / sizeof(pte_t)].uhandle =
				ops[i].handle;
			done++;
			continue;
		}
		err = ops[i].status > 0 ? ret : gntdev_errno(ops[i].status);
		/* -EAGAIN goes away by itself: any other counts for more. */
		if (!run->err || run->err == -EAGAIN)
			run->err = err;
	}
	WRITE_ONCE(run->user->ptes, run->user->ptes + done);
	atomic_long_add(done, &gntdev_stats.user_ptes);
}

/* Write the PTEs of claimed grants that have none, from @pte on. */
static int install_table(pte_t *pte, unsigned long addr, void *data)
{
	struct pv_run *run = data;
	struct gntdev_user *user = run->user;
	struct gntdev_map *map = user->map;
	u32 flags = USER_PTE_FLAGS | (run->writable ? 0 : GNTMAP_readonly);
	u64 base = arbitrary_virt_to_machine(pte).maddr;
	unsigned int first = gntdev_user_grant(user, addr);
	unsigned int i, n = 0;

	spin_lock(&map->user_lock);
	run->again = mmu_interval_read_retry(&user->notifier, run->seq);
	if (user->start >> PMD_SHIFT == (gntdev_user_end(user) - 1) >> PMD_SHIFT)
		user->pte_base = base - (first - user->first) * sizeof(pte_t);
	for (i = 0; i < run->count && !run->again; i++) {
		struct gntdev_grant *grant = &map->grants[first + i];

		if (gntdev_claimed_by(user, first + i) &&
		    grant->uhandle == INVALID_GRANT_HANDLE &&
		    !(grant->flags & GRANT_ABSENT))
			gnttab_set_map_op(&run->ops.map[n++],
					  base + i * sizeof(pte_t), flags,
					  grant->ref, grant->domid);
		if (n == run->size || (n && i == run->count - 1)) {
			install_ops(run, n, base);
			n = 0;
		}
	}
	spin_unlock(&map->user_lock);
	return 0;
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
 * Return: 0; -ENOMEM for page tables; -EAGAIN: all but pages that the guest must page in
 *         first; what else gntdev_errno() makes of Xen's answer.
 */
int gntdev_pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end)
{
	struct gnttab_map_grant_ref few[GNTDEV_FEW] __uninitialized;
	struct pv_run run = {
		.user = user,
		.writable = vma->vm_flags & VM_WRITE,
	};
	unsigned long next;
	int err = 0;

	run_init(&run, (end - start) >> PAGE_SHIFT, few, sizeof(few[0]),
		 GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
	while (start < end && !err) {
		next = min(end, pmd_addr_end(start, end));
		run.addr = start;
		run.count = (next - start) >> PAGE_SHIFT;
		run.seq = mmu_interval_read_begin(&user->notifier);
		err = apply_to_page_range(vma->vm_mm, start, PAGE_SIZE,
					  install_table, &run);
		if (!err && run.err != -EAGAIN)
			err = run.err;
		if (!run.again)
			start = next;
		cond_resched();
	}
	run_exit(&run);
	return err ?: run.err;
}

static bool has_user_pte(const struct gntdev_user *user, unsigned int i)
{
	return gntdev_claimed_by(user, i) &&
	       user->map->grants[i].uhandle != INVALID_GRANT_HANDLE;
}

/**
 * gntdev_pv_kernel_side() - Make the kernel side of a grant, if there is none
 * @map: map; its user_lock is held
 * @i: index of the grant. It is claimed, or @map is locked
 * @writable: it must be writable; otherwise it is if the owner of the page allows that
 *
 * Context: does not sleep.
 * Return: 0; -EINVAL: not granted to us, or read-only and shall be writable; -ENOSPC,
 *         -ENOMEM; -EAGAIN: the guest must page it in first; -EIO: a leaked page.
 */
int gntdev_pv_kernel_side(struct gntdev_map *map, unsigned int i, bool writable)
{
	struct gntdev_grant *grant = &map->grants[i];
	struct gnttab_map_grant_ref op;
	u32 flags = GNTMAP_host_map;
	int err;

	lockdep_assert_held(&map->user_lock);
	if (gntdev_kernel_mapped(grant))
		return writable && (grant->flags & GRANT_READONLY) ? -EINVAL : 0;
	if (grant->flags & GRANT_LEAKED)
		return -EIO;

	/* A frame that a user PTE has pinned does not go anywhere. */
	if (grant->uhandle == INVALID_GRANT_HANDLE) {
		err = gntdev_map_probe(grant);
		if (err)
			return err;
	}
	do {
		gnttab_set_map_op(&op, (unsigned long)page_address(grant->page),
				  flags, grant->ref, grant->domid);
		op.handle = 0;
		err = gntdev_hv_map(map->file, &op, &grant->page, 1);
		if (op.status == GNTST_okay) {
			gntdev_map_kernel_done(map, &op, i);
			return 0;
		}
		if (err || op.handle == INVALID_GRANT_HANDLE)
			return err ?: -ENOMEM;
		flags ^= GNTMAP_readonly;
	} while (op.status == GNTST_general_error && !writable &&
		 (flags & GNTMAP_readonly));
	return gntdev_errno(op.status);
}

/*
 * The PTE of grant @i is about to be cleared, and is to come back. If the kernel side
 * cannot be had for the time between, its owner may end the grant, and the next access is
 * a SIGBUS.
 */
static void hold(struct gntdev_user *user, unsigned int i)
{
	gntdev_pv_kernel_side(user->map, i, user->writable);
}

/* Have Xen clear the first @n PTEs of @run. This cannot be put off. */
static void remove_ops(struct pv_run *run, unsigned int n, u64 base)
{
	struct gnttab_unmap_grant_ref *ops = run->ops.unmap;
	struct gntdev_file *file = run->user->map->file;
	struct gntdev_tally_run tally = { .file = file };
	bool each = run->mixed || trace_gntdev_unmap_enabled();
	unsigned int i, in_a_row = n;
	struct gntdev_grant *grant;

	run->cleared += n;
	gntdev_hv_unmap_retried(file, ops, NULL, n);
	/* Only now: who reads 0 goes on without the lock. Pairs with the acquire. */
	smp_store_release(&run->user->ptes, run->user->ptes - n);
	atomic_long_sub(n, &gntdev_stats.user_ptes);
	for (i = 0; i < n; i++) {
		if (likely(ops[i].status == GNTST_okay && !each))
			continue;
		grant = grant_of(run, ops[i].host_addr, base);
		gntdev_tally_unmap(&tally, grant->domid, ops[i].status);
		in_a_row--;
		trace_gntdev_unmap(GNTDEV_UNMAP_USER, grant->domid, grant->ref,
				   ops[i].handle, ops[i].status);
		if (ops[i].status != GNTST_okay)
			gntdev_map_leaked(run->user->map, grant, true, &ops[i]);
	}
	gntdev_tally_many(&tally, run->domid, TALLY_UNMAPPED, in_a_row);
	gntdev_tally_end(&tally);
}

/* Clear the PTEs of claimed grants that have one; the first of @run's PTEs is at @base. */
static void remove_ptes(struct pv_run *run, u64 base)
{
	struct gntdev_user *user = run->user;
	struct gntdev_map *map = user->map;
	unsigned int first = gntdev_user_grant(user, run->addr);
	unsigned int i, n = 0;

	lockdep_assert_held(&map->user_lock);
	for (i = 0; i < run->count; i++) {
		struct gntdev_grant *grant = &map->grants[first + i];

		if (has_user_pte(user, first + i)) {
			if (run->hold)
				hold(user, first + i);
			gnttab_set_unmap_op(&run->ops.unmap[n],
					    base + i * sizeof(pte_t),
					    USER_PTE_FLAGS, grant->uhandle);
			grant->uhandle = INVALID_GRANT_HANDLE;
			if (!n) {
				run->domid = grant->domid;
				run->mixed = false;
			}
			run->mixed |= grant->domid != run->domid;
			n++;
		}
		if (n == run->size || (n && i == run->count - 1)) {
			remove_ops(run, n, base);
			n = 0;
		}
	}
}

static int remove_table(pte_t *pte, unsigned long addr, void *data)
{
	struct pv_run *run = data;
	spinlock_t *user_lock = &run->user->map->user_lock;

	spin_lock(user_lock);
	remove_ptes(run, arbitrary_virt_to_machine(pte).maddr);
	spin_unlock(user_lock);
	run->met = true;
	return 0;
}

/*
 * Nobody can be looking at the PTEs when the mapping ends: its VMA cannot be found any more.
 * So if we know where they are, the page tables need not be walked. Are they gone now?
 *
 * Only under the OOM reaper others may still look, under the page table lock that we have not
 * got. The page tables stay, as the reaper holds the mmap lock; and who sees a PTE, and gets its
 * page from gntdev_pv_page(), has it by the kernel side and by the claim, which end in close().
 */
static bool removed_without_walk(struct pv_run *run, unsigned long start,
				 unsigned long end)
{
	struct gntdev_user *user = run->user;
	unsigned long page = (start - user->start) >> PAGE_SHIFT;
	struct gntdev_map *map = user->map;
	bool known;

	if (run->hold)
		return false;
	run->addr = start;
	run->count = (end - start) >> PAGE_SHIFT;
	spin_lock(&map->user_lock);
	known = user->pte_base;
	if (known)
		remove_ptes(run, user->pte_base + page * sizeof(pte_t));
	spin_unlock(&map->user_lock);
	return known;
}

/*
 * The first address in [start, end) that has a PTE of ours, or @end. Only there may the
 * page table be looked at: after a munmap() of a part, the addresses between may belong to
 * another mapping, whose page tables can go away under us.
 */
static unsigned long next_pte(struct gntdev_user *user, unsigned long start,
			      unsigned long end)
{
	struct gntdev_map *map = user->map;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (; start < end; start += PAGE_SIZE) {
		if (!user->ptes) {
			start = end;
			break;
		}
		i = gntdev_user_grant(user, start);
		if (has_user_pte(user, i))
			break;
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return start;
}

/**
 * gntdev_pv_remove() - Have Xen clear the user PTEs of a range
 * @user: user side
 * @start: first address; the range may reach beyond @user
 * @end: end of the range, exclusive
 * @hold: the mapping is to stay: hold on to the grants by their kernel side
 *
 * When this returns there are no PTEs in the range, and whoever saw one has the reference
 * on its page that it wanted.
 *
 * Context: does not sleep.
 * Return: how many there were.
 */
unsigned int gntdev_pv_remove(struct gntdev_user *user, unsigned long start,
			      unsigned long end, bool hold)
{
	struct gnttab_unmap_grant_ref few[GNTDEV_FEW] __uninitialized;
	struct pv_run run = { .user = user, .hold = hold };
	unsigned long next, missed = 0;

	start = max(start, user->start);
	end = min(end, gntdev_user_end(user));
	/*
	 * Without the lock: what was installed before our caller had user_lock is counted, nothing
	 * is installed since, and what others are clearing is counted until it is clear.
	 */
	if (start >= end || !smp_load_acquire(&user->ptes))
		return 0;

	run_init(&run, (end - start) >> PAGE_SHIFT, few, sizeof(few[0]),
		 GFP_NOWAIT | __GFP_NOWARN);
	if (removed_without_walk(&run, start, end))
		start = end;
	while (start < end && (start = next_pte(user, start, end)) < end) {
		next = min(end, pmd_addr_end(start, end));
		run.addr = start;
		run.count = (next - start) >> PAGE_SHIFT;
		run.met = false;
		apply_to_existing_page_range(user->notifier.mm, start, PAGE_SIZE,
					     remove_table, &run);
		if (run.met) {
			start = next;
			continue;
		}
		/*
		 * A PTE that is none is not looked at, nor are those after it. Somebody else has
		 * cleared it since next_pte(), and with it its handle: so the next one is another.
		 */
		if (WARN_ON_ONCE(start == missed))
			start += PAGE_SIZE;
		missed = start;
	}
	run_exit(&run);
	return run.cleared;
}

/**
 * gntdev_pv_page() - The page behind a user PTE
 * @user: user side
 * @addr: address of the PTE, in @user's range
 *
 * Context: under the page table lock of the PTE, which is there.
 * Return: the page, without a reference, or NULL.
 */
struct page *gntdev_pv_page(struct gntdev_user *user, unsigned long addr)
{
	unsigned int i = gntdev_user_grant(user, addr);
	struct gntdev_map *map = user->map;
	struct page *page = NULL;

	spin_lock(&map->user_lock);
	if (has_user_pte(user, i) &&
	    !gntdev_pv_kernel_side(map, i, user->writable))
		page = map->grants[i].page;
	spin_unlock(&map->user_lock);
	return page;
}

/**
 * gntdev_pv_hold() - Hold on to grants whose user PTEs are about to be cleared
 * @user: user side
 * @first: first grant
 * @count: number of grants
 *
 * Context: does not sleep.
 */
void gntdev_pv_hold(struct gntdev_user *user, unsigned int first,
		    unsigned int count)
{
	struct gntdev_map *map = user->map;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count; i++) {
		if (has_user_pte(user, i))
			hold(user, i);
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
}
