// SPDX-License-Identifier: GPL-2.0-only
/*
 * The newer ioctls: structures that say their own size, and may grow.
 *
 * MAP_REFS maps the kernel side, in PV, too: only that says for certain what Xen makes of
 * each grant.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "gntdev.h"

/* Statuses that are copied to user memory in one go: 256 bytes of stack. */
#define STATUS_AT_ONCE 64U

/*
 * Fetch a structure of @ksize bytes, of which any program knows @least. The size that the
 * caller gives is its first member.
 */
static int get_struct(void *op, size_t ksize, size_t least,
		      const void __user *arg)
{
	u32 size;

	if (get_user(size, (const u32 __user *)arg))
		return -EFAULT;
	if (size < least)
		return -EINVAL;
	/* Whatever is beyond @ksize has to be 0, and is looked at. */
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(op, ksize, arg, size);
}

/* Give back as much of it as the caller knows. */
static int put_struct(const void *op, size_t ksize, void __user *arg)
{
	size_t size = min_t(size_t, *(const u32 *)op, ksize);

	return copy_to_user(arg, op, size) ? -EFAULT : 0;
}

static int put_status(struct gntdev_map *map, const s16 *status,
		      struct gntdev_ref_status __user *ustatus)
{
	struct gntdev_ref_status out[STATUS_AT_ONCE] __uninitialized;
	unsigned int i, j, n;

	for (i = 0; i < map->count; i += n) {
		n = min(map->count - i, STATUS_AT_ONCE);
		for (j = 0; j < n; j++) {
			out[j].status = status[i + j];
			out[j].flags = 0;
			if (map->grants[i + j].flags & GRANT_READONLY)
				out[j].flags = GNTDEV_REF_READONLY;
		}
		if (copy_to_user(ustatus + i, out, n * sizeof(out[0])))
			return -EFAULT;
	}
	return 0;
}

/*
 * Is what has been mapped enough? An error that says nothing of a single grant never is.
 * What could not be mapped becomes a hole.
 */
static int settle(struct gntdev_map *map, struct gntdev_map_refs *op, int err)
{
	unsigned int i;

	for (i = 0; i < map->count; i++) {
		if (gntdev_kernel_mapped(&map->grants[i]))
			op->mapped++;
		else
			map->grants[i].flags |= GRANT_ABSENT;
	}
	if ((op->flags & GNTDEV_MAP_PARTIAL) && op->mapped && gntdev_errno_of_grant(err))
		return 0;
	return err;
}

/* Map the grants of @map, which is not shared yet, and tell the caller about each. */
static int map_and_tell(struct gntdev_map *map, struct gntdev_map_refs *op)
{
	s16 *status;
	int i, err;

	err = gntdev_get_refs(map, u64_to_user_ptr(op->refs));
	if (err)
		return err;
	status = kvmalloc_array(map->count, sizeof(*status), GFP_KERNEL_ACCOUNT);
	if (!status)
		return -ENOMEM;
	for (i = 0; i < map->count; i++)
		status[i] = 1;

	mutex_lock(&map->lock);
	err = gntdev_map_kernel(map, 0, map->count, true, status);
	mutex_unlock(&map->lock);
	err = settle(map, op, err);
	if (op->status && put_status(map, status, u64_to_user_ptr(op->status)))
		err = -EFAULT;
	kvfree(status);
	return err;
}

static long ioctl_map_refs(struct gntdev_file *file, void __user *arg)
{
	struct gntdev_map_refs op;
	struct gntdev_map *map;
	int err;

	err = get_struct(&op, sizeof(op), sizeof(op), arg);
	if (err)
		return err;
	if ((op.flags & ~GNTDEV_MAP_PARTIAL) || !op.count ||
	    op.count > READ_ONCE(gntdev_limit))
		return -EINVAL;

	map = gntdev_map_alloc(file, op.count);
	if (IS_ERR(map))
		return PTR_ERR(map);
	op.mapped = 0;
	err = map_and_tell(map, &op);
	if (!err)
		err = gntdev_file_add(file, map);
	if (!err) {
		op.index = (u64)map->index << PAGE_SHIFT;
		err = put_struct(&op, sizeof(op), arg);
		/* Another thread may have guessed the offset and removed it. */
		if (err)
			gntdev_file_remove(file, map->index, 0, map);
	}
	gntdev_map_put(map);
	return err;
}

