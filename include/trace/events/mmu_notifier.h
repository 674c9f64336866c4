/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the notifier core does, seen from outside. Addresses are in bytes; a start
 * and its end have the same range pointer.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM mmu_notifier

#if !defined(_TRACE_MMU_NOTIFIER_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_MMU_NOTIFIER_H

#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

#define MMU_NOTIFIER_EVENTS						\
	EM(MMU_NOTIFY_UNMAP,		"unmap")			\
	EM(MMU_NOTIFY_CLEAR,		"clear")			\
	EM(MMU_NOTIFY_PROTECTION_VMA,	"protection_vma")		\
	EM(MMU_NOTIFY_PROTECTION_PAGE,	"protection_page")		\
	EM(MMU_NOTIFY_SOFT_DIRTY,	"soft_dirty")			\
	EM(MMU_NOTIFY_RELEASE,		"release")			\
	EM(MMU_NOTIFY_MIGRATE,		"migrate")			\
	EMe(MMU_NOTIFY_EXCLUSIVE,	"exclusive")

/* Once as numbers that user space can look up, once as a table for printing. */
#undef EM
#undef EMe
#define EM(event, name)		TRACE_DEFINE_ENUM(event);
#define EMe(event, name)	TRACE_DEFINE_ENUM(event);
MMU_NOTIFIER_EVENTS
#undef EM
#undef EMe
#define EM(event, name)		{ event, name },
#define EMe(event, name)	{ event, name }

DECLARE_EVENT_CLASS(mmu_interval,

	TP_PROTO(const struct mmu_interval_notifier *interval_sub,
		 unsigned long count),

	TP_ARGS(interval_sub, count),

	TP_STRUCT__entry(
		__field(const void *, sub)
		__field(const void *, mm)
		__field(unsigned long, start)
		__field(unsigned long, last)
		__field(unsigned long, count)
	),

	TP_fast_assign(
		__entry->sub = interval_sub;
		__entry->mm = interval_sub->mm;
		__entry->start = interval_sub->interval_tree.start;
		__entry->last = interval_sub->interval_tree.last;
		__entry->count = count;
	),

	TP_printk("sub=%p mm=%p start=0x%lx last=0x%lx count=%lu",
		  __entry->sub, __entry->mm, __entry->start, __entry->last,
		  __entry->count)
);

/* count: invalidations in flight that the newborn subscription collides with */
DEFINE_EVENT(mmu_interval, mmu_interval_insert,
	TP_PROTO(const struct mmu_interval_notifier *interval_sub,
		 unsigned long count),
	TP_ARGS(interval_sub, count));

/* count: invalidations in flight that remove has to wait for */
DEFINE_EVENT(mmu_interval, mmu_interval_remove,
	TP_PROTO(const struct mmu_interval_notifier *interval_sub,
		 unsigned long count),
	TP_ARGS(interval_sub, count));

/* count: invalidations in flight that a reader has to wait for */
DEFINE_EVENT(mmu_interval, mmu_interval_wait,
	TP_PROTO(const struct mmu_interval_notifier *interval_sub,
		 unsigned long count),
	TP_ARGS(interval_sub, count));

/* count: the sequence number that the read began with, and that has passed */
DEFINE_EVENT(mmu_interval, mmu_interval_retry,
	TP_PROTO(const struct mmu_interval_notifier *interval_sub,
		 unsigned long count),
	TP_ARGS(interval_sub, count));

TRACE_EVENT(mmu_notifier_invalidate_start,

	TP_PROTO(const struct mmu_notifier_range *range, unsigned long overlaps,
		 int ret),

	TP_ARGS(range, overlaps, ret),

	TP_STRUCT__entry(
		__field(const void *, range)
		__field(const void *, mm)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, event)
		__field(bool, blockable)
		__field(unsigned long, overlaps)
		__field(int, ret)
	),

	TP_fast_assign(
		__entry->range = range;
		__entry->mm = range->mm;
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->event = range->event;
		__entry->blockable = mmu_notifier_range_blockable(range);
		__entry->overlaps = overlaps;
		__entry->ret = ret;
	),

	TP_printk("range=%p mm=%p start=0x%lx end=0x%lx event=%s blockable=%d overlaps=%lu ret=%d",
		  __entry->range, __entry->mm, __entry->start, __entry->end,
		  __print_symbolic(__entry->event, MMU_NOTIFIER_EVENTS),
		  __entry->blockable, __entry->overlaps, __entry->ret)
);

TRACE_EVENT(mmu_notifier_invalidate_end,

	TP_PROTO(const struct mmu_notifier_range *range, unsigned long woken),

	TP_ARGS(range, woken),

	TP_STRUCT__entry(
		__field(const void *, range)
		__field(const void *, mm)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, event)
		__field(unsigned long, woken)
	),

	TP_fast_assign(
		__entry->range = range;
		__entry->mm = range->mm;
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->event = range->event;
		__entry->woken = woken;
	),

	TP_printk("range=%p mm=%p start=0x%lx end=0x%lx event=%s woken=%lu",
		  __entry->range, __entry->mm, __entry->start, __entry->end,
		  __print_symbolic(__entry->event, MMU_NOTIFIER_EVENTS),
		  __entry->woken)
);

#undef EM
#undef EMe

#endif /* _TRACE_MMU_NOTIFIER_H */

#include <trace/define_trace.h>
