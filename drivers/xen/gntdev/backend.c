// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-kernel API: a run of grants for another backend of this kernel.
 *
 * A run is a gntdev_map that is in no file and has no user side. All that is said in map.c
 * of when a page may be given back goes for it, too. So a run is not freed by
 * gntdev_run_unmap() but when its last page is free, and done() is called then.
 */
#include <linux/export.h>
#include <linux/workqueue.h>

#include "gntdev.h"

/* A run is known by its map. */
static struct gntdev_map *map_of(struct gntdev_run *run)
{
	return (struct gntdev_map *)run;
}

/**
 * gntdev_any_readonly() - Is the kernel side of any grant read-only?
 * @map: map that nobody else can reach
 *
 * Return: whether it is.
 */
bool gntdev_any_readonly(const struct gntdev_map *map)
{
	unsigned int i;

	for (i = 0; i < map->count; i++)
		if (map->grants[i].flags & GRANT_READONLY)
			return true;
	return false;
}

/**
 * gntdev_map_refs() - Map a run of grants for the kernel
 * @refs: the grants, which may belong to different domains
 * @count: their number, 1 to the module parameter "limit"
 * @writable: fail if one of them is read-only
 * @status: see gntdev_run_map()
 *
 * Context: sleeps; see gntdev_run_map().
 * Return: the map, with one user, or an ERR_PTR() as of gntdev_run_map().
 */
struct gntdev_map *gntdev_map_refs(const struct gntdev_ref *refs,
				   unsigned int count, bool writable, s16 *status)
{
	struct gntdev_map *map;
	unsigned int i;
	int err;

	if (!count || count > READ_ONCE(gntdev_limit))
		return ERR_PTR(-EINVAL);
	map = gntdev_map_alloc(NULL, count);
	if (IS_ERR(map))
		return map;

	for (i = 0; i < count; i++) {
		map->grants[i].domid = refs[i].domid;
		map->grants[i].ref = refs[i].ref;
		if (status)
			status[i] = GNTST_general_error;
	}
	err = gntdev_map_kernel(map, 0, count, true, status);
	if (!err && writable && gntdev_any_readonly(map))
		err = -EACCES;
	if (err) {
		gntdev_map_put(map);
		return ERR_PTR(err);
	}
	return map;
}

/**
 * gntdev_run_map() - Map a run of grants for the kernel
 * @refs: the grants, which may belong to different domains
 * @count: their number, 1 to the module parameter "limit"
 * @flags: 0, or GNTDEV_RUN_WRITABLE
 * @status: what Xen says of each grant (GNTST_*) is stored here, also when the call
 *          fails; or NULL
 *
 * All are mapped, or none. A grant is mapped writable if its owner allows that, otherwise
 * read-only (see gntdev_run_readonly()) or, with GNTDEV_RUN_WRITABLE, refused. With
 * @status, each grant is tried although another one has failed.
 *
 * Context: process context, sleeps; may not be called with an mmap lock held. Waits for a
 *          guest that pages memory out, up to 32 s for a grant. Memory is charged to the
 *          caller's memory cgroup.
 * Return: the run; or an ERR_PTR(): -EINVAL: @count or @flags out of range, a grant that
 *         does not exist or is not granted to this domain; -EACCES: a read-only grant;
 *         -ENOSPC: Xen is out of handles; -ENOMEM; -EINTR: killed.
 */
struct gntdev_run *gntdev_run_map(const struct gntdev_ref *refs,
				  unsigned int count, unsigned int flags,
				  s16 *status)
{
	if (flags & ~GNTDEV_RUN_WRITABLE)
		return ERR_PTR(-EINVAL);
	return ERR_CAST(gntdev_map_refs(refs, count, flags & GNTDEV_RUN_WRITABLE,
					status));
}
EXPORT_SYMBOL_GPL(gntdev_run_map);

/**
 * gntdev_run_page() - The page that stands for a grant
 * @run: run
 * @i: index of the grant, as in the refs of gntdev_run_map()
 *
 * It has an address in the linear map. Who keeps it for longer than the run takes a
 * reference with get_page(); Xen lets go of the page when that is dropped.
 *
 * Context: any.
 * Return: the page, without a reference.
 */
struct page *gntdev_run_page(struct gntdev_run *run, unsigned int i)
{
	return map_of(run)->grants[i].page;
}
EXPORT_SYMBOL_GPL(gntdev_run_page);

/**
 * gntdev_run_readonly() - Is a grant mapped read-only?
 * @run: run
 * @i: index of the grant
 *
 * A write to such a page is a fault that the kernel does not survive.
 *
 * Context: any.
 * Return: whether it is.
 */
bool gntdev_run_readonly(struct gntdev_run *run, unsigned int i)
{
	return map_of(run)->grants[i].flags & GRANT_READONLY;
}
EXPORT_SYMBOL_GPL(gntdev_run_readonly);

/**
 * gntdev_run_unmap() - Give a run back
 * @run: run; may not be used any more
 * @done: called when Xen has let go of every page; or NULL
 * @priv: for @done
 *
 * Pages that are free go back to Xen before this returns; those that somebody else holds a
 * reference on when that is dropped (within some 64 ms), each for itself. @done is called
 * once, in process context: from here, if no page is busy, or from a workqueue. It may
 * sleep, and may map other runs, but should not take long.
 *
 * A module whose @done has been called waits with gntdev_run_flush() before it goes: the
 * last instructions of @done may not have been executed yet.
 *
 * Context: process context, sleeps, but neither for a guest nor for whoever holds a page.
 */
void gntdev_run_unmap(struct gntdev_run *run, void (*done)(void *priv),
		      void *priv)
{
	struct gntdev_map *map = map_of(run);

	map->done_priv = priv;
	map->done = done;
	gntdev_map_put(map);
}
EXPORT_SYMBOL_GPL(gntdev_run_unmap);

/**
 * gntdev_run_flush() - Wait until done() functions that run now have returned
 *
 * For the exit function of a module, after its last done() has been called. It does not
 * wait for busy pages.
 *
 * Context: sleeps. Not from a done() function.
 */
void gntdev_run_flush(void)
{
	flush_workqueue(gntdev_wq);
}
EXPORT_SYMBOL_GPL(gntdev_run_flush);
