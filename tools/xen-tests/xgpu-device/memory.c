// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every access of the device to system memory, which goes through the IOMMU if there is
 * one, and to video memory.
 *
 * The device reaches memory only, not the registers of other devices: QEMU's attribute for
 * that keeps a guest from making one device write into another in the middle of its work.
 */
#include "xgpu.h"
#include "qemu/rcu.h"

static const MemTxAttrs memory_only = { .memory = 1 };

static bool within_reach(struct xgpu *s, uint64_t addr, uint32_t len)
{
	uint64_t last = addr + len - 1;

	return last >= addr && (s->dma_bits == 64 || !(last >> s->dma_bits));
}

static bool access_dma(struct xgpu *s, uint64_t addr, void *buf, uint32_t len, bool write)
{
	bool nested = s->accessing, ok;

	if (s->gone || !within_reach(s, addr, len))
		return false;
	s->accessing = true;
	ok = pci_dma_rw(&s->pci, addr, buf, len,
			write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE,
			memory_only) == MEMTX_OK;
	s->accessing = nested;
	return ok;
}

static void refused(struct xgpu *s, struct xgpu_ctx *c, uint64_t addr, uint64_t va, uint32_t len,
		    bool write)
{
	xgpu_count(s, c, dma_errors, 1);
	xgpu_error(s, c, write ? XGPU_ERR_DMA_WRITE : XGPU_ERR_DMA_READ, addr, va, len);
}

/**
 * xgpu_dma - read or write system memory
 * @s: the device
 * @c: the context on whose behalf, or NULL
 * @addr: DMA address
 * @va: what was translated to it, for the error log; or 0
 * @buf: what is written, or read to
 * @len: bytes, at least 1
 * @write: to memory
 *
 * Return: false if the bus or the IOMMU refused it, which is then in the error log.
 */
bool xgpu_dma(struct xgpu *s, struct xgpu_ctx *c, uint64_t addr, uint64_t va, void *buf,
	      uint32_t len, bool write)
{
	if (access_dma(s, addr, buf, len, write))
		return true;
	refused(s, c, addr, va, len, write);
	return false;
}

/* For what the device looks at beside its work: a refusal is nobody's error. */
bool xgpu_dma_quietly(struct xgpu *s, uint64_t addr, void *buf, uint32_t len)
{
	return access_dma(s, addr, buf, len, false);
}

/* Is [offset, offset + len) in video memory? */
bool xgpu_vram_holds(struct xgpu *s, uint64_t offset, uint64_t len)
{
	return offset <= s->vram_size && len <= s->vram_size - offset;
}

/**
 * xgpu_access - read or write where a translation leads
 * @s: the device
 * @c: the context
 * @p: where
 * @va: what was translated to it, for the error log; or 0
 * @buf: what is written, or read to
 * @len: bytes, at least 1
 * @write: to memory
 *
 * Return: false if it was refused, which is then in the error log.
 */
bool xgpu_access(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_place *p, uint64_t va,
		 void *buf, uint32_t len, bool write)
{
	uint8_t *vram;

	if (!p->vram)
		return xgpu_dma(s, c, p->addr, va, buf, len, write);
	if (!xgpu_vram_holds(s, p->addr, len)) {
		xgpu_error(s, c, XGPU_ERR_VRAM, p->addr, va, len);
		return false;
	}
	vram = (uint8_t *)memory_region_get_ram_ptr(&s->vram) + p->addr;
	if (write) {
		memcpy(vram, buf, len);
		memory_region_set_dirty(&s->vram, p->addr, len);
	} else {
		memcpy(buf, vram, len);
	}
	return true;
}

/*
 * System memory of the virtual machine, as host memory, or NULL. Called within an RCU
 * critical section, which keeps it there.
 */
static uint64_t *host_word(struct xgpu *s, uint64_t addr)
{
	FlatView *fv = address_space_to_flatview(pci_get_address_space(&s->pci));
	hwaddr offset, len = 8;
	MemoryRegion *mr;

	mr = flatview_translate(fv, addr, &offset, &len, true, memory_only);
	if (len < 8 || !memory_access_is_direct(mr, true))
		return NULL;
	memory_region_set_dirty(mr, offset, 8);
	return (uint64_t *)((uint8_t *)memory_region_get_ram_ptr(mr) + offset);
}

/**
 * xgpu_atomic_add - add to 8 bytes, atomically also for the CPUs
 * @s: the device
 * @c: the context
 * @p: where; a multiple of 8
 * @va: what was translated to it, for the error log
 * @value: what to add
 * @before: what was there
 *
 * Return: false if it was refused, which is then in the error log.
 */
bool xgpu_atomic_add(struct xgpu *s, struct xgpu_ctx *c, const struct xgpu_place *p, uint64_t va,
		     uint64_t value, uint64_t *before)
{
	uint64_t *word, old, seen;

	RCU_READ_LOCK_GUARD();
	/* The read tells whether the IOMMU lets the device read, at all. */
	if (!xgpu_access(s, c, p, va, &old, 8, false))
		return false;
	if (p->vram) {
		word = (uint64_t *)((uint8_t *)memory_region_get_ram_ptr(&s->vram) + p->addr);
		memory_region_set_dirty(&s->vram, p->addr, 8);
	} else {
		word = host_word(s, p->addr);
		if (!word) {
			refused(s, c, p->addr, va, 8, true);
			return false;
		}
	}
	do {
		seen = old;
		old = qatomic_cmpxchg(word, seen, cpu_to_le64(le64_to_cpu(seen) + value));
	} while (old != seen);
	*before = le64_to_cpu(seen);
	return true;
}
