// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is refused: by the IOMMU (VT-d; what is not mapped in the test is not to be
 * reached), by the machine, by the device's own reach.
 */
#define GPU_MACHINE .iommu = true, .more = ",dma_bits=40"
#include "fixture.h"

#define EXPECT_REFUSED(g, how, at, v) do {					\
	struct xgpu_error e_;							\
	ASSERT_TRUE(gpu_error(g, &e_));						\
	EXPECT_EQ(e_.type, how);						\
	EXPECT_EQ(e_.address, at);						\
	EXPECT_EQ(e_.va, v);							\
	EXPECT_FALSE(gpu_error(g, &e_));					\
} while (0)

/* Reachable: the ring, the records, the page tables of the context, and nothing else */
static void iommu_for(struct gpu *g, struct gpu_ctx *c)
{
	gpu_iommu_on(g);
	gpu_iommu_map(g, c->ring, 4096, false);
	gpu_iommu_map(g, c->records, 4096, true);
	gpu_iommu_map(g, c->root, g->free - c->root, false);
}

TEST_F(xgpu, read_is_refused_and_allowed)
{
	struct xgpu_cmd cmd = sum_cmd(VA + 8, 8);
	uint64_t page;

	gpu_set_entry(&self->c, VA, 0, 0);
	iommu_for(&self->g, &self->c);
	page = gpu_alloc(&self->g, 4096);
	qtest_writeq(self->g.q, page + 8, 0x4321);
	gpu_map(&self->c, VA, page, 4096, 0);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_record(&self->c, 0).fault_va, VA + 8);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, page + 8, VA + 8);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_DMA_ERRORS), 1);
	/* And VT-d knows that it was us: primary fault pending. */
	EXPECT_EQ(qtest_readl(self->g.q, 0xfed90034) & 2, 2);

	gpu_iommu_map(&self->g, page, 4096, false);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_record(&self->c, 1).result, 0x4321);

	gpu_iommu_unmap(&self->g, page, 4096);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_CNT_DMA_ERRORS)), 2);
}

TEST_F(xgpu, write_is_refused_where_only_reading_is_allowed)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8, 0x66);
	struct xgpu_cmd add = { .op = XGPU_OP_ATOMIC_ADD, .dst = VA, .value = 1 };
	uint64_t page;

	gpu_set_entry(&self->c, VA, 0, 0);
	iommu_for(&self->g, &self->c);
	page = gpu_alloc(&self->g, 4096);
	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	gpu_iommu_map(&self->g, page, 4096, false);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_WRITE, page, VA);
	EXPECT_EQ(gpu_run(&self->c, &add), XGPU_ST_DMA_ERROR);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_WRITE, page, VA);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0);
	gpu_iommu_map(&self->g, page, 4096, true);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_run(&self->c, &add), XGPU_ST_OK);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0x67);
}

TEST_F(xgpu, page_table_is_refused)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	gpu_set_entry(&self->c, VA, 0, 0);
	iommu_for(&self->g, &self->c);
	gpu_iommu_unmap(&self->g, self->c.root, 4096);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, self->c.root + XGPU_PT_INDEX(VA, 3) * 8, VA);
}

TEST_F(xgpu, ring_is_refused)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };
	struct xgpu_error e;

	iommu_for(&self->g, &self->c);
	gpu_iommu_unmap(&self->g, self->c.ring, 4096);
	EXPECT_EQ(gpu_run(&self->c, &nop), -1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_DEAD);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_DMA_READ);
	EXPECT_EQ(e.address, self->c.ring);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_RING);
}

TEST_F(xgpu, fence_is_refused)
{
	struct xgpu_cmd fence = { .op = XGPU_OP_FENCE, .dst = self->c.fence, .value = 5 };

	iommu_for(&self->g, &self->c);
	gpu_iommu_unmap(&self->g, self->c.fence, 4096);
	EXPECT_EQ(gpu_run(&self->c, &fence), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_FENCE)), 0);
	EXPECT_EQ(qtest_readq(self->g.q, self->c.fence), 0);
}

/* The driver cannot answer what it was not told: the command ends. */
TEST_F(xgpu, fault_queue_is_refused)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	gpu_set_entry(&self->c, VA, 0, 0);
	iommu_for(&self->g, &self->c);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_record(&self->c, 0).fault_va, VA);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_TAIL), 0);
}

TEST_F(xgpu, shootdown_queue_is_refused)
{
	iommu_for(&self->g, &self->c);
	gpu_shoot(&self->g, 1, VA, VA, 3, 0);
	qtest_step(self->g.q, MS);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, self->g.shoots, 0);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SHOOT_HEAD), 1);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 0);
}

/* DONE is in the register all the same. */
TEST_F(xgpu, publication_is_refused)
{
	iommu_for(&self->g, &self->c);
	gpu_iommu_map(&self->g, self->g.shoots, 4096, false);
	gpu_shoot(&self->g, 1, VA, VA, 3, 0);
	qtest_step(self->g.q, MS);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_WRITE, self->g.done, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 3);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.done), 0);
}

/* A missing shootdown, as it shows: the frame was given back, and the IOMMU refuses. */
TEST_F(xgpu, stale_translation_is_refused_by_the_iommu)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	uint64_t page;

	gpu_set_entry(&self->c, VA, 0, 0);
	iommu_for(&self->g, &self->c);
	page = gpu_alloc(&self->g, 4096);
	gpu_map(&self->c, VA, page, 4096, 0);
	gpu_iommu_map(&self->g, page, 4096, false);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	gpu_set_entry(&self->c, VA, 0, 0);
	gpu_iommu_unmap(&self->g, page, 4096);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_STALE), 1);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, page, VA);
}

TEST_F(xgpu, beyond_the_reach_of_the_device)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	/* Its own video memory, for want of other memory at such addresses */
	EXPECT_EQ(gpu_read(&self->g, XGPU_DMA_BITS), 40);
	gpu_config_write(&self->g, 0x18, -GPU_VRAM);
	gpu_config_write(&self->g, 0x1c, 0xff);
	gpu_map(&self->c, VA, (1ULL << 40) - 4096, 4096, 0);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	gpu_config_write(&self->g, 0x18, 0);
	gpu_config_write(&self->g, 0x1c, 0x100);
	gpu_map(&self->c, VA + 4096, 1ULL << 40, 4096, 0);
	cmd.src = VA + 4096;
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, 1ULL << 40, VA + 4096);
}

TEST_F(xgpu, no_memory_there)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	gpu_map(&self->c, VA, GPU_RAM, 4096, 0);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
	EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_READ, GPU_RAM, VA);
}

/* Registers are not memory, its own or others': VT-d's root table address, say. */
TEST_F(xgpu, registers_are_not_to_be_reached)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8, -1ULL);
	uint64_t at[] = { 0xfed90020 & ~0xfffULL, self->g.regs };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		gpu_map(&self->c, VA + i * 4096, at[i], 4096, XGPU_PTE_WRITE);
		cmd.dst = VA + i * 4096 + 0x20;
		EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_DMA_ERROR);
		EXPECT_REFUSED(&self->g, XGPU_ERR_DMA_WRITE, at[i] + 0x20, cmd.dst);
	}
	EXPECT_EQ(qtest_readq(self->g.q, 0xfed90020), 0);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CONTROL), XGPU_CONTROL_ENABLE);
}

TEST_F(xgpu, without_bus_mastering)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };

	gpu_config_write(&self->g, 4, 2);
	EXPECT_EQ(gpu_run(&self->c, &nop), -1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_DEAD);
}

TEST_HARNESS_MAIN
