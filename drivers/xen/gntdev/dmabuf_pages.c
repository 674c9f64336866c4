// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages that stand for the grants of a dma-buf.
 *
 * A CPU of this domain reaches a dma-buf by one run of addresses (vmap). In a PV domain that
 * has to be the linear map: only Xen writes a PTE of another domain's frame, and the PTEs of
 * a vmalloc area are out of a module's reach. So there the pages should lie in a row.
 *
 *   gntdev_pages_in_a_row()  looks for such pages in Xen's pool. They have no memory behind
 *                            them, so that trying costs little; it may fail.
 *   gntdev_backing_alloc()   takes memory for DMA, which is in a row, and gives what is
 *                            behind it to Xen, so that nothing is left but the pages. This is
 *                            what GNTDEV_DMA_FLAG_WC and GNTDEV_DMA_FLAG_COHERENT ask for.
 */
#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include <xen/mem-reservation.h>
#include <xen/page.h>

#include "gntdev.h"

/* How many pages to look at, beyond the double of what is needed. */
#define ROW_MORE 64U

/**
 * struct gntdev_backing - memory that was allocated for DMA, without what was behind it
 * @dma: what gnttab_dma_alloc_pages() has to know; in PV, the arrays and .vaddr only
 */
struct gntdev_backing {
	struct gnttab_dma_alloc_args dma;
};

static int by_pfn(const void *a, const void *b)
{
	unsigned long x = page_to_pfn(*(struct page *const *)a);
	unsigned long y = page_to_pfn(*(struct page *const *)b);

	return x < y ? -1 : x > y;
}

/* The first of @want pages in a row of the @n in @pages, which are sorted; or @n. */
static unsigned int find_row(struct page **pages, unsigned int n, unsigned int want)
{
	unsigned int i, start = 0;

	for (i = 0; i < n; i++) {
		if (i && page_to_pfn(pages[i]) != page_to_pfn(pages[i - 1]) + 1)
			start = i;
		if (i - start + 1 == want)
			return start;
	}
	return n;
}

/**
 * gntdev_pages_in_a_row() - Try to have the pages of a map lie in a row
 * @map: map, not shared yet, nothing mapped
 *
 * Context: sleeps.
 * Return: 0, also if they cannot be had in a row; -ENOMEM.
 */
int gntdev_pages_in_a_row(struct gntdev_map *map)
{
	unsigned int i, row, n = map->count, more = map->count + ROW_MORE;
	struct page **pages;

	pages = kvmalloc_array(n + more, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		pages[i] = map->grants[i].page;
	sort(pages, n, sizeof(*pages), by_pfn, NULL);
	row = find_row(pages, n, map->count);

	if (row == n && !gnttab_alloc_pages(more, pages + n)) {
		n += more;
		sort(pages, n, sizeof(*pages), by_pfn, NULL);
		row = find_row(pages, n, map->count);
	}
	if (row == n)
		row = 0;

	for (i = 0; i < map->count; i++)
		map->grants[i].page = pages[row + i];
	if (n > map->count) {
		gnttab_free_pages(row, pages);
		gnttab_free_pages(n - row - map->count, pages + row + map->count);
	}
	kvfree(pages);
	return 0;
}

static void free_arrays(struct gntdev_backing *backing)
{
	kvfree(backing->dma.frames);
	kvfree(backing->dma.pages);
	kfree(backing);
}

/*
 * In PV, what the DMA API calls an address is the machine's, from which
 * gnttab_dma_alloc_pages() would not find the pages. The machine's address of this memory
 * does not matter: what is behind it changes. So any memory in a row will do.
 */
static int pv_alloc(struct gnttab_dma_alloc_args *dma)
{
	size_t size = (size_t)dma->nr_pages << PAGE_SHIFT;
	int i, n;

	dma->vaddr = alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);
	if (!dma->vaddr)
		return -ENOMEM;
	for (i = 0; i < dma->nr_pages; i++) {
		dma->pages[i] = virt_to_page(dma->vaddr + i * PAGE_SIZE);
		dma->frames[i] = xen_page_to_gfn(dma->pages[i]);
	}
	xenmem_reservation_va_mapping_reset(dma->nr_pages, dma->pages);
	/* Grants will be mapped at these addresses, and Xen flushes nothing for a new PTE. */
	gntdev_hv_flush_tlbs();
	n = xenmem_reservation_decrease(dma->nr_pages, dma->frames);
	if (n == dma->nr_pages && !gnttab_pages_set_private(dma->nr_pages, dma->pages))
		return 0;
	/* There is no way back from a half of it. */
	pr_err_ratelimited("%d of %d pages of a dma-buf given to Xen; lost\n", n,
			   dma->nr_pages);
	return -ENOMEM;
}

static void pv_free(struct gnttab_dma_alloc_args *dma)
{
	int i, n;

	gnttab_pages_clear_private(dma->nr_pages, dma->pages);
	for (i = 0; i < dma->nr_pages; i++)
		dma->frames[i] = page_to_xen_pfn(dma->pages[i]);
	n = xenmem_reservation_increase(dma->nr_pages, dma->frames);
	if (n > 0)
		xenmem_reservation_va_mapping_update(n, dma->pages, dma->frames);
	if (n == dma->nr_pages) {
		free_pages_exact(dma->vaddr, (size_t)n << PAGE_SHIFT);
		return;
	}
	/* No memory to put behind them: nobody can use these pages. */
	pr_err_ratelimited("Xen gave %d of %d pages back; lost\n", n, dma->nr_pages);
}

/**
 * gntdev_backing_alloc() - Have DMA memory stand for the grants of a map
 * @map: map, not shared yet, nothing mapped
 * @flags: GNTDEV_DMA_FLAG_WC or GNTDEV_DMA_FLAG_COHERENT
 *
 * Context: sleeps.
 * Return: 0 or -ENOMEM.
 */
int gntdev_backing_alloc(struct gntdev_map *map, u32 flags)
{
	struct gntdev_backing *backing;
	unsigned int i;
	int err = -ENOMEM;

	backing = kzalloc(sizeof(*backing), GFP_KERNEL_ACCOUNT);
	if (!backing)
		return -ENOMEM;
	backing->dma.dev = gntdev_dmabuf_device();
	backing->dma.coherent = flags & GNTDEV_DMA_FLAG_COHERENT;
	backing->dma.nr_pages = map->count;
	backing->dma.pages = kvcalloc(map->count, sizeof(struct page *),
				      GFP_KERNEL_ACCOUNT);
	backing->dma.frames = kvcalloc(map->count, sizeof(xen_pfn_t),
				       GFP_KERNEL_ACCOUNT);
	if (backing->dma.pages && backing->dma.frames)
		err = gntdev_pv() ? pv_alloc(&backing->dma) :
				    gnttab_dma_alloc_pages(&backing->dma);
	if (err) {
		free_arrays(backing);
		return -ENOMEM;
	}

	for (i = 0; i < map->count; i++) {
		gnttab_free_pages(1, &map->grants[i].page);
		map->grants[i].page = backing->dma.pages[i];
	}
	map->backing = backing;
	return 0;
}

/**
 * gntdev_backing_free() - Give the DMA memory of a map back
 * @map: map; nothing of it is mapped any more
 *
 * If Xen would not let go of one of its pages, all of them are kept for ever.
 */
void gntdev_backing_free(struct gntdev_map *map)
{
	if (!map->leaked) {
		if (gntdev_pv())
			pv_free(&map->backing->dma);
		else
			gnttab_dma_free_pages(&map->backing->dma);
	}
	free_arrays(map->backing);
	map->backing = NULL;
}
