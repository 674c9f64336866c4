// SPDX-License-Identifier: GPL-2.0-only
/*
 * mn_bench: measures MMU notifiers from the inside, on the kernel with the overlay
 * and on the stock one. mn_bench.h says what it offers; suite bench uses it.
 *
 * The entry points of an invalidation are not exported, on purpose: they are for the
 * core mm. kprobes know where they are.
 */
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "internal.h"

static int mnb_open(struct inode *inode, struct file *filp)
{
	struct mnb_file *file = kzalloc(sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	init_rwsem(&file->lock);
	file->mm = current->mm;
	mmgrab(file->mm);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

static int mnb_release(struct inode *inode, struct file *filp)
{
	struct mnb_file *file = filp->private_data;

	mnb_unsubscribe_all(file);
	mmdrop(file->mm);
	kfree(file);
	return 0;
}

static int mnb_info(struct mnb_file *file, struct mnb_info __user *arg)
{
	const void *subs = READ_ONCE(file->mm->notifier_subscriptions);
	struct mnb_info info = {
		.tsc_khz = tsc_khz,
		.sub_size = sizeof(struct mmu_interval_notifier),
		.range_size = sizeof(struct mmu_notifier_range),
		.mm_size = subs ? ksize(subs) : 0,
	};

	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long mnb_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct mnb_file *file = filp->private_data;
	struct mnb_subscribe subscribe;
	struct mnb_repeat repeat;
	int ret;

	/* A child has the file, too, but not the address space. */
	if (file->mm != current->mm)
		return -EPERM;
	switch (cmd) {
	case MNB_SUBSCRIBE:
		if (copy_from_user(&subscribe, uarg, sizeof(subscribe)))
			return -EFAULT;
		return mnb_subscribe(file, &subscribe);
	case MNB_UNSUBSCRIBE:
		return mnb_unsubscribe(file, arg);
	case MNB_INFO:
		return mnb_info(file, uarg);
	}
	if (_IOC_SIZE(cmd) != sizeof(repeat))
		return -ENOTTY;
	if (copy_from_user(&repeat, uarg, sizeof(repeat)))
		return -EFAULT;
	ret = mnb_repeat(file, cmd, &repeat);
	if (!ret && copy_to_user(uarg, &repeat, sizeof(repeat)))
		return -EFAULT;
	return ret;
}

static const struct file_operations mnb_fops = {
	.owner = THIS_MODULE,
	.open = mnb_open,
	.release = mnb_release,
	.unlocked_ioctl = mnb_ioctl,
};

static struct miscdevice mnb_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mn_bench",
	.fops = &mnb_fops,
};

/* Where a function of the kernel is; NULL if there is none of that name. */
static void *mnb_find(const char *name)
{
	/* Never armed: all that is asked is where it is. */
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	void *addr = NULL;

	if (!register_kprobe(&probe)) {
		addr = probe.addr;
		unregister_kprobe(&probe);
	} else {
		pr_err("cannot find %s\n", name);
	}
	return addr;
}

static int __init mnb_init(void)
{
	mnb_invalidate_start = mnb_find("__mmu_notifier_invalidate_range_start");
	mnb_invalidate_end = mnb_find("__mmu_notifier_invalidate_range_end");
	if (!mnb_invalidate_start || !mnb_invalidate_end)
		return -ENOENT;
	return misc_register(&mnb_misc);
}
module_init(mnb_init);

static void __exit mnb_exit(void)
{
	misc_deregister(&mnb_misc);
}
module_exit(mnb_exit);

MODULE_DESCRIPTION("Measures MMU notifiers");
MODULE_LICENSE("GPL");
