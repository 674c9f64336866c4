// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings, and what each command does.
 */
#include "fixture.h"

/* Nine pages of pattern at VA, nine of zero 1 MiB above, each neighbour somewhere else */
#define PAGES	9
#define DST	(VA + 0x100000)

static uint8_t pattern[PAGES * 4096];

static void two_buffers(struct gpu_ctx *c)
{
	uint64_t src = pattern_page(c->g, pattern, sizeof(pattern), 1);
	uint64_t dst = gpu_alloc(c->g, sizeof(pattern));
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		gpu_map(c, VA + i * 4096, src + i * 4096, 4096, 0);
		/* Backwards in memory */
		gpu_map(c, DST + i * 4096, dst + (PAGES - 1 - i) * 4096, 4096, XGPU_PTE_WRITE);
	}
}

static void read_dst(struct gpu_ctx *c, uint64_t va, uint8_t *buf, size_t len)
{
	uint64_t e;
	size_t n;

	for (; len; va += n, buf += n, len -= n) {
		n = 4096 - (va & 0xfff);
		if (n > len)
			n = len;
		e = qtest_readq(c->g->q, gpu_entry(c, va, 0));
		qtest_read(c->g->q, (e & XGPU_PTE_ADDR) + (va & 0xfff), buf, n);
	}
}

TEST_F(xgpu, copy_of_any_alignment)
{
	static const struct { size_t dst, src, len; } cases[] = {
		{ 0, 0, PAGES * 4096 }, { 1, 4095, 2 }, { 4093, 7, 8192 }, { 100, 100, 1 },
		{ 0, 1, 4096 }, { 2048, 0, 4096 }, { 5, 4096, 7 * 4096 + 3 },
	};
	uint8_t buf[PAGES * 4096];
	struct xgpu_cmd cmd;
	unsigned int i;

	two_buffers(&self->c);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cmd = fill_cmd(DST, sizeof(buf), 0);
		ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
		cmd = copy_cmd(DST + cases[i].dst, VA + cases[i].src, cases[i].len);
		ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
		read_dst(&self->c, DST, buf, sizeof(buf));
		EXPECT_EQ(memcmp(buf + cases[i].dst, pattern + cases[i].src, cases[i].len), 0);
		/* And not a byte more */
		if (cases[i].dst)
			EXPECT_EQ(buf[cases[i].dst - 1], 0);
		if (cases[i].dst + cases[i].len < sizeof(buf))
			EXPECT_EQ(buf[cases[i].dst + cases[i].len], 0);
	}
}

TEST_F(xgpu, fill_begins_with_the_first_byte)
{
	struct xgpu_cmd cmd = fill_cmd(DST + 4091, 4105, 0x0807060504030201);
	uint8_t buf[4107];
	unsigned int i;

	two_buffers(&self->c);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	read_dst(&self->c, DST + 4090, buf, sizeof(buf));
	EXPECT_EQ(buf[0], 0);
	for (i = 0; i < 4105; i++)
		ASSERT_EQ(buf[i + 1], i % 8 + 1);
	EXPECT_EQ(buf[4106], 0);
}

TEST_F(xgpu, checksum)
{
	static const struct { size_t src, len; } cases[] = {
		{ 0, 8 }, { 0, 0 }, { 3, 5 }, { 0, PAGES * 4096 }, { 4090, 4100 }, { 1, 8191 },
	};
	struct xgpu_cmd cmd;
	unsigned int i;

	two_buffers(&self->c);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cmd = sum_cmd(VA + cases[i].src, cases[i].len);
		ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
		EXPECT_EQ(gpu_record(&self->c, self->c.tail - 1).result,
			  gpu_checksum(pattern + cases[i].src, cases[i].len));
	}
}

TEST_F(xgpu, checksum_stored)
{
	struct xgpu_cmd cmd = sum_cmd(VA + 1, 5000);
	uint64_t value;

	two_buffers(&self->c);
	cmd.flags = XGPU_CMD_STORE;
	cmd.dst = DST + 4088;
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	read_dst(&self->c, DST + 4088, (uint8_t *)&value, 8);
	EXPECT_EQ(value, gpu_checksum(pattern + 1, 5000));
}

