// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device comes and goes: with the module, with hotplug, with `xl pci-attach` and
 * `xl pci-detach`, while files are open and work is under way.
 *
 * When it goes nothing of it may stay behind. First there are no new files; then each
 * context loses its hardware, so nobody's memory is in reach of the device any more; then pages
 * in video memory move back to where their processes can have them; then the device is
 * reset, and video memory cleared, as the next owner may be another domain.
 */
#include <linux/dma-mapping.h>
#include <linux/idr.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "xgpu.h"

static bool xgpu_use_vram = true;
module_param_named(vram, xgpu_use_vram, bool, 0444);
MODULE_PARM_DESC(vram, "move memory of processes to video memory when that is asked for (default)");

static DEFINE_IDA(xgpu_numbers);

void xgpu_get(struct xgpu *xgpu)
{
	kref_get(&xgpu->ref);
}

static void xgpu_free(struct kref *ref)
{
	struct xgpu *xgpu = container_of(ref, struct xgpu, ref);

	pci_dev_put(xgpu->pdev);
	kfree(xgpu);
}

void xgpu_put(struct xgpu *xgpu)
{
	kref_put(&xgpu->ref, xgpu_free);
}

/* Registers, as long as the device is what we think. */
static int xgpu_find(struct xgpu *xgpu)
{
	struct pci_dev *pdev = xgpu->pdev;
	u32 version, bits;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "cannot be enabled\n");
	ret = pcim_iomap_regions(pdev, BIT(XGPU_BAR_REGS), KBUILD_MODNAME);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "no registers (BAR %d)\n", XGPU_BAR_REGS);
	xgpu->regs = pcim_iomap_table(pdev)[XGPU_BAR_REGS];

	version = xgpu_read(xgpu, XGPU_VERSION);
	if (xgpu_read(xgpu, XGPU_ID) != XGPU_ID_MAGIC || version >> 16 != XGPU_VERSION_MAJOR)
		return dev_err_probe(&pdev->dev, -ENODEV, "ID %#x, version %#x: not one of ours\n",
				     xgpu_read(xgpu, XGPU_ID), version);
	if (xgpu_read(xgpu, XGPU_NR_CONTEXTS) < XGPU_CONTEXTS)
		return dev_err_probe(&pdev->dev, -ENODEV, "has %u contexts, not %u\n",
				     xgpu_read(xgpu, XGPU_NR_CONTEXTS), XGPU_CONTEXTS);
	xgpu->vram_size = xgpu_read64(xgpu, XGPU_VRAM_SIZE);

	/* An entry of its page table has room for 52 bits. */
	bits = clamp(xgpu_read(xgpu, XGPU_DMA_BITS), 32U, 52U);
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(bits));
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "no DMA with %u bits\n", bits);
	return 0;
}

static int xgpu_irqs_init(struct xgpu *xgpu)
{
	struct pci_dev *pdev = xgpu->pdev;
	int i, ret;

	/* Message vectors as many as it has, or as there are; or the line. */
	ret = pci_alloc_irq_vectors(pdev, 1, XGPU_IRQS, PCI_IRQ_ALL_TYPES);
	if (ret < 0)
		return dev_err_probe(&pdev->dev, ret, "no interrupts\n");
	xgpu->nr_vectors = ret;
	for (i = 0; i < xgpu->nr_vectors; i++) {
		ret = request_irq(pci_irq_vector(pdev, i), xgpu_interrupt, IRQF_SHARED, xgpu->name,
				  xgpu);
		if (ret)
			break;
	}
	if (!ret)
		return 0;
	while (i--)
		free_irq(pci_irq_vector(pdev, i), xgpu);
	pci_free_irq_vectors(pdev);
	return dev_err_probe(&pdev->dev, ret, "interrupt not available\n");
}

static void xgpu_irqs_free(struct xgpu *xgpu)
{
	int i;

	for (i = 0; i < xgpu->nr_vectors; i++)
		free_irq(pci_irq_vector(xgpu->pdev, i), xgpu);
	pci_free_irq_vectors(xgpu->pdev);
}

