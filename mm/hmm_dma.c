// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA addresses for the pages of an HMM range.
 *
 * What is mapped here is memory that CPU and device use at the same time, without anybody
 * who hands it over. So a mapping is made only if the device reaches the very page: no
 * bounce buffer, no cache that would have to be flushed. Everything else is refused, page
 * by page and not by what the device or the domain in general might need: in a Xen PV
 * domain the DMA layer can bounce any page, but does so only with those that the device
 * does not reach.
 *
 * hmm_dma_map.state is the truth about an entry: the order of the DMA mapping that it is
 * part of, and how it was made. The flags in pfn_list are a copy for the driver, because
 * hmm_range_fault() writes the entries with no lock that this file knows of, and may
 * bring back flags that have been cleared at the same moment.
 *
 * A mapping of more than a page (a block) has its address in dma_list at the first entry.
 * It is unmapped as a whole, by the first of its pages that has to go, because the DMA API
 * cannot unmap a part, and an address must not stay valid longer than the page behind it.
 *
 * Nothing here takes a lock or sleeps: the driver's lock, the one of its invalidate
 * callback, covers a struct hmm_dma_map.
 */
#include <linux/bitfield.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/hmm-dma.h>
#include <linux/iommu-dma.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

/*
 * hmm_dma_map.state: 0 for an entry without a DMA address, HMM_DMA_TAIL for one in a block
 * that begins further down, and for all others
 */
#define HMM_DMA_MAPPED	BIT(7)
#define HMM_DMA_BUS	BIT(6)	/* a PCI bus address, nothing to unmap */
#define HMM_DMA_P2P	BIT(5)	/* memory of a PCI device through the host bridge */
#define HMM_DMA_ORDER	GENMASK(4, 0)

#define HMM_DMA_TAIL	1

/* Nothing is handed over; and what is refused we say ourselves. */
#define HMM_DMA_ATTRS	(DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_NO_WARN)

/**
 * hmm_dma_map_alloc - prepare a range's entries for DMA
 * @dev: the device that is to reach the pages
 * @map: filled in
 * @nr_entries: pages of the range
 * @dma_entry_size: bytes that hmm_dma_map_pfn() maps, a power of two and at least
 *	PAGE_SIZE, with no more than @nr_entries pages
 *
 * Context: may sleep
 * Return: 0; -EINVAL for sizes that make no sense; -ENOMEM; -EOPNOTSUPP if @dev cannot
 *	do DMA, or not coherently with the CPU's caches
 */
int hmm_dma_map_alloc(struct device *dev, struct hmm_dma_map *map,
		      size_t nr_entries, size_t dma_entry_size)
{
	memset(map, 0, sizeof(*map));
	if (!nr_entries || dma_entry_size < PAGE_SIZE || !is_power_of_2(dma_entry_size) ||
	    dma_entry_size >> PAGE_SHIFT > nr_entries)
		return -EINVAL;
	if (!dev->dma_mask || !*dev->dma_mask) {
		dev_err(dev, "hmm: no DMA mask set, so no DMA\n");
		return -EOPNOTSUPP;
	}
	if (!dev_is_dma_coherent(dev)) {
		dev_err(dev, "hmm: not coherent with the CPU's caches: cannot share memory\n");
		return -EOPNOTSUPP;
	}

	map->nr_entries = nr_entries;
	map->dma_entry_size = dma_entry_size;
	map->pfn_list = kvcalloc(nr_entries, sizeof(*map->pfn_list), GFP_KERNEL_ACCOUNT);
	map->dma_list = kvcalloc(nr_entries, sizeof(*map->dma_list), GFP_KERNEL_ACCOUNT);
	map->state = kvzalloc(nr_entries, GFP_KERNEL_ACCOUNT);
	if (map->pfn_list && map->dma_list && map->state)
		return 0;

	hmm_dma_map_free(dev, map);
	return -ENOMEM;
}
EXPORT_SYMBOL_GPL(hmm_dma_map_alloc);

