/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MMU notifiers: who keeps a copy of a process's page table learns here when the
 * original changes. Documentation/mmu-notifier.md is the guide for driver writers,
 * mm/mmu_notifier.c explains how it works.
 *
 * Two kinds of subscribers:
 *
 *  - an interval notifier (struct mmu_interval_notifier) subscribes to a range of
 *    addresses and comes with the collision-retry protocol that filling a shadow
 *    page table needs. New code wants this one.
 *  - a plain notifier (struct mmu_notifier) hears of every change in the mm, may
 *    have a callback at the end of an invalidation, and serves the young bit.
 *
 * Source rules: what users of Linux 6.12 call is here with the same meaning, but for the
 * list in mmu-notifier.md. The two-pass callbacks have the names of Linux 7. What is
 * marked private belongs to the core. There is no user ABI in this file.
 *
 * An address range is written [start, end) where the field is called end, and
 * [start, last] where it is called last; both in bytes.
 */
#ifndef _LINUX_MMU_NOTIFIER_H
#define _LINUX_MMU_NOTIFIER_H

#include <linux/bits.h>
#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm_types.h>
#include <linux/mmap_lock.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/tracepoint-defs.h>

struct mmu_interval_notifier;
struct mmu_notifier;
struct mmu_notifier_range;
struct mmu_notifier_subscriptions;

/**
 * enum mmu_notifier_event - why a range is invalidated
 * @MMU_NOTIFY_UNMAP: munmap(), or the old place of an mremap(): the addresses
 *	themselves go away
 * @MMU_NOTIFY_CLEAR: entries are cleared or exchanged; the addresses stay mapped
 *	(madvise, copy on write, reclaim, migration, a split of a VMA)
 * @MMU_NOTIFY_PROTECTION_VMA: permissions of the whole range become those of its
 *	VMA (mprotect)
 * @MMU_NOTIFY_PROTECTION_PAGE: permissions of single pages change (write protection
 *	for write-back, KSM, fork)
 * @MMU_NOTIFY_SOFT_DIRTY: soft-dirty bits are cleared; same pages, and write access
 *	faults once more
 * @MMU_NOTIFY_RELEASE: the process has exited; only interval notifiers see this
 * @MMU_NOTIFY_MIGRATE: pages move to or from device memory; the range's owner is
 *	that of the device's pages, so that a device can know its own doing
 * @MMU_NOTIFY_EXCLUSIVE: a device gets exclusive access (owner: as the caller of
 *	make_device_exclusive_range() says) or loses it (owner: NULL)
 *
 * The event is a hint for doing less. A subscriber that ignores it and gives up
 * everything in the range is right.
 */
enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP = 0,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
	MMU_NOTIFY_RELEASE,
	MMU_NOTIFY_MIGRATE,
	MMU_NOTIFY_EXCLUSIVE,
};

/* mmu_notifier_range.flags: callbacks may sleep; set by the core */
#define MMU_NOTIFIER_RANGE_BLOCKABLE BIT(0)

/**
 * struct mmu_notifier_ops - callbacks of a plain notifier; all are optional
 *
 * Between unregistering and the return of mmu_notifier_unregister() any of them
 * may still run. All are called inside an SRCU read side critical section: none
 * may unregister a notifier or call mmu_notifier_synchronize().
 */
struct mmu_notifier_ops {
	/**
	 * @release: the mm's pages are about to be freed: the process has exited, or
	 * mmu_notifier_unregister() was called. Drop every shadow entry, let nobody
	 * make new ones. Called once or, when exit and unregister race, twice, at the
	 * same time too. No lock of the core is held, so it may wait for a worker
	 * that is itself inside an invalidation. May sleep.
	 *
	 * Without it the subscriber answers for it that no device access happens any
	 * more, speculative ones included, when the last thread of the mm is gone.
	 */
	void (*release)(struct mmu_notifier *subscription,
			struct mm_struct *mm);

	/**
	 * @clear_flush_young: test and clear the accessed bit in [start, end), and
	 * flush the device's TLB. Called under the page table lock: must not sleep.
	 * Returns nonzero if there was an access.
	 */
	int (*clear_flush_young)(struct mmu_notifier *subscription,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long end);

	/** @clear_young: the same without the need to flush. Must not sleep. */
	int (*clear_young)(struct mmu_notifier *subscription,
			   struct mm_struct *mm, unsigned long start,
			   unsigned long end);

