// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs of granted memory: export, and waiting for the end.
 *
 * An exported dma-buf has a map of its own, that is in no file. Its kernel side is made by
 * the ioctl and stands for as long as the dma-buf lives; devices, and the kernel through
 * vmap(), use that. A user mapping is made by Xen in PV, and a grant has one user side at a
 * time; so each mmap() of the dma-buf makes a map of its own of the same grants, its clone,
 * which then lives like any mmap() of this device (vma.c, pv.c).
 *
 *   file ---exports---> export <--- dma-buf ---> map
 *                         ^                       | done()
 *                         +---- live count <------+--- clone, clone, ...
 *
 * The dma-buf is released when its last user closes it. Then the map is given back, page by
 * page as each is free; when the last page of the last map has gone, the export has gone, and
 * all who wait for it are told. So it is not released in the sense of
 * IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED while Xen still has anything mapped.
 *
 * The file is no owner of its exports: it remembers them so that they can be waited for, and
 * they outlive it.
 *
 * Locks: exports_lock protects the list of exports of every file. dma_lock (of an export)
 * protects its list of DMA mappings. They are leaves; the reservation lock of a dma-buf, and
 * the mmap lock, may be held around them.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/file.h>
#include <linux/iosys-map.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <xen/page.h>

#include "gntdev.h"

MODULE_IMPORT_NS(DMA_BUF);

#define ALL_FLAGS (GNTDEV_DMA_FLAG_WC | GNTDEV_DMA_FLAG_COHERENT)

/**
 * struct dmabuf_export - an exported dma-buf
 * @ref: memory: one for all that is live, one for each waiter
 * @live: the dma-buf's map and the clones that are not given back yet
 * @gone: nothing is live any more
 * @next: in the file's list; under exports_lock
 * @fd: what the file's owner knows it by; under exports_lock
 * @map: the dma-buf's own map
 * @dma_lock: see the top of this file
 * @mapped: struct export_dma of devices; under @dma_lock
 */
struct dmabuf_export {
	struct kref ref;
	refcount_t live;
	struct completion gone;
	struct list_head next;
	int fd;
	struct gntdev_map *map;
	struct mutex dma_lock; /* mapped */
	struct list_head mapped;
};

/* What one attachment has mapped for its device. */
struct export_dma {
	struct sg_table sgt;
	struct list_head next;
	struct device *dev;
	enum dma_data_direction dir;
};

static DEFINE_MUTEX(exports_lock);

static struct platform_device *dma_device;

/**
 * gntdev_dmabuf_device() - The device in whose name this driver uses dma-bufs
 *
 * Return: it; it has no driver and does no DMA.
 */
struct device *gntdev_dmabuf_device(void)
{
	return &dma_device->dev;
}

static void export_free(struct kref *ref)
{
	kfree(container_of(ref, struct dmabuf_export, ref));
}

static void export_live_put(struct dmabuf_export *exp)
{
	if (!refcount_dec_and_test(&exp->live))
		return;
	mutex_lock(&exports_lock);
	list_del_init(&exp->next);
	mutex_unlock(&exports_lock);
	complete_all(&exp->gone);
	kref_put(&exp->ref, export_free);
}

/* A map of the export has been given back. */
static void export_map_done(void *priv)
{
	export_live_put(priv);
}

/* Devices */

/*
 * In PV, pages that lie in a row here do not in the machine, which an entry of the table must
 * not hide: it would have to be bounced.
 */
static struct export_dma *export_dma_alloc(struct gntdev_map *map, struct device *dev,
					   enum dma_data_direction dir)
{
	unsigned int i, segment = gntdev_pv() ? PAGE_SIZE : dma_get_max_seg_size(dev);
	struct export_dma *dma;
	struct page **pages;
	int err = -ENOMEM;

