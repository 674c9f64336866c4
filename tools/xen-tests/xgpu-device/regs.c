// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers. QEMU makes two accesses of 4 bytes of one of 8, low half first, with its
 * lock held all the time: so a register of 64 bits is read and written at once all the same.
 *
 * What is written is stored, or lets the timer expire; the exceptions end in a bounded time:
 * the scan for stale entries, and a reset.
 */
#include "xgpu.h"
#include "hw/pci/msi.h"

#define MAX_RING_LOG2	16
#define MAX_FAULT_LOG2	16
#define MAX_SHOOT_LOG2	12

static uint32_t half(uint64_t value, hwaddr reg)
{
	return reg & 4 ? value >> 32 : value;
}

static void set_half(uint64_t *to, hwaddr reg, uint32_t value)
{
	if (reg & 4)
		*to = (*to & 0xffffffffULL) | (uint64_t)value << 32;
	else
		*to = (*to & ~0xffffffffULL) | value;
}

static void refuse(struct xgpu *s, struct xgpu_ctx *c, hwaddr reg, uint32_t value)
{
	xgpu_error(s, c, XGPU_ERR_REGISTER, reg, 0, value);
}

/* ---- reading ---- */

static uint32_t status_of(struct xgpu *s)
{
	uint32_t status = 0;
	unsigned int i;

	if (s->nr_shooting || s->shoot_head != s->shoot_tail)
		status |= XGPU_STATUS_SHOOTING;
	for (i = 0; i < XGPU_CONTEXTS; i++) {
		switch (s->ctx[i].phase) {
		case XGPU_OFF:
		case XGPU_IDLE:
		case XGPU_DEAD:
			break;
		case XGPU_STALLED:
			status |= XGPU_STATUS_STALLED;
			break;
		default:
			status |= XGPU_STATUS_BUSY;
		}
	}
	return status;
}

static uint64_t counter(struct xgpu *s, hwaddr reg)
{
	switch (reg & ~7ULL) {
	case XGPU_CNT_COMMANDS:
		return s->cnt.commands;
	case XGPU_CNT_BYTES_READ:
		return s->cnt.bytes_read;
	case XGPU_CNT_BYTES_WRITTEN:
		return s->cnt.bytes_written;
	case XGPU_CNT_TLB_HITS:
		return s->cnt.tlb_hits;
	case XGPU_CNT_TLB_MISSES:
		return s->cnt.tlb_misses;
	case XGPU_CNT_WALKS:
		return s->cnt.walks;
	case XGPU_CNT_FAULTS:
		return s->cnt.faults;
	case XGPU_CNT_REPLAYS:
		return s->cnt.replays;
	case XGPU_CNT_FAILS:
		return s->cnt.fails;
	case XGPU_CNT_SHOOTDOWNS:
		return s->cnt.shootdowns;
	case XGPU_CNT_STALE:
		return s->cnt.stale;
	case XGPU_CNT_STALE_PENDING:
		return s->cnt.stale_pending;
	case XGPU_CNT_DMA_ERRORS:
		return s->cnt.dma_errors;
	case XGPU_CNT_BAD_COMMANDS:
		return s->cnt.bad_commands;
	case XGPU_CNT_BAD_PTES:
		return s->cnt.bad_ptes;
	case XGPU_CNT_ERRORS_LOST:
		return s->cnt.errors_lost;
	case XGPU_CNT_INTERRUPTS:
		return s->cnt.interrupts;
	case XGPU_CNT_BAD_ANSWERS:
		return s->cnt.bad_answers;
	}
	return 0;
}

static uint32_t read_log(struct xgpu *s, hwaddr offset)
{
	return ldl_le_p((uint8_t *)s->errors + offset);
}

