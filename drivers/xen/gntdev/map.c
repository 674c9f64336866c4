// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps: the kernel side of granted pages, and when it is given back.
 *
 * Hypercalls go out in batches of GNTDEV_BATCH operations that live on the stack;
 * what a grant needs to be unmapped later is in struct gntdev_grant. Every status
 * that Xen returns is looked at; none of them is a reason to BUG().
 *
 * When may a page be given back?
 * ==============================
 *
 * When it has no user side and page_count() is 1, our own reference. After that no
 * new reference can appear, in either kind of domain:
 *
 *   PV     The user PTE was cleared (by Xen, in vma.c) and the page table lock taken
 *          once since. GUP takes its reference under that lock, after reading the
 *          PTE: it either did so before, and is counted, or finds no PTE. A fault
 *          cannot bring the PTE back: the VMA is gone.
 *   other  A user PTE holds a reference of its own, dropped by the mm after the TLB
 *          flush. A count of 1 says that the zap is over.
 *
 * A page that is still referenced stays mapped, flagged GRANT_DROP, and the map's
 * work looks again. Nothing tells us when a page reference is dropped, so this is
 * polling, first after a millisecond, then slower. Each page is judged for itself.
 *
 * What if Xen refuses to unmap?
 * =============================
 *
 * That means Xen and this driver disagree about a handle, and the frame may still be
 * reachable through the page. It is reported, counted and leaked: nobody else may
 * ever get that page.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <trace/events/gntdev.h>
#include <xen/page.h>

#include "gntdev.h"

#define BACKOFF_MIN_MS 1
#define BACKOFF_MAX_MS 64

/* A hypercall that fails as a whole is as good as none, and is not known to happen. */
#define UNMAP_TRIES 8

/* Grants that one hypercall works on. */
struct batch {
	unsigned int n;
	unsigned int index[GNTDEV_BATCH];
	struct page *pages[GNTDEV_BATCH];
};

static void batch_add(struct batch *batch, struct gntdev_map *map,
		      unsigned int grant)
{
	batch->index[batch->n] = grant;
	batch->pages[batch->n] = map->grants[grant].page;
	batch->n++;
}

static void map_work(struct work_struct *work);

static void free_pages_of(struct gntdev_map *map)
{
	struct page *pages[GNTDEV_BATCH];
	unsigned int i, n = 0;

	for (i = 0; i < map->count; i++) {
		struct gntdev_grant *grant = &map->grants[i];

		if (grant->page && !(grant->flags & GRANT_LEAKED))
			pages[n++] = grant->page;
		if (n && (n == GNTDEV_BATCH || i == map->count - 1)) {
			gnttab_free_pages(n, pages);
			n = 0;
		}
	}
}

static void map_free(struct gntdev_map *map)
{
	gntdev_unlist_map(map);
	free_pages_of(map);
	kvfree(map);
	atomic_long_dec(&gntdev_stats.maps);
	module_put(THIS_MODULE);
}

static int alloc_pages_of(struct gntdev_map *map)
{
	struct page *pages[GNTDEV_BATCH];
	unsigned int i, j, n;
	int err;

	for (i = 0; i < map->count; i += n) {
		n = min(map->count - i, GNTDEV_BATCH);
		err = gnttab_alloc_pages(n, pages);
		if (err)
			return err;
		for (j = 0; j < n; j++)
			map->grants[i + j].page = pages[j];
		cond_resched();
	}
	return 0;
}

/**
 * gntdev_map_alloc() - Allocate a map and the pages that stand for its grants
 * @count: number of grants, > 0
 *
 * Nothing is mapped yet; the caller fills in ref and domid of every grant. The map
 * keeps the module loaded, since it can outlive the file while a page is busy.
 *
 * Context: sleeps. Memory is charged to the caller's memory cgroup.
 * Return: the map, with one user, or an ERR_PTR().
 */
struct gntdev_map *gntdev_map_alloc(unsigned int count)
{
	struct gntdev_map *map;
	unsigned int i;
	int err;

	map = kvzalloc(struct_size(map, grants, count), GFP_KERNEL_ACCOUNT);
	if (!map)
		return ERR_PTR(-ENOMEM);

	__module_get(THIS_MODULE);
	atomic_long_inc(&gntdev_stats.maps);
	gntdev_count(TOTAL_MAPS, 1);
	refcount_set(&map->users, 1);
	map->count = count;
	mutex_init(&map->lock);
	spin_lock_init(&map->user_lock);
	INIT_DELAYED_WORK(&map->work, map_work);
	for (i = 0; i < count; i++) {
		map->grants[i].khandle = INVALID_GRANT_HANDLE;
		map->grants[i].uhandle = INVALID_GRANT_HANDLE;
	}

