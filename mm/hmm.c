// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process's page table says about a range of addresses, for a device that mirrors
 * it. Documentation/hmm.md is the guide for drivers; here is how it works.
 *
 * A call walks the range and writes one entry per page. What the walk reads is right at
 * that moment and may be wrong at the next: page tables are locked one at a time and let
 * go at once, and no page is referenced. It becomes usable by the protocol of
 * mmu_interval_read_begin(): any change of an entry is an invalidation, and whoever reads
 * entries under a sequence number asks in the end, under the lock that the callback takes,
 * whether there has been one.
 *
 * The walk reads, and never faults. The first page that is not as the caller asked ends
 * it, and what is missing up to the end of that page table is written down in a list
 * (struct hmm_todo). Then, with no page table locked, pages on the list are faulted, and
 * the walk goes on at the first of them:
 *
 *	 walk              entries    [ out | out | in  | in  | in  | in ... )
 *	                                            ^ resume: the first that is missing
 *	 faults            some of the list
 *	 walk from resume  ...
 *
 * So entries below resume are outputs and all others still hold the caller's requests,
 * which is also what a caller finds after an error.
 *
 * How many pages are faulted before the walk looks again: one to begin with, because one
 * fault may bring more than its page (a huge page, a large folio, the pages around in the
 * page cache). If what is missing then is exactly what comes next on the list, the next
 * round is eight times as long; if not, it is one page again.
 *
 * Locks: the caller holds the mmap lock, for reading at least (or nobody does:
 * hmm_range_fault_unlocked_timeout() takes it). Under it one page table lock, or the
 * hugetlb VMA lock and a page table lock; neither across a fault.
 */
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "hmm_internal.h"
#include "mmu_notifier_internal.h"

/*
 * Faults one page. Returns 0 if it is worth looking again; -EAGAIN if that is so, but the
 * mmap lock was dropped (@flags allow it) and is not held.
 */
static int hmm_fault_page(struct vm_area_struct *vma, unsigned long addr,
			  unsigned int flags)
{
	vm_fault_t ret;

	if (flags & FAULT_FLAG_WRITE && !(vma->vm_flags & VM_WRITE))
		return -EPERM;
	ret = handle_mm_fault(vma, addr, flags, NULL);
	if (ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED))
		return -EAGAIN;
	if (ret & VM_FAULT_ERROR)
		return vm_fault_to_errno(ret, 0);
	return 0;
}

/* How many faults to the next look: see the top of the file. */
static unsigned int hmm_round(struct hmm_walk *walk)
{
	const struct hmm_todo *todo = &walk->todo;

	if (walk->expected == todo->start)
		walk->batch = min(HMM_BATCH_STEP * walk->batch, PTRS_PER_PTE);
	else if (walk->expected)
		walk->batch = 1;
	return todo->huge ? 1 : walk->batch;
}

/* The first page of the list at or above @addr; its end if there is none. */
static unsigned long hmm_todo_next(const struct hmm_todo *todo, unsigned long addr)
{
	unsigned long i, base = hmm_todo_base(todo);

	if (!todo->sparse || addr >= todo->end)
		return addr;
	i = find_next_bit(todo->fault, PTRS_PER_PTE, (addr - base) >> PAGE_SHIFT);
	return base + (i << PAGE_SHIFT);
}

static bool hmm_todo_is_write(const struct hmm_todo *todo, unsigned long addr)
{
	if (!todo->sparse)
		return todo->write;
	return test_bit((addr - hmm_todo_base(todo)) >> PAGE_SHIFT, todo->fault_write);
}

