// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps: the kernel side of granted pages, and when it is given back.
 *
 * What a grant needs to be unmapped later is in struct gntdev_grant; operations for
 * hypercalls are built when they are needed. Every status that Xen returns is looked at;
 * none of them is a reason to BUG().
 *
 * When may a page be given back?
 * ==============================
 *
 * When it has no user side and page_count() is 1, our own reference. After that no
 * new reference can appear, in either kind of domain:
 *
 *   PV     The user PTE was cleared under its page table lock (pv.c). GUP takes its
 *          reference under that lock, after reading the PTE: it either did so before,
 *          and is counted, or finds no PTE. A fault cannot bring the PTE back: the
 *          VMA is gone.
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
 * If the hypercall as a whole fails, nothing has happened, and the work tries again.
 *
 * If it refuses a single grant, Xen and this driver disagree about a handle, and the frame
 * may still be reachable through the page. It is reported, counted and leaked: nobody else
 * may ever get that page.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <trace/events/gntdev.h>
#include <xen/page.h>

#include "gntdev.h"

#define BACKOFF_MIN_MS 1
#define BACKOFF_MAX_MS 64

/* Grants of a map up to which they are allocated together with it. */
#define INLINE_GRANTS 16U

/*
 * Pages that we keep for the next map. There is no memory behind them: what they take is
 * address space. The grant table core has such a store, too, but hands out pages one by one,
 * each for a lock, which is a twentieth of what mapping a grant takes.
 */
#define PAGES_KEPT 1024U
static struct page *kept[PAGES_KEPT];
static unsigned int nr_kept;
static DEFINE_SPINLOCK(kept_lock);

/* Where gntdev_map_probe() copies to. Nobody reads it. */
static void *probe_byte;

union batch_op {
	struct gnttab_map_grant_ref map;
	struct gnttab_unmap_grant_ref unmap;
};

/* Operations for a hypercall, and the grants that they work on. */
struct batch {
	unsigned int n;
	unsigned int size;
	unsigned int *index;
	struct page **pages;
	union {
		struct gnttab_map_grant_ref *map;
		struct gnttab_unmap_grant_ref *unmap;
		void *mem;
	} ops;
	void *allocated;
	/* If there is no memory, or no need for more */
	union batch_op few_ops[GNTDEV_FEW];
	struct page *few_pages[GNTDEV_FEW];
	unsigned int few_index[GNTDEV_FEW];
};

