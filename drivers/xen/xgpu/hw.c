// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device's registers and queues: interrupts, faults, shootdowns, errors.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/sizes.h>

#include "xgpu.h"

#define XGPU_FAULT_ENTRIES BIT(XGPU_FAULT_LOG2_DEFAULT)
#define XGPU_SHOOT_ENTRIES BIT(XGPU_SHOOT_LOG2_DEFAULT)
#define XGPU_VA_LAST (BIT_ULL(XGPU_VA_BITS) - 1)

/*
 * -- the queues in memory
 */

/* The word that shootdowns are published in lies behind their queue. */
static size_t xgpu_shoots_size(void)
{
	return XGPU_SHOOT_ENTRIES * sizeof(struct xgpu_shootdown) + SZ_4K;
}

static size_t xgpu_faults_size(void)
{
	return XGPU_FAULT_ENTRIES * sizeof(struct xgpu_fault);
}

int xgpu_queues_alloc(struct xgpu *xgpu)
{
	struct device *dev = xgpu_dev(xgpu);

	xgpu->faults = dma_alloc_coherent(dev, xgpu_faults_size(), &xgpu->faults_dma, GFP_KERNEL);
	xgpu->shoots = dma_alloc_coherent(dev, xgpu_shoots_size(), &xgpu->shoots_dma, GFP_KERNEL);
	if (!xgpu->faults || !xgpu->shoots) {
		xgpu_queues_free(xgpu);
		return -ENOMEM;
	}
	xgpu->shoot_done = (void *)(xgpu->shoots + XGPU_SHOOT_ENTRIES);
	return 0;
}

void xgpu_queues_free(struct xgpu *xgpu)
{
	struct device *dev = xgpu_dev(xgpu);

	if (xgpu->shoots)
		dma_free_coherent(dev, xgpu_shoots_size(), xgpu->shoots, xgpu->shoots_dma);
	if (xgpu->faults)
		dma_free_coherent(dev, xgpu_faults_size(), xgpu->faults, xgpu->faults_dma);
	xgpu->shoots = NULL;
	xgpu->faults = NULL;
}

/* After a reset of the device, or in the beginning: all but the contexts of processes */
void xgpu_hw_start(struct xgpu *xgpu, bool again)
{
	unsigned long flags;

	/* From here on answers to what was before are for nobody. */
	spin_lock_irqsave(&xgpu->lock, flags);
	if (again)
		WRITE_ONCE(xgpu->resets, xgpu->resets + 1);
	xgpu->fault_head = 0;
	xgpu_write64(xgpu, XGPU_FAULT_BASE, xgpu->faults_dma);
	xgpu_write(xgpu, XGPU_FAULT_LOG2, XGPU_FAULT_LOG2_DEFAULT);
	spin_unlock_irqrestore(&xgpu->lock, flags);

	spin_lock(&xgpu->shoot_lock);
	xgpu->shoot_tail = 0;
	/* What was under way is complete: nothing is left in any TLB. */
	WRITE_ONCE(xgpu->shoot_forced, xgpu->shoot_seq);
	xgpu_write64(xgpu, XGPU_SHOOT_BASE, xgpu->shoots_dma);
	xgpu_write64(xgpu, XGPU_SHOOT_DONE_ADDR,
		     xgpu->shoots_dma + XGPU_SHOOT_ENTRIES * sizeof(struct xgpu_shootdown));
	xgpu_write(xgpu, XGPU_SHOOT_CONTROL, XGPU_SHOOT_PUBLISH);
	xgpu_write(xgpu, XGPU_SHOOT_LOG2, XGPU_SHOOT_LOG2_DEFAULT);
	spin_unlock(&xgpu->shoot_lock);

	xgpu_engine_start(xgpu);
	xgpu_write(xgpu, XGPU_STALE_CHECK, 1);
	xgpu_write(xgpu, XGPU_CONTROL, XGPU_CONTROL_ENABLE);
	xgpu_write(xgpu, XGPU_INT_ENABLE, BIT(XGPU_IRQS) - 1);
}

