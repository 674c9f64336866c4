// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long one process holds its mmap lock: by the trace events of that lock, so that
 * what holds it need not be changed. One thread of that process is assumed.
 */
#include <linux/mm_types.h>
#include <linux/mmap_lock.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <asm/tsc.h>
#include <trace/events/mmap_lock.h>

#include "internal.h"

static struct mm_struct *gnb_mm;	/* compared only */
static DEFINE_SPINLOCK(gnb_lock);	/* all of the following */
static struct gnb_lock gnb_sum;
static u64 gnb_since;
static bool gnb_write;

/* gnb_lock is held */
static void gnb_add(u64 now)
{
	if (!gnb_since)
		return;
	if (gnb_write) {
		gnb_sum.write_ticks += now - gnb_since;
		gnb_sum.writes++;
	} else {
		gnb_sum.read_ticks += now - gnb_since;
		gnb_sum.reads++;
	}
	gnb_since = 0;
}

/* A write lock that becomes a read lock is announced as taken for reading. */
static void gnb_acquired(void *data, struct mm_struct *mm, const char *memcg,
			 bool write, bool success)
{
	u64 now = rdtsc_ordered();

	if (mm != READ_ONCE(gnb_mm) || current->mm != mm || !success)
		return;
	spin_lock(&gnb_lock);
	gnb_add(now);
	gnb_since = now;
	gnb_write = write;
	spin_unlock(&gnb_lock);
}

static void gnb_released(void *data, struct mm_struct *mm, const char *memcg,
			 bool write)
{
	u64 now = rdtsc_ordered();

	if (mm != READ_ONCE(gnb_mm) || current->mm != mm)
		return;
	spin_lock(&gnb_lock);
	gnb_add(now);
	spin_unlock(&gnb_lock);
}

void gnb_lock_read(struct gnb_lock *lock)
{
	spin_lock(&gnb_lock);
	*lock = gnb_sum;
	memset(&gnb_sum, 0, sizeof(gnb_sum));
	gnb_since = 0;
	spin_unlock(&gnb_lock);
}

static DEFINE_MUTEX(gnb_watch);		/* whether the events are on */

int gnb_lock_watch(void)
{
	int ret = -EBUSY;

	mutex_lock(&gnb_watch);
	if (gnb_mm)
		goto unlock;
	ret = register_trace_mmap_lock_acquire_returned(gnb_acquired, NULL);
	if (ret)
		goto unlock;
	ret = register_trace_mmap_lock_released(gnb_released, NULL);
	if (ret) {
		unregister_trace_mmap_lock_acquire_returned(gnb_acquired, NULL);
		goto unlock;
	}
	WRITE_ONCE(gnb_mm, current->mm);
unlock:
	mutex_unlock(&gnb_watch);
	return ret;
}

void gnb_lock_forget(void)
{
	mutex_lock(&gnb_watch);
	if (gnb_mm) {
		WRITE_ONCE(gnb_mm, NULL);
		unregister_trace_mmap_lock_released(gnb_released, NULL);
		unregister_trace_mmap_lock_acquire_returned(gnb_acquired, NULL);
		tracepoint_synchronize_unregister();
	}
	mutex_unlock(&gnb_watch);
}
