/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private header of the grant device, /dev/xen/gntdev.
 *
 * The objects
 * ===========
 *
 *   gntdev_file    one open file: the maps in it, found by file offset
 *   gntdev_map     a run of grants that one MAP_GRANT_REF mapped together
 *   gntdev_grant   one grant of a map: 24 bytes, what unmapping needs
 *   gntdev_user    the user side of (part of) a map: made by one mmap(), tracked
 *                  by one interval notifier, shared by the VMAs that it may be
 *                  split into; says which grants it has claimed
 *
 *   file ---tree---> map[grants...] <--- user[claims...] <--- VMA, VMA, ...
 *
 * A grant has two sides, and the order between them is what this driver is about:
 *
 *   kernel side   the struct page that stands for the granted frame, and its
 *                 mapping: in the linear map (PV) or in the second-level tables
 *                 (auto-translated).
 *   user side     the claim of a VMA, and what the process's page tables say. The
 *                 PTEs are a shadow that invalidations take away and faults bring
 *                 back; the claim ends when the VMA is closed.
 *
 *   The kernel side of a grant is given back to Xen only when it has no user side
 *   and nobody else holds a reference on its page (I/O in flight, pages pinned or
 *   spliced). A page that is still held waits for itself alone.
 *
 * Auto-translated, the user's PTEs lead through the kernel side: it is made in
 * MAP_GRANT_REF, where waiting for the guest hurts nobody, and once more in mmap() if a
 * munmap() has given it back. In PV, Xen maps the frame for the user alone: the kernel
 * side is made when somebody wants the page, or when the PTE has to go although the mapping
 * stays (pv.c), neither of which happens to most backends; and MAP_GRANT_REF asks Xen for
 * nothing.
 *
 * Life of one grant
 * =================
 *
 *     MAP_GRANT_REF            mmap                  munmap, exit, kill
 *   o ------------> IN MAP ------------> CLAIMED ------------------------+
 *                     |  ^                                               |
 *                     |  +----- mmap again, if still in its map ---+     |
 *   UNMAP_GRANT_REF,  |                                            |     |
 *   close()           v                                            |     v
 *     no kernel side, or page free? -- yes --> given back to Xen: o +-- DROP
 *                     ^   | no: DROP, looked at again by the map's work  |
 *                     +---+----------------------------------------------+
 *
 * Locks
 * =====
 *
 *   mmap_lock (of the process)
 *     gntdev_file.lock          the tree of maps, the list of maps
 *     gntdev_map.lock           kernel side given back; notification
 *       page table lock         (taken by the mm for us)
 *       gntdev_map.user_lock    user side: claims, .uhandle, .flags; kernel side made
 *
 * Outer locks stand to the left; locks in one column are not held together, but for the
 * last: user_lock is taken under a page table lock, never the other way round. (list.c has a
 * lock of its own around gntdev_file.lock; nothing that maps or unmaps takes it.) No user
 * memory is touched under any of them, and nothing under them waits for a guest, so
 * the mmap lock is never held at a guest's mercy.
 *
 * user_lock is a spinlock because the invalidate callback must be able to go on when
 * it may not sleep. It is held across the hypercall that clears PTEs, because a second
 * invalidation of the same pages may return only when they are clear.
 *
 * A grant that nobody has claimed is claimed only under both locks of the map. A claim
 * ends (or, by mremap, goes over to another user) under user_lock alone. Whoever holds
 * gntdev_map.lock and sees no claim may rely on it. .khandle is set under user_lock,
 * with either a claim or gntdev_map.lock; it goes back to none under both locks, without
 * a claim.
 *
 * Files: file.c (the file, its offset space, the ioctls), map.c (kernel side), vma.c (user
 * side), pv.c (user PTEs that Xen writes), notify.c, copy.c, ext.c (newer ioctls), hv.c
 * (all hypercalls), stats.c (counters), tally.c (the same for a file and a domain), list.c (all
 * maps, for debugfs), quota.c (what a user may hold), backend.c (in-kernel API), dmabuf.c
 * (dma-bufs of grants), dmabuf_imp.c (grants of dma-bufs), dmabuf_pages.c (pages behind a
 * dma-buf).
 *
 * Intervals: 'first' and 'count' are in grants (pages), VA ranges are [start, end).
 */