/* For good: no DMA, no interrupts, nothing of anybody's left in the device */
void xgpu_hw_stop(struct xgpu *xgpu)
{
	xgpu_write(xgpu, XGPU_INT_ENABLE, 0);
	xgpu_write(xgpu, XGPU_RESET, XGPU_RESET_DEVICE | XGPU_RESET_CLEAR_VRAM);
	xgpu_read(xgpu, XGPU_STATUS);
}

/*
 * -- faults
 */

/* One fault, to whom it belongs. A context that is gone needs no answer: it was reset. */
static void xgpu_take_fault(struct xgpu *xgpu, const struct xgpu_fault *fault)
{
	u16 id = le16_to_cpu(fault->context);
	struct xgpu_ctx *ctx = id < XGPU_CONTEXTS ? xgpu->ctx[id] : NULL;

	if (!ctx || READ_ONCE(ctx->dead))
		return;
	ctx->fault = *fault;
	ctx->fault_resets = xgpu->resets;
	kthread_queue_work(ctx->worker, &ctx->fault_work);
}

static void xgpu_take_faults(struct xgpu *xgpu)
{
	unsigned long flags;
	u32 tail;

	spin_lock_irqsave(&xgpu->lock, flags);
	tail = xgpu_read(xgpu, XGPU_FAULT_TAIL);
	/* No more than there can be: a device that is gone says all ones. */
	if (tail - xgpu->fault_head <= XGPU_FAULT_ENTRIES) {
		dma_rmb();
		for (; xgpu->fault_head != tail; xgpu->fault_head++)
			xgpu_take_fault(xgpu, &xgpu->faults[xgpu->fault_head %
							    XGPU_FAULT_ENTRIES]);
		xgpu_write(xgpu, XGPU_FAULT_HEAD, tail);
	}
	spin_unlock_irqrestore(&xgpu->lock, flags);
}

/**
 * xgpu_answer - a context that is stalled goes on
 * @xgpu: the device
 * @context: its number
 * @stall: the fault
 * @resets: xgpu->resets when it came
 * @replay: try again; else the command fails
 *
 * An answer to a fault that is no longer is of no consequence; after a reset the device
 * numbers faults anew, so there is none then.
 *
 * Context: any
 */
void xgpu_answer(struct xgpu *xgpu, u16 context, u32 stall, unsigned int resets, bool replay)
{
	u64 answer = (replay ? XGPU_ANSWER_REPLAY : XGPU_ANSWER_FAIL) |
		     (u64)context << XGPU_ANSWER_CONTEXT_SHIFT |
		     (u64)stall << XGPU_ANSWER_STALL_SHIFT;
	unsigned long flags;

	/* Two writes, which those of others must not come between. Entries are seen first. */
	spin_lock_irqsave(&xgpu->lock, flags);
	if (xgpu->resets == resets)
		xgpu_write64(xgpu, XGPU_FAULT_ANSWER, answer);
	spin_unlock_irqrestore(&xgpu->lock, flags);
}

/*
 * -- shootdowns
 */

/**
 * xgpu_shoot_start - let the device forget translations
 * @xgpu: the device
 * @context: whose
 * @first: VA
 * @last: VA, inclusive
 *
 * Context: any; does not wait
 * Return: a number for xgpu_shoot_finish(); 0: the queue is full, so that has to start it
 */
