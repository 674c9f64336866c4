/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the xgpu device looks like to a driver: registers, page tables, and what it reads
 * and writes in memory. Documentation/xgpu-device.md says what each of it does.
 *
 * The driver and the model of the device (tools/xen-tests/xgpu-device) both include this
 * file, and nothing else is between them. All of it is little-endian.
 *
 * Addresses are of three kinds:
 *   VA      a context's virtual address, 48 bits, translated by its page table;
 *   DMA     a bus address of system memory, as dma_map_*() returns it;
 *   VRAM    an offset in video memory, which the CPU sees in BAR 2.
 * In intervals [first, last], last is inclusive. Indices of rings run freely, modulo 2^32:
 * the entry is the index modulo the ring's size, the ring is empty when both are equal.
 */
#ifndef _XGPU_HW_H
#define _XGPU_HW_H

/* Columns, which clang-format would take apart */
/* clang-format off */

#include <linux/types.h>

/* ---- PCI ---- */

/* "XN" and "GP"; pci.ids (2023-04) knows no such vendor. */
#define XGPU_PCI_VENDOR			0x584e
#define XGPU_PCI_DEVICE			0x4750
/* Processing accelerator: no driver binds to the class. */
#define XGPU_PCI_CLASS			0x120000
#define XGPU_BAR_REGS			0
#define XGPU_BAR_VRAM			2
#define XGPU_REGS_SIZE			0x10000

/*
 * Interrupts: the number is the bit in XGPU_INT_* and, of the four MSI vectors, the vector.
 * With fewer vectors granted (a power of two), it is the number modulo that many.
 */
#define XGPU_IRQ_FENCE			0	/* a command with XGPU_CMD_INTERRUPT is complete */
#define XGPU_IRQ_FAULT			1	/* a new entry in the fault queue */
#define XGPU_IRQ_SHOOTDOWN		2	/* one with XGPU_SHOOT_INTERRUPT is complete */
#define XGPU_IRQ_ERROR			3	/* a new entry in the error log */
#define XGPU_IRQS			4

/* ---- Registers of the device (BAR 0) ----
 *
 * Accesses are 4 or 8 bytes, aligned. (64) is a register of 64 bits, which may also be
 * written in halves; where a write of it makes something happen, the high half does, with
 * the low half that was written before. RO: a write is ignored and logged.
 */
#define XGPU_ID				0x0000	/* RO XGPU_ID_MAGIC */
#define XGPU_ID_MAGIC			0x55504758
#define XGPU_VERSION			0x0004	/* RO major << 16 | minor */
#define XGPU_VERSION_MAJOR		1
#define XGPU_VERSION_MINOR		1
#define XGPU_VRAM_SIZE			0x0008	/* RO (64) bytes */
#define XGPU_DMA_BITS			0x0010	/* RO DMA addresses have this many bits */
#define XGPU_NR_CONTEXTS		0x0014	/* RO */
#define XGPU_TLB_ENTRIES		0x0018	/* RO of each context */
#define XGPU_CONTROL			0x0020
#define XGPU_CONTROL_ENABLE		0x1	/* commands and shootdowns are worked on */
#define XGPU_RESET			0x0024	/* written: everything is as after power-on ... */
#define XGPU_RESET_DEVICE		0x1	/* ... but what is in video memory stays, ... */
#define XGPU_RESET_CLEAR_VRAM		0x2	/* ... unless this is set too */
#define XGPU_STATUS			0x0028	/* RO */
#define XGPU_STATUS_BUSY		0x1	/* some context runs a command */
#define XGPU_STATUS_STALLED		0x2	/* some context waits for the answer to a fault */
#define XGPU_STATUS_SHOOTING		0x4	/* a shootdown is not yet complete */
#define XGPU_TIME			0x0030	/* RO (64) ns, the clock of the latencies */

