// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hypercalls of the grant device, all of them.
 *
 * One place calls Xen, so one place can trace what was asked for and what came of it,
 * count it, and make it fail on request.
 *
 * What an answer means
 * ====================
 *
 * A hypercall works on an array of operations, and each has a status of its own. It can
 * also fail as a whole, before it has looked at any of them. Here these are kept apart:
 * a negative errno says that nothing was done, 0 that every status counts. A status that
 * Xen has not written, though it was in the array, is neither GNTST_okay nor any other
 * that Xen has.
 *
 * Faults
 * ======
 *
 * fail_map, fail_unmap and fail_copy in debugfs/xen/gntdev are fault attributes like
 * failslab: probability, interval, times and so on, and they take part in
 * /proc/PID/fail-nth. Each has two files more. status:
 *
 *   0         the hypercall fails as a whole: nothing is done. For an unmap this passes,
 *             and the driver has to try again.
 *   GNTST_*   one operation of the hypercall gets that status, the one that position says.
 *             A map or a copy is not done then. An unmap *is* done, but the driver is told
 *             otherwise and has to take the page for lost: the grant's owner has it back,
 *             the mapper has leaked a page for good. Nothing for a sweep.
 *
 * position: which one, counted from 0; if there are not so many, the one in the middle.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/mm.h>

#include <asm/xen/hypercall.h>
#include <xen/page.h>

#include "gntdev.h"

#define CREATE_TRACE_POINTS
#include <trace/events/gntdev.h>

/* What Xen, whose statuses are 0 or negative, has not written; gnttab_set_map_op() sets it. */
#define UNTOUCHED 1

/* A hypercall that failed on request: no hypercall of ours fails so by itself. */
#define INJECTED_ERRNO (-EIO)

/* A hypercall that fails as a whole is as good as none, and is not known to happen. */
#define UNMAP_TRIES 8

#ifdef CONFIG_FAULT_INJECTION_DEBUG_FS

/**
 * struct gntdev_fault - a fault to inject into one kind of hypercall
 * @attr: when
 * @status: what for: GNTST_* of one operation, or 0: the hypercall as a whole
 * @position: of which operation; the one in the middle, if there are not so many
 */
struct gntdev_fault {
	struct fault_attr attr;
	s16 status;
	u32 position;
};

static struct gntdev_fault fail_map = {
	.attr = FAULT_ATTR_INITIALIZER,
	.position = U32_MAX,
};

static struct gntdev_fault fail_unmap = {
	.attr = FAULT_ATTR_INITIALIZER,
	.position = U32_MAX,
};

static struct gntdev_fault fail_copy = {
	.attr = FAULT_ATTR_INITIALIZER,
	.position = U32_MAX,
};

static int fault_status_get(void *data, u64 *status)
{
	struct gntdev_fault *fault = data;

	*status = READ_ONCE(fault->status);
	return 0;
}

static int fault_status_set(void *data, u64 value)
{
	struct gntdev_fault *fault = data;
	s64 status = value;

	if (status < S16_MIN || status > S16_MAX)
		return -EINVAL;
	WRITE_ONCE(fault->status, status);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(fault_status_fops, fault_status_get,
				fault_status_set, "%lld\n");

static void fault_init(struct gntdev_fault *fault, const char *name,
		       struct dentry *parent)
{
	struct dentry *dir;

	dir = fault_create_debugfs_attr(name, parent, &fault->attr);
	debugfs_create_file_unsafe("status", 0600, dir, fault, &fault_status_fops);
	debugfs_create_u32("position", 0600, dir, &fault->position);
}

/**
 * gntdev_hv_init() - Offer fault injection in debugfs
 * @dir: the driver's directory there, whose removal takes it away again
 */
void gntdev_hv_init(struct dentry *dir)
{
	fault_init(&fail_map, "fail_map", dir);
	fault_init(&fail_unmap, "fail_unmap", dir);
	fault_init(&fail_copy, "fail_copy", dir);
}

/* Shall the hypercall fail? Then @status is how: 0 means as a whole. */
static bool fault_hits(struct gntdev_fault *fault, s16 *status)
{
	if (likely(!should_fail(&fault->attr, 1)))
		return false;
	*status = READ_ONCE(fault->status);
	return true;
}

/* Which of @n operations is meant */
static unsigned int fault_victim(const struct gntdev_fault *fault, unsigned int n)
{
	unsigned int position = READ_ONCE(fault->position);

	return position < n ? position : n / 2;
}

#else

struct gntdev_fault {
};

static struct gntdev_fault fail_map, fail_unmap, fail_copy;

void gntdev_hv_init(struct dentry *dir)
{
}

static bool fault_hits(struct gntdev_fault *fault, s16 *status)
{
	return false;
}

static unsigned int fault_victim(const struct gntdev_fault *fault, unsigned int n)
{
	return 0;
}

#endif /* CONFIG_FAULT_INJECTION_DEBUG_FS */

/**
 * gntdev_errno() - What a grant table status means to a system call
 * @status: GNTST_*
 *
 * Return: 0 or a negative errno. -EINVAL is what the caller or the guest got wrong, -EIO
 *         what this driver did (or Xen, with an answer that there is not).
 */
int gntdev_errno(s16 status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	/* "not for you" and "not in that way" have no status of their own */
	case GNTST_general_error:
	case GNTST_bad_domain:
	case GNTST_bad_gntref:
	case GNTST_bad_copy_arg:
		return -EINVAL;
	/* a security policy says no */
	case GNTST_permission_denied:
		return -EPERM;
	/* the grant is right, but there is no memory behind it */
	case GNTST_bad_page:
		return -ENXIO;
	case GNTST_eagain:
		return -EAGAIN;
	case GNTST_no_space:
	case GNTST_no_device_space:
		return -ENOSPC;
	/* about handles and addresses, which are this driver's affair */
	case GNTST_bad_handle:
	case GNTST_bad_virt_addr:
	case GNTST_bad_dev_addr:
	case GNTST_address_too_big:
	default:
		return -EIO;
	}
}

