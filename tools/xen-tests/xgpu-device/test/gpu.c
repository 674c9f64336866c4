// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

#define REGS_AT		0xe0000000ULL
#define VRAM_AT		0xe8000000ULL
#define SLOT		5
#define PORT		4	/* slot of the root port, if there is one */
#define ALLOC_FROM	0x200000

int gpu_start(struct gpu *g, const struct gpu_machine *m)
{
	char device[2][256];
	const char *args[16];
	unsigned int n = 0, i;

	*g = (struct gpu){
		.bus = m->port,
		.slot = m->port ? 0 : SLOT,
		.free = ALLOC_FROM,
	};
	args[n++] = "-m";
	args[n++] = "64";
	args[n++] = "-machine";
	args[n++] = "q35";
	if (m->iommu) {
		args[n++] = "-device";
		args[n++] = "intel-iommu,aw-bits=48";
	}
	if (m->port) {
		args[n++] = "-global";
		args[n++] = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
		args[n++] = "-device";
		args[n++] = "pcie-root-port,id=rp,slot=1,addr=4";
	}
	for (i = 0; i < (m->two ? 2 : 1); i++) {
		snprintf(device[i], sizeof(device[i]), "xgpu,addr=0x%x,vram=4M%s%s", g->slot + i,
			 m->port ? ",bus=rp" : "", m->more ? m->more : "");
		args[n++] = "-device";
		args[n++] = device[i];
	}
	args[n] = NULL;
	g->q = malloc(sizeof(*g->q));
	return g->q ? qtest_start(g->q, args) : -ENOMEM;
}

int gpu_stop(struct gpu *g)
{
	int status = g->q ? qtest_stop(g->q) : 0;

	free(g->q);
	g->q = NULL;
	return status;
}

/* ---- configuration space ---- */

static uint32_t config_address(struct gpu *g, unsigned int reg)
{
	return 0x80000000 | g->bus << 16 | g->slot << 11 | (reg & 0xfc);
}

uint32_t gpu_config(struct gpu *g, unsigned int reg)
{
	qtest_outl(g->q, 0xcf8, config_address(g, reg));
	return qtest_inl(g->q, 0xcfc);
}

void gpu_config_write(struct gpu *g, unsigned int reg, uint32_t value)
{
	qtest_outl(g->q, 0xcf8, config_address(g, reg));
	qtest_outl(g->q, 0xcfc, value);
}

unsigned int gpu_capability(struct gpu *g, unsigned int id)
{
	unsigned int at = gpu_config(g, 0x34) & 0xfc, guard = 48;

	while (at && guard--) {
		if ((gpu_config(g, at) & 0xff) == id)
			return at;
		at = gpu_config(g, at) >> 8 & 0xfc;
	}
	return 0;
}

void gpu_pci_init(struct gpu *g)
{
	unsigned int second = g->slot == SLOT + 1;
	struct gpu port = *g;

	if (g->bus) {
		/* What the port passes on: bus 1, and memory from and to */
		port.bus = 0;
		port.slot = PORT;
		gpu_config_write(&port, 0x18, 0x00010100);
		gpu_config_write(&port, 0x20, 0xe7f0e000);
		gpu_config_write(&port, 0x24, 0xebf1e801);
		gpu_config_write(&port, 0x04, 0x6);
	}
	g->regs = REGS_AT + second * 0x100000;
	g->vram = VRAM_AT + second * 0x4000000;
	gpu_config_write(g, 0x10, g->regs);
	gpu_config_write(g, 0x18, g->vram);
	gpu_config_write(g, 0x1c, 0);
	/* Memory space and bus mastering */
	gpu_config_write(g, 0x04, 0x6);
}

void gpu_msi_enable(struct gpu *g, unsigned int log2_vectors)
{
	unsigned int at = gpu_capability(g, 0x05);
	/* With a 64-bit address, the data is behind its upper half. */
	unsigned int data = gpu_config(g, at) & 0x00800000 ? 0xc : 0x8;

	gpu_config_write(g, at + 4, GPU_MSI_ADDR);
	if (data == 0xc)
		gpu_config_write(g, at + 8, 0);
	gpu_config_write(g, at + data, GPU_MSI_DATA);
	gpu_config_write(g, at, (1 | log2_vectors << 4) << 16);
}

