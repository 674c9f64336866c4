// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of all shapes, the TLB, shootdowns, and the search for stale entries.
 */
#include "fixture.h"

#define BIG_VA	0x7f1234600000ULL	/* 2 MiB aligned */

static uint64_t sum_of(struct gpu_ctx *c, uint64_t va, uint64_t len, int *status)
{
	struct xgpu_cmd cmd = sum_cmd(va, len);

	*status = gpu_run(c, &cmd);
	return gpu_record(c, c->tail - 1).result;
}

#define EXPECT_WORD(c, va, value) do {						\
	int status_;								\
	EXPECT_EQ(sum_of(c, va, 8, &status_), (uint64_t)(value));		\
	EXPECT_EQ(status_, XGPU_ST_OK);						\
} while (0)

static int status_at(struct gpu_ctx *c, uint64_t va)
{
	int status;

	sum_of(c, va, 8, &status);
	return status;
}

/* ---- walks ---- */

TEST_F(xgpu, page_of_4_kib)
{
	uint64_t page = gpu_alloc(&self->g, 4096);

	qtest_writeq(self->g.q, page + 4088, 0x4444);
	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_SOFTWARE);
	EXPECT_WORD(&self->c, VA + 4088, 0x4444);
}

/* Each of the 16 entries has its own address; one walk serves all 64 KiB. */
TEST_F(xgpu, page_of_64_kib)
{
	uint64_t page = gpu_alloc(&self->g, 65536);

	qtest_writeq(self->g.q, page + 65528, 0x6464);
	qtest_writeq(self->g.q, page + 8, 0x88);
	gpu_map(&self->c, VA, page, 65536, XGPU_PTE_64K);
	EXPECT_WORD(&self->c, VA + 65528, 0x6464);
	EXPECT_WORD(&self->c, VA + 8, 0x88);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), 1);
}

TEST_F(xgpu, page_of_2_mib)
{
	uint64_t page = gpu_alloc(&self->g, 2 << 20);

	qtest_writeq(self->g.q, page + (2 << 20) - 8, 0x2222);
	gpu_set_entry(&self->c, BIG_VA, 1, page | XGPU_PTE_VALID | XGPU_PTE_LEAF);
	EXPECT_WORD(&self->c, BIG_VA + (2 << 20) - 8, 0x2222);
	EXPECT_WORD(&self->c, BIG_VA, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), 1);
}

TEST_F(xgpu, tables_in_video_memory)
{
	struct gpu_ctx c = { .tables_in_vram = true };
	uint64_t page = gpu_alloc(&self->g, 4096);

	gpu_ctx_init(&self->g, &c, 3, 0);
	qtest_writeq(self->g.q, page, 0x5151);
	gpu_map(&c, VA, page, 4096, 0);
	gpu_map(&c, VA + 4096, 0x30000, 4096, XGPU_PTE_VRAM);
	qtest_writeq(self->g.q, self->g.vram + 0x30000, 0x7171);
	EXPECT_WORD(&c, VA, 0x5151);
	EXPECT_WORD(&c, VA + 4096, 0x7171);
}

TEST_F(xgpu, contexts_have_their_own_addresses)
{
	uint64_t one = gpu_alloc(&self->g, 4096), two = gpu_alloc(&self->g, 4096);
	struct gpu_ctx c = {};

	gpu_ctx_init(&self->g, &c, XGPU_CONTEXTS - 1, 0);
	qtest_writeq(self->g.q, one, 1);
	qtest_writeq(self->g.q, two, 2);
	gpu_map(&self->c, VA, one, 4096, 0);
	gpu_map(&c, VA, two, 4096, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_WORD(&c, VA, 2);
}

TEST_F(xgpu, malformed_entries)
{
	static const struct { unsigned int level; uint64_t entry; } bad[] = {
		{ 0, 1ULL << 5 }, { 0, 1ULL << 11 }, { 0, 1ULL << 63 }, { 0, 1ULL << 59 },
		/* 64 KiB: not the entry's own address */
		{ 0, XGPU_PTE_64K | 0x201000 },
		/* 2 MiB: not aligned */
		{ 1, XGPU_PTE_LEAF | 0x201000 },
		{ 1, XGPU_PTE_64K | 0x200000 },
		{ 2, XGPU_PTE_LEAF | 0x40000000 },
		{ 3, XGPU_PTE_LEAF }, { 3, XGPU_PTE_64K },
	};
	struct xgpu_error e;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* Its own range of addresses, at every level */
		uint64_t va = (i + 1ULL) << 39, at = gpu_entry(&self->c, va, bad[i].level);

		qtest_writeq(self->g.q, at, bad[i].entry | XGPU_PTE_VALID);
		EXPECT_EQ(status_at(&self->c, va), XGPU_ST_BAD_PTE) {
			TH_LOG("case %u", i);
		}
		ASSERT_TRUE(gpu_error(&self->g, &e));
		EXPECT_EQ(e.type, XGPU_ERR_PTE);
		EXPECT_EQ(e.address, at);
		EXPECT_EQ(e.va, va);
		EXPECT_EQ(e.info, bad[i].entry | XGPU_PTE_VALID);
	}
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_BAD_PTES), ARRAY_SIZE(bad));
}