/**
 * gntdev_errno_of_grant() - Is an error about one grant, and says nothing of the others?
 * @err: what gntdev_errno() returned, or what the hypercall or the memory for it failed with
 *
 * Return: whether it is.
 */
bool gntdev_errno_of_grant(int err)
{
	switch (err) {
	case -EINVAL:
	case -EPERM:
	case -ENXIO:
	case -EAGAIN:
	case -ENOSPC:
		return true;
	default:
		return false;
	}
}

static void hypercall_failed(struct gntdev_file *file, enum gntdev_op what,
			     domid_t domid, grant_ref_t ref,
			     grant_handle_t handle, int err)
{
	struct gntdev_tally_run tally = { .file = file };

	gntdev_count(TOTAL_ERRORS, 1);
	/* A copy for no file is a probe: nobody's. */
	if (file || what != GNTDEV_COPY) {
		gntdev_tally(&tally, domid, TALLY_ERRORS);
		gntdev_tally_end(&tally);
	}
	trace_gntdev_error(what, domid, ref, handle, UNTOUCHED, err);
}

/* How many, from the first on, are done and of one domain */
static unsigned int maps_in_a_row(const struct gnttab_map_grant_ref *ops,
				  unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (ops[i].status != GNTST_okay || ops[i].dom != ops[0].dom)
			break;
	}
	return i;
}

/* Count and trace what has become of a map hypercall. */
static void maps_done(struct gntdev_file *file, enum gntdev_op what,
		      const struct gnttab_map_grant_ref *ops, unsigned int n)
{
	struct gntdev_tally_run tally = { .file = file };
	unsigned int i, row, failed = 0;

	for (i = 0; trace_gntdev_map_enabled() && i < n; i++)
		trace_gntdev_map(what, &ops[i]);
	for (i = 0; i < n; i += row) {
		row = maps_in_a_row(&ops[i], n - i);
		if (likely(row)) {
			gntdev_tally_many(&tally, ops[i].dom, TALLY_MAPPED, row);
			continue;
		}
		row = 1;
		failed++;
		gntdev_tally(&tally, ops[i].dom, TALLY_ERRORS);
		trace_gntdev_error(what, ops[i].dom, ops[i].ref,
				   INVALID_GRANT_HANDLE, ops[i].status, 0);
	}
	gntdev_tally_end(&tally);
	gntdev_count(what == GNTDEV_MAP_USER ? TOTAL_MAPPED_USER :
					       TOTAL_MAPPED_KERNEL,
		     n - failed);
	if (unlikely(failed))
		gntdev_count(TOTAL_ERRORS, failed);
}

static int call_map(struct gnttab_map_grant_ref *ops, struct page **pages,
		    unsigned int n)
{
	if (!n)
		return 0;
	gntdev_count(TOTAL_HYPERCALLS, 1);
	if (pages)
		return gnttab_map_refs(ops, NULL, pages, n);
	return HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, ops, n);
}

/* All of them, except for one that shall get @status without Xen. */
static int call_map_but_one(struct gnttab_map_grant_ref *ops, struct page **pages,
			    unsigned int n, s16 status)
{
	unsigned int victim = fault_victim(&fail_map, n), next = victim + 1;
	int err;

	err = call_map(ops, pages, victim);
	if (!err)
		err = call_map(ops + next, pages ? pages + next : NULL, n - next);
	ops[victim].status = status;
	return err;
}

