/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all tests of the device have: a GPU that is set up, with context 1, and pieces of
 * commands. Time is the test's: nothing happens before qtest_step(), and a thing that takes
 * 1000 ns takes exactly that.
 */
#ifndef XGPU_TEST_FIXTURE_H
#define XGPU_TEST_FIXTURE_H

#include "../../../../drivers/xen/xgpu/xgpu_hw.h"
/* The harness's default is stderr, which QEMU has. */
#define TH_LOG_STREAM stdout
#include "kselftest_harness.h"
#include "gpu.h"

#define VA	0x7f1234560000ULL
#define MS	1000000ULL

FIXTURE(xgpu)
{
	struct gpu g;
	struct gpu_ctx c;
};

/* Which GPU a file's tests are about: defined before this file is included */
#ifndef GPU_MACHINE
#define GPU_MACHINE
#endif

FIXTURE_SETUP(xgpu)
{
	struct gpu_machine m = { GPU_MACHINE };

	ASSERT_EQ(gpu_start(&self->g, &m), 0);
	gpu_pci_init(&self->g);
	gpu_init(&self->g);
	gpu_ctx_init(&self->g, &self->c, 1, XGPU_CTX_FAULTS);
}

FIXTURE_TEARDOWN(xgpu)
{
	EXPECT_EQ(gpu_stop(&self->g), 0) {
		TH_LOG("QEMU did not survive the test");
	}
}

/* A page of pattern, and its address */
static inline uint64_t pattern_page(struct gpu *g, uint8_t *buf, size_t len, unsigned int seed)
{
	uint64_t at = gpu_alloc(g, len);
	size_t i;

	for (i = 0; i < len; i++)
		buf[i] = (i * 37 + i / 256 * 11 + seed) & 0xff;
	qtest_write(g->q, at, buf, len);
	return at;
}

static inline struct xgpu_cmd copy_cmd(uint64_t dst, uint64_t src, uint64_t len)
{
	return (struct xgpu_cmd){ .op = XGPU_OP_COPY, .dst = dst, .src = src, .len = len };
}

static inline struct xgpu_cmd fill_cmd(uint64_t dst, uint64_t len, uint64_t value)
{
	return (struct xgpu_cmd){ .op = XGPU_OP_FILL, .dst = dst, .len = len, .value = value };
}

static inline struct xgpu_cmd sum_cmd(uint64_t src, uint64_t len)
{
	return (struct xgpu_cmd){ .op = XGPU_OP_CHECKSUM, .src = src, .len = len };
}

#endif
