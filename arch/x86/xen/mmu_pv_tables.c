// SPDX-License-Identifier: GPL-2.0-only
/*
 * Xen PV: what generic code does to page tables without telling Xen
 *
 * In a PV domain a page table is known to Xen: it is mapped read-only, it has a type, and every
 * change of an entry is a hypercall, which may be put off (lazy MMU mode). Two places in
 * generic code do not reckon with that. Neither can be changed from here, but both call what
 * a PV domain replaces: this file is a thin layer over some of Xen's mmu operations.
 *
 * Tables that nobody gives back
 *
 *	The removal of hot-plugged memory, which is what memunmap_pages() does to device memory,
 *	frees page tables of the vmemmap and of the direct map when they have become empty
 *	(free_pte_table() and free_pmd_table() of arch/x86/mm/init_64.c):
 *
 *		free_pagetable(pmd_page(*pmd), 0);
 *		pmd_clear(pmd);
 *
 *	Others clear first, then call paravirt_release_pte(), then free. Here the page goes to
 *	the allocator while it is a page table to Xen, pinned and mapped read-only; whoever gets
 *	it next dies of a page fault when he writes to it, or uses it as a page table again,
 *	and Xen refuses.
 *
 *	So a table of the kernel has one more reference from when it is attached (alloc_pte,
 *	alloc_pmd) until it is released (release_pte, release_pmd). free_pagetable() drops one of
 *	two and frees nothing. Clearing the entry (set_pmd, set_pud), with which Xen stops to use
 *	the table, releases it: unpinned, writable, and only then free. For code that
 *	frees last nothing changes but who drops which reference.
 *
 *	The tables of the boot have no such reference. They are never removed.
 *
 * Entries that are read back
 *
 *	fork() meets an entry that stands for a device's exclusive access, makes it present again
 *	(restore_exclusive_pte()), reads it, and copies to the child what it has read. It is in
 *	lazy MMU mode: what it reads is the old entry, and the child gets an entry for a device's
 *	exclusive access to some page or other, without a reference to it.
 *
 *	MADV_DONTNEED clears a swap entry and checks that it is none before it may put a marker
 *	of userfaultfd there (pte_install_uffd_wp_if_needed()): a warning, in private mappings
 *	of files.
 *
 *	So the change of an entry that was neither none nor present is not put off when it makes
 *	it present or none, nor is what was put off before. The first is done in lazy mode by
 *	nobody else. The second costs a hypercall for each page that is in swap when it is
 *	unmapped; a process that exits sets no markers, and is spared.
 *
 * The operations have to be exchanged before the kernel patches its calls of them, which it does
 * before it starts other CPUs. The one table of functions that it goes through between the
 * setup of Xen's operations and that is the consoles'.
 */
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/sched.h>
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

/* Of an entry that was neither none nor present */
static bool is_read_back(pte_t pte)
{
	if (pte_present(pte))
		return true;
	return IS_ENABLED(CONFIG_PTE_MARKER_UFFD_WP) && pte_none(pte) &&
	       !(current->flags & PF_EXITING);
}

static void set_pte_readable(pte_t *ptep, pte_t pte)
{
	pte_t old = ptep_get(ptep);

	/* Two calls of it, so that the one that is taken is the last thing done here. */
	if (likely(pte_none(old) || pte_present(old) || !is_read_back(pte))) {
		static_call(xen_mmu_set_pte)(ptep, pte);
		return;
	}
	static_call(xen_mmu_set_pte)(ptep, pte);
	arch_flush_lazy_mmu_mode();
}

/* The mark of a table that has our reference is its mm; other tables do not name theirs. */
static void hold_table(struct mm_struct *mm, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	if (mm != &init_mm)
		return;
	get_page(page);
	page_ptdesc(page)->pt_mm = mm;
}

static bool table_is_held(unsigned long pfn)
{
	return page_ptdesc(pfn_to_page(pfn))->pt_mm == &init_mm;
}

static void drop_table(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	page_ptdesc(page)->pt_mm = NULL;
	/* It may be the last reference: nobody gets the page before Xen has been told. */
	arch_flush_lazy_mmu_mode();
	__free_page(page);
}

static void alloc_pte(struct mm_struct *mm, unsigned long pfn)
{
	xen_mmu.alloc_pte(mm, pfn);
	hold_table(mm, pfn);
}

static void alloc_pmd(struct mm_struct *mm, unsigned long pfn)
{
	xen_mmu.alloc_pmd(mm, pfn);
	hold_table(mm, pfn);
}

static void release_pte(unsigned long pfn)
{
	xen_mmu.release_pte(pfn);
	if (table_is_held(pfn))
		drop_table(pfn);
}

static void release_pmd(unsigned long pfn)
{
	xen_mmu.release_pmd(pfn);
	if (table_is_held(pfn))
		drop_table(pfn);
}

static void set_pmd_and_release(pmd_t *pmdp, pmd_t pmd)
{
	pmd_t old = READ_ONCE(*pmdp);

	xen_mmu.set_pmd(pmdp, pmd);
	if (pmd_none(pmd) && pmd_present(old) && !pmd_leaf(old) &&
	    table_is_held(pmd_pfn(old)))
		release_pte(pmd_pfn(old));
}

static void set_pud_and_release(pud_t *pudp, pud_t pud)
{
	pud_t old = READ_ONCE(*pudp);

	xen_mmu.set_pud(pudp, pud);
	if (pud_none(pud) && pud_present(old) && !pud_leaf(old) &&
	    table_is_held(pud_pfn(old)))
		release_pmd(pud_pfn(old));
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
	pv_ops.mmu.alloc_pte = alloc_pte;
	pv_ops.mmu.alloc_pmd = alloc_pmd;
	pv_ops.mmu.release_pte = release_pte;
	pv_ops.mmu.release_pmd = release_pmd;
	return 0;
}
console_initcall(xen_pv_tables_init);