TEST_F(xgpu, entry_beyond_video_memory)
{
	struct xgpu_error e;

	gpu_map(&self->c, VA, GPU_VRAM, 4096, XGPU_PTE_VRAM);
	EXPECT_EQ(status_at(&self->c, VA), XGPU_ST_DMA_ERROR);
	ASSERT_TRUE(gpu_error(&self->g, &e));
	EXPECT_EQ(e.type, XGPU_ERR_VRAM);
	EXPECT_EQ(e.address, GPU_VRAM);
	EXPECT_EQ(e.va, VA);
}

/* ---- the TLB ---- */

/* Two pages of other content; the first one is mapped, and in the TLB. */
static uint64_t mapped_page(struct gpu *g, struct gpu_ctx *c, uint64_t *other)
{
	uint64_t page = gpu_alloc(g, 4096);
	int status;

	*other = gpu_alloc(g, 4096);
	qtest_writeq(g->q, page, 1);
	qtest_writeq(g->q, *other, 2);
	gpu_map(c, VA, page, 4096, 0);
	sum_of(c, VA, 8, &status);
	return page;
}

TEST_F(xgpu, translation_stays_until_it_is_shot_down)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_map(&self->c, VA, other, 4096, 0);
	qtest_step(self->g.q, 1000 * MS);
	EXPECT_WORD(&self->c, VA, 1);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 5, 0);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 5);
	EXPECT_WORD(&self->c, VA, 2);
}

TEST_F(xgpu, shootdown_hits_what_it_overlaps_and_nothing_else)
{
	uint64_t big = gpu_alloc(&self->g, 2 << 20), page = gpu_alloc(&self->g, 3 * 4096);
	uint64_t walks;
	unsigned int i;

	gpu_set_entry(&self->c, BIG_VA, 1, big | XGPU_PTE_VALID | XGPU_PTE_LEAF);
	gpu_map(&self->c, VA, page, 3 * 4096, 0);
	for (i = 0; i < 3; i++)
		EXPECT_WORD(&self->c, VA + i * 4096, 0);
	EXPECT_WORD(&self->c, BIG_VA, 0);
	walks = gpu_read64(&self->g, XGPU_CNT_WALKS);
	/* The page in the middle, and a byte of the big one */
	gpu_shoot(&self->g, 1, VA + 4096, VA + 8191, 1, 0);
	gpu_shoot(&self->g, 1, BIG_VA + 0x123456, BIG_VA + 0x123456, 2, 0);
	/* Another context's are no matter. */
	gpu_shoot(&self->g, 2, 0, (1ULL << 48) - 1, 3, 0);
	qtest_step(self->g.q, MS);
	EXPECT_WORD(&self->c, VA, 0);
	EXPECT_WORD(&self->c, VA + 8192, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), walks);
	EXPECT_WORD(&self->c, VA + 4096, 0);
	EXPECT_WORD(&self->c, BIG_VA, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), walks + 2);
	gpu_shoot(&self->g, 1, 1, 0, 4, XGPU_SHOOT_ALL);
	qtest_step(self->g.q, MS);
	EXPECT_WORD(&self->c, VA, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), walks + 3);
}

