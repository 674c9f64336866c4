// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's side of a device mirror: all that a GPU driver has to write. Entries are
 * table.c's; here are shootdowns, and faults.
 *
 * A context stalls at a fault, and has no more than one. Each context has a task that serves
 * them, so contexts wait for each other's pages as little as threads do; and the task can be
 * killed when the context goes while it waits for a page that does not come (userfaultfd).
 * If the page cannot be had, the command fails, and its fence says where.
 */
#include <linux/sched/signal.h>

#include "xgpu.h"

static struct xgpu_ctx *xgpu_ctx_of(struct device_mirror *mirror)
{
	return container_of(mirror, struct xgpu_ctx, mirror);
}

static int xgpu_mirror_prepare(struct device_mirror *mirror, unsigned long start,
			       unsigned long end)
{
	/* With five levels of tables a process has more than the device can address. */
	if (end > BIT_ULL(XGPU_VA_BITS))
		return -EFAULT;
	return xgpu_table_prepare(xgpu_ctx_of(mirror), start);
}

static void xgpu_mirror_map(struct device_mirror *mirror, const struct device_mirror_run *run)
{
	xgpu_table_map(xgpu_ctx_of(mirror), run);
}

static void xgpu_mirror_clear(struct device_mirror *mirror, unsigned long start, unsigned long end)
{
	xgpu_table_clear(xgpu_ctx_of(mirror), start, end);
}

static void xgpu_mirror_shootdown_start(struct device_mirror *mirror,
					struct device_mirror_shootdown *shootdown)
{
	struct xgpu_ctx *ctx = xgpu_ctx_of(mirror);

	shootdown->cookie = xgpu_shoot_start(ctx->xgpu, ctx->id, shootdown->start,
					     shootdown->end - 1);
}

static void xgpu_mirror_shootdown_finish(struct device_mirror *mirror,
					 struct device_mirror_shootdown *shootdown)
{
	struct xgpu_ctx *ctx = xgpu_ctx_of(mirror);

	xgpu_shoot_finish(ctx->xgpu, ctx->id, shootdown->start, shootdown->end - 1,
			  shootdown->cookie);
}

const struct device_mirror_ops xgpu_mirror_ops = {
	.prepare = xgpu_mirror_prepare,
	.map = xgpu_mirror_map,
	.clear = xgpu_mirror_clear,
	.shootdown_start = xgpu_mirror_shootdown_start,
	.shootdown_finish = xgpu_mirror_shootdown_finish,
};

/*
 * Brings what the command will want next, as far as the chunk goes: it says how much it has
 * before it. Only the page itself decides about the command.
 */
static int xgpu_bring(struct xgpu_ctx *ctx, unsigned long addr, unsigned long pages, bool write)
{
	unsigned int flags = write ? DEVICE_MIRROR_WRITE : 0;
	unsigned long end;
	int ret;

	ret = device_mirror_fault(&ctx->mirror, addr, flags);
	if (ret)
		return ret;
	addr &= PAGE_MASK;
	end = min(addr + pages * PAGE_SIZE, ALIGN(addr + 1, SZ_2M));
	if (end > ALIGN(addr + 1, SZ_64K))
		device_mirror_prefetch(&ctx->mirror, addr, end, flags);
	return 0;
}

void xgpu_fault_work(struct kthread_work *work)
{
	struct xgpu_ctx *ctx = container_of(work, struct xgpu_ctx, fault_work);
	struct xgpu *xgpu = ctx->xgpu;
	struct xgpu_fault fault;
	unsigned int resets;
	int ret = -ENODEV;
	u64 va;

	allow_signal(SIGKILL);
	spin_lock_irq(&xgpu->lock);
	fault = ctx->fault;
	resets = ctx->fault_resets;
	spin_unlock_irq(&xgpu->lock);

	va = le64_to_cpu(fault.va);
	if (!READ_ONCE(ctx->dead))
		ret = xgpu_bring(ctx, va, le32_to_cpu(fault.pages),
				 le16_to_cpu(fault.flags) & XGPU_FAULT_WRITE);
	if (ret)
		dev_dbg(xgpu_dev(xgpu), "context %u: %#llx, flags %#x: %d\n", ctx->id, va,
			le16_to_cpu(fault.flags), ret);
	atomic_inc(&ctx->answers);
	/* The next fault may come now, and this work be queued again. */
	xgpu_answer(xgpu, ctx->id, le32_to_cpu(fault.stall), resets, !ret);
}