/**
 * gntdev_hv_map() - Have Xen map grants
 * @file: that it is done for, or NULL
 * @ops: operations, all of one kind, as gnttab_set_map_op() makes them: with a status that
 *       is UNTOUCHED
 * @pages: kernel side: the pages that shall stand for the grants; NULL: user side, PTEs of
 *         a PV domain
 * @n: number of operations, > 0
 *
 * A grant of the kernel side that Xen has mapped, but that this kernel had no memory to
 * note, is unmapped again: its status is GNTST_general_error, its handle
 * INVALID_GRANT_HANDLE.
 *
 * Context: kernel side: sleeps, up to 32 s for a guest that pages its memory in.
 *          User side: does not sleep.
 * Return: 0, and the status of each operation counts; or a negative errno: the hypercall
 *         failed, nothing was done.
 */
int gntdev_hv_map(struct gntdev_file *file, struct gnttab_map_grant_ref *ops,
		  struct page **pages, unsigned int n)
{
	enum gntdev_op what = pages ? GNTDEV_MAP_KERNEL : GNTDEV_MAP_USER;
	bool touched = false;
	s16 status = 0;
	unsigned int i;
	int err;

	if (!fault_hits(&fail_map, &status))
		err = call_map(ops, pages, n);
	else if (status)
		err = call_map_but_one(ops, pages, n, status);
	else
		err = INJECTED_ERRNO;

	/* The grant table core may fail later than the hypercall. */
	for (i = 0; i < n && err && !touched; i++)
		touched = ops[i].status != UNTOUCHED;
	if (err && !touched) {
		hypercall_failed(file, what, ops[0].dom, ops[0].ref,
				 INVALID_GRANT_HANDLE, err);
		return err;
	}
	maps_done(file, what, ops, n);
	return 0;
}

/**
 * gntdev_hv_unmap() - Have Xen unmap grants
 * @file: that it is done for, or NULL
 * @ops: operations, all of one kind
 * @pages: kernel side: the pages that stand for the grants; NULL: user side, PTEs of a PV
 *         domain
 * @n: number of operations, > 0
 *
 * For what becomes of each grant, the caller traces gntdev_unmap, and counts: an operation
 * here does not name its grant.
 *
 * Context: does not sleep.
 * Return: 0, and the status of each operation counts; or a negative errno: the hypercall
 *         failed, nothing was done, all is still mapped. Trying again is right then.
 */
int gntdev_hv_unmap(struct gntdev_file *file, struct gnttab_unmap_grant_ref *ops,
		    struct page **pages, unsigned int n)
{
	enum gntdev_op what = pages ? GNTDEV_UNMAP_KERNEL : GNTDEV_UNMAP_USER;
	unsigned int i, failed = 0;
	bool touched = false;
	s16 status = 0;
	int err;

	for (i = 0; i < n; i++)
		ops[i].status = UNTOUCHED;

	if (unlikely(fault_hits(&fail_unmap, &status)) && !status) {
		hypercall_failed(file, what, DOMID_INVALID, 0, ops[0].handle,
				 INJECTED_ERRNO);
		return INJECTED_ERRNO;
	}
	gntdev_count(TOTAL_HYPERCALLS, 1);
	if (pages)
		err = gnttab_unmap_refs(ops, NULL, pages, n);
	else
		err = HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, ops, n);
	if (unlikely(status))
		ops[fault_victim(&fail_unmap, n)].status = status;

	for (i = 0; i < n; i++) {
		touched |= ops[i].status != UNTOUCHED;
		failed += ops[i].status != GNTST_okay;
	}
	if (err && !touched) {
		hypercall_failed(file, what, DOMID_INVALID, 0, ops[0].handle, err);
		return err;
	}
	gntdev_count(pages ? TOTAL_UNMAPPED_KERNEL : TOTAL_UNMAPPED_USER, n - failed);
	if (unlikely(failed))
		gntdev_count(TOTAL_ERRORS, failed);
	return 0;
}

/**
 * gntdev_hv_unmap_retried() - Have Xen unmap grants, and insist
 * @file: as for gntdev_hv_unmap()
 * @ops: likewise
 * @pages: likewise
 * @n: likewise
 *
 * Context: does not sleep.
 * Return: as gntdev_hv_unmap(), when it has failed again and again.
 */
