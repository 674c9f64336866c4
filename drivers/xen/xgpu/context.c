// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts of processes: their rings, fences, and what happens when work does not end.
 *
 * Each submission is some commands and a fence command, which writes the fence's number and
 * what became of the commands into a slot in memory. Slots are used in turn, so the driver
 * reads them in turn (xgpu_ctx_harvest()): completed counts those that have been. ring and
 * counters are under ctx->lock, also when a reset takes place.
 *
 *	completed <= submitted <= completed + XGPU_FENCES_KEPT
 *
 * A context with which the device makes no progress (no command complete, no byte moved, no
 * fault answered) from one look of the watchdog to the next, xgpu_timeout() later, is reset, and
 * its fences say XGPU_FENCE_HUNG. One that is stalled at a fault is not hung: the driver owes it
 * an answer.
 */
#include <linux/dma-mapping.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "xgpu.h"

/*
 * -- rings
 */

static size_t xgpu_cmds_size(void)
{
	return XGPU_RING_ENTRIES * sizeof(struct xgpu_cmd);
}

static size_t xgpu_fences_size(void)
{
	return XGPU_FENCES_KEPT * sizeof(struct xgpu_fence);
}

int xgpu_ring_alloc(struct xgpu *xgpu, struct xgpu_ring *ring)
{
	struct device *dev = xgpu_dev(xgpu);

	memset(ring, 0, sizeof(*ring));
	ring->cmds = dma_alloc_coherent(dev, xgpu_cmds_size(), &ring->cmds_dma, GFP_KERNEL);
	ring->fences = dma_alloc_coherent(dev, xgpu_fences_size(), &ring->fences_dma, GFP_KERNEL);
	if (ring->cmds && ring->fences)
		return 0;
	xgpu_ring_free(xgpu, ring);
	return -ENOMEM;
}

void xgpu_ring_free(struct xgpu *xgpu, struct xgpu_ring *ring)
{
	struct device *dev = xgpu_dev(xgpu);

	if (ring->fences)
		dma_free_coherent(dev, xgpu_fences_size(), ring->fences, ring->fences_dma);
	if (ring->cmds)
		dma_free_coherent(dev, xgpu_cmds_size(), ring->cmds, ring->cmds_dma);
	ring->fences = NULL;
	ring->cmds = NULL;
}

/* There is room; the doorbell is the caller's. */
void xgpu_ring_push(struct xgpu_ring *ring, const struct xgpu_cmd *cmd)
{
	ring->cmds[ring->tail++ % XGPU_RING_ENTRIES] = *cmd;
}

void xgpu_ring_push_fence(struct xgpu_ring *ring, u64 seq)
{
	struct xgpu_cmd cmd = {
		.op = cpu_to_le16(XGPU_OP_FENCE),
		.flags = cpu_to_le16(XGPU_CMD_INTERRUPT),
		.dst = cpu_to_le64(ring->fences_dma +
				   seq % XGPU_FENCES_KEPT * sizeof(struct xgpu_fence)),
		.value = cpu_to_le64(seq),
	};

	xgpu_ring_push(ring, &cmd);
}

/*
 * -- fences
 */

static u32 xgpu_fence_status(u32 status)
{
	switch (status) {
	case XGPU_ST_OK:
		return XGPU_FENCE_OK;
	case XGPU_ST_FAULT:
	case XGPU_ST_BAD_ADDRESS:
		return XGPU_FENCE_FAULT;
	case XGPU_ST_DMA_ERROR:
		return XGPU_FENCE_DMA_ERROR;
	case XGPU_ST_COMPARE_DIFF:
		return XGPU_FENCE_DIFFERENT;
	default:
		return XGPU_FENCE_FAILED;
	}
}

static void xgpu_harvest_one(struct xgpu_result *result, const struct xgpu_fence *fence)
{
	result->status = xgpu_fence_status(le32_to_cpu(fence->status));
	result->work = result->status ? le32_to_cpu(fence->index) - result->first : 0;
	result->result = le64_to_cpu(fence->result);
	result->fault = le64_to_cpu(fence->fault_va);
}

static void xgpu_harvest_locked(struct xgpu_ctx *ctx)
{
	lockdep_assert_held(&ctx->lock);
	while (ctx->completed < ctx->submitted) {
		u64 seq = ctx->completed + 1;
		struct xgpu_fence *fence = &ctx->ring.fences[seq % XGPU_FENCES_KEPT];

		if (le64_to_cpu(READ_ONCE(fence->value)) != seq)
			break;
		/* The value is written last. */
		dma_rmb();
		xgpu_harvest_one(&ctx->results[seq % XGPU_FENCES_KEPT], fence);
		WRITE_ONCE(ctx->completed, seq);
	}
}