TEST_F(xgpu, compare)
{
	struct xgpu_cmd copy = copy_cmd(DST, VA, sizeof(pattern)), cmd = copy;
	struct xgpu_cmd fill = fill_cmd(DST + 5003, 1, 0);

	two_buffers(&self->c);
	cmd.op = XGPU_OP_COMPARE;
	ASSERT_EQ(gpu_run(&self->c, &copy), XGPU_ST_OK);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	fill.value = pattern[5003] ^ 1;
	ASSERT_EQ(gpu_run(&self->c, &fill), XGPU_ST_OK);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_COMPARE_DIFF);
	EXPECT_EQ(gpu_record(&self->c, self->c.tail - 1).result, 5003);
}

/* Comparing is reading: both sides may be pages that cannot be written. */
TEST_F(xgpu, compare_needs_no_permission_to_write)
{
	struct xgpu_cmd cmd = copy_cmd(VA, VA, 4096);

	two_buffers(&self->c);
	cmd.op = XGPU_OP_COMPARE;
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
}

TEST_F(xgpu, atomic_add)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_ATOMIC_ADD, .dst = DST + 4088, .value = 5 };
	uint64_t value;

	two_buffers(&self->c);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	cmd.value = -2ULL;
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_record(&self->c, self->c.tail - 1).result, 5);
	read_dst(&self->c, DST + 4088, (uint8_t *)&value, 8);
	EXPECT_EQ(value, 3);
	cmd.dst++;
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_BAD_COMMAND);
}

TEST_F(xgpu, atomic_add_in_video_memory)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_ATOMIC_ADD, .dst = VA + 8, .value = 0x77 };

	gpu_map(&self->c, VA, 0x10000, 4096, XGPU_PTE_VRAM | XGPU_PTE_WRITE);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram + 0x10008), 0x77);
}

TEST_F(xgpu, between_system_and_video_memory)
{
	struct xgpu_cmd there = copy_cmd(DST, VA, 4096), back = copy_cmd(VA + 4096, DST, 4096);
	uint64_t out = gpu_alloc(&self->g, 4096);
	uint8_t buf[4096];

	gpu_map(&self->c, VA, pattern_page(&self->g, pattern, 4096, 5), 4096, 0);
	gpu_map(&self->c, DST, 0x20000, 4096, XGPU_PTE_VRAM | XGPU_PTE_WRITE);
	gpu_map(&self->c, VA + 4096, out, 4096, XGPU_PTE_WRITE);
	ASSERT_EQ(gpu_run(&self->c, &there), XGPU_ST_OK);
	qtest_read(self->g.q, self->g.vram + 0x20000, buf, 4096);
	EXPECT_EQ(memcmp(buf, pattern, 4096), 0);
	ASSERT_EQ(gpu_run(&self->c, &back), XGPU_ST_OK);
	qtest_read(self->g.q, out, buf, 4096);
	EXPECT_EQ(memcmp(buf, pattern, 4096), 0);
}

/* ---- fences, records, errors ---- */

static struct xgpu_fence fence_of(struct gpu_ctx *c)
{
	struct xgpu_fence f;

	qtest_read(c->g->q, c->fence, &f, sizeof(f));
	return f;
}

TEST_F(xgpu, fence)
{
	struct xgpu_cmd sum = sum_cmd(VA, 4096), nop = { .op = XGPU_OP_NOP };
	struct xgpu_cmd fence = { .op = XGPU_OP_FENCE, .dst = self->c.fence, .value = 0xfe9ce };
	struct xgpu_fence f;

	two_buffers(&self->c);
	gpu_put(&self->c, &sum);
	gpu_put(&self->c, &nop);
	gpu_put(&self->c, &fence);
	gpu_ring(&self->c);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	f = fence_of(&self->c);
	EXPECT_EQ(f.value, 0xfe9ce);
	EXPECT_EQ(f.status, XGPU_ST_OK);
	EXPECT_EQ(f.result, gpu_checksum(pattern, 4096));
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_FENCE)), 0xfe9ce);
	/* The next one is about what comes after this. */
	fence.value++;
	ASSERT_EQ(gpu_run(&self->c, &fence), XGPU_ST_OK);
	f = fence_of(&self->c);
	EXPECT_EQ(f.value, 0xfe9cf);
	EXPECT_EQ(f.result, 0);
}

