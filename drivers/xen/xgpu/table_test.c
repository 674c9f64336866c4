// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: which entries a run becomes. Large ones of the device (2 MiB, 64 KiB) want memory that is
 * aligned as they are, and runs are not always so: in a Xen PV domain frames that follow each other
 * in the machine may begin anywhere there, whatever their addresses in the domain are.
 *
 * The driver is a module, which nobody loads where unit tests run. So its table is in here, too,
 * and tables are arrays: no device walks them.
 */
#include <kunit/test.h>

#include "table.c"

#define XT_CHUNK 0x123456UL
#define XT_VA (XT_CHUNK * SZ_2M)
#define XT_DMA 0x80000000UL /* aligned to anything */
#define XT_FLAGS (XGPU_PTE_VALID | XGPU_PTE_WRITE)

struct xt_case {
	const char *name;
	unsigned int page; /* where in the chunk */
	unsigned int order;
	u64 address;
	bool large; /* one entry of 2 MiB */
	bool medium; /* entries of 64 KiB */
};

static const struct xt_case xt_cases[] = {
	{ "16 pages, aligned", 16, 4, XT_DMA + SZ_64K, .medium = true },
	{ "16 pages, at 4 KiB", 16, 4, XT_DMA + SZ_4K },
	{ "16 pages, at 32 KiB", 16, 4, XT_DMA + SZ_32K },
	{ "256 pages, aligned to 64 KiB", 256, 8, XT_DMA + 3 * SZ_64K, .medium = true },
	{ "256 pages, at 60 KiB", 256, 8, XT_DMA + SZ_64K - SZ_4K },
	{ "8 pages, aligned", 16, 3, XT_DMA },
	{ "8 pages, the upper half", 24, 3, XT_DMA + SZ_32K },
	{ "a page, aligned", 0, 0, XT_DMA },
	{ "2 MiB, aligned", 0, 9, XT_DMA, .large = true },
	{ "2 MiB, aligned to 64 KiB", 0, 9, XT_DMA + SZ_64K, .medium = true },
	{ "2 MiB, at 1 MiB and 4 KiB", 0, 9, XT_DMA + SZ_1M + SZ_4K },
};

KUNIT_ARRAY_PARAM_DESC(xt, xt_cases, name);

struct xt {
	struct xgpu_ctx ctx;
	struct xgpu_table tables[XGPU_PT_LEVELS];
};

/* The tables of one chunk */
static int xt_init(struct kunit *test)
{
	struct xt *xt = kunit_kzalloc(test, sizeof(*xt), GFP_KERNEL);
	int level;

	KUNIT_ASSERT_NOT_NULL(test, xt);
	for (level = 0; level < XGPU_PT_LEVELS; level++) {
		struct xgpu_table *table = &xt->tables[level];

		table->entries = kunit_kcalloc(test, XGPU_PT_ENTRIES, sizeof(*table->entries),
					       GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, table->entries);
		table->dma = (level + 1) * PAGE_SIZE;
		if (!level)
			continue;
		table->children = kunit_kcalloc(test, XGPU_PT_ENTRIES, sizeof(*table->children),
						GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, table->children);
		table->children[XGPU_PT_INDEX(XT_VA, level)] = table - 1;
	}
	xt->ctx.table = &xt->tables[XGPU_PT_LEVELS - 1];
	test->priv = xt;
	return 0;
}

static struct device_mirror_run xt_run(const struct xt_case *want, bool write)
{
	return (struct device_mirror_run){
		.addr = XT_VA + want->page * PAGE_SIZE,
		.address = want->address,
		.order = want->order,
		.write = write,
	};
}

static u64 xt_entry(const struct xt *xt, int level, unsigned long addr)
{
	return le64_to_cpu(xt->tables[level].entries[XGPU_PT_INDEX(addr, level)]);
}

/* What the device wants of 16 entries of which one says 64 KiB (xgpu-device.md) */
static bool xt_is_one_of_64k(const struct xt *xt, unsigned long addr)
{
	unsigned long base = ALIGN_DOWN(addr, SZ_64K), at;
	u64 first = xt_entry(xt, 0, base);

	if (!(first & XGPU_PTE_VALID) || !(first & XGPU_PTE_64K) || first & XGPU_PTE_ADDR & 0xf000)
		return false;
	for (at = 0; at < SZ_64K; at += PAGE_SIZE)
		if (xt_entry(xt, 0, base + at) != first + at)
			return false;
	return true;
}

static void entries_are_as_large_as_memory_lies(struct kunit *test)
{
	const struct xt_case *want = test->param_value;
	struct xt *xt = test->priv;
	struct device_mirror_run run = xt_run(want, true);
	unsigned long at, size = PAGE_SIZE << want->order;

	xgpu_table_map(&xt->ctx, &run);
	if (want->large) {
		KUNIT_EXPECT_EQ(test, xt_entry(xt, 1, run.addr),
				want->address | XT_FLAGS | XGPU_PTE_LEAF);
		return;
	}
	KUNIT_EXPECT_EQ(test, xt_entry(xt, 1, run.addr), xgpu_pointer(&xt->tables[0]));
	for (at = 0; at < size; at += PAGE_SIZE) {
		u64 entry = xt_entry(xt, 0, run.addr + at);

		KUNIT_ASSERT_EQ_MSG(test, entry & ~XGPU_PTE_64K, (want->address + at) | XT_FLAGS,
				    "page %lu", at / PAGE_SIZE);
		KUNIT_ASSERT_EQ_MSG(test, !!(entry & XGPU_PTE_64K), want->medium, "page %lu",
				    at / PAGE_SIZE);
		if (want->medium)
			KUNIT_ASSERT_TRUE(test, xt_is_one_of_64k(xt, run.addr + at));
	}
}

/* What lies beside a run is not its own, and a run goes without a trace. */
static void clear_leaves_nothing(struct kunit *test)
{
	const struct xt_case *want = test->param_value;
	struct xt *xt = test->priv;
	struct device_mirror_run run = xt_run(want, false);
	unsigned long size = PAGE_SIZE << want->order, at;

	xgpu_table_map(&xt->ctx, &run);
	for (at = XT_VA; at < XT_VA + SZ_2M; at += PAGE_SIZE)
		if (at < run.addr || at >= run.addr + size)
			KUNIT_ASSERT_EQ_MSG(test, xt_entry(xt, 0, at), 0, "at %#lx", at);
	xgpu_table_clear(&xt->ctx, run.addr, run.addr + size);
	KUNIT_EXPECT_EQ(test, xt_entry(xt, 1, run.addr), xgpu_pointer(&xt->tables[0]));
	for (at = XT_VA; at < XT_VA + SZ_2M; at += PAGE_SIZE)
		KUNIT_ASSERT_EQ_MSG(test, xt_entry(xt, 0, at), 0, "at %#lx", at);
}

static struct kunit_case xt_test_cases[] = {
	KUNIT_CASE_PARAM(entries_are_as_large_as_memory_lies, xt_gen_params),
	KUNIT_CASE_PARAM(clear_leaves_nothing, xt_gen_params),
	{}
};

static struct kunit_suite xt_suite = {
	.name = "xgpu_table",
	.init = xt_init,
	.test_cases = xt_test_cases,
};

kunit_test_suite(xt_suite);
