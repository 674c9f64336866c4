// SPDX-License-Identifier: GPL-2.0-only
/*
 * mn_check: the device file. An open file is a bench (see mn_check.h); every request
 * may be made by any number of threads at the same time.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Nobody stays deaf for longer than that, should his waker have died. */
#define MN_BLOCK_MAX (60 * HZ)

static int mn_open(struct inode *inode, struct file *file)
{
	struct mn_bench *bench = kzalloc(sizeof(*bench), GFP_KERNEL);

	if (!bench)
		return -ENOMEM;
	spin_lock_init(&bench->lock);
	INIT_LIST_HEAD(&bench->quarantine);
	init_waitqueue_head(&bench->wait);
	file->private_data = bench;
	return nonseekable_open(inode, file);
}

static int mn_release(struct inode *inode, struct file *file)
{
	struct mn_bench *bench = file->private_data;

	mn_sub_remove_all(bench);
	if (bench->mm)
		mmdrop(bench->mm);
	kfree(bench);
	return 0;
}

/* ---- requests; each gets a copy of its argument and may change that ---- */

static int mn_ioctl_hold(struct mn_bench *bench, const struct gm_mn_hold *arg)
{
	struct mn_sub *sub = mn_sub_get(bench, arg->slot);

	if (!sub)
		return -ENOENT;
	WRITE_ONCE(sub->hold, arg->on);
	mn_sub_put(sub);
	wake_up_all(&bench->wait);
	return 0;
}

static int mn_ioctl_info(struct mn_bench *bench, struct gm_mn_info *arg)
{
	struct mn_sub *sub = mn_sub_get(bench, arg->slot);

	if (!sub)
		return -ENOENT;
	arg->holding = atomic_read(&sub->holding);
	arg->valid = mn_count_valid(sub);
	arg->callbacks = READ_ONCE(sub->nr_events);
	mn_sub_put(sub);
	return 0;
}

static int mn_ioctl_read_begin(struct mn_bench *bench, struct gm_mn_read *arg)
{
	struct mn_sub *sub = mn_sub_get(bench, arg->slot);
	unsigned long sleeps;

	if (!sub)
		return -ENOENT;
	sleeps = current->nvcsw;
	mmu_interval_read_begin(&sub->notifier);
	arg->sleeps = current->nvcsw - sleeps;
	mn_sub_put(sub);
	return 0;
}

static int mn_ioctl_tune(struct mn_bench *bench, const struct gm_mn_tune *arg)
{
	bench->tune = *arg;
	atomic_set(&bench->nr_order, 0);
	return 0;
}

static int mn_ioctl_stats(struct mn_bench *bench, struct gm_mn_stats *arg)
{
	unsigned int i;

	for (i = 0; i < GM_MN_STATS; i++)
		arg->stat[i] = atomic64_read(&bench->stat[i]);
	return 0;
}

static int mn_ioctl_report(struct mn_bench *bench, struct gm_mn_report *arg)
{
	unsigned int nr = arg->nr;
	int ret = -ENOENT;

	spin_lock(&bench->lock);
	if (nr < bench->nr_reports) {
		*arg = bench->reports[nr];
		ret = 0;
	}
	spin_unlock(&bench->lock);
	return ret;
}

static int mn_ioctl_order(struct mn_bench *bench, struct gm_mn_order *arg)
{
	*arg = bench->order;
	arg->nr = min_t(unsigned int, atomic_read(&bench->nr_order), GM_MN_ORDER);
	return 0;
}

static int mn_ioctl_refused(struct mn_bench *bench, struct gm_mn_refused *arg)
{
	struct mn_sub *sub = mn_sub_get(bench, arg->slot);
	int ret;

	if (!sub)
		return -ENOENT;
	ret = mn_refused_start(sub, arg);
	mn_sub_put(sub);
	return ret;
}

static int mn_mm_refs(struct mn_bench *bench)
{
	struct mm_struct *mm = READ_ONCE(bench->mm);

	return mm ? atomic_read(&mm->mm_count) - 1 : -ESRCH;
}

static int mn_block(struct mn_bench *bench)
{
	WRITE_ONCE(bench->block, true);
	wait_event_timeout(bench->wait, !READ_ONCE(bench->block), MN_BLOCK_MAX);
	return 0;
}

static int mn_unblock(struct mn_bench *bench)
{
	WRITE_ONCE(bench->block, false);
	wake_up_all(&bench->wait);
	return 0;
}

/* ---- dispatch ---- */

union mn_arg {
	struct gm_mn_insert insert;
	struct gm_mn_hold hold;
	struct gm_mn_info info;
	struct gm_mn_read read;
	struct gm_mn_run run;
	struct gm_mn_tune tune;
	struct gm_mn_stats stats;
	struct gm_mn_report report;
	struct gm_mn_order order;
	struct gm_mn_refused refused;
};

static int mn_ioctl_struct(struct mn_bench *bench, unsigned int cmd, union mn_arg *arg)
{
	switch (cmd) {
	case GM_MN_INSERT:
		return mn_sub_insert(bench, &arg->insert);
	case GM_MN_HOLD:
		return mn_ioctl_hold(bench, &arg->hold);
	case GM_MN_INFO:
		return mn_ioctl_info(bench, &arg->info);
	case GM_MN_READ_BEGIN:
		return mn_ioctl_read_begin(bench, &arg->read);
	case GM_MN_RUN:
		return mn_run(bench, &arg->run);
	case GM_MN_TUNE:
		return mn_ioctl_tune(bench, &arg->tune);
	case GM_MN_GET_STATS:
		return mn_ioctl_stats(bench, &arg->stats);
	case GM_MN_GET_REPORT:
		return mn_ioctl_report(bench, &arg->report);
	case GM_MN_GET_ORDER:
		return mn_ioctl_order(bench, &arg->order);
	case GM_MN_REFUSED_START:
		return mn_ioctl_refused(bench, &arg->refused);
	}
	return -ENOTTY;
}

static long mn_ioctl(struct file *file, unsigned int cmd, unsigned long value)
{
	struct mn_bench *bench = file->private_data;
	void __user *user = (void __user *)value;
	union mn_arg arg = {};
	int ret;

	switch (cmd) {
	case GM_MN_REMOVE:
		return mn_sub_remove(bench, value);
	case GM_MN_MM_REFS:
		return mn_mm_refs(bench);
	case GM_MN_BLOCK:
		return mn_block(bench);
	case GM_MN_UNBLOCK:
		return mn_unblock(bench);
	case GM_MN_HAS_TWO_PASS:
		return !!mn_two_pass_ops();
	case GM_MN_HAS_UNLOCKED:
		return mn_has_unlocked();
	}

	if (_IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if (_IOC_DIR(cmd) & _IOC_WRITE && copy_from_user(&arg, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	ret = mn_ioctl_struct(bench, cmd, &arg);
	if (!ret && _IOC_DIR(cmd) & _IOC_READ &&
	    copy_to_user(user, &arg, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

static const struct file_operations mn_fops = {
	.owner = THIS_MODULE,
	.open = mn_open,
	.release = mn_release,
	.unlocked_ioctl = mn_ioctl,
};

static struct miscdevice mn_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gm-mn-check",
	.fops = &mn_fops,
};
module_misc_device(mn_device);

MODULE_DESCRIPTION("Checks that shadows of page tables are never stale");
MODULE_LICENSE("GPL");
