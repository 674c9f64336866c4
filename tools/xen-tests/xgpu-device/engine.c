// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine: each context works on its ring by itself, on the virtual clock.
 *
 * What a context does next is its phase, and when, is `due'. The timer takes the steps that are
 * due, of all contexts in turn, up to a budget, so that a guest cannot hold up QEMU. Each
 * step's time counts from when it was due rather than from when the timer came to it: the
 * device keeps its own pace, whatever the timer's.
 */
#include "xgpu.h"

/* In one run of the timer */
#define BUDGET_STEPS	128
#define BUDGET_BYTES	(256 * 1024)
/*
 * Then QEMU's lock is free for so many ns, and more for each step and byte of the run: about as
 * long as it took, so that CPUs that wait for the lock get it.
 */
#define PAUSE		1000
#define PAUSE_STEP	800
#define PAUSE_BYTES	8	/* so many for 1 ns */
/* A context is behind the clock by this much at most. */
#define MAX_LAG		(1000 * 1000)

uint64_t xgpu_now(void)
{
	return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* There is something new to do: as soon as possible. */
void xgpu_kick(struct xgpu *s)
{
	if (!s->gone)
		timer_mod(&s->timer, xgpu_now());
}

static void forget_command(struct xgpu_ctx *c)
{
	c->pieces_done = c->pieces_begun;
	c->stall_id = 0;
	c->storing = false;
	c->piece = 0;
}

/**
 * xgpu_ctx_stop - end what a context does, at once
 * @s: the device
 * @c: the context
 *
 * Its TLB goes: it is as good as a shootdown of everything.
 */
void xgpu_ctx_stop(struct xgpu *s, struct xgpu_ctx *c)
{
	uint64_t all = (1ULL << XGPU_VA_BITS) - 1;

	xgpu_tlb_forgive(s, c, 0, all);
	xgpu_tlb_drop(c, 0, all);
	forget_command(c);
	c->phase = XGPU_OFF;
	c->control &= ~XGPU_CTX_ENABLE;
	s->fence_pending[c->id / 64] &= ~(1ULL << (c->id % 64));
	/* A shootdown may have waited for it. */
	xgpu_kick(s);
}

void xgpu_ctx_enable(struct xgpu *s, struct xgpu_ctx *c)
{
	(void)s;
	c->head = 0;
	c->tail = 0;
	c->fence = 0;
	c->err_status = XGPU_ST_OK;
	c->err_index = 0;
	c->err_va = 0;
	c->err_result = 0;
	c->last_result = 0;
	c->nr_evicted = 0;
	memset(&c->cnt, 0, sizeof(c->cnt));
	c->phase = XGPU_IDLE;
}

static void die(struct xgpu *s, struct xgpu_ctx *c)
{
	xgpu_error(s, c, XGPU_ERR_RING, c->ring_base, 0, c->tail - c->head);
	c->phase = XGPU_DEAD;
}

/* From the end of one command to the beginning of the next, `from' on the clock */
static void next_command(struct xgpu *s, struct xgpu_ctx *c, uint64_t from)
{
	if (c->head == c->tail) {
		c->phase = XGPU_IDLE;
	} else if (!c->ring_log2 || c->tail - c->head > 1u << c->ring_log2) {
		die(s, c);
	} else {
		c->phase = XGPU_BEGIN;
		c->due = from + s->lat_command;
	}
}

void xgpu_ctx_doorbell(struct xgpu *s, struct xgpu_ctx *c, uint32_t tail)
{
	if (c->phase == XGPU_OFF) {
		xgpu_error(s, c, XGPU_ERR_REGISTER, XGPU_CTX(c->id, XGPU_CTX_RING_TAIL), 0, tail);
		return;
	}
	c->tail = tail;
	if (c->phase == XGPU_IDLE) {
		next_command(s, c, xgpu_now());
		xgpu_kick(s);
	}
}

static bool write_record(struct xgpu *s, struct xgpu_ctx *c, uint32_t status, uint64_t va)
{
	struct xgpu_record out = {
		.index = cpu_to_le32(c->head + 1),
		.status = cpu_to_le32(status),
		.cookie = cpu_to_le32(c->cmd.cookie),
		.result = cpu_to_le64(c->result),
		.fault_va = cpu_to_le64(va),
	};
	uint32_t entry = c->head & ((1u << c->ring_log2) - 1);
	uint64_t addr = c->record_base + entry * (uint64_t)sizeof(out);

	return xgpu_dma(s, c, addr + 4, 0, (uint8_t *)&out + 4, sizeof(out) - 4, true) &&
	       xgpu_dma(s, c, addr, 0, &out, 4, true);
}

