// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: hmm_range_fault() over entries that are not simply a page: swapped out, in
 * migration, poisoned, markers, without access; and over VMAs of devices.
 */
#include <linux/kthread.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_test.h"

/* No memory there: an interrupt controller */
#define HT_NO_MEMORY (0xfee00000UL >> PAGE_SHIFT)

/*
 * -- entries that say no page
 */

enum ht_kind {
	HT_SWAP,
	HT_MIGRATION_READ,
	HT_MIGRATION_WRITE,
	HT_HWPOISON,
	HT_POISON_MARKER,
	HT_UFFD_WP_MARKER,
};

struct ht_entry_case {
	const char *name;
	enum ht_kind kind;
	unsigned long snapshot;
	int fault;
};

static const struct ht_entry_case ht_entry_cases[] = {
	{ "swapped out", HT_SWAP, 0, 0 },
	{ "in migration, read-only", HT_MIGRATION_READ, 0, 0 },
	{ "in migration, writable", HT_MIGRATION_WRITE, 0, 0 },
	{ "poisoned memory", HT_HWPOISON, HMM_PFN_ERROR, -EFAULT },
	{ "poison marker", HT_POISON_MARKER, HMM_PFN_ERROR, -EFAULT },
	{ "uffd-wp marker", HT_UFFD_WP_MARKER, 0, 0 },
};

KUNIT_ARRAY_PARAM_DESC(ht_entry, ht_entry_cases, name);

static pte_t ht_entry_pte(const struct ht_entry_case *c, struct page *page)
{
	switch (c->kind) {
	case HT_SWAP:
		/* Of no swap device: for a look only */
		return swp_entry_to_pte(swp_entry(0, 5));
	case HT_MIGRATION_READ:
		return swp_entry_to_pte(make_readable_migration_entry(page_to_pfn(page)));
	case HT_MIGRATION_WRITE:
		return swp_entry_to_pte(make_writable_migration_entry(page_to_pfn(page)));
	case HT_HWPOISON:
		return swp_entry_to_pte(swp_entry(SWP_HWPOISON, page_to_pfn(page)));
	case HT_POISON_MARKER:
		return make_pte_marker(PTE_MARKER_POISONED);
	case HT_UFFD_WP_MARKER:
		return make_pte_marker(PTE_MARKER_UFFD_WP);
	}
	return __pte(0);
}

static void entry_in_a_snapshot(struct kunit *test)
{
	const struct ht_entry_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	struct page *page = ht_alloc(ctx, 0);

	ht_map(ctx, 0, 5, HT_RW_PROT);
	ht_fill(ctx, 0, 2);
	ht_fill(ctx, 3, 2);
	lock_page(page);
	ht_plant(ctx, 2, ht_entry_pte(c, page));
	ht_snapshot(ctx, 0, 5);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect(ctx, 2, c->snapshot);
	ht_expect_pages(ctx, 3, 2, HMM_PFN_WRITE);
	ht_set_pte(ctx, 2, __pte(0));
	unlock_page(page);
}

/* What is asked of its neighbours does not disturb it. */
static void entry_that_is_not_asked_for(struct kunit *test)
{
	static const unsigned long requests[] = { HT_RW, HT_R, 0, HT_RW, HT_R };
	const struct ht_entry_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	struct page *page = ht_alloc(ctx, 0);

	ht_map(ctx, 0, 5, HT_RW_PROT);
	lock_page(page);
	ht_plant(ctx, 2, ht_entry_pte(c, page));
	ht_range(ctx, 0, 5);
	ht_ask(ctx, 5, requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	ht_expect(ctx, 1, my_zero_pfn(0) | HMM_PFN_VALID);
	ht_expect(ctx, 2, c->snapshot);
	KUNIT_EXPECT_EQ(test, ctx->pfns[3], ht_pfn(ctx, 3) | HMM_PFN_VALID | HMM_PFN_WRITE);
	ht_set_pte(ctx, 2, __pte(0));
	unlock_page(page);
}

static void poisoned_entry_is_asked_for(struct kunit *test)
{
	const struct ht_entry_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	struct page *page = ht_alloc(ctx, 0);

	if (!c->fault)
		kunit_skip(test, "not poisoned");
	ht_map(ctx, 0, 5, HT_RW_PROT);
	ht_fill(ctx, 0, 2);
	ht_plant(ctx, 2, ht_entry_pte(c, page));
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 5, HT_R), c->fault);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 2, 3);
}