/* Interrupts: a bit of STATUS that becomes 1 while enabled sends its message. */
#define XGPU_INT_STATUS			0x0040	/* RO bit XGPU_IRQ_*: has happened */
#define XGPU_INT_ACK			0x0044	/* bits written as 1 become 0 in STATUS */
#define XGPU_INT_ENABLE			0x0048
#define XGPU_INT_VECTORS		0x004c	/* RO MSI vectors in use, 0: INTx */
/* (64) contexts 0-63 and 64-127 that raised XGPU_IRQ_FENCE; a bit written as 1 becomes 0. */
#define XGPU_FENCE_PENDING(n)		(0x0050 + 8 * (n))

/*
 * The queue of faults, struct xgpu_fault in memory: the device writes, the driver reads. BASE
 * can be written while LOG2 is 0 only; LOG2 set to another value sets HEAD and TAIL to 0. So
 * it is with shootdowns.
 */
#define XGPU_FAULT_BASE			0x0100	/* (64) DMA, 4096-byte aligned */
#define XGPU_FAULT_LOG2			0x0108	/* log2 of entries, 1 to 16; 0: no queue */
#define XGPU_FAULT_HEAD			0x010c	/* index of the entry that is read next */
#define XGPU_FAULT_TAIL			0x0110	/* RO index of the entry that is written next */
#define XGPU_FAULT_OVERFLOW		0x0114	/* bit 0: a fault had to wait; write 1 to clear */
/* The answer to a fault: (64), written at once or low half first. */
#define XGPU_FAULT_ANSWER		0x0118
#define XGPU_ANSWER_REPLAY		0x1ULL	/* try again */
#define XGPU_ANSWER_FAIL		0x2ULL	/* the command ends with XGPU_ST_FAULT */
#define XGPU_ANSWER_CONTEXT		0x100ULL /* whatever the context is stalled at */
#define XGPU_ANSWER_CONTEXT_SHIFT	16	/* the context, 16 bits */
#define XGPU_ANSWER_STALL_SHIFT		32	/* the stall id, unless XGPU_ANSWER_CONTEXT */

/* The queue of shootdowns, struct xgpu_shootdown in memory: the driver writes. */
#define XGPU_SHOOT_BASE			0x0140	/* (64) DMA, 4096-byte aligned */
#define XGPU_SHOOT_LOG2			0x0148	/* log2 of entries, 1 to 12; 0: no queue */
#define XGPU_SHOOT_TAIL			0x014c	/* doorbell: index of the entry written next */
#define XGPU_SHOOT_HEAD			0x0150	/* RO entries below this may be written again */
#define XGPU_SHOOT_CONTROL		0x0154
#define XGPU_SHOOT_PUBLISH		0x1	/* DONE goes to memory, too */
#define XGPU_SHOOT_DONE			0x0158	/* RO (64) seq of the last complete shootdown */
#define XGPU_SHOOT_DONE_ADDR		0x0160	/* (64) DMA, 8-byte aligned: where DONE goes */

/* How long things take, in ns of virtual time */
#define XGPU_LAT_COMMAND		0x0200	/* each command, before its first access */
#define XGPU_LAT_KIB			0x0204	/* each KiB read or written */
#define XGPU_LAT_SHOOTDOWN		0x0208	/* from the doorbell until entries are dropped */
#define XGPU_LAT_FAULT			0x020c	/* from the miss until it is in the queue */

/* Failures, for tests of drivers */
#define XGPU_FAIL_PHYS			0x0210	/* so many physical commands to come fail */
#define XGPU_FAIL_SILENT		0x0214	/* 1: mute until its function is reset */

/* Stale TLB entries: those that the page table does not have any more */
#define XGPU_STALE_CHECK		0x0220	/* bit 0: each hit is compared with the table */
#define XGPU_SCAN_FIRST			0x0228	/* (64) VA */
#define XGPU_SCAN_LAST			0x0230	/* (64) VA, inclusive */
#define XGPU_SCAN_CONTEXT		0x0238	/* written: count that context's entries there */
#define XGPU_SCAN_STALE			0x023c	/* RO those that differ from the table */
#define XGPU_SCAN_CACHED		0x0240	/* RO all */
#define XGPU_SCAN_STATUS		0x0244	/* RO bit 0: too much work, STALE is a minimum */

