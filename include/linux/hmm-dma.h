/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DMA addresses for the pages that hmm_range_fault() finds. See Documentation/hmm.md.
 *
 * Source rules: the names and arguments are those of Linux 7. What is marked private
 * belongs to mm/hmm_dma.c; where Linux 7 keeps a struct dma_iova_state, which Linux 6.12
 * does not have, there is something else. There is no user ABI in this file.
 */
#ifndef LINUX_HMM_DMA_H
#define LINUX_HMM_DMA_H

#include <linux/dma-mapping.h>

struct pci_p2pdma_map_state;

/**
 * struct hmm_dma_map - the pages of a range and their DMA addresses
 * @pfn_list: an entry for each page, for struct hmm_range.hmm_pfns
 * @dma_list: the DMA address of each entry that begins a mapping; to be read only where
 *	the entry of @pfn_list has HMM_PFN_DMA_MAPPED
 * @dma_entry_size: bytes that hmm_dma_map_pfn() maps: PAGE_SIZE or a power of two above
 *
 * The lock that the driver takes in its invalidate callback protects everything here but
 * @pfn_list, which hmm_range_fault() writes without it.
 */
struct hmm_dma_map {
	unsigned long *pfn_list;
	dma_addr_t *dma_list;
	size_t dma_entry_size;

	/* private: */
	size_t nr_entries;
	u8 *state;
};

int hmm_dma_map_alloc(struct device *dev, struct hmm_dma_map *map,
		      size_t nr_entries, size_t dma_entry_size);
void hmm_dma_map_free(struct device *dev, struct hmm_dma_map *map);
dma_addr_t hmm_dma_map_pfn(struct device *dev, struct hmm_dma_map *map, size_t idx,
			   struct pci_p2pdma_map_state *p2pdma_state);
dma_addr_t hmm_dma_map_block(struct device *dev, struct hmm_dma_map *map, size_t idx,
			     struct pci_p2pdma_map_state *p2pdma_state,
			     unsigned int *order);
bool hmm_dma_unmap_pfn(struct device *dev, struct hmm_dma_map *map, size_t idx);

#endif /* LINUX_HMM_DMA_H */
