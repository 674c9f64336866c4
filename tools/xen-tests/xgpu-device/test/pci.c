// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device is to a bus, and how it forgets: configuration space, BARs, interrupts,
 * resets, registers.
 */
#define GPU_MACHINE .two = true
#include "fixture.h"

TEST_F(xgpu, identity)
{
	EXPECT_EQ(gpu_config(&self->g, 0), XGPU_PCI_DEVICE << 16 | XGPU_PCI_VENDOR);
	EXPECT_EQ(gpu_config(&self->g, 8) >> 8, XGPU_PCI_CLASS);
	EXPECT_EQ(gpu_config(&self->g, 8) & 0xff, XGPU_VERSION_MAJOR);
	EXPECT_EQ(gpu_read(&self->g, XGPU_ID), XGPU_ID_MAGIC);
	EXPECT_EQ(gpu_read(&self->g, XGPU_NR_CONTEXTS), XGPU_CONTEXTS);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_VRAM_SIZE), GPU_VRAM);
	EXPECT_EQ(gpu_read(&self->g, XGPU_DMA_BITS), 64);
}

TEST_F(xgpu, bars)
{
	gpu_config_write(&self->g, 0x10, 0xffffffff);
	gpu_config_write(&self->g, 0x18, 0xffffffff);
	gpu_config_write(&self->g, 0x1c, 0xffffffff);
	/* 32-bit, not prefetchable; 64-bit, prefetchable */
	EXPECT_EQ(gpu_config(&self->g, 0x10), ~(XGPU_REGS_SIZE - 1U));
	EXPECT_EQ(gpu_config(&self->g, 0x18), (~(GPU_VRAM - 1U)) | 0xc);
	EXPECT_EQ(gpu_config(&self->g, 0x1c), 0xffffffff);
}

TEST_F(xgpu, is_express_with_function_level_reset)
{
	unsigned int at = gpu_capability(&self->g, 0x10);

	ASSERT_NE(at, 0);
	EXPECT_NE(gpu_config(&self->g, at + 4) & 1 << 28, 0);
}

TEST_F(xgpu, has_four_messages_64_bit_and_no_masks)
{
	unsigned int at = gpu_capability(&self->g, 0x05);
	uint32_t control;

	ASSERT_NE(at, 0);
	control = gpu_config(&self->g, at) >> 16;
	EXPECT_EQ(control >> 1 & 7, 2);
	EXPECT_EQ(control & 0x80, 0x80);
	EXPECT_EQ(control & 0x100, 0);
}

/* Make the device owner's traces everywhere: registers, a context, video memory. */
static void leave_traces(struct gpu *g)
{
	qtest_writeq(g->q, g->vram + 0x1000, 0x5ec4e7);
	qtest_writeq(g->q, g->vram + GPU_VRAM - 8, 0x5ec4e7);
	gpu_write(g, XGPU_LAT_FAULT, 77);
	gpu_write(g, XGPU_ID, 1);
	gpu_write64(g, XGPU_SCAN_FIRST, VA);
}

static void expect_clear(struct __test_metadata *_metadata, struct gpu *g)
{
	unsigned int reg;

	for (reg = XGPU_CNT_COMMANDS; reg < XGPU_CNT_END; reg += 8)
		EXPECT_EQ(gpu_read64(g, reg), 0);
	for (reg = 0; reg < XGPU_CTX_STRIDE; reg += 8)
		EXPECT_EQ(gpu_read64(g, XGPU_CTX(1, reg)), 0);
	EXPECT_EQ(gpu_read(g, XGPU_CONTROL), 0);
	EXPECT_EQ(gpu_read(g, XGPU_INT_STATUS), 0);
	EXPECT_EQ(gpu_read(g, XGPU_INT_ENABLE), 0);
	EXPECT_EQ(gpu_read64(g, XGPU_FAULT_BASE), 0);
	EXPECT_EQ(gpu_read64(g, XGPU_SHOOT_BASE), 0);
	EXPECT_EQ(gpu_read64(g, XGPU_SCAN_FIRST), 0);
	EXPECT_EQ(gpu_read(g, XGPU_ERROR_TAIL), 0);
	EXPECT_EQ(gpu_read(g, XGPU_ERROR_LOG), 0);
	EXPECT_EQ(gpu_read(g, XGPU_LAT_FAULT), 5000);
	EXPECT_EQ(gpu_read(g, XGPU_STALE_CHECK), 1);
}

