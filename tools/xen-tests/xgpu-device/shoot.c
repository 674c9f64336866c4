// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shootdowns: taken from the queue in memory, in effect after a while, complete in order.
 *
 *   submitted   the doorbell rang, and the entry was read: stale hits are the device's own now
 *   dropped     when due, the entries of the TLB go
 *   complete    what was under way with a translation from before has been done
 *
 * Only then is the memory the driver's again.
 */
#include "xgpu.h"

#define MAX_LOG2	12

static struct xgpu_shooting *nth(struct xgpu *s, unsigned int n)
{
	return &s->shooting[(s->shooting_first + n) % XGPU_SHOOTING];
}

/* A malformed one has no effect, but it is complete in its turn: nobody waits for ever. */
static void submit(struct xgpu *s, const struct xgpu_shootdown *in, uint64_t now)
{
	struct xgpu_shooting *new = nth(s, s->nr_shooting);
	uint16_t context = le16_to_cpu(in->context), flags = le16_to_cpu(in->flags);
	uint64_t limit = (1ULL << XGPU_VA_BITS) - 1;

	*new = (struct xgpu_shooting){
		.first = le64_to_cpu(in->first),
		.last = le64_to_cpu(in->last),
		.seq = le64_to_cpu(in->seq),
		.due = now + s->lat_shootdown,
		.interrupt = flags & XGPU_SHOOT_INTERRUPT,
	};
	if (flags & XGPU_SHOOT_ALL) {
		new->first = 0;
		new->last = limit;
	}
	s->nr_shooting++;
	if (context >= XGPU_CONTEXTS || new->first > new->last || new->last > limit ||
	    in->reserved || flags & ~(XGPU_SHOOT_INTERRUPT | XGPU_SHOOT_ALL)) {
		xgpu_error(s, NULL, XGPU_ERR_SHOOTDOWN, new->first, 0, new->last);
		return;
	}
	new->c = &s->ctx[context];
	xgpu_tlb_forgive(s, new->c, new->first, new->last);
}

static void fetch(struct xgpu *s, uint64_t now)
{
	uint32_t size = 1u << s->shoot_log2;
	struct xgpu_shootdown in;
	uint64_t addr;

	if (!s->shoot_log2)
		return;
	while (s->shoot_head != s->shoot_tail && s->nr_shooting < XGPU_SHOOTING) {
		addr = s->shoot_base + (s->shoot_head & (size - 1)) * sizeof(in);
		s->shoot_head++;
		/* What cannot be read has no seq to publish: the error log tells. */
		if (xgpu_dma(s, NULL, addr, 0, &in, sizeof(in), false))
			submit(s, &in, now);
	}
}

static void publish(struct xgpu *s, const struct xgpu_shooting *done)
{
	uint64_t seq = cpu_to_le64(done->seq);

	s->shoot_done = done->seq;
	s->cnt.shootdowns++;
	if (s->shoot_control & XGPU_SHOOT_PUBLISH)
		xgpu_dma(s, NULL, s->shoot_done_addr, 0, &seq, sizeof(seq), true);
	if (done->interrupt)
		xgpu_irq(s, XGPU_IRQ_SHOOTDOWN);
}

/**
 * xgpu_shoot_run - take new shootdowns, and go on with those that were taken
 * @s: the device
 * @now: the time
 */
void xgpu_shoot_run(struct xgpu *s, uint64_t now)
{
	struct xgpu_shooting *p;
	unsigned int i;

	fetch(s, now);
	for (i = 0; i < s->nr_shooting; i++) {
		p = nth(s, i);
		if (p->dropped || p->due > now)
			continue;
		p->dropped = true;
		if (!p->c)
			continue;
		xgpu_tlb_drop(p->c, p->first, p->last);
		p->pieces = p->c->pieces_begun;
	}
	while (s->nr_shooting) {
		p = nth(s, 0);
		if (!p->dropped || (p->c && p->c->pieces_done < p->pieces))
			break;
		s->shooting_first++;
		s->nr_shooting--;
		publish(s, p);
	}
}

/* Is there one that covers the address, not yet complete? */
bool xgpu_shoot_pending(struct xgpu *s, struct xgpu_ctx *c, uint64_t va)
{
	const struct xgpu_shooting *p;
	unsigned int i;

	for (i = 0; i < s->nr_shooting; i++) {
		p = nth(s, i);
		/* After it took effect, an entry is a new one: no excuse. */
		if (p->c == c && !p->dropped && va >= p->first && va <= p->last)
			return true;
	}
	return false;
}

/* When is the next one due? UINT64_MAX: none, or a piece of work is what it waits for. */
uint64_t xgpu_shoot_due(struct xgpu *s)
{
	uint64_t due = UINT64_MAX;
	unsigned int i;

	if (s->shoot_log2 && s->shoot_head != s->shoot_tail && s->nr_shooting < XGPU_SHOOTING)
		return 0;
	for (i = 0; i < s->nr_shooting; i++)
		if (!nth(s, i)->dropped)
			due = MIN(due, nth(s, i)->due);
	/* Of those that took effect, the first waits for a piece, which is due itself. */
	return due;
}
