/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The model of the xgpu device: what its files share.
 *
 *   device.c  the PCI device: configuration space, BARs, reset
 *   regs.c    the registers
 *   memory.c  every access to system memory and to video memory
 *   walk.c    page tables
 *   tlb.c     each context's TLB, and the search for stale entries
 *   shoot.c   the queue of shootdowns
 *   fault.c   the queue of faults, and the answers
 *   engine.c  the rings: commands fetched, run piece by piece, completed
 *   command.c what each command does
 *   log.c     the error log and the interrupts
 *
 * Everything runs under QEMU's big lock: registers in the thread of a virtual CPU, all else
 * in a timer of the virtual clock (engine.c), a bounded amount of it each time. A register
 * never works on commands, faults, or shootdowns itself; it lets the timer expire.
 *
 * Whatever the guest writes is taken as malicious. Nothing here is indexed, allocated, or
 * repeated by a number from the guest that was not checked against a limit.
 */
#ifndef XGPU_H
#define XGPU_H

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "qemu/timer.h"

#include "../../../drivers/xen/xgpu/xgpu_hw.h"

#define XGPU_TLB_SETS		64
#define XGPU_TLB_WAYS		4
#define XGPU_TLB_SIZE		(XGPU_TLB_SETS * XGPU_TLB_WAYS)

/* A command works on this many bytes at a time, at most, and within one page of each side. */
#define XGPU_PIECE		65536
/* Shootdowns that the device has taken from the queue and not yet completed */
#define XGPU_SHOOTING		64
/* Stale hits of entries that were evicted since; those of more pages stay in the count. */
#define XGPU_EVICTED		512

/* Where a translation leads */
struct xgpu_place {
	uint64_t addr;
	bool vram;
};

struct xgpu_tlb_entry {
	uint64_t va;		/* of the page's first byte */
	struct xgpu_place place;
	uint8_t shift;		/* log2 of the page's size; 0: no entry */
	bool write;
	uint64_t stale;		/* stale hits that no shootdown followed yet */
};

/* Stale hits of an entry that has been evicted */
struct xgpu_evicted {
	uint64_t va, last;
	uint64_t stale;
};

/* Counters of the device and of each context are the same but for what only one has. */
struct xgpu_counters {
	uint64_t commands, bytes_read, bytes_written, tlb_hits, tlb_misses, walks, faults;
	uint64_t replays, fails, shootdowns, stale, stale_pending, dma_errors, bad_commands;
	uint64_t bad_ptes, errors_lost, interrupts, bad_answers;
};

enum xgpu_phase {
	XGPU_OFF,		/* not enabled */
	XGPU_IDLE,
	XGPU_BEGIN,		/* a command is going to be fetched */
	XGPU_RUN,		/* its next piece is going to be translated */
	XGPU_PIECE_UNDER_WAY,	/* translated, to be accessed when due */
	XGPU_FAULTING,		/* it missed, and reports that when due */
	XGPU_FAULT_HELD,	/* ... but the queue is full */
	XGPU_STALLED,		/* reported: waits for the answer */
	XGPU_FAILING,		/* answered with FAIL */
	XGPU_HUNG,
	XGPU_DEAD,
};

/* The command that a context is at, as fetched once: the guest cannot change it meanwhile. */
struct xgpu_op {
	uint16_t op, flags;
	uint32_t cookie;
	uint64_t dst, src, len, value;
};

struct xgpu_ctx {
	uint16_t id;
	enum xgpu_phase phase;
	uint64_t due;		/* ns: when the phase goes on */

	uint32_t control, ring_log2, head, tail;
	uint64_t pt_root, ring_base, record_base, fence;

	struct xgpu_op cmd;
	uint64_t pos;		/* bytes of it that are done */
	bool storing;		/* CHECKSUM: all summed, the result is to be stored */
	uint64_t result;
	uint64_t word, words;	/* CHECKSUM: the word that is not complete, its index */
	uint32_t word_bytes;

	uint32_t piece;		/* bytes of the piece under way */
	struct xgpu_place src, dst;
	uint64_t pieces_begun, pieces_done;

	/* The first command that failed since the last fence */
	uint32_t err_status, err_index;
	uint64_t err_va, err_result, last_result;

	uint32_t stall_id, stall_flags, stall_pages;
	uint64_t stall_va, stall_time;

	struct xgpu_tlb_entry tlb[XGPU_TLB_SETS][XGPU_TLB_WAYS];
	uint8_t tlb_next[XGPU_TLB_SETS];
	struct xgpu_evicted evicted[XGPU_EVICTED];
	unsigned int nr_evicted;

	struct xgpu_counters cnt;
};

/* A shootdown that was taken from the queue */
struct xgpu_shooting {
	uint64_t first, last, seq;
	uint64_t due;
	struct xgpu_ctx *c;	/* NULL: malformed, only its seq counts */
	bool interrupt, dropped;
	uint64_t pieces;	/* of the context, that have to be done first */
};

struct xgpu {
	PCIDevice pci;
	MemoryRegion regs, vram;
	QEMUTimer timer;

	/* Properties */
	uint64_t vram_size;
	uint32_t dma_bits;
	bool stale_check_default;

