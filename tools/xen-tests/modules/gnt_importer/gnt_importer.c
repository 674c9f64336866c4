// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnt_importer: the importer's side of a dma-buf, on behalf of a platform device that does
 * no DMA: what it would reach is read and written through the pages of its table.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "uapi.h"

static struct platform_device *device;

struct importer {
	struct mutex lock; /* all of it */
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
};

static int importer_attach(struct importer *imp, int fd)
{
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;

	if (imp->dmabuf)
		return -EBUSY;
	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	attach = dma_buf_attach(dmabuf, &device->dev);
	if (IS_ERR(attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(attach);
	}
	imp->dmabuf = dmabuf;
	imp->attach = attach;
	return 0;
}

static int importer_map(struct importer *imp)
{
	struct sg_table *sgt;

	if (!imp->attach || imp->sgt)
		return -EINVAL;
	sgt = dma_buf_map_attachment_unlocked(imp->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	imp->sgt = sgt;
	return 0;
}

static int importer_unmap(struct importer *imp)
{
	if (!imp->sgt)
		return -EINVAL;
	dma_buf_unmap_attachment_unlocked(imp->attach, imp->sgt, DMA_BIDIRECTIONAL);
	imp->sgt = NULL;
	return 0;
}

static int importer_detach(struct importer *imp)
{
	if (!imp->attach)
		return -EINVAL;
	if (imp->sgt)
		importer_unmap(imp);
	dma_buf_detach(imp->dmabuf, imp->attach);
	dma_buf_put(imp->dmabuf);
	imp->attach = NULL;
	imp->dmabuf = NULL;
	return 0;
}

static int importer_copy(const struct gm_importer_page *op, void *addr)
{
	void __user *user = u64_to_user_ptr(op->buffer);

	if (op->write ? copy_from_user(addr, user, PAGE_SIZE) :
			copy_to_user(user, addr, PAGE_SIZE))
		return -EFAULT;
	return 0;
}

static int importer_pages(struct importer *imp)
{
	struct sg_dma_page_iter iter;
	int n = 0;

	if (!imp->sgt)
		return 0;
	for_each_sg_dma_page(imp->sgt->sgl, &iter, imp->sgt->nents, 0)
		n++;
	return n;
}

/* An exporter may describe what lies in a row piece by piece: do not count these. */
static int importer_runs(struct importer *imp)
{
	unsigned long next = 0;
	struct sg_page_iter iter;
	int n = 0;

	if (!imp->sgt)
		return 0;
	for_each_sg_page(imp->sgt->sgl, &iter, imp->sgt->orig_nents, 0) {
		unsigned long pfn = page_to_pfn(sg_page_iter_page(&iter));

		if (!n || pfn != next)
			n++;
		next = pfn + 1;
	}
	return n;
}

static int importer_sg(struct importer *imp, const struct gm_importer_page *op)
{
	struct sg_page_iter iter;
	unsigned int n = 0;

	if (!imp->sgt)
		return -EINVAL;
	for_each_sg_page(imp->sgt->sgl, &iter, imp->sgt->orig_nents, 0)
		if (n++ == op->page)
			return importer_copy(op, page_address(sg_page_iter_page(&iter)));
	return -EINVAL;
}

static int importer_vmap(struct importer *imp, const struct gm_importer_page *op)
{
	struct iosys_map map;
	int ret, err;

	if (!imp->dmabuf || op->page >= imp->dmabuf->size >> PAGE_SHIFT)
		return -EINVAL;
	ret = dma_buf_begin_cpu_access(imp->dmabuf, DMA_BIDIRECTIONAL);
	if (ret)
		return ret;
	ret = dma_buf_vmap_unlocked(imp->dmabuf, &map);
	if (!ret) {
		ret = importer_copy(op, map.vaddr + (size_t)op->page * PAGE_SIZE);
		dma_buf_vunmap_unlocked(imp->dmabuf, &map);
	}
	err = dma_buf_end_cpu_access(imp->dmabuf, DMA_BIDIRECTIONAL);
	return ret ?: err;
}

static long importer_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct importer *imp = file->private_data;
	struct gm_importer_page op;
	long ret = -ENOTTY;

	if (_IOC_SIZE(cmd) > sizeof(op))
		return -ENOTTY;
	if (_IOC_DIR(cmd) && copy_from_user(&op, (void __user *)arg, _IOC_SIZE(cmd)))
		return -EFAULT;

	mutex_lock(&imp->lock);
	switch (cmd) {
	case GM_IMPORTER_ATTACH:
		ret = importer_attach(imp, arg);
		break;
	case GM_IMPORTER_MAP:
		ret = importer_map(imp);
		break;
	case GM_IMPORTER_SG:
		ret = importer_sg(imp, &op);
		break;
	case GM_IMPORTER_VMAP:
		ret = importer_vmap(imp, &op);
		break;
	case GM_IMPORTER_UNMAP:
		ret = importer_unmap(imp);
		break;
	case GM_IMPORTER_DETACH:
		ret = importer_detach(imp);
		break;
	case GM_IMPORTER_HAS_PAGES:
		ret = importer_pages(imp);
		break;
	case GM_IMPORTER_HAS_RUNS:
		ret = importer_runs(imp);
		break;
	}
	mutex_unlock(&imp->lock);
	return ret;
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *imp = kzalloc(sizeof(*imp), GFP_KERNEL);

	if (!imp)
		return -ENOMEM;
	mutex_init(&imp->lock);
	file->private_data = imp;
	return nonseekable_open(inode, file);
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *imp = file->private_data;

	importer_detach(imp);
	kfree(imp);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
};

static struct miscdevice importer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gm-gnt-importer",
	.fops = &importer_fops,
};

static int __init importer_init(void)
{
	int err;

	device = platform_device_register_simple("gm-gnt-importer", PLATFORM_DEVID_NONE,
						 NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	err = dma_coerce_mask_and_coherent(&device->dev, DMA_BIT_MASK(64));
	if (!err)
		err = misc_register(&importer_device);
	if (err)
		platform_device_unregister(device);
	return err;
}

static void __exit importer_exit(void)
{
	misc_deregister(&importer_device);
	platform_device_unregister(device);
}

module_init(importer_init);
module_exit(importer_exit);

MODULE_IMPORT_NS(DMA_BUF);
MODULE_DESCRIPTION("An importer of dma-bufs for test programs");
MODULE_LICENSE("GPL");
