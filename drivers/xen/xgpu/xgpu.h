/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Driver of the xgpu device: what its files share.
 *
 *	pci.c		the device comes and goes; interrupts
 *	hw.c		registers, the queues of faults and shootdowns, the error log
 *	reset.c		a device that does not answer
 *	engine.c	context 0: the driver's own copies between video memory and the system's
 *	table.c		a context's page table
 *	mirror.c	the driver's side of <linux/device_mirror.h>: table, shootdown, faults
 *	peer.c		other devices in its video memory
 *	context.c	contexts of processes: rings, fences, hangs
 *	file.c		/dev/xgpuN
 *
 * Objects
 *
 *	struct xgpu is the device. It lives until the driver lets it go and the last file is
 *	closed (ref). struct xgpu_ctx is an open file. What of it belongs to the hardware
 *	(ring, table, mirror) goes with the file or with the device, whichever is first; after
 *	that the file is an empty shell that says ENODEV.
 *
 * Locks, outermost first
 *
 *	ctx->gone_lock	rw_semaphore: read by every call on the file; written by whoever takes
 *			the hardware's part away. Who waits for work under it gives up when
 *			ctx->dead; whoever waits for memory there (prefetch, a copy from the
 *			user) has to be killed.
 *	engine.lock	mutex: one copy after the other. Taken in faults of CPUs, so nothing
 *			is allocated under it.
 *	reset_lock	mutex: resets, and contexts that start or stop.
 *	scan_lock	mutex: registers that need several accesses.
 *	(window lock of a mirror)
 *	lock		spinlock, taken by interrupts: the array of contexts, the fault queue,
 *			resets.
 *	ctx->lock	spinlock: ring and fences of a context.
 *	engine.ring_lock spinlock: the engine's ring.
 *	shoot_lock	spinlock: the queue of shootdowns.
 */
#ifndef _XGPU_H
#define _XGPU_H

#include <linux/completion.h>
#include <linux/device_mirror.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <uapi/xen/xgpu.h>

#include "xgpu_hw.h"

#define XGPU_FAULT_LOG2_DEFAULT 8
#define XGPU_SHOOT_LOG2_DEFAULT 10
#define XGPU_RING_LOG2_DEFAULT 8
#define XGPU_RING_ENTRIES BIT(XGPU_RING_LOG2_DEFAULT)

#define XGPU_NO_PROGRESS U64_MAX /* not looked at yet */

/* A ring of commands in memory, and where their fences go */
struct xgpu_ring {
	struct xgpu_cmd *cmds;
	dma_addr_t cmds_dma;
	struct xgpu_fence *fences; /* XGPU_FENCES_KEPT */
	dma_addr_t fences_dma;
	u32 tail;
};

struct xgpu_engine {
	struct mutex lock; /* one copy after the other */
	spinlock_t ring_lock; /* ring: a reset begins it anew */
	wait_queue_head_t wait;
	struct xgpu_ring ring;
	unsigned int resets; /* xgpu->resets when the ring began */
	u64 seq;
};

struct xgpu_table;

struct xgpu {
	struct kref ref;
	struct pci_dev *pdev;
	struct miscdevice misc;
	char name[16];
	int number;
	void __iomem *regs;
	u64 vram_size;
	int nr_vectors;
	bool dead; /* no contexts any more */
	bool lost; /* the device does not answer at all */

	struct device_memory memory;
	bool has_memory;
	bool vram_lost; /* what is in it is not what was put there; under reset_lock */
	struct work_struct vram_work;

	spinlock_t lock; /* ctx, faults */
	struct xgpu_ctx *ctx[XGPU_CONTEXTS];
	struct xgpu_fault *faults;
	dma_addr_t faults_dma;
	u32 fault_head;
	struct workqueue_struct *wq;

	spinlock_t shoot_lock; /* shoots */
	struct xgpu_shootdown *shoots;
	dma_addr_t shoots_dma;
	__le64 *shoot_done;
	u32 shoot_tail;
	u64 shoot_seq;
	u64 shoot_forced; /* a reset has made these complete */
	wait_queue_head_t shoot_wait;

	struct mutex reset_lock; /* resets; contexts start and stop */
	unsigned int resets;
	struct mutex scan_lock; /* XGPU_SCAN_* */
	struct work_struct error_work;

	struct xgpu_engine engine;
};

/* How a fence ended, or where it is */
struct xgpu_result {
	u32 status;
	u32 work;
	u32 first; /* index of its first command in the ring */
	u64 result;
	u64 fault;
};

struct xgpu_ctx {
	struct kref ref; /* the file, and xgpu_remove() while it looks at it */
	struct xgpu *xgpu;
	struct rw_semaphore gone_lock;
	bool dead; /* no more work, faults, waiting */
	bool gone; /* nothing of the hardware is left */
	u16 id;

	struct device_mirror mirror;
	struct xgpu_table *table;
	struct mutex table_lock; /* tables are added */

	spinlock_t lock; /* ring to results */
	struct xgpu_ring ring;
	u64 submitted;
	u64 completed;
	struct xgpu_result results[XGPU_FENCES_KEPT];
	wait_queue_head_t wait;