/* Room for up to @wanted operations: as much as can be had, a few at least. */
static void batch_init(struct batch *batch, unsigned int wanted)
{
	unsigned int size = min(wanted, GNTDEV_BATCH);
	void *mem = NULL;

	if (size > GNTDEV_FEW)
		mem = kmalloc(size * (sizeof(union batch_op) +
				      sizeof(struct page *) +
				      sizeof(unsigned int)),
			      GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
	batch->n = 0;
	batch->allocated = mem;
	if (mem) {
		batch->size = size;
		batch->ops.mem = mem;
		batch->pages = mem + size * sizeof(union batch_op);
		batch->index = (void *)(batch->pages + size);
	} else {
		batch->size = GNTDEV_FEW;
		batch->ops.mem = batch->few_ops;
		batch->pages = batch->few_pages;
		batch->index = batch->few_index;
	}
}

static void batch_exit(struct batch *batch)
{
	kfree(batch->allocated);
}

static void batch_add(struct batch *batch, struct gntdev_map *map,
		      unsigned int grant)
{
	batch->index[batch->n] = grant;
	batch->pages[batch->n] = map->grants[grant].page;
	batch->n++;
}

static void map_work(struct work_struct *work);

static void pages_put(struct page **pages, unsigned int n)
{
	unsigned int room;

	spin_lock(&kept_lock);
	room = min(n, PAGES_KEPT - nr_kept);
	memcpy(kept + nr_kept, pages, room * sizeof(*pages));
	nr_kept += room;
	spin_unlock(&kept_lock);
	if (room < n)
		gnttab_free_pages(n - room, pages + room);
}

/*
 * Pages come from a pool of the grant table core, where a page costs a look at the p2m. Those
 * that we have used last are kept at hand.
 */
static int pages_get(struct page **pages, unsigned int n)
{
	unsigned int found;

	spin_lock(&kept_lock);
	found = min(n, nr_kept);
	nr_kept -= found;
	memcpy(pages, kept + nr_kept, found * sizeof(*pages));
	spin_unlock(&kept_lock);
	if (found == n)
		return 0;

	if (!gnttab_alloc_pages(n - found, pages + found))
		return 0;
	pages_put(pages, found);
	return -ENOMEM;
}

static void free_pages_of(struct gntdev_map *map)
{
	struct page *pages[GNTDEV_FEW] __uninitialized;
	unsigned int i, n = 0;

	if (map->backing) {
		gntdev_backing_free(map);
		return;
	}
	for (i = 0; i < map->count; i++) {
		struct gntdev_grant *grant = &map->grants[i];

		if (grant->page && !(grant->flags & GRANT_LEAKED))
			pages[n++] = grant->page;
		if (n && (n == GNTDEV_FEW || i == map->count - 1)) {
			pages_put(pages, n);
			n = 0;
		}
	}
}

static int alloc_pages_of(struct gntdev_map *map)
{
	struct page *pages[GNTDEV_FEW] __uninitialized;
	unsigned int i, j, n;
	int err;

	for (i = 0; i < map->count; i += n) {
		n = min(map->count - i, GNTDEV_FEW);
		err = pages_get(pages, n);
		if (err)
			return err;
		for (j = 0; j < n; j++)
			map->grants[i + j].page = pages[j];
		cond_resched();
	}
	return 0;
}

static bool grants_inline(const struct gntdev_map *map)
{
	return map->count <= INLINE_GRANTS;
}

static size_t grants_size(unsigned int count)
{
	return count * sizeof(struct gntdev_grant);
}

/* From a page on, not rounded up to a power of two. */
static struct gntdev_grant *grants_alloc(unsigned int count)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO;
	size_t size = grants_size(count);
	void *grants;

	if (size < PAGE_SIZE)
		return kmalloc(size, gfp);
	grants = alloc_pages_exact(size, gfp | __GFP_NOWARN | __GFP_NORETRY);
	if (!grants)
		grants = __vmalloc(size, gfp);
	return grants;
}

static void grants_free(struct gntdev_map *map)
{
	size_t size = grants_size(map->count);

	if (grants_inline(map))
		return;
	if (is_vmalloc_addr(map->grants))
		vfree(map->grants);
	else if (size < PAGE_SIZE)
		kfree(map->grants);
	else
		free_pages_exact(map->grants, size);
}

static void map_free(struct gntdev_map *map)
{
	gntdev_unlist_map(map);
	if (!xa_empty(&map->waits))
		xa_destroy(&map->waits);
	if (map->ack)
		eventfd_ctx_put(map->ack);
	free_pages_of(map);
	if (map->done)
		map->done(map->done_priv);
	gntdev_quota_uncharge(map->quota, map->count);
	grants_free(map);
	kfree(map);
	atomic_long_dec(&gntdev_stats.maps);
	module_put(THIS_MODULE);
}

/**
 * gntdev_map_alloc() - Allocate a map and the pages that stand for its grants
 * @file: file that it is made for, or NULL: what is done with its grants is counted there
 * @count: number of grants, > 0
 *
 * Nothing is mapped yet; the caller fills in ref and domid of every grant. The map
 * keeps the module loaded, since it can outlive the file while a page is busy.
 *
 * Context: sleeps. Memory is charged to the caller's memory cgroup.
 * Return: the map, with one user, or an ERR_PTR(): -ENOMEM; -EDQUOT: more than an
 *         unprivileged user may hold.
 */
