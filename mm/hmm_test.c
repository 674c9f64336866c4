// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: hmm_range_fault() over ordinary memory: what is absent, present, read-only; which
 * pages are faulted; what is left in the entries by an error.
 */
#include <linux/sizes.h>
#include <linux/slab.h>

#include "hmm_test.h"

/*
 * -- absent
 */

struct ht_absent_case {
	const char *name;
	unsigned long away; /* a page that is there, so far from what is asked */
};

/* The higher the first table that is missing, the farther away the page next to it. */
static const struct ht_absent_case ht_absent_cases[] = {
	{ "no PTE", PAGE_SIZE },
	{ "no PTE table", PMD_SIZE },
	{ "no PMD table", PUD_SIZE },
	{ "no PUD table", PGDIR_SIZE },
};

KUNIT_ARRAY_PARAM_DESC(ht_absent, ht_absent_cases, name);

static void ht_map_absent(struct kunit *test)
{
	const struct ht_absent_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	unsigned long away = c->away >> PAGE_SHIFT;

	ht_map(ctx, 0, 16, HT_RW_PROT);
	if (c->away > PAGE_SIZE)
		ht_map(ctx, away, 1, HT_RW_PROT);
	else
		away = 15;
	ht_fill(ctx, away, 1);
}

static void absent_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_absent(test);
	ht_snapshot(ctx, 0, 8);
	ht_expect_all(ctx, 0, 8, 0UL);
	KUNIT_EXPECT_TRUE(test, pte_none(ht_pte(ctx, 3)));
}

static void absent_comes_when_read(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_absent(test);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 8, HT_R), 0);
	ht_expect_all(ctx, 0, 8, my_zero_pfn(0) | HMM_PFN_VALID);
}

static void absent_comes_when_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_absent(test);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 8, HT_RW), 0);
	ht_fill(ctx, 0, 8);
	ht_expect_pages(ctx, 0, 8, HMM_PFN_WRITE);
}

/*
 * -- present
 */

static void present_is_reported(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_fill(ctx, 2, 4);
	ht_snapshot(ctx, 0, 8);
	ht_expect_all(ctx, 0, 2, 0UL);
	ht_expect_pages(ctx, 2, 4, HMM_PFN_WRITE);
	ht_expect_all(ctx, 6, 2, 0UL);
}

static void present_is_not_faulted(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_fill(ctx, 0, 8);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 8, HT_RW), 0);
	ht_expect_pages(ctx, 0, 8, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ctx->busy, 0);
}

/* The VMA would allow it. */
static void write_permission_is_that_of_the_entry(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_fill(ctx, 0, 8);
	ht_wrprotect(ctx, 3);
	ht_wrprotect(ctx, 4);
	ht_snapshot(ctx, 0, 8);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
	ht_expect_pages(ctx, 3, 2, 0);
	ht_expect_pages(ctx, 5, 3, HMM_PFN_WRITE);
}

static void read_only_page_is_faulted_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_fill(ctx, 0, 4);
	ht_wrprotect(ctx, 2);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 4, HT_RW), 0);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE);
	KUNIT_EXPECT_TRUE(test, pte_write(ht_pte(ctx, 2)));
}

static void read_only_page_is_not_faulted_to_be_read(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_fill(ctx, 0, 4);
	ht_wrprotect(ctx, 2);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 4, HT_R), 0);
	ht_expect_page(ctx, 2, 0);
	KUNIT_EXPECT_FALSE(test, pte_write(ht_pte(ctx, 2)));
}

static void zero_page_is_read_only(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_read(ctx, 0, 4);
	KUNIT_EXPECT_TRUE(test, is_zero_pfn(ht_pfn(ctx, 1)));
	ht_snapshot(ctx, 0, 4);
	ht_expect_all(ctx, 0, 4, my_zero_pfn(0) | HMM_PFN_VALID);
}

static void zero_page_is_replaced_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_read(ctx, 0, 4);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 2, HT_RW), 0);
	ht_fill(ctx, 1, 2);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	KUNIT_EXPECT_TRUE(test, is_zero_pfn(ht_pfn(ctx, 0)));
	KUNIT_EXPECT_TRUE(test, is_zero_pfn(ht_pfn(ctx, 3)));
}

