// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replayable faults.
 */
#include "fixture.h"

static void start(struct gpu_ctx *c, const struct xgpu_cmd *cmd)
{
	gpu_put(c, cmd);
	gpu_ring(c);
	qtest_step(c->g->q, MS);
}

TEST_F(xgpu, fault_tells_what_is_missing)
{
	struct xgpu_cmd cmd = copy_cmd(VA + 0x100000, VA + 100, 3 * 4096);
	struct xgpu_fault f;

	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	EXPECT_EQ(f.va, VA + 100);
	EXPECT_EQ(f.context, 1);
	EXPECT_EQ(f.flags, 3 << XGPU_FAULT_LEVEL_SHIFT);
	EXPECT_NE(f.stall, 0);
	EXPECT_EQ(f.index, 0);
	EXPECT_EQ(f.pages, 4);
	EXPECT_LT(f.time, gpu_read64(&self->g, XGPU_TIME));
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_STATUS), 1 << XGPU_IRQ_FAULT);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_STALLED);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STALL_ID)), f.stall);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_STALL_VA)), VA + 100);
	EXPECT_EQ(gpu_read(&self->g, XGPU_STATUS), XGPU_STATUS_STALLED);
	EXPECT_FALSE(gpu_fault(&self->g, &f));
}

TEST_F(xgpu, replay_goes_on_where_it_stopped)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 3 * 4096, 0x77);
	uint64_t pages = gpu_alloc(&self->g, 3 * 4096);
	struct xgpu_fault f;
	unsigned int i;

	start(&self->c, &cmd);
	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(gpu_fault(&self->g, &f));
		EXPECT_EQ(f.va, VA + i * 4096);
		EXPECT_EQ(f.flags & XGPU_FAULT_WRITE, XGPU_FAULT_WRITE);
		EXPECT_EQ(f.pages, 3 - i);
		gpu_map(&self->c, f.va, pages + i * 4096, 4096, XGPU_PTE_WRITE);
		gpu_answer(&self->g, f.stall, XGPU_ANSWER_REPLAY);
		qtest_step(self->g.q, MS);
	}
	EXPECT_FALSE(gpu_fault(&self->g, &f));
	EXPECT_EQ(gpu_record(&self->c, 0).status, XGPU_ST_OK);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_RING_HEAD)), 1);
	EXPECT_EQ(qtest_readq(self->g.q, pages + 2 * 4096), 0x77);
	/* Not a byte was written twice. */
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BYTES_WRITTEN), 3 * 4096);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_REPLAYS), 3);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_FAULTS), 3);
}

TEST_F(xgpu, replay_of_nothing_faults_again)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	struct xgpu_fault a, b;

	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &a));
	gpu_answer(&self->g, a.stall, XGPU_ANSWER_REPLAY);
	qtest_step(self->g.q, MS);
	ASSERT_TRUE(gpu_fault(&self->g, &b));
	EXPECT_EQ(b.va, a.va);
	EXPECT_NE(b.stall, a.stall);
}

TEST_F(xgpu, failed_command_ends_and_the_next_one_begins)
{
	struct xgpu_cmd cmd = sum_cmd(VA + 5, 8), nop = { .op = XGPU_OP_NOP };
	struct xgpu_fault f;

	gpu_put(&self->c, &cmd);
	start(&self->c, &nop);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	gpu_answer(&self->g, f.stall, XGPU_ANSWER_FAIL);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(gpu_record(&self->c, 0).status, XGPU_ST_FAULT);
	EXPECT_EQ(gpu_record(&self->c, 0).fault_va, VA + 5);
	EXPECT_EQ(gpu_record(&self->c, 1).status, XGPU_ST_OK);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_FAILS), 1);
}

TEST_F(xgpu, answer_for_the_context)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	start(&self->c, &cmd);
	gpu_write64(&self->g, XGPU_FAULT_ANSWER,
		    XGPU_ANSWER_FAIL | XGPU_ANSWER_CONTEXT | 1 << XGPU_ANSWER_CONTEXT_SHIFT);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(gpu_record(&self->c, 0).status, XGPU_ST_FAULT);
}

TEST_F(xgpu, answer_in_halves)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	struct xgpu_fault f;

	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	gpu_write(&self->g, XGPU_FAULT_ANSWER, XGPU_ANSWER_FAIL);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_RING_HEAD)), 0);
	gpu_write(&self->g, XGPU_FAULT_ANSWER + 4, f.stall);
	EXPECT_TRUE(gpu_wait(&self->c, MS));
}

TEST_F(xgpu, answers_to_nothing_are_counted)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	struct xgpu_fault f;

	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	gpu_answer(&self->g, f.stall + 1, XGPU_ANSWER_FAIL);
	gpu_answer(&self->g, f.stall, 3);
	gpu_answer(&self->g, f.stall, 0);
	gpu_write64(&self->g, XGPU_FAULT_ANSWER,
		    XGPU_ANSWER_FAIL | XGPU_ANSWER_CONTEXT |
			    0xffffULL << XGPU_ANSWER_CONTEXT_SHIFT);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_STALLED);
	/* The command was reset meanwhile. */
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RESET), 1);
	gpu_answer(&self->g, f.stall, XGPU_ANSWER_REPLAY);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BAD_ANSWERS), 5);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_OFF);
}