static void marker_of_userfaultfd_goes_with_a_fault(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_plant(ctx, 1, make_pte_marker(PTE_MARKER_UFFD_WP));
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_RW), 0);
	ht_fill(ctx, 0, 3);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
}

static void page_without_access_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	/* Without, no entry of a page that may be read is like this. */
	if (!IS_ENABLED(CONFIG_NUMA_BALANCING))
		kunit_skip(test, "no NUMA balancing");
	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	/* As automatic NUMA balancing does */
	ht_set_pte(ctx, 1, pte_modify(ht_pte(ctx, 1), PAGE_NONE));
	ht_snapshot(ctx, 0, 3);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, 0UL);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_R), 0);
	ht_expect_page(ctx, 1, ctx->pfns[1] & HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_RW), 0);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
}

/* -- a fault of a page in migration waits */

struct ht_waiter {
	struct ht_ctx *ctx;
	struct completion done;
	int ret;
};

static int ht_wait_main(void *data)
{
	struct ht_waiter *waiter = data;

	waiter->ret = ht_call_again(waiter->ctx);
	complete(&waiter->done);
	return 0;
}

static void page_in_migration_is_waited_for(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct ht_waiter *waiter = kunit_kzalloc(test, sizeof(*waiter), GFP_KERNEL);
	struct task_struct *task;
	struct page *page;
	pte_t pte;

	KUNIT_ASSERT_NOT_NULL(test, waiter);
	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	pte = ht_pte(ctx, 1);
	page = pte_page(pte);
	lock_page(page);
	ht_set_pte(ctx, 1, swp_entry_to_pte(make_writable_migration_entry(page_to_pfn(page))));
	ht_range(ctx, 0, 3);
	ctx->range.default_flags = HT_RW;
	waiter->ctx = ctx;
	init_completion(&waiter->done);
	task = kthread_run(ht_wait_main, waiter, "hmm-test");
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	if (!IS_ERR(task))
		KUNIT_EXPECT_EQ(test, wait_for_completion_timeout(&waiter->done, HZ / 10), 0);
	ht_set_pte(ctx, 1, pte);
	unlock_page(page);
	if (!IS_ERR(task))
		KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&waiter->done, HT_LIMIT), 0);
	KUNIT_EXPECT_EQ(test, waiter->ret, 0);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
}

/*
 * -- VMAs that a device cannot have
 */

struct ht_vma_case {
	const char *name;
	vm_flags_t flags; /* of a file's VMA; 0: anonymous memory */
	unsigned long prot;
};

static const struct ht_vma_case ht_vma_cases[] = {
	{ "VM_IO", VM_IO, HT_RW_PROT },
	{ "VM_PFNMAP", VM_PFNMAP, HT_RW_PROT },
	{ "VM_IO and VM_PFNMAP", VM_IO | VM_PFNMAP, HT_RW_PROT },
	{ "PROT_NONE", 0, PROT_NONE },
	{ "PROT_WRITE only", 0, PROT_WRITE },
	{ "PROT_EXEC only", 0, PROT_EXEC },
};

KUNIT_ARRAY_PARAM_DESC(ht_vma, ht_vma_cases, name);

/* Between pages 0 and 1, and 6 and 7, of ordinary memory */
static void ht_map_case(struct ht_ctx *ctx, const struct ht_vma_case *c)
{
	ht_map(ctx, 0, 8, HT_RW_PROT);
	ht_fill(ctx, 0, 8);
	ctx->vm_flags = c->flags;
	if (c->flags)
		ht_map_file(ctx, 2, 4, c->prot);
	else
		ht_map(ctx, 2, 4, c->prot);
}