	/** @test_young: was @address accessed? Changes nothing. Must not sleep. */
	int (*test_young)(struct mmu_notifier *subscription,
			  struct mm_struct *mm, unsigned long address);

	/**
	 * @invalidate_range_start: the entries of the range are about to change.
	 * When it returns no device uses the old ones, and until @invalidate_range_end
	 * nobody makes new ones from what the CPU's page table says. Pages in the
	 * range are still allocated.
	 *
	 * Invalidations nest and run at the same time on several CPUs. The mmap lock
	 * may or may not be held (reclaim holds a reverse map lock only): do not look
	 * for VMAs here.
	 *
	 * May sleep if mmu_notifier_range_blockable(). Otherwise it returns -EAGAIN
	 * when it would have to; a notifier that can return -EAGAIN must not have an
	 * @invalidate_range_end, as it could not know which of its starts failed.
	 */
	int (*invalidate_range_start)(struct mmu_notifier *subscription,
				      const struct mmu_notifier_range *range);

	/**
	 * @invalidate_range_end: the entries have changed, and the pages may have
	 * been freed. Called once for each start that was called and did not fail.
	 */
	void (*invalidate_range_end)(struct mmu_notifier *subscription,
				     const struct mmu_notifier_range *range);

	/**
	 * @arch_invalidate_secondary_tlbs: for a device that walks the CPU's own page
	 * table: flush its TLB for [start, end). Called by the architecture where it
	 * flushes its own, under the page table lock: must not sleep. Excludes
	 * @invalidate_range_start and @invalidate_range_end.
	 */
	void (*arch_invalidate_secondary_tlbs)(struct mmu_notifier *subscription,
					       struct mm_struct *mm,
					       unsigned long start,
					       unsigned long end);

	/**
	 * @alloc_notifier: for mmu_notifier_get(): a new notifier for @mm, or an
	 * ERR_PTR(). Called with the mmap lock held for write.
	 */
	struct mmu_notifier *(*alloc_notifier)(struct mm_struct *mm);

	/**
	 * @free_notifier: for mmu_notifier_put(): free what @alloc_notifier gave.
	 * Nothing else runs on it any more. Called from an SRCU callback: must not
	 * sleep.
	 */
	void (*free_notifier)(struct mmu_notifier *subscription);
};

/**
 * struct mmu_notifier - a plain notifier, embedded in its owner's structure
 * @ops: set by the owner before it registers
 * @mm: valid memory while registered; to use the address space, take
 *	mmget_not_zero() first
 */
struct mmu_notifier {
	/* private: */
	struct hlist_node hlist;
	/* public: */
	const struct mmu_notifier_ops *ops;
	struct mm_struct *mm;
	/* private: */
	struct rcu_head rcu;
	unsigned int users;
};

/**
 * struct mmu_interval_notifier_finish - a second pass that was asked for
 * @link: private
 * @notifier: whose; set by the core
 *
 * Usually embedded in a structure with what the second pass has to wait for. One
 * for each invalidation: several may be in flight on one subscription. Allocate
 * with GFP_NOWAIT or from a pool of the subscription's own; without one, do all
 * the work in the first pass.
 */
struct mmu_interval_notifier_finish {
	struct llist_node link;
	struct mmu_interval_notifier *notifier;
};

/**
 * struct mmu_interval_notifier_ops - callbacks of an interval notifier
 *
 * Either @invalidate, or @invalidate_start and @invalidate_finish.
 */
struct mmu_interval_notifier_ops {
	/**
	 * @invalidate: the entries of @range are about to change. Take the lock that
	 * also covers mmu_interval_read_retry(), call mmu_interval_set_seq() with
	 * @cur_seq, drop the shadow entries that lie in the range, release the lock;
	 * when it returns no device uses them.
	 *
	 * May sleep if mmu_notifier_range_blockable(range). Returns false only if it
	 * is not, and it would have had to; then nothing of the invalidation happens.
	 */
	bool (*invalidate)(struct mmu_interval_notifier *interval_sub,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq);

	/**
	 * @invalidate_start: like @invalidate, but may leave waiting for the device
	 * to a second pass: it then sets *@finish (which is NULL when it is called),
	 * and returns true.
	 * All first passes of an invalidation come before its second ones, so that
	 * several devices work at the same time.
	 */
	bool (*invalidate_start)(struct mmu_interval_notifier *interval_sub,
				 const struct mmu_notifier_range *range,
				 unsigned long cur_seq,
				 struct mmu_interval_notifier_finish **finish);