/*
 * -- requests
 */

static const unsigned long ht_some_requests[] = {
	0,
	HT_R,
	0,
	HT_R,
	HT_RW,
	0,
	HMM_PFN_REQ_WRITE,
	0,
};

/* Next to one that is faulted all others stay as they were. */
static void only_pages_that_are_asked_for_are_faulted(struct kunit *test)
{
	const unsigned long zero = my_zero_pfn(0) | HMM_PFN_VALID;
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_range(ctx, 0, 8);
	ht_ask(ctx, 8, ht_some_requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	for (i = 0; i < 8; i++) {
		if (ht_some_requests[i] == HT_R) {
			ht_expect(ctx, i, zero);
		} else if (ht_some_requests[i] == HT_RW) {
			KUNIT_EXPECT_EQ(test, ctx->pfns[i],
					ht_pfn(ctx, i) | HMM_PFN_VALID | HMM_PFN_WRITE);
			KUNIT_EXPECT_FALSE(test, is_zero_pfn(ht_pfn(ctx, i)));
		} else {
			ht_expect(ctx, i, 0UL);
			KUNIT_EXPECT_TRUE_MSG(test, pte_none(ht_pte(ctx, i)), "page %lu", i);
		}
	}
}

/* The same in each of several page tables, of which some are missing */
static void only_pages_that_are_asked_for_are_faulted_in_many_tables(struct kunit *test)
{
	const unsigned long rw = HMM_PFN_VALID | HMM_PFN_WRITE;
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map(ctx, 0, HT_PAGES, HT_RW_PROT);
	ht_fill(ctx, HT_PMD_PAGES + 1, 1);
	ht_range(ctx, 0, HT_PAGES);
	for (i = 0; i < HT_PAGES; i++)
		ctx->pfns[i] = i % 7 == 3 ? HT_RW : 0;
	ctx->range.pfn_flags_mask = HT_RW;
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	for (i = 0; i < HT_PAGES; i++) {
		bool there = i % 7 == 3 || i == HT_PMD_PAGES + 1;

		KUNIT_EXPECT_EQ_MSG(test, !pte_none(ht_pte(ctx, i)), there, "page %lu", i);
		KUNIT_EXPECT_EQ_MSG(test, ctx->pfns[i], there ? ht_pfn(ctx, i) | rw : 0,
				    "entry %lu", i);
	}
}

struct ht_request_case {
	const char *name;
	unsigned long by_default;
	unsigned long mask;
	unsigned long entry;
	unsigned long expect; /* flags of an absent page of private memory */
};

#define HT_VALID HMM_PFN_VALID
#define HT_VALID_W (HMM_PFN_VALID | HMM_PFN_WRITE)

static const struct ht_request_case ht_request_cases[] = {
	{ "nothing", 0, 0, 0, 0 },
	{ "entry without a mask", 0, 0, HT_RW, 0 },
	{ "mask without a request", 0, HT_RW, 0, 0 },
	{ "mask of another flag", 0, HMM_PFN_REQ_WRITE, HT_RW, 0 },
	{ "entry reads", 0, HT_RW, HT_R, HT_VALID },
	{ "entry writes", 0, HT_RW, HT_RW, HT_VALID_W },
	{ "entry writes, mask reads", 0, HT_R, HT_RW, HT_VALID },
	{ "entry writes only", 0, HT_RW, HMM_PFN_REQ_WRITE, 0 },
	{ "default reads", HT_R, 0, 0, HT_VALID },
	{ "default reads, entry writes unmasked", HT_R, 0, HT_RW, HT_VALID },
	{ "default reads, entry writes", HT_R, HT_RW, HT_RW, HT_VALID_W },
	{ "default reads, entry adds write", HT_R, HMM_PFN_REQ_WRITE, HMM_PFN_REQ_WRITE,
	  HT_VALID_W },
	{ "default writes", HT_RW, 0, 0, HT_VALID_W },
	{ "default writes, entry reads", HT_RW, HT_RW, HT_R, HT_VALID_W },
	{ "default writes only", HMM_PFN_REQ_WRITE, 0, 0, 0 },
	{ "default writes only, entry reads", HMM_PFN_REQ_WRITE, HT_R, HT_R, HT_VALID_W },
};

KUNIT_ARRAY_PARAM_DESC(ht_request, ht_request_cases, name);

static void requests_are_combined(struct kunit *test)
{
	const struct ht_request_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_range(ctx, 0, 4);
	ctx->range.default_flags = c->by_default;
	ctx->range.pfn_flags_mask = c->mask;
	for (i = 0; i < 4; i++)
		ctx->pfns[i] = c->entry;
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ_MSG(test, ctx->pfns[i] & HMM_PFN_FLAGS, c->expect,
				    "entry %lu", i);
}

static void sticky_flags_stay(struct kunit *test)
{
	static const unsigned long sticky[] = {
		0,
		HMM_PFN_DMA_MAPPED,
		HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA,
		HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA_BUS,
	};
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	/* Four times: a hole, absent, read-only, writable */
	ht_map(ctx, 4, 4, HT_RW_PROT);
	ht_map(ctx, 8, 8, HT_RW_PROT);
	ht_fill(ctx, 8, 8);
	for (i = 8; i < 12; i++)
		ht_wrprotect(ctx, i);
	ht_range(ctx, 0, 16);
	for (i = 0; i < 16; i++)
		ctx->pfns[i] = HT_JUNK | sticky[i % 4];
	KUNIT_EXPECT_EQ(test, ht_call(ctx), 0);
	for (i = 0; i < 4; i++) {
		ht_expect(ctx, i, HMM_PFN_ERROR | sticky[i]);
		ht_expect(ctx, 4 + i, sticky[i]);
		ht_expect_page(ctx, 8 + i, sticky[i]);
		ht_expect_page(ctx, 12 + i, sticky[i] | HMM_PFN_WRITE);
	}
}

/* They are no requests, whatever the mask says. */
static void sticky_flags_ask_for_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 2, HT_RW_PROT);
	ht_range(ctx, 0, 2);
	ctx->pfns[0] = HMM_PFN_INOUT_FLAGS;
	ctx->pfns[1] = HMM_PFN_DMA_MAPPED | HT_RW;
	ctx->range.pfn_flags_mask = ~0UL;
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	ht_expect(ctx, 0, HMM_PFN_INOUT_FLAGS);
	KUNIT_EXPECT_EQ(test, ctx->pfns[1], ht_pfn(ctx, 1) | HT_VALID_W | HMM_PFN_DMA_MAPPED);
}