TEST_F(xgpu, fence_tells_the_first_error_and_forgets_it)
{
	struct xgpu_cmd bad = { .op = 99 }, nop = { .op = XGPU_OP_NOP, .cookie = 5 };
	struct xgpu_cmd far = fill_cmd(1ULL << 48, 1, 0);
	struct xgpu_cmd skip = { .op = XGPU_OP_NOP, .flags = XGPU_CMD_SKIP_ON_ERROR, .cookie = 6 };
	struct xgpu_cmd fence = { .op = XGPU_OP_FENCE, .dst = self->c.fence, .value = 1,
				  .flags = XGPU_CMD_SKIP_ON_ERROR };
	struct xgpu_fence f;

	gpu_put(&self->c, &nop);
	gpu_put(&self->c, &bad);
	gpu_put(&self->c, &far);
	gpu_put(&self->c, &nop);
	gpu_put(&self->c, &skip);
	gpu_put(&self->c, &fence);
	gpu_ring(&self->c);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(gpu_record(&self->c, 0).status, XGPU_ST_OK);
	EXPECT_EQ(gpu_record(&self->c, 1).status, XGPU_ST_BAD_COMMAND);
	EXPECT_EQ(gpu_record(&self->c, 2).status, XGPU_ST_BAD_ADDRESS);
	EXPECT_EQ(gpu_record(&self->c, 2).fault_va, 1ULL << 48);
	EXPECT_EQ(gpu_record(&self->c, 3).status, XGPU_ST_OK);
	EXPECT_EQ(gpu_record(&self->c, 3).cookie, 5);
	EXPECT_EQ(gpu_record(&self->c, 4).status, XGPU_ST_SKIPPED);
	EXPECT_EQ(gpu_record(&self->c, 4).cookie, 6);
	f = fence_of(&self->c);
	EXPECT_EQ(f.status, XGPU_ST_BAD_COMMAND);
	EXPECT_EQ(f.index, 1);

	fence.value = 2;
	gpu_put(&self->c, &skip);
	gpu_put(&self->c, &fence);
	gpu_ring(&self->c);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(gpu_record(&self->c, 6).status, XGPU_ST_OK);
	f = fence_of(&self->c);
	EXPECT_EQ(f.value, 2);
	EXPECT_EQ(f.status, XGPU_ST_OK);
}

TEST_F(xgpu, malformed_commands)
{
	static const struct xgpu_cmd bad[] = {
		{ .op = XGPU_OPS },
		{ .op = 0xffff },
		{ .op = XGPU_OP_NOP, .flags = 0x8 },
		{ .op = XGPU_OP_NOP, .flags = 0x8000 },
		{ .op = XGPU_OP_NOP, .flags = XGPU_CMD_STORE },
		{ .op = XGPU_OP_NOP, .reserved = { 0, 0, 1 } },
		{ .op = XGPU_OP_COPY, .flags = XGPU_CMD_DST_VRAM },
		{ .op = XGPU_OP_FENCE, .dst = 8 },
		{ .op = XGPU_OP_CHECKSUM, .flags = XGPU_CMD_STORE, .dst = 4 },
		/* For context 0 only */
		{ .op = XGPU_OP_PHYS_COPY, .len = 8 },
		{ .op = XGPU_OP_PHYS_FILL, .len = 8 },
	};
	struct xgpu_error e;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(gpu_run(&self->c, &bad[i]), XGPU_ST_BAD_COMMAND) {
			TH_LOG("case %u", i);
		}
		ASSERT_TRUE(gpu_error(&self->g, &e));
		EXPECT_EQ(e.type, XGPU_ERR_COMMAND);
		EXPECT_EQ(e.context, 1);
		EXPECT_EQ(e.address, i);
	}
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BAD_COMMANDS), ARRAY_SIZE(bad));
}