int gpu_msi_vector(struct gpu *g)
{
	uint32_t data = qtest_readl(g->q, GPU_MSI_ADDR);

	qtest_writel(g->q, GPU_MSI_ADDR, 0);
	return data ? (int)(data - GPU_MSI_DATA) : -1;
}

/* ---- registers and memory ---- */

uint32_t gpu_read(struct gpu *g, unsigned int reg)
{
	return qtest_readl(g->q, g->regs + reg);
}

uint64_t gpu_read64(struct gpu *g, unsigned int reg)
{
	return qtest_readq(g->q, g->regs + reg);
}

void gpu_write(struct gpu *g, unsigned int reg, uint32_t value)
{
	qtest_writel(g->q, g->regs + reg, value);
}

void gpu_write64(struct gpu *g, unsigned int reg, uint64_t value)
{
	qtest_writeq(g->q, g->regs + reg, value);
}

static uint64_t take(uint64_t *from, uint64_t limit, size_t len)
{
	uint64_t size = 4096, at;

	while (size < len)
		size *= 2;
	at = (*from + size - 1) & ~(size - 1);
	*from = at + size;
	if (*from > limit) {
		fprintf(stderr, "# the test needs more memory than there is\n");
		abort();
	}
	return at;
}

uint64_t gpu_alloc(struct gpu *g, size_t len)
{
	return take(&g->free, GPU_RAM, len);
}

uint64_t gpu_alloc_vram(struct gpu *g, size_t len)
{
	return take(&g->vram_free, GPU_VRAM, len);
}

void gpu_init(struct gpu *g)
{
	g->faults = gpu_alloc(g, sizeof(struct xgpu_fault) << GPU_FAULT_LOG2);
	g->shoots = gpu_alloc(g, sizeof(struct xgpu_shootdown) << GPU_SHOOT_LOG2);
	g->done = gpu_alloc(g, 8);
	g->shoot_tail = 0;
	gpu_write64(g, XGPU_FAULT_BASE, g->faults);
	gpu_write(g, XGPU_FAULT_LOG2, GPU_FAULT_LOG2);
	gpu_write64(g, XGPU_SHOOT_BASE, g->shoots);
	gpu_write(g, XGPU_SHOOT_LOG2, GPU_SHOOT_LOG2);
	gpu_write64(g, XGPU_SHOOT_DONE_ADDR, g->done);
	gpu_write(g, XGPU_SHOOT_CONTROL, XGPU_SHOOT_PUBLISH);
	gpu_write(g, XGPU_INT_ENABLE, (1 << XGPU_IRQS) - 1);
	gpu_write(g, XGPU_CONTROL, XGPU_CONTROL_ENABLE);
}

/* ---- contexts ---- */

void gpu_ctx_init(struct gpu *g, struct gpu_ctx *c, unsigned int id, uint32_t control)
{
	bool vram = c->tables_in_vram;

	*c = (struct gpu_ctx){ .g = g, .id = id, .tables_in_vram = vram };
	c->ring = gpu_alloc(g, sizeof(struct xgpu_cmd) << GPU_RING_LOG2);
	c->records = gpu_alloc(g, sizeof(struct xgpu_record) << GPU_RING_LOG2);
	c->fence = gpu_alloc(g, sizeof(struct xgpu_fence));
	c->root = vram ? gpu_alloc_vram(g, 4096) : gpu_alloc(g, 4096);
	gpu_write64(g, XGPU_CTX(id, XGPU_CTX_PT_ROOT),
		    c->root | XGPU_PTE_VALID | (vram ? XGPU_PTE_VRAM : 0));
	gpu_write64(g, XGPU_CTX(id, XGPU_CTX_RING_BASE), c->ring);
	gpu_write(g, XGPU_CTX(id, XGPU_CTX_RING_LOG2), GPU_RING_LOG2);
	gpu_write64(g, XGPU_CTX(id, XGPU_CTX_RECORD_BASE), c->records);
	gpu_write(g, XGPU_CTX(id, XGPU_CTX_CONTROL), control | XGPU_CTX_ENABLE | XGPU_CTX_RECORDS);
}