#ifndef _XEN_GNTDEV_PRIVATE_H
#define _XEN_GNTDEV_PRIVATE_H

#include <linux/atomic.h>
#include <linux/eventfd.h>
#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <xen/grant_table.h>
#include <xen/gntdev.h>
#include <xen/interface/event_channel.h>

/*
 * Operations per hypercall: as many as a page table has entries. Where there is no memory
 * for so many (the invalidate callback must not wait for any), or no need, GNTDEV_FEW of
 * them are on the stack. Such arrays are __uninitialized: filling them with zeros would take
 * longer than what most calls do with them.
 */
#define GNTDEV_BATCH 512U
#define GNTDEV_FEW 24U

/* Grants that a loop looks at in one go under user_lock: some microseconds. */
#define GNTDEV_SCAN 1024U

/* gntdev_grant.flags */
#define GRANT_READONLY BIT(0) /* kernel side: mapped read-only */
#define GRANT_DROP BIT(1) /* give the kernel side back when the page is free */
#define GRANT_LEAKED BIT(2) /* Xen refused to unmap: page must never be reused */
#define GRANT_NEW BIT(3) /* kernel side mapped by the last gntdev_map_kernel() */
#define GRANT_CLAIMED BIT(4) /* has a user side */
#define GRANT_USER_READONLY BIT(5) /* ... one that may not write */
#define GRANT_ABSENT BIT(6) /* could not be mapped, and the caller can do without */

struct dentry;
struct seq_file;
struct gntdev_file;
struct gntdev_quota;
struct gntdev_user;

/**
 * struct gntdev_grant - one grant of a map
 * @ref: grant reference, in the granting domain's table
 * @khandle: handle of the kernel side, INVALID_GRANT_HANDLE when not mapped
 * @uhandle: handle of the user side (PV only), likewise
 * @domid: granting domain
 * @flags: GRANT_*
 * @page: stands for the granted frame; constant for the life of the map
 *
 * 24 bytes: there may be hundreds of thousands.
 */
struct gntdev_grant {
	grant_ref_t ref;
	grant_handle_t khandle;
	grant_handle_t uhandle;
	domid_t domid;
	u16 flags;
	struct page *page;
};

/**
 * struct gntdev_notify - what to do when the page it names is unmapped
 * @flags: UNMAP_NOTIFY_*
 * @offset: byte in the map
 * @evtchn: local port, a reference on it is held while UNMAP_NOTIFY_SEND_EVENT
 */
struct gntdev_notify {
	u32 flags;
	evtchn_port_t evtchn;
	u64 offset;
};

/**
 * struct gntdev_map - a run of grants mapped together
 * @users: the file's tree, every gntdev_user and the armed work hold one each
 * @count: number of grants
 * @index: file offset of the first grant, in pages
 * @lock: see the top of this file
 * @user_lock: see the top of this file
 * @armed: @work is queued or running and holds a reference; under @lock
 * @live: grants whose kernel side is mapped; under @user_lock
 * @claimed: grants that have a user side; under @user_lock
 * @leaked: Xen would not let go of a grant; under @user_lock
 * @deferred: grants that wait for their page; under @user_lock
 * @waits: since when each of them does, in jiffies, by its index, if there was memory to note
 *         that; changed under @user_lock, read without
 * @quota: of the unprivileged user who made it, or NULL
 * @file: file that it was made in, which may be closed; holds a reference; or NULL
 * @in_file: in the file's list, under its lock; or empty
 * @made: when, in jiffies
 * @backoff: ms until @work looks at busy pages again; under @lock
 * @notify: under @lock
 * @ack: eventfd that is told when nothing is mapped any more, or NULL; under @lock
 * @done: called when nothing is mapped any more and the map goes, or NULL
 * @done_priv: for @done
 * @backing: where the pages come from, if not from Xen's pool (dmabuf_pages.c), or NULL
 * @work: gives back grants that were busy
 * @grants: the grants, in file offset order
 */
