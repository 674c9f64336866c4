/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of the HMM core share: an address space without a process, ways
 * to put every kind of entry into its page table, calls of the core, and expectations
 * about what it reports.
 *
 * Pages are counted from ht_ctx.base. A page that the CPU has written holds a value made
 * of its address (ht_fill()), and an entry is right only if the page that it names holds
 * that value: see ht_expect_page().
 *
 * What a test has planted into the page table by hand is taken out again at its end,
 * unless a fault has replaced it: the kernel would not know how to unmap it.
 */
#ifndef _MM_HMM_TEST_H
#define _MM_HMM_TEST_H

#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>

/* Ends a hang, never measures. */
#define HT_LIMIT (20 * HZ)

/* Aligned to everything that a page table has. */
#define HT_BASE BIT(40)

#define HT_PMD_PAGES (PMD_SIZE / PAGE_SIZE)
#define HT_PAGES (4 * HT_PMD_PAGES)
#define HT_PLANTED 32
#define HT_OWN_PAGES 8

/* A request and no request at all: nothing of it counts without a mask. */
#define HT_JUNK (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE | HMM_PFN_ERROR | 0x5a5a5UL)

#define HT_R HMM_PFN_REQ_FAULT
#define HT_RW (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE)
#define HT_RW_PROT (PROT_READ | PROT_WRITE)

struct ht_planted {
	unsigned long addr;
	pte_t pte;
	pte_t old;
};

/**
 * struct ht_ctx - a test's address space
 * @test: the test
 * @mm: the address space; no process has it
 * @exited: its last user is gone
 * @notifier: a subscription to all of it, or as ht_subscribe() said
 * @subscribed: @notifier is inserted
 * @calls: of the subscription's callback
 * @base: address of page 0
 * @range: what the core is called with; @notifier_seq of the last call
 * @pfns: the entries
 * @asked: the entries before the last call
 * @keep_seq: do not begin a read: use @range.notifier_seq as it is
 * @busy: how often a call has collided
 * @vm_flags: for ht_map_file()
 * @page: what ht_file_fault() maps; NULL: SIGBUS
 * @special: what find_special_page() says of VMAs that ht_map_file() makes
 * @in_fault: called by ht_file_fault() first; if it returns other than 0, so does that
 * @fault_flags: of the last fault in a VMA of ht_map_file()
 * @faults: how many there were
 * @planted: entries to be taken out
 * @nr_planted: how many
 * @own: allocated pages, freed at the end
 * @own_order: their orders
 * @nr_own: how many
 */
struct ht_ctx {
	struct kunit *test;
	struct mm_struct *mm;
	bool exited;
	struct mmu_interval_notifier notifier;
	bool subscribed;
	atomic_t calls;
	unsigned long base;
	struct hmm_range range;
	unsigned long *pfns;
	unsigned long *asked;
	bool keep_seq;
	unsigned int busy;

	vm_flags_t vm_flags;
	struct page *page;
	struct page *special;
	vm_fault_t (*in_fault)(struct ht_ctx *ctx, struct vm_fault *vmf);
	unsigned int fault_flags;
	unsigned int faults;

	struct ht_planted planted[HT_PLANTED];
	unsigned int nr_planted;
	struct page *own[HT_OWN_PAGES];
	unsigned int own_order[HT_OWN_PAGES];
	unsigned int nr_own;
};

int ht_test_init(struct kunit *test);
void ht_test_exit(struct kunit *test);
bool ht_subscribe(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
void ht_unsubscribe(struct ht_ctx *ctx);
void ht_exit_mm(struct ht_ctx *ctx);

static inline unsigned long ht_addr(const struct ht_ctx *ctx, unsigned long page)
{
	return ctx->base + page * PAGE_SIZE;
}

/* -- what is mapped -- */

void ht_map(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long prot);
void ht_map_file(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long prot);
void ht_mmap(struct ht_ctx *ctx, struct file *file, unsigned long first, unsigned long nr,
	     unsigned long prot, unsigned long flags);
void ht_madvise(struct ht_ctx *ctx, unsigned long first, unsigned long nr, int what);
struct page *ht_alloc(struct ht_ctx *ctx, unsigned int order);
void ht_insert(struct ht_ctx *ctx, unsigned long at, struct page *page);

/* -- what the CPU does and sees -- */

u64 ht_tag(const struct ht_ctx *ctx, unsigned long page);
void ht_fill(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
void ht_read(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
void ht_tag_page(struct ht_ctx *ctx, unsigned long at, struct page *page);
pmd_t *ht_pmdp(struct ht_ctx *ctx, unsigned long page);
pte_t ht_pte(struct ht_ctx *ctx, unsigned long page);
unsigned long ht_pfn(struct ht_ctx *ctx, unsigned long page);

/* -- entries by hand -- */

void ht_set_pte(struct ht_ctx *ctx, unsigned long page, pte_t pte);
void ht_plant(struct ht_ctx *ctx, unsigned long page, pte_t pte);
void ht_plant_swap(struct ht_ctx *ctx, unsigned long page, swp_entry_t entry);
void ht_wrprotect(struct ht_ctx *ctx, unsigned long page);
void ht_invalidate(struct ht_ctx *ctx, unsigned long first, unsigned long nr);

/* -- the core is called -- */

void ht_range(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
void ht_ask(struct ht_ctx *ctx, unsigned long nr, const unsigned long *requests);
int ht_call(struct ht_ctx *ctx);
int ht_call_again(struct ht_ctx *ctx);
void ht_snapshot(struct ht_ctx *ctx, unsigned long first, unsigned long nr);
int ht_fault(struct ht_ctx *ctx, unsigned long first, unsigned long nr, unsigned long flags);

/* -- a device that does DMA -- */

void ht_set_coherent(struct device *dev, bool coherent);
struct device *ht_dma_device(struct kunit *test, const char *name, unsigned int bits);

/* -- expectations: entry @i of the last call -- */

static inline unsigned long ht_order(unsigned int order)
{
	return (unsigned long)order << HMM_PFN_ORDER_SHIFT;
}

void ht_expect_at(struct ht_ctx *ctx, unsigned int line, unsigned long i, unsigned long nr,
		  unsigned long value);

#define ht_expect(ctx, i, value) ht_expect_at(ctx, __LINE__, i, 1, value)

/* Entries [i, i + nr) are @value. */
#define ht_expect_all(ctx, i, nr, value) ht_expect_at(ctx, __LINE__, i, nr, value)

void ht_expect_page(struct ht_ctx *ctx, unsigned long i, unsigned long flags);
void ht_expect_pages(struct ht_ctx *ctx, unsigned long i, unsigned long nr, unsigned long flags);
void ht_expect_inputs(struct ht_ctx *ctx, unsigned long i, unsigned long nr);

#endif /* _MM_HMM_TEST_H */