/* Faults pages of the list. Returns as hmm_fault_page(). */
static int hmm_fault_listed(struct hmm_walk *walk, unsigned int flags)
{
	const struct hmm_todo *todo = &walk->todo;
	unsigned int write, left = hmm_round(walk);
	unsigned long addr = todo->start;
	int ret;

	walk->expected = 0;
	do {
		write = hmm_todo_is_write(todo, addr) ? FAULT_FLAG_WRITE : 0;
		ret = hmm_fault_page(todo->vma, addr, flags | write);
		/* Outputs up to this page first; then it will fail again. */
		if (ret && ret != -EAGAIN && addr != todo->start)
			return 0;
		if (ret)
			return ret;
		addr = hmm_todo_next(todo, addr + PAGE_SIZE);
	} while (--left && addr < todo->end);

	if (addr < todo->end)
		walk->expected = addr;
	return 0;
}

/*
 * Goes through the range from walk->resume on, under the mmap lock. Returns 0 or an error
 * of hmm_range_fault(); or -EAGAIN as hmm_fault_page().
 */
static int hmm_walk_range(struct hmm_walk *walk, unsigned int flags)
{
	const struct hmm_range *range = walk->range;
	struct mm_struct *mm = range->notifier->mm;
	int ret;

	for (;;) {
		if (mmu_interval_check_retry(range->notifier, range->notifier_seq))
			return -EBUSY;
		ret = walk_page_range(mm, walk->resume, range->end, &hmm_walk_ops, walk);
		if (ret != HMM_WALK_FAULT)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = hmm_fault_listed(walk, flags);
		if (ret)
			return ret;
		/* That was for a round of one, the page whose fault has dropped the lock. */
		flags &= ~FAULT_FLAG_TRIED;
		cond_resched();
	}
}

static bool hmm_range_is_sane(const struct hmm_range *range)
{
	return range->start < range->end && PAGE_ALIGNED(range->start | range->end);
}

