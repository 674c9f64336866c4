// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the CPU uses, and whether a shadow agrees with it.
 *
 * The invariant: a valid entry of a shadow names the page that the CPU's entry names,
 * and does not allow writing where the CPU's does not. A word written through one of
 * the two is read through the other.
 *
 * While the checker holds a subscription's lock no invalidation that touches a valid
 * entry of it gets past its start: its callback wants that lock. So nobody changes
 * such an entry of the CPU's meanwhile, other than to allow more, and the comparison
 * needs no other lock. Neither the mmap lock: a change of an entry outside of an
 * invalidation must not hide behind it.
 */
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Of so many valid entries one has its page looked into. */
#define MN_WORD_EVERY 16

/* Somebody else writes the same page: after so many tries it is left. */
#define MN_WORD_TRIES 8

/* -- the CPU's entries -- */

static unsigned long mn_entry(unsigned long pfn, bool write)
{
	return pfn | HMM_PFN_VALID | (write ? HMM_PFN_WRITE : 0);
}

/* The entry for @addr, in the form of a shadow's; 0: not present. */
static unsigned long mn_cpu_entry(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgdp = pgd_offset(mm, addr);
	p4d_t *p4dp;
	pud_t *pudp;
	pmd_t *pmdp;
	pmd_t pmd;
	pte_t pte;

	if (!pgd_present(READ_ONCE(*pgdp)))
		return 0;
	p4dp = p4d_offset(pgdp, addr);
	if (!p4d_present(READ_ONCE(*p4dp)))
		return 0;
	pudp = pud_offset(p4dp, addr);
	if (!pud_present(READ_ONCE(*pudp)))
		return 0;
	pmdp = pmd_offset(pudp, addr);
	pmd = pmdp_get_lockless(pmdp);
	if (!pmd_present(pmd) || pmd_protnone(pmd))
		return 0;
	if (pmd_leaf(pmd))
		return mn_entry(pmd_pfn(pmd) + PHYS_PFN(addr & ~PMD_MASK),
				pmd_write(pmd));
	pte = ptep_get(pte_offset_kernel(&pmd, addr));
	if (!pte_present(pte) || pte_protnone(pte))
		return 0;
	return mn_entry(pte_pfn(pte), pte_write(pte));
}

/* Interrupts off: page tables are not freed meanwhile (as for get_user_pages_fast). */
static void mn_cpu_entries(struct mm_struct *mm, unsigned long addr,
			   unsigned long n, unsigned long *entries)
{
	unsigned long i, flags;

	local_irq_save(flags);
	for (i = 0; i < n; i++)
		entries[i] = mn_cpu_entry(mm, addr + i * PAGE_SIZE);
	local_irq_restore(flags);
}

static bool mn_is_wrong(unsigned long shadow, unsigned long cpu)
{
	return !(cpu & HMM_PFN_VALID) ||
	       (shadow ^ cpu) & ~HMM_PFN_FLAGS ||
	       (shadow & ~cpu) & HMM_PFN_WRITE;
}

/* -- what is wrong -- */

void mn_wrong(struct mn_sub *sub, u32 kind, unsigned long i, unsigned long shadow,
	      unsigned long cpu)
{
	struct mn_bench *bench = sub->bench;
	unsigned long nr, known = min_t(unsigned long, sub->nr_events, GM_MN_HISTORY);
	struct gm_mn_report *report;

	mn_count(bench, GM_MN_MISMATCHES, 1);
	spin_lock(&bench->lock);
	if (bench->nr_reports < GM_MN_REPORTS) {
		report = &bench->reports[bench->nr_reports++];
		report->kind = kind;
		report->slot = sub->slot;
		report->addr = sub->first + i * PAGE_SIZE;
		report->shadow = shadow;
		report->cpu = cpu;
		report->sub_start = sub->start;
		report->sub_length = sub->length;
		report->nr_events = sub->nr_events;
		for (nr = 0; nr < known; nr++)
			report->history[nr] = sub->events[(sub->nr_events - known + nr) %
							  GM_MN_HISTORY];
	}
	spin_unlock(&bench->lock);
}

/* -- order -- */

/*
 * Page @i of the window was just read as @entry, and nothing has collided: what its order
 * says of the pages around it must be so. Of a block that reaches beyond the window
 * that is the same: then it is one leaf entry, and we are told of what happens to that.
 */
