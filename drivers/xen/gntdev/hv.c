// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every hypercall of the grant device, and what its statuses mean.
 */
#include <xen/grant_table.h>

#include <asm/xen/hypercall.h>

#include "gntdev.h"

/**
 * gntdev_errno() - What a grant table status means to a system call
 * @status: GNTST_*
 *
 * Return: 0 or a negative errno. What the caller or the guest got wrong is -EINVAL.
 */
int gntdev_errno(s16 status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	case GNTST_eagain:
		return -EAGAIN;
	case GNTST_no_space:
	case GNTST_no_device_space:
		return -ENOSPC;
	default:
		return -EINVAL;
	}
}

/**
 * gntdev_hv_map() - Map grants
 * @ops: operations, with host_addr, flags, ref and dom filled in
 * @pages: kernel side: the page that stands for each; user PTEs: NULL
 * @n: number of operations
 *
 * Context: for user PTEs, does not sleep. For the kernel side, waits for a guest that
 *          pages its memory out; not if the grant is mapped already.
 * Return: 0, and each operation has a status (with GNTST_general_error, a handle of
 *         INVALID_GRANT_HANDLE: no memory for the p2m); or a negative errno, and nothing
 *         has been mapped.
 */
int gntdev_hv_map(struct gnttab_map_grant_ref *ops, struct page **pages,
		  unsigned int n)
{
	if (pages)
		return gnttab_map_refs(ops, NULL, pages, n);
	return HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, ops, n);
}

/**
 * gntdev_hv_unmap() - Unmap grants
 * @ops: operations, with host_addr and handle filled in
 * @pages: kernel side: the page that stands for each; user PTEs: NULL
 * @n: number of operations
 *
 * Context: does not sleep.
 * Return: 0, and each operation has a status; or a negative errno, and nothing has been
 *         unmapped.
 */
int gntdev_hv_unmap(struct gnttab_unmap_grant_ref *ops, struct page **pages,
		    unsigned int n)
{
	if (pages)
		return gnttab_unmap_refs(ops, NULL, pages, n);
	return HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, ops, n);
}

/**
 * gntdev_hv_copy() - Copy between grants and pages of this domain
 * @ops: operations
 * @n: number of operations
 *
 * Context: does not sleep.
 * Return: 0, and each operation has a status; or a negative errno, and nothing is known.
 */
int gntdev_hv_copy(struct gnttab_copy *ops, unsigned int n)
{
	return HYPERVISOR_grant_table_op(GNTTABOP_copy, ops, n);
}
