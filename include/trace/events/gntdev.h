/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the grant device does, seen from outside. A grant is named by the domain that
 * owns it and its reference there; a status is one of Xen's, GNTST_*.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM gntdev

#if !defined(_TRACE_GNTDEV_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_GNTDEV_H

#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

#include <xen/grant_table.h>

/* The order is that of enum gntdev_op and of enum gntdev_wait. */
#define GNTDEV_OPS							\
	EM(GNTDEV_MAP_KERNEL,		"map_kernel")			\
	EM(GNTDEV_MAP_USER,		"map_user")			\
	EM(GNTDEV_UNMAP_KERNEL,		"unmap_kernel")			\
	EM(GNTDEV_UNMAP_USER,		"unmap_user")			\
	EMe(GNTDEV_COPY,		"copy")

#define GNTDEV_WAITS							\
	EM(GNTDEV_BUSY,			"busy")				\
	EM(GNTDEV_FREE,			"free")				\
	EMe(GNTDEV_CLAIMED,		"claimed")

#define GNTDEV_MM_EVENTS						\
	EM(MMU_NOTIFY_UNMAP,		"unmap")			\
	EM(MMU_NOTIFY_CLEAR,		"clear")			\
	EM(MMU_NOTIFY_PROTECTION_VMA,	"protection_vma")		\
	EM(MMU_NOTIFY_PROTECTION_PAGE,	"protection_page")		\
	EM(MMU_NOTIFY_SOFT_DIRTY,	"soft_dirty")			\
	EM(MMU_NOTIFY_RELEASE,		"release")			\
	EM(MMU_NOTIFY_MIGRATE,		"migrate")			\
	EMe(MMU_NOTIFY_EXCLUSIVE,	"exclusive")

#undef EM
#undef EMe

#ifndef _TRACE_GNTDEV_ENUMS
#define _TRACE_GNTDEV_ENUMS
#define EM(name, text)		name,
#define EMe(name, text)		name
enum gntdev_op { GNTDEV_OPS };
enum gntdev_wait { GNTDEV_WAITS };
#undef EM
#undef EMe
#endif

/* Once as numbers that user space can look up, once as a table for printing. */
#define EM(name, text)		TRACE_DEFINE_ENUM(name);
#define EMe(name, text)		TRACE_DEFINE_ENUM(name);
GNTDEV_OPS
GNTDEV_WAITS
GNTDEV_MM_EVENTS
#undef EM
#undef EMe
#define EM(name, text)		{ name, text },
#define EMe(name, text)		{ name, text }

/*
 * One operation of a hypercall; what: which side. Of a failed one handle means nothing. Fields
 * are of types that a program of BPF knows without BTF, which bool is not.
 */
TRACE_EVENT(gntdev_map,

	TP_PROTO(enum gntdev_op what, const struct gnttab_map_grant_ref *op),

	TP_ARGS(what, op),

	TP_STRUCT__entry(
		__field(unsigned int, what)
		__field(unsigned int, domid)
		__field(unsigned int, ref)
		__field(unsigned int, handle)
		__field(unsigned int, readonly)
		__field(int, status)
	),

	TP_fast_assign(
		__entry->what = what;
		__entry->domid = op->dom;
		__entry->ref = op->ref;
		__entry->handle = op->handle;
		__entry->readonly = !!(op->flags & GNTMAP_readonly);
		__entry->status = op->status;
	),

	TP_printk("%s domid=%u ref=%u handle=%u readonly=%u status=%d",
		  __print_symbolic(__entry->what, GNTDEV_OPS), __entry->domid,
		  __entry->ref, __entry->handle, __entry->readonly, __entry->status)
);

