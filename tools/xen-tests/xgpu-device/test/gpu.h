/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver as small as can be, for the tests of the device: it has a machine (qtest.h) with
 * one GPU or two, and memory from which it takes pages and never gives any back.
 */
#ifndef XGPU_TEST_GPU_H
#define XGPU_TEST_GPU_H

#include "qtest.h"
#include "../../../../drivers/xen/xgpu/xgpu_hw.h"

#define GPU_VRAM	(4 << 20)
#define GPU_RAM		(64 << 20)
#define GPU_RING_LOG2	4
#define GPU_FAULT_LOG2	3
#define GPU_SHOOT_LOG2	6

/* Where the message of an interrupt goes: the vector is written there, plus GPU_MSI_DATA. */
#define GPU_MSI_ADDR	0x1000
#define GPU_MSI_DATA	0x4100

struct gpu {
	struct qtest *q;	/* two GPUs of a machine share it */
	unsigned int bus, slot;
	uint64_t regs, vram;	/* the BARs */
	uint64_t free;		/* memory from here on is not used */
	uint64_t vram_free;
	uint64_t faults, shoots, done;
	uint32_t shoot_tail;
};

/* A context: its ring, records, page table; pages that it maps */
struct gpu_ctx {
	struct gpu *g;
	unsigned int id;
	uint64_t ring, records, root, fence;
	uint32_t tail;
	bool tables_in_vram;
};

struct gpu_machine {
	const char *more;	/* other properties, with a comma in front */
	bool iommu;
	bool two;		/* another GPU in the next slot */
	bool port;		/* behind a root port */
};

int gpu_start(struct gpu *g, const struct gpu_machine *m);
int gpu_stop(struct gpu *g);
/* BARs, bus mastering; and the queues, and CONTROL.ENABLE */
void gpu_pci_init(struct gpu *g);
void gpu_init(struct gpu *g);

uint32_t gpu_config(struct gpu *g, unsigned int reg);
void gpu_config_write(struct gpu *g, unsigned int reg, uint32_t value);
/* Offset of a capability in configuration space, 0: none */
unsigned int gpu_capability(struct gpu *g, unsigned int id);
void gpu_msi_enable(struct gpu *g, unsigned int log2_vectors);
/* The vector of the last message since the last time, -1: none came */
int gpu_msi_vector(struct gpu *g);

uint32_t gpu_read(struct gpu *g, unsigned int reg);
uint64_t gpu_read64(struct gpu *g, unsigned int reg);
void gpu_write(struct gpu *g, unsigned int reg, uint32_t value);
void gpu_write64(struct gpu *g, unsigned int reg, uint64_t value);

/* Zeroed system memory, aligned to its size rounded up to a power of 2 */
uint64_t gpu_alloc(struct gpu *g, size_t len);
uint64_t gpu_alloc_vram(struct gpu *g, size_t len);

void gpu_ctx_init(struct gpu *g, struct gpu_ctx *c, unsigned int id, uint32_t control);
/* Set the entry of the level for the address; tables are made on the way. */
void gpu_set_entry(struct gpu_ctx *c, uint64_t va, unsigned int level, uint64_t entry);
/* Where that entry is; in video memory if the tables are */
uint64_t gpu_entry(struct gpu_ctx *c, uint64_t va, unsigned int level);
void gpu_map(struct gpu_ctx *c, uint64_t va, uint64_t addr, size_t len, uint64_t flags);

/* Put a command into the ring; its index. Then ring the doorbell. */
uint32_t gpu_put(struct gpu_ctx *c, const struct xgpu_cmd *cmd);
void gpu_ring(struct gpu_ctx *c);
/* The same, and wait (time goes on), until it is complete or the time is over */
bool gpu_wait(struct gpu_ctx *c, uint64_t ns);
struct xgpu_record gpu_record(struct gpu_ctx *c, uint32_t index);
/* Put, ring, wait 1 s, the record's status; -1: it did not complete */
int gpu_run(struct gpu_ctx *c, const struct xgpu_cmd *cmd);

/* Put a shootdown in the queue, and ring the doorbell. */
void gpu_shoot(struct gpu *g, unsigned int context, uint64_t first, uint64_t last, uint64_t seq,
	       unsigned int flags);
/* The oldest fault in the queue that was not yet read; false: none */
bool gpu_fault(struct gpu *g, struct xgpu_fault *f);
void gpu_answer(struct gpu *g, uint32_t stall, uint64_t action);
/* The oldest error that was not yet read; false: none */
bool gpu_error(struct gpu *g, struct xgpu_error *e);
uint64_t gpu_checksum(const void *buf, size_t len);

/* VT-d: translation on, nothing reachable; then one page or its opposite */
void gpu_iommu_on(struct gpu *g);
void gpu_iommu_map(struct gpu *g, uint64_t addr, size_t len, bool write);
void gpu_iommu_unmap(struct gpu *g, uint64_t addr, size_t len);

#endif