struct gntdev_map {
	refcount_t users;
	unsigned int count;
	pgoff_t index;
	struct mutex lock; /* kernel side */
	spinlock_t user_lock; /* user side */
	bool armed;
	bool leaked;
	unsigned int live;
	unsigned int claimed;
	unsigned int deferred;
	unsigned int backoff;
	struct gntdev_notify notify;
	struct eventfd_ctx *ack;
	struct gntdev_quota *quota;
	struct gntdev_file *file;
	struct list_head in_file;
	unsigned long made;
	void (*done)(void *priv);
	void *done_priv;
	struct gntdev_backing *backing;
	struct xarray waits;
	struct delayed_work work;
	struct gntdev_grant *grants;
};

/**
 * struct gntdev_user - user side of a run of grants, as one mmap() made it
 * @notifier: covers the whole VA range, also after parts were unmapped
 * @map: holds a reference
 * @vmas: VMAs (a split makes more of them) that point here
 * @start: VA of grant @first
 * @first: index of the first grant
 * @count: grants covered
 * @writable: user PTEs may be made writable
 * @ptes: grants that have a PTE (PV only); under the map's user_lock
 * @pte_base: machine address of the PTE of @start if all lie in one page table (PV only), or
 *            0; that of the last installation, under the map's user_lock
 * @claims: a bit for each grant covered: it is ours; under the map's user_lock
 */
struct gntdev_user {
	struct mmu_interval_notifier notifier;
	struct gntdev_map *map;
	refcount_t vmas;
	unsigned int first;
	unsigned int count;
	bool writable;
	unsigned int ptes;
	u64 pte_base;
	unsigned long start;
	unsigned long claims[];
};

/* What is counted for each file and each domain, in operations of Xen: see tally.c */
enum gntdev_tally {
	TALLY_MAPPED, /* either side */
	TALLY_UNMAPPED, /* likewise */
	TALLY_COPIED,
	TALLY_ERRORS, /* operations refused, hypercalls failed */
	GNTDEV_NR_TALLIES
};

#define GNTDEV_TALLY_COLUMNS "mapped unmapped copied errors"

struct gntdev_tallies {
	atomic_long_t n[GNTDEV_NR_TALLIES];
};

/**
 * struct gntdev_tally_run - operations in a row that have not been added yet
 * @file: that they were done for, or NULL
 * @domid: that all of them are about
 * @what: what all of them are
 * @n: how many
 */
struct gntdev_tally_run {
	struct gntdev_file *file;
	domid_t domid;
	enum gntdev_tally what;
	unsigned int n;
};

/**
 * struct gntdev_offsets - a run of file offsets, in pages
 * @index: the first one
 * @count: how many
 */
struct gntdev_offsets {
	pgoff_t index;
	unsigned int count;
};

/* Runs of offsets that a file keeps for its next maps, see file.c */
#define GNTDEV_SPARE 32U

/**
 * struct gntdev_file - one open file
 * @lock: protects @maps, @nr_maps, @nr_spare, @spare, @all_maps and @closed
 * @maps: gntdev_map by file offset in pages
 * @nr_maps: how many there are in @maps
 * @nr_spare: how many runs there are in @spare
 * @spare: offsets that no map has, and that are taken in @maps all the same
 * @users: the descriptor, until it is closed, and every map made for this file
 * @all_maps: maps made in this file, also those no longer in @maps
 * @in_files: in the list of all files (list.c)
 * @number: of this file, since the module was loaded
 * @closed: the descriptor has gone
 * @pid: who opened it
 * @comm: likewise
 * @tallies: what has been done for it
 * @exports: dma-bufs made of grants; see dmabuf.c for its lock
 * @imports: dma-bufs granted to others; see dmabuf_imp.c for its lock
 */