/**
 * hmm_dma_map_free - undo hmm_dma_map_alloc(), and unmap what is still mapped
 * @dev: the device
 * @map: the map; may be one that hmm_dma_map_alloc() has failed for
 *
 * Context: may sleep. The device no longer uses any of the addresses.
 */
void hmm_dma_map_free(struct device *dev, struct hmm_dma_map *map)
{
	size_t i;

	for (i = 0; map->state && i < map->nr_entries; i++)
		if (map->state[i])
			hmm_dma_unmap_pfn(dev, map, i);
	kvfree(map->state);
	kvfree(map->dma_list);
	kvfree(map->pfn_list);
	memset(map, 0, sizeof(*map));
}
EXPORT_SYMBOL_GPL(hmm_dma_map_free);

/*
 * Is @addr that of a bounce buffer? Where the DMA layer does not say (its answer for
 * operations like those of Xen is always "perhaps"), ask it for the page a second time:
 * the page itself has one address, and each bounce buffer another.
 */
static bool hmm_dma_bounced(struct device *dev, struct page *page, size_t size,
			    dma_addr_t addr)
{
	dma_addr_t again;

	if (!dma_need_sync(dev, addr) || use_dma_iommu(dev))
		return false;
	if (!get_dma_ops(dev))
		return true;

	again = dma_map_page_attrs(dev, page, 0, size, DMA_BIDIRECTIONAL, HMM_DMA_ATTRS);
	if (dma_mapping_error(dev, again))
		return true;
	dma_unmap_page_attrs(dev, again, size, DMA_BIDIRECTIONAL, HMM_DMA_ATTRS);
	return again != addr;
}

/* A DMA address for @page and what follows it, or DMA_MAPPING_ERROR. */
static dma_addr_t hmm_dma_map_page(struct device *dev, struct page *page, size_t size)
{
	dma_addr_t addr;

	addr = dma_map_page_attrs(dev, page, 0, size, DMA_BIDIRECTIONAL, HMM_DMA_ATTRS);
	if (dma_mapping_error(dev, addr))
		return DMA_MAPPING_ERROR;
	if (hmm_dma_bounced(dev, page, size, addr)) {
		dma_unmap_page_attrs(dev, addr, size, DMA_BIDIRECTIONAL, HMM_DMA_ATTRS);
		return DMA_MAPPING_ERROR;
	}
	return addr;
}

/*
 * How does @dev reach @page? Returns a state for the entry without an order, and the bus
 * address if that is the way; 0 if there is none.
 */
static u8 hmm_dma_p2p(struct device *dev, struct page *page, size_t size,
		      struct pci_p2pdma_map_state *p2pdma_state, dma_addr_t *bus_addr)
{
	struct pci_p2pdma_map_state once = {};
	struct scatterlist sg;

	if (!is_pci_p2pdma_page(page))
		return HMM_DMA_MAPPED;

	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, size, 0);
	switch (pci_p2pdma_map_segment(p2pdma_state ?: &once, dev, &sg)) {
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return HMM_DMA_MAPPED | HMM_DMA_P2P;
	case PCI_P2PDMA_MAP_BUS_ADDR:
		*bus_addr = sg_dma_address(&sg);
		return HMM_DMA_MAPPED | HMM_DMA_BUS;
	default:
		return 0;
	}
}

/* The first entry of the mapping that @idx is part of. */
static size_t hmm_dma_head(const struct hmm_dma_map *map, size_t idx)
{
	while (map->state[idx] == HMM_DMA_TAIL)
		idx--;
	return idx;
}

/* Entry @idx is mapped: tells the driver, and returns the address. */
static dma_addr_t hmm_dma_report(struct hmm_dma_map *map, size_t idx)
{
	size_t head = hmm_dma_head(map, idx);
	unsigned long flags = HMM_PFN_DMA_MAPPED;

	if (map->state[head] & HMM_DMA_P2P)
		flags |= HMM_PFN_P2PDMA;
	if (map->state[head] & HMM_DMA_BUS)
		flags |= HMM_PFN_P2PDMA_BUS;
	map->pfn_list[idx] |= flags;
	return map->dma_list[head] + ((idx - head) << PAGE_SHIFT);
}

