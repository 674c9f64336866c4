// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI device: what it is to QEMU and in configuration space.
 *
 * This file's constructor registers the type: QEMU has it as soon as the library is loaded
 * (LD_PRELOAD), and "-device xgpu" adds one. The library is made for one version of QEMU, the
 * one whose headers it was compiled with (build.sh); with another it refuses to work.
 */
#include "xgpu.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/msi.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"

#define TYPE_XGPU	"xgpu"
#define MAX_VRAM	(8 * GiB)

static struct xgpu *xgpu_of(void *obj)
{
	return OBJECT_CHECK(struct xgpu, obj, TYPE_XGPU);
}

/**
 * xgpu_clear - everything is as after power-on
 * @s: the device
 * @vram: and so is video memory
 */
void xgpu_clear(struct xgpu *s, bool vram)
{
	size_t from = offsetof(struct xgpu, control);
	unsigned int i;

	/* Not the shape of the device; nor `accessing', which its user restores. */
	memset((uint8_t *)s + from, 0, sizeof(*s) - from);
	for (i = 0; i < XGPU_CONTEXTS; i++)
		s->ctx[i].id = i;
	s->lat_command = 500;
	s->lat_kib = 10;
	s->lat_shootdown = 5000;
	s->lat_fault = 5000;
	s->stale_check = s->stale_check_default;
	s->clear_wanted = false;
	timer_del(&s->timer);
	xgpu_irq_update(s, 0);
	if (vram) {
		memset(memory_region_get_ram_ptr(&s->vram), 0, s->vram_size);
		memory_region_set_dirty(&s->vram, 0, s->vram_size);
	}
}

/*
 * Power-on, a reset of the bus, or function-level reset: nothing is left of the owner before.
 * A guest that lets the device send an interrupt message to configuration space can reset it
 * in the middle of its work, which is ended first.
 */
static void reset(DeviceState *dev)
{
	struct xgpu *s = xgpu_of(dev);

	if (s->accessing) {
		s->clear_wanted = true;
		s->control = 0;
		xgpu_kick(s);
		return;
	}
	xgpu_clear(s, true);
}

static void config_write(PCIDevice *pci, uint32_t addr, uint32_t value, int len)
{
	pci_default_write_config(pci, addr, value, len);
	pcie_cap_flr_write_config(pci, addr, value, len);
	/* Message signalled interrupts may have been turned on or off. */
	xgpu_irq_update(xgpu_of(pci), 0);
}

static bool properties_ok(struct xgpu *s, Error **errp)
{
	if (!is_power_of_2(s->vram_size) || s->vram_size < 1 * MiB || s->vram_size > MAX_VRAM) {
		error_setg(errp, "xgpu: vram has to be a power of 2, from 1M to 8G");
		return false;
	}
	if (s->dma_bits < 32 || s->dma_bits > 64) {
		error_setg(errp, "xgpu: dma_bits has to be from 32 to 64");
		return false;
	}
	return true;
}

static void realize(PCIDevice *pci, Error **errp)
{
	struct xgpu *s = xgpu_of(pci);
	Error *err = NULL;

	if (!properties_ok(s, errp))
		return;
	memory_region_init_ram(&s->vram, OBJECT(s), "xgpu-vram", s->vram_size, &err);
	if (err) {
		error_propagate(errp, err);
		return;
	}
	memory_region_init_io(&s->regs, OBJECT(s), &xgpu_reg_ops, s, "xgpu-regs", XGPU_REGS_SIZE);

	pci_config_set_interrupt_pin(pci->config, 1);
	if (pcie_endpoint_cap_init(pci, 0) < 0) {
		error_setg(errp, "xgpu: no room for the PCI Express capability");
		return;
	}
	pcie_cap_flr_init(pci);
	if (msi_init(pci, 0, XGPU_IRQS, true, false, errp)) {
		pcie_cap_exit(pci);
		return;
	}
	pci_register_bar(pci, XGPU_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->regs);
	pci_register_bar(pci, XGPU_BAR_VRAM,
			 PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 |
				 PCI_BASE_ADDRESS_MEM_PREFETCH,
			 &s->vram);
	timer_init_ns(&s->timer, QEMU_CLOCK_VIRTUAL, xgpu_timer, s);
	xgpu_clear(s, false);
}

static void leave(PCIDevice *pci)
{
	struct xgpu *s = xgpu_of(pci);

	s->gone = true;
	timer_del(&s->timer);
	pcie_cap_exit(pci);
	msi_uninit(pci);
}

static Property properties[] = {
	DEFINE_PROP_SIZE("vram", struct xgpu, vram_size, 16 * MiB),
	DEFINE_PROP_UINT32("dma_bits", struct xgpu, dma_bits, 64),
	DEFINE_PROP_BOOL("stale_check", struct xgpu, stale_check_default, true),
	DEFINE_PROP_END_OF_LIST(),
};

/* A guest with one is neither saved nor migrated by QEMU. */
static const VMStateDescription unmigratable = {
	.name = TYPE_XGPU,
	.unmigratable = 1,
};

static void same_size(const char *type, size_t ours)
{
	size_t qemus = object_type_get_instance_size(type);

	if (qemus == ours)
		return;
	error_report("xgpu: made for QEMU %s, and this is another: '%s' has %zu bytes, not %zu",
		     QEMU_VERSION, type, qemus, ours);
	error_printf("make gpu-device builds it for the QEMU that is installed\n");
	exit(1);
}

static void class_init(ObjectClass *class, void *data)
{
	PCIDeviceClass *pci = PCI_DEVICE_CLASS(class);
	DeviceClass *dev = DEVICE_CLASS(class);

	(void)data;
	same_size(TYPE_PCI_DEVICE, sizeof(PCIDevice));
	same_size(TYPE_DEVICE, sizeof(DeviceState));
	same_size(TYPE_MEMORY_REGION, sizeof(MemoryRegion));

	pci->realize = realize;
	pci->exit = leave;
	pci->config_write = config_write;
	pci->vendor_id = XGPU_PCI_VENDOR;
	pci->device_id = XGPU_PCI_DEVICE;
	pci->class_id = XGPU_PCI_CLASS >> 8;
	pci->revision = XGPU_VERSION_MAJOR;
	dev->desc = "GPU of grantmirror's tests";
	dev->reset = reset;
	dev->vmsd = &unmigratable;
	device_class_set_props(dev, properties);
	set_bit(DEVICE_CATEGORY_MISC, dev->categories);
}

static InterfaceInfo interfaces[] = {
	{ INTERFACE_PCIE_DEVICE },
	{},
};

static const TypeInfo xgpu_type = {
	.name = TYPE_XGPU,
	.parent = TYPE_PCI_DEVICE,
	.instance_size = sizeof(struct xgpu),
	.class_init = class_init,
	.interfaces = interfaces,
};

static void register_types(void)
{
	type_register_static(&xgpu_type);
}

type_init(register_types)