/* Sees what the device has completed. */
void xgpu_ctx_harvest(struct xgpu_ctx *ctx)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->lock, flags);
	if (!ctx->gone)
		xgpu_harvest_locked(ctx);
	spin_unlock_irqrestore(&ctx->lock, flags);
}

static void xgpu_ctx_start_locked(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;

	ctx->ring.tail = 0;
	/* Its table leads to what is not there any more: xgpu_vram_resume() starts it. */
	if (READ_ONCE(xgpu->vram_lost))
		return;
	/* What can be set only while it is off is set, whatever was before. */
	xgpu_write(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_RESET), 1);
	xgpu_write64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_PT_ROOT), xgpu_table_root(ctx));
	xgpu_write64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_RING_BASE), ctx->ring.cmds_dma);
	xgpu_write(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_RING_LOG2), XGPU_RING_LOG2_DEFAULT);
	xgpu_write(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CONTROL), XGPU_CTX_ENABLE | XGPU_CTX_FAULTS);
}

void xgpu_ctx_start(struct xgpu_ctx *ctx)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->lock, flags);
	xgpu_ctx_start_locked(ctx);
	spin_unlock_irqrestore(&ctx->lock, flags);
}

/* The device does nothing more of what it has not completed: that ends with @status. */
static void xgpu_end_fences_locked(struct xgpu_ctx *ctx, u32 status)
{
	xgpu_harvest_locked(ctx);
	while (ctx->completed < ctx->submitted) {
		u64 seq = ctx->completed + 1;

		ctx->results[seq % XGPU_FENCES_KEPT] = (struct xgpu_result){ .status = status };
		WRITE_ONCE(ctx->completed, seq);
	}
}

/*
 * The context has been reset, alone or with the device: what it has not completed ends with
 * @status, and it begins anew.
 */
void xgpu_ctx_lose(struct xgpu_ctx *ctx, u32 status)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->lock, flags);
	xgpu_end_fences_locked(ctx, status);
	xgpu_ctx_start_locked(ctx);
	spin_unlock_irqrestore(&ctx->lock, flags);
	wake_up_all(&ctx->wait);
}

/*
 * -- work that does not end
 */

static u64 xgpu_ctx_progress(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;

	return xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_COMMANDS)) +
	       xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_BYTES_READ)) +
	       xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_BYTES_WRITTEN)) +
	       xgpu_read64(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_CNT_FAULTS)) +
	       atomic_read(&ctx->answers);
}

/*
 * The device does nothing for it any more, neither DMA nor anything else, when this returns:
 * reading makes sure that what was written has arrived; or it does nothing for anybody. Under
 * reset_lock.
 */
static void xgpu_ctx_stop(struct xgpu_ctx *ctx)
{
	xgpu_write(ctx->xgpu, XGPU_CTX(ctx->id, XGPU_CTX_RESET), 1);
	if (xgpu_read(ctx->xgpu, XGPU_CTX(ctx->id, XGPU_CTX_STATE)) == U32_MAX)
		xgpu_isolate_lost(ctx->xgpu);
}

static void xgpu_watchdog_hung(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;
	unsigned int resets = READ_ONCE(xgpu->resets);
	bool was_reset;

	mutex_lock(&xgpu->reset_lock);
	/* Then it is not the context that hangs, and nothing goes on before another one. */
	was_reset = xgpu_was_reset(xgpu);
	/* Once it is dead somebody else stops it, for good. */
	if (!was_reset && !READ_ONCE(ctx->dead)) {
		dev_warn(xgpu_dev(xgpu), "context %u hangs: resetting it\n", ctx->id);
		xgpu_ctx_stop(ctx);
		xgpu_ctx_lose(ctx, XGPU_FENCE_HUNG);
	}
	mutex_unlock(&xgpu->reset_lock);
	if (was_reset)
		xgpu_reset(xgpu, resets, "somebody else has reset it");
}