/*
 * -- VMAs and where they end
 */

static void hole_is_an_error(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 2, 2, HT_RW_PROT);
	ht_map(ctx, 6, 2, HT_RW_PROT);
	ht_fill(ctx, 2, 2);
	ht_fill(ctx, 6, 1);
	ht_snapshot(ctx, 0, 10);
	ht_expect_all(ctx, 0, 2, HMM_PFN_ERROR);
	ht_expect_pages(ctx, 2, 2, HMM_PFN_WRITE);
	ht_expect_all(ctx, 4, 2, HMM_PFN_ERROR);
	ht_expect_page(ctx, 6, HMM_PFN_WRITE);
	ht_expect(ctx, 7, 0UL);
	ht_expect_all(ctx, 8, 2, HMM_PFN_ERROR);
}

static void several_vmas_in_one_call(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	for (i = 0; i < 6; i++)
		ht_map(ctx, 3 * i, 3, i % 2 ? HT_RW_PROT : HT_RW_PROT | PROT_EXEC);
	KUNIT_EXPECT_EQ(test, ctx->mm->map_count, 6);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 16, HT_RW), 0);
	ht_fill(ctx, 1, 16);
	ht_expect_pages(ctx, 0, 16, HMM_PFN_WRITE);
}

static void fault_in_a_hole_fails(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 2, HT_RW_PROT);
	ht_map(ctx, 4, 2, HT_RW_PROT);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 6, HT_RW), -EFAULT);
	ht_fill(ctx, 0, 2);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 2, 4);
	KUNIT_EXPECT_TRUE(test, pte_none(ht_pte(ctx, 4)));
}

