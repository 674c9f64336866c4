// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xen/gntdev: the file, its offset space and its ioctls.
 *
 * A map lives at an offset of the file, given out by MAP_GRANT_REF. The first map of a file
 * lies at offset 0, as the ABI promises, and so does the next one after all have gone. Offsets
 * are 64 bits wide, but small, for programs whose off_t is not.
 *
 * They are ranges of a maple tree. In a tree of thousands, finding a gap, filling it and making
 * it again takes several walks and moves entries about. So what is given back last stays in the
 * tree, as XA_ZERO_ENTRY, which mtree_load() and mt_for_each() do not show, for the next map of
 * that size: then either is one walk and one store. Such a store needs no memory, either, so
 * nothing can keep a map in the tree that is to leave it.
 *
 * A map is in the tree only when all of its grants are mapped, as far as MAP_GRANT_REF
 * does that. Taking it out of the tree does not end it: VMAs and busy pages keep it (map.c).
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/events.h>
#include <xen/page.h>
#include <xen/xen.h>

#include "gntdev.h"

/* Offsets are bytes in a signed 64-bit file position. */
#define GNTDEV_MAX_INDEX (LLONG_MAX >> PAGE_SHIFT)

/* 512 bytes of stack. */
#define REFS_AT_ONCE 64U

unsigned int gntdev_limit = 64 * 1024;
module_param_named(limit, gntdev_limit, uint, 0644);
MODULE_PARM_DESC(limit, "Maximum number of grants in one mapping request");

struct workqueue_struct *gntdev_wq;

/**
 * gntdev_find_map() - Find the map that contains a range of file offsets
 * @file: open file
 * @index: first offset, in pages
 * @count: length, in pages, > 0
 *
 * Return: the map, with a reference taken, or NULL.
 */
struct gntdev_map *gntdev_find_map(struct gntdev_file *file, pgoff_t index,
				   unsigned long count)
{
	struct gntdev_map *map;

	mutex_lock(&file->lock);
	map = mtree_load(&file->maps, index);
	if (map && count > map->count - (index - map->index))
		map = NULL;
	if (map)
		gntdev_map_get(map);
	mutex_unlock(&file->lock);
	return map;
}

/* Put @map at offsets that are kept, if they fit: the lowest ones, to keep them small. */
static bool offsets_reuse(struct gntdev_file *file, struct gntdev_map *map)
{
	MA_STATE(mas, &file->maps, 0, 0);
	struct gntdev_offsets *spare, *found = NULL;

	lockdep_assert_held(&file->lock);
	for (spare = file->spare; spare < file->spare + file->nr_spare; spare++) {
		if (spare->count == map->count &&
		    (!found || spare->index < found->index))
			found = spare;
	}
	if (!found)
		return false;

	map->index = found->index;
	mas_set_range(&mas, map->index, map->index + map->count - 1);
	mas_lock(&mas);
	mas_store(&mas, map);
	mas_unlock(&mas);
	*found = file->spare[--file->nr_spare];
	return true;
}

/* The map that @mas is at has left: keep its offsets, or forget about all when it was the last. */
static void offsets_give_back(struct gntdev_file *file, struct ma_state *mas)
{
	const struct gntdev_offsets offsets = {
		.index = mas->index,
		.count = mas->last - mas->index + 1,
	};

	lockdep_assert_held(&file->lock);
	if (!file->nr_maps) {
		__mt_destroy(&file->maps);
		file->nr_spare = 0;
		return;
	}

	mas_store(mas, XA_ZERO_ENTRY);
	if (file->nr_spare < GNTDEV_SPARE)
		file->spare[file->nr_spare++] = offsets;
	else
		/* If there is no memory for that, nobody will get these offsets. */
		mas_erase(mas);
}

/**
 * gntdev_file_add() - Give a map its place in the file
 * @file: open file
 * @map: map; the file takes a reference of its own
 *
 * Return: 0 or -ENOMEM.
 */
int gntdev_file_add(struct gntdev_file *file, struct gntdev_map *map)
{
	int err = 0;

	mutex_lock(&file->lock);
	if (!offsets_reuse(file, map))
		err = mtree_alloc_range(&file->maps, &map->index, map, map->count,
					0, GNTDEV_MAX_INDEX, GFP_KERNEL_ACCOUNT);
	if (!err) {
		gntdev_map_get(map);
		file->nr_maps++;
		gntdev_list_map(file, map);
	}
	mutex_unlock(&file->lock);
	return err;
}