/* The error log: XGPU_ERROR_ENTRIES times struct xgpu_error, in registers */
#define XGPU_ERROR_HEAD			0x0300	/* index of the entry that is read next */
#define XGPU_ERROR_TAIL			0x0304	/* RO index of the entry that is written next */
#define XGPU_ERROR_LOG			0x2000	/* RO */
#define XGPU_ERROR_ENTRIES		64

/* Counters since the last reset: RO (64) */
#define XGPU_CNT_COMMANDS		0x0400	/* complete, with whatever status */
#define XGPU_CNT_BYTES_READ		0x0408	/* by commands */
#define XGPU_CNT_BYTES_WRITTEN		0x0410
#define XGPU_CNT_TLB_HITS		0x0418
#define XGPU_CNT_TLB_MISSES		0x0420
#define XGPU_CNT_WALKS			0x0428	/* of page tables, stale checks left out */
#define XGPU_CNT_FAULTS			0x0430	/* put into the queue */
#define XGPU_CNT_REPLAYS		0x0438
#define XGPU_CNT_FAILS			0x0440	/* answered with FAIL */
#define XGPU_CNT_SHOOTDOWNS		0x0448	/* complete */
#define XGPU_CNT_STALE			0x0450	/* stale hits that no shootdown followed (yet) */
#define XGPU_CNT_STALE_PENDING		0x0458	/* stale hits before their shootdown was complete */
#define XGPU_CNT_DMA_ERRORS		0x0460	/* accesses that the bus or the IOMMU refused */
#define XGPU_CNT_BAD_COMMANDS		0x0468
#define XGPU_CNT_BAD_PTES		0x0470	/* walks that ended at a malformed entry */
#define XGPU_CNT_ERRORS_LOST		0x0478	/* because the error log was full */
#define XGPU_CNT_INTERRUPTS		0x0480	/* MSI messages, or INTx raised */
#define XGPU_CNT_BAD_ANSWERS		0x0488	/* to faults that nobody is stalled at */
#define XGPU_CNT_END			0x0490

/* ---- Registers of context c ----
 *
 * Context 0 is the driver's: only there the physical commands are allowed. PT_ROOT,
 * RING_*, RECORD_BASE can be written while the context is not enabled only.
 */
#define XGPU_CONTEXTS			128
#define XGPU_CTX_BASE			0x8000
#define XGPU_CTX_STRIDE			0x100
#define XGPU_CTX(c, reg)		(XGPU_CTX_BASE + XGPU_CTX_STRIDE * (c) + (reg))

#define XGPU_CTX_CONTROL		0x00
#define XGPU_CTX_ENABLE			0x1	/* 0 to 1: ring indices, record, TLB start anew */
#define XGPU_CTX_FAULTS			0x2	/* misses stall; 0: the command fails at once */
#define XGPU_CTX_RECORDS		0x4	/* each command's struct xgpu_record is written */
#define XGPU_CTX_RESET			0x04	/* written 1: as ENABLE to 0, whatever runs */
#define XGPU_CTX_STATE			0x08	/* RO */
#define XGPU_STATE_OFF			0
#define XGPU_STATE_IDLE			1
#define XGPU_STATE_RUNNING		2
#define XGPU_STATE_STALLED		3	/* at a fault: STALL_* */
#define XGPU_STATE_DEAD			4	/* its ring is unusable (error log): reset it */
#define XGPU_CTX_PT_ROOT		0x10	/* (64) as a table's entry: VALID, VRAM, address */
#define XGPU_CTX_RING_BASE		0x18	/* (64) DMA, 4096-byte aligned: struct xgpu_cmd */
#define XGPU_CTX_RING_LOG2		0x20	/* log2 of entries, 1 to 16 */
#define XGPU_CTX_RING_TAIL		0x24	/* doorbell: index of the entry written next */
#define XGPU_CTX_RING_HEAD		0x28	/* RO index of the first that is not complete */
#define XGPU_CTX_RECORD_BASE		0x30	/* (64) DMA, 4096-byte aligned: as many entries */
#define XGPU_CTX_FENCE			0x38	/* RO (64) value of the last fence */
#define XGPU_CTX_STALL_ID		0x40	/* RO 0: not stalled, or not yet reported */
#define XGPU_CTX_STALL_FLAGS		0x44	/* RO XGPU_FAULT_* */
#define XGPU_CTX_STALL_VA		0x48	/* RO (64) */
/* Counters since ENABLE became 1: RO (64) */
#define XGPU_CTX_CNT_COMMANDS		0x80
#define XGPU_CTX_CNT_BYTES_READ		0x88
#define XGPU_CTX_CNT_BYTES_WRITTEN	0x90
#define XGPU_CTX_CNT_TLB_HITS		0x98
#define XGPU_CTX_CNT_TLB_MISSES		0xa0
#define XGPU_CTX_CNT_FAULTS		0xa8
#define XGPU_CTX_CNT_STALE		0xb0
#define XGPU_CTX_CNT_STALE_PENDING	0xb8
#define XGPU_CTX_CNT_DMA_ERRORS		0xc0
#define XGPU_CTX_CNT_END		0xc8

