/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/xgpuN: a GPU that works on ordinary pointers.
 *
 * Opening the device gives a context. It belongs to the address space that has opened it, and
 * works on that one's memory: malloc()ed, of files, mapped from another domain by gntdev, with
 * the permissions that the process has. Nothing has to be registered; memory may be unmapped,
 * forked, protected, moved at any time, also while the GPU works on it: it sees what the CPU
 * sees. A pointer to nothing ends in an error of the fence, and so does one to memory that
 * the process may not write.
 *
 *	int fd = open("/dev/xgpu0", O_RDWR);
 *	struct xgpu_work work = { .op = XGPU_WORK_FILL, .dst = (__u64)(uintptr_t)p,
 *				  .len = len, .value = 0x2a };
 *	struct xgpu_submit submit = { .size = sizeof(submit), .nr = 1,
 *				      .work = (__u64)(uintptr_t)&work };
 *	struct xgpu_wait wait = { .size = sizeof(wait), .timeout_ns = -1 };
 *
 *	ioctl(fd, XGPU_IOCTL_SUBMIT, &submit);
 *	wait.fence = submit.fence;
 *	ioctl(fd, XGPU_IOCTL_WAIT, &wait);
 *	if (wait.status != XGPU_FENCE_OK)
 *		...
 *
 * poll() says POLLIN when the last submitted fence is complete, POLLHUP when the device is gone.
 *
 * ABI rules: each structure begins with its size, which the caller sets to sizeof() of what it
 * was compiled with. What a shorter (older) structure lacks counts as 0, what a longer one has
 * more must be 0 (E2BIG). Reserved fields and unknown flags must be 0 (EINVAL). The same for
 * 32-bit programs. Fields are added at the ends only.
 *
 * Errors of all: ENODEV the device is gone, or has been taken away; EPERM the caller has
 * another address space than the one that has opened the file (a child of fork, a process
 * that was given the file); EFAULT a pointer of the call itself.
 */
#ifndef _UAPI_XEN_XGPU_H
#define _UAPI_XEN_XGPU_H

/* Columns, which clang-format would take apart */
/* clang-format off */

#include <linux/ioctl.h>
#include <linux/types.h>

/* -- work ------------------------------------------------------------------------ */

#define XGPU_WORK_NOP		0
#define XGPU_WORK_COPY		1	/* len bytes from src to dst */
#define XGPU_WORK_FILL		2	/* dst: byte i is byte i % 8 of value */
#define XGPU_WORK_CHECKSUM	3	/* result: of len bytes at src, see below */
#define XGPU_WORK_COMPARE	4	/* dst with src; result: offset of the first difference */
#define XGPU_WORK_ATOMIC_ADD	5	/* the 8 bytes at dst += value; result: before */
#define XGPU_WORK_HANG		7	/* never ends: to see how that is dealt with */

/*
 * The checksum: bytes are little-endian 64-bit words w(0), w(1), ..., the last one padded with
 * 0; it is the sum of w(i) * (2 * i + 1), modulo 2^64.
 *
 * Atomic: for other work of this GPU. For the CPU, too, where the device can do that; not every
 * bus takes such a request, so programs should not depend on it.
 */
struct xgpu_work {
	__u16 op;		/* XGPU_WORK_* */
	__u16 flags;		/* XGPU_WORK_FLAG_* */
	__u32 reserved;
	__u64 dst;		/* pointers of the process */
	__u64 src;
	__u64 len;		/* bytes, at most XGPU_WORK_MAX_LEN */
	__u64 value;
};

#define XGPU_WORK_FLAG_SKIP	0x1	/* not done if earlier work of the call has failed */
#define XGPU_WORK_MAX_LEN	(1ULL << 40)

/* Work of one call: it is done in order, and has one fence. */
#define XGPU_SUBMIT_MAX		64

/**
 * struct xgpu_submit - XGPU_IOCTL_SUBMIT: have work done
 * @size: sizeof(struct xgpu_submit)
 * @nr: 1 to XGPU_SUBMIT_MAX
 * @work: pointer to @nr struct xgpu_work
 * @fence: out: complete when all of it is. Numbers of one file rise by 1
 *
 * Returns at once if there is room for the work, else waits for that (EAGAIN with O_NONBLOCK,
 * EINTR for a signal). EINVAL for work that makes no sense. After any error nothing of it is
 * done, and @fence is not one.
 */
struct xgpu_submit {
	__u32 size;
	__u32 nr;
	__u64 work;
	__u64 fence;
};

#define XGPU_FENCE_OK		0
#define XGPU_FENCE_FAULT	1	/* nothing there, not to be written, or not to be had */
#define XGPU_FENCE_DMA_ERROR	2	/* the IOMMU, or the bus, refused memory */
#define XGPU_FENCE_DIFFERENT	3	/* XGPU_WORK_COMPARE has found a difference */
#define XGPU_FENCE_HUNG		4	/* did not end, and was ended */
#define XGPU_FENCE_LOST		5	/* the device was reset or taken away */
#define XGPU_FENCE_FAILED	6	/* anything else */