/**
 * gntdev_file_remove() - Take a map out of the file, and drop the file's reference
 * @file: open file
 * @index: offset of the map, in pages
 * @count: number of grants that it must have, or 0
 * @only: the map that it must be, or NULL
 *
 * Context: sleeps.
 * Return: 0 or -ENOENT.
 */
int gntdev_file_remove(struct gntdev_file *file, pgoff_t index,
		       unsigned int count, const struct gntdev_map *only)
{
	MA_STATE(mas, &file->maps, index, index);
	struct gntdev_map *map;

	mutex_lock(&file->lock);
	mas_lock(&mas);
	map = mas_walk(&mas);
	if (xa_is_zero(map) ||
	    (map && (map->index != index || (count && map->count != count) ||
		     (only && map != only))))
		map = NULL;
	if (map) {
		file->nr_maps--;
		offsets_give_back(file, &mas);
	}
	mas_unlock(&mas);
	mutex_unlock(&file->lock);

	if (!map)
		return -ENOENT;
	gntdev_map_put(map);
	return 0;
}

/**
 * gntdev_get_refs() - Fetch the references of a map from user memory
 * @map: map, not shared yet
 * @urefs: as many as it has grants
 *
 * Return: 0, -EFAULT, or -EINVAL for a domid that cannot be one.
 */
int gntdev_get_refs(struct gntdev_map *map,
		    const struct ioctl_gntdev_grant_ref __user *urefs)
{
	struct ioctl_gntdev_grant_ref refs[REFS_AT_ONCE] __uninitialized;
	unsigned int i, j, n;

	for (i = 0; i < map->count; i += n) {
		n = min(map->count - i, REFS_AT_ONCE);
		if (copy_from_user(refs, urefs + i, n * sizeof(refs[0])))
			return -EFAULT;
		for (j = 0; j < n; j++) {
			if (refs[j].domid > U16_MAX)
				return -EINVAL;
			map->grants[i + j].domid = refs[j].domid;
			map->grants[i + j].ref = refs[j].ref;
		}
	}
	return 0;
}

static long ioctl_map(struct gntdev_file *file,
		      struct ioctl_gntdev_map_grant_ref __user *arg)
{
	struct gntdev_map *map;
	unsigned int count;
	int err;

	if (get_user(count, &arg->count))
		return -EFAULT;
	if (!count || count > READ_ONCE(gntdev_limit))
		return -EINVAL;

	map = gntdev_map_alloc(file, count);
	if (IS_ERR(map))
		return PTR_ERR(map);

	err = gntdev_get_refs(map, arg->refs);
	/* In PV, mmap() maps the grants for the process, and nothing else is needed. */
	if (!err && !gntdev_pv())
		err = gntdev_map_kernel(map, 0, count, true, NULL);
	if (!err)
		err = gntdev_file_add(file, map);
	if (!err && put_user((u64)map->index << PAGE_SHIFT, &arg->index)) {
		/* Another thread may have guessed the offset and removed it. */
		gntdev_file_remove(file, map->index, count, map);
		err = -EFAULT;
	}
	gntdev_map_put(map);
	return err;
}

static long ioctl_unmap(struct gntdev_file *file, const void __user *arg)
{
	struct ioctl_gntdev_unmap_grant_ref op;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;
	return gntdev_file_remove(file, op.index >> PAGE_SHIFT, op.count, NULL);
}

static long ioctl_get_offset(void __user *arg)
{
	struct ioctl_gntdev_get_offset_for_vaddr op;
	struct vm_area_struct *vma;
	struct gntdev_user *user;
	int err = -EINVAL;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, op.vaddr);
	user = vma && vma->vm_ops == &gntdev_vm_ops ? vma->vm_private_data : NULL;
	if (user) {
		op.offset = (u64)user->map->index << PAGE_SHIFT;
		op.count = user->map->count;
		err = 0;
	}
	mmap_read_unlock(current->mm);

	if (!err && copy_to_user(arg, &op, sizeof(op)))
		err = -EFAULT;
	return err;
}

/*
 * The new port is referenced before gntdev_notify_set() drops the old one: they may be the
 * same, with no other reference.
 */