/* Without it the device works, on the system's memory only. */
static void xgpu_memory_init(struct xgpu *xgpu)
{
	int ret;

	if (!IS_ENABLED(CONFIG_DEVICE_PRIVATE) || !xgpu_use_vram || !xgpu->vram_size)
		return;
	ret = device_memory_init(&xgpu->memory, xgpu_dev(xgpu), xgpu->vram_size, &xgpu_memory_ops,
				 xgpu);
	xgpu->has_memory = !ret;
	if (ret)
		dev_warn(xgpu_dev(xgpu), "memory cannot be moved to video memory: error %d\n", ret);
}

static void xgpu_memory_destroy(struct xgpu *xgpu)
{
	if (!xgpu->has_memory)
		return;
	/* It would let pages in again. That something is lost is found out without it. */
	disable_work_sync(&xgpu->vram_work);
	device_memory_destroy(&xgpu->memory);
	xgpu->has_memory = false;
}

static int xgpu_register(struct xgpu *xgpu)
{
	xgpu->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = xgpu->name,
		.fops = &xgpu_fops,
		.parent = xgpu_dev(xgpu),
		.mode = 0600,
	};
	return misc_register(&xgpu->misc);
}

static struct xgpu *xgpu_new(struct pci_dev *pdev)
{
	struct xgpu *xgpu = kzalloc(sizeof(*xgpu), GFP_KERNEL);

	if (!xgpu)
		return NULL;
	xgpu->number = ida_alloc(&xgpu_numbers, GFP_KERNEL);
	if (xgpu->number < 0) {
		kfree(xgpu);
		return NULL;
	}
	snprintf(xgpu->name, sizeof(xgpu->name), "xgpu%d", xgpu->number);
	kref_init(&xgpu->ref);
	xgpu->pdev = pci_dev_get(pdev);
	spin_lock_init(&xgpu->lock);
	spin_lock_init(&xgpu->shoot_lock);
	mutex_init(&xgpu->reset_lock);
	mutex_init(&xgpu->scan_lock);
	init_waitqueue_head(&xgpu->shoot_wait);
	INIT_WORK(&xgpu->error_work, xgpu_error_work);
	INIT_WORK(&xgpu->vram_work, xgpu_vram_work);
	return xgpu;
}

static int xgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct xgpu *xgpu = xgpu_new(pdev);
	int ret;

	if (!xgpu)
		return -ENOMEM;
	pci_set_drvdata(pdev, xgpu);
	ret = xgpu_find(xgpu);
	if (ret)
		goto put;
	xgpu->wq = alloc_workqueue("%s", WQ_UNBOUND, XGPU_CONTEXTS, xgpu->name);
	ret = xgpu->wq ? 0 : -ENOMEM;
	if (ret)
		goto put;
	/* Whatever the last owner has left */
	xgpu_hw_stop(xgpu);
	pci_set_master(pdev);
	ret = xgpu_queues_alloc(xgpu);
	if (ret)
		goto destroy_wq;
	ret = xgpu_engine_init(xgpu);
	if (ret)
		goto free_queues;
	ret = xgpu_irqs_init(xgpu);
	if (ret)
		goto free_engine;
	xgpu_hw_start(xgpu, false);
	xgpu_memory_init(xgpu);
	ret = xgpu_register(xgpu);
	if (ret)
		goto stop;
	dev_info(&pdev->dev, "%s: %llu MiB of video memory, %d interrupt%s\n", xgpu->name,
		 xgpu->vram_size >> 20, xgpu->nr_vectors, xgpu->nr_vectors > 1 ? "s" : "");
	return 0;

stop:
	xgpu_memory_destroy(xgpu);
	xgpu_hw_stop(xgpu);
	xgpu_irqs_free(xgpu);
free_engine:
	xgpu_engine_free(xgpu);
free_queues:
	xgpu_queues_free(xgpu);