void mn_check_order(struct mn_sub *sub, unsigned long i, unsigned long entry)
{
	unsigned int order = hmm_pfn_to_map_order(entry);
	unsigned long nr = 1UL << order, addr, page, flags, cpu, want;
	unsigned long pfn = entry & ~HMM_PFN_FLAGS;

	lockdep_assert_held(&sub->lock);

	addr = sub->first + i * PAGE_SIZE;
	page = PHYS_PFN(addr) & (nr - 1);
	want = (entry & (HMM_PFN_VALID | HMM_PFN_WRITE)) | (pfn - page);
	addr -= page * PAGE_SIZE;
	mn_count(sub->bench, GM_MN_BLOCKS, 1);
	for (page = 0; page < nr; page++, want++) {
		local_irq_save(flags);
		cpu = mn_cpu_entry(sub->notifier.mm, addr + page * PAGE_SIZE);
		local_irq_restore(flags);
		if (mn_is_wrong(want, cpu)) {
			mn_wrong(sub, GM_MN_WRONG_ORDER, i, entry, cpu);
			return;
		}
	}
}

/* -- the page itself -- */

static bool mn_user_word(unsigned long addr, u64 *word, bool write)
{
	void __user *user = (void __user *)addr;
	unsigned long left;

	/* A fault could change the entry, and wants locks that come before ours. */
	pagefault_disable();
	if (write)
		left = __copy_to_user_inatomic(user, word, sizeof(*word));
	else
		left = __copy_from_user_inatomic(word, user, sizeof(*word));
	pagefault_enable();
	return !left;
}

/*
 * Writes through one and reads through the other. Somebody else may write the same word,
 * so once is not enough to say that it is wrong; it gets back what it had.
 */
static bool mn_word_arrives(unsigned long addr, u64 *word, bool write_page)
{
	u64 old = READ_ONCE(*word), new, seen;
	unsigned int tries;

	for (tries = 0; tries < MN_WORD_TRIES; tries++) {
		new = get_random_u64();
		if (write_page)
			WRITE_ONCE(*word, new);
		else if (!mn_user_word(addr, &new, true))
			return true;
		seen = READ_ONCE(*word);
		if (write_page && !mn_user_word(addr, &seen, false))
			seen = new;
		WRITE_ONCE(*word, old);
		if (seen == new)
			return true;
	}
	return false;
}

/* The checker's thread is one of the process; another one's memory it does not see. */
static void mn_check_word(struct mn_sub *sub, unsigned long i, unsigned long cpu)
{
	unsigned long entry = sub->shadow[i], addr = sub->first + i * PAGE_SIZE;
	unsigned long offset = get_random_u32_below(PAGE_SIZE / sizeof(u64)) * sizeof(u64);
	struct page *page = pfn_to_page(entry & ~HMM_PFN_FLAGS);
	u64 *word, seen;

	if (current->mm != sub->notifier.mm)
		return;
	word = kmap_local_page(page) + offset;
	addr += offset;
	if (entry & HMM_PFN_WRITE) {
		if (!mn_word_arrives(addr, word, true))
			mn_wrong(sub, GM_MN_WRONG_WRITE, i, entry, cpu);
		if (!mn_word_arrives(addr, word, false))
			mn_wrong(sub, GM_MN_WRONG_READ, i, entry, cpu);
	} else if (mn_user_word(addr, &seen, false) && seen != READ_ONCE(*word) &&
		   mn_user_word(addr, &seen, false) && seen != READ_ONCE(*word)) {
		mn_wrong(sub, GM_MN_WRONG_READ, i, entry, cpu);
	}
	kunmap_local(word);
	mn_count(sub->bench, GM_MN_WORDS, 1);
}

/* -- a piece of the shadow -- */

void mn_check_piece(struct mn_sub *sub, unsigned long first, unsigned long n,
		    unsigned long *cpu)
{
	unsigned long i, compared = 0;

	lockdep_assert_held(&sub->lock);

	mn_cpu_entries(sub->notifier.mm, sub->first + first * PAGE_SIZE, n, cpu);
	for (i = 0; i < n; i++) {
		unsigned long *entry = &sub->shadow[first + i];

		if (!*entry)
			continue;
		compared++;
		if (!mn_is_wrong(*entry, cpu[i])) {
			if (!get_random_u32_below(MN_WORD_EVERY))
				mn_check_word(sub, first + i, cpu[i]);
			continue;
		}
		mn_wrong(sub, GM_MN_WRONG_ENTRY, first + i, *entry, cpu[i]);
		/* Once is enough. */
		*entry = 0;
	}
	mn_count(sub->bench, GM_MN_COMPARED, compared);
}