struct gntdev_map *gntdev_map_alloc(struct gntdev_file *file, unsigned int count)
{
	struct gntdev_quota *quota;
	struct gntdev_map *map;
	unsigned int i;
	int err;

	quota = gntdev_quota_charge(count);
	if (IS_ERR(quota))
		return ERR_CAST(quota);
	err = -ENOMEM;
	map = kzalloc(sizeof(*map) + (count <= INLINE_GRANTS ? grants_size(count) : 0),
		      GFP_KERNEL_ACCOUNT);
	if (!map)
		goto uncharge;
	map->quota = quota;
	map->count = count;
	map->grants = grants_inline(map) ? (void *)(map + 1) : grants_alloc(count);
	if (!map->grants)
		goto free_map;

	__module_get(THIS_MODULE);
	atomic_long_inc(&gntdev_stats.maps);
	gntdev_count(TOTAL_MAPS, 1);
	refcount_set(&map->users, 1);
	mutex_init(&map->lock);
	spin_lock_init(&map->user_lock);
	xa_init_flags(&map->waits, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&map->in_file);
	if (file) {
		gntdev_file_get(file);
		map->file = file;
	}
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

free_map:
	kfree(map);
uncharge:
	gntdev_quota_uncharge(quota, count);
	return ERR_PTR(err);
}

/**
 * gntdev_map_probe() - Would mapping a grant have to wait for the guest?
 * @grant: grant
 *
 * A copy of one byte finds out without leaving anything mapped. Other errors are left for
 * the real thing. (A page that its guest sends away between the two is waited for: the
 * grant table core offers no mapping without. In PV that wait would be under user_lock, where
 * nobody may sleep; it takes a guest whose memory is shared or paged out by Xen.)
 *
 * Context: does not sleep.
 * Return: 0, or -EAGAIN.
 */
int gntdev_map_probe(const struct gntdev_grant *grant)
{
	struct gnttab_copy op = {
		.source.u.ref = grant->ref,
		.source.domid = grant->domid,
		.dest.u.gmfn = virt_to_gfn(probe_byte),
		.dest.domid = DOMID_SELF,
		.dest.offset = offset_in_page(probe_byte),
		.len = 1,
		.flags = GNTCOPY_source_gref,
		.status = GNTST_general_error,
	};

	/* Nobody has asked for it: it is not counted as anybody's. */
	if (!gntdev_hv_copy(NULL, &op, 1) && op.status == GNTST_eagain)
		return -EAGAIN;
	return 0;
}

/**
 * gntdev_map_kernel_done() - Note what Xen said to mapping one kernel side
 * @map: map; its user_lock is held
 * @op: the operation; its status is GNTST_okay
 * @i: index of the grant
 */
void gntdev_map_kernel_done(struct gntdev_map *map,
			    const struct gnttab_map_grant_ref *op,
			    unsigned int i)
{
	struct gntdev_grant *grant = &map->grants[i];

	lockdep_assert_held(&map->user_lock);
	grant->khandle = op->handle;
	grant->flags &= ~GRANT_READONLY;
	if (op->flags & GNTMAP_readonly)
		grant->flags |= GRANT_READONLY;
	WRITE_ONCE(map->live, map->live + 1);
	atomic_long_inc(&gntdev_stats.kernel_side);
}

/* Which of two errors (or 0) counts: the first, but one that is about all comes before others. */
static int main_error(int first, int second)
{
	if (first && (!second || gntdev_errno_of_grant(second) || !gntdev_errno_of_grant(first)))
		return first;
	return second;
}

/*
 * Map the kernel side of a batch with @flags. What failed with a general error stays
 * in @batch for another try. The main of the other errors is returned; the status of each goes
 * to @status (for the whole map), if that is not NULL.
 */
