// SPDX-License-Identifier: GPL-2.0-only
/*
 * Xen PV: page tables of the generic code that Xen has to hear of
 *
 * In a PV domain a page table is known to Xen: it is mapped read-only, has a type, and every
 * change of an entry is a hypercall, which may be put off (lazy MMU mode). Two places in
 * generic code do not reckon with that. Neither can be changed from here, but both call what
 * a PV domain replaces, so this file puts a thin layer over three of Xen's mmu operations.
 *
 * Tables that nobody gives back
 *
 *	Removal of hot-plugged memory, which is what memunmap_pages() does with device memory,
 *	frees the page tables of the vmemmap and of the direct map that have become empty
 *	(free_pte_table(), free_pmd_table() of arch/x86/mm/init_64.c):
 *
 *		free_pagetable(pmd_page(*pmd), 0);
 *		pmd_clear(pmd);
 *
 *	Every other place calls paravirt_release_pte() between the two, and clears first. Here
 *	the page goes to the allocator while it is still a page table for Xen, pinned and mapped
 *	read-only: whoever gets it next dies of a page fault when it writes to it.
 *
 *	So a table of the kernel gets one reference more when it is attached (alloc_pte,
 *	alloc_pmd). free_pagetable() drops one of two and frees nothing. When the entry is
 *	cleared (set_pmd, set_pud), which is when Xen stops using the table, it is given back in
 *	order: unpinned, mapped writable, freed. Code that clears first and frees then finds the
 *	second reference its own, and works as before.
 *
 *	The tables that were there at boot have no such reference; they are never removed.
 *
 * Entries that are read back
 *
 *	fork() meets an entry for exclusive access of a device, makes it present again
 *	(restore_exclusive_pte()), reads the entry, and copies what it read. It is in lazy MMU
 *	mode: what it reads is still the old entry, of which it makes a present one, with the
 *	offset of a swap entry for a pfn.
 *
 *	So an entry that is neither none nor present, and is made present in lazy mode, is
 *	written at once, after all that has been put off. Nothing else in the kernel does that
 *	in lazy mode, so there is nothing that would get slower.
 *
 * Operations of paravirt have to be exchanged before the kernel patches its calls to them,
 * right before it starts other CPUs. The one table of functions that it calls
 * between that and the setup of Xen's own is the consoles'.
 */
#define pr_fmt(fmt) "xen: " fmt

#include <linux/init.h>
#include <linux/mm.h>
#include <linux/static_call.h>

#include <asm/alternative.h>
#include <asm/paravirt.h>

#include <xen/xen.h>

/* What Xen's mmu_pv.c has set. */
static struct pv_mmu_ops xen_mmu __ro_after_init;

/* The one operation that is called for every page of a fork. */
static void set_pte_unset(pte_t *ptep, pte_t pte)
{
}

DEFINE_STATIC_CALL(xen_mmu_set_pte, set_pte_unset);

static void set_pte_readable(pte_t *ptep, pte_t pte)
{
	pte_t old = ptep_get(ptep);

	/* Two calls of it, so that the one that is taken is the last thing done here. */
	if (likely(pte_none(old) || pte_present(old) || !pte_present(pte))) {
		static_call(xen_mmu_set_pte)(ptep, pte);
		return;
	}
	static_call(xen_mmu_set_pte)(ptep, pte);
	arch_flush_lazy_mmu_mode();
}

/* The mark of a table that has our reference: its mm, which other tables do not tell. */
static void hold_table(struct mm_struct *mm, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (mm != &init_mm)
		return;
	get_page(page);
	page_ptdesc(page)->pt_mm = mm;
}

static void give_table_back(unsigned long pfn, void (*release)(unsigned long pfn))
{
	struct page *page = pfn_to_page(pfn);

	if (page_ptdesc(page)->pt_mm != &init_mm)
		return;
	page_ptdesc(page)->pt_mm = NULL;
	release(pfn);
	/* Nobody may have it before Xen has been told. */
	arch_flush_lazy_mmu_mode();
	__free_page(page);
}

static void alloc_kernel_pte(struct mm_struct *mm, unsigned long pfn)
{
	xen_mmu.alloc_pte(mm, pfn);
	hold_table(mm, pfn);
}

static void alloc_kernel_pmd(struct mm_struct *mm, unsigned long pfn)
{
	xen_mmu.alloc_pmd(mm, pfn);
	hold_table(mm, pfn);
}

static void set_pmd_and_release(pmd_t *pmdp, pmd_t pmd)
{
	pmd_t old = READ_ONCE(*pmdp);

	xen_mmu.set_pmd(pmdp, pmd);
	if (pmd_none(pmd) && pmd_present(old) && !pmd_leaf(old))
		give_table_back(pmd_pfn(old), xen_mmu.release_pte);
}

static void set_pud_and_release(pud_t *pudp, pud_t pud)
{
	pud_t old = READ_ONCE(*pudp);

	xen_mmu.set_pud(pudp, pud);
	if (pud_none(pud) && pud_present(old) && !pud_leaf(old))
		give_table_back(pud_pfn(old), xen_mmu.release_pmd);
}

static int __init xen_pv_tables_init(void)
{
	if (!xen_pv_domain())
		return 0;
	if (WARN_ON(alternatives_patched))
		return -EBUSY;
	xen_mmu = pv_ops.mmu;
	static_call_update(xen_mmu_set_pte, xen_mmu.set_pte);
	pv_ops.mmu.set_pte = set_pte_readable;
	pv_ops.mmu.set_pmd = set_pmd_and_release;
	pv_ops.mmu.set_pud = set_pud_and_release;
	pv_ops.mmu.alloc_pte = alloc_kernel_pte;
	pv_ops.mmu.alloc_pmd = alloc_kernel_pmd;
	return 0;
}
console_initcall(xen_pv_tables_init);