u64 xgpu_shoot_start(struct xgpu *xgpu, u16 context, u64 first, u64 last)
{
	struct xgpu_shootdown *entry;
	u64 seq = 0;

	spin_lock(&xgpu->shoot_lock);
	if (xgpu->shoot_tail - xgpu_read(xgpu, XGPU_SHOOT_HEAD) < XGPU_SHOOT_ENTRIES) {
		seq = ++xgpu->shoot_seq;
		entry = &xgpu->shoots[xgpu->shoot_tail % XGPU_SHOOT_ENTRIES];
		*entry = (struct xgpu_shootdown){
			.first = cpu_to_le64(first),
			.last = cpu_to_le64(min(last, XGPU_VA_LAST)),
			.seq = cpu_to_le64(seq),
			.context = cpu_to_le16(context),
			.flags = cpu_to_le16(XGPU_SHOOT_INTERRUPT),
		};
		dma_wmb();
		xgpu_write(xgpu, XGPU_SHOOT_TAIL, ++xgpu->shoot_tail);
	}
	spin_unlock(&xgpu->shoot_lock);
	return seq;
}

/* How long to wait for it: one that is known not to answer will not do so later. */
static unsigned long xgpu_patience(struct xgpu *xgpu)
{
	return READ_ONCE(xgpu->lost) ? 0 : xgpu_timeout();
}

static bool xgpu_shoot_is_done(struct xgpu *xgpu, u64 seq)
{
	return le64_to_cpu(READ_ONCE(*xgpu->shoot_done)) >= seq ||
	       READ_ONCE(xgpu->shoot_forced) >= seq;
}

/**
 * xgpu_shoot_finish - wait until the device has
 * @xgpu: the device
 * @context: as for the start
 * @first: likewise
 * @last: likewise
 * @seq: what that has returned
 *
 * A device that does not answer in time is reset, which is an answer too.
 *
 * Context: may sleep
 */
void xgpu_shoot_finish(struct xgpu *xgpu, u16 context, u64 first, u64 last, u64 seq)
{
	unsigned long deadline = jiffies + xgpu_patience(xgpu);
	unsigned int resets = READ_ONCE(xgpu->resets);

	while (!seq) {
		seq = xgpu_shoot_start(xgpu, context, first, last);
		if (seq)
			break;
		if (time_after(jiffies, deadline)) {
			xgpu_reset(xgpu, resets, "its queue of shootdowns stays full");
			return;
		}
		schedule_timeout_uninterruptible(1);
	}
	/* A reset that somebody else has made may be older than this shootdown. */
	do {
		resets = READ_ONCE(xgpu->resets);
		if (!wait_event_timeout(xgpu->shoot_wait, xgpu_shoot_is_done(xgpu, seq),
					xgpu_patience(xgpu)))
			xgpu_reset(xgpu, resets, "a shootdown does not end");
	} while (!xgpu_shoot_is_done(xgpu, seq));
}

/**
 * xgpu_scan - which translations does the device have?
 * @xgpu: the device
 * @context: whose
 * @stale: out: those that the page table does not have (any more)
 * @cached: out: all
 *
 * Context: may sleep
 */
void xgpu_scan(struct xgpu *xgpu, u16 context, u32 *stale, u32 *cached)
{
	mutex_lock(&xgpu->scan_lock);
	xgpu_write64(xgpu, XGPU_SCAN_FIRST, 0);
	xgpu_write64(xgpu, XGPU_SCAN_LAST, XGPU_VA_LAST);
	xgpu_write(xgpu, XGPU_SCAN_CONTEXT, context);
	*stale = xgpu_read(xgpu, XGPU_SCAN_STALE);
	*cached = xgpu_read(xgpu, XGPU_SCAN_CACHED);
	mutex_unlock(&xgpu->scan_lock);
}

/*
 * -- errors
 */

static const char *const xgpu_error_names[] = {
	[XGPU_ERR_DMA_READ] = "read of memory refused",
	[XGPU_ERR_DMA_WRITE] = "write to memory refused",
	[XGPU_ERR_VRAM] = "outside of video memory",
	[XGPU_ERR_COMMAND] = "bad command",
	[XGPU_ERR_REGISTER] = "bad access to a register",
	[XGPU_ERR_PTE] = "malformed entry of a page table",
	[XGPU_ERR_FAULT_QUEUE] = "fault queue full",
	[XGPU_ERR_SHOOTDOWN] = "bad shootdown",
	[XGPU_ERR_RING] = "ring unusable",
	[XGPU_ERR_REENTRANT] = "its DMA came to its own registers",
};

