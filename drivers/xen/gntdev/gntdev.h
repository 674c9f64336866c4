/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Private header of the grant device, /dev/xen/gntdev.
 *
 * The objects
 * ===========
 *
 *   gntdev_file    one open file: the maps in it, found by file offset
 *   gntdev_map     a run of grants that one MAP_GRANT_REF mapped together
 *   gntdev_grant   one grant of a map: 32 bytes, what unmapping needs
 *   gntdev_user    the user side of (part of) a map: made by one mmap(), tracked
 *                  by one interval notifier, shared by the VMAs that it may be
 *                  split into
 *
 *   file ---tree---> map[grants...] <--- user <--- VMA, VMA, ...
 *                       grant.user -----> user
 *
 * A grant has two sides, and the order between them is what this driver is about:
 *
 *   kernel side   the struct page that stands for the granted frame, and its
 *                 mapping: in the linear map (PV) or in the second-level tables
 *                 (auto-translated). Made in MAP_GRANT_REF, where waiting for
 *                 the guest hurts nobody, and once more in mmap() if a munmap()
 *                 has given it back.
 *   user side     the claim of a VMA, and what the process's page tables say. The
 *                 PTEs are a shadow that invalidations take away and faults bring
 *                 back; the claim ends when the VMA is closed.
 *
 *   The kernel side of a grant is given back to Xen only when it has no user side
 *   and nobody else holds a reference on its page (I/O in flight, pages pinned or
 *   spliced). A page that is still held waits for itself alone.
 *
 * Life of one grant
 * =================
 *
 *     MAP_GRANT_REF            mmap                  munmap, exit, kill
 *   o ------------> MAPPED ------------> CLAIMED ------------------------+
 *                     |  ^                                               |
 *                     |  +----- mmap again, if still mapped ----+        |
 *   UNMAP_GRANT_REF,  |                                         |        |
 *   close()           v                                         |        v
 *                  page free? -- yes --> given back to Xen: o   +----- DROP
 *                     ^   | no: DROP, looked at again by the map's work  |
 *                     +---+----------------------------------------------+
 *
 * Locks
 * =====
 *
 *   mmap_lock (of the process)
 *     gntdev_file.lock          the tree of maps, the list of maps
 *     gntdev_map.lock           kernel side: khandle, page, notification
 *       page table lock         (taken by the mm for us)
 *       gntdev_map.user_lock    user side: grant.user, .uhandle, .flags
 *
 * Outer locks stand to the left; locks in one column are not held together. (list.c has a
 * lock of its own around gntdev_file.lock; nothing that maps or unmaps takes it.) No user
 * memory is touched under any of them, and nothing under them waits for a guest, so
 * the mmap lock is never held at a guest's mercy.
 *
 * user_lock is a spinlock because the invalidate callback must be able to go on when
 * it may not sleep. It is held across the hypercall that clears PTEs, because a second
 * invalidation of the same pages may return only when they are clear.
 *
 * grant.user goes from NULL to a user only under both locks of the map, and back
 * to NULL (or, by mremap, to another user) under user_lock alone. Whoever holds
 * gntdev_map.lock and sees NULL may rely on it.
 *
 * Files: file.c (the file, its offset space, the ioctls), map.c (kernel side), vma.c (user
 * side), pv.c (user PTEs that Xen writes), notify.c, copy.c, hv.c (all hypercalls), stats.c
 * (counters), list.c (all maps, for debugfs).
 *
 * Intervals: 'first' and 'count' are in grants (pages), VA ranges are [start, end).
 */
#ifndef _XEN_GNTDEV_PRIVATE_H
#define _XEN_GNTDEV_PRIVATE_H

#include <linux/atomic.h>
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

#include <xen/grant_table.h>
#include <xen/gntdev.h>
#include <xen/interface/event_channel.h>

/*
 * Operations per hypercall. The arrays live on the stack (the invalidate callback
 * cannot allocate): 32 map operations are 1 KiB. Larger batches of unmaps would
 * gain nothing, Xen itself works and flushes TLBs in steps of 32.
 */
#define GNTDEV_BATCH 32U
#define GNTDEV_BATCH_BYTES ((unsigned long)GNTDEV_BATCH << PAGE_SHIFT)

/* Grants that a loop looks at in one go under user_lock: some microseconds. */
#define GNTDEV_SCAN 1024U

/* gntdev_grant.flags */
#define GRANT_READONLY BIT(0) /* granted read-only */
#define GRANT_DROP BIT(1) /* give the kernel side back when the page is free */
#define GRANT_LEAKED BIT(2) /* Xen refused to unmap: page must never be reused */
#define GRANT_NEW BIT(3) /* kernel side mapped by the last gntdev_map_kernel() */

struct dentry;
struct gntdev_file;
struct gntdev_user;

/**
 * struct gntdev_grant - one grant of a map
 * @ref: grant reference, in the granting domain's table
 * @khandle: handle of the kernel side, INVALID_GRANT_HANDLE when not mapped
 * @uhandle: handle of the user side (PV only), likewise
 * @domid: granting domain
 * @flags: GRANT_*
 * @page: stands for the granted frame; constant for the life of the map
 * @user: user side that covers this grant, or NULL
 */