static long ioctl_ack(struct gntdev_file *file, const void __user *arg)
{
	struct eventfd_ctx *ack = NULL;
	struct gntdev_map *map;
	struct gntdev_ack op;
	int err;

	err = get_struct(&op, sizeof(op), sizeof(op), arg);
	if (err)
		return err;
	if (op.flags || op.reserved || op.eventfd < -1)
		return -EINVAL;

	if (op.eventfd >= 0) {
		ack = eventfd_ctx_fdget(op.eventfd);
		if (IS_ERR(ack))
			return PTR_ERR(ack);
	}
	err = -ENOENT;
	map = gntdev_find_map(file, op.index >> PAGE_SHIFT, 1);
	if (map) {
		err = gntdev_map_ack(map, ack);
		gntdev_map_put(map);
	}
	if (err && ack)
		eventfd_ctx_put(ack);
	return err;
}

static void query_file(struct gntdev_file *file, struct gntdev_query *op)
{
	struct gntdev_map *map;
	unsigned long index = 0;

	mutex_lock(&file->lock);
	mt_for_each(&file->maps, map, index, ULONG_MAX) {
		spin_lock(&map->user_lock);
		op->maps++;
		op->grants += map->count;
		op->user += map->claimed;
		op->kernel += map->live;
		op->deferred += map->deferred;
		spin_unlock(&map->user_lock);
		cond_resched();
	}
	mutex_unlock(&file->lock);
}

/* Xen counts the frames of this domain's own table. */
static void query_domain(struct gntdev_query *op)
{
	struct gnttab_query_size size = { .dom = DOMID_SELF };

	if (gntdev_hv_query_size(&size) ||
	    size.status != GNTST_okay)
		return;
	op->gnttab_frames = size.nr_frames;
	op->gnttab_max_frames = size.max_nr_frames;
}

static long ioctl_query(struct gntdev_file *file, void __user *arg)
{
	struct gntdev_query op;
	u32 size;
	int err;

	err = get_struct(&op, sizeof(op), sizeof(op), arg);
	if (err)
		return err;
	if (op.flags || op.reserved)
		return -EINVAL;

	size = op.size;
	op = (struct gntdev_query){
		.size = size,
		.limit = READ_ONCE(gntdev_limit),
		.all_handles = atomic_long_read(&gntdev_stats.kernel_side) +
			       atomic_long_read(&gntdev_stats.user_ptes),
		.all_deferred = atomic_long_read(&gntdev_stats.deferred),
		.all_leaked = atomic_long_read(&gntdev_stats.leaked),
	};
	query_file(file, &op);
	query_domain(&op);
	return put_struct(&op, sizeof(op), arg);
}

/**
 * gntdev_ioctl_ext() - The ioctls that say their own size
 * @file: open file
 * @cmd: number
 * @arg: structure of that call
 *
 * Context: sleeps; MAP_REFS waits for a guest that pages its memory out.
 * Return: 0 or a negative errno, see the calls in uapi/xen/gntdev.h.
 */
long gntdev_ioctl_ext(struct gntdev_file *file, unsigned int cmd,
		      void __user *arg)
{
	switch (cmd) {
	case IOCTL_GNTDEV_MAP_REFS:
		return ioctl_map_refs(file, arg);
	case IOCTL_GNTDEV_ACK:
		return ioctl_ack(file, arg);
	case IOCTL_GNTDEV_QUERY:
		return ioctl_query(file, arg);
	default:
		return -ENOIOCTLCMD;
	}
}