/* Maps 1 << @order pages from @idx on. */
static bool hmm_dma_map_run(struct device *dev, struct hmm_dma_map *map,
			    size_t idx, unsigned int order,
			    struct pci_p2pdma_map_state *p2pdma_state)
{
	struct page *page = hmm_pfn_to_page(map->pfn_list[idx]);
	dma_addr_t addr = DMA_MAPPING_ERROR;
	size_t size = PAGE_SIZE << order;
	u8 state;

	state = hmm_dma_p2p(dev, page, size, p2pdma_state, &addr);
	if (state && !(state & HMM_DMA_BUS))
		addr = hmm_dma_map_page(dev, page, size);
	if (addr == DMA_MAPPING_ERROR)
		return false;

	map->dma_list[idx] = addr;
	map->state[idx] = state | order;
	if (order)
		memset(map->state + idx + 1, HMM_DMA_TAIL, (1UL << order) - 1);
	return true;
}

static bool hmm_dma_is_free(const struct hmm_dma_map *map, size_t idx, size_t nr)
{
	return nr == 1 ? !map->state[idx] : !memchr_inv(map->state + idx, 0, nr);
}

static dma_addr_t hmm_dma_refuse(struct device *dev, const struct hmm_dma_map *map,
				 size_t idx)
{
	dev_err_ratelimited(dev, "hmm: no DMA to pfn %#lx: %s\n",
			    map->pfn_list[idx] & ~HMM_PFN_FLAGS,
			    "out of the device's reach without a bounce buffer, or no IOVA left");
	return DMA_MAPPING_ERROR;
}

/* Can @idx be mapped: is it there, and memory that can have a DMA address? */
static bool hmm_dma_is_mappable(const struct hmm_dma_map *map, size_t idx)
{
	if (WARN_ON_ONCE(idx >= map->nr_entries))
		return false;
	if (WARN_ON_ONCE(!(map->pfn_list[idx] & HMM_PFN_VALID)))
		return false;
	/* Memory of the device itself: its driver knows where that is. */
	return !is_device_private_page(hmm_pfn_to_page(map->pfn_list[idx]));
}

/**
 * hmm_dma_map_pfn - a DMA address for one entry
 * @dev: the device
 * @map: the map
 * @idx: index of the first page in @map->pfn_list, which has HMM_PFN_VALID; the pages that
 *	make up @map->dma_entry_size follow it, there and in memory
 * @p2pdma_state: remembers how @dev reaches memory of other PCI devices, from one call to
 *	the next; begins as zeroes. NULL: find out each time
 *
 * An entry that has an address keeps it. Afterwards @map->pfn_list[@idx] has
 * HMM_PFN_DMA_MAPPED, and HMM_PFN_P2PDMA or HMM_PFN_P2PDMA_BUS if it is memory of a
 * PCI device.
 *
 * Context: any, under the driver's lock and after mmu_interval_read_retry() has said no
 * Return: the address; DMA_MAPPING_ERROR if @dev does not reach the page directly, with a
 *	message, or if the page is device private memory
 */
dma_addr_t hmm_dma_map_pfn(struct device *dev, struct hmm_dma_map *map, size_t idx,
			   struct pci_p2pdma_map_state *p2pdma_state)
{
	size_t nr = map->dma_entry_size >> PAGE_SHIFT;

	if (!hmm_dma_is_mappable(map, idx))
		return DMA_MAPPING_ERROR;
	if (map->state[idx])
		return hmm_dma_report(map, idx);
	if (nr > map->nr_entries - idx || !hmm_dma_is_free(map, idx, nr))
		return DMA_MAPPING_ERROR;
	if (!hmm_dma_map_run(dev, map, idx, ilog2(nr), p2pdma_state))
		return hmm_dma_refuse(dev, map, idx);
	return hmm_dma_report(map, idx);
}
EXPORT_SYMBOL_GPL(hmm_dma_map_pfn);

