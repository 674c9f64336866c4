// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs granted to another domain.
 *
 * Somebody else's dma-buf is attached in the name of a device without a driver, mapped, and
 * each of its pages is granted. The dma-buf stays attached and mapped, and so its memory
 * where it is, until the last grant has ended.
 *
 * A grant ends when the other domain does not have it mapped. There is no way to make it
 * unmap: so what it still has mapped when the import is released, or the file closed, is
 * tried again by work, slower and slower. A domain that never lets go keeps the dma-buf, its
 * memory, and the references, until it is destroyed; it does not keep the process, nor the
 * descriptor. Nothing is granted anew in that time.
 *
 * Locks: imports_lock protects the list of imports of every file; a leaf. An import that
 * is in no list belongs to whoever took it out.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <xen/page.h>

#include "gntdev.h"

#define BACKOFF_MIN_MS 1
#define BACKOFF_MAX_MS 1024

/**
 * struct dmabuf_import - a dma-buf granted to a domain
 * @next: in the file's list; under imports_lock
 * @fd: what the file's owner knows it by
 * @dmabuf: holds a reference
 * @attach: our attachment
 * @sgt: our mapping
 * @work: ends grants that were in use
 * @backoff: ms until @work tries again
 * @count: number of pages
 * @quota: whose references these are counted as
 * @granted: grants that have not ended: the first so many of @refs
 * @refs: grant references
 */
struct dmabuf_import {
	struct list_head next;
	int fd;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	struct delayed_work work;
	unsigned int backoff;
	unsigned int count;
	struct gntdev_quota *quota;
	unsigned int granted;
	grant_ref_t refs[];
};

static DEFINE_MUTEX(imports_lock);

/* End what can be ended; is nothing left? */
static bool end_grants(struct dmabuf_import *imp)
{
	unsigned int i, left = 0;

	for (i = 0; i < imp->granted; i++) {
		if (!gnttab_try_end_foreign_access(imp->refs[i]))
			imp->refs[left++] = imp->refs[i];
		cond_resched();
	}
	imp->granted = left;
	return !left;
}

static void import_free(struct dmabuf_import *imp)
{
	if (imp->sgt)
		dma_buf_unmap_attachment_unlocked(imp->attach, imp->sgt,
						  DMA_BIDIRECTIONAL);
	if (imp->attach)
		dma_buf_detach(imp->dmabuf, imp->attach);
	if (imp->dmabuf)
		dma_buf_put(imp->dmabuf);
	gntdev_quota_uncharge(imp->quota, imp->count);
	kvfree(imp);
	module_put(THIS_MODULE);
}

/* The end, now or when the other domain lets go. */
static void import_end(struct dmabuf_import *imp)
{
	if (end_grants(imp)) {
		import_free(imp);
		return;
	}
	queue_delayed_work(gntdev_wq, &imp->work, msecs_to_jiffies(imp->backoff));
	/* @imp may be gone. */
}

static void import_work(struct work_struct *work)
{
	struct dmabuf_import *imp = container_of(to_delayed_work(work),
						 struct dmabuf_import, work);

	imp->backoff = min(imp->backoff * 2, BACKOFF_MAX_MS);
	import_end(imp);
}

/*
 * This kernel's number for what a device is told. Where the DMA API is Xen's (swiotlb-xen), that
 * is the machine's number; a PV guest without devices does without it.
 */
static unsigned long pfn_of(struct device *dev, dma_addr_t addr)
{
	unsigned long frame = PHYS_PFN(dma_to_phys(dev, addr));

	return get_dma_ops(dev) ? bfn_to_local_pfn(frame) : frame;
}

/*
 * What to grant for a DMA address: the frame of a page of ours. Other domains' frames, which
 * a dma-buf of grants has, are not ours to grant; a page that was bounced would be a copy.
 */
static int gfn_of(dma_addr_t addr, const struct page *page, unsigned long *gfn)
{
	unsigned long pfn = pfn_of(gntdev_dmabuf_device(), addr);

	if (!pfn_valid(pfn))
		return -EOPNOTSUPP;
	if (!IS_ENABLED(CONFIG_DMABUF_DEBUG) && page && page_to_pfn(page) != pfn)
		return -EOPNOTSUPP;
	page = pfn_to_page(pfn);
	if (PagePrivate(page) && !page->mapping && PageForeign(page))
		return -EOPNOTSUPP;
	*gfn = pfn_to_gfn(pfn);
	return 0;
}

static int grant_page(struct dmabuf_import *imp, domid_t domid, grant_ref_t *head,
		      unsigned long gfn)
{
	int ref = gnttab_claim_grant_reference(head);

	if (ref < 0)
		return -ENOSPC;
	gnttab_grant_foreign_access_ref(ref, domid, gfn, 0);
	imp->refs[imp->granted++] = ref;
	return 0;
}

/* Grant all pages. On an error some may have been granted. */
static int grant_pages(struct dmabuf_import *imp, domid_t domid)
{
	struct sg_dma_page_iter dma_iter;
	struct sg_page_iter page_iter;
	unsigned long gfn;
	grant_ref_t head;
	int err;

	err = gnttab_alloc_grant_references(imp->count, &head);
	if (err < 0)
		return err;

	__sg_page_iter_start(&page_iter, imp->sgt->sgl, imp->sgt->orig_nents, 0);
	err = 0;
	for_each_sg_dma_page(imp->sgt->sgl, &dma_iter, imp->sgt->nents, 0) {
		struct page *page = NULL;

		if (__sg_page_iter_next(&page_iter) && sg_page(page_iter.sg))
			page = sg_page_iter_page(&page_iter);
		err = gfn_of(sg_page_iter_dma_address(&dma_iter), page, &gfn);
		if (!err)
			err = grant_page(imp, domid, &head, gfn);
		if (err)
			break;
	}
	if (!err && imp->granted != imp->count)
		err = -EINVAL;
	gnttab_free_grant_references(head);
	return err;
}