struct gntdev_file {
	struct mutex lock; /* maps */
	struct maple_tree maps;
	unsigned int nr_maps;
	unsigned int nr_spare;
	struct gntdev_offsets spare[GNTDEV_SPARE];
	refcount_t users;
	struct list_head all_maps;
	struct list_head in_files;
	unsigned int number;
	bool closed;
	pid_t pid;
	char comm[TASK_COMM_LEN];
	struct gntdev_tallies tallies;
	struct list_head exports;
	struct list_head imports;
};

struct gntdev_stats {
	atomic_long_t maps;
	atomic_long_t kernel_side;
	atomic_long_t user_side;
	atomic_long_t user_ptes;
	atomic_long_t deferred;
	atomic_long_t leaked;
};

/* What is counted since the module was loaded, each in grants unless it says otherwise */
enum gntdev_total {
	TOTAL_MAPS, /* maps */
	TOTAL_HYPERCALLS, /* hypercalls */
	TOTAL_MAPPED_KERNEL,
	TOTAL_MAPPED_USER,
	TOTAL_UNMAPPED_KERNEL,
	TOTAL_UNMAPPED_USER,
	TOTAL_DEFERRED,
	TOTAL_UNDEFERRED,
	TOTAL_COPIED, /* copy operations */
	TOTAL_ERRORS, /* operations refused, hypercalls failed */
	GNTDEV_NR_TOTALS
};

struct gntdev_totals {
	unsigned long n[GNTDEV_NR_TOTALS];
};

extern struct gntdev_stats gntdev_stats;
DECLARE_PER_CPU(struct gntdev_totals, gntdev_totals);
extern struct workqueue_struct *gntdev_wq;
extern const struct vm_operations_struct gntdev_vm_ops;

static inline void gntdev_count(enum gntdev_total what, unsigned long n)
{
	this_cpu_add(gntdev_totals.n[what], n);
}

/* PV: Xen writes the user PTEs. Otherwise they are the mm's own. */
static inline bool gntdev_pv(void)
{
	return !xen_feature(XENFEAT_auto_translated_physmap);
}

/* Let others have user_lock now and then in a loop over grants, after grant @i. */
static inline void gntdev_relax(struct gntdev_map *map, unsigned int i)
{
	lockdep_assert_held(&map->user_lock);
	if (i % GNTDEV_SCAN == GNTDEV_SCAN - 1) {
		spin_unlock(&map->user_lock);
		cpu_relax();
		spin_lock(&map->user_lock);
	}
}

static inline unsigned long gntdev_user_end(const struct gntdev_user *user)
{
	return user->start + ((unsigned long)user->count << PAGE_SHIFT);
}

/* Index of the grant at @addr, which lies in @user's range. */
static inline unsigned int gntdev_user_grant(const struct gntdev_user *user,
					     unsigned long addr)
{
	return user->first + ((addr - user->start) >> PAGE_SHIFT);
}

/* Has @user claimed grant @i of its map? */
static inline bool gntdev_claimed_by(const struct gntdev_user *user,
				     unsigned int i)
{
	return i - user->first < user->count &&
	       test_bit(i - user->first, user->claims);
}

static inline bool gntdev_kernel_mapped(const struct gntdev_grant *grant)
{
	return grant->khandle != INVALID_GRANT_HANDLE;
}

/* file.c */
extern unsigned int gntdev_limit;

int gntdev_file_add(struct gntdev_file *file, struct gntdev_map *map);
int gntdev_file_remove(struct gntdev_file *file, pgoff_t index,
		       unsigned int count, const struct gntdev_map *only);
int gntdev_get_refs(struct gntdev_map *map,
		    const struct ioctl_gntdev_grant_ref __user *urefs);
