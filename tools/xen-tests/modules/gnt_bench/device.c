// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnt_bench: grant table hypercalls without a driver around them. gnt_bench.h says what it
 * offers; suite bench-grants uses it. Not for production: it lets whoever may open the
 * device map any grant.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <xen/xen.h>

#include "internal.h"

/* Not NULL: this file watches the lock. */
static int gnb_open(struct inode *inode, struct file *filp)
{
	filp->private_data = NULL;
	return 0;
}

static int gnb_release(struct inode *inode, struct file *filp)
{
	if (filp->private_data)
		gnb_lock_forget();
	return 0;
}

static long gnb_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	struct gnb_lock lock;
	struct gnb_run run;
	int ret;

	switch (cmd) {
	case GNB_RUN:
		if (copy_from_user(&run, uarg, sizeof(run)))
			return -EFAULT;
		ret = gnb_run(&run);
		if (!ret && copy_to_user(uarg, &run, sizeof(run)))
			return -EFAULT;
		return ret;
	case GNB_WATCH:
		if (filp->private_data)
			return -EBUSY;
		ret = gnb_lock_watch();
		if (!ret)
			filp->private_data = filp;
		return ret;
	case GNB_LOCK:
		gnb_lock_read(&lock);
		return copy_to_user(uarg, &lock, sizeof(lock)) ? -EFAULT : 0;
	}
	return -ENOTTY;
}

static const struct file_operations gnb_fops = {
	.owner = THIS_MODULE,
	.open = gnb_open,
	.release = gnb_release,
	.unlocked_ioctl = gnb_ioctl,
};

static struct miscdevice gnb_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gnt_bench",
	.fops = &gnb_fops,
};

static int __init gnb_init(void)
{
	return xen_pv_domain() ? misc_register(&gnb_misc) : -ENODEV;
}
module_init(gnb_init);

static void __exit gnb_exit(void)
{
	misc_deregister(&gnb_misc);
}
module_exit(gnb_exit);

MODULE_DESCRIPTION("Measures grant table hypercalls");
MODULE_LICENSE("GPL");