static int import_attach(struct dmabuf_import *imp)
{
	struct sg_table *sgt;
	struct scatterlist *sg;
	unsigned int i;

	imp->dmabuf = dma_buf_get(imp->fd);
	if (IS_ERR(imp->dmabuf)) {
		int err = PTR_ERR(imp->dmabuf);

		imp->dmabuf = NULL;
		return err;
	}
	if (imp->dmabuf->size != (size_t)imp->count << PAGE_SHIFT)
		return -EINVAL;

	imp->attach = dma_buf_attach(imp->dmabuf, gntdev_dmabuf_device());
	if (IS_ERR(imp->attach)) {
		int err = PTR_ERR(imp->attach);

		imp->attach = NULL;
		return err;
	}
	sgt = dma_buf_map_attachment_unlocked(imp->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	imp->sgt = sgt;

	/* Grants are of whole pages. */
	for_each_sg(sgt->sgl, sg, sgt->nents, i)
		if (!PAGE_ALIGNED(sg_dma_address(sg)) || !PAGE_ALIGNED(sg_dma_len(sg)))
			return -EINVAL;
	return 0;
}

/**
 * gntdev_dmabuf_imp_to_refs() - IOCTL_GNTDEV_DMABUF_IMP_TO_REFS
 * @file: open file
 * @arg: struct ioctl_gntdev_dmabuf_imp_to_refs
 *
 * Context: sleeps; holds no lock.
 * Return: 0; -EINVAL: count out of range or not the dma-buf's, an unknown domain, or pages
 *         that are not whole; -EBADF: no descriptor, or -EINVAL: not of a dma-buf;
 *         -EOPNOTSUPP: memory that is not this domain's; -ENOSPC: out of grant references;
 *         -EDQUOT: more than an unprivileged user may hold; -ENOMEM; -EFAULT; and what the
 *         dma-buf's exporter says.
 */
long gntdev_dmabuf_imp_to_refs(struct gntdev_file *file, void __user *arg)
{
	struct ioctl_gntdev_dmabuf_imp_to_refs __user *uop = arg;
	struct ioctl_gntdev_dmabuf_imp_to_refs op;
	struct gntdev_quota *quota;
	struct dmabuf_import *imp;
	int err;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;
	if (!op.count || op.count > READ_ONCE(gntdev_limit) || op.reserved ||
	    op.domid >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	/* The grant table core counts what it hands out at a time in 16 bits. */
	if (op.count > U16_MAX)
		return -E2BIG;

	/* References are the domain's, as handles are; and who maps them need not let go. */
	quota = gntdev_quota_charge(op.count);
	if (IS_ERR(quota))
		return PTR_ERR(quota);
	imp = kvzalloc(struct_size(imp, refs, op.count), GFP_KERNEL_ACCOUNT);
	if (!imp) {
		gntdev_quota_uncharge(quota, op.count);
		return -ENOMEM;
	}
	__module_get(THIS_MODULE);
	imp->fd = op.fd;
	imp->count = op.count;
	imp->quota = quota;
	imp->backoff = BACKOFF_MIN_MS;
	INIT_DELAYED_WORK(&imp->work, import_work);

	err = import_attach(imp);
	if (!err)
		err = grant_pages(imp, op.domid);
	if (!err && copy_to_user(uop->refs, imp->refs, op.count * sizeof(u32)))
		err = -EFAULT;
	if (err) {
		import_end(imp);
		return err;
	}

	mutex_lock(&imports_lock);
	list_add(&imp->next, &file->imports);
	mutex_unlock(&imports_lock);
	return 0;
}

/**
 * gntdev_dmabuf_imp_release() - IOCTL_GNTDEV_DMABUF_IMP_RELEASE
 * @file: open file
 * @arg: struct ioctl_gntdev_dmabuf_imp_release
 *
 * Grants that the other domain has mapped end when it unmaps them.
 *
 * Context: sleeps, but not for the other domain.
 * Return: 0; -ENOENT: not imported; -EINVAL: reserved field not 0; -EFAULT.
 */
long gntdev_dmabuf_imp_release(struct gntdev_file *file, void __user *arg)
{
	struct ioctl_gntdev_dmabuf_imp_release op;
	struct dmabuf_import *imp, *found = NULL;

	if (copy_from_user(&op, arg, sizeof(op)))
		return -EFAULT;
	if (op.reserved)
		return -EINVAL;

	mutex_lock(&imports_lock);
	list_for_each_entry(imp, &file->imports, next) {
		if (imp->fd == op.fd) {
			list_del(&imp->next);
			found = imp;
			break;
		}
	}
	mutex_unlock(&imports_lock);
	if (!found)
		return -ENOENT;
	import_end(found);
	return 0;
}

/**
 * gntdev_dmabuf_imp_close() - End what the file has imported
 * @file: file; nobody uses it any more
 */
void gntdev_dmabuf_imp_close(struct gntdev_file *file)
{
	struct dmabuf_import *imp, *tmp;

	list_for_each_entry_safe(imp, tmp, &file->imports, next)
		import_end(imp);
}