static bool has_result(const struct xgpu_op *o)
{
	return o->op == XGPU_OP_CHECKSUM || o->op == XGPU_OP_COMPARE || o->op == XGPU_OP_ATOMIC_ADD;
}

/**
 * xgpu_complete - the command of a context has ended
 * @s: the device
 * @c: the context
 * @status: XGPU_ST_*
 * @va: where it faulted, or 0
 */
void xgpu_complete(struct xgpu *s, struct xgpu_ctx *c, uint32_t status, uint64_t va)
{
	forget_command(c);
	if (has_result(&c->cmd))
		c->last_result = c->result;
	xgpu_count(s, c, commands, 1);
	if (status == XGPU_ST_BAD_COMMAND)
		s->cnt.bad_commands++;
	/* One that is skipped is not the first. */
	if (status != XGPU_ST_OK && c->err_status == XGPU_ST_OK) {
		c->err_status = status;
		c->err_index = c->head;
		c->err_va = va;
		c->err_result = c->result;
	}
	if (c->control & XGPU_CTX_RECORDS)
		write_record(s, c, status, va);
	c->head++;
	if (c->cmd.flags & XGPU_CMD_INTERRUPT) {
		s->fence_pending[c->id / 64] |= 1ULL << (c->id % 64);
		xgpu_irq(s, XGPU_IRQ_FENCE);
	}
	next_command(s, c, c->due);
}

static bool waits_for_time(const struct xgpu_ctx *c)
{
	switch (c->phase) {
	case XGPU_BEGIN:
	case XGPU_RUN:
	case XGPU_PIECE_UNDER_WAY:
	case XGPU_FAULTING:
	case XGPU_FAILING:
		return true;
	default:
		return false;
	}
}

/* One step of a context; the bytes that it took */
static uint32_t step(struct xgpu *s, struct xgpu_ctx *c)
{
	uint32_t bytes = 0;

	switch (c->phase) {
	case XGPU_BEGIN:
		if (xgpu_command_fetch(s, c))
			xgpu_command_begin(s, c);
		else
			die(s, c);
		break;
	case XGPU_RUN:
		xgpu_command_next(s, c);
		break;
	case XGPU_PIECE_UNDER_WAY:
		bytes = c->piece;
		xgpu_command_piece(s, c);
		break;
	case XGPU_FAULTING:
		xgpu_fault_report(s, c);
		break;
	case XGPU_FAILING:
		xgpu_complete(s, c, XGPU_ST_FAULT, c->stall_va);
		break;
	default:
		break;
	}
	return bytes;
}

/* When is something due, at the earliest? */
static uint64_t next_due(struct xgpu *s)
{
	uint64_t due = xgpu_shoot_due(s);
	unsigned int i;

	for (i = 0; i < XGPU_CONTEXTS; i++)
		if (waits_for_time(&s->ctx[i]))
			due = MIN(due, s->ctx[i].due);
	return due;
}

/* Every context that is due takes one step, while the budget lasts. Did any? */
static bool take_turns(struct xgpu *s, uint64_t now, uint32_t *steps, uint32_t *bytes)
{
	bool any = false;
	struct xgpu_ctx *c;
	uint32_t n;
	unsigned int i;

	for (i = 0; i < XGPU_CONTEXTS && *steps && *bytes; i++) {
		c = &s->ctx[s->turn++ % XGPU_CONTEXTS];
		if (!waits_for_time(c) || c->due > now)
			continue;
		if (now - c->due > MAX_LAG)
			c->due = now - MAX_LAG;
		n = step(s, c);
		*bytes -= MIN(*bytes, n);
		--*steps;
		any = true;
	}
	return any;
}

/**
 * xgpu_timer - the device works
 * @opaque: the device
 */
void xgpu_timer(void *opaque)
{
	uint32_t steps = BUDGET_STEPS, bytes = BUDGET_BYTES;
	struct xgpu *s = opaque;
	uint64_t now = xgpu_now(), due, pause;
	bool more;

	if (s->clear_wanted)
		xgpu_clear(s, true);
	if (!(s->control & XGPU_CONTROL_ENABLE))
		return;
	do {
		xgpu_shoot_run(s, now);
		xgpu_fault_room(s);
		more = take_turns(s, now, &steps, &bytes);
	} while (more && steps && bytes && !s->gone);
	xgpu_shoot_run(s, now);

	due = next_due(s);
	pause = PAUSE + (BUDGET_STEPS - steps) * PAUSE_STEP + (BUDGET_BYTES - bytes) / PAUSE_BYTES;
	if (due != UINT64_MAX && !s->gone)
		timer_mod(&s->timer, MAX(due, now + pause));
}