TEST_F(xgpu, function_level_reset_clears_everything)
{
	unsigned int at = gpu_capability(&self->g, 0x10);
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP }, hang = { .op = XGPU_OP_HANG };
	uint8_t buf[8];

	ASSERT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
	ASSERT_EQ(gpu_run(&self->c, &hang), -1);
	leave_traces(&self->g);
	ASSERT_NE(gpu_read64(&self->g, XGPU_CNT_COMMANDS), 0);
	gpu_config_write(&self->g, at + 8, gpu_config(&self->g, at + 8) | 1 << 15);
	/* The BARs went with it. */
	EXPECT_EQ(gpu_config(&self->g, 0x10), 0);
	gpu_pci_init(&self->g);
	expect_clear(_metadata, &self->g);
	qtest_read(self->g.q, self->g.vram + 0x1000, buf, 8);
	EXPECT_EQ(*(uint64_t *)buf, 0);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram + GPU_VRAM - 8), 0);
	/* It works again. */
	gpu_init(&self->g);
	gpu_ctx_init(&self->g, &self->c, 1, 0);
	EXPECT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
}

TEST_F(xgpu, silent_until_its_function_is_reset)
{
	unsigned int at = gpu_capability(&self->g, 0x10);

	gpu_write(&self->g, XGPU_LAT_FAULT, 77);
	gpu_write(&self->g, XGPU_FAIL_SILENT, 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_ID), 0xffffffff);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_CONTROL)), 0xffffffff);
	gpu_write(&self->g, XGPU_RESET, XGPU_RESET_DEVICE);
	gpu_write(&self->g, XGPU_FAIL_SILENT, 0);
	EXPECT_EQ(gpu_read(&self->g, XGPU_LAT_FAULT), 0xffffffff);
	gpu_config_write(&self->g, at + 8, gpu_config(&self->g, at + 8) | 1 << 15);
	gpu_pci_init(&self->g);
	EXPECT_EQ(gpu_read(&self->g, XGPU_ID), XGPU_ID_MAGIC);
	EXPECT_EQ(gpu_read(&self->g, XGPU_LAT_FAULT), 5000);
}

TEST_F(xgpu, device_reset_keeps_video_memory_unless_asked)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };

	ASSERT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
	leave_traces(&self->g);
	gpu_write(&self->g, XGPU_RESET, XGPU_RESET_DEVICE);
	expect_clear(_metadata, &self->g);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram + 0x1000), 0x5ec4e7);
	gpu_write(&self->g, XGPU_RESET, XGPU_RESET_DEVICE | XGPU_RESET_CLEAR_VRAM);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram + 0x1000), 0);
}

TEST_F(xgpu, two_of_them_know_nothing_of_each_other)
{
	struct gpu other = self->g;
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };
	struct gpu_ctx c = {};

	other.slot++;
	gpu_pci_init(&other);
	other.free = GPU_RAM / 2;
	gpu_init(&other);
	gpu_ctx_init(&other, &c, 1, 0);
	EXPECT_EQ(gpu_run(&c, &nop), XGPU_ST_OK);
	EXPECT_EQ(gpu_read64(&other, XGPU_CNT_COMMANDS), 1);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_COMMANDS), 0);
	qtest_writeq(self->g.q, other.vram, 0x1234);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram), 0);
}

/* ---- registers ---- */

TEST_F(xgpu, halves_of_a_register)
{
	gpu_write64(&self->g, XGPU_SCAN_FIRST, 0x1122334455667788);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_FIRST), 0x55667788);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_FIRST + 4), 0x11223344);
	gpu_write(&self->g, XGPU_SCAN_FIRST + 4, 0x99);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SCAN_FIRST), 0x9955667788);
}

TEST_F(xgpu, write_of_a_read_only_register_is_logged)
{
	struct xgpu_error e;

	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RING_HEAD), 7);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_RING_HEAD)), 0);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_REGISTER);
	EXPECT_EQ(e.context, 1);
	EXPECT_EQ(e.address, XGPU_CTX(1, XGPU_CTX_RING_HEAD));
	EXPECT_EQ(e.info, 7);
	EXPECT_FALSE(gpu_error(&self->g, &e));
}

TEST_F(xgpu, setup_of_a_context_is_fixed_while_it_is_enabled)
{
	unsigned int root = XGPU_CTX(1, XGPU_CTX_PT_ROOT);

	gpu_write64(&self->g, root, 0x1001);
	EXPECT_EQ(gpu_read64(&self->g, root), self->c.root | XGPU_PTE_VALID);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_CONTROL), 0);
	gpu_write64(&self->g, root, 0x1001);
	EXPECT_EQ(gpu_read64(&self->g, root), 0x1001);
}

TEST_F(xgpu, full_error_log_counts_what_it_loses)
{
	struct xgpu_error e;
	unsigned int i;

	for (i = 0; i < XGPU_ERROR_ENTRIES + 3; i++)
		gpu_write(&self->g, XGPU_VERSION, i);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_ERRORS_LOST), 3);
	for (i = 0; i < XGPU_ERROR_ENTRIES; i++) {
		ASSERT_TRUE(gpu_error(&self->g, &e));
		EXPECT_EQ(e.index, i);
		EXPECT_EQ(e.info, i);
	}
	EXPECT_FALSE(gpu_error(&self->g, &e));
	gpu_write(&self->g, XGPU_VERSION, 99);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.info, 99);
}