static int batch_map(struct gntdev_map *map, struct batch *batch, u32 flags,
		     s16 *status)
{
	struct gnttab_map_grant_ref *ops = batch->ops.map;
	unsigned int i, n = batch->n;
	int ret = 0;

	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		gnttab_set_map_op(&ops[i],
				  (unsigned long)page_address(grant->page),
				  GNTMAP_host_map | flags, grant->ref,
				  grant->domid);
		ops[i].handle = 0;
	}

	/* What Xen did not get at has a positive status. */
	ret = gntdev_hv_map(map->file, ops, batch->pages, n);

	batch->n = 0;
	spin_lock(&map->user_lock);
	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		if (ops[i].status == GNTST_okay) {
			gntdev_map_kernel_done(map, &ops[i], batch->index[i]);
			grant->flags |= GRANT_NEW;
		} else if (ops[i].handle == INVALID_GRANT_HANDLE) {
			/* Xen has mapped it, but the p2m had no memory for it. */
			ret = main_error(ret, -ENOMEM);
		} else if (ops[i].status > 0) {
			ret = main_error(ret, -EIO);
		} else if (ops[i].status == GNTST_general_error) {
			batch_add(batch, map, batch->index[i]);
		} else {
			ret = main_error(ret, gntdev_errno(ops[i].status));
		}
		if (status)
			status[batch->index[i]] = ops[i].status;
	}
	spin_unlock(&map->user_lock);
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

/* Map what is in @batch, writable or else read-only. */
static int batch_map_either(struct gntdev_map *map, struct batch *batch,
			    bool may_wait, s16 *status)
{
	unsigned int i;
	int err;

	for (i = 0; !may_wait && i < batch->n; i++) {
		err = gntdev_map_probe(&map->grants[batch->index[i]]);
		if (err)
			return err;
	}
	err = batch_map(map, batch, 0, status);
	/* Xen says the same of "granted read-only" and "not granted". */
	if ((!err || status) && batch->n)
		err = main_error(err, batch_map(map, batch, GNTMAP_readonly, status));
	if (!err && batch->n)
		err = -EINVAL;
	batch->n = 0;
	return err;
}

/**
 * gntdev_map_kernel() - Map the kernel side of a run of grants
 * @map: map
 * @first: first grant
 * @count: number of grants
 * @may_wait: whether to wait for a guest that pages its memory out
 * @status: for the whole map: where to store what Xen says of each grant (GNTST_okay for
 *          those that are mapped already); or NULL
 *
 * Grants that are mapped already are left as they are. A grant is mapped writable
 * if its owner allows that, else read-only. On an error some of the grants may have
 * been mapped, see gntdev_map_undo(). Without @status, what comes after the batch with an
 * error is not tried.
 *
 * Context: sleeps. @map is locked, or not shared yet. In PV, the grants are not claimed, or
 *          their VMA is not in place yet.
 *          The mmap lock may be held only if @may_wait is false. A wait for the guest is
 *          the grant table core's: up to 32 s for a grant, and it cannot be killed.
 * Return: 0; -EINVAL for a grant that does not exist or is not granted to us;
 *         -ENOSPC when Xen is out of handles; -ENOMEM; -EAGAIN when it would have
 *         to wait; -EIO for a page that Xen would not let go of earlier; -EINTR
 *         when killed.
 */