	/* The device accesses memory or sends a message: its registers cannot be written. */
	bool accessing;
	/* Reset while it did: done before anything else is. */
	bool clear_wanted;
	/* Unplugged, maybe while it did */
	bool gone;

	uint32_t control, int_status, int_enable;
	uint64_t fence_pending[XGPU_CONTEXTS / 64];

	uint64_t fault_base;
	uint32_t fault_log2, fault_head, fault_tail, fault_overflow;
	uint32_t answer_low, next_stall;

	uint64_t shoot_base, shoot_done, shoot_done_addr;
	uint32_t shoot_log2, shoot_head, shoot_tail, shoot_control;
	struct xgpu_shooting shooting[XGPU_SHOOTING];
	unsigned int shooting_first, nr_shooting;

	uint32_t lat_command, lat_kib, lat_shootdown, lat_fault;
	uint32_t fail_phys;
	bool silent;
	uint32_t stale_check;

	uint64_t scan_first, scan_last;
	uint32_t scan_context, scan_stale, scan_cached, scan_status;

	struct xgpu_error errors[XGPU_ERROR_ENTRIES];
	uint32_t error_head, error_tail;

	struct xgpu_counters cnt;

	struct xgpu_ctx ctx[XGPU_CONTEXTS];
	unsigned int turn;	/* the context that the timer begins with */

	uint8_t buf[2][XGPU_PIECE];
};

/* An event counts for the device and for the context where it happens. */
#define xgpu_count(s, c, what, n)			\
	do {						\
		(s)->cnt.what += (n);			\
		if (c)					\
			(c)->cnt.what += (n);		\
	} while (0)

/* device.c */
void xgpu_clear(struct xgpu *s, bool vram);

/* regs.c */
extern const MemoryRegionOps xgpu_reg_ops;

/* memory.c */
bool xgpu_dma(struct xgpu *s, struct xgpu_ctx *c, uint64_t addr, uint64_t va, void *buf,
	      uint32_t len, bool write);
bool xgpu_dma_quietly(struct xgpu *s, uint64_t addr, void *buf, uint32_t len);
bool xgpu_vram_holds(struct xgpu *s, uint64_t offset, uint64_t len);
bool xgpu_access(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_place *p, uint64_t va,
		 void *buf, uint32_t len, bool write);
bool xgpu_atomic_add(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_place *p, uint64_t va,
		     uint64_t value, uint64_t *before);

/* walk.c */
enum xgpu_walk {
	XGPU_WALK_OK,
	XGPU_WALK_MISS,		/* no valid entry */
	XGPU_WALK_PERMISSION,	/* one that may not be written */
	XGPU_WALK_REFUSED,	/* a table cannot be read, or is outside video memory */
	XGPU_WALK_MALFORMED,
};

/* What a walk finds: a page */
struct xgpu_leaf {
	struct xgpu_place place;	/* of the page's first byte */
	uint8_t shift, level;		/* level: where the walk ended, also without a page */
	bool write;
};

enum xgpu_walk xgpu_walk(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, struct xgpu_leaf *leaf);
enum xgpu_walk xgpu_walk_quietly(struct xgpu *s, struct xgpu_ctx *c, uint64_t va,
				 struct xgpu_leaf *leaf);

/* tlb.c */
enum xgpu_walk xgpu_translate(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, bool write,
			      struct xgpu_place *place, uint64_t *left, uint8_t *level);
void xgpu_tlb_drop(struct xgpu_ctx *c, uint64_t first, uint64_t last);
void xgpu_tlb_forgive(struct xgpu *s, struct xgpu_ctx *c, uint64_t first, uint64_t last);
void xgpu_tlb_scan(struct xgpu *s);

/* shoot.c */
void xgpu_shoot_run(struct xgpu *s, uint64_t now);
bool xgpu_shoot_pending(struct xgpu *s, struct xgpu_ctx *c, uint64_t va);
uint64_t xgpu_shoot_due(struct xgpu *s);

/* fault.c */
void xgpu_fault_begin(struct xgpu *s, struct xgpu_ctx *c, enum xgpu_walk why, uint64_t va,
		      bool write, uint8_t level, uint64_t left);
void xgpu_fault_report(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_fault_room(struct xgpu *s);
void xgpu_fault_answer(struct xgpu *s, uint64_t answer);

/* engine.c */
uint64_t xgpu_now(void);
void xgpu_kick(struct xgpu *s);
void xgpu_timer(void *opaque);
void xgpu_ctx_enable(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_ctx_stop(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_ctx_doorbell(struct xgpu *s, struct xgpu_ctx *c, uint32_t tail);
void xgpu_complete(struct xgpu *s, struct xgpu_ctx *c, uint32_t status, uint64_t va);

/* command.c */
bool xgpu_command_fetch(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_command_begin(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_command_next(struct xgpu *s, struct xgpu_ctx *c);
void xgpu_command_piece(struct xgpu *s, struct xgpu_ctx *c);

/* log.c */
void xgpu_irq(struct xgpu *s, unsigned int irq);
void xgpu_irq_update(struct xgpu *s, uint32_t newly);
void xgpu_error(struct xgpu *s, struct xgpu_ctx *c, uint16_t type, uint64_t address, uint64_t va,
		uint64_t info);

#endif