/* The whole of a register that has 64 bits. False: this one has not. */
static bool read_device64(struct xgpu *s, hwaddr reg, uint64_t *value)
{
	switch (reg & ~7ULL) {
	case XGPU_VRAM_SIZE:
		*value = s->vram_size;
		return true;
	case XGPU_TIME:
		*value = xgpu_now();
		return true;
	case XGPU_FENCE_PENDING(0):
		*value = s->fence_pending[0];
		return true;
	case XGPU_FENCE_PENDING(1):
		*value = s->fence_pending[1];
		return true;
	case XGPU_FAULT_BASE:
		*value = s->fault_base;
		return true;
	case XGPU_SHOOT_BASE:
		*value = s->shoot_base;
		return true;
	case XGPU_SHOOT_DONE:
		*value = s->shoot_done;
		return true;
	case XGPU_SHOOT_DONE_ADDR:
		*value = s->shoot_done_addr;
		return true;
	case XGPU_SCAN_FIRST:
		*value = s->scan_first;
		return true;
	case XGPU_SCAN_LAST:
		*value = s->scan_last;
		return true;
	}
	return false;
}

static uint32_t read_device(struct xgpu *s, hwaddr reg)
{
	uint64_t value;

	if (reg >= XGPU_CNT_COMMANDS && reg < XGPU_CNT_END)
		return half(counter(s, reg), reg);
	if (reg >= XGPU_ERROR_LOG && reg < XGPU_ERROR_LOG + sizeof(s->errors))
		return read_log(s, reg - XGPU_ERROR_LOG);
	if (read_device64(s, reg, &value))
		return half(value, reg);

	switch (reg) {
	case XGPU_ID:
		return XGPU_ID_MAGIC;
	case XGPU_VERSION:
		return XGPU_VERSION_MAJOR << 16 | XGPU_VERSION_MINOR;
	case XGPU_DMA_BITS:
		return s->dma_bits;
	case XGPU_NR_CONTEXTS:
		return XGPU_CONTEXTS;
	case XGPU_TLB_ENTRIES:
		return XGPU_TLB_SIZE;
	case XGPU_CONTROL:
		return s->control;
	case XGPU_STATUS:
		return status_of(s);
	case XGPU_INT_STATUS:
		return s->int_status;
	case XGPU_INT_ENABLE:
		return s->int_enable;
	case XGPU_INT_VECTORS:
		return msi_enabled(&s->pci) ? msi_nr_vectors_allocated(&s->pci) : 0;
	case XGPU_FAULT_LOG2:
		return s->fault_log2;
	case XGPU_FAULT_HEAD:
		return s->fault_head;
	case XGPU_FAULT_TAIL:
		return s->fault_tail;
	case XGPU_FAULT_OVERFLOW:
		return s->fault_overflow;
	case XGPU_SHOOT_LOG2:
		return s->shoot_log2;
	case XGPU_SHOOT_TAIL:
		return s->shoot_tail;
	case XGPU_SHOOT_HEAD:
		return s->shoot_head;
	case XGPU_SHOOT_CONTROL:
		return s->shoot_control;
	case XGPU_LAT_COMMAND:
		return s->lat_command;
	case XGPU_LAT_KIB:
		return s->lat_kib;
	case XGPU_LAT_SHOOTDOWN:
		return s->lat_shootdown;
	case XGPU_LAT_FAULT:
		return s->lat_fault;
	case XGPU_FAIL_PHYS:
		return s->fail_phys;
	case XGPU_FAIL_SILENT:
		return 0;
	case XGPU_STALE_CHECK:
		return s->stale_check;
	case XGPU_SCAN_CONTEXT:
		return s->scan_context;
	case XGPU_SCAN_STALE:
		return s->scan_stale;
	case XGPU_SCAN_CACHED:
		return s->scan_cached;
	case XGPU_SCAN_STATUS:
		return s->scan_status;
	case XGPU_ERROR_HEAD:
		return s->error_head;
	case XGPU_ERROR_TAIL:
		return s->error_tail;
	}
	return 0;
}

static uint32_t state_of(const struct xgpu_ctx *c)
{
	switch (c->phase) {
	case XGPU_OFF:
		return XGPU_STATE_OFF;
	case XGPU_IDLE:
		return XGPU_STATE_IDLE;
	case XGPU_STALLED:
		return XGPU_STATE_STALLED;
	case XGPU_DEAD:
		return XGPU_STATE_DEAD;
	default:
		return XGPU_STATE_RUNNING;
	}
}

