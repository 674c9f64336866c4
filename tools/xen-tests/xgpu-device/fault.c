// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replayable faults: a command that misses stalls its context, and no other, until the driver
 * answers. A context has one fault at a time; none is ever lost: when the queue is full, it
 * is held back.
 */
#include "xgpu.h"

static uint32_t queue_size(struct xgpu *s)
{
	return s->fault_log2 ? 1u << s->fault_log2 : 0;
}

/**
 * xgpu_fault_begin - a command's access has no translation
 * @s: the device
 * @c: the context
 * @why: XGPU_WALK_MISS or XGPU_WALK_PERMISSION
 * @va: the address
 * @write: it was to be written
 * @level: where the walk ended
 * @left: bytes from @va on that the command is yet to access
 */
void xgpu_fault_begin(struct xgpu *s, struct xgpu_ctx *c, enum xgpu_walk why, uint64_t va,
		      bool write, uint8_t level, uint64_t left)
{
	if (!(c->control & XGPU_CTX_FAULTS)) {
		xgpu_complete(s, c, XGPU_ST_FAULT, va);
		return;
	}
	c->stall_id = 0;
	c->stall_va = va;
	c->stall_flags = level << XGPU_FAULT_LEVEL_SHIFT;
	if (write)
		c->stall_flags |= XGPU_FAULT_WRITE;
	if (why == XGPU_WALK_PERMISSION)
		c->stall_flags |= XGPU_FAULT_PERMISSION;
	c->stall_pages = MIN(((va & 0xfff) + left + 0xfff) >> 12, UINT32_MAX);
	c->stall_time = xgpu_now();
	c->phase = XGPU_FAULTING;
	c->due += s->lat_fault;
}

/**
 * xgpu_fault_report - the fault of a context is due in the queue
 * @s: the device
 * @c: the context, XGPU_FAULTING or XGPU_FAULT_HELD
 */
void xgpu_fault_report(struct xgpu *s, struct xgpu_ctx *c)
{
	uint32_t size = queue_size(s);
	struct xgpu_fault out;
	uint64_t addr;

	if (s->fault_tail - s->fault_head >= size) {
		/* Say so once, not at every look for room. */
		if (c->phase == XGPU_FAULTING) {
			xgpu_error(s, c, XGPU_ERR_FAULT_QUEUE, c->stall_va, 0, size);
			s->fault_overflow = 1;
		}
		c->phase = XGPU_FAULT_HELD;
		return;
	}
	if (!++s->next_stall)
		s->next_stall = 1;
	out = (struct xgpu_fault){
		.va = cpu_to_le64(c->stall_va),
		.context = cpu_to_le16(c->id),
		.flags = cpu_to_le16(c->stall_flags),
		.stall = cpu_to_le32(s->next_stall),
		.index = cpu_to_le32(c->head),
		.pages = cpu_to_le32(c->stall_pages),
		.time = cpu_to_le64(c->stall_time),
	};
	addr = s->fault_base + (s->fault_tail & (size - 1)) * sizeof(out);
	if (!xgpu_dma(s, c, addr, 0, &out, sizeof(out), true)) {
		/* Nobody could answer what nobody was told. */
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, c->stall_va);
		return;
	}
	c->stall_id = s->next_stall;
	c->phase = XGPU_STALLED;
	s->fault_tail++;
	xgpu_count(s, c, faults, 1);
	xgpu_irq(s, XGPU_IRQ_FAULT);
}

/* There may be room in the queue again: faults that were held back go first. */
void xgpu_fault_room(struct xgpu *s)
{
	struct xgpu_ctx *c;
	unsigned int i;

	for (i = 0; i < XGPU_CONTEXTS; i++) {
		c = &s->ctx[(s->turn + i) % XGPU_CONTEXTS];
		if (s->fault_tail - s->fault_head >= queue_size(s))
			return;
		if (c->phase == XGPU_FAULT_HELD)
			xgpu_fault_report(s, c);
	}
}

static struct xgpu_ctx *stalled(struct xgpu *s, uint64_t answer)
{
	uint32_t id = answer >> XGPU_ANSWER_STALL_SHIFT;
	unsigned int i;

	if (answer & XGPU_ANSWER_CONTEXT) {
		i = (answer >> XGPU_ANSWER_CONTEXT_SHIFT) & 0xffff;
		return i < XGPU_CONTEXTS && s->ctx[i].phase == XGPU_STALLED ? &s->ctx[i] : NULL;
	}
	for (i = 0; i < XGPU_CONTEXTS; i++)
		if (s->ctx[i].phase == XGPU_STALLED && s->ctx[i].stall_id == id)
			return &s->ctx[i];
	return NULL;
}

/**
 * xgpu_fault_answer - the driver answers a fault
 * @s: the device
 * @answer: as for XGPU_FAULT_ANSWER
 *
 * One that comes too late, because the context was reset, is counted and does nothing.
 */
void xgpu_fault_answer(struct xgpu *s, uint64_t answer)
{
	uint64_t action = answer & 0xff;
	struct xgpu_ctx *c = stalled(s, answer);

	if (!c || (action != XGPU_ANSWER_REPLAY && action != XGPU_ANSWER_FAIL)) {
		s->cnt.bad_answers++;
		return;
	}
	c->stall_id = 0;
	c->due = xgpu_now();
	if (action == XGPU_ANSWER_REPLAY) {
		c->phase = XGPU_RUN;
		s->cnt.replays++;
	} else {
		/* Completion writes memory, which is the timer's work. */
		c->phase = XGPU_FAILING;
		s->cnt.fails++;
	}
	xgpu_kick(s);
}
