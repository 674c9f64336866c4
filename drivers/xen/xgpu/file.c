// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xgpuN: one context for each open file. The ABI is include/uapi/xen/xgpu.h.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "xgpu.h"

static int xgpu_open(struct inode *inode, struct file *file)
{
	struct miscdevice *misc = file->private_data;
	struct xgpu_ctx *ctx = xgpu_ctx_new(container_of(misc, struct xgpu, misc));

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	file->private_data = ctx;
	return nonseekable_open(inode, file);
}

static int xgpu_release(struct inode *inode, struct file *file)
{
	struct xgpu_ctx *ctx = file->private_data;

	xgpu_ctx_gone(ctx);
	xgpu_ctx_put(ctx);
	return 0;
}

static __poll_t xgpu_poll(struct file *file, poll_table *table)
{
	struct xgpu_ctx *ctx = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &ctx->wait, table);
	xgpu_ctx_harvest(ctx);
	if (READ_ONCE(ctx->completed) == READ_ONCE(ctx->submitted))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(ctx->dead))
		mask |= EPOLLHUP;
	return mask;
}

/*
 * A structure of the caller's, whose size is in its first field: longer or shorter than
 * ours, see the ABI rules. So far there is one version, and nothing is shorter. Returns 0
 * or an errno.
 */
static int xgpu_get_args(void *args, size_t ours, unsigned long arg)
{
	void __user *from = (void __user *)arg;
	u32 size;

	if (get_user(size, (u32 __user *)from))
		return -EFAULT;
	if (size < ours || size > PAGE_SIZE)
		return -EINVAL;
	return copy_struct_from_user(args, ours, from, size);
}

static int xgpu_put_args(const void *args, size_t ours, unsigned long arg)
{
	return copy_to_user((void __user *)arg, args, ours) ? -EFAULT : 0;
}

/*
 * -- work
 */

static bool xgpu_in_reach(u64 start, u64 len)
{
	return start <= BIT_ULL(XGPU_VA_BITS) && len <= BIT_ULL(XGPU_VA_BITS) - start;
}

/* What the device would refuse, and what the fence could not explain */
static bool xgpu_work_is_sane(const struct xgpu_work *work)
{
	bool dst = true, src = true;
	u64 len = work->len;

	if (work->flags & ~XGPU_WORK_FLAG_SKIP || work->reserved || len > XGPU_WORK_MAX_LEN)
		return false;
	switch (work->op) {
	case XGPU_WORK_NOP:
	case XGPU_WORK_HANG:
		return true;
	case XGPU_WORK_COPY:
	case XGPU_WORK_COMPARE:
		break;
	case XGPU_WORK_FILL:
		src = false;
		break;
	case XGPU_WORK_CHECKSUM:
		dst = false;
		break;
	case XGPU_WORK_ATOMIC_ADD:
		src = false;
		len = sizeof(u64);
		break;
	default:
		return false;
	}
	return (!dst || xgpu_in_reach(work->dst, len)) && (!src || xgpu_in_reach(work->src, len));
}

/* The caller has the fence's number before there is work that it could not wait for. */
static int xgpu_submit(struct xgpu_ctx *ctx, struct file *file, struct xgpu_submit *submit,
		       const struct xgpu_work *work, unsigned long arg)
{
	int ret;

	do {
		submit->fence = xgpu_ctx_next_fence(ctx);
		ret = xgpu_put_args(submit, sizeof(*submit), arg);
		if (!ret)
			ret = xgpu_ctx_submit(ctx, work, submit->nr, file->f_flags & O_NONBLOCK,
					      submit->fence);
	} while (ret == -ESTALE);
	return ret;
}

static int xgpu_ioctl_submit(struct xgpu_ctx *ctx, struct file *file, unsigned long arg)
{
	struct xgpu_submit submit;
	struct xgpu_work *work;
	unsigned int i;
	int ret;

	ret = xgpu_get_args(&submit, sizeof(submit), arg);
	if (ret)
		return ret;
	if (!submit.nr || submit.nr > XGPU_SUBMIT_MAX)
		return -EINVAL;
	work = memdup_array_user(u64_to_user_ptr(submit.work), submit.nr, sizeof(*work));
	if (IS_ERR(work))
		return PTR_ERR(work);
	for (i = 0; i < submit.nr && !ret; i++)
		if (!xgpu_work_is_sane(&work[i]))
			ret = -EINVAL;
	if (!ret)
		ret = xgpu_submit(ctx, file, &submit, work, arg);
	kfree(work);
	return ret;
}

static int xgpu_ioctl_wait(struct xgpu_ctx *ctx, unsigned long arg)
{
	struct xgpu_wait wait;
	int ret;

	ret = xgpu_get_args(&wait, sizeof(wait), arg);
	if (ret)
		return ret;
	if (wait.reserved)
		return -EINVAL;
	ret = xgpu_ctx_wait(ctx, &wait);
	return ret ?: xgpu_put_args(&wait, sizeof(wait), arg);
}

/*
 * -- where memory is
 */

static int xgpu_range_end(const struct xgpu_range *range, unsigned long *end)
{
	if (!range->len || check_add_overflow((unsigned long)range->start,
					      (unsigned long)range->len, end))
		return -EINVAL;
	return 0;
}