TEST_F(xgpu, more_permission_needs_no_shootdown)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8, 0xabcd);
	uint64_t other, page = mapped_page(&self->g, &self->c, &other);

	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	EXPECT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0xabcd);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_STALE), 0);
}

TEST_F(xgpu, more_pages_than_the_tlb_has_entries)
{
	uint64_t pages = gpu_alloc(&self->g, 512 * 4096);
	struct xgpu_cmd cmd = sum_cmd(VA, 512 * 4096);

	gpu_map(&self->c, VA, pages, 512 * 4096, 0);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_GT(gpu_read64(&self->g, XGPU_CNT_TLB_MISSES), 512 + 256);
	gpu_write64(&self->g, XGPU_SCAN_FIRST, 0);
	gpu_write64(&self->g, XGPU_SCAN_LAST, -1ULL);
	gpu_write(&self->g, XGPU_SCAN_CONTEXT, 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), gpu_read(&self->g, XGPU_TLB_ENTRIES));
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 0);
}

/* ---- shootdowns ---- */

TEST_F(xgpu, shootdown_takes_its_time)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_write(&self->g, XGPU_LAT_SHOOTDOWN, 200 * 1000);
	gpu_map(&self->c, VA, other, 4096, 0);
	gpu_shoot(&self->g, 1, VA, VA, 77, XGPU_SHOOT_INTERRUPT);
	qtest_step(self->g.q, 199 * 1000);
	EXPECT_EQ(gpu_read(&self->g, XGPU_STATUS), XGPU_STATUS_SHOOTING);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 0);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.done), 0);
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_STATUS), 0);
	qtest_step(self->g.q, 2 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 77);
	EXPECT_EQ(qtest_readq(self->g.q, self->g.done), 77);
	EXPECT_EQ(gpu_read(&self->g, XGPU_INT_STATUS), 1 << XGPU_IRQ_SHOOTDOWN);
	EXPECT_EQ(gpu_read(&self->g, XGPU_STATUS), 0);
}

/* Several that are submitted together take the time of one. */
TEST_F(xgpu, shootdowns_overlap_and_complete_in_order)
{
	unsigned int i;

	gpu_write(&self->g, XGPU_LAT_SHOOTDOWN, 200 * 1000);
	for (i = 1; i <= 50; i++)
		gpu_shoot(&self->g, i, VA, VA, i, 0);
	qtest_step(self->g.q, 201 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 50);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_SHOOTDOWNS), 50);
	/* A shorter latency does not let the next one overtake. */
	gpu_shoot(&self->g, 1, VA, VA, 51, 0);
	qtest_step(self->g.q, 2000);
	gpu_write(&self->g, XGPU_LAT_SHOOTDOWN, 0);
	gpu_shoot(&self->g, 1, VA, VA, 52, 0);
	qtest_step(self->g.q, 100 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 50);
	qtest_step(self->g.q, 100 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 52);
}

/* The queue is as long as the driver makes it, and longer than the device takes at once. */
TEST_F(xgpu, full_queue_of_shootdowns)
{
	struct xgpu_shootdown s = { .context = 1, .last = 4095 };
	unsigned int i, n = 1 << 10;
	uint64_t queue = gpu_alloc(&self->g, n * sizeof(s));

	gpu_write(&self->g, XGPU_SHOOT_LOG2, 0);
	gpu_write64(&self->g, XGPU_SHOOT_BASE, queue);
	gpu_write(&self->g, XGPU_SHOOT_LOG2, 10);
	for (i = 0; i < n; i++) {
		s.seq = i + 1;
		qtest_write(self->g.q, queue + i * sizeof(s), &s, sizeof(s));
	}
	gpu_write(&self->g, XGPU_SHOOT_TAIL, n);
	qtest_step(self->g.q, 2000);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SHOOT_HEAD), 64);
	qtest_step(self->g.q, MS);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SHOOT_HEAD), n);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), n);
	/* More than it holds is refused. */
	gpu_write(&self->g, XGPU_SHOOT_TAIL, 2 * n + 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SHOOT_TAIL), n);
}

