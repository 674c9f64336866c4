/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board: what the processes of the soak share.
 *
 * Each seat has a guest, or none just now. The guest's keeper (guests.h) publishes what the
 * guest has granted; backends (backends.h) read it there and map it, without asking anybody.
 * The generation is odd while there is nothing to be had. A keeper makes it odd *before* it takes
 * grants back, or ends the guest. So:
 *
 *	backend					keeper
 *
 *	generation is 2n: refs
 *	maps them, looks
 *	generation is still 2n:			generation = 2n + 1
 *	the map must have worked, the		revokes, destroys, saves ...
 *	pages must be right, and from here
 *	on they stay right until unmapped
 *
 * If it is not, then whatever Xen said is fine.
 *
 * Two runs of pages: nobody ever writes to the first, which holds a pattern. Of the second,
 * page i belongs to worker i, who may write what it likes and finds it again.
 */
#ifndef SOAK_BOARD_H
#define SOAK_BOARD_H

#include <stdarg.h>
#include <stdatomic.h>

#include "gm_test.h"

#define SEATS		3
#define RUN_PAGES	32U
#define WORKERS		7

enum soak_event {
	/* guests */
	CREATED_PV,
	CREATED_PVH,
	REGRANTED,
	PAUSED,
	SAVED,
	MIGRATED,
	SHUT_DOWN,
	DESTROYED,
	DESTROYED_PAUSED,
	CRASHED,
	/* backends */
	MAPPED,
	UNMAPPED_PART,
	IN_PIPE,
	CLOSED_FIRST,
	LEFT_MAPPED,
	WRITTEN,
	COPIED,
	EXPORTED,
	ATTACHED,
	GRANTED,
	KILLED,
	PRESSED,
	GPU_COPIED,
	GPU_WRITTEN,
	GPU_MOVED,
	GPU_CUT_OFF,
	NR_EVENTS
};

#define FIRST_GPU_EVENT	GPU_COPIED

static const char *const soak_event_name[NR_EVENTS] = {
	[CREATED_PV] = "PV guests created",
	[CREATED_PVH] = "PVH guests created",
	[REGRANTED] = "grants revoked and granted anew",
	[PAUSED] = "paused and unpaused",
	[SAVED] = "saved and restored",
	[MIGRATED] = "migrated",
	[SHUT_DOWN] = "shut down",
	[DESTROYED] = "destroyed",
	[DESTROYED_PAUSED] = "destroyed while paused",
	[CRASHED] = "crashed",
	[MAPPED] = "mapped",
	[UNMAPPED_PART] = "unmapped in parts",
	[IN_PIPE] = "unmapped with a page in a pipe",
	[CLOSED_FIRST] = "forgotten or closed while mapped",
	[LEFT_MAPPED] = "left to the end of the process",
	[WRITTEN] = "written",
	[COPIED] = "copied",
	[EXPORTED] = "exported as dma-buf",
	[ATTACHED] = "attached by a device",
	[GRANTED] = "dma-bufs granted to a guest",
	[KILLED] = "workers killed",
	[PRESSED] = "memory full",
	[GPU_COPIED] = "read by the GPU",
	[GPU_WRITTEN] = "written by the GPU",
	[GPU_MOVED] = "worked on in video memory",
	[GPU_CUT_OFF] = "unmapped under the GPU's work",
};

struct soak_run {
	uint64_t seed;
	uint32_t refs[RUN_PAGES];
};

struct soak_seat {
	atomic_uint generation;
	uint32_t domid;
	struct soak_run told, scratch;
};

#define MAX_FAILURES	8

struct soak_board {
	uint64_t seed;
	bool gpu;
	atomic_bool stop;
	atomic_ulong done[NR_EVENTS];
	struct soak_seat seats[SEATS];
	atomic_uint failures;
	char failure[MAX_FAILURES][400];
};

/* What a backend has seen on the board: its own copy */
struct soak_view {
	const struct soak_seat *seat;
	unsigned int generation;
	uint32_t domid;
	struct soak_run told, scratch;
};

static inline void soak_did(struct soak_board *b, enum soak_event e)
{
	atomic_fetch_add(&b->done[e], 1);
}

/* Says what is wrong, and has everything end. */
static inline void __attribute__((format(printf, 2, 3)))
soak_fail(struct soak_board *b, const char *fmt, ...)
{
	unsigned int n = atomic_fetch_add(&b->failures, 1);
	va_list ap;

	if (n < MAX_FAILURES) {
		va_start(ap, fmt);
		vsnprintf(b->failure[n], sizeof(b->failure[n]), fmt, ap);
		va_end(ap);
	}
	b->stop = true;
}

/* ---- chance: the same for the same seed, for each process its own ---- */

struct soak_chance {
	uint64_t state;
};

static inline uint64_t soak_next(struct soak_chance *c)
{
	return gm_pattern(c->state++, 0, 0);
}

static inline unsigned int soak_chance(struct soak_chance *c, unsigned int below)
{
	return (soak_next(c) >> 32) % below;
}

static inline struct soak_chance soak_chance_of(uint64_t seed, unsigned int who, unsigned int life)
{
	return (struct soak_chance){ gm_pattern(seed, who, life) };
}

/* ---- seats ---- */

static inline void seat_withdraw(struct soak_seat *seat)
{
	if (!(seat->generation & 1))
		atomic_fetch_add(&seat->generation, 1);
}

static inline void seat_publish(struct soak_seat *seat, const struct gm_grant *told, uint64_t seed,
				const struct gm_grant *scratch)
{
	seat->domid = told->domid;
	seat->told.seed = seed;
	memcpy(seat->told.refs, told->refs, sizeof(seat->told.refs));
	memcpy(seat->scratch.refs, scratch->refs, sizeof(seat->scratch.refs));
	atomic_fetch_add(&seat->generation, 1);
}

/* One of the seats, if there is anything to be had there */
static inline bool seat_look(struct soak_board *b, struct soak_chance *c, struct soak_view *v)
{
	v->seat = &b->seats[soak_chance(c, SEATS)];
	v->generation = v->seat->generation;
	if (v->generation & 1)
		return false;
	v->domid = v->seat->domid;
	v->told = v->seat->told;
	v->scratch = v->seat->scratch;
	atomic_thread_fence(memory_order_acquire);
	return v->seat->generation == v->generation;
}

static inline bool seat_still(const struct soak_view *v)
{
	return v->seat->generation == v->generation;
}

#endif /* SOAK_BOARD_H */