/* The order of the block that begins at @idx, as far as it is in the map and aligned. */
static unsigned int hmm_dma_block_order(const struct hmm_dma_map *map, size_t idx)
{
	unsigned long pfn = map->pfn_list[idx] & ~HMM_PFN_FLAGS;
	unsigned int order = hmm_pfn_to_map_order(map->pfn_list[idx]);

	order = min_t(unsigned int, order, __fls(map->nr_entries - idx));
	if (pfn)
		order = min_t(unsigned int, order, __ffs(pfn));
	return order;
}

/**
 * hmm_dma_map_block - one DMA address for all that is mapped in one piece
 * @dev: the device
 * @map: the map
 * @idx: index of the first page in @map->pfn_list
 * @p2pdma_state: as for hmm_dma_map_pfn()
 * @order: on success, the address is good for 1 << @order pages
 *
 * As hmm_dma_map_pfn(), but for as many pages as hmm_pfn_to_map_order() says, so far as
 * they are in the range, follow @idx, and the device reaches them in one piece (in a Xen
 * PV domain frames that follow each other often do not in the machine); in the worst
 * case one page. The entries of the block come from one successful hmm_range_fault().
 * HMM_PFN_DMA_MAPPED is set in the first of them.
 *
 * hmm_dma_unmap_pfn() of any of its pages unmaps all of the block: a driver that is told
 * to give up a part takes the whole out of its page table.
 *
 * Context: any, under the driver's lock and after mmu_interval_read_retry() has said no
 * Return: as hmm_dma_map_pfn()
 */
dma_addr_t hmm_dma_map_block(struct device *dev, struct hmm_dma_map *map, size_t idx,
			     struct pci_p2pdma_map_state *p2pdma_state,
			     unsigned int *order)
{
	size_t head;

	if (!hmm_dma_is_mappable(map, idx))
		return DMA_MAPPING_ERROR;
	if (map->state[idx]) {
		head = hmm_dma_head(map, idx);
		*order = head == idx ? FIELD_GET(HMM_DMA_ORDER, map->state[idx]) : 0;
		return hmm_dma_report(map, idx);
	}

	*order = hmm_dma_block_order(map, idx);
	if (*order && hmm_dma_is_free(map, idx, 1UL << *order) &&
	    hmm_dma_map_run(dev, map, idx, *order, p2pdma_state))
		return hmm_dma_report(map, idx);

	*order = 0;
	if (!hmm_dma_map_run(dev, map, idx, 0, p2pdma_state))
		return hmm_dma_refuse(dev, map, idx);
	return hmm_dma_report(map, idx);
}
EXPORT_SYMBOL_GPL(hmm_dma_map_block);

/**
 * hmm_dma_unmap_pfn - an entry's DMA address is no longer to be used
 * @dev: the device, which does not use it any more
 * @map: the map
 * @idx: index in @map->pfn_list of any page of what was mapped
 *
 * For the invalidate callback, and before an entry is mapped anew.
 *
 * Context: any, under the driver's lock
 * Return: true if there was an address
 */
bool hmm_dma_unmap_pfn(struct device *dev, struct hmm_dma_map *map, size_t idx)
{
	unsigned int order;
	size_t i, nr;
	u8 state;

	if (WARN_ON_ONCE(idx >= map->nr_entries) || !map->state[idx])
		return false;

	idx = hmm_dma_head(map, idx);
	state = map->state[idx];
	order = FIELD_GET(HMM_DMA_ORDER, state);
	nr = 1UL << order;
	if (!(state & HMM_DMA_BUS))
		dma_unmap_page_attrs(dev, map->dma_list[idx], PAGE_SIZE << order,
				     DMA_BIDIRECTIONAL, HMM_DMA_ATTRS);
	memset(map->state + idx, 0, nr);
	for (i = idx; i < idx + nr; i++)
		if (map->pfn_list[i] & HMM_PFN_INOUT_FLAGS)
			map->pfn_list[i] &= ~HMM_PFN_INOUT_FLAGS;
	return true;
}
EXPORT_SYMBOL_GPL(hmm_dma_unmap_pfn);