	/**
	 * @invalidate_finish: the second pass; when it returns no device uses the
	 * range's old entries. Called exactly once for each @finish that was set, in
	 * the order in which they were, also when a later subscriber refused a
	 * non-blockable invalidation. It owns @finish and may free it. May sleep if
	 * the first pass was allowed to.
	 */
	void (*invalidate_finish)(struct mmu_interval_notifier_finish *finish);
};

/**
 * struct mmu_interval_notifier - a subscription to [start, last] of an mm
 * @interval_tree: .start and .last are what was subscribed to; valid from insert
 *	until the next insert, constant
 * @ops: as given to insert
 * @mm: allocated memory until remove returns; to use the address space, take
 *	mmget_not_zero() first
 */
struct mmu_interval_notifier {
	struct interval_tree_node interval_tree;
	const struct mmu_interval_notifier_ops *ops;
	struct mm_struct *mm;
	/* private: */
	struct mn_waiter *remover;
	unsigned long invalidate_seq;
};

#ifdef CONFIG_MMU_NOTIFIER

#ifdef CONFIG_LOCKDEP
/* Stands for everything that a callback may wait for. */
extern struct lockdep_map __mmu_notifier_invalidate_range_start_map;
#endif

/**
 * struct mmu_notifier_range - one invalidation
 * @mm: whose
 * @start: first byte
 * @end: byte after the last one
 * @flags: MMU_NOTIFIER_RANGE_*
 * @event: why
 * @owner: whose doing, for MMU_NOTIFY_MIGRATE and MMU_NOTIFY_EXCLUSIVE
 *
 * Made by mmu_notifier_range_init() or mmu_notifier_range_init_owner(). From start to
 * end it is linked into the core's lists: it must stay where it is, unchanged.
 */
struct mmu_notifier_range {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned int flags;
	enum mmu_notifier_event event;
	void *owner;
	/* private: */
	struct hlist_node in_flight;
	struct mn_slot *slot;
	unsigned long seq;
};

static inline int mm_has_notifiers(struct mm_struct *mm)
{
	return unlikely(mm->notifier_subscriptions);
}

/* -- plain notifiers: registration ------------------------------------------ */

int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm);
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm);
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm);

struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm);
void mmu_notifier_put(struct mmu_notifier *subscription);
void mmu_notifier_synchronize(void);

/**
 * mmu_notifier_get - mmu_notifier_get_locked() for who does not hold the mmap lock
 * @ops: identifies the notifier, and makes it
 * @mm: mm to be notified of; the caller holds a reference of its users
 *
 * Context: takes the mmap lock for write. May sleep.
 * Return: the notifier, or an ERR_PTR() as from mmu_notifier_get_locked().
 */
static inline struct mmu_notifier *
mmu_notifier_get(const struct mmu_notifier_ops *ops, struct mm_struct *mm)
{
	struct mmu_notifier *subscription;

	mmap_write_lock(mm);
	subscription = mmu_notifier_get_locked(ops, mm);
	mmap_write_unlock(mm);
	return subscription;
}

/* -- interval notifiers ----------------------------------------------------- */

int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops);
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm, unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops);
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub);

unsigned long
mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub);
bool mmu_interval_try_read_begin(struct mmu_interval_notifier *interval_sub,
				 unsigned long *seq);

DECLARE_TRACEPOINT(mmu_interval_retry);
void __mmu_interval_trace_retry(struct mmu_interval_notifier *interval_sub,
				unsigned long seq);

/**
 * mmu_interval_set_seq - note a collision, from the invalidate callback
 * @interval_sub: the subscription that the callback was called for
 * @cur_seq: as given to the callback; always odd
 *
 * To be called by every invalidate (or invalidate_start) that drops anything, under
 * the lock under which readers call mmu_interval_read_retry(). A subscriber that
 * never reads (never calls mmu_interval_read_begin()) need not.
 */
static inline void
mmu_interval_set_seq(struct mmu_interval_notifier *interval_sub,
		     unsigned long cur_seq)
{
	/*
	 * Release: a reader that sees this number also sees that the invalidation
	 * is in flight (or over). Pairs with read_begin's acquire.
	 */
	smp_store_release(&interval_sub->invalidate_seq, cur_seq);
}

/**
 * mmu_interval_read_retry - end a read: was there a collision?
 * @interval_sub: the subscription
 * @seq: what the read_begin of this read returned
 *
 * Context: under the driver's lock that its invalidate callback takes to call
 *	mmu_interval_set_seq(). What was read goes into the shadow page table before
 *	that lock is released.
 * Return: true if what was read may be stale: drop it and begin again.
 */