	dma = kzalloc(sizeof(*dma), GFP_KERNEL);
	pages = kvmalloc_array(map->count, sizeof(*pages), GFP_KERNEL);
	if (dma && pages) {
		for (i = 0; i < map->count; i++)
			pages[i] = map->grants[i].page;
		dma->dev = dev;
		dma->dir = dir;
		err = sg_alloc_table_from_pages_segment(&dma->sgt, pages, map->count, 0,
							(size_t)map->count << PAGE_SHIFT,
							max_t(size_t, segment, PAGE_SIZE),
							GFP_KERNEL);
	}
	kvfree(pages);
	if (!err)
		return dma;
	kfree(dma);
	return ERR_PTR(err);
}

static struct sg_table *export_map_dma(struct dma_buf_attachment *attach,
				       enum dma_data_direction dir)
{
	struct dmabuf_export *exp = attach->dmabuf->priv;
	struct export_dma *dma;
	int err;

	dma = export_dma_alloc(exp->map, attach->dev, dir);
	if (IS_ERR(dma))
		return ERR_CAST(dma);
	err = dma_map_sgtable(attach->dev, &dma->sgt, dir, 0);
	if (err) {
		sg_free_table(&dma->sgt);
		kfree(dma);
		return ERR_PTR(err);
	}

	mutex_lock(&exp->dma_lock);
	list_add(&dma->next, &exp->mapped);
	mutex_unlock(&exp->dma_lock);
	return &dma->sgt;
}

static void export_unmap_dma(struct dma_buf_attachment *attach, struct sg_table *sgt,
			     enum dma_data_direction dir)
{
	struct export_dma *dma = container_of(sgt, struct export_dma, sgt);
	struct dmabuf_export *exp = attach->dmabuf->priv;

	mutex_lock(&exp->dma_lock);
	list_del(&dma->next);
	mutex_unlock(&exp->dma_lock);

	dma_unmap_sgtable(attach->dev, sgt, dir, 0);
	sg_free_table(sgt);
	kfree(dma);
}

/* The CPU */

static int export_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dmabuf_export *exp = dmabuf->priv;
	struct export_dma *dma;

	mutex_lock(&exp->dma_lock);
	list_for_each_entry(dma, &exp->mapped, next)
		dma_sync_sgtable_for_cpu(dma->dev, &dma->sgt, dma->dir);
	mutex_unlock(&exp->dma_lock);
	return 0;
}

static int export_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dmabuf_export *exp = dmabuf->priv;
	struct export_dma *dma;

	mutex_lock(&exp->dma_lock);
	list_for_each_entry(dma, &exp->mapped, next)
		dma_sync_sgtable_for_device(dma->dev, &dma->sgt, dma->dir);
	mutex_unlock(&exp->dma_lock);
	return 0;
}

static int export_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct dmabuf_export *exp = dmabuf->priv;
	unsigned int i, count = vma_pages(vma);
	struct gntdev_map *map;

	/* The dma-buf core has seen to it that this lies within the dma-buf. */
	map = gntdev_map_alloc(exp->map->file, count);
	if (IS_ERR(map))
		return PTR_ERR(map);
	for (i = 0; i < count; i++) {
		map->grants[i].domid = exp->map->grants[vma->vm_pgoff + i].domid;
		map->grants[i].ref = exp->map->grants[vma->vm_pgoff + i].ref;
	}
	map->index = vma->vm_pgoff;

	refcount_inc(&exp->live);
	map->done_priv = exp;
	map->done = export_map_done;
	return gntdev_mmap_map(map, vma);
}

static bool in_a_row(const struct gntdev_map *map)
{
	unsigned long pfn = page_to_pfn(map->grants[0].page);
	unsigned int i;

	for (i = 1; i < map->count; i++)
		if (page_to_pfn(map->grants[i].page) != pfn + i)
			return false;
	return true;
}

/* In PV only the linear map will do (dmabuf_pages.c). */
static bool can_vmap(const struct gntdev_map *map)
{
	return !gntdev_pv() || in_a_row(map);
}