/**
 * struct xgpu_wait - XGPU_IOCTL_WAIT: wait for a fence
 * @size: sizeof(struct xgpu_wait)
 * @status: out: XGPU_FENCE_* of the first work that failed, or XGPU_FENCE_OK
 * @fence: of XGPU_IOCTL_SUBMIT
 * @timeout_ns: 0: do not wait (EAGAIN: not complete); -1: without limit
 * @result: out: of the last work that has one, or of the one that failed
 * @fault: out: the address, with XGPU_FENCE_FAULT and XGPU_FENCE_DMA_ERROR
 * @work: out: which of the call's works failed, from 0
 * @reserved: 0
 *
 * ETIME: not complete in time. EINTR for a signal. EINVAL: no such fence. ESTALE: complete,
 * but so long ago (XGPU_FENCES_KEPT fences) that nothing else is known.
 */
struct xgpu_wait {
	__u32 size;
	__u32 status;
	__u64 fence;
	__s64 timeout_ns;
	__u64 result;
	__u64 fault;
	__u32 work;
	__u32 reserved;
};

#define XGPU_FENCES_KEPT	64

/* -- where memory is -------------------------------------------------------------- */

/**
 * struct xgpu_range - XGPU_IOCTL_PREFETCH and XGPU_IOCTL_ADVISE
 * @size: sizeof(struct xgpu_range)
 * @what: XGPU_PREFETCH_*, or one of XGPU_ADVICE_*
 * @start: pointer
 * @len: bytes; the pages that it touches are meant
 * @done: out, PREFETCH: bytes in VMAs whose memory the GPU now has
 *
 * PREFETCH returns when the memory is there. Holes are passed over. A signal ends it: @done says
 * how far it came, EINTR that it had not begun. EINVAL for a range that makes no sense. It is
 * never needed: the GPU faults in what it wants.
 *
 * ADVISE holds until the memory is unmapped. EOPNOTSUPP: XGPU_ADVICE_GPU, but memory
 * cannot be moved to this GPU.
 */
struct xgpu_range {
	__u32 size;
	__u32 what;
	__u64 start;
	__u64 len;
	__u64 done;
};

#define XGPU_PREFETCH_WRITE	0x1	/* to be written, where the process may */
#define XGPU_PREFETCH_VRAM	0x2	/* into video memory, as far as there is room */

#define XGPU_ADVICE_NONE	0
#define XGPU_ADVICE_GPU		1	/* best in video memory */
#define XGPU_ADVICE_SYSTEM	2	/* not in video memory */
#define XGPU_ADVICE_READ_MOSTLY	3	/* CPU and GPU read it */

/* -- questions -------------------------------------------------------------------- */

/**
 * struct xgpu_query - XGPU_IOCTL_QUERY: what there is, and what has happened
 * @size: sizeof(struct xgpu_query)
 * @context: the context's number in the GPU
 * @vram_size: bytes of video memory that memory can be moved to; 0: it cannot
 * @vram_used: of all processes
 * @submitted: the last fence of this file
 * @completed: the last one that is complete
 * @faults: of this context, that the driver has served
 * @faults_failed: that ended work with XGPU_FENCE_FAULT
 * @retries: a change of the memory came in between
 * @mapped_runs: pieces of memory mapped for the GPU, each with one DMA address
 * @mapped_pages: pages in them
 * @invalidations: changes of memory that the GPU had
 * @shootdowns: that the GPU was made to forget translations
 * @to_vram: pages moved to video memory for this file
 * @to_system: pages moved back, of all processes
 * @evicted: those of them that made room
 * @bytes_read: by this context's work
 * @bytes_written: likewise
 * @resets: of the GPU, since the driver has had it
 * @stale: uses of a translation that the page table did not have any more, and that the
 *	driver had not asked the GPU to forget: always 0, or the driver is wrong
 * @dma_errors: accesses that the IOMMU or the bus has refused
 * @stale_cached: such translations of this context in the GPU at this moment
 * @cached: translations of this context in the GPU at this moment
 */
struct xgpu_query {
	__u32 size;
	__u32 context;
	__u64 vram_size;
	__u64 vram_used;
	__u64 submitted;
	__u64 completed;
	__u64 faults;
	__u64 faults_failed;
	__u64 retries;
	__u64 mapped_runs;
	__u64 mapped_pages;
	__u64 invalidations;
	__u64 shootdowns;
	__u64 to_vram;
	__u64 to_system;
	__u64 evicted;
	__u64 bytes_read;
	__u64 bytes_written;
	__u64 resets;
	__u64 stale;
	__u64 dma_errors;
	__u32 stale_cached;
	__u32 cached;
};

#define XGPU_IOCTL_SUBMIT	_IOWR('X', 0x60, struct xgpu_submit)
#define XGPU_IOCTL_WAIT		_IOWR('X', 0x61, struct xgpu_wait)
#define XGPU_IOCTL_PREFETCH	_IOWR('X', 0x62, struct xgpu_range)
#define XGPU_IOCTL_ADVISE	_IOWR('X', 0x63, struct xgpu_range)
#define XGPU_IOCTL_QUERY	_IOWR('X', 0x64, struct xgpu_query)

#endif /* _UAPI_XEN_XGPU_H */