/* As an address of the machine, for the test itself */
static uint64_t table_at(struct gpu_ctx *c, uint64_t entry)
{
	uint64_t addr = entry & XGPU_PTE_ADDR;

	return entry & XGPU_PTE_VRAM ? c->g->vram + addr : addr;
}

uint64_t gpu_entry(struct gpu_ctx *c, uint64_t va, unsigned int level)
{
	uint64_t loc = c->tables_in_vram ? XGPU_PTE_VRAM : 0, entry = c->root | loc, at, next;
	unsigned int l;

	for (l = XGPU_PT_LEVELS - 1;; l--) {
		at = table_at(c, entry) + XGPU_PT_INDEX(va, l) * 8;
		if (l == level)
			return at;
		next = qtest_readq(c->g->q, at);
		if (!(next & XGPU_PTE_VALID)) {
			next = (loc ? gpu_alloc_vram(c->g, 4096) : gpu_alloc(c->g, 4096)) | loc |
			       XGPU_PTE_VALID;
			qtest_writeq(c->g->q, at, next);
		}
		entry = next;
	}
}

void gpu_set_entry(struct gpu_ctx *c, uint64_t va, unsigned int level, uint64_t entry)
{
	qtest_writeq(c->g->q, gpu_entry(c, va, level), entry);
}

void gpu_map(struct gpu_ctx *c, uint64_t va, uint64_t addr, size_t len, uint64_t flags)
{
	size_t at;

	for (at = 0; at < len; at += 4096)
		gpu_set_entry(c, va + at, 0, (addr + at) | flags | XGPU_PTE_VALID);
}

uint32_t gpu_put(struct gpu_ctx *c, const struct xgpu_cmd *cmd)
{
	uint32_t entry = c->tail & ((1u << GPU_RING_LOG2) - 1);

	qtest_write(c->g->q, c->ring + entry * sizeof(*cmd), cmd, sizeof(*cmd));
	return c->tail++;
}

void gpu_ring(struct gpu_ctx *c)
{
	gpu_write(c->g, XGPU_CTX(c->id, XGPU_CTX_RING_TAIL), c->tail);
}

bool gpu_wait(struct gpu_ctx *c, uint64_t ns)
{
	uint64_t end = gpu_read64(c->g, XGPU_TIME) + ns;

	for (;;) {
		if (gpu_read(c->g, XGPU_CTX(c->id, XGPU_CTX_RING_HEAD)) == c->tail)
			return true;
		if (gpu_read64(c->g, XGPU_TIME) >= end)
			return false;
		qtest_step(c->g->q, 20000);
	}
}

struct xgpu_record gpu_record(struct gpu_ctx *c, uint32_t index)
{
	struct xgpu_record r;

	qtest_read(c->g->q, c->records + (index & ((1u << GPU_RING_LOG2) - 1)) * sizeof(r), &r,
		   sizeof(r));
	return r;
}

int gpu_run(struct gpu_ctx *c, const struct xgpu_cmd *cmd)
{
	uint32_t index = gpu_put(c, cmd);
	struct xgpu_record r;

	gpu_ring(c);
	if (!gpu_wait(c, 10 * 1000 * 1000))
		return -1;
	r = gpu_record(c, index);
	return r.index == index + 1 ? (int)r.status : -1;
}

/* ---- queues ---- */

void gpu_shoot(struct gpu *g, unsigned int context, uint64_t first, uint64_t last, uint64_t seq,
	       unsigned int flags)
{
	struct xgpu_shootdown s = {
		.first = first,
		.last = last,
		.seq = seq,
		.context = context,
		.flags = flags,
	};
	uint32_t entry = g->shoot_tail++ & ((1u << GPU_SHOOT_LOG2) - 1);

	qtest_write(g->q, g->shoots + entry * sizeof(s), &s, sizeof(s));
	gpu_write(g, XGPU_SHOOT_TAIL, g->shoot_tail);
}