destroy_wq:
	destroy_workqueue(xgpu->wq);
put:
	ida_free(&xgpu_numbers, xgpu->number);
	xgpu_put(xgpu);
	return ret;
}

/* A context that has not been taken away yet, with a reference: its file may be closed now. */
static struct xgpu_ctx *xgpu_some_ctx(struct xgpu *xgpu)
{
	struct xgpu_ctx *ctx = NULL;
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&xgpu->lock, flags);
	xgpu->dead = true;
	for (i = 1; i < XGPU_CONTEXTS && !ctx; i++)
		ctx = xgpu->ctx[i];
	if (ctx)
		kref_get(&ctx->ref);
	spin_unlock_irqrestore(&xgpu->lock, flags);
	return ctx;
}

static void xgpu_remove(struct pci_dev *pdev)
{
	struct xgpu *xgpu = pci_get_drvdata(pdev);
	struct xgpu_ctx *ctx;

	misc_deregister(&xgpu->misc);
	while ((ctx = xgpu_some_ctx(xgpu))) {
		xgpu_ctx_gone(ctx);
		xgpu_ctx_put(ctx);
	}
	xgpu_memory_destroy(xgpu);
	xgpu_hw_stop(xgpu);
	pci_clear_master(pdev);
	xgpu_irqs_free(xgpu);
	destroy_workqueue(xgpu->wq);
	xgpu_engine_free(xgpu);
	xgpu_queues_free(xgpu);
	ida_free(&xgpu_numbers, xgpu->number);
	xgpu_put(xgpu);
}

/*
 * Suspend, hibernation, and `xl save` of the domain: what is in the device (video memory,
 * contexts, work) would not be there afterwards, and what a domain is restored with may be
 * another device, or none. xl itself does not ask. So it is refused, before any device of the
 * domain has been stopped, and the domain goes on; with the device detached it can be done.
 */
static int xgpu_prepare(struct device *dev)
{
	dev_warn(dev, "its state cannot be saved: no suspend, no xl save while it is in use\n");
	return -EBUSY;
}

static const struct dev_pm_ops xgpu_pm_ops = {
	.prepare = pm_sleep_ptr(xgpu_prepare),
};

/*
 * Somebody resets the function (sysfs, xen-pciback, an error of the bus): video memory does not
 * survive that. What can be moved out of it is; the rest is lost, and its processes get to know.
 */
static void xgpu_reset_prepare(struct pci_dev *pdev)
{
	struct xgpu *xgpu = pci_get_drvdata(pdev);

	if (xgpu->has_memory) {
		cancel_work_sync(&xgpu->vram_work);
		device_memory_suspend(&xgpu->memory);
	}
	xgpu_write(xgpu, XGPU_INT_ENABLE, 0);
}

static void xgpu_reset_done(struct pci_dev *pdev)
{
	struct xgpu *xgpu = pci_get_drvdata(pdev);

	/* It may answer again. */
	WRITE_ONCE(xgpu->lost, false);
	xgpu_reset(xgpu, READ_ONCE(xgpu->resets), "its function was reset");
	if (xgpu->has_memory)
		xgpu_vram_resume(xgpu);
}

static const struct pci_error_handlers xgpu_error_handlers = {
	.reset_prepare = xgpu_reset_prepare,
	.reset_done = xgpu_reset_done,
};

static const struct pci_device_id xgpu_ids[] = {
	{ PCI_DEVICE(XGPU_PCI_VENDOR, XGPU_PCI_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, xgpu_ids);

static struct pci_driver xgpu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = xgpu_ids,
	.probe = xgpu_probe,
	.remove = xgpu_remove,
	.err_handler = &xgpu_error_handlers,
	.driver.pm = pm_sleep_ptr(&xgpu_pm_ops),
};
module_pci_driver(xgpu_driver);

MODULE_DESCRIPTION("xgpu, a GPU that mirrors processes' memory");
MODULE_LICENSE("GPL");