static uint64_t ctx_counter(const struct xgpu_ctx *c, hwaddr reg)
{
	switch (reg & ~7ULL) {
	case XGPU_CTX_CNT_COMMANDS:
		return c->cnt.commands;
	case XGPU_CTX_CNT_BYTES_READ:
		return c->cnt.bytes_read;
	case XGPU_CTX_CNT_BYTES_WRITTEN:
		return c->cnt.bytes_written;
	case XGPU_CTX_CNT_TLB_HITS:
		return c->cnt.tlb_hits;
	case XGPU_CTX_CNT_TLB_MISSES:
		return c->cnt.tlb_misses;
	case XGPU_CTX_CNT_FAULTS:
		return c->cnt.faults;
	case XGPU_CTX_CNT_STALE:
		return c->cnt.stale;
	case XGPU_CTX_CNT_STALE_PENDING:
		return c->cnt.stale_pending;
	case XGPU_CTX_CNT_DMA_ERRORS:
		return c->cnt.dma_errors;
	}
	return 0;
}

static bool read_ctx64(const struct xgpu_ctx *c, hwaddr reg, uint64_t *value)
{
	switch (reg & ~7ULL) {
	case XGPU_CTX_PT_ROOT:
		*value = c->pt_root;
		return true;
	case XGPU_CTX_RING_BASE:
		*value = c->ring_base;
		return true;
	case XGPU_CTX_RECORD_BASE:
		*value = c->record_base;
		return true;
	case XGPU_CTX_FENCE:
		*value = c->fence;
		return true;
	case XGPU_CTX_STALL_VA:
		*value = c->stall_id ? c->stall_va : 0;
		return true;
	}
	return false;
}

static uint32_t read_ctx(const struct xgpu_ctx *c, hwaddr reg)
{
	uint64_t value;

	if (reg >= XGPU_CTX_CNT_COMMANDS && reg < XGPU_CTX_CNT_END)
		return half(ctx_counter(c, reg), reg);
	if (read_ctx64(c, reg, &value))
		return half(value, reg);

	switch (reg) {
	case XGPU_CTX_CONTROL:
		return c->control;
	case XGPU_CTX_STATE:
		return state_of(c);
	case XGPU_CTX_RING_LOG2:
		return c->ring_log2;
	case XGPU_CTX_RING_TAIL:
		return c->tail;
	case XGPU_CTX_RING_HEAD:
		return c->head;
	case XGPU_CTX_STALL_ID:
		return c->stall_id;
	case XGPU_CTX_STALL_FLAGS:
		return c->stall_id ? c->stall_flags : 0;
	}
	return 0;
}

static uint64_t reg_read(void *opaque, hwaddr reg, unsigned int size)
{
	struct xgpu *s = opaque;

	(void)size;
	if (s->silent)
		return UINT32_MAX;
	if (reg < XGPU_CTX_BASE)
		return read_device(s, reg);
	reg -= XGPU_CTX_BASE;
	return read_ctx(&s->ctx[reg / XGPU_CTX_STRIDE], reg % XGPU_CTX_STRIDE);
}

/* ---- writing ---- */

/* Half of an address that is a multiple of a power of 2. False: it is not. */
static bool set_address(uint64_t *to, hwaddr reg, uint32_t value, uint32_t align)
{
	if (!(reg & 4) && value & (align - 1))
		return false;
	set_half(to, reg, value);
	return true;
}