TRACE_EVENT(gntdev_unmap,

	TP_PROTO(enum gntdev_op what, domid_t domid, grant_ref_t ref,
		 grant_handle_t handle, s16 status),

	TP_ARGS(what, domid, ref, handle, status),

	TP_STRUCT__entry(
		__field(unsigned int, what)
		__field(unsigned int, domid)
		__field(unsigned int, ref)
		__field(unsigned int, handle)
		__field(int, status)
	),

	TP_fast_assign(
		__entry->what = what;
		__entry->domid = domid;
		__entry->ref = ref;
		__entry->handle = handle;
		__entry->status = status;
	),

	TP_printk("%s domid=%u ref=%u handle=%u status=%d",
		  __print_symbolic(__entry->what, GNTDEV_OPS), __entry->domid,
		  __entry->ref, __entry->handle, __entry->status)
);

/* The mm invalidates [start, end); cleared: user PTEs that Xen has cleared for that. */
TRACE_EVENT(gntdev_invalidate,

	TP_PROTO(const struct mmu_notifier_range *range, unsigned long cleared),

	TP_ARGS(range, cleared),

	TP_STRUCT__entry(
		__field(const void *, mm)
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, event)
		__field(unsigned long, cleared)
	),

	TP_fast_assign(
		__entry->mm = range->mm;
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->event = range->event;
		__entry->cleared = cleared;
	),

	TP_printk("mm=%p start=0x%lx end=0x%lx event=%s cleared=%lu",
		  __entry->mm, __entry->start, __entry->end,
		  __print_symbolic(__entry->event, GNTDEV_MM_EVENTS),
		  __entry->cleared)
);

/*
 * A grant that is to be given back, and whose page somebody uses: busy when it begins to
 * wait; then free when it can be given back, or claimed when it was mmapped again instead.
 */
TRACE_EVENT(gntdev_deferred,

	TP_PROTO(enum gntdev_wait state, domid_t domid, grant_ref_t ref, int page_refs),

	TP_ARGS(state, domid, ref, page_refs),

	TP_STRUCT__entry(
		__field(unsigned int, state)
		__field(unsigned int, domid)
		__field(unsigned int, ref)
		__field(int, page_refs)
	),

	TP_fast_assign(
		__entry->state = state;
		__entry->domid = domid;
		__entry->ref = ref;
		__entry->page_refs = page_refs;
	),

	TP_printk("%s domid=%u ref=%u page_refs=%d",
		  __print_symbolic(__entry->state, GNTDEV_WAITS), __entry->domid,
		  __entry->ref, __entry->page_refs)
);

/* One hypercall */
TRACE_EVENT(gntdev_copy,

	TP_PROTO(unsigned int ops, unsigned int failed),

	TP_ARGS(ops, failed),

	TP_STRUCT__entry(
		__field(unsigned int, ops)
		__field(unsigned int, failed)
	),

	TP_fast_assign(
		__entry->ops = ops;
		__entry->failed = failed;
	),

	TP_printk("ops=%u failed=%u", __entry->ops, __entry->failed)
);

/*
 * An operation that Xen refused (err is 0); or, with a negative errno in err, a hypercall
 * that failed as a whole, named by its first operation. A grant that may only be read is
 * refused once, and then mapped read-only. What is not known is DOMID_INVALID, or a handle
 * of all ones.
 */
TRACE_EVENT(gntdev_error,

	TP_PROTO(enum gntdev_op what, domid_t domid, grant_ref_t ref,
		 grant_handle_t handle, s16 status, int err),

	TP_ARGS(what, domid, ref, handle, status, err),

	TP_STRUCT__entry(
		__field(unsigned int, what)
		__field(unsigned int, domid)
		__field(unsigned int, ref)
		__field(unsigned int, handle)
		__field(int, status)
		__field(int, err)
	),

	TP_fast_assign(
		__entry->what = what;
		__entry->domid = domid;
		__entry->ref = ref;
		__entry->handle = handle;
		__entry->status = status;
		__entry->err = err;
	),

	TP_printk("%s domid=%u ref=%u handle=%d status=%d err=%d",
		  __print_symbolic(__entry->what, GNTDEV_OPS), __entry->domid,
		  __entry->ref, __entry->handle, __entry->status, __entry->err)
);

#undef EM
#undef EMe

#endif /* _TRACE_GNTDEV_H */

#include <trace/define_trace.h>
