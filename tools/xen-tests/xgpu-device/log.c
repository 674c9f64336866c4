// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device tells by itself: the error log, and the interrupts.
 */
#include "xgpu.h"
#include "hw/pci/msi.h"

/*
 * The message of an interrupt is a write to an address that the guest chose, maybe to
 * these very registers: they cannot be written meanwhile.
 */
static void send_message(struct xgpu *s, unsigned int irq)
{
	bool nested = s->accessing;

	s->accessing = true;
	msi_notify(&s->pci, irq % msi_nr_vectors_allocated(&s->pci));
	s->accessing = nested;
	s->cnt.interrupts++;
}

/**
 * xgpu_irq_update - interrupts after a change of their status, or of what is enabled
 * @s: the device
 * @newly: bits that have become 1 in the status or in the enabled ones
 */
void xgpu_irq_update(struct xgpu *s, uint32_t newly)
{
	uint32_t active = s->int_status & s->int_enable;
	unsigned int irq;

	if (s->gone)
		return;
	if (!msi_enabled(&s->pci)) {
		if (active & newly)
			s->cnt.interrupts++;
		pci_set_irq(&s->pci, active != 0);
		return;
	}
	for (irq = 0; irq < XGPU_IRQS; irq++)
		if (active & newly & (1u << irq))
			send_message(s, irq);
}

/**
 * xgpu_irq - something has happened that an interrupt tells of
 * @s: the device
 * @irq: XGPU_IRQ_*
 */
void xgpu_irq(struct xgpu *s, unsigned int irq)
{
	uint32_t bit = 1u << irq;

	if (s->int_status & bit)
		return;
	s->int_status |= bit;
	xgpu_irq_update(s, bit);
}

/**
 * xgpu_error - put an entry into the error log
 * @s: the device
 * @c: the context where it happened, or NULL
 * @type: XGPU_ERR_*
 * @address: as xgpu_hw.h says for the type
 * @va: what was translated to @address
 * @info: as xgpu_hw.h says for the type
 */
void xgpu_error(struct xgpu *s, struct xgpu_ctx *c, uint16_t type, uint64_t address, uint64_t va,
		uint64_t info)
{
	/* HEAD is the guest's: more than there is room for is as much as there is room for. */
	if (s->error_tail - s->error_head >= XGPU_ERROR_ENTRIES) {
		s->cnt.errors_lost++;
		return;
	}
	s->errors[s->error_tail % XGPU_ERROR_ENTRIES] = (struct xgpu_error){
		.type = cpu_to_le16(type),
		.context = cpu_to_le16(c ? c->id : XGPU_ERR_NO_CONTEXT),
		.index = cpu_to_le32(s->error_tail),
		.address = cpu_to_le64(address),
		.va = cpu_to_le64(va),
		.info = cpu_to_le64(info),
	};
	s->error_tail++;
	xgpu_irq(s, XGPU_IRQ_ERROR);
}
