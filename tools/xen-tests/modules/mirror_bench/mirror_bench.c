// SPDX-License-Identifier: GPL-2.0-only
/*
 * mirror_bench: faults of device mirrors, of as many contexts at the same time as there are
 * files open, with a device that costs nothing: no table, no TLB, no DMA. So what one context
 * costs another is the mirrors' doing, and the kernel's.
 *
 * How many processors can serve faults at the same time is hard to see in an emulated machine,
 * whose processors take turns at those of a busy computer. What can be counted there is
 * how often a fault finds a lock taken, whichever lock, in the mirror or below it: the
 * kernel's tracepoint contention_begin, in tasks that serve a fault.
 */
#include <linux/device_mirror.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <trace/events/lock.h>

#include "uapi.h"

struct mrb_ctx {
	struct device_mirror mirror;
	struct mutex lock; /* one call at a time */
	unsigned int slot;
	u64 contended; /* of the task that serves */
	u64 entered; /* under the mirror's window locks; one call has one at a time */
};

static struct platform_device *mrb_pdev;
static DEFINE_MUTEX(mrb_one_lock);
static DEFINE_MUTEX(mrb_slots_lock); /* the array, but not what an entry's task does */
static struct mrb_ctx *mrb_slots[MRB_CONTEXTS];
static struct task_struct *mrb_serving[MRB_CONTEXTS];

/* Called with any lock wanted, so it takes none. */
static void mrb_contended(void *data, void *lock, unsigned int flags)
{
	unsigned int i;

	for (i = 0; i < MRB_CONTEXTS; i++)
		if (READ_ONCE(mrb_serving[i]) == current)
			mrb_slots[i]->contended++;
}

static int mrb_prepare(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	return 0;
}

static void mrb_map(struct device_mirror *mirror, const struct device_mirror_run *run)
{
	container_of(mirror, struct mrb_ctx, mirror)->entered += 1UL << run->order;
}

static void mrb_clear(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
}

static void mrb_shootdown(struct device_mirror *mirror, struct device_mirror_shootdown *shootdown)
{
}

static const struct device_mirror_ops mrb_ops = {
	.prepare = mrb_prepare,
	.map = mrb_map,
	.clear = mrb_clear,
	.shootdown_start = mrb_shootdown,
	.shootdown_finish = mrb_shootdown,
};

static int mrb_take_slot(struct mrb_ctx *ctx)
{
	unsigned int i;
	int ret = -EBUSY;

	mutex_lock(&mrb_slots_lock);
	for (i = 0; i < MRB_CONTEXTS && ret; i++) {
		if (mrb_slots[i])
			continue;
		mrb_slots[i] = ctx;
		ctx->slot = i;
		ret = 0;
	}
	mutex_unlock(&mrb_slots_lock);
	return ret;
}

static void mrb_give_slot(struct mrb_ctx *ctx)
{
	mutex_lock(&mrb_slots_lock);
	mrb_slots[ctx->slot] = NULL;
	mutex_unlock(&mrb_slots_lock);
}

static int mrb_open(struct inode *inode, struct file *file)
{
	struct mrb_ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	int ret;

	if (!ctx)
		return -ENOMEM;
	mutex_init(&ctx->lock);
	ret = mrb_take_slot(ctx);
	if (ret)
		goto free;
	ret = device_mirror_init(&ctx->mirror, &mrb_pdev->dev, current->mm, &mrb_ops, NULL);
	if (ret)
		goto give_slot;
	file->private_data = ctx;
	return 0;

give_slot:
	mrb_give_slot(ctx);
free:
	kfree(ctx);
	return ret;
}

static int mrb_release(struct inode *inode, struct file *file)
{
	struct mrb_ctx *ctx = file->private_data;

	device_mirror_kill(&ctx->mirror);
	device_mirror_destroy(&ctx->mirror);
	mrb_give_slot(ctx);
	kfree(ctx);
	return 0;
}

static int mrb_serve(struct mrb_ctx *ctx, unsigned long addr, bool one_lock)
{
	int ret;

	if (one_lock)
		mutex_lock(&mrb_one_lock);
	ret = device_mirror_fault(&ctx->mirror, addr, DEVICE_MIRROR_WRITE);
	if (one_lock)
		mutex_unlock(&mrb_one_lock);
	return ret;
}

/* Under ctx->lock */
static int mrb_fault(struct mrb_ctx *ctx, struct mrb_fault *arg)
{
	unsigned long addr;
	int ret = 0;

	if (arg->flags & ~MRB_ONE_LOCK || arg->pad || !IS_ALIGNED(arg->start, MRB_CHUNK) ||
	    !IS_ALIGNED(arg->length, MRB_CHUNK) || arg->start >= TASK_SIZE ||
	    arg->length > TASK_SIZE - arg->start)
		return -EINVAL;
	arg->faults = 0;
	ctx->contended = 0;
	ctx->entered = 0;
	WRITE_ONCE(mrb_serving[ctx->slot], current);
	for (addr = arg->start; !ret && addr < arg->start + arg->length; addr += MRB_CHUNK) {
		ret = mrb_serve(ctx, addr, arg->flags & MRB_ONE_LOCK);
		arg->faults += !ret;
	}
	WRITE_ONCE(mrb_serving[ctx->slot], NULL);
	arg->contended = ctx->contended;
	arg->entered = ctx->entered;
	return ret;
}

static long mrb_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mrb_ctx *ctx = file->private_data;
	void __user *uarg = (void __user *)arg;
	struct mrb_fault fault;
	int ret;

	if (cmd != MRB_FAULT)
		return -ENOTTY;
	if (copy_from_user(&fault, uarg, sizeof(fault)))
		return -EFAULT;
	if (mutex_lock_interruptible(&ctx->lock))
		return -EINTR;
	ret = mrb_fault(ctx, &fault);
	mutex_unlock(&ctx->lock);
	if (!ret && copy_to_user(uarg, &fault, sizeof(fault)))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations mrb_fops = {
	.owner = THIS_MODULE,
	.open = mrb_open,
	.release = mrb_release,
	.unlocked_ioctl = mrb_ioctl,
};

static struct miscdevice mrb_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mirror_bench",
	.fops = &mrb_fops,
};

static int __init mrb_init(void)
{
	int ret;

	mrb_pdev = platform_device_register_simple("mirror_bench", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(mrb_pdev))
		return PTR_ERR(mrb_pdev);
	ret = dma_coerce_mask_and_coherent(&mrb_pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		goto unregister;
	ret = register_trace_contention_begin(mrb_contended, NULL);
	if (ret)
		goto unregister;
	ret = misc_register(&mrb_misc);
	if (!ret)
		return 0;
	unregister_trace_contention_begin(mrb_contended, NULL);
	tracepoint_synchronize_unregister();
unregister:
	platform_device_unregister(mrb_pdev);
	return ret;
}
module_init(mrb_init);

static void __exit mrb_exit(void)
{
	misc_deregister(&mrb_misc);
	unregister_trace_contention_begin(mrb_contended, NULL);
	tracepoint_synchronize_unregister();
	platform_device_unregister(mrb_pdev);
}
module_exit(mrb_exit);

MODULE_DESCRIPTION("Faults of device mirrors, without a device");
MODULE_LICENSE("GPL");