/* ---- Page tables ----
 *
 * Four levels, 3 (root) to 0, of 512 entries of 64 bits, each table 4096 bytes and aligned,
 * in system memory or in video memory. Bits 52-58 are software's; all bits are, where VALID
 * is 0. Bits that are neither named here nor software's must be 0.
 */
#define XGPU_PT_LEVELS			4
#define XGPU_PT_ENTRIES			512
#define XGPU_VA_BITS			48
#define XGPU_PTE_VALID			0x1ULL
#define XGPU_PTE_WRITE			0x2ULL	/* of a leaf: may be written; ignored above */
#define XGPU_PTE_VRAM			0x4ULL	/* the address is VRAM, else DMA */
#define XGPU_PTE_LEAF			0x8ULL	/* level 1: a page of 2 MiB; level 0: may be set */
#define XGPU_PTE_64K			0x10ULL	/* level 0: one of 16 that map 64 KiB together */
#define XGPU_PTE_ADDR			0x000ffffffffff000ULL
#define XGPU_PTE_SOFTWARE		0x07f0000000000000ULL
/* Index in the table of level l */
#define XGPU_PT_INDEX(va, l)		(((va) >> (12 + 9 * (l))) & (XGPU_PT_ENTRIES - 1))

/* ---- Commands: an entry of a context's ring ---- */

struct xgpu_cmd {
	__le16 op;		/* XGPU_OP_* */
	__le16 flags;		/* XGPU_CMD_* */
	__le32 cookie;		/* comes back in the record */
	__le64 dst;
	__le64 src;
	__le64 len;		/* bytes; any alignment */
	__le64 value;
	__le64 reserved[3];	/* 0 */
};

#define XGPU_OP_NOP			0
#define XGPU_OP_COPY			1	/* len bytes from VA src to VA dst */
#define XGPU_OP_FILL			2	/* VA dst: byte i is byte i % 8 of value */
#define XGPU_OP_CHECKSUM		3	/* result: of len bytes at VA src, see below */
#define XGPU_OP_COMPARE			4	/* VA dst with VA src; result: where they differ */
#define XGPU_OP_ATOMIC_ADD		5	/* 8 bytes at VA dst += value; result: before */
#define XGPU_OP_FENCE			6	/* struct xgpu_fence with value to DMA dst */
#define XGPU_OP_HANG			7	/* never completes */
/* Context 0 only */
#define XGPU_OP_PHYS_COPY		8	/* len bytes, each address DMA or VRAM by flags */
#define XGPU_OP_PHYS_FILL		9
#define XGPU_OPS			10

#define XGPU_CMD_INTERRUPT		0x1	/* XGPU_IRQ_FENCE when complete; any command */
#define XGPU_CMD_SKIP_ON_ERROR		0x2	/* not done if one since the last FENCE failed */
#define XGPU_CMD_STORE			0x4	/* CHECKSUM: the result also to VA dst, 8 bytes */
#define XGPU_CMD_SRC_VRAM		0x10	/* PHYS_*: src is VRAM, else DMA */
#define XGPU_CMD_DST_VRAM		0x20	/* PHYS_*: dst is VRAM, else DMA */
#define XGPU_CMD_FLAGS			0x37

/*
 * The checksum: the bytes are 64-bit words w(0), w(1), ..., the last one padded with 0. It is
 * the sum of w(i) * (2 * i + 1), modulo 2^64.
 */