	err = alloc_pages_of(map);
	if (err) {
		map_free(map);
		return ERR_PTR(err);
	}
	return map;
}

static bool grant_mapped(const struct gntdev_grant *grant)
{
	return grant->khandle != INVALID_GRANT_HANDLE;
}

/*
 * Would mapping any of these have to wait for the guest? A copy of one byte finds
 * out without leaving anything mapped. Other errors are left for the real thing. (A page
 * that its guest sends away between the two is waited for: the grant table core offers
 * no mapping without.)
 */
static int batch_probe(struct gntdev_map *map, const struct batch *batch)
{
	struct gnttab_copy op;
	unsigned int i;
	void *byte;
	int err = 0;

	byte = kmalloc(1, GFP_KERNEL);
	if (!byte)
		return -ENOMEM;

	for (i = 0; i < batch->n && !err; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		op = (struct gnttab_copy){
			.source.u.ref = grant->ref,
			.source.domid = grant->domid,
			.dest.u.gmfn = virt_to_gfn(byte),
			.dest.domid = DOMID_SELF,
			.dest.offset = offset_in_page(byte),
			.len = 1,
			.flags = GNTCOPY_source_gref,
			.status = GNTST_general_error,
		};
		err = gntdev_hv_copy(&op, 1);
		if (!err && op.status == GNTST_eagain)
			err = -EAGAIN;
	}
	kfree(byte);
	return err;
}

/*
 * Map the kernel side of a batch with @flags. What failed with a general error stays
 * in @batch for another try; the first other error is returned.
 */
static int batch_map(struct gntdev_map *map, struct batch *batch, u32 flags)
{
	struct gnttab_map_grant_ref ops[GNTDEV_BATCH];
	unsigned int i, n = batch->n, mapped = 0;
	int err, ret = 0;

	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		gnttab_set_map_op(&ops[i],
				  (unsigned long)page_address(grant->page),
				  GNTMAP_host_map | flags, grant->ref,
				  grant->domid);
		ops[i].handle = 0;
	}

	ret = gntdev_hv_map(ops, batch->pages, n);
	if (ret)
		return ret;

	batch->n = 0;
	spin_lock(&map->user_lock);
	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		if (ops[i].status == GNTST_okay) {
			grant->khandle = ops[i].handle;
			grant->flags |= GRANT_NEW;
			if (flags & GNTMAP_readonly)
				grant->flags |= GRANT_READONLY;
			else
				grant->flags &= ~GRANT_READONLY;
			mapped++;
		} else if (ops[i].handle == INVALID_GRANT_HANDLE) {
			/* Xen has mapped it, but the p2m had no memory for it. */
			ret = ret ?: -ENOMEM;
		} else if (ops[i].status == GNTST_general_error) {
			batch_add(batch, map, batch->index[i]);
		} else {
			err = gntdev_errno(ops[i].status);
			ret = ret ?: err;
		}
	}
	spin_unlock(&map->user_lock);
	map->live += mapped;
	atomic_long_add(mapped, &gntdev_stats.kernel_side);
	return ret;
}

/* Forget which grants were new; is there none whose page Xen would not let go of? */
static bool none_leaked(struct gntdev_map *map, unsigned int first,
			unsigned int count)
{
	bool leaked = false;
	unsigned int i;

	spin_lock(&map->user_lock);
	for (i = first; i < first + count; i++) {
		map->grants[i].flags &= ~GRANT_NEW;
		leaked |= map->grants[i].flags & GRANT_LEAKED;
		gntdev_relax(map, i);
	}
	spin_unlock(&map->user_lock);
	return !leaked;
}

/**
 * gntdev_map_kernel() - Map the kernel side of a run of grants
 * @map: map
 * @first: first grant
 * @count: number of grants
 * @may_wait: whether to wait for a guest that pages its memory out
 *
 * Grants that are mapped already are left as they are. A grant is mapped writable
 * if its owner allows that, else read-only. On an error some of the grants may have
 * been mapped, see gntdev_map_undo().
 *
 * Context: sleeps. @map is locked, or not shared yet. The mmap lock may be held
 *          only if @may_wait is false. A wait for the guest is the grant table
 *          core's: up to 32 s for a grant, and it cannot be killed.
 * Return: 0; -EINVAL for a grant that does not exist or is not granted to us;
 *         -ENOSPC when Xen is out of handles; -ENOMEM; -EAGAIN when it would have
 *         to wait; -EIO for a page that Xen would not let go of earlier; -EINTR
 *         when killed.
 */