struct gntdev_grant {
	grant_ref_t ref;
	grant_handle_t khandle;
	grant_handle_t uhandle;
	domid_t domid;
	u16 flags;
	struct page *page;
	struct gntdev_user *user;
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
 * @live: grants whose kernel side is mapped, under @lock
 * @claimed: grants that have a user side, under @user_lock
 * @deferred: grants that wait for their page, under @user_lock
 * @file: file that it was made in, which may be closed; or NULL
 * @in_file: in the file's list, under its lock
 * @made: when, in jiffies
 * @backoff: ms until @work looks at busy pages again; under @lock
 * @notify: under @lock
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
	unsigned int live;
	unsigned int claimed;
	unsigned int deferred;
	unsigned int backoff;
	struct gntdev_notify notify;
	struct gntdev_file *file;
	struct list_head in_file;
	unsigned long made;
	struct delayed_work work;
	struct gntdev_grant grants[] __counted_by(count);
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
 */
struct gntdev_user {
	struct mmu_interval_notifier notifier;
	struct gntdev_map *map;
	refcount_t vmas;
	unsigned int first;
	unsigned int count;
	bool writable;
	unsigned long start;
};

/**
 * struct gntdev_file - one open file
 * @lock: protects @maps, @all_maps and @closed
 * @maps: gntdev_map by file offset in pages
 * @users: the descriptor, until it is closed, and every map made in this file
 * @all_maps: maps made in this file, also those no longer in @maps
 * @in_files: in the list of all files (list.c)
 * @number: of this file, since the module was loaded
 * @closed: the descriptor has gone
 * @pid: who opened it
 * @comm: likewise
 */
struct gntdev_file {
	struct mutex lock; /* maps */
	struct maple_tree maps;
	refcount_t users;
	struct list_head all_maps;
	struct list_head in_files;
	unsigned int number;
	bool closed;
	pid_t pid;
	char comm[TASK_COMM_LEN];
};

struct gntdev_stats {
	atomic_long_t maps;
	atomic_long_t kernel_side;
	atomic_long_t user_side;
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

/* file.c */
struct gntdev_map *gntdev_find_map(struct gntdev_file *file, pgoff_t index,
				   unsigned long count);

/* map.c */
struct gntdev_map *gntdev_map_alloc(unsigned int count);
void gntdev_map_get(struct gntdev_map *map);
void gntdev_map_put(struct gntdev_map *map);
int gntdev_map_kernel(struct gntdev_map *map, unsigned int first,
		      unsigned int count, bool may_wait);
void gntdev_map_undo(struct gntdev_map *map, unsigned int first,
		     unsigned int count);
void gntdev_map_release(struct gntdev_map *map, unsigned int first,
			unsigned int count);
int gntdev_unmap_retried(struct gnttab_unmap_grant_ref *ops, struct page **pages,
			 unsigned int n);

/* vma.c */
int gntdev_mmap(struct file *filp, struct vm_area_struct *vma);

/* pv.c */
#ifdef CONFIG_XEN_PV
int gntdev_pv_install(struct gntdev_user *user, struct vm_area_struct *vma,
		      unsigned long start, unsigned long end);
unsigned long gntdev_pv_remove(struct gntdev_user *user, unsigned long start,
			       unsigned long end);
#else
static inline int gntdev_pv_install(struct gntdev_user *user,
				    struct vm_area_struct *vma,
				    unsigned long start, unsigned long end)
{
	return -ENODEV;
}

static inline unsigned long gntdev_pv_remove(struct gntdev_user *user,
					     unsigned long start,
					     unsigned long end)
{
	return 0;
}
#endif

/* notify.c */
int gntdev_notify_set(struct gntdev_map *map, u64 offset, u32 flags,
		      evtchn_port_t evtchn);
bool gntdev_notify_names(struct gntdev_map *map, unsigned int grant);
void gntdev_notify_clear_byte(struct gntdev_map *map);
void gntdev_notify_send_event(struct gntdev_map *map);

/* copy.c */
long gntdev_ioctl_copy(void __user *arg);

/* hv.c */
int gntdev_hv_map(struct gnttab_map_grant_ref *ops, struct page **pages,
		  unsigned int n);
int gntdev_hv_unmap(struct gnttab_unmap_grant_ref *ops, struct page **pages,
		    unsigned int n);
int gntdev_hv_copy(struct gnttab_copy *ops, unsigned int n);
int gntdev_errno(s16 status);
void gntdev_hv_init(struct dentry *dir);

/* list.c */
void gntdev_list_file(struct gntdev_file *file);
void gntdev_file_put(struct gntdev_file *file);
void gntdev_list_map(struct gntdev_file *file, struct gntdev_map *map);
void gntdev_unlist_map(struct gntdev_map *map);
void gntdev_list_init(struct dentry *dir);

/* stats.c */
void gntdev_stats_init(void);
void gntdev_stats_exit(void);

#endif /* _XEN_GNTDEV_PRIVATE_H */