static void xgpu_watchdog(struct work_struct *work)
{
	struct xgpu_ctx *ctx = container_of(to_delayed_work(work), struct xgpu_ctx, watchdog);
	struct xgpu *xgpu = ctx->xgpu;
	u64 now, before = READ_ONCE(ctx->progress);
	u32 state;

	xgpu_ctx_harvest(ctx);
	if (READ_ONCE(ctx->dead) || READ_ONCE(ctx->completed) == READ_ONCE(ctx->submitted))
		return;
	/* An interrupt that was lost is no hang. */
	wake_up_all(&ctx->wait);
	/* If work is submitted just now, it has until the next look all the same. */
	now = xgpu_ctx_progress(ctx);
	WRITE_ONCE(ctx->progress, now);
	state = xgpu_read(xgpu, XGPU_CTX(ctx->id, XGPU_CTX_STATE));
	if (now == before && state != XGPU_STATE_STALLED)
		xgpu_watchdog_hung(ctx);
	else
		queue_delayed_work(xgpu->wq, &ctx->watchdog, xgpu_timeout());
}

/*
 * -- submitting, waiting
 */

/* Indices of the ring are used up to the end of the last fence that is complete. */
static bool xgpu_ctx_has_room(struct xgpu_ctx *ctx, unsigned int nr)
{
	struct xgpu_result *oldest;

	lockdep_assert_held(&ctx->lock);
	xgpu_harvest_locked(ctx);
	if (ctx->submitted == ctx->completed)
		return nr < XGPU_RING_ENTRIES;
	if (ctx->submitted - ctx->completed >= XGPU_FENCES_KEPT)
		return false;
	oldest = &ctx->results[(ctx->completed + 1) % XGPU_FENCES_KEPT];
	/* Not to the last entry: a fence is seen before the device has done with its command. */
	return ctx->ring.tail - oldest->first + nr < XGPU_RING_ENTRIES;
}

static void xgpu_push_work(struct xgpu_ring *ring, const struct xgpu_work *work)
{
	struct xgpu_cmd cmd = {
		.op = cpu_to_le16(work->op),
		.dst = cpu_to_le64(work->dst),
		.src = cpu_to_le64(work->src),
		.len = cpu_to_le64(work->len),
		.value = cpu_to_le64(work->value),
	};

	if (work->flags & XGPU_WORK_FLAG_SKIP)
		cmd.flags = cpu_to_le16(XGPU_CMD_SKIP_ON_ERROR);
	xgpu_ring_push(ring, &cmd);
}

/* There is room. */
static void xgpu_submit_locked(struct xgpu_ctx *ctx, const struct xgpu_work *work, unsigned int nr)
{
	struct xgpu_result *result;
	unsigned int i;
	u64 fence;

	lockdep_assert_held(&ctx->lock);
	/* Idle until now: the watchdog has seen nothing of this work yet. */
	if (ctx->submitted == ctx->completed)
		WRITE_ONCE(ctx->progress, XGPU_NO_PROGRESS);
	fence = ctx->submitted + 1;
	WRITE_ONCE(ctx->submitted, fence);
	result = &ctx->results[fence % XGPU_FENCES_KEPT];
	result->first = ctx->ring.tail;
	for (i = 0; i < nr; i++)
		xgpu_push_work(&ctx->ring, &work[i]);
	xgpu_ring_push_fence(&ctx->ring, fence);
	dma_wmb();
	xgpu_write(ctx->xgpu, XGPU_CTX(ctx->id, XGPU_CTX_RING_TAIL), ctx->ring.tail);
}

/*
 * All of it or nothing: -EAGAIN if there is no room now, -ENODEV if there never will be, -ESTALE
 * if @fence has become another's.
 */
static int xgpu_try_submit(struct xgpu_ctx *ctx, const struct xgpu_work *work, unsigned int nr,
			   u64 fence)
{
	unsigned long flags;
	int ret = 0;

	if (READ_ONCE(ctx->dead))
		return -ENODEV;
	spin_lock_irqsave(&ctx->lock, flags);
	if (fence != ctx->submitted + 1)
		ret = -ESTALE;
	else if (!xgpu_ctx_has_room(ctx, nr + 1))
		ret = -EAGAIN;
	else
		xgpu_submit_locked(ctx, work, nr);
	spin_unlock_irqrestore(&ctx->lock, flags);
	return ret;
}

/* The number of the next fence, if nobody else is faster */
u64 xgpu_ctx_next_fence(struct xgpu_ctx *ctx)
{
	unsigned long flags;
	u64 fence;

	spin_lock_irqsave(&ctx->lock, flags);
	fence = ctx->submitted + 1;
	spin_unlock_irqrestore(&ctx->lock, flags);
	return fence;
}

/* Is it worth trying again? */
static bool xgpu_may_submit(struct xgpu_ctx *ctx, unsigned int nr)
{
	unsigned long flags;
	bool room;

	spin_lock_irqsave(&ctx->lock, flags);
	room = READ_ONCE(ctx->dead) || xgpu_ctx_has_room(ctx, nr + 1);
	spin_unlock_irqrestore(&ctx->lock, flags);
	return room;
}