static inline bool
mmu_interval_read_retry(struct mmu_interval_notifier *interval_sub,
			unsigned long seq)
{
	if (likely(interval_sub->invalidate_seq == seq))
		return false;
	if (tracepoint_enabled(mmu_interval_retry))
		__mmu_interval_trace_retry(interval_sub, seq);
	return true;
}

/**
 * mmu_interval_check_retry - is it already clear that a read will have to retry?
 * @interval_sub: the subscription
 * @seq: what the read_begin of this read returned
 *
 * To give up long work early. Needs no lock, may be called any number of times.
 *
 * Return: true if mmu_interval_read_retry() would return true from now on. False
 *	means nothing.
 */
static inline bool
mmu_interval_check_retry(struct mmu_interval_notifier *interval_sub,
			 unsigned long seq)
{
	return READ_ONCE(interval_sub->invalidate_seq) != seq;
}

/* -- for the core mm: announcing changes ------------------------------------ */

void __mmu_notifier_subscriptions_destroy(struct mm_struct *mm);
void __mmu_notifier_release(struct mm_struct *mm);
int __mmu_notifier_clear_flush_young(struct mm_struct *mm, unsigned long start,
				     unsigned long end);
int __mmu_notifier_clear_young(struct mm_struct *mm, unsigned long start,
			       unsigned long end);
int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address);
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range);
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range);
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end);

/**
 * mmu_notifier_range_init - describe an invalidation
 * @range: to fill in
 * @event: why
 * @flags: 0; the core sets MMU_NOTIFIER_RANGE_BLOCKABLE
 * @mm: whose
 * @start: first byte
 * @end: byte after the last one
 */
static inline void mmu_notifier_range_init(struct mmu_notifier_range *range,
					   enum mmu_notifier_event event,
					   unsigned int flags,
					   struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	range->mm = mm;
	range->start = start;
	range->end = end;
	range->flags = flags;
	range->event = event;
	range->owner = NULL;
}

/**
 * mmu_notifier_range_init_owner - mmu_notifier_range_init() that says whose doing
 * @range: to fill in
 * @event: why: MMU_NOTIFY_MIGRATE or MMU_NOTIFY_EXCLUSIVE
 * @flags: 0
 * @mm: whose
 * @start: first byte
 * @end: byte after the last one
 * @owner: of the device memory or of the exclusive access
 */
static inline void
mmu_notifier_range_init_owner(struct mmu_notifier_range *range,
			      enum mmu_notifier_event event, unsigned int flags,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long end, void *owner)
{
	mmu_notifier_range_init(range, event, flags, mm, start, end);
	range->owner = owner;
}

/* May a callback sleep? */
static inline bool
mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE;
}

/**
 * mmu_notifier_invalidate_range_start - before page table entries change
 * @range: which, and why
 *
 * Context: may sleep. The mmap lock or a reverse map lock is held, from here until
 *	mmu_notifier_invalidate_range_end(), which must follow.
 */
static inline void
mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	might_sleep();

	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	if (mm_has_notifiers(range->mm)) {
		range->flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
		__mmu_notifier_invalidate_range_start(range);
	}
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/**
 * mmu_notifier_invalidate_range_start_nonblock - the same for who must not wait
 * @range: which, and why
 *
 * For the OOM reaper.
 *
 * Context: does not sleep in a callback. Locks as for the blockable one.
 * Return: 0; or -EAGAIN if a subscriber would have had to sleep: everything is as
 *	before, the entries must not change, and there is nothing to end.
 */
static inline int __must_check
mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range)
{
	int ret = 0;

	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	if (mm_has_notifiers(range->mm)) {
		range->flags &= ~MMU_NOTIFIER_RANGE_BLOCKABLE;
		ret = __mmu_notifier_invalidate_range_start(range);
	}
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
	return ret;
}

/**
 * mmu_notifier_invalidate_range_end - after page table entries have changed
 * @range: the same that was started
 *
 * Context: as the start that it belongs to.
 */
static inline void
mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	if (mmu_notifier_range_blockable(range))
		might_sleep();

	if (mm_has_notifiers(range->mm))
		__mmu_notifier_invalidate_range_end(range);
}

static inline void mmu_notifier_release(struct mm_struct *mm)
{
	if (mm_has_notifiers(mm))
		__mmu_notifier_release(mm);
}