static int export_vmap(struct dma_buf *dmabuf, struct iosys_map *to)
{
	struct dmabuf_export *exp = dmabuf->priv;
	struct gntdev_map *map = exp->map;
	struct page **pages;
	unsigned int i;
	void *addr;

	if (in_a_row(map)) {
		iosys_map_set_vaddr(to, page_address(map->grants[0].page));
		return 0;
	}

	pages = kvmalloc_array(map->count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < map->count; i++)
		pages[i] = map->grants[i].page;
	addr = vmap(pages, map->count, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	if (!addr)
		return -ENOMEM;
	iosys_map_set_vaddr(to, addr);
	return 0;
}

static void export_vunmap(struct dma_buf *dmabuf, struct iosys_map *from)
{
	if (is_vmalloc_addr(from->vaddr))
		vunmap(from->vaddr);
}

static void export_release(struct dma_buf *dmabuf)
{
	struct dmabuf_export *exp = dmabuf->priv;

	gntdev_map_put(exp->map);
}

static const struct dma_buf_ops export_ops = {
	.map_dma_buf = export_map_dma,
	.unmap_dma_buf = export_unmap_dma,
	.begin_cpu_access = export_begin_cpu_access,
	.end_cpu_access = export_end_cpu_access,
	.mmap = export_mmap,
	.vmap = export_vmap,
	.vunmap = export_vunmap,
	.release = export_release,
};

/* An operation that fails is worth a warning to the core; one that is not there is not. */
static const struct dma_buf_ops export_ops_no_vmap = {
	.map_dma_buf = export_map_dma,
	.unmap_dma_buf = export_unmap_dma,
	.begin_cpu_access = export_begin_cpu_access,
	.end_cpu_access = export_end_cpu_access,
	.mmap = export_mmap,
	.release = export_release,
};

/* The ioctls */

static struct gntdev_map *export_map_alloc(struct gntdev_file *file,
					   const struct ioctl_gntdev_dmabuf_exp_from_refs *op,
					   const u32 __user *urefs)
{
	struct gntdev_map *map;
	unsigned int i;
	u32 *refs;
	int err;

	refs = vmemdup_array_user(urefs, op->count, sizeof(*refs));
	if (IS_ERR(refs))
		return ERR_CAST(refs);
	map = gntdev_map_alloc(file, op->count);
	if (IS_ERR(map)) {
		kvfree(refs);
		return map;
	}
	for (i = 0; i < op->count; i++) {
		map->grants[i].domid = op->domid;
		map->grants[i].ref = refs[i];
	}
	kvfree(refs);

	if (op->flags)
		err = gntdev_backing_alloc(map, op->flags);
	else
		err = gntdev_pages_in_a_row(map);
	if (!err)
		err = gntdev_map_kernel(map, 0, map->count, true, NULL);
	if (!err && gntdev_any_readonly(map))
		err = -EINVAL;
	if (err) {
		gntdev_map_put(map);
		return ERR_PTR(err);
	}
	return map;
}

/* Makes the dma-buf of @map, whose reference goes over to it, or is dropped. */
static struct dma_buf *export_map(struct gntdev_map *map)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dmabuf_export *exp;
	struct dma_buf *dmabuf;

	exp = kzalloc(sizeof(*exp), GFP_KERNEL_ACCOUNT);
	if (!exp) {
		gntdev_map_put(map);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&exp->ref);
	refcount_set(&exp->live, 1);
	init_completion(&exp->gone);
	INIT_LIST_HEAD(&exp->next);
	mutex_init(&exp->dma_lock);
	INIT_LIST_HEAD(&exp->mapped);
	exp->map = map;
	map->done_priv = exp;
	map->done = export_map_done;

	info.ops = can_vmap(map) ? &export_ops : &export_ops_no_vmap;
	info.size = (size_t)map->count << PAGE_SHIFT;
	info.flags = O_RDWR;
	info.priv = exp;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf))
		gntdev_map_put(map);
	return dmabuf;
}

