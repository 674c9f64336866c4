// SPDX-License-Identifier: GPL-2.0-only
/*
 * hmm_check: the device file. An open file is a bench (see hmm_check.h); every request
 * may be made by any number of threads, of any process, at the same time.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

static bool hc_invalidate(struct mmu_interval_notifier *notifier,
			  const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct hc_bench *bench = container_of(notifier, struct hc_sub, notifier)->bench;

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&bench->lock);
	else if (!mutex_trylock(&bench->lock))
		return false;
	mmu_interval_set_seq(notifier, cur_seq);
	mutex_unlock(&bench->lock);
	return true;
}

static const struct mmu_interval_notifier_ops hc_notifier_ops = {
	.invalidate = hc_invalidate,
};

int hc_subscribe(struct hc_sub *sub, struct hc_bench *bench, struct mm_struct *mm,
		 unsigned long start, unsigned long length)
{
	sub->bench = bench;
	return mmu_interval_notifier_insert(&sub->notifier, mm, start, length,
					    &hc_notifier_ops);
}

static int hc_open(struct inode *inode, struct file *file)
{
	struct hc_bench *bench = kzalloc(sizeof(*bench), GFP_KERNEL);

	if (!bench)
		return -ENOMEM;
	mutex_init(&bench->bind);
	mutex_init(&bench->lock);
	file->private_data = bench;
	return nonseekable_open(inode, file);
}

static int hc_release(struct inode *inode, struct file *file)
{
	struct hc_bench *bench = file->private_data;

	if (bench->bound)
		mmu_interval_notifier_remove(&bench->all.notifier);
	kfree(bench);
	return 0;
}

static int hc_bind(struct hc_bench *bench)
{
	int ret = -EBUSY;

	mutex_lock(&bench->bind);
	if (!bench->bound) {
		ret = hc_subscribe(&bench->all, bench, current->mm, 0,
				   ULONG_MAX & PAGE_MASK);
		/* After the insert, for those who do not take the lock. */
		smp_store_release(&bench->bound, !ret);
	}
	mutex_unlock(&bench->bind);
	return ret;
}

static int hc_stale(struct hc_bench *bench)
{
	int stale;

	mutex_lock(&bench->lock);
	stale = mmu_interval_read_retry(&bench->all.notifier, bench->last_seq);
	mutex_unlock(&bench->lock);
	return stale;
}

union hc_arg {
	struct gm_hmm_take take;
	struct gm_hmm_access access;
	struct gm_hmm_migrate migrate;
};

static int hc_ioctl_struct(struct hc_bench *bench, unsigned int cmd, union hc_arg *arg)
{
	switch (cmd) {
	case GM_HMM_TAKE:
		return hc_take(bench, &arg->take);
	case GM_HMM_ACCESS:
		return hc_access(bench, &arg->access);
	case GM_HMM_MIGRATE:
		return hc_migrate(bench, &arg->migrate);
	}
	return -ENOTTY;
}

static long hc_ioctl(struct file *file, unsigned int cmd, unsigned long value)
{
	struct hc_bench *bench = file->private_data;
	void __user *user = (void __user *)value;
	union hc_arg arg = {};
	int ret;

	if (cmd == GM_HMM_HAS_UNLOCKED)
		return hc_has_unlocked();
	if (cmd == GM_HMM_BIND)
		return hc_bind(bench);
	/* Pairs with hc_bind(). */
	if (!smp_load_acquire(&bench->bound))
		return -ENXIO;
	if (cmd == GM_HMM_STALE)
		return hc_stale(bench);
	if (cmd == GM_HMM_USERS)
		return atomic_read(&bench->all.notifier.mm->mm_users);

	if (_IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (copy_from_user(&arg, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	ret = hc_ioctl_struct(bench, cmd, &arg);
	if (!ret && _IOC_DIR(cmd) & _IOC_READ && copy_to_user(user, &arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

static const struct file_operations hc_fops = {
	.owner = THIS_MODULE,
	.open = hc_open,
	.release = hc_release,
	.unlocked_ioctl = hc_ioctl,
};

static struct miscdevice hc_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gm-hmm-check",
	.fops = &hc_fops,
};
module_misc_device(hc_device);

MODULE_DESCRIPTION("hmm_range_fault() for test programs");
MODULE_LICENSE("GPL");
