/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The grant device for other kernel code: a backend maps a run of grants with the tracking
 * that /dev/xen/gntdev has. What it gives back while somebody still uses a page (I/O in
 * flight, a network packet, a pinned page) goes back to Xen page by page, each when it is
 * free; the backend is told when the last one has gone.
 *
 * The user interface is in <uapi/xen/gntdev.h>, which is included here.
 */
#ifndef _XEN_GNTDEV_H
#define _XEN_GNTDEV_H

#include <linux/types.h>

#include <xen/interface/grant_table.h>
#include <uapi/xen/gntdev.h>

struct gntdev_run;
struct page;

/**
 * struct gntdev_ref - names a grant
 * @domid: granting domain
 * @ref: reference in that domain's grant table
 */
struct gntdev_ref {
	domid_t domid;
	grant_ref_t ref;
};

/* All of the grants have to be writable. */
#define GNTDEV_RUN_WRITABLE 0x1

struct gntdev_run *gntdev_run_map(const struct gntdev_ref *refs,
				  unsigned int count, unsigned int flags,
				  s16 *status);
struct page *gntdev_run_page(struct gntdev_run *run, unsigned int i);
bool gntdev_run_readonly(struct gntdev_run *run, unsigned int i);
void gntdev_run_unmap(struct gntdev_run *run, void (*done)(void *priv),
		      void *priv);
void gntdev_run_flush(void);

#endif /* _XEN_GNTDEV_H */