static void write_fault_queue(struct xgpu *s, hwaddr reg, uint32_t value)
{
	switch (reg) {
	case XGPU_FAULT_BASE:
	case XGPU_FAULT_BASE + 4:
		if (s->fault_log2 || !set_address(&s->fault_base, reg, value, 4096))
			refuse(s, NULL, reg, value);
		return;
	case XGPU_FAULT_LOG2:
		if (value > MAX_FAULT_LOG2) {
			refuse(s, NULL, reg, value);
			return;
		}
		s->fault_log2 = value;
		s->fault_head = 0;
		s->fault_tail = 0;
		break;
	case XGPU_FAULT_HEAD:
		if (s->fault_tail - value > 1u << s->fault_log2) {
			refuse(s, NULL, reg, value);
			return;
		}
		s->fault_head = value;
		break;
	case XGPU_FAULT_OVERFLOW:
		s->fault_overflow &= ~value;
		return;
	case XGPU_FAULT_ANSWER:
		s->answer_low = value;
		return;
	case XGPU_FAULT_ANSWER + 4:
		xgpu_fault_answer(s, (uint64_t)value << 32 | s->answer_low);
		return;
	default:
		refuse(s, NULL, reg, value);
		return;
	}
	/* There may be room for a fault that was held back. */
	xgpu_kick(s);
}

static void write_shoot_queue(struct xgpu *s, hwaddr reg, uint32_t value)
{
	switch (reg) {
	case XGPU_SHOOT_BASE:
	case XGPU_SHOOT_BASE + 4:
		if (s->shoot_log2 || !set_address(&s->shoot_base, reg, value, 4096))
			refuse(s, NULL, reg, value);
		return;
	case XGPU_SHOOT_LOG2:
		if (value > MAX_SHOOT_LOG2) {
			refuse(s, NULL, reg, value);
			return;
		}
		s->shoot_log2 = value;
		s->shoot_head = 0;
		s->shoot_tail = 0;
		return;
	case XGPU_SHOOT_TAIL:
		if (!s->shoot_log2 || value - s->shoot_head > 1u << s->shoot_log2) {
			refuse(s, NULL, reg, value);
			return;
		}
		s->shoot_tail = value;
		xgpu_kick(s);
		return;
	case XGPU_SHOOT_CONTROL:
		s->shoot_control = value & XGPU_SHOOT_PUBLISH;
		return;
	case XGPU_SHOOT_DONE_ADDR:
	case XGPU_SHOOT_DONE_ADDR + 4:
		if (!set_address(&s->shoot_done_addr, reg, value, 8))
			refuse(s, NULL, reg, value);
		return;
	default:
		refuse(s, NULL, reg, value);
	}
}

static void write_int(struct xgpu *s, hwaddr reg, uint32_t value)
{
	uint32_t all = (1u << XGPU_IRQS) - 1, newly;
	unsigned int n;

	switch (reg) {
	case XGPU_INT_ACK:
		s->int_status &= ~value;
		xgpu_irq_update(s, 0);
		break;
	case XGPU_INT_ENABLE:
		newly = value & all & ~s->int_enable;
		s->int_enable = value & all;
		xgpu_irq_update(s, newly);
		break;
	case XGPU_FENCE_PENDING(0):
	case XGPU_FENCE_PENDING(0) + 4:
	case XGPU_FENCE_PENDING(1):
	case XGPU_FENCE_PENDING(1) + 4:
		n = (reg - XGPU_FENCE_PENDING(0)) / 8;
		s->fence_pending[n] &= ~((uint64_t)value << (reg & 4) * 8);
		break;
	default:
		refuse(s, NULL, reg, value);
	}
}

