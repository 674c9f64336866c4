/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stock kernel's MMU notifiers, as far as the grant device is built on more than they do.
 *
 * It relies on a subscription that takes effect when insert returns: an invalidation that
 * starts later calls back. In the stock core that is so only as long as nothing collides in the
 * mm. While an invalidation that has called any subscription back is in flight, an insert is
 * put aside until that ends, and invalidations of the new range go by unseen:
 *
 *     reclaim of other memory            mmap() of grants           munmap() of these
 *     ------------------------------     ----------------------     ---------------------------
 *     invalidate_range_start(A)
 *       calls a GPU's subscription
 *                                        insert(B): put aside
 *                                        Xen writes the PTEs
 *                                                                   invalidate_range_start(B)
 *                                                                     calls nobody
 *                                                                   zaps PTEs that Xen guards
 *     invalidate_range_end(A)
 *       B is inserted
 *
 * In PV, dom0 does not survive that. The stock grant device has the same hole.
 *
 * So insert waits here until the subscription is in. What it may wait for is an invalidation
 * from the reverse map, which takes no mmap lock: everything that starts one with the mmap lock
 * is kept out by the caller, who holds it for write. The core's lockdep map, which
 * mmu_interval_read_begin() takes, watches over this.
 *
 * What the stock core does not do besides (see Documentation/packages.md) costs time, or is
 * not used by the grant device.
 */
#ifndef _GNTDEV_COMPAT_MMU_NOTIFIER_H
#define _GNTDEV_COMPAT_MMU_NOTIFIER_H

#include_next <linux/mmu_notifier.h>

#ifdef CONFIG_MMU_NOTIFIER
/**
 * gntdev_interval_notifier_insert_locked() - insert that takes effect on return
 * @interval_sub: subscription, as for mmu_interval_notifier_insert_locked()
 * @mm: likewise
 * @start: likewise
 * @length: likewise
 * @ops: likewise
 *
 * Context: mmap lock held for write. Sleeps, for as long as invalidations that are in flight
 *          in other parts of @mm need.
 * Return: 0, or what mmu_interval_notifier_insert_locked() returns.
 */
static inline int
gntdev_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
				       struct mm_struct *mm, unsigned long start,
				       unsigned long length,
				       const struct mmu_interval_notifier_ops *ops)
{
	int err = mmu_interval_notifier_insert_locked(interval_sub, mm, start,
						      length, ops);

	/* Nobody reads: only its waiting is wanted. */
	if (!err)
		mmu_interval_read_begin(interval_sub);
	return err;
}

#define mmu_interval_notifier_insert_locked \
	gntdev_interval_notifier_insert_locked
#endif

#endif /* _GNTDEV_COMPAT_MMU_NOTIFIER_H */
