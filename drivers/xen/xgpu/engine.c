// SPDX-License-Identifier: GPL-2.0-only
/*
 * Context 0 is the driver's own: it copies between video memory and the system's, by
 * physical addresses. One copy at a time; its caller waits for it.
 *
 * Called from page faults of the CPU, so nothing is allocated here.
 */
#include "xgpu.h"

int xgpu_engine_init(struct xgpu *xgpu)
{
	mutex_init(&xgpu->engine.lock);
	spin_lock_init(&xgpu->engine.ring_lock);
	init_waitqueue_head(&xgpu->engine.wait);
	return xgpu_ring_alloc(xgpu, &xgpu->engine.ring);
}

void xgpu_engine_free(struct xgpu *xgpu)
{
	xgpu_ring_free(xgpu, &xgpu->engine.ring);
}

/*
 * After a reset: context 0 has an empty ring. What was in it is lost, and whoever waits for it
 * sees xgpu->resets change; what is pushed from here on is not.
 */
void xgpu_engine_start(struct xgpu *xgpu)
{
	struct xgpu_ring *ring = &xgpu->engine.ring;

	spin_lock(&xgpu->engine.ring_lock);
	ring->tail = 0;
	xgpu_write64(xgpu, XGPU_CTX(0, XGPU_CTX_RING_BASE), ring->cmds_dma);
	xgpu_write(xgpu, XGPU_CTX(0, XGPU_CTX_RING_LOG2), XGPU_RING_LOG2_DEFAULT);
	xgpu_write(xgpu, XGPU_CTX(0, XGPU_CTX_CONTROL), XGPU_CTX_ENABLE);
	xgpu->engine.resets = READ_ONCE(xgpu->resets);
	spin_unlock(&xgpu->engine.ring_lock);
}

static void xgpu_push_copy(struct xgpu_ring *ring, const struct device_memory_copy *copy,
			   enum dma_data_direction direction)
{
	struct xgpu_cmd cmd = {
		.len = cpu_to_le64((u64)copy->nr_pages << PAGE_SHIFT),
	};

	if (copy->clear) {
		cmd.op = cpu_to_le16(XGPU_OP_PHYS_FILL);
		cmd.flags = cpu_to_le16(XGPU_CMD_DST_VRAM);
		cmd.dst = cpu_to_le64(copy->offset);
	} else if (direction == DMA_TO_DEVICE) {
		cmd.op = cpu_to_le16(XGPU_OP_PHYS_COPY);
		cmd.flags = cpu_to_le16(XGPU_CMD_DST_VRAM);
		cmd.dst = cpu_to_le64(copy->offset);
		cmd.src = cpu_to_le64(copy->system);
	} else {
		cmd.op = cpu_to_le16(XGPU_OP_PHYS_COPY);
		cmd.flags = cpu_to_le16(XGPU_CMD_SRC_VRAM);
		cmd.dst = cpu_to_le64(copy->system);
		cmd.src = cpu_to_le64(copy->offset);
	}
	xgpu_ring_push(ring, &cmd);
}

static struct xgpu_fence *xgpu_engine_fence(struct xgpu *xgpu)
{
	struct xgpu_engine *engine = &xgpu->engine;

	return &engine->ring.fences[engine->seq % XGPU_FENCES_KEPT];
}

static bool xgpu_engine_is_done(struct xgpu *xgpu, unsigned int resets)
{
	return le64_to_cpu(READ_ONCE(xgpu_engine_fence(xgpu)->value)) == xgpu->engine.seq ||
	       READ_ONCE(xgpu->resets) != resets;
}

/*
 * As many copies as fit into the ring with a fence behind them. Returns the number of resets
 * that the ring has seen: if there is another one, the copies are lost.
 */
static unsigned int xgpu_engine_push(struct xgpu *xgpu, const struct device_memory_copy *copies,
				     unsigned int nr, enum dma_data_direction direction)
{
	struct xgpu_engine *engine = &xgpu->engine;
	unsigned int i, resets;

	spin_lock(&engine->ring_lock);
	resets = engine->resets;
	engine->seq++;
	for (i = 0; i < nr; i++)
		xgpu_push_copy(&engine->ring, &copies[i], direction);
	xgpu_ring_push_fence(&engine->ring, engine->seq);
	dma_wmb();
	xgpu_write(xgpu, XGPU_CTX(0, XGPU_CTX_RING_TAIL), engine->ring.tail);
	spin_unlock(&engine->ring_lock);
	return resets;
}

/* Under engine->lock */
static int xgpu_engine_run(struct xgpu *xgpu, const struct device_memory_copy *copies,
			   unsigned int nr, enum dma_data_direction direction)
{
	struct xgpu_engine *engine = &xgpu->engine;
	unsigned int resets;
	u32 status;

	if (xgpu_is_lost(xgpu) || READ_ONCE(xgpu->vram_lost))
		return -EIO;
	resets = xgpu_engine_push(xgpu, copies, nr, direction);
	if (!wait_event_timeout(engine->wait, xgpu_engine_is_done(xgpu, resets), xgpu_timeout()))
		xgpu_reset(xgpu, resets, "a copy does not end");
	if (le64_to_cpu(READ_ONCE(xgpu_engine_fence(xgpu)->value)) != engine->seq)
		return -EIO;
	dma_rmb();
	status = le32_to_cpu(xgpu_engine_fence(xgpu)->status);
	if (!status)
		return 0;
	dev_err(xgpu_dev(xgpu), "a copy %s video memory failed with status %u\n",
		direction == DMA_TO_DEVICE ? "to" : "from", status);
	return -EIO;
}

static int xgpu_copy(struct device_memory *memory, const struct device_memory_copy *copies,
		     unsigned int nr, enum dma_data_direction direction)
{
	struct xgpu *xgpu = memory->driver_data;
	unsigned int i, n;
	int ret = 0;

	mutex_lock(&xgpu->engine.lock);
	for (i = 0; i < nr && !ret; i += n) {
		n = min_t(unsigned int, nr - i, XGPU_RING_ENTRIES - 2);
		ret = xgpu_engine_run(xgpu, copies + i, n, direction);
	}
	mutex_unlock(&xgpu->engine.lock);
	return ret;
}

const struct device_memory_ops xgpu_memory_ops = {
	.copy = xgpu_copy,
	.peer_map = xgpu_peer_map,
	.peer_unmap = xgpu_peer_unmap,
};