static inline int mmu_notifier_clear_flush_young(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	if (mm_has_notifiers(mm))
		return __mmu_notifier_clear_flush_young(mm, start, end);
	return 0;
}

static inline int mmu_notifier_clear_young(struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	if (mm_has_notifiers(mm))
		return __mmu_notifier_clear_young(mm, start, end);
	return 0;
}

static inline int mmu_notifier_test_young(struct mm_struct *mm,
					  unsigned long address)
{
	if (mm_has_notifiers(mm))
		return __mmu_notifier_test_young(mm, address);
	return 0;
}

static inline void
mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
					    unsigned long start,
					    unsigned long end)
{
	if (mm_has_notifiers(mm))
		__mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end);
}

static inline void mmu_notifier_subscriptions_init(struct mm_struct *mm)
{
	mm->notifier_subscriptions = NULL;
}

static inline void mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
	if (mm_has_notifiers(mm))
		__mmu_notifier_subscriptions_destroy(mm);
}

/*
 * Test and clear the accessed bit of a CPU's entry and of all shadows of it: what
 * the CPU primitive says, or-ed with what the subscribers say.
 */
#define __mmu_notifier_young(primitive, notify, vma, address, entry, size)	\
	({									\
		struct vm_area_struct *__young_vma = (vma);			\
		unsigned long __young_addr = (address);				\
		int __young = primitive(__young_vma, __young_addr, entry);	\
		__young | (notify)(__young_vma->vm_mm, __young_addr,		\
				   __young_addr + (size));			\
	})

#define ptep_clear_flush_young_notify(vma, address, ptep)			\
	__mmu_notifier_young(ptep_clear_flush_young,				\
			     mmu_notifier_clear_flush_young,			\
			     vma, address, ptep, PAGE_SIZE)
#define pmdp_clear_flush_young_notify(vma, address, pmdp)			\
	__mmu_notifier_young(pmdp_clear_flush_young,				\
			     mmu_notifier_clear_flush_young,			\
			     vma, address, pmdp, PMD_SIZE)
#define ptep_clear_young_notify(vma, address, ptep)				\
	__mmu_notifier_young(ptep_test_and_clear_young,				\
			     mmu_notifier_clear_young,				\
			     vma, address, ptep, PAGE_SIZE)
#define pmdp_clear_young_notify(vma, address, pmdp)				\
	__mmu_notifier_young(pmdp_test_and_clear_young,				\
			     mmu_notifier_clear_young,				\
			     vma, address, pmdp, PMD_SIZE)

#else /* !CONFIG_MMU_NOTIFIER */

/* Callers change these two between init and start. */
struct mmu_notifier_range {
	unsigned long start;
	unsigned long end;
};

static inline void mmu_notifier_range_init(struct mmu_notifier_range *range,
					   enum mmu_notifier_event event,
					   unsigned int flags,
					   struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	range->start = start;
	range->end = end;
}

static inline void
mmu_notifier_range_init_owner(struct mmu_notifier_range *range,
			      enum mmu_notifier_event event, unsigned int flags,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long end, void *owner)
{
	mmu_notifier_range_init(range, event, flags, mm, start, end);
}

static inline bool
mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return true;
}

static inline int mm_has_notifiers(struct mm_struct *mm)
{
	return 0;
}

static inline void
mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
}

static inline int __must_check
mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range)
{
	return 0;
}

static inline void
mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
}

static inline void mmu_notifier_release(struct mm_struct *mm)
{
}

static inline int mmu_notifier_clear_flush_young(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	return 0;
}

static inline int mmu_notifier_clear_young(struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	return 0;
}

static inline int mmu_notifier_test_young(struct mm_struct *mm,
					  unsigned long address)
{
	return 0;
}

static inline void
mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
					    unsigned long start,
					    unsigned long end)
{
}

static inline void mmu_notifier_subscriptions_init(struct mm_struct *mm)
{
}

static inline void mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
}

static inline void mmu_notifier_synchronize(void)
{
}

#define ptep_clear_flush_young_notify ptep_clear_flush_young
#define pmdp_clear_flush_young_notify pmdp_clear_flush_young
#define ptep_clear_young_notify ptep_test_and_clear_young
#define pmdp_clear_young_notify pmdp_test_and_clear_young

#endif /* CONFIG_MMU_NOTIFIER */

#endif /* _LINUX_MMU_NOTIFIER_H */