int gntdev_map_kernel(struct gntdev_map *map, unsigned int first,
		      unsigned int count, bool may_wait, s16 *status)
{
	unsigned int i, end = first + count;
	struct batch batch __uninitialized;
	int err, ret = 0;

	if (!none_leaked(map, first, count))
		return -EIO;

	batch_init(&batch, count);
	for (i = first; i < end && (!ret || status); i++) {
		if (gntdev_kernel_mapped(&map->grants[i])) {
			if (status)
				status[i] = GNTST_okay;
		} else if (!(map->grants[i].flags & GRANT_ABSENT)) {
			batch_add(&batch, map, i);
		}
		if (!batch.n || (batch.n < batch.size && i < end - 1))
			continue;

		err = batch_map_either(map, &batch, may_wait, status);
		ret = main_error(ret, err);
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	batch_exit(&batch);
	return ret;
}

static void set_drop(struct gntdev_map *map, struct gntdev_grant *grant)
{
	lockdep_assert_held(&map->user_lock);
	if (grant->flags & GRANT_DROP)
		return;
	grant->flags |= GRANT_DROP;
	map->deferred++;
	/* Without memory for that its age is not known, and nothing else is missing. */
	xa_store(&map->waits, grant - map->grants, xa_mk_value(jiffies & LONG_MAX),
		 GFP_NOWAIT | __GFP_NOWARN);
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
	xa_erase(&map->waits, grant - map->grants);
	atomic_long_dec(&gntdev_stats.deferred);
	gntdev_count(TOTAL_UNDEFERRED, 1);
	trace_gntdev_deferred(grant->flags & GRANT_CLAIMED ? GNTDEV_CLAIMED :
							     GNTDEV_FREE,
			      grant->domid, grant->ref, page_count(grant->page));
}

/**
 * gntdev_map_leaked() - Xen holds on to a grant: nobody else may ever have its page
 * @map: map; its user_lock is held
 * @grant: grant of it
 * @user: it was the user side that was to be unmapped
 * @op: the operation that was refused
 */
void gntdev_map_leaked(struct gntdev_map *map, struct gntdev_grant *grant,
		       bool user,
		       const struct gnttab_unmap_grant_ref *op)
{
	lockdep_assert_held(&map->user_lock);
	trace_gntdev_error(user ? GNTDEV_UNMAP_USER : GNTDEV_UNMAP_KERNEL,
			   grant->domid, grant->ref, op->handle, op->status, 0);
	pr_err_ratelimited("d%u ref %u: handle %u not unmapped: status %d; page leaked\n",
			   grant->domid, grant->ref, op->handle, op->status);
	grant->flags |= GRANT_LEAKED;
	map->leaked = true;
	atomic_long_inc(&gntdev_stats.leaked);
}

/*
 * Give the batch back. Returns the number of those that the hypercall did not get at, which
 * are to be tried again.
 */
static unsigned int batch_unmap(struct gntdev_map *map, struct batch *batch)
{
	struct gnttab_unmap_grant_ref *ops = batch->ops.unmap;
	struct gntdev_tally_run tally = { .file = map->file };
	unsigned int i, n = batch->n, again = 0;
	bool traced = trace_gntdev_unmap_enabled();
	int err, named = -1;

	lockdep_assert_held(&map->lock);
	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		gnttab_set_unmap_op(&ops[i],
				    (unsigned long)page_address(grant->page),
				    GNTMAP_host_map, grant->khandle);
		if (gntdev_notify_names(map, batch->index[i])) {
			gntdev_notify_clear_byte(map);
			named = i;
		}
	}

	/* What Xen did not get at has a positive status. */
	err = gntdev_hv_unmap_retried(map->file, ops, batch->pages, n);

	spin_lock(&map->user_lock);
	for (i = 0; i < n; i++) {
		struct gntdev_grant *grant = &map->grants[batch->index[i]];

		if (traced)
			trace_gntdev_unmap(GNTDEV_UNMAP_KERNEL, grant->domid,
					   grant->ref, grant->khandle,
					   ops[i].status);
		if (ops[i].status > 0) {
			set_drop(map, grant);
			again++;
			continue;
		}
		gntdev_tally_unmap(&tally, grant->domid, ops[i].status);
		if (ops[i].status != GNTST_okay)
			gntdev_map_leaked(map, grant, false, &ops[i]);
		grant->khandle = INVALID_GRANT_HANDLE;
		WRITE_ONCE(map->live, map->live - 1);
	}
	spin_unlock(&map->user_lock);
	gntdev_tally_end(&tally);
	batch->n = 0;
	atomic_long_sub(n - again, &gntdev_stats.kernel_side);
	if (again)
		pr_err_ratelimited("%u grants not unmapped: error %d; trying again\n",
				   again, err);

	if (named >= 0 && ops[named].status == GNTST_okay)
		gntdev_notify_send_event(map);
	return again;
}