/* ---- interrupts ---- */

TEST_F(xgpu, each_kind_has_its_message)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_NOP, .flags = XGPU_CMD_INTERRUPT };

	gpu_msi_enable(&self->g, 2);
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_VECTORS), 4);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_FENCE);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_FENCE_PENDING(0)), 1 << 1);
	gpu_write64(&self->g, XGPU_FENCE_PENDING(0), 1 << 1);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_FENCE_PENDING(0)), 0);

	gpu_shoot(&self->g, 1, 0, 1, 1, XGPU_SHOOT_INTERRUPT);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_SHOOTDOWN);

	cmd = sum_cmd(VA, 8);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_FAULT);

	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_ERROR);
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_STATUS), 0xf);
}

TEST_F(xgpu, fewer_messages_are_shared)
{
	gpu_msi_enable(&self->g, 1);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_ERROR % 2);
	gpu_msi_enable(&self->g, 0);
	gpu_write(&self->g, XGPU_INT_ACK, 1 << XGPU_IRQ_ERROR);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), 0);
}

TEST_F(xgpu, a_message_comes_again_after_the_acknowledgement)
{
	gpu_msi_enable(&self->g, 2);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_ERROR);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), -1);
	gpu_write(&self->g, XGPU_INT_ACK, 1 << XGPU_IRQ_ERROR);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_ERROR);
}

TEST_F(xgpu, a_message_that_was_disabled_comes_when_enabled)
{
	gpu_msi_enable(&self->g, 2);
	gpu_write(&self->g, XGPU_INT_ENABLE, 0);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_msi_vector(&self->g), -1);
	gpu_write(&self->g, XGPU_INT_ENABLE, 1 << XGPU_IRQ_ERROR);
	EXPECT_EQ(gpu_msi_vector(&self->g), XGPU_IRQ_ERROR);
}

/* The level of the pin is bit 3 of the status register. */
TEST_F(xgpu, pin_without_messages)
{
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_VECTORS), 0);
	EXPECT_EQ(gpu_config(&self->g, 4) >> 16 & 8, 0);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_config(&self->g, 4) >> 16 & 8, 8);
	gpu_write(&self->g, XGPU_INT_ACK, 1 << XGPU_IRQ_ERROR);
	EXPECT_EQ(gpu_config(&self->g, 4) >> 16 & 8, 0);
	gpu_write(&self->g, XGPU_VERSION, 0);
	gpu_write(&self->g, XGPU_INT_ENABLE, 0);
	EXPECT_EQ(gpu_config(&self->g, 4) >> 16 & 8, 0);
}

/* The message's address is a register of the device itself. */
TEST_F(xgpu, message_to_its_own_registers_is_refused)
{
	unsigned int at = gpu_capability(&self->g, 0x05);
	uint64_t target = self->g.regs + XGPU_INT_ENABLE;

	gpu_msi_enable(&self->g, 2);
	gpu_config_write(&self->g, at + 4, target);
	gpu_config_write(&self->g, at + 0xc, 0xff00);
	gpu_write(&self->g, XGPU_VERSION, 0);
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_ENABLE), 0xf);
	EXPECT_EQ(gpu_read(&self->g, XGPU_ID), XGPU_ID_MAGIC);
}

/* ... while it works on a command. */
TEST_F(xgpu, message_of_a_command_to_its_own_registers_is_refused)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_NOP, .flags = XGPU_CMD_INTERRUPT };
	unsigned int at = gpu_capability(&self->g, 0x05);
	struct xgpu_error e;

	gpu_msi_enable(&self->g, 2);
	gpu_config_write(&self->g, at + 4, self->g.regs + XGPU_LAT_FAULT);
	gpu_config_write(&self->g, at + 0xc, 0x7700);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_read(&self->g, XGPU_LAT_FAULT), 5000);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_REENTRANT);
	EXPECT_EQ(e.address, XGPU_LAT_FAULT);
	EXPECT_EQ(e.info, 0x7700);
}

/* ... or of configuration space, where it resets the device. */
TEST_F(xgpu, message_that_resets_the_device)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_NOP, .flags = XGPU_CMD_INTERRUPT };
	unsigned int at = gpu_capability(&self->g, 0x05), express = gpu_capability(&self->g, 0x10);

	/* The host bridge's window of configuration space */
	qtest_outl(self->g.q, 0xcf8, 0x80000060);
	qtest_outl(self->g.q, 0xcfc, 0xb0000001);
	gpu_msi_enable(&self->g, 2);
	gpu_config_write(&self->g, at + 4, 0xb0000000 | self->g.slot << 15 | (express + 8));
	gpu_config_write(&self->g, at + 0xc, 1 << 15);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, MS);
	gpu_pci_init(&self->g);
	expect_clear(_metadata, &self->g);
}

TEST_HARNESS_MAIN
