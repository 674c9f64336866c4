/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What grants/backend.c and the module gnt_backend say to each other. An open file of the
 * device has one run of grants at a time.
 */
#ifndef GM_GNT_BACKEND_H
#define GM_GNT_BACKEND_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GM_GNT_BACKEND_DEVICE "/dev/gm-gnt-backend"

#define GM_GNT_MAX 4096

struct gm_gnt_ref {
	__u32 domid;
	__u32 ref;
};

/* GM_GNT_MAP: @refs and @status are addresses of @count elements; @status may be 0 */
struct gm_gnt_map {
	__u64 refs;
	__u64 status; /* of __s16; written also after an error */
	__u32 count;
	__u32 flags;
};

/* GM_GNT_READ, GM_GNT_WRITE: all of a page from or to @buffer */
struct gm_gnt_page {
	__u64 buffer;
	__u32 page;
	__u32 reserved;
};

#define GM_GNT_MAP _IOW('b', 1, struct gm_gnt_map) /* EBUSY: there is a run */
#define GM_GNT_READ _IOW('b', 2, struct gm_gnt_page)
#define GM_GNT_WRITE _IOW('b', 3, struct gm_gnt_page) /* EACCES: read-only */
#define GM_GNT_HOLD _IO('b', 4) /* take a reference on page number @arg */
#define GM_GNT_LET_GO _IO('b', 5) /* drop all of these */
#define GM_GNT_UNMAP _IO('b', 6)
#define GM_GNT_DONE _IO('b', 7) /* how often done() has been called */

#endif /* GM_GNT_BACKEND_H */