static int xgpu_ioctl_prefetch(struct xgpu_ctx *ctx, unsigned long arg)
{
	struct xgpu_range range;
	unsigned int flags = 0;
	unsigned long end;
	long done;
	int ret;

	ret = xgpu_get_args(&range, sizeof(range), arg);
	if (!ret && range.what & ~(XGPU_PREFETCH_WRITE | XGPU_PREFETCH_VRAM))
		ret = -EINVAL;
	if (!ret)
		ret = xgpu_range_end(&range, &end);
	if (ret)
		return ret;

	if (range.what & XGPU_PREFETCH_WRITE)
		flags |= DEVICE_MIRROR_WRITE;
	if (range.what & XGPU_PREFETCH_VRAM)
		flags |= DEVICE_MIRROR_TO_DEVICE;
	done = device_mirror_prefetch(&ctx->mirror, range.start, end, flags);
	if (done < 0)
		return done;
	range.done = done;
	return xgpu_put_args(&range, sizeof(range), arg);
}

static const enum device_mirror_advice xgpu_advice[] = {
	[XGPU_ADVICE_NONE] = DEVICE_MIRROR_ADVICE_NONE,
	[XGPU_ADVICE_GPU] = DEVICE_MIRROR_ADVICE_DEVICE,
	[XGPU_ADVICE_SYSTEM] = DEVICE_MIRROR_ADVICE_SYSTEM,
	[XGPU_ADVICE_READ_MOSTLY] = DEVICE_MIRROR_ADVICE_READ_MOSTLY,
};

static int xgpu_ioctl_advise(struct xgpu_ctx *ctx, unsigned long arg)
{
	struct xgpu_range range;
	unsigned long end;
	int ret;

	ret = xgpu_get_args(&range, sizeof(range), arg);
	if (!ret)
		ret = xgpu_range_end(&range, &end);
	if (ret)
		return ret;
	if (range.what >= ARRAY_SIZE(xgpu_advice))
		return -EINVAL;
	if (range.what == XGPU_ADVICE_GPU && !ctx->xgpu->has_memory)
		return -EOPNOTSUPP;
	return device_mirror_advise(&ctx->mirror, range.start, end, xgpu_advice[range.what]);
}

/*
 * -- questions
 */

static int xgpu_ioctl_query(struct xgpu_ctx *ctx, unsigned long arg)
{
	struct xgpu *xgpu = ctx->xgpu;
	struct device_mirror_stats stats;
	struct xgpu_query query;
	int ret;

	ret = xgpu_get_args(&query, sizeof(query), arg);
	if (ret)
		return ret;
	xgpu_ctx_harvest(ctx);
	device_mirror_get_stats(&ctx->mirror, &stats);
	query = (struct xgpu_query){
		.size = query.size,
		.context = ctx->id,
		.vram_size = xgpu->has_memory ? xgpu->memory.size : 0,
		.vram_used = xgpu->has_memory ? device_memory_used(&xgpu->memory) : 0,
		.submitted = READ_ONCE(ctx->submitted),
		.completed = READ_ONCE(ctx->completed),
		.faults = stats.faults,
		.faults_failed = stats.faults_failed,
		.retries = stats.retries,
		.mapped_runs = stats.mapped,
		.mapped_pages = stats.mapped_pages,
		.invalidations = stats.invalidations,
		.shootdowns = stats.shootdowns,
		.to_vram = stats.to_device,
		.to_system = stats.to_system,
		.evicted = stats.evicted,
		.bytes_read = xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_BYTES_READ)),
		.bytes_written = xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_BYTES_WRITTEN)),
		.resets = READ_ONCE(xgpu->resets),
		.stale = xgpu_read64(xgpu, XGPU_CNT_STALE),
		.dma_errors = xgpu_read64(xgpu, XGPU_CNT_DMA_ERRORS),
	};
	xgpu_scan(xgpu, ctx->id, &query.stale_cached, &query.cached);
	return xgpu_put_args(&query, sizeof(query), arg);
}

static long xgpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct xgpu_ctx *ctx = file->private_data;
	long ret;

	if (down_read_interruptible(&ctx->gone_lock))
		return -EINTR;
	if (READ_ONCE(ctx->dead)) {
		up_read(&ctx->gone_lock);
		return -ENODEV;
	}
	/* Whoever else has got the file has other memory. */
	if (current->mm != ctx->mirror.mm) {
		up_read(&ctx->gone_lock);
		return -EPERM;
	}
	switch (cmd) {
	case XGPU_IOCTL_SUBMIT:
		ret = xgpu_ioctl_submit(ctx, file, arg);
		break;
	case XGPU_IOCTL_WAIT:
		ret = xgpu_ioctl_wait(ctx, arg);
		break;
	case XGPU_IOCTL_PREFETCH:
		ret = xgpu_ioctl_prefetch(ctx, arg);
		break;
	case XGPU_IOCTL_ADVISE:
		ret = xgpu_ioctl_advise(ctx, arg);
		break;
	case XGPU_IOCTL_QUERY:
		ret = xgpu_ioctl_query(ctx, arg);
		break;
	default:
		ret = -ENOTTY;
	}
	up_read(&ctx->gone_lock);
	return ret;
}

const struct file_operations xgpu_fops = {
	.owner = THIS_MODULE,
	.open = xgpu_open,
	.release = xgpu_release,
	.poll = xgpu_poll,
	.unlocked_ioctl = xgpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