TEST_F(xgpu, malformed_shootdown_completes_without_effect)
{
	static const struct { unsigned int context, flags; uint64_t first, last; } bad[] = {
		{ XGPU_CONTEXTS, 0, VA, VA }, { 0xffff, XGPU_SHOOT_ALL, VA, VA },
		{ 1, 0, VA + 1, VA }, { 1, 0, 0, 1ULL << 48 }, { 1, 4, VA, VA },
	};
	struct xgpu_error e;
	uint64_t other;
	unsigned int i;

	mapped_page(&self->g, &self->c, &other);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		gpu_shoot(&self->g, bad[i].context, bad[i].first, bad[i].last, 100 + i,
			  bad[i].flags);
		qtest_step(self->g.q, MS);
		EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 100 + i);
		ASSERT_TRUE(gpu_error(&self->g, &e));
		EXPECT_EQ(e.type, XGPU_ERR_SHOOTDOWN);
	}
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CNT_WALKS), 1);
}

/*
 * The page's old frame is written by a command that was under way before the shootdown; it is
 * not complete before that has been done.
 */
TEST_F(xgpu, shootdown_waits_for_what_is_under_way)
{
	uint64_t page = gpu_alloc(&self->g, 4096);
	struct xgpu_cmd cmd = fill_cmd(VA, 4096, 0x99);

	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	gpu_write(&self->g, XGPU_LAT_COMMAND, 0);
	gpu_write(&self->g, XGPU_LAT_KIB, 250 * 1000);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, 100 * 1000);
	/* 900 us are left of it. */
	gpu_set_entry(&self->c, VA, 0, 0);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 9, 0);
	qtest_step(self->g.q, 850 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 0);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0);
	qtest_step(self->g.q, 100 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 9);
	EXPECT_EQ(qtest_readq(self->g.q, page), 0x99);
}

/* A reset ends it, and the shootdown need not wait. */
TEST_F(xgpu, shootdown_of_a_context_that_is_reset)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 4096, 0x99);

	gpu_map(&self->c, VA, gpu_alloc(&self->g, 4096), 4096, XGPU_PTE_WRITE);
	gpu_write(&self->g, XGPU_LAT_KIB, 1000 * 1000);
	gpu_put(&self->c, &cmd);
	gpu_ring(&self->c);
	qtest_step(self->g.q, 100 * 1000);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 9, 0);
	qtest_step(self->g.q, 100 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 0);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_RESET), 1);
	qtest_step(self->g.q, 100 * 1000);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_SHOOT_DONE), 9);
}

/* ---- stale entries ---- */

static void scan(struct gpu *g, uint64_t first, uint64_t last)
{
	gpu_write64(g, XGPU_SCAN_FIRST, first);
	gpu_write64(g, XGPU_SCAN_LAST, last);
	gpu_write(g, XGPU_SCAN_CONTEXT, 1);
}

#define EXPECT_STALE(g, open, pending) do {					\
	EXPECT_EQ(gpu_read64(g, XGPU_CNT_STALE), open);				\
	EXPECT_EQ(gpu_read64(g, XGPU_CNT_STALE_PENDING), pending);		\
} while (0)

/* Between the table's change and the shootdown, and until that is complete, it may be used. */
TEST_F(xgpu, stale_hit_is_forgiven_by_the_shootdown_that_follows)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 0, 0);
	gpu_map(&self->c, VA, other, 4096, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 1, 0);
	gpu_write(&self->g, XGPU_LAT_SHOOTDOWN, 100 * MS);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 1, 0);
	qtest_step(self->g.q, 1000);
	EXPECT_STALE(&self->g, 0, 1);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 0, 2);
	qtest_step(self->g.q, 200 * MS);
	EXPECT_WORD(&self->c, VA, 2);
	EXPECT_STALE(&self->g, 0, 2);
}

TEST_F(xgpu, stale_hit_without_a_shootdown_remains)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_set_entry(&self->c, VA, 0, 0);
	EXPECT_WORD(&self->c, VA, 1);
	/* Elsewhere, or another context's, is no excuse. */
	gpu_shoot(&self->g, 1, VA + 4096, VA + 8191, 1, 0);
	gpu_shoot(&self->g, 2, VA, VA + 4095, 2, 0);
	qtest_step(self->g.q, MS);
	EXPECT_STALE(&self->g, 1, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 2, 0);
	EXPECT_EQ(gpu_read64(&self->g, XGPU_CTX(1, XGPU_CTX_CNT_STALE)), 2);
}