static long exp_from_refs(struct gntdev_file *file,
			  struct ioctl_gntdev_dmabuf_exp_from_refs __user *arg)
{
	struct ioctl_gntdev_dmabuf_exp_from_refs op;
	struct dmabuf_export *exp;
	struct gntdev_map *map;
	struct dma_buf *dmabuf;
	int fd;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;
	if ((op.flags & ~ALL_FLAGS) || op.flags == ALL_FLAGS || !op.count ||
	    op.count > READ_ONCE(gntdev_limit) || op.domid > U16_MAX)
		return -EINVAL;

	map = export_map_alloc(file, &op, arg->refs);
	if (IS_ERR(map))
		return PTR_ERR(map);
	dmabuf = export_map(map);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		dma_buf_put(dmabuf);
		return fd;
	}
	if (put_user(fd, &arg->fd)) {
		put_unused_fd(fd);
		dma_buf_put(dmabuf);
		return -EFAULT;
	}

	/* The newest comes first: the number may have belonged to another one that lives on. */
	exp = dmabuf->priv;
	exp->fd = fd;
	mutex_lock(&exports_lock);
	list_add(&exp->next, &file->exports);
	mutex_unlock(&exports_lock);
	fd_install(fd, dmabuf->file);
	return 0;
}

static long exp_wait_released(struct gntdev_file *file, const void __user *arg)
{
	struct ioctl_gntdev_dmabuf_exp_wait_released op;
	struct dmabuf_export *exp, *found = NULL;
	long left;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;

	mutex_lock(&exports_lock);
	list_for_each_entry(exp, &file->exports, next) {
		if (exp->fd == op.fd) {
			kref_get(&exp->ref);
			found = exp;
			break;
		}
	}
	mutex_unlock(&exports_lock);
	if (!found)
		return -ENOENT;

	left = wait_for_completion_interruptible_timeout(&found->gone,
							 msecs_to_jiffies(op.wait_to_ms));
	kref_put(&found->ref, export_free);
	if (left < 0)
		return -EINTR;
	return left ? 0 : -ETIMEDOUT;
}

/**
 * gntdev_ioctl_dmabuf() - IOCTL_GNTDEV_DMABUF_*
 * @file: open file
 * @cmd: one of them
 * @arg: its argument
 *
 * Context: sleeps; holds no lock.
 * Return: as <uapi/xen/gntdev.h> has it.
 */
long gntdev_ioctl_dmabuf(struct gntdev_file *file, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS:
		return exp_from_refs(file, arg);
	case IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED:
		return exp_wait_released(file, arg);
	case IOCTL_GNTDEV_DMABUF_IMP_TO_REFS:
		return gntdev_dmabuf_imp_to_refs(file, arg);
	case IOCTL_GNTDEV_DMABUF_IMP_RELEASE:
		return gntdev_dmabuf_imp_release(file, arg);
	default:
		return -ENOTTY;
	}
}

/**
 * gntdev_dmabuf_close() - The file is closed
 * @file: file
 *
 * Its exports live on for as long as anybody uses them; its imports end.
 */
void gntdev_dmabuf_close(struct gntdev_file *file)
{
	struct dmabuf_export *exp, *tmp;

	mutex_lock(&exports_lock);
	list_for_each_entry_safe(exp, tmp, &file->exports, next)
		list_del_init(&exp->next);
	mutex_unlock(&exports_lock);
	gntdev_dmabuf_imp_close(file);
}

/**
 * gntdev_dmabuf_init() - Begin
 *
 * Return: 0 or a negative errno.
 */
int gntdev_dmabuf_init(void)
{
	int err;

	dma_device = platform_device_register_simple("xen-gntdev", PLATFORM_DEVID_NONE,
						     NULL, 0);
	if (IS_ERR(dma_device))
		return PTR_ERR(dma_device);
	err = dma_coerce_mask_and_coherent(&dma_device->dev, DMA_BIT_MASK(64));
	if (err)
		platform_device_unregister(dma_device);
	return err;
}

/**
 * gntdev_dmabuf_exit() - The end: nothing is exported or imported any more
 */
void gntdev_dmabuf_exit(void)
{
	platform_device_unregister(dma_device);
}
