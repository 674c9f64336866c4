// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device behind a root port, and taken away.
 */
#define GPU_MACHINE .port = true
#include "fixture.h"

#define MMCFG		0xb0000000ULL
#define SLOT_CONTROL	0x18
/* Power off, and both indicators */
#define POWER_OFF	0x07c0

TEST_F(xgpu, works_behind_a_root_port)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };

	EXPECT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
	/* It says that it is an endpoint, not one of the root complex. */
	EXPECT_EQ(gpu_config(&self->g, gpu_capability(&self->g, 0x10)) >> 20 & 0xf, 0);
}

/* The guest directs the device's own message to the register that takes its power. */
TEST_F(xgpu, message_that_unplugs_the_device)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8 * 4096, 1);
	struct gpu port = self->g;
	unsigned int express, msi = gpu_capability(&self->g, 0x05), i;

	port.bus = 0;
	port.slot = 4;
	express = gpu_capability(&port, 0x10);
	ASSERT_NE(express, 0);
	qtest_outl(self->g.q, 0xcf8, 0x80000060);
	qtest_outl(self->g.q, 0xcfc, MMCFG | 1);
	gpu_map(&self->c, VA, gpu_alloc(&self->g, 8 * 4096), 8 * 4096, XGPU_PTE_WRITE);
	gpu_msi_enable(&self->g, 0);
	gpu_config_write(&self->g, msi + 4, MMCFG + (port.slot << 15) + express + SLOT_CONTROL);
	gpu_config_write(&self->g, msi + 0xc, POWER_OFF);
	cmd.flags = XGPU_CMD_INTERRUPT;
	/* Nothing takes time, so that the timer has more to do at once. */
	gpu_write(&self->g, XGPU_LAT_COMMAND, 0);
	gpu_write(&self->g, XGPU_LAT_KIB, 0);
	for (i = 0; i < 4; i++)
		gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, 100 * MS);
	EXPECT_EQ(gpu_config(&self->g, 0), 0xffffffff);
	qtest_step(self->g.q, 1000 * MS);
}

TEST_HARNESS_MAIN