/* The hole begins with a page that nothing is asked of. */
static void hole_ends_with_the_page_asked_for(struct kunit *test)
{
	static const unsigned long requests[] = { HT_R, 0, 0, HT_R, HT_R };
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 1, HT_RW_PROT);
	ht_map(ctx, 4, 1, HT_RW_PROT);
	ht_range(ctx, 0, 5);
	ht_ask(ctx, 5, requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), -EFAULT);
	ht_expect(ctx, 0, my_zero_pfn(0) | HMM_PFN_VALID);
	/* Outputs or inputs: both say the same to the caller before page 3. */
	ht_expect_inputs(ctx, 3, 2);
}

static void first_page_of_the_address_space(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ctx->base = 0;
	ht_snapshot(ctx, 0, 2);
	ht_expect_all(ctx, 0, 2, HMM_PFN_ERROR);
	ht_map(ctx, 0, 1, HT_RW_PROT);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 1, HT_RW), 0);
	ht_fill(ctx, 0, 1);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_snapshot(ctx, 0, 3);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect_all(ctx, 1, 2, HMM_PFN_ERROR);
}

static void last_page_of_the_address_space(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ctx->base = TASK_SIZE_MAX - 3 * PAGE_SIZE;
	ht_snapshot(ctx, 0, 3);
	ht_expect_all(ctx, 0, 3, HMM_PFN_ERROR);
	ht_map(ctx, 2, 1, HT_RW_PROT);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 2, 1, HT_RW), 0);
	ht_fill(ctx, 2, 1);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_snapshot(ctx, 0, 3);
	ht_expect_all(ctx, 0, 2, HMM_PFN_ERROR);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
}

static void one_page(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	ctx->pfns[1] = HT_JUNK;
	ht_snapshot(ctx, 1, 1);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, HT_JUNK);
}

/* Mostly nothing, and a page here and there: at both ends, and beside page tables' ends */
static void one_gigabyte(struct kunit *test)
{
	static const unsigned long there[] = { 0, 511, 512, 1025, 131071, 131072, 262143 };
	const unsigned long nr = SZ_1G >> PAGE_SHIFT;
	struct ht_ctx *ctx = test->priv;
	unsigned long *pfns, i, j, wrong = 0;

	pfns = kvmalloc_array(nr, sizeof(*pfns), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pfns);
	ctx->base += 17 * PAGE_SIZE;
	ht_map(ctx, 0, nr, HT_RW_PROT);
	ht_range(ctx, 0, 1);
	ctx->range.end = ctx->range.start + SZ_1G;
	ctx->range.hmm_pfns = pfns;
	ctx->range.pfn_flags_mask = HT_RW;
	memset(pfns, 0, nr * sizeof(*pfns));
	for (j = 0; j < ARRAY_SIZE(there); j++)
		pfns[there[j]] = HT_RW;
	ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
	mmap_read_lock(ctx->mm);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&ctx->range), 0);
	mmap_read_unlock(ctx->mm);
	for (i = 0, j = 0; i < nr; i++) {
		unsigned long expect = 0;

		if (j < ARRAY_SIZE(there) && i == there[j]) {
			expect = ht_pfn(ctx, i) | HT_VALID_W;
			j++;
		}
		wrong += pfns[i] != expect;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&ctx->mm->rss_stat[MM_ANONPAGES]),
			(s64)ARRAY_SIZE(there));
	kvfree(pfns);
}

/*
 * -- errors, and what they leave
 */

static void write_where_the_vma_forbids_it(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_map(ctx, 3, 3, PROT_READ);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 6, HT_RW), -EPERM);
	ht_fill(ctx, 0, 3);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 3, 3);
	KUNIT_EXPECT_TRUE(test, pte_none(ht_pte(ctx, 3)));
}

static void write_of_a_present_page_where_the_vma_forbids_it(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, PROT_READ);
	ht_read(ctx, 0, 3);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_R), 0);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_RW), -EPERM);
	ht_expect_inputs(ctx, 0, 3);
}