TEST_F(xgpu, write_to_a_page_that_may_not_be_written)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8, 1);
	uint64_t page = gpu_alloc(&self->g, 4096);
	struct xgpu_fault f;

	gpu_map(&self->c, VA, page, 4096, 0);
	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	EXPECT_EQ(f.flags, XGPU_FAULT_WRITE | XGPU_FAULT_PERMISSION);
	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	gpu_answer(&self->g, f.stall, XGPU_ANSWER_REPLAY);
	ASSERT_TRUE(gpu_wait(&self->c, MS));
	EXPECT_EQ(qtest_readq(self->g.q, page), 1);
}

/* That it can be read, and is in the TLB for that, is no permission. */
TEST_F(xgpu, write_to_a_page_that_was_read)
{
	struct xgpu_cmd sum = sum_cmd(VA, 8), cmd = fill_cmd(VA, 8, 1);
	uint64_t page = gpu_alloc(&self->g, 4096);
	struct xgpu_fault f;

	gpu_map(&self->c, VA, page, 4096, 0);
	ASSERT_EQ(gpu_run(&self->c, &sum), XGPU_ST_OK);
	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	EXPECT_EQ(f.flags, XGPU_FAULT_WRITE | XGPU_FAULT_PERMISSION);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0);
}

/* The level where the walk ended says which table is missing. */
TEST_F(xgpu, level_of_a_fault)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	struct xgpu_fault f;

	gpu_set_entry(&self->c, VA, 0, 0);
	start(&self->c, &cmd);
	ASSERT_TRUE(gpu_fault(&self->g, &f));
	EXPECT_EQ(f.flags, 0);
}

TEST_F(xgpu, without_faults_the_command_fails_at_once)
{
	struct xgpu_cmd cmd = sum_cmd(VA + 16, 8);
	struct gpu_ctx c = {};
	struct xgpu_fault f;

	gpu_ctx_init(&self->g, &c, 2, 0);
	EXPECT_EQ(gpu_run(&c, &cmd), XGPU_ST_FAULT);
	EXPECT_EQ(gpu_record(&c, 0).fault_va, VA + 16);
	EXPECT_FALSE(gpu_fault(&self->g, &f));
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_FAULTS), 0);
}

/* All contexts stall at once, in a queue that is too small; not one fault is lost. */
TEST_F(xgpu, more_faults_than_the_queue_holds)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8), nop = { .op = XGPU_OP_NOP };
	unsigned int n = 3 << GPU_FAULT_LOG2, i, seen = 0;
	struct gpu_ctx c[3 << GPU_FAULT_LOG2] = {}, calm = {};
	bool told[XGPU_CONTEXTS] = {};
	struct xgpu_fault f;

	gpu_ctx_init(&self->g, &calm, 100, 0);
	for (i = 0; i < n; i++) {
		gpu_ctx_init(&self->g, &c[i], 2 + i, XGPU_CTX_FAULTS);
		gpu_put(&c[i], &cmd);
		gpu_ring(&c[i]);
	}
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_TAIL), 1 << GPU_FAULT_LOG2);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_OVERFLOW), 1);
	gpu_write(&self->g, XGPU_FAULT_OVERFLOW, 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_OVERFLOW), 0);
	/* Others work meanwhile. */
	EXPECT_EQ(gpu_run(&calm, &nop), XGPU_ST_OK);
	while (gpu_fault(&self->g, &f)) {
		ASSERT_FALSE(told[f.context]);
		told[f.context] = true;
		seen++;
		gpu_answer(&self->g, f.stall, XGPU_ANSWER_FAIL);
		qtest_step(self->g.q, MS);
	}
	EXPECT_EQ(seen, n);
	for (i = 0; i < n; i++)
		EXPECT_EQ(gpu_record(&c[i], 0).status, XGPU_ST_FAULT);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_FAULTS), n);
}

TEST_F(xgpu, fault_waits_for_a_queue)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);
	struct xgpu_error e;
	struct xgpu_fault f;

	gpu_write(&self->g, XGPU_FAULT_LOG2, 0);
	start(&self->c, &cmd);
	EXPECT_EQ(gpu_read(&self->g, XGPU_CTX(1, XGPU_CTX_STATE)), XGPU_STATE_RUNNING);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_FAULT_QUEUE);
	gpu_write(&self->g, XGPU_FAULT_LOG2, GPU_FAULT_LOG2);
	qtest_step(self->g.q, MS);
	EXPECT_TRUE(gpu_fault(&self->g, &f));
	EXPECT_FALSE(gpu_error(&self->g, &e));
}

TEST_F(xgpu, fault_takes_its_time)
{
	struct xgpu_cmd cmd = sum_cmd(VA, 8);

	gpu_write(&self->g, XGPU_LAT_COMMAND, 0);
	gpu_write(&self->g, XGPU_LAT_FAULT, 300 * 1000);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, 299 * 1000);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_TAIL), 0);
	qtest_step(self->g.q, 2 * 1000);
	EXPECT_EQ(gpu_read(&self->g, XGPU_FAULT_TAIL), 1);
}

TEST_HARNESS_MAIN
