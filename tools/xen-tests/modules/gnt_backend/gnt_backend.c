// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnt_backend: a backend without a device, that maps grants by <xen/gntdev.h>.
 *
 * A file that is closed lets go of its pages, unmaps its run and waits for done(): so no
 * run outlives the module, whose files keep it.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include <xen/gntdev.h>

#include "uapi.h"

#define HELD_MAX 16

struct backend {
	struct mutex lock; /* all but the next two */
	atomic_t done;
	wait_queue_head_t wait;
	struct gntdev_run *run;
	unsigned int count;
	unsigned int unmaps;
	unsigned int held;
	struct page *pages[HELD_MAX];
};

static void backend_done(void *priv)
{
	struct backend *b = priv;

	atomic_inc(&b->done);
	wake_up_all(&b->wait);
}

static int backend_map(struct backend *b, const struct gm_gnt_map *op)
{
	struct gntdev_run *run = ERR_PTR(-ENOMEM);
	struct gm_gnt_ref *urefs;
	struct gntdev_ref *refs;
	bool status_lost = false;
	s16 *status = NULL;
	unsigned int i;

	if (b->run)
		return -EBUSY;
	if (op->count > GM_GNT_MAX)
		return -E2BIG;
	urefs = vmemdup_array_user(u64_to_user_ptr(op->refs), op->count, sizeof(*urefs));
	if (IS_ERR(urefs))
		return PTR_ERR(urefs);
	refs = kvcalloc(op->count, sizeof(*refs), GFP_KERNEL);
	if (op->status)
		status = kvcalloc(op->count, sizeof(*status), GFP_KERNEL);

	if (refs && (status || !op->status)) {
		for (i = 0; i < op->count; i++) {
			refs[i].domid = urefs[i].domid;
			refs[i].ref = urefs[i].ref;
		}
		run = gntdev_run_map(refs, op->count, op->flags, status);
	}
	if (!IS_ERR(run)) {
		b->run = run;
		b->count = op->count;
	}
	if (status && copy_to_user(u64_to_user_ptr(op->status), status,
				   op->count * sizeof(*status)))
		status_lost = true;
	kvfree(status);
	kvfree(refs);
	kvfree(urefs);
	return status_lost ? -EFAULT : PTR_ERR_OR_ZERO(run);
}

static int backend_copy(struct backend *b, const struct gm_gnt_page *op, bool write)
{
	void __user *user = u64_to_user_ptr(op->buffer);
	void *addr;

	if (!b->run || op->page >= b->count)
		return -EINVAL;
	if (write && gntdev_run_readonly(b->run, op->page))
		return -EACCES;
	addr = page_address(gntdev_run_page(b->run, op->page));
	if (write ? copy_from_user(addr, user, PAGE_SIZE) :
		    copy_to_user(user, addr, PAGE_SIZE))
		return -EFAULT;
	return 0;
}

static int backend_hold(struct backend *b, unsigned long i)
{
	if (!b->run || i >= b->count || b->held == HELD_MAX)
		return -EINVAL;
	b->pages[b->held] = gntdev_run_page(b->run, i);
	get_page(b->pages[b->held++]);
	return 0;
}

static int backend_let_go(struct backend *b)
{
	while (b->held)
		put_page(b->pages[--b->held]);
	return 0;
}

static int backend_unmap(struct backend *b)
{
	if (!b->run)
		return -EINVAL;
	b->unmaps++;
	gntdev_run_unmap(b->run, backend_done, b);
	b->run = NULL;
	return 0;
}

static long backend_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct backend *b = file->private_data;
	void __user *user = (void __user *)arg;
	union {
		struct gm_gnt_map map;
		struct gm_gnt_page page;
	} op;
	long ret = -ENOTTY;

	if (_IOC_SIZE(cmd) > sizeof(op))
		return -ENOTTY;
	if (_IOC_DIR(cmd) && copy_from_user(&op, user, _IOC_SIZE(cmd)))
		return -EFAULT;

	mutex_lock(&b->lock);
	switch (cmd) {
	case GM_GNT_MAP:
		ret = backend_map(b, &op.map);
		break;
	case GM_GNT_READ:
	case GM_GNT_WRITE:
		ret = backend_copy(b, &op.page, cmd == GM_GNT_WRITE);
		break;
	case GM_GNT_HOLD:
		ret = backend_hold(b, arg);
		break;
	case GM_GNT_LET_GO:
		ret = backend_let_go(b);
		break;
	case GM_GNT_UNMAP:
		ret = backend_unmap(b);
		break;
	case GM_GNT_DONE:
		ret = atomic_read(&b->done);
		break;
	}
	mutex_unlock(&b->lock);
	return ret;
}

static int backend_open(struct inode *inode, struct file *file)
{
	struct backend *b = kzalloc(sizeof(*b), GFP_KERNEL);

	if (!b)
		return -ENOMEM;
	mutex_init(&b->lock);
	init_waitqueue_head(&b->wait);
	file->private_data = b;
	return nonseekable_open(inode, file);
}

static int backend_release(struct inode *inode, struct file *file)
{
	struct backend *b = file->private_data;

	backend_let_go(b);
	if (b->run)
		backend_unmap(b);
	wait_event(b->wait, atomic_read(&b->done) == b->unmaps);
	/* done() may still be waking us. */
	gntdev_run_flush();
	kfree(b);
	return 0;
}

static const struct file_operations backend_fops = {
	.owner = THIS_MODULE,
	.open = backend_open,
	.release = backend_release,
	.unlocked_ioctl = backend_ioctl,
};

static struct miscdevice backend_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "gm-gnt-backend",
	.fops = &backend_fops,
};
module_misc_device(backend_device);

MODULE_DESCRIPTION("A backend that maps grants for test programs");
MODULE_LICENSE("GPL");