/**
 * xgpu_ctx_submit - have work done
 * @ctx: the context
 * @work: checked
 * @nr: how much of it
 * @nonblock: do not wait for room
 * @fence: number that it is to have, from xgpu_ctx_next_fence(); the caller knows it before there
 *	is work, as it may not be able to pass it on afterwards
 *
 * Context: may sleep, under ctx->gone_lock
 * Return: 0; -EAGAIN, -EINTR, -ENODEV; -ESTALE: other work has got the number, ask for another
 */
int xgpu_ctx_submit(struct xgpu_ctx *ctx, const struct xgpu_work *work, unsigned int nr,
		    bool nonblock, u64 fence)
{
	int ret;

	while ((ret = xgpu_try_submit(ctx, work, nr, fence)) == -EAGAIN && !nonblock)
		if (wait_event_interruptible(ctx->wait, xgpu_may_submit(ctx, nr)))
			return -EINTR;
	if (!ret)
		queue_delayed_work(ctx->xgpu->wq, &ctx->watchdog, xgpu_timeout());
	return ret;
}

static bool xgpu_fence_is_done(struct xgpu_ctx *ctx, u64 fence)
{
	xgpu_ctx_harvest(ctx);
	return READ_ONCE(ctx->completed) >= fence || READ_ONCE(ctx->dead);
}

static int xgpu_fence_report(struct xgpu_ctx *ctx, struct xgpu_wait *wait)
{
	struct xgpu_result *result = &ctx->results[wait->fence % XGPU_FENCES_KEPT];
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&ctx->lock, flags);
	if (ctx->completed < wait->fence) {
		ret = -ENODEV;
	} else if (ctx->submitted >= wait->fence + XGPU_FENCES_KEPT) {
		/* Its slot is another's by now. */
		ret = -ESTALE;
	} else {
		wait->status = result->status;
		wait->work = result->work;
		wait->result = result->result;
		wait->fault = result->fault;
	}
	spin_unlock_irqrestore(&ctx->lock, flags);
	return ret;
}

/**
 * xgpu_ctx_wait - wait for a fence
 * @ctx: the context
 * @wait: of the caller, checked; filled in
 *
 * Context: may sleep, under ctx->gone_lock
 * Return: 0; -EAGAIN, -ETIME, -EINTR, -ESTALE, -EINVAL, -ENODEV as in the uapi header
 */
int xgpu_ctx_wait(struct xgpu_ctx *ctx, struct xgpu_wait *wait)
{
	int ret = 0;

	if (!wait->fence || wait->fence > READ_ONCE(ctx->submitted) || wait->timeout_ns < -1)
		return -EINVAL;
	if (!wait->timeout_ns)
		ret = xgpu_fence_is_done(ctx, wait->fence) ? 0 : -EAGAIN;
	else if (wait->timeout_ns == -1)
		ret = wait_event_interruptible(ctx->wait, xgpu_fence_is_done(ctx, wait->fence));
	else
		ret = wait_event_interruptible_hrtimeout(ctx->wait,
							 xgpu_fence_is_done(ctx, wait->fence),
							 ns_to_ktime(wait->timeout_ns));
	if (ret == -ERESTARTSYS)
		return -EINTR;
	return ret ?: xgpu_fence_report(ctx, wait);
}

/*
 * -- contexts come and go
 */

static int xgpu_ctx_number(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;
	unsigned long flags;
	int ret = -EBUSY;
	u16 i;

	spin_lock_irqsave(&xgpu->lock, flags);
	if (xgpu->dead)
		ret = -ENODEV;
	for (i = 1; i < XGPU_CONTEXTS && ret == -EBUSY; i++) {
		if (xgpu->ctx[i])
			continue;
		xgpu->ctx[i] = ctx;
		ctx->id = i;
		ret = 0;
	}
	spin_unlock_irqrestore(&xgpu->lock, flags);
	return ret;
}

static void xgpu_ctx_unnumber(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;
	unsigned long flags;

	spin_lock_irqsave(&xgpu->lock, flags);
	xgpu->ctx[ctx->id] = NULL;
	spin_unlock_irqrestore(&xgpu->lock, flags);
}

/*
 * Who serves faults may wait for a page that does not come. Nothing is queued any more: the
 * interrupt sees that the context is dead.
 */
static void xgpu_end_faults(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;

	spin_lock_irq(&xgpu->lock);
	spin_unlock_irq(&xgpu->lock);
	send_sig(SIGKILL, ctx->worker->task, 1);
	kthread_destroy_worker(ctx->worker);
}