/* The shootdown came before the table was changed: the wrong order. */
TEST_F(xgpu, stale_hit_after_a_shootdown_that_came_too_early)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 1, 0);
	qtest_step(self->g.q, MS);
	EXPECT_WORD(&self->c, VA, 1);
	gpu_map(&self->c, VA, other, 4096, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 1, 0);
}

/* Evicted by others, it is remembered all the same. */
TEST_F(xgpu, stale_hit_is_remembered_beyond_the_entry)
{
	struct xgpu_cmd cmd = sum_cmd(VA + 0x100000, 512 * 4096);
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_set_entry(&self->c, VA, 0, 0);
	EXPECT_WORD(&self->c, VA, 1);
	gpu_map(&self->c, VA + 0x100000, gpu_alloc(&self->g, 512 * 4096), 512 * 4096, 0);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	scan(&self->g, VA, VA + 4095);
	ASSERT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 0);
	EXPECT_STALE(&self->g, 1, 0);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 1, 0);
	qtest_step(self->g.q, MS);
	EXPECT_STALE(&self->g, 0, 1);
}

TEST_F(xgpu, lost_permission_is_stale)
{
	struct xgpu_cmd cmd = fill_cmd(VA, 8, 1);
	uint64_t page = gpu_alloc(&self->g, 4096);

	gpu_map(&self->c, VA, page, 4096, XGPU_PTE_WRITE);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	gpu_map(&self->c, VA, page, 4096, 0);
	ASSERT_EQ(gpu_run(&self->c, &cmd), XGPU_ST_OK);
	EXPECT_STALE(&self->g, 1, 0);
}

/* A big page split into small ones that lead to the same memory is none. */
TEST_F(xgpu, same_memory_by_other_entries_is_not_stale)
{
	uint64_t page = gpu_alloc(&self->g, 65536);

	gpu_map(&self->c, VA, page, 65536, XGPU_PTE_64K);
	EXPECT_WORD(&self->c, VA, 0);
	gpu_map(&self->c, VA, page, 65536, 0);
	EXPECT_WORD(&self->c, VA + 8192, 0);
	EXPECT_STALE(&self->g, 0, 0);
	scan(&self->g, VA, VA + 65535);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 0);
	/* One of the 16 goes: the entry is stale, as far as one asks about that one. */
	gpu_set_entry(&self->c, VA + 8192, 0, 0);
	scan(&self->g, VA, VA + 8191);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 0);
	scan(&self->g, VA, VA + 8192);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 1);
	EXPECT_WORD(&self->c, VA, 0);
	EXPECT_STALE(&self->g, 0, 0);
	EXPECT_WORD(&self->c, VA + 8192, 0);
	EXPECT_STALE(&self->g, 1, 0);
}

TEST_F(xgpu, scan_finds_what_was_never_used_again)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	scan(&self->g, VA, VA + 4095);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 0);
	gpu_set_entry(&self->c, VA, 0, 0);
	scan(&self->g, VA, VA + 4095);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STALE), 1);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_STATUS), 0);
	EXPECT_STALE(&self->g, 0, 0);
	scan(&self->g, VA + 4096, -1ULL);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 0);
	gpu_shoot(&self->g, 1, VA, VA + 4095, 1, 0);
	qtest_step(self->g.q, MS);
	scan(&self->g, VA, VA + 4095);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 0);
}

TEST_F(xgpu, stale_check_can_be_turned_off)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_write(&self->g, XGPU_STALE_CHECK, 0);
	gpu_set_entry(&self->c, VA, 0, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 0, 0);
}

TEST_F(xgpu, disabled_context_has_no_stale_entries)
{
	uint64_t other;

	mapped_page(&self->g, &self->c, &other);
	gpu_set_entry(&self->c, VA, 0, 0);
	EXPECT_WORD(&self->c, VA, 1);
	EXPECT_STALE(&self->g, 1, 0);
	gpu_write(&self->g, XGPU_CTX(1, XGPU_CTX_CONTROL), 0);
	EXPECT_STALE(&self->g, 0, 1);
	scan(&self->g, 0, -1ULL);
	EXPECT_EQ(gpu_read(&self->g, XGPU_SCAN_CACHED), 0);
}

TEST_HARNESS_MAIN