static void such_a_vma_is_an_error(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_case(ctx, test->param_value);
	ht_snapshot(ctx, 0, 8);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect_all(ctx, 2, 4, HMM_PFN_ERROR);
	ht_expect_pages(ctx, 6, 2, HMM_PFN_WRITE);
}

static void such_a_vma_is_asked_for(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_case(ctx, test->param_value);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 8, HT_R), -EFAULT);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 2, 6);
	KUNIT_EXPECT_EQ(test, ctx->faults, 0);
}

static void such_a_vma_is_not_asked_for(struct kunit *test)
{
	static const unsigned long requests[] = { HT_RW, HT_RW, 0, 0, 0, 0, HT_R, HT_RW };
	struct ht_ctx *ctx = test->priv;

	ht_map_case(ctx, test->param_value);
	ht_range(ctx, 0, 8);
	ht_ask(ctx, 8, requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	ht_expect_pages(ctx, 0, 2, HMM_PFN_WRITE);
	ht_expect_all(ctx, 2, 4, HMM_PFN_ERROR);
	ht_expect_pages(ctx, 6, 2, HMM_PFN_WRITE);
}

/*
 * -- pages of a device's VMA
 */

static void ht_map_mixed(struct ht_ctx *ctx, unsigned long nr)
{
	ctx->vm_flags = VM_MIXEDMAP;
	ht_map_file(ctx, 0, nr, HT_RW_PROT);
}

static void device_page_comes_by_its_fault(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ctx->page = ht_alloc(ctx, 0);
	ht_map_mixed(ctx, 3);
	ht_snapshot(ctx, 0, 3);
	ht_expect_all(ctx, 0, 3, 0UL);
	KUNIT_EXPECT_EQ(test, ctx->faults, 0);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 1, HT_RW), 0);
	ht_tag_page(ctx, 1, ctx->page);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ctx->faults, 1);
	KUNIT_EXPECT_TRUE(test, ctx->fault_flags & FAULT_FLAG_WRITE);
	KUNIT_EXPECT_TRUE(test, ctx->fault_flags & FAULT_FLAG_REMOTE);
	/* The mmap lock is the caller's. */
	KUNIT_EXPECT_FALSE(test, ctx->fault_flags & FAULT_FLAG_ALLOW_RETRY);
}

static void special_entry_without_a_page_is_an_error(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct page *page = ht_alloc(ctx, 0);

	ht_map_mixed(ctx, 3);
	ht_insert(ctx, 0, page);
	ht_plant(ctx, 1, pte_mkspecial(pfn_pte(HT_NO_MEMORY, PAGE_SHARED)));
	ht_snapshot(ctx, 0, 3);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, HMM_PFN_ERROR);
	ht_expect(ctx, 2, 0UL);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_R), -EFAULT);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 1, 2);
}

/* Memory of ours that the driver has mapped without saying so: not to be touched */
static void special_entry_over_memory_is_an_error(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct page *page = ht_alloc(ctx, 0);

	ht_map_mixed(ctx, 1);
	ht_plant(ctx, 0, pte_mkspecial(pfn_pte(page_to_pfn(page), PAGE_SHARED)));
	ht_snapshot(ctx, 0, 1);
	ht_expect(ctx, 0, HMM_PFN_ERROR);
}

static void device_memory_is_its_frame(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	pte_t pte = pte_mkdevmap(pte_mkspecial(pfn_pte(HT_NO_MEMORY, PAGE_SHARED)));

	ht_map_mixed(ctx, 2);
	ht_plant(ctx, 0, pte);
	ht_plant(ctx, 1, pte_wrprotect(pte));
	ht_snapshot(ctx, 0, 2);
	ht_expect(ctx, 0, HT_NO_MEMORY | HMM_PFN_VALID | HMM_PFN_WRITE);
	ht_expect(ctx, 1, HT_NO_MEMORY | HMM_PFN_VALID);
}

/*
 * As a Xen PV domain maps what another one granted: the entry holds a frame that is not
 * ours, the VMA knows the page.
 */