TEST_F(xgpu, addresses_beyond_48_bits)
{
	static const struct xgpu_cmd bad[] = {
		{ .op = XGPU_OP_COPY, .dst = VA, .src = (1ULL << 48) - 4, .len = 8 },
		{ .op = XGPU_OP_COPY, .dst = -4ULL, .src = VA, .len = 8 },
		{ .op = XGPU_OP_FILL, .dst = 1, .len = -1ULL },
		{ .op = XGPU_OP_CHECKSUM, .src = 1ULL << 63, .len = 1 },
		{ .op = XGPU_OP_COMPARE, .src = 0, .dst = 1, .len = 1ULL << 48 },
		{ .op = XGPU_OP_ATOMIC_ADD, .dst = 1ULL << 48 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(gpu_run(&self->c, &bad[i]), XGPU_ST_BAD_ADDRESS);
}

TEST_F(xgpu, physical_copy_and_fill_by_context_0)
{
	uint64_t src = pattern_page(&self->g, pattern, 3 * 4096, 9);
	uint64_t dst = gpu_alloc(&self->g, 16384);
	struct xgpu_cmd in = { .op = XGPU_OP_PHYS_COPY, .src = src + 1, .dst = GPU_VRAM - 8200,
			       .len = 8200, .flags = XGPU_CMD_DST_VRAM };
	struct xgpu_cmd out = { .op = XGPU_OP_PHYS_COPY, .src = GPU_VRAM - 8200, .dst = dst,
				.len = 8200, .flags = XGPU_CMD_SRC_VRAM };
	struct xgpu_cmd fill = { .op = XGPU_OP_PHYS_FILL, .dst = 0, .len = GPU_VRAM,
				 .value = 0x1111111111111111, .flags = XGPU_CMD_DST_VRAM };
	struct gpu_ctx c0 = {};
	uint8_t buf[8200];

	gpu_ctx_init(&self->g, &c0, 0, 0);
	ASSERT_EQ(gpu_run(&c0, &in), XGPU_ST_OK);
	ASSERT_EQ(gpu_run(&c0, &out), XGPU_ST_OK);
	qtest_read(self->g.q, dst, buf, sizeof(buf));
	EXPECT_EQ(memcmp(buf, pattern + 1, sizeof(buf)), 0);
	EXPECT_EQ(gpu_run(&c0, &fill), XGPU_ST_OK);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram + GPU_VRAM - 8), 0x1111111111111111);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.vram), 0x1111111111111111);
	in.dst++;
	EXPECT_EQ(gpu_run(&c0, &in), XGPU_ST_BAD_ADDRESS);
	in.dst = -1ULL;
	EXPECT_EQ(gpu_run(&c0, &in), XGPU_ST_BAD_ADDRESS);
}

/* As many as the knob says, and no others; nothing is done. */
TEST_F(xgpu, physical_commands_that_are_to_fail)
{
	uint64_t dst = gpu_alloc(&self->g, 4096);
	struct xgpu_cmd fill = { .op = XGPU_OP_PHYS_FILL, .dst = dst, .len = 4096, .value = 1 };
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };
	struct gpu_ctx c0 = {};

	gpu_ctx_init(&self->g, &c0, 0, 0);
	gpu_write(&self->g, XGPU_FAIL_PHYS, 2);
	EXPECT_EQ(gpu_run(&c0, &nop), XGPU_ST_OK);
	EXPECT_EQ(gpu_run(&c0, &fill), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_run(&c0, &fill), XGPU_ST_DMA_ERROR);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAIL_PHYS), 0);
	EXPECT_EQ(qtest_readq(self->g.q, dst), 0);
	EXPECT_EQ(gpu_run(&c0, &fill), XGPU_ST_OK);
	EXPECT_EQ(qtest_readq(self->g.q, dst), 1);
	gpu_write(&self->g, XGPU_FAIL_PHYS, 7);
	gpu_write(&self->g, XGPU_RESET, XGPU_RESET_DEVICE);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAIL_PHYS), 0);
}

/* ---- rings ---- */