static void hmm_walk_init(struct hmm_walk *walk, struct hmm_range *range)
{
	walk->range = range;
	walk->resume = range->start;
	walk->default_req = range->default_flags & (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	walk->req_mask = range->pfn_flags_mask & (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	walk->batch = 1;
	walk->expected = 0;
}

/**
 * hmm_range_fault - find out what is mapped in a range, and fault in what is asked for
 * @range: see struct hmm_range; @range->notifier_seq comes from mmu_interval_read_begin()
 *
 * For those who hold the mmap lock for reasons of their own. Pages that only come when
 * that lock is dropped (userfaultfd) are an -EFAULT here: everybody else calls
 * hmm_range_fault_unlocked_timeout().
 *
 * Without a request it faults nothing and waits for nothing. The caller holds a reference
 * to the mm (mmget()).
 *
 * Context: may sleep. The mmap lock is held, for reading at least. Not under a lock that
 *	an invalidate callback takes.
 * Return: 0, and each entry of @range->hmm_pfns is an output, to be used after
 *	mmu_interval_read_retry() has said no. Or, with outputs up to the page that is
 *	the reason and requests from there on,
 *
 *	-EBUSY: there has been an invalidation in the range; begin again.
 *	-EFAULT: a page that was asked for is nowhere: no VMA, not to be read, no memory
 *	that could be shared with a device, or it could not be had from its file.
 *	-EPERM: it was asked for to be written, and the VMA does not allow that.
 *	-ENOMEM: no memory for it.
 *	-EINTR: the task is being killed.
 *	-EINVAL: the range is empty or not aligned to pages.
 */
int hmm_range_fault(struct hmm_range *range)
{
	struct hmm_walk walk;

	mmap_assert_locked(range->notifier->mm);
	if (!hmm_range_is_sane(range))
		return -EINVAL;

	hmm_walk_init(&walk, range);
	return hmm_walk_range(&walk, FAULT_FLAG_REMOTE);
}
EXPORT_SYMBOL(hmm_range_fault);

/*
 * hmm_walk_range(), and the mmap lock: taken here, and again whenever a fault has dropped
 * it. What has been read by then stays: if it is no longer true, there is a collision.
 */
static int hmm_walk_unlocked(struct hmm_walk *walk, unsigned long deadline)
{
	unsigned int flags = FAULT_FLAG_REMOTE | FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
	struct mm_struct *mm = walk->range->notifier->mm;
	int ret;

	for (;;) {
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		/* The OOM killer has taken pages away: what is absent is not zero. */
		ret = check_stable_address_space(mm) ? -EFAULT : hmm_walk_range(walk, flags);
		if (ret != -EAGAIN) {
			mmap_read_unlock(mm);
			return ret;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		if (deadline && time_after(jiffies, deadline))
			return -EBUSY;
		flags |= FAULT_FLAG_TRIED;
		walk->batch = 1;
		walk->expected = 0;
	}
}

/* Back to the requests that the walk has written over. */
static void hmm_restore(struct hmm_range *range, const unsigned long *requests)
{
	unsigned long i, nr = (range->end - range->start) >> PAGE_SHIFT;

	for (i = 0; i < nr; i++)
		range->hmm_pfns[i] = (range->hmm_pfns[i] & HMM_PFN_INOUT_FLAGS) |
				     (requests[i] & ~HMM_PFN_INOUT_FLAGS);
}

static int hmm_loop(struct hmm_range *range, const unsigned long *requests,
		    unsigned long deadline)
{
	struct hmm_walk walk;
	int ret;

	for (;;) {
		/* Before the mmap lock: whoever is waited for may be waiting for that. */
		ret = mn_read_begin_until(range->notifier, &range->notifier_seq, deadline);
		if (ret)
			return ret;
		hmm_walk_init(&walk, range);
		ret = hmm_walk_unlocked(&walk, deadline);
		if (ret != -EBUSY)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (deadline && time_after(jiffies, deadline))
			return -EBUSY;
		if (requests)
			hmm_restore(range, requests);
	}
}

/**
 * hmm_range_fault_unlocked_timeout - hmm_range_fault(), and the loop around it
 * @range: see struct hmm_range; @range->notifier_seq is set here
 * @timeout_ms: give up after so many milliseconds; 0: never
 *
 * Takes the mmap lock, and faults may drop it: memory that a userfaultfd handler provides,
 * and pages that have to be read, come as they do for a CPU. Begins again, with the
 * caller's requests, as often as an invalidation gets in the way.
 *
 * After 0 the caller takes the lock that its invalidate callback takes, asks
 * mmu_interval_read_retry(@range->notifier, @range->notifier_seq), and if that says no
 * uses the entries before it releases the lock. If it says yes, it calls again (with its
 * requests filled in again).
 *
 * The time limit is looked at between faults. A fault that sleeps (a userfaultfd handler
 * that does not answer) is ended only by a fatal signal, as for any access to such memory.
 *
 * Context: may sleep. The mmap lock of @range->notifier->mm is not held by the caller, nor
 *	a lock that an invalidate callback takes. The caller need not hold a reference
 *	to the mm but that of its subscription.
 * Return: 0, or as hmm_range_fault(), and
 *
 *	-EBUSY: the time is up.
 *	-ESRCH: the process has exited.
 *	-ENOMEM: also if there is no memory to remember requests of single entries.
 */
int hmm_range_fault_unlocked_timeout(struct hmm_range *range, unsigned int timeout_ms)
{
	struct mm_struct *mm = range->notifier->mm;
	unsigned long *requests = NULL;
	unsigned long deadline = 0;
	int ret = -ESRCH;
	size_t size;

	if (!hmm_range_is_sane(range))
		return -EINVAL;
	if (timeout_ms)
		deadline = (jiffies + msecs_to_jiffies(timeout_ms)) ?: 1;
	if (range->pfn_flags_mask & (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE)) {
		size = (range->end - range->start) / PAGE_SIZE * sizeof(*requests);
		requests = kvmemdup(range->hmm_pfns, size, GFP_KERNEL);
		if (!requests)
			return -ENOMEM;
	}

	if (mmget_not_zero(mm)) {
		ret = hmm_loop(range, requests, deadline);
		/* Not exit_mmap() from here: its callbacks may take the caller's locks. */
		mmput_async(mm);
	}
	kvfree(requests);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_range_fault_unlocked_timeout);