bool gpu_fault(struct gpu *g, struct xgpu_fault *f)
{
	uint32_t head = gpu_read(g, XGPU_FAULT_HEAD);

	if (head == gpu_read(g, XGPU_FAULT_TAIL))
		return false;
	qtest_read(g->q, g->faults + (head & ((1u << GPU_FAULT_LOG2) - 1)) * sizeof(*f), f,
		   sizeof(*f));
	gpu_write(g, XGPU_FAULT_HEAD, head + 1);
	return true;
}

void gpu_answer(struct gpu *g, uint32_t stall, uint64_t action)
{
	gpu_write64(g, XGPU_FAULT_ANSWER, (uint64_t)stall << XGPU_ANSWER_STALL_SHIFT | action);
}

bool gpu_error(struct gpu *g, struct xgpu_error *e)
{
	uint32_t head = gpu_read(g, XGPU_ERROR_HEAD);
	unsigned int at = XGPU_ERROR_LOG + head % XGPU_ERROR_ENTRIES * sizeof(*e);

	if (head == gpu_read(g, XGPU_ERROR_TAIL))
		return false;
	qtest_read(g->q, g->regs + at, e, sizeof(*e));
	gpu_write(g, XGPU_ERROR_HEAD, head + 1);
	return true;
}

uint64_t gpu_checksum(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t sum = 0, word;
	size_t i, n;

	for (i = 0; i * 8 < len; i++) {
		n = len - i * 8 < 8 ? len - i * 8 : 8;
		word = 0;
		memcpy(&word, p + i * 8, n);
		sum += word * (2 * i + 1);
	}
	return sum;
}

/* ---- VT-d, as much as there has to be ---- */

#define VTD		0xfed90000ULL
#define VTD_GCMD	0x18
#define VTD_RTADDR	0x20
#define VTD_CCMD	0x28
#define VTD_IOTLB	0xf8
/* The tables of the IOMMU, below what gpu_alloc() gives */
#define VTD_ROOT	0x100000ULL
#define VTD_CONTEXT	0x101000ULL
#define VTD_TABLES	0x102000ULL

static void iommu_flush(struct gpu *g)
{
	qtest_writeq(g->q, VTD + VTD_CCMD, 1ULL << 63 | 1ULL << 61);
	qtest_writeq(g->q, VTD + VTD_IOTLB, 1ULL << 63 | 1ULL << 60);
}

/* One table of each of the upper levels reaches all of the memory of the machine. */
void gpu_iommu_on(struct gpu *g)
{
	uint64_t level;

	qtest_set(g->q, VTD_ROOT, 0, ALLOC_FROM - VTD_ROOT);
	qtest_writeq(g->q, VTD_ROOT, VTD_CONTEXT | 1);
	/* Second-level translation, 4 levels, domain 1 */
	qtest_writeq(g->q, VTD_CONTEXT + g->slot * 8 * 16, VTD_TABLES | 1);
	qtest_writeq(g->q, VTD_CONTEXT + g->slot * 8 * 16 + 8, 2 | 1 << 8);
	for (level = 0; level < 2; level++)
		qtest_writeq(g->q, VTD_TABLES + level * 0x1000,
			     (VTD_TABLES + (level + 1) * 0x1000) | 3);
	for (level = 0; level < GPU_RAM >> 21; level++)
		qtest_writeq(g->q, VTD_TABLES + 0x2000 + level * 8,
			     (VTD_TABLES + (level + 3) * 0x1000) | 3);
	qtest_writeq(g->q, VTD + VTD_RTADDR, VTD_ROOT);
	qtest_writel(g->q, VTD + VTD_GCMD, 1u << 30);
	qtest_writel(g->q, VTD + VTD_GCMD, 1u << 31);
	iommu_flush(g);
}

static void iommu_set(struct gpu *g, uint64_t addr, size_t len, uint64_t flags)
{
	uint64_t at;

	for (at = addr & ~0xfffULL; at < addr + len; at += 4096)
		qtest_writeq(g->q, VTD_TABLES + 0x3000 + (at >> 12) * 8, flags ? at | flags : 0);
	iommu_flush(g);
}

void gpu_iommu_map(struct gpu *g, uint64_t addr, size_t len, bool write)
{
	iommu_set(g, addr, len, write ? 3 : 1);
}

void gpu_iommu_unmap(struct gpu *g, uint64_t addr, size_t len)
{
	iommu_set(g, addr, len, 0);
}
