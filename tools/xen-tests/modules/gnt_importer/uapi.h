/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What grants/dmabuf.c and the module gnt_importer say to each other. An open file of the
 * device has one dma-buf attached at a time, and keeps it until it is told otherwise, or
 * closed.
 */
#ifndef GM_GNT_IMPORTER_H
#define GM_GNT_IMPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GM_IMPORTER_DEVICE "/dev/gm-gnt-importer"

/* All of page @page from or to @buffer, an address */
struct gm_importer_page {
	__u64 buffer;
	__u32 page;
	__u32 write;
};

#define GM_IMPORTER_ATTACH _IO('m', 1) /* descriptor @arg; EBUSY: there is one */
#define GM_IMPORTER_MAP _IO('m', 2) /* for the device */
#define GM_IMPORTER_SG _IOW('m', 3, struct gm_importer_page) /* the pages the device has */
#define GM_IMPORTER_VMAP _IOW('m', 4, struct gm_importer_page) /* vmap() the dma-buf for it */
#define GM_IMPORTER_UNMAP _IO('m', 5)
#define GM_IMPORTER_DETACH _IO('m', 6) /* and let go */
#define GM_IMPORTER_HAS_PAGES _IO('m', 7) /* number of pages mapped for the device */
#define GM_IMPORTER_HAS_RUNS _IO('m', 8) /* how many runs of pages in a row these are */

#endif /* GM_GNT_IMPORTER_H */