/*
 * Give back what can be given back of [first, first + count); return how many
 * grants have to wait for their page, or for a hypercall. With @only, consider only grants
 * that have that flag.
 */
static unsigned int release_locked(struct gntdev_map *map, unsigned int first,
				   unsigned int count, u16 only)
{
	unsigned int i = first, end = first + count, busy = 0;
	struct batch batch __uninitialized;

	lockdep_assert_held(&map->lock);
	/* Others, under user_lock alone, make kernel sides of what is claimed: not for us. */
	if (!READ_ONCE(map->live))
		return 0;

	batch_init(&batch, count);
	while (i < end) {
		spin_lock(&map->user_lock);
		for (; i < end && batch.n < batch.size; i++) {
			struct gntdev_grant *grant = &map->grants[i];

			gntdev_relax(map, i);
			if (only && !(grant->flags & only))
				continue;
			if ((grant->flags & GRANT_CLAIMED) ||
			    !gntdev_kernel_mapped(grant)) {
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
			busy += batch_unmap(map, &batch);
		cond_resched();
	}
	batch_exit(&batch);
	return busy;
}

/* Tell who waits for it that nothing of the map is mapped any more. */
static void ack_if_gone(struct gntdev_map *map)
{
	struct eventfd_ctx *ack = map->ack;
	bool gone;

	lockdep_assert_held(&map->lock);
	if (!ack)
		return;
	/* Both at one moment: a claim may make a kernel side, and end. */
	spin_lock(&map->user_lock);
	gone = !map->live && !map->claimed;
	spin_unlock(&map->user_lock);
	if (!gone)
		return;
	map->ack = NULL;
	eventfd_signal(ack);
	eventfd_ctx_put(ack);
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
	ack_if_gone(map);
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
 * this returns, busy ones when they become free, each for itself. Whoever waits for that
 * (unmap notification, eventfd) is told.
 *
 * Context: sleeps, but neither for the guest nor for whoever holds a page.
 */
void gntdev_map_release(struct gntdev_map *map, unsigned int first,
			unsigned int count)
{
	mutex_lock(&map->lock);
	release_or_defer(map, first, count, 0);
	gntdev_notify_released(map, first, count);
	ack_if_gone(map);
	mutex_unlock(&map->lock);
}

/**
 * gntdev_map_ack() - Have it acknowledged when nothing is mapped any more
 * @map: map
 * @ack: eventfd; the caller's reference goes over to the map, unless this fails. NULL takes
 *       back what was set before
 *
 * Context: sleeps.
 * Return: 0, or -EBUSY if an eventfd is set already.
 */
int gntdev_map_ack(struct gntdev_map *map, struct eventfd_ctx *ack)
{
	int err = 0;

	mutex_lock(&map->lock);
	if (ack && map->ack) {
		err = -EBUSY;
	} else {
		if (map->ack)
			eventfd_ctx_put(map->ack);
		map->ack = ack;
		ack_if_gone(map);
	}
	mutex_unlock(&map->lock);
	return err;
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

	if (map->live || map->ack) {
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

/**
 * gntdev_map_init() - Begin
 *
 * Return: 0 or -ENOMEM.
 */
int gntdev_map_init(void)
{
	probe_byte = kmalloc(1, GFP_KERNEL);
	if (!probe_byte)
		return -ENOMEM;
	return 0;
}

/**
 * gntdev_map_exit() - The end: no page is kept any more
 */
void gntdev_map_exit(void)
{
	gnttab_free_pages(nr_kept, kept);
	nr_kept = 0;
	kfree(probe_byte);
}