	struct kthread_worker *worker; /* a task, so that waiting for a page can be ended */
	struct kthread_work fault_work;
	struct xgpu_fault fault; /* under xgpu->lock. One at a time: the context is stalled */
	unsigned int fault_resets; /* xgpu->resets when it came */
	atomic_t answers;
	struct delayed_work watchdog;
	u64 progress; /* when the watchdog looked last, or XGPU_NO_PROGRESS */
};

static inline struct device *xgpu_dev(const struct xgpu *xgpu)
{
	return &xgpu->pdev->dev;
}

static inline u32 xgpu_read(const struct xgpu *xgpu, u32 reg)
{
	return readl(xgpu->regs + reg);
}

/* Registers of 64 bits, low half first: the high half is what makes something happen. */
static inline u64 xgpu_read64(const struct xgpu *xgpu, u32 reg)
{
	u32 low = readl(xgpu->regs + reg);

	return low | (u64)readl(xgpu->regs + reg + sizeof(low)) << 32;
}

static inline void xgpu_write(struct xgpu *xgpu, u32 reg, u32 value)
{
	writel(value, xgpu->regs + reg);
}

static inline void xgpu_write64(struct xgpu *xgpu, u32 reg, u64 value)
{
	writel(lower_32_bits(value), xgpu->regs + reg);
	writel(upper_32_bits(value), xgpu->regs + reg + sizeof(u32));
}

/* pci.c */
void xgpu_get(struct xgpu *xgpu);
void xgpu_put(struct xgpu *xgpu);

/* hw.c */
int xgpu_queues_alloc(struct xgpu *xgpu);
void xgpu_queues_free(struct xgpu *xgpu);
void xgpu_hw_start(struct xgpu *xgpu, bool again);
void xgpu_hw_stop(struct xgpu *xgpu);
irqreturn_t xgpu_interrupt(int irq, void *data);
void xgpu_error_work(struct work_struct *work);
void xgpu_answer(struct xgpu *xgpu, u16 context, u32 stall, unsigned int resets, bool replay);
u64 xgpu_shoot_start(struct xgpu *xgpu, u16 context, u64 first, u64 last);
void xgpu_shoot_finish(struct xgpu *xgpu, u16 context, u64 first, u64 last, u64 seq);
void xgpu_scan(struct xgpu *xgpu, u16 context, u32 *stale, u32 *cached);

/* reset.c */
void xgpu_reset(struct xgpu *xgpu, unsigned int seen, const char *why);
void xgpu_vram_resume(struct xgpu *xgpu);
void xgpu_vram_work(struct work_struct *work);
unsigned long xgpu_timeout(void);
bool xgpu_is_lost(struct xgpu *xgpu);
void xgpu_isolate_lost(struct xgpu *xgpu);
bool xgpu_was_reset(struct xgpu *xgpu);

/* engine.c */
int xgpu_engine_init(struct xgpu *xgpu);
void xgpu_engine_free(struct xgpu *xgpu);
void xgpu_engine_start(struct xgpu *xgpu);
extern const struct device_memory_ops xgpu_memory_ops;

/* table.c */
int xgpu_table_init(struct xgpu_ctx *ctx);
void xgpu_table_free(struct xgpu_ctx *ctx);
u64 xgpu_table_root(const struct xgpu_ctx *ctx);
int xgpu_table_prepare(struct xgpu_ctx *ctx, unsigned long addr);
void xgpu_table_map(struct xgpu_ctx *ctx, const struct device_mirror_run *run);
void xgpu_table_clear(struct xgpu_ctx *ctx, unsigned long start, unsigned long end);

/* mirror.c */
extern const struct device_mirror_ops xgpu_mirror_ops;
void xgpu_fault_work(struct kthread_work *work);

/* peer.c */
dma_addr_t xgpu_peer_map(struct device_memory *memory, struct device *dev, u64 offset,
			 unsigned int *order);
void xgpu_peer_unmap(struct device_memory *memory, struct device *dev, dma_addr_t address,
		     unsigned int order);

/* context.c */
int xgpu_ring_alloc(struct xgpu *xgpu, struct xgpu_ring *ring);
void xgpu_ring_free(struct xgpu *xgpu, struct xgpu_ring *ring);
void xgpu_ring_push(struct xgpu_ring *ring, const struct xgpu_cmd *cmd);
void xgpu_ring_push_fence(struct xgpu_ring *ring, u64 seq);
struct xgpu_ctx *xgpu_ctx_new(struct xgpu *xgpu);
void xgpu_ctx_put(struct xgpu_ctx *ctx);
void xgpu_ctx_gone(struct xgpu_ctx *ctx);
void xgpu_ctx_start(struct xgpu_ctx *ctx);
void xgpu_ctx_lose(struct xgpu_ctx *ctx, u32 status);
void xgpu_ctx_harvest(struct xgpu_ctx *ctx);
u64 xgpu_ctx_next_fence(struct xgpu_ctx *ctx);
int xgpu_ctx_submit(struct xgpu_ctx *ctx, const struct xgpu_work *work, unsigned int nr,
		    bool nonblock, u64 fence);
int xgpu_ctx_wait(struct xgpu_ctx *ctx, struct xgpu_wait *wait);

/* file.c */
extern const struct file_operations xgpu_fops;

#endif