/* A page that is asked for comes although one behind it never will. */
static void pages_before_the_error_are_outputs(struct kunit *test)
{
	static const unsigned long requests[] = { HT_RW, 0, HT_R, HT_R, HT_RW, HT_R };
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 6, PROT_READ);
	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_range(ctx, 0, 6);
	ht_ask(ctx, 6, requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), -EPERM);
	KUNIT_EXPECT_EQ(test, ctx->pfns[0], ht_pfn(ctx, 0) | HT_VALID_W);
	ht_expect(ctx, 1, 0UL);
	ht_expect_all(ctx, 2, 2, my_zero_pfn(0) | HMM_PFN_VALID);
	ht_expect_inputs(ctx, 4, 2);
}

struct ht_bad_case {
	const char *name;
	long start; /* bytes from the base */
	long end;
};

static const struct ht_bad_case ht_bad_cases[] = {
	{ "empty", 0, 0 },
	{ "negative", PAGE_SIZE, 0 },
	{ "start not aligned", 1, 2 * PAGE_SIZE },
	{ "end not aligned", 0, PAGE_SIZE + 1 },
	{ "one byte", 0, 1 },
};

KUNIT_ARRAY_PARAM_DESC(ht_bad, ht_bad_cases, name);

static void range_makes_no_sense(struct kunit *test)
{
	const struct ht_bad_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_range(ctx, 0, 4);
	memcpy(ctx->asked, ctx->pfns, 4 * sizeof(*ctx->pfns));
	ctx->range.start = ht_addr(ctx, 0) + c->start;
	ctx->range.end = ht_addr(ctx, 0) + c->end;
	ctx->range.notifier_seq = mmu_interval_read_begin(&ctx->notifier);
	mmap_read_lock(ctx->mm);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&ctx->range), -EINVAL);
	mmap_read_unlock(ctx->mm);
	ht_expect_inputs(ctx, 0, 4);
}

static struct kunit_case ht_cases[] = {
	KUNIT_CASE_PARAM(absent_is_nothing, ht_absent_gen_params),
	KUNIT_CASE_PARAM(absent_comes_when_read, ht_absent_gen_params),
	KUNIT_CASE_PARAM(absent_comes_when_written, ht_absent_gen_params),
	KUNIT_CASE(present_is_reported),
	KUNIT_CASE(present_is_not_faulted),
	KUNIT_CASE(write_permission_is_that_of_the_entry),
	KUNIT_CASE(read_only_page_is_faulted_to_be_written),
	KUNIT_CASE(read_only_page_is_not_faulted_to_be_read),
	KUNIT_CASE(zero_page_is_read_only),
	KUNIT_CASE(zero_page_is_replaced_to_be_written),
	KUNIT_CASE(only_pages_that_are_asked_for_are_faulted),
	KUNIT_CASE(only_pages_that_are_asked_for_are_faulted_in_many_tables),
	KUNIT_CASE_PARAM(requests_are_combined, ht_request_gen_params),
	KUNIT_CASE(sticky_flags_stay),
	KUNIT_CASE(sticky_flags_ask_for_nothing),
	KUNIT_CASE(hole_is_an_error),
	KUNIT_CASE(several_vmas_in_one_call),
	KUNIT_CASE(fault_in_a_hole_fails),
	KUNIT_CASE(hole_ends_with_the_page_asked_for),
	KUNIT_CASE(first_page_of_the_address_space),
	KUNIT_CASE(last_page_of_the_address_space),
	KUNIT_CASE(one_page),
	KUNIT_CASE(one_gigabyte),
	KUNIT_CASE(write_where_the_vma_forbids_it),
	KUNIT_CASE(write_of_a_present_page_where_the_vma_forbids_it),
	KUNIT_CASE(pages_before_the_error_are_outputs),
	KUNIT_CASE_PARAM(range_makes_no_sense, ht_bad_gen_params),
	{}
};

static struct kunit_suite ht_suite = {
	.name = "hmm_range",
	.init = ht_test_init,
	.exit = ht_test_exit,
	.test_cases = ht_cases,
};

kunit_test_suite(ht_suite);