static long ioctl_notify(struct gntdev_file *file, const void __user *arg)
{
	struct ioctl_gntdev_unmap_notify op;
	struct gntdev_map *map;
	int err;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.action & ~(UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT))
		return -EINVAL;

	if ((op.action & UNMAP_NOTIFY_SEND_EVENT) &&
	    evtchn_get(op.event_channel_port))
		return -EINVAL;

	err = -ENOENT;
	map = gntdev_find_map(file, op.index >> PAGE_SHIFT, 1);
	if (map) {
		err = gntdev_notify_set(map, op.index - ((u64)map->index << PAGE_SHIFT),
					op.action, op.event_channel_port);
		gntdev_map_put(map);
	}
	if (err && (op.action & UNMAP_NOTIFY_SEND_EVENT))
		evtchn_put(op.event_channel_port);
	return err;
}

static long gntdev_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct gntdev_file *file = filp->private_data;
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case IOCTL_GNTDEV_MAP_GRANT_REF:
		return ioctl_map(file, uarg);
	case IOCTL_GNTDEV_UNMAP_GRANT_REF:
		return ioctl_unmap(file, uarg);
	case IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR:
		return ioctl_get_offset(uarg);
	case IOCTL_GNTDEV_SET_UNMAP_NOTIFY:
		return ioctl_notify(file, uarg);
	case IOCTL_GNTDEV_GRANT_COPY:
		return gntdev_ioctl_copy(file, uarg);
	case IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS:
	case IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED:
	case IOCTL_GNTDEV_DMABUF_IMP_TO_REFS:
	case IOCTL_GNTDEV_DMABUF_IMP_RELEASE:
		return gntdev_ioctl_dmabuf(file, cmd, uarg);
	default:
		return gntdev_ioctl_ext(file, cmd, uarg);
	}
}

static int gntdev_open(struct inode *inode, struct file *filp)
{
	struct gntdev_file *file;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	mt_init_flags(&file->maps, MT_FLAGS_ALLOC_RANGE);
	INIT_LIST_HEAD(&file->exports);
	INIT_LIST_HEAD(&file->imports);
	gntdev_list_file(file);
	filp->private_data = file;
	return 0;
}

static int gntdev_release(struct inode *inode, struct file *filp)
{
	struct gntdev_file *file = filp->private_data;
	struct gntdev_map *map;
	unsigned long index = 0;

	mt_for_each(&file->maps, map, index, ULONG_MAX)
		gntdev_map_put(map);
	mutex_lock(&file->lock);
	file->closed = true;
	mtree_destroy(&file->maps);
	mutex_unlock(&file->lock);
	gntdev_dmabuf_close(file);
	gntdev_file_put(file);
	return 0;
}

static const struct file_operations gntdev_fops = {
	.owner = THIS_MODULE,
	.open = gntdev_open,
	.release = gntdev_release,
	.mmap = gntdev_mmap,
	.unlocked_ioctl = gntdev_ioctl,
};

static struct miscdevice gntdev_miscdev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "xen/gntdev",
	.fops = &gntdev_fops,
};

static int __init gntdev_init(void)
{
	int err;

	if (!xen_domain())
		return -ENODEV;
	if (PAGE_SIZE != XEN_PAGE_SIZE) {
		pr_err("needs a kernel with pages of %lu bytes, as grants have\n",
		       XEN_PAGE_SIZE);
		return -ENODEV;
	}

	gntdev_wq = alloc_workqueue("xen-gntdev", WQ_UNBOUND, 0);
	if (!gntdev_wq)
		return -ENOMEM;

	err = gntdev_map_init();
	if (err)
		goto destroy_wq;

	err = gntdev_dmabuf_init();
	if (err)
		goto exit_map;

	gntdev_stats_init();
	err = misc_register(&gntdev_miscdev);
	if (err) {
		pr_err("cannot register /dev/xen/gntdev: error %d\n", err);
		goto exit_dmabuf;
	}
	return 0;

exit_dmabuf:
	gntdev_stats_exit();
	gntdev_dmabuf_exit();
exit_map:
	gntdev_map_exit();
destroy_wq:
	destroy_workqueue(gntdev_wq);
	return err;
}

static void __exit gntdev_exit(void)
{
	misc_deregister(&gntdev_miscdev);
	gntdev_stats_exit();
	/* The last map may have dropped its module reference just now, in work. */
	destroy_workqueue(gntdev_wq);
	gntdev_dmabuf_exit();
	gntdev_map_exit();
}

module_init(gntdev_init);
module_exit(gntdev_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The grantmirror founders");
MODULE_DESCRIPTION("Maps and copies memory granted by other Xen domains (grantmirror)");