TEST_F(xgpu, ring_wraps)
{
	struct xgpu_cmd cmd = { .op = XGPU_OP_NOP };
	unsigned int i;

	for (i = 0; i < 5 << GPU_RING_LOG2; i++) {
		cmd.cookie = i + 1000;
		ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
		EXPECT_EQ(gpu_record(&self->c, i).cookie, i + 1000);
	}
	/* Full to the brim */
	for (i = 0; i < 1 << GPU_RING_LOG2; i++)
		gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	EXPECT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_CNT_COMMANDS)), 6 << GPU_RING_LOG2);
}

TEST_F(xgpu, more_in_the_ring_than_it_holds_is_its_death)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };
	struct xgpu_error e;

	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RING_TAIL), (1 << GPU_RING_LOG2) + 1);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_DEAD);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_RING);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_COMMANDS), 0);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RESET), 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_OFF);
	gpu_ctx_init(&self->g, &self->c, 1, 0);
	EXPECT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
}

TEST_F(xgpu, doorbell_of_a_context_that_is_off)
{
	struct xgpu_error e;

	gpu_write(&self->g, XGPU_CTX(7, XGPU_CTX_RING_TAIL), 1);
	qtest_step(self->g.q, MS);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_REGISTER);
	EXPECT_EQ(e.context, 7);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(7, XGPU_CTX_STATE)), XGPU_STATE_OFF);
}

TEST_F(xgpu, hung_command_hangs_its_context_only)
{
	struct xgpu_cmd hang = { .op = XGPU_OP_HANG }, nop = { .op = XGPU_OP_NOP };
	struct gpu_ctx other = {};

	gpu_ctx_init(&self->g, &other, 2, 0);
	EXPECT_EQ(gpu_run(&self->c, &hang), -1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_RUNNING);
	EXPECT_EQ(gpu_run(&other, &nop), XGPU_ST_OK);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RESET), 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_OFF);
	EXPECT_EQ(gpu_read(&self->g, XGPU_STATUS), 0);
	EXPECT_EQ(gpu_run(&other, &nop), XGPU_ST_OK);
	gpu_ctx_init(&self->g, &self->c, 1, 0);
	EXPECT_EQ(gpu_run(&self->c, &nop), XGPU_ST_OK);
}

/* A reset ends a piece of work that is under way: it writes nothing afterwards. */
TEST_F(xgpu, context_reset_stops_what_is_under_way)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 4096, -1ULL);
	uint64_t page = gpu_alloc(&self->g, 4096);

	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	gpu_write(&self->g, XGPU_LAT_KIB, 1000 * 1000);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_STATUS), XGPU_STATUS_BUSY);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RESET), 1);
	qtest_step(self->g.q, 100 * MS);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0);
}

TEST_F(xgpu, disabled_device_does_nothing_until_enabled)
{
	struct xgpu_cmd nop = { .op = XGPU_OP_NOP };

	gpu_write(&self->g, XGPU_CONTROL, 0);
	EXPECT_EQ(gpu_run(&self->c, &nop), -1);
	gpu_write(&self->g, XGPU_CONTROL, XGPU_CONTROL_ENABLE);
	EXPECT_TRUE(gpu_wait(&self->c, MS));
}

/* Time is what the knobs say: here 100 us for the command and 4 us for each KiB. */
TEST_F(xgpu, latencies)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 4096, 1);
	unsigned int head = XGPU_CTX(1, XGPU_CTX_RING_HEAD);

	gpu_map(&self->c, VA, gpu_alloc(&self->g, 4096), 4096, XGPU_PTE_WRITE);
	gpu_write(&self->g, XGPU_LAT_COMMAND, 100 * 1000);
	gpu_write(&self->g, XGPU_LAT_KIB, 4 * 1000);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, 115 * 1000);
	EXPECT_EQ(gpu_read(&self->g, head), 0);
	qtest_step(self->g.q, 2 * 1000);
	EXPECT_EQ(gpu_read(&self->g, head), 1);
}

TEST_F(xgpu, counters)
{
	struct xgpu_cmd cmd = copy_cmd(DST, VA, 2 * 4096);

	two_buffers(&self->c);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BYTES_READ), 8192);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BYTES_WRITTEN), 8192);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_TLB_MISSES), 4);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), 4);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_TLB_MISSES), 4);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_CNT_TLB_HITS)), 4);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_CNT_BYTES_READ)), 16384);
}

TEST_HARNESS_MAIN
