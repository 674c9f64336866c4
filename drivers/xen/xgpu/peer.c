// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other devices in this one's video memory: by DMA to its BAR (PCI peer-to-peer), instead of
 * moving what a process has there back to the system's memory first.
 *
 * Whether two devices reach each other is the bridges' matter between them, and the kernel knows
 * only those that it has a list of (pci_p2pdma_distance()). Somebody who knows better, as
 * of a virtual machine's, says so with the parameter "peer". In a Xen PV domain nobody does:
 * the IOMMU's table is Xen's, and has the domain's memory in it, but no BARs.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <xen/xen.h>

#include "xgpu.h"

static bool xgpu_peer;
module_param_named(peer, xgpu_peer, bool, 0644);
MODULE_PARM_DESC(peer, "all devices reach video memory by DMA, whatever the kernel knows of the bridges between them");

static bool xgpu_is_reached(const struct xgpu *xgpu, struct device *dev)
{
	if (xen_pv_domain())
		return false;
	return READ_ONCE(xgpu_peer) || pci_p2pdma_distance(xgpu->pdev, dev, false) >= 0;
}

dma_addr_t xgpu_peer_map(struct device_memory *memory, struct device *dev, u64 offset,
			 unsigned int *order)
{
	struct xgpu *xgpu = memory->driver_data;
	dma_addr_t address;

	if (!xgpu_is_reached(xgpu, dev))
		return DMA_MAPPING_ERROR;
	address = dma_map_resource(dev, pci_resource_start(xgpu->pdev, XGPU_BAR_VRAM) + offset,
				   PAGE_SIZE << *order, DMA_BIDIRECTIONAL, 0);
	return dma_mapping_error(dev, address) ? DMA_MAPPING_ERROR : address;
}

void xgpu_peer_unmap(struct device_memory *memory, struct device *dev, dma_addr_t address,
		     unsigned int order)
{
	dma_unmap_resource(dev, address, PAGE_SIZE << order, DMA_BIDIRECTIONAL, 0);
}