int gntdev_hv_unmap_retried(struct gntdev_file *file,
			    struct gnttab_unmap_grant_ref *ops,
			    struct page **pages, unsigned int n)
{
	unsigned int tries;
	int err;

	for (tries = 0; tries < UNMAP_TRIES; tries++) {
		err = gntdev_hv_unmap(file, ops, pages, n);
		if (!err)
			break;
	}
	return err;
}

static int call_copy(struct gnttab_copy *ops, unsigned int n)
{
	if (!n)
		return 0;
	gntdev_count(TOTAL_HYPERCALLS, 1);
	return HYPERVISOR_grant_table_op(GNTTABOP_copy, ops, n);
}

/* The grant of an operation: the source, unless that is our own memory. */
static const struct gnttab_copy_ptr *copy_grant(const struct gnttab_copy *op)
{
	return op->flags & GNTCOPY_source_gref ? &op->source : &op->dest;
}

/*
 * How many, from the first on, are done and of one domain. A side that is no grant is
 * DOMID_SELF: so the same two sides are the same owner.
 */
static unsigned int copies_in_a_row(const struct gnttab_copy *ops,
				    unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (ops[i].status != GNTST_okay ||
		    ops[i].source.domid != ops[0].source.domid ||
		    ops[i].dest.domid != ops[0].dest.domid)
			break;
	}
	return i;
}

static void copies_done(struct gntdev_file *file, const struct gnttab_copy *ops,
			unsigned int n)
{
	struct gntdev_tally_run tally = { .file = file };
	const struct gnttab_copy_ptr *grant;
	unsigned int i, row, failed = 0;

	for (i = 0; i < n; i += row) {
		row = copies_in_a_row(&ops[i], n - i);
		grant = copy_grant(&ops[i]);
		if (likely(row)) {
			gntdev_tally_many(&tally, grant->domid, TALLY_COPIED, row);
			continue;
		}
		row = 1;
		failed++;
		gntdev_tally(&tally, grant->domid, TALLY_ERRORS);
		trace_gntdev_error(GNTDEV_COPY, grant->domid, grant->u.ref,
				   INVALID_GRANT_HANDLE, ops[i].status, 0);
	}
	/* What is done for no file is a probe: nobody's. */
	if (file)
		gntdev_tally_end(&tally);
	trace_gntdev_copy(n, failed);
	gntdev_count(TOTAL_COPIED, n - failed);
	if (unlikely(failed))
		gntdev_count(TOTAL_ERRORS, failed);
}

/**
 * gntdev_hv_copy() - Have Xen copy between grants and memory of ours
 * @file: that it is done for, or NULL: this driver's own affair
 * @ops: operations
 * @n: number of operations, > 0
 *
 * Context: does not sleep.
 * Return: 0, and the status of each operation counts; or a negative errno: the hypercall
 *         failed, nothing is known of any of them.
 */
int gntdev_hv_copy(struct gntdev_file *file, struct gnttab_copy *ops,
		   unsigned int n)
{
	unsigned int victim = fault_victim(&fail_copy, n);
	const struct gnttab_copy_ptr *grant = copy_grant(&ops[0]);
	s16 status = 0;
	int err;

	if (!fault_hits(&fail_copy, &status)) {
		err = call_copy(ops, n);
	} else if (status) {
		err = call_copy(ops, victim);
		if (!err)
			err = call_copy(ops + victim + 1, n - victim - 1);
		ops[victim].status = status;
	} else {
		err = INJECTED_ERRNO;
	}

	if (err)
		hypercall_failed(file, GNTDEV_COPY, grant->domid, grant->u.ref,
				 INVALID_GRANT_HANDLE, err);
	else
		copies_done(file, ops, n);
	return err;
}

/**
 * gntdev_hv_flush_tlbs() - No processor of this PV domain has an old translation any more
 *
 * Context: does not sleep.
 */
void gntdev_hv_flush_tlbs(void)
{
#ifdef CONFIG_XEN_HAVE_PVMMU
	struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_ALL };

	gntdev_count(TOTAL_HYPERCALLS, 1);
	/* Nothing in it can be refused. */
	WARN_ON_ONCE(HYPERVISOR_mmuext_op(&op, 1, NULL, DOMID_SELF));
#endif
}

/**
 * gntdev_hv_query_size() - Ask Xen for the size of a grant table
 * @size: in: whose; out: its size, and a status
 *
 * Context: does not sleep.
 * Return: 0, and the status counts; or a negative errno.
 */
int gntdev_hv_query_size(struct gnttab_query_size *size)
{
	gntdev_count(TOTAL_HYPERCALLS, 1);
	return HYPERVISOR_grant_table_op(GNTTABOP_query_size, size, 1);
}
