// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that does not answer is reset. What is in video memory survives that, so memory
 * of processes does. Work that was under way is lost, and its fences say so; the contexts live
 * on, and so does what is mapped for them, because page tables are in the system's memory. All
 * translations are gone, which is what a shootdown that did not end was to bring about.
 *
 * Somebody else may have reset it: `xl pci-detach` of a PV domain's device does, long before the
 * domain is told. That clears video memory, and what a copy or a context would find there is
 * not what was. So from then on nothing is copied, and no context runs, until all of
 * that memory has been given up (xgpu_vram_work()).
 *
 * Those who notice at the same time come here at the same time; one of them does it. Whoever
 * is not the first finds that there has been a reset since it began to wait.
 */
#include <linux/moduleparam.h>

#include "xgpu.h"

static unsigned int xgpu_timeout_ms = 10000;
module_param_named(timeout_ms, xgpu_timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "milliseconds after which a device that does not answer is reset");

/* In jiffies. What is set to next to nothing would reset a device that is well. */
unsigned long xgpu_timeout(void)
{
	return msecs_to_jiffies(max(READ_ONCE(xgpu_timeout_ms), 10U));
}

/* Is the device gone, or as good as gone? Then there is nothing to wait for any more. */
bool xgpu_is_lost(struct xgpu *xgpu)
{
	if (!READ_ONCE(xgpu->lost) && xgpu_read(xgpu, XGPU_ID) == U32_MAX) {
		dev_err(xgpu_dev(xgpu), "it does not answer any more\n");
		WRITE_ONCE(xgpu->lost, true);
	}
	return READ_ONCE(xgpu->lost);
}

/*
 * A device that does not answer cannot be told to stop, and what it was told before may go on: so
 * it is taken off the bus, through configuration space, before anything is freed that it knows
 * of. It is let on again when it has been reset. Nothing to do for one that answers.
 */
void xgpu_isolate_lost(struct xgpu *xgpu)
{
	u16 command;

	lockdep_assert_held(&xgpu->reset_lock);
	if (!xgpu_is_lost(xgpu))
		return;
	pci_clear_master(xgpu->pdev);
	/* The answer comes after what it has written before. */
	pci_read_config_word(xgpu->pdev, PCI_COMMAND, &command);
}

/*
 * Has somebody else reset the device? Then it has forgotten where its queue of faults is, which
 * nobody but the driver ever changes, and the driver only together with a reset of its own.
 */
bool xgpu_was_reset(struct xgpu *xgpu)
{
	lockdep_assert_held(&xgpu->reset_lock);
	return xgpu_read64(xgpu, XGPU_FAULT_BASE) != xgpu->faults_dma;
}

/* All contexts have nothing under way, and begin anew, as far as that can be now. */
static void xgpu_restart_contexts(struct xgpu *xgpu)
{
	struct xgpu_ctx *ctx;
	unsigned long flags;
	unsigned int i;

	lockdep_assert_held(&xgpu->reset_lock);
	spin_lock_irqsave(&xgpu->lock, flags);
	for (i = 1; i < XGPU_CONTEXTS; i++) {
		ctx = xgpu->ctx[i];
		if (ctx && !READ_ONCE(ctx->dead))
			xgpu_ctx_lose(ctx, XGPU_FENCE_LOST);
	}
	spin_unlock_irqrestore(&xgpu->lock, flags);
}

/**
 * xgpu_vram_resume - video memory is empty, and can be used again
 * @xgpu: the device, after device_memory_suspend()
 *
 * Context: may sleep
 */
void xgpu_vram_resume(struct xgpu *xgpu)
{
	mutex_lock(&xgpu->reset_lock);
	if (xgpu->vram_lost) {
		WRITE_ONCE(xgpu->vram_lost, false);
		xgpu_restart_contexts(xgpu);
	}
	mutex_unlock(&xgpu->reset_lock);
	device_memory_resume(&xgpu->memory);
}

/* What was in video memory is not there any more: gives it up, and begins anew. */
void xgpu_vram_work(struct work_struct *work)
{
	struct xgpu *xgpu = container_of(work, struct xgpu, vram_work);

	device_memory_suspend(&xgpu->memory);
	xgpu_vram_resume(xgpu);
}

/**
 * xgpu_reset - reset the device, unless somebody just has
 * @xgpu: the device
 * @seen: xgpu->resets when the caller began to wait
 * @why: for the log
 *
 * When it returns the device does nothing that it did before.
 *
 * Context: may sleep; not under a spinlock of the driver or of a mirror
 */
void xgpu_reset(struct xgpu *xgpu, unsigned int seen, const char *why)
{
	mutex_lock(&xgpu->reset_lock);
	if (xgpu->resets != seen)
		goto unlock;
	if (xgpu_was_reset(xgpu) && xgpu->has_memory && device_memory_used(&xgpu->memory)) {
		WRITE_ONCE(xgpu->vram_lost, true);
		queue_work(xgpu->wq, &xgpu->vram_work);
	}
	if (!xgpu_is_lost(xgpu)) {
		dev_err(xgpu_dev(xgpu), "%s: resetting it\n", why);
		/* Who has refused too many of its accesses may have taken the bus away from it. */
		pci_set_master(xgpu->pdev);
	}
	xgpu_write(xgpu, XGPU_INT_ENABLE, 0);
	xgpu_write(xgpu, XGPU_RESET, XGPU_RESET_DEVICE);
	/* Reading makes sure that it has arrived. */
	xgpu_read(xgpu, XGPU_STATUS);
	xgpu_isolate_lost(xgpu);

	xgpu_restart_contexts(xgpu);
	xgpu_hw_start(xgpu, true);

	wake_up_all(&xgpu->shoot_wait);
	wake_up_all(&xgpu->engine.wait);
unlock:
	mutex_unlock(&xgpu->reset_lock);
}