int gntdev_map_kernel(struct gntdev_map *map, unsigned int first,
		      unsigned int count, bool may_wait)
{
	unsigned int i, end = first + count;
	struct batch batch = {};
	int err;

	if (!none_leaked(map, first, count))
		return -EIO;

	for (i = first; i < end; i++) {
		if (!grant_mapped(&map->grants[i]))
			batch_add(&batch, map, i);
		if (!batch.n || (batch.n < GNTDEV_BATCH && i < end - 1))
			continue;

		if (!may_wait) {
			err = batch_probe(map, &batch);
			if (err)
				return err;
		}
		err = batch_map(map, &batch, 0);
		/* Xen says the same of "granted read-only" and "not granted". */
		if (!err && batch.n)
			err = batch_map(map, &batch, GNTMAP_readonly);
		if (!err && batch.n)
			err = -EINVAL;
		if (err)
			return err;
		batch.n = 0;

		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * gntdev_unmap_retried() - Have Xen unmap grants, and insist
 * @ops: as for gntdev_hv_unmap()
 * @pages: likewise
 * @n: likewise
 *
 * Context: does not sleep.
 * Return: as gntdev_hv_unmap(), when it has failed again and again.
 */
int gntdev_unmap_retried(struct gnttab_unmap_grant_ref *ops, struct page **pages,
			 unsigned int n)
{
	unsigned int tries;
	int err = 0;

	for (tries = 0; tries < UNMAP_TRIES; tries++) {
		err = gntdev_hv_unmap(ops, pages, n);
		if (!err)
			break;
	}
	return err;
}

static void batch_unmap(struct gntdev_map *map, struct batch *batch)
{
	struct gnttab_unmap_grant_ref ops[GNTDEV_BATCH];
	bool traced = trace_gntdev_unmap_enabled();
	int named = -1;
	unsigned int i;
	int err;

	lockdep_assert_held(&map->lock);
	for (i = 0; i < batch->n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		gnttab_set_unmap_op(&ops[i],
				    (unsigned long)page_address(grant->page),
				    GNTMAP_host_map, grant->khandle);
		if (gntdev_notify_names(map, batch->index[i])) {
			gntdev_notify_clear_byte(map);
			named = i;
		}
	}

	err = gntdev_unmap_retried(ops, batch->pages, batch->n);

	spin_lock(&map->user_lock);
	for (i = 0; i < batch->n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		if (traced)
			trace_gntdev_unmap(GNTDEV_UNMAP_KERNEL, grant->domid,
					   grant->ref, grant->khandle,
					   ops[i].status);
		if (ops[i].status != GNTST_okay) {
			trace_gntdev_error(GNTDEV_UNMAP_KERNEL, grant->domid,
					   grant->ref, grant->khandle,
					   ops[i].status, err);
			pr_err_ratelimited("d%u ref %u: handle %u not unmapped: status %d, error %d; page leaked\n",
					   grant->domid, grant->ref, grant->khandle,
					   ops[i].status, err);
			grant->flags |= GRANT_LEAKED;
			atomic_long_inc(&gntdev_stats.leaked);
		}
		grant->khandle = INVALID_GRANT_HANDLE;
	}
	spin_unlock(&map->user_lock);
	map->live -= batch->n;
	atomic_long_sub(batch->n, &gntdev_stats.kernel_side);
	batch->n = 0;

	if (named >= 0 && ops[named].status == GNTST_okay)
		gntdev_notify_send_event(map);
}

static void set_drop(struct gntdev_map *map, struct gntdev_grant *grant)
{
	lockdep_assert_held(&map->user_lock);
	if (grant->flags & GRANT_DROP)
		return;
	grant->flags |= GRANT_DROP;
	map->deferred++;
	atomic_long_inc(&gntdev_stats.deferred);
	gntdev_count(TOTAL_DEFERRED, 1);
	trace_gntdev_deferred(GNTDEV_BUSY, grant->domid, grant->ref,
			      page_count(grant->page));
}

static void clear_drop(struct gntdev_map *map, struct gntdev_grant *grant)
{
	lockdep_assert_held(&map->user_lock);
	if (!(grant->flags & GRANT_DROP))
		return;
	grant->flags &= ~GRANT_DROP;
	map->deferred--;
	atomic_long_dec(&gntdev_stats.deferred);
	gntdev_count(TOTAL_UNDEFERRED, 1);
	trace_gntdev_deferred(grant->user ? GNTDEV_CLAIMED : GNTDEV_FREE,
			      grant->domid, grant->ref, page_count(grant->page));
}

/*
 * Give back what can be given back of [first, first + count); return how many
 * grants have to wait for their page. With @only, consider only grants that have that
 * flag.
 */
static unsigned int release_locked(struct gntdev_map *map, unsigned int first,
				   unsigned int count, u16 only)
{
	unsigned int i = first, end = first + count, busy = 0;
	struct batch batch = {};

	lockdep_assert_held(&map->lock);
	while (i < end) {
		spin_lock(&map->user_lock);
		for (; i < end && batch.n < GNTDEV_BATCH; i++) {
			struct gntdev_grant *grant = &map->grants[i];

			gntdev_relax(map, i);
			if (only && !(grant->flags & only))
				continue;
			if (grant->user || !grant_mapped(grant)) {
				clear_drop(map, grant);
				continue;
			}
			if (page_count(grant->page) > 1) {
				set_drop(map, grant);
				busy++;
				continue;
			}
			clear_drop(map, grant);
			batch_add(&batch, map, i);
		}
		spin_unlock(&map->user_lock);

		if (batch.n)
			batch_unmap(map, &batch);
		cond_resched();
	}
	return busy;
}

static void map_queue_work(struct gntdev_map *map)
{
	queue_delayed_work(gntdev_wq, &map->work, msecs_to_jiffies(map->backoff));
}

static void map_work(struct work_struct *work)
{
	struct gntdev_map *map = container_of(to_delayed_work(work),
					      struct gntdev_map, work);
	bool armed;

	mutex_lock(&map->lock);
	map->armed = release_locked(map, 0, map->count, GRANT_DROP);
	if (map->armed) {
		map->backoff = min(map->backoff * 2, BACKOFF_MAX_MS);
		map_queue_work(map);
	}
	armed = map->armed;
	mutex_unlock(&map->lock);

	if (!armed)
		gntdev_map_put(map);
}

/* Give back, now or when the pages are free. */
static void release_or_defer(struct gntdev_map *map, unsigned int first,
			     unsigned int count, u16 only)
{
	if (release_locked(map, first, count, only) && !map->armed) {
		map->armed = true;
		map->backoff = BACKOFF_MIN_MS;
		gntdev_map_get(map);
		map_queue_work(map);
	}
}

/**
 * gntdev_map_undo() - Give back what the last gntdev_map_kernel() has mapped
 * @map: map, locked since then
 * @first: first grant, the same as then
 * @count: number of grants, likewise
 *
 * Context: as gntdev_map_release().
 */
void gntdev_map_undo(struct gntdev_map *map, unsigned int first,
		     unsigned int count)
{
	release_or_defer(map, first, count, GRANT_NEW);
}

/**
 * gntdev_map_release() - Give back the kernel side of a run of grants
 * @map: map
 * @first: first grant
 * @count: number of grants
 *
 * Grants that have a user side are left alone. Free pages are given back before
 * this returns, busy ones when they become free, each for itself.
 *
 * Context: sleeps, but neither for the guest nor for whoever holds a page.
 */
void gntdev_map_release(struct gntdev_map *map, unsigned int first,
			unsigned int count)
{
	mutex_lock(&map->lock);
	release_or_defer(map, first, count, 0);
	mutex_unlock(&map->lock);
}

/**
 * gntdev_map_get() - Take a reference on a map
 * @map: map that the caller holds a reference on already
 */
void gntdev_map_get(struct gntdev_map *map)
{
	refcount_inc(&map->users);
}

/**
 * gntdev_map_put() - Drop a reference on a map
 * @map: map
 *
 * The last one gives back all that is still mapped. If a page is busy, the map's
 * work inherits the reference and the map lives on until the page is free.
 *
 * Context: sleeps.
 */
void gntdev_map_put(struct gntdev_map *map)
{
	if (!refcount_dec_and_test(&map->users))
		return;

	if (map->live) {
		/* Nobody else can reach the map: this revives it for the work. */
		refcount_set(&map->users, 1);
		gntdev_map_release(map, 0, map->count);
		if (!refcount_dec_and_test(&map->users))
			return;
	}

	/* Set after its page was given back: nothing left to wait for. */
	gntdev_notify_send_event(map);
	map_free(map);
}