/* How a command ended */
#define XGPU_ST_OK			0
#define XGPU_ST_FAULT			1	/* no permission or no page, at fault_va */
#define XGPU_ST_DMA_ERROR		2	/* memory was refused, fault_va if known */
#define XGPU_ST_BAD_COMMAND		3
#define XGPU_ST_BAD_ADDRESS		4	/* beyond 48 bits, or beyond video memory */
#define XGPU_ST_BAD_PTE			5	/* a malformed entry in the page table */
#define XGPU_ST_COMPARE_DIFF		6	/* result is the offset of the first difference */
#define XGPU_ST_SKIPPED			7	/* XGPU_CMD_SKIP_ON_ERROR */

/* The record of a command: entry (its index modulo the ring's size) at RECORD_BASE. */
struct xgpu_record {
	__le32 index;		/* of the command in its ring, plus 1; written last */
	__le32 status;		/* XGPU_ST_* */
	__le32 cookie;
	__le32 reserved;
	__le64 result;
	__le64 fault_va;
};

/* What FENCE writes, 32-byte aligned. It speaks of all commands since the last FENCE. */
struct xgpu_fence {
	__le64 value;		/* written last */
	__le32 status;		/* of the first that failed, else XGPU_ST_OK */
	__le32 index;		/* of that command in its ring */
	__le64 result;		/* of the last that has one, or of the one that failed */
	__le64 fault_va;	/* of the one that failed */
};

/* ---- Faults ---- */

struct xgpu_fault {
	__le64 va;		/* the byte whose access misses */
	__le16 context;
	__le16 flags;		/* XGPU_FAULT_* */
	__le32 stall;		/* id for XGPU_FAULT_ANSWER, never 0 */
	__le32 index;		/* of the command in its ring */
	__le32 pages;		/* 4 KiB pages from va's on that the command is yet to use */
	__le64 time;		/* XGPU_TIME when it missed */
};

#define XGPU_FAULT_WRITE		0x1
#define XGPU_FAULT_PERMISSION		0x2	/* there is an entry, which may not be written */
#define XGPU_FAULT_LEVEL_SHIFT		4	/* level of the table where the walk ended */
#define XGPU_FAULT_LEVEL_MASK		0x30

/* ---- Shootdowns ---- */

struct xgpu_shootdown {
	__le64 first;		/* VA */
	__le64 last;		/* VA, inclusive */
	__le64 seq;		/* published when complete */
	__le16 context;
	__le16 flags;		/* XGPU_SHOOT_* */
	__le32 reserved;	/* 0 */
};

#define XGPU_SHOOT_INTERRUPT		0x1
#define XGPU_SHOOT_ALL			0x2	/* all of the context, first and last ignored */

/* ---- Errors ---- */

struct xgpu_error {
	__le16 type;		/* XGPU_ERR_* */
	__le16 context;		/* XGPU_ERR_NO_CONTEXT: none */
	__le32 index;		/* of the entry itself, in the log */
	__le64 address;		/* DMA address, VRAM, offset of a register, or VA, by type */
	__le64 va;		/* what was translated to the address, 0: nothing */
	__le64 info;		/* by type */
};

#define XGPU_ERR_NO_CONTEXT		0xffff
#define XGPU_ERR_DMA_READ		1	/* refused: address is DMA; info: bytes */
#define XGPU_ERR_DMA_WRITE		2
#define XGPU_ERR_VRAM			3	/* outside: address is VRAM; info: bytes */
#define XGPU_ERR_COMMAND		4	/* address: index; info: op | flags << 16 */
#define XGPU_ERR_REGISTER		5	/* address: offset in BAR 0; info: the value */
#define XGPU_ERR_PTE			6	/* address: of the entry; info: the entry */
#define XGPU_ERR_FAULT_QUEUE		7	/* full, or none; address: VA */
#define XGPU_ERR_SHOOTDOWN		8	/* address: first; info: last */
#define XGPU_ERR_RING			9	/* the context is DEAD; info: tail - head */
#define XGPU_ERR_REENTRANT		10	/* the device's own DMA came to its registers */

#endif