static void special_page_is_that_of_the_vma(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	pte_t pte = pte_mkspecial(pfn_pte(HT_NO_MEMORY, PAGE_SHARED));
	unsigned long i;

	ctx->special = ht_alloc(ctx, 0);
	ht_map_mixed(ctx, 4);
	for (i = 0; i < 3; i++)
		ht_plant(ctx, i, i == 1 ? pte_wrprotect(pte) : pte);
	ht_snapshot(ctx, 0, 4);
	ht_tag_page(ctx, 0, ctx->special);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_tag_page(ctx, 1, ctx->special);
	ht_expect_page(ctx, 1, 0);
	ht_tag_page(ctx, 2, ctx->special);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
	ht_expect(ctx, 3, 0UL);

	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 3, HT_R), 0);
	ht_expect(ctx, 0, page_to_pfn(ctx->special) | HMM_PFN_VALID | HMM_PFN_WRITE);
	ht_expect(ctx, 1, page_to_pfn(ctx->special) | HMM_PFN_VALID);
	KUNIT_EXPECT_EQ(test, ctx->faults, 0);
}

/*
 * -- what a device's fault handler may say
 */

struct ht_fault_case {
	const char *name;
	vm_fault_t says;
	int ret;
};

static const struct ht_fault_case ht_fault_cases[] = {
	{ "SIGBUS", VM_FAULT_SIGBUS, -EFAULT },
	{ "SIGSEGV", VM_FAULT_SIGSEGV, -EFAULT },
	{ "poisoned", VM_FAULT_HWPOISON, -EFAULT },
	{ "no memory", VM_FAULT_OOM, -ENOMEM },
};

KUNIT_ARRAY_PARAM_DESC(ht_fault, ht_fault_cases, name);

static vm_fault_t ht_fail_on_page_2(struct ht_ctx *ctx, struct vm_fault *vmf)
{
	const struct ht_fault_case *c = ctx->test->param_value;

	return vmf->address == ht_addr(ctx, 2) ? c->says : 0;
}

static void fault_that_fails(struct kunit *test)
{
	const struct ht_fault_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;

	ctx->page = ht_alloc(ctx, 0);
	ctx->in_fault = ht_fail_on_page_2;
	ht_map_mixed(ctx, 4);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 0, 4, HT_R), c->ret);
	ht_expect_all(ctx, 0, 2, page_to_pfn(ctx->page) | HMM_PFN_VALID | HMM_PFN_WRITE);
	ht_expect_inputs(ctx, 2, 2);
	KUNIT_EXPECT_TRUE(test, pte_none(ht_pte(ctx, 3)));
}

static struct kunit_case ht_special_cases[] = {
	KUNIT_CASE_PARAM(entry_in_a_snapshot, ht_entry_gen_params),
	KUNIT_CASE_PARAM(entry_that_is_not_asked_for, ht_entry_gen_params),
	KUNIT_CASE_PARAM(poisoned_entry_is_asked_for, ht_entry_gen_params),
	KUNIT_CASE(marker_of_userfaultfd_goes_with_a_fault),
	KUNIT_CASE(page_without_access_is_nothing),
	KUNIT_CASE(page_in_migration_is_waited_for),
	KUNIT_CASE_PARAM(such_a_vma_is_an_error, ht_vma_gen_params),
	KUNIT_CASE_PARAM(such_a_vma_is_asked_for, ht_vma_gen_params),
	KUNIT_CASE_PARAM(such_a_vma_is_not_asked_for, ht_vma_gen_params),
	KUNIT_CASE(device_page_comes_by_its_fault),
	KUNIT_CASE(special_entry_without_a_page_is_an_error),
	KUNIT_CASE(special_entry_over_memory_is_an_error),
	KUNIT_CASE(device_memory_is_its_frame),
	KUNIT_CASE(special_page_is_that_of_the_vma),
	KUNIT_CASE_PARAM(fault_that_fails, ht_fault_gen_params),
	{}
};

static struct kunit_suite ht_special_suite = {
	.name = "hmm_special",
	.init = ht_test_init,
	.exit = ht_test_exit,
	.test_cases = ht_special_cases,
};

kunit_test_suite(ht_special_suite);