struct gntdev_map *gntdev_find_map(struct gntdev_file *file, pgoff_t index,
				   unsigned long count);

/* map.c */
struct gntdev_map *gntdev_map_alloc(struct gntdev_file *file, unsigned int count);
void gntdev_map_get(struct gntdev_map *map);
void gntdev_map_put(struct gntdev_map *map);
int gntdev_map_ack(struct gntdev_map *map, struct eventfd_ctx *ack);
int gntdev_map_kernel(struct gntdev_map *map, unsigned int first,
		      unsigned int count, bool may_wait, s16 *status);
void gntdev_map_leaked(struct gntdev_map *map, struct gntdev_grant *grant,
		       bool user,
		       const struct gnttab_unmap_grant_ref *op);
void gntdev_map_undo(struct gntdev_map *map, unsigned int first,
		     unsigned int count);
void gntdev_map_release(struct gntdev_map *map, unsigned int first,
			unsigned int count);
int gntdev_map_init(void);
void gntdev_map_exit(void);
int gntdev_map_probe(const struct gntdev_grant *grant);
void gntdev_map_kernel_done(struct gntdev_map *map,
			    const struct gnttab_map_grant_ref *op,
			    unsigned int i);

/* hv.c */
int gntdev_errno(s16 status);
bool gntdev_errno_of_grant(int err);
int gntdev_hv_map(struct gntdev_file *file, struct gnttab_map_grant_ref *ops,
		  struct page **pages, unsigned int n);
int gntdev_hv_unmap(struct gntdev_file *file, struct gnttab_unmap_grant_ref *ops,
		    struct page **pages, unsigned int n);
int gntdev_hv_unmap_retried(struct gntdev_file *file,
			    struct gnttab_unmap_grant_ref *ops,
			    struct page **pages, unsigned int n);
int gntdev_hv_copy(struct gntdev_file *file, struct gnttab_copy *ops,
		   unsigned int n);
void gntdev_hv_flush_tlbs(void);
int gntdev_hv_query_size(struct gnttab_query_size *size);
void gntdev_hv_init(struct dentry *dir);

/* vma.c */
int gntdev_mmap(struct file *filp, struct vm_area_struct *vma);
int gntdev_mmap_map(struct gntdev_map *map, struct vm_area_struct *vma);

/* pv.c */
#ifdef CONFIG_XEN_PV
int gntdev_pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end);
unsigned int gntdev_pv_remove(struct gntdev_user *user, unsigned long start,
			      unsigned long end, bool hold);
void gntdev_pv_hold(struct gntdev_user *user, unsigned int first,
		    unsigned int count);
int gntdev_pv_kernel_side(struct gntdev_map *map, unsigned int i,
			  bool writable);
struct page *gntdev_pv_page(struct gntdev_user *user, unsigned long addr);
#else
static inline int gntdev_pv_install(struct gntdev_user *user,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end)
{
	return -ENODEV;
}

static inline unsigned int gntdev_pv_remove(struct gntdev_user *user,
					    unsigned long start,
					    unsigned long end, bool hold)
{
	return 0;
}

static inline void gntdev_pv_hold(struct gntdev_user *user, unsigned int first,
				  unsigned int count)
{
}

static inline int gntdev_pv_kernel_side(struct gntdev_map *map, unsigned int i,
					bool writable)
{
	return -ENODEV;
}

static inline struct page *gntdev_pv_page(struct gntdev_user *user,
					  unsigned long addr)
{
	return NULL;
}
#endif

/* notify.c */
int gntdev_notify_set(struct gntdev_map *map, u64 offset, u32 flags,
		      evtchn_port_t evtchn);
void gntdev_notify_released(struct gntdev_map *map, unsigned int first,
			    unsigned int count);
bool gntdev_notify_names(struct gntdev_map *map, unsigned int grant);
void gntdev_notify_clear_byte(struct gntdev_map *map);
void gntdev_notify_send_event(struct gntdev_map *map);