static const char *xgpu_error_name(u16 type)
{
	if (type >= ARRAY_SIZE(xgpu_error_names) || !xgpu_error_names[type])
		return "unknown error";
	return xgpu_error_names[type];
}

static void xgpu_report(struct xgpu *xgpu, u32 index)
{
	u32 at = XGPU_ERROR_LOG + index % XGPU_ERROR_ENTRIES * sizeof(struct xgpu_error);
	u32 word = xgpu_read(xgpu, at);

	dev_warn_ratelimited(xgpu_dev(xgpu), "%s: context %u, address %#llx, VA %#llx, info %#llx\n",
			     xgpu_error_name(word), word >> 16,
			     xgpu_read64(xgpu, at + offsetof(struct xgpu_error, address)),
			     xgpu_read64(xgpu, at + offsetof(struct xgpu_error, va)),
			     xgpu_read64(xgpu, at + offsetof(struct xgpu_error, info)));
}

void xgpu_error_work(struct work_struct *work)
{
	struct xgpu *xgpu = container_of(work, struct xgpu, error_work);
	u32 head, tail;

	/* A reset begins the log anew. */
	mutex_lock(&xgpu->reset_lock);
	head = xgpu_read(xgpu, XGPU_ERROR_HEAD);
	tail = xgpu_read(xgpu, XGPU_ERROR_TAIL);
	if (tail - head <= XGPU_ERROR_ENTRIES) {
		for (; head != tail; head++)
			xgpu_report(xgpu, head);
		xgpu_write(xgpu, XGPU_ERROR_HEAD, tail);
	}
	mutex_unlock(&xgpu->reset_lock);
}

/*
 * -- interrupts
 */

static void xgpu_wake_contexts(struct xgpu *xgpu)
{
	unsigned long flags, bit;
	unsigned int n;
	u64 pending;

	for (n = 0; n < XGPU_CONTEXTS / 64; n++) {
		pending = xgpu_read64(xgpu, XGPU_FENCE_PENDING(n));
		if (!pending || pending == U64_MAX)
			continue;
		xgpu_write64(xgpu, XGPU_FENCE_PENDING(n), pending);
		spin_lock_irqsave(&xgpu->lock, flags);
		for (bit = 0; bit < 64; bit++) {
			if (!(pending & BIT_ULL(bit)))
				continue;
			if (!n && !bit)
				wake_up_all(&xgpu->engine.wait);
			else if (xgpu->ctx[n * 64 + bit])
				wake_up_all(&xgpu->ctx[n * 64 + bit]->wait);
		}
		spin_unlock_irqrestore(&xgpu->lock, flags);
	}
}

/* One for all vectors, and for the line that they share where there are none. */
irqreturn_t xgpu_interrupt(int irq, void *data)
{
	struct xgpu *xgpu = data;
	u32 status = xgpu_read(xgpu, XGPU_INT_STATUS);

	if (status == U32_MAX)
		return IRQ_NONE;
	if (!status)
		return xgpu->pdev->msi_enabled ? IRQ_HANDLED : IRQ_NONE;
	/* First: what happens from here on is another interrupt. */
	xgpu_write(xgpu, XGPU_INT_ACK, status);
	if (status & BIT(XGPU_IRQ_SHOOTDOWN))
		wake_up_all(&xgpu->shoot_wait);
	if (status & BIT(XGPU_IRQ_FAULT))
		xgpu_take_faults(xgpu);
	if (status & BIT(XGPU_IRQ_FENCE))
		xgpu_wake_contexts(xgpu);
	if (status & BIT(XGPU_IRQ_ERROR))
		queue_work(xgpu->wq, &xgpu->error_work);
	return IRQ_HANDLED;
}