/**
 * xgpu_ctx_new - a context for the caller's address space
 * @xgpu: the device
 *
 * Context: may sleep
 * Return: the context, which has a reference to the device; or an ERR_PTR(): -EBUSY if the
 *	device has no more, -ENODEV, -ENOMEM, -EINTR for a fatal signal
 */
struct xgpu_ctx *xgpu_ctx_new(struct xgpu *xgpu)
{
	struct xgpu_ctx *ctx;
	int ret;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return ERR_PTR(-ENOMEM);
	kref_init(&ctx->ref);
	ctx->xgpu = xgpu;
	init_rwsem(&ctx->gone_lock);
	mutex_init(&ctx->table_lock);
	spin_lock_init(&ctx->lock);
	init_waitqueue_head(&ctx->wait);
	kthread_init_work(&ctx->fault_work, xgpu_fault_work);
	INIT_DELAYED_WORK(&ctx->watchdog, xgpu_watchdog);

	ctx->worker = kthread_create_worker(0, "%s-fault", xgpu->name);
	ret = PTR_ERR_OR_ZERO(ctx->worker);
	if (ret)
		goto free;
	ret = xgpu_ring_alloc(xgpu, &ctx->ring);
	if (ret)
		goto destroy_worker;
	ret = xgpu_table_init(ctx);
	if (ret)
		goto free_ring;
	ret = device_mirror_init(&ctx->mirror, xgpu_dev(xgpu), current->mm, &xgpu_mirror_ops,
				 xgpu->has_memory ? &xgpu->memory : NULL);
	if (ret)
		goto free_table;

	/* A reset starts every context that has a number, so no other may be under way. */
	mutex_lock(&xgpu->reset_lock);
	ret = xgpu_ctx_number(ctx);
	if (!ret)
		xgpu_ctx_start(ctx);
	mutex_unlock(&xgpu->reset_lock);
	if (ret)
		goto destroy_mirror;
	xgpu_get(xgpu);
	return ctx;

destroy_mirror:
	device_mirror_destroy(&ctx->mirror);
free_table:
	xgpu_table_free(ctx);
free_ring:
	xgpu_ring_free(xgpu, &ctx->ring);
destroy_worker:
	kthread_destroy_worker(ctx->worker);
free:
	kfree(ctx);
	return ERR_PTR(ret);
}

static void xgpu_ctx_free(struct kref *ref)
{
	struct xgpu_ctx *ctx = container_of(ref, struct xgpu_ctx, ref);
	struct xgpu *xgpu = ctx->xgpu;

	kfree(ctx);
	xgpu_put(xgpu);
}

void xgpu_ctx_put(struct xgpu_ctx *ctx)
{
	kref_put(&ctx->ref, xgpu_ctx_free);
}

/* Whatever has not ended is lost. */
static void xgpu_ctx_end_fences(struct xgpu_ctx *ctx)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->lock, flags);
	xgpu_end_fences_locked(ctx, XGPU_FENCE_LOST);
	ctx->gone = true;
	spin_unlock_irqrestore(&ctx->lock, flags);
	wake_up_all(&ctx->wait);
}

/**
 * xgpu_ctx_gone - take the hardware's part of a context away
 * @ctx: the context; may be called again, then nothing happens
 *
 * For the last close of the file, and for a device that goes. Waits for calls that are under
 * way, after it has made them give up.
 *
 * Context: may sleep
 */
void xgpu_ctx_gone(struct xgpu_ctx *ctx)
{
	struct xgpu *xgpu = ctx->xgpu;

	WRITE_ONCE(ctx->dead, true);
	device_mirror_kill(&ctx->mirror);
	wake_up_all(&ctx->wait);
	down_write(&ctx->gone_lock);
	if (!ctx->gone) {
		/* Nobody starts it again, as it is dead: neither the watchdog nor a reset. */
		mutex_lock(&xgpu->reset_lock);
		xgpu_ctx_stop(ctx);
		mutex_unlock(&xgpu->reset_lock);
		disable_delayed_work_sync(&ctx->watchdog);
		xgpu_end_faults(ctx);
		xgpu_ctx_end_fences(ctx);
		device_mirror_destroy(&ctx->mirror);
		/* The last shootdown was by this number: only now it may be another's. */
		xgpu_ctx_unnumber(ctx);
		xgpu_table_free(ctx);
		xgpu_ring_free(xgpu, &ctx->ring);
	}
	up_write(&ctx->gone_lock);
}