/* copy.c */
long gntdev_ioctl_copy(struct gntdev_file *file, void __user *arg);

/* ext.c */
long gntdev_ioctl_ext(struct gntdev_file *file, unsigned int cmd,
		      void __user *arg);

/* backend.c */
bool gntdev_any_readonly(const struct gntdev_map *map);
struct gntdev_map *gntdev_map_refs(const struct gntdev_ref *refs,
				   unsigned int count, bool writable, s16 *status);

/* dmabuf.c, dmabuf_imp.c, dmabuf_pages.c */
#ifdef CONFIG_XEN_GNTDEV_DMABUF
long gntdev_ioctl_dmabuf(struct gntdev_file *file, unsigned int cmd,
			 void __user *arg);
void gntdev_dmabuf_close(struct gntdev_file *file);
int gntdev_dmabuf_init(void);
void gntdev_dmabuf_exit(void);
long gntdev_dmabuf_imp_to_refs(struct gntdev_file *file, void __user *arg);
long gntdev_dmabuf_imp_release(struct gntdev_file *file, void __user *arg);
void gntdev_dmabuf_imp_close(struct gntdev_file *file);
struct device *gntdev_dmabuf_device(void);
int gntdev_backing_alloc(struct gntdev_map *map, u32 flags);
void gntdev_backing_free(struct gntdev_map *map);
int gntdev_pages_in_a_row(struct gntdev_map *map);
#else
static inline long gntdev_ioctl_dmabuf(struct gntdev_file *file,
				       unsigned int cmd, void __user *arg)
{
	return -ENOTTY;
}

static inline void gntdev_dmabuf_close(struct gntdev_file *file)
{
}

static inline int gntdev_dmabuf_init(void)
{
	return 0;
}

static inline void gntdev_dmabuf_exit(void)
{
}

static inline void gntdev_backing_free(struct gntdev_map *map)
{
}
#endif

/* list.c */
void gntdev_list_file(struct gntdev_file *file);
void gntdev_file_put(struct gntdev_file *file);
void gntdev_file_get(struct gntdev_file *file);
void gntdev_list_map(struct gntdev_file *file, struct gntdev_map *map);
void gntdev_unlist_map(struct gntdev_map *map);
void gntdev_list_init(struct dentry *dir);

/* quota.c */
struct gntdev_quota *gntdev_quota_charge(unsigned int count);
void gntdev_quota_uncharge(struct gntdev_quota *quota, unsigned int count);

/* tally.c */
void gntdev_tally_end(struct gntdev_tally_run *run);
void gntdev_tallies_show(struct seq_file *m, const struct gntdev_tallies *tallies);
void gntdev_tally_init(struct dentry *dir);

/* Count @n operations on grants of @domid. Ends with gntdev_tally_end(). */
static inline void gntdev_tally_many(struct gntdev_tally_run *run, domid_t domid,
				     enum gntdev_tally what, unsigned int n)
{
	if (unlikely(domid != run->domid || what != run->what)) {
		gntdev_tally_end(run);
		run->domid = domid;
		run->what = what;
	}
	run->n += n;
}

static inline void gntdev_tally(struct gntdev_tally_run *run, domid_t domid,
				enum gntdev_tally what)
{
	gntdev_tally_many(run, domid, what, 1);
}

/* Count an unmapping by its status; what a failed hypercall has not looked at is no unmapping. */
static inline void gntdev_tally_unmap(struct gntdev_tally_run *run, domid_t domid,
				      s16 status)
{
	if (status <= 0)
		gntdev_tally(run, domid,
			     status == GNTST_okay ? TALLY_UNMAPPED : TALLY_ERRORS);
}

/* stats.c */
void gntdev_stats_init(void);
void gntdev_stats_exit(void);

#endif /* _XEN_GNTDEV_PRIVATE_H */