static void write_device(struct xgpu *s, hwaddr reg, uint32_t value)
{
	if (reg >= XGPU_INT_STATUS && reg < XGPU_FAULT_BASE) {
		write_int(s, reg, value);
		return;
	}
	if (reg >= XGPU_FAULT_BASE && reg < XGPU_SHOOT_BASE) {
		write_fault_queue(s, reg, value);
		return;
	}
	if (reg >= XGPU_SHOOT_BASE && reg < XGPU_LAT_COMMAND) {
		write_shoot_queue(s, reg, value);
		return;
	}
	switch (reg) {
	case XGPU_CONTROL:
		s->control = value & XGPU_CONTROL_ENABLE;
		xgpu_kick(s);
		break;
	case XGPU_RESET:
		if (value & XGPU_RESET_DEVICE)
			xgpu_clear(s, value & XGPU_RESET_CLEAR_VRAM);
		break;
	case XGPU_LAT_COMMAND:
		s->lat_command = value;
		break;
	case XGPU_LAT_KIB:
		s->lat_kib = value;
		break;
	case XGPU_LAT_SHOOTDOWN:
		s->lat_shootdown = value;
		break;
	case XGPU_LAT_FAULT:
		s->lat_fault = value;
		break;
	case XGPU_FAIL_PHYS:
		s->fail_phys = value;
		break;
	case XGPU_FAIL_SILENT:
		s->silent = value & 1;
		break;
	case XGPU_STALE_CHECK:
		s->stale_check = value & 1;
		break;
	case XGPU_SCAN_FIRST:
	case XGPU_SCAN_FIRST + 4:
		set_half(&s->scan_first, reg, value);
		break;
	case XGPU_SCAN_LAST:
	case XGPU_SCAN_LAST + 4:
		set_half(&s->scan_last, reg, value);
		break;
	case XGPU_SCAN_CONTEXT:
		s->scan_context = value;
		xgpu_tlb_scan(s);
		break;
	case XGPU_ERROR_HEAD:
		if (s->error_tail - value > XGPU_ERROR_ENTRIES)
			refuse(s, NULL, reg, value);
		else
			s->error_head = value;
		break;
	default:
		refuse(s, NULL, reg, value);
	}
}

static void write_control(struct xgpu *s, struct xgpu_ctx *c, uint32_t value)
{
	bool was = c->control & XGPU_CTX_ENABLE;

	if (was && !(value & XGPU_CTX_ENABLE))
		xgpu_ctx_stop(s, c);
	c->control = value & (XGPU_CTX_ENABLE | XGPU_CTX_FAULTS | XGPU_CTX_RECORDS);
	if (!was && value & XGPU_CTX_ENABLE)
		xgpu_ctx_enable(s, c);
}

/* What can be written only while the context is not enabled. Was it? */
static bool write_setup(struct xgpu_ctx *c, hwaddr reg, uint32_t value)
{
	if (c->phase != XGPU_OFF)
		return false;
	switch (reg) {
	case XGPU_CTX_PT_ROOT:
	case XGPU_CTX_PT_ROOT + 4:
		set_half(&c->pt_root, reg, value);
		return true;
	case XGPU_CTX_RING_BASE:
	case XGPU_CTX_RING_BASE + 4:
		return set_address(&c->ring_base, reg, value, 4096);
	case XGPU_CTX_RING_LOG2:
		if (value > MAX_RING_LOG2)
			return false;
		c->ring_log2 = value;
		return true;
	case XGPU_CTX_RECORD_BASE:
	case XGPU_CTX_RECORD_BASE + 4:
		return set_address(&c->record_base, reg, value, 4096);
	}
	return false;
}

static void write_ctx(struct xgpu *s, struct xgpu_ctx *c, hwaddr reg, uint32_t value)
{
	switch (reg) {
	case XGPU_CTX_CONTROL:
		write_control(s, c, value);
		break;
	case XGPU_CTX_RESET:
		if (value & 1)
			xgpu_ctx_stop(s, c);
		break;
	case XGPU_CTX_RING_TAIL:
		xgpu_ctx_doorbell(s, c, value);
		break;
	default:
		if (!write_setup(c, reg, value))
			refuse(s, c, XGPU_CTX(c->id, reg), value);
	}
}

static void reg_write(void *opaque, hwaddr reg, uint64_t value, unsigned int size)
{
	struct xgpu *s = opaque;

	(void)size;
	if (s->silent)
		return;
	if (s->accessing) {
		xgpu_error(s, NULL, XGPU_ERR_REENTRANT, reg, 0, value);
		return;
	}
	if (reg < XGPU_CTX_BASE) {
		write_device(s, reg, value);
		return;
	}
	reg -= XGPU_CTX_BASE;
	write_ctx(s, &s->ctx[reg / XGPU_CTX_STRIDE], reg % XGPU_CTX_STRIDE, value);
}

const MemoryRegionOps xgpu_reg_ops = {
	.read = reg_read,
	.write = reg_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 4, .max_access_size = 8 },
	.impl = { .min_access_size = 4, .max_access_size = 4 },
};
