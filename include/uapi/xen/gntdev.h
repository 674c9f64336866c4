/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR MIT) */
/*
 * User interface of /dev/xen/gntdev: memory that other domains have granted.
 *
 * A backend maps a run of grants in two steps. IOCTL_GNTDEV_MAP_GRANT_REF maps them
 * for the kernel and returns an offset; mmap() of that offset makes them visible to
 * the process. IOCTL_GNTDEV_GRANT_COPY moves data without mapping anything.
 *
 * libxengnttab wraps all of this; most programs should use it.
 *
 * Source and ABI rules
 *   - The numbers, structures and error codes here are those of the driver that has
 *     been in Linux since 2.6.39; programs built against either header run on both.
 *   - Fields named "pad" or "reserved" are ignored on input where they always were.
 *   - Include <xen/grant_table.h> (libxen-dev), or define grant_ref_t and domid_t,
 *     before this file.
 *   - Offsets and lengths are in bytes unless they say pages. Counts are in grants,
 *     which are pages of 4096 bytes.
 */
#ifndef __LINUX_PUBLIC_GNTDEV_H__
#define __LINUX_PUBLIC_GNTDEV_H__

#include <linux/types.h>

/**
 * struct ioctl_gntdev_grant_ref - names one grant
 * @domid: granting domain
 * @ref: reference in that domain's grant table
 */
struct ioctl_gntdev_grant_ref {
	__u32 domid;
	__u32 ref;
};

#define IOCTL_GNTDEV_MAP_GRANT_REF \
	_IOC(_IOC_NONE, 'G', 0, sizeof(struct ioctl_gntdev_map_grant_ref))

/**
 * struct ioctl_gntdev_map_grant_ref - map a run of grants
 * @count: in: number of grants in @refs, 1 to the module parameter "limit"
 * @pad: unused
 * @index: out: offset for mmap(). Opaque, but 0 for the first map of a file, for the
 *         sake of interfaces that mmap() a descriptor at offset 0.
 * @refs: in: the grants; the array has @count elements
 *
 * The grants may belong to different domains. All are mapped, or none. In a PV domain Xen is
 * asked by mmap() only: see IOCTL_GNTDEV_MAP_REFS.
 *
 * mmap() takes @index (or @index plus whole pages, for a part of the run), MAP_SHARED,
 * and PROT_WRITE only if the grants allow writing. The user's mapping ends with
 * munmap(), and so does Xen's, grant by grant; the run itself stays, and can be mapped
 * again, until IOCTL_GNTDEV_UNMAP_GRANT_REF or close(). A child of fork() does not
 * inherit it.
 *
 * Errors: EINVAL: @count out of range, or (not in a PV domain, where mmap() says so) a grant
 * that does not exist or is not granted to this domain; EFAULT; ENOMEM; ENOSPC: Xen has no
 * more handles, see gnttab_max_maptrack_frames; EINTR: killed;
 * EDQUOT: without CAP_SYS_ADMIN, and one's user holds too many, see the module parameter
 * "limit_user".
 */
struct ioctl_gntdev_map_grant_ref {
	__u32 count;
	__u32 pad;
	__u64 index;
	struct ioctl_gntdev_grant_ref refs[1];
};

#define IOCTL_GNTDEV_UNMAP_GRANT_REF \
	_IOC(_IOC_NONE, 'G', 1, sizeof(struct ioctl_gntdev_unmap_grant_ref))

/**
 * struct ioctl_gntdev_unmap_grant_ref - forget a run of grants
 * @index: in: offset that IOCTL_GNTDEV_MAP_GRANT_REF returned
 * @count: in: its count
 * @pad: unused
 *
 * What is still mmapped stays so until munmap(). Pages that the kernel itself still
 * uses (I/O in flight) are given back when that has ended.
 *
 * Errors: ENOENT: no such run; EFAULT.
 */
struct ioctl_gntdev_unmap_grant_ref {
	__u64 index;
	__u32 count;
	__u32 pad;
};

#define IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR \
	_IOC(_IOC_NONE, 'G', 2, sizeof(struct ioctl_gntdev_get_offset_for_vaddr))

/**
 * struct ioctl_gntdev_get_offset_for_vaddr - which run is mapped at an address?
 * @vaddr: in: an address inside an mmap() of this device
 * @offset: out: the run's index
 * @count: out: its count
 * @pad: unused
 *
 * For callers that keep only the address, as libxengnttab does.
 *
 * Errors: EINVAL: nothing of ours at @vaddr; EFAULT.
 */
struct ioctl_gntdev_get_offset_for_vaddr {
	__u64 vaddr;
	__u64 offset;
	__u32 count;
	__u32 pad;
};

#define IOCTL_GNTDEV_SET_MAX_GRANTS \
	_IOC(_IOC_NONE, 'G', 3, sizeof(struct ioctl_gntdev_set_max_grants))

/**
 * struct ioctl_gntdev_set_max_grants - of no effect any more
 * @count: unused
 *
 * Kept for the number's sake. Errors: ENOTTY.
 */
struct ioctl_gntdev_set_max_grants {
	__u32 count;
};

/* Actions of IOCTL_GNTDEV_SET_UNMAP_NOTIFY: clear the byte, send the event. */
#define UNMAP_NOTIFY_CLEAR_BYTE 0x1
#define UNMAP_NOTIFY_SEND_EVENT 0x2

#define IOCTL_GNTDEV_SET_UNMAP_NOTIFY \
	_IOC(_IOC_NONE, 'G', 7, sizeof(struct ioctl_gntdev_unmap_notify))

/**
 * struct ioctl_gntdev_unmap_notify - tell the peer when a page is unmapped
 * @index: in: offset of a byte, in the same space as mmap() offsets. It names the page,
 *         and the byte for UNMAP_NOTIFY_CLEAR_BYTE.
 * @action: in: UNMAP_NOTIFY_*; 0 removes a notification
 * @event_channel_port: in: local port, bound through /dev/xen/evtchn
 *
 * However the page comes to be unmapped (munmap(), close(), death of the process), first
 * the byte is cleared, then Xen lets go of the page, then the event is sent. A run of
 * grants has one notification; a later call replaces it.
 *
 * Errors: EINVAL: unknown action, port not bound, byte in a page that is mapped or
 * granted read-only; ENOENT: @index is in no run; EFAULT.
 */
struct ioctl_gntdev_unmap_notify {
	__u64 index;
	__u32 action;
	__u32 event_channel_port;
};

/**
 * struct gntdev_grant_copy_segment - one copy
 * @source: where from: @virt, an address of the caller, or @foreign with
 *          GNTCOPY_source_gref
 * @dest: where to, likewise with GNTCOPY_dest_gref
 * @len: length in bytes
 * @flags: GNTCOPY_*, at least one of the two
 * @status: out: GNTST_*
 *
 * Within @foreign, ref and domid name the grant, offset is in bytes from the start of
 * its page; offset + @len may not pass the page's end. A local buffer may lie across
 * pages, and may itself be mapped from this device.
 */
struct gntdev_grant_copy_segment {
	union {
		void __user *virt;
		struct {
			grant_ref_t ref;
			__u16 offset;
			domid_t domid;
		} foreign;
	} source, dest;
	__u16 len;
	__u16 flags;
	__s16 status;
};

#define IOCTL_GNTDEV_GRANT_COPY \
	_IOC(_IOC_NONE, 'G', 8, sizeof(struct ioctl_gntdev_grant_copy))

/**
 * struct ioctl_gntdev_grant_copy - copy between grants and local buffers
 * @count: in: number of segments
 * @segments: in/out: the segments
 *
 * Returns 0 when all segments have been worked on: each has its own @status, that of
 * its first part that failed, or GNTST_okay. On an error all of them are undefined.
 *
 * Errors: EINVAL: a segment without a grant, or beyond a grant's page; EFAULT: a
 * segment, or its local buffer, cannot be reached; ENOMEM; EINTR: killed.
 */
struct ioctl_gntdev_grant_copy {
	unsigned int count;
	struct gntdev_grant_copy_segment __user *segments;
};

/*
 * dma-buf. The numbers and structures are part of the ABI; a driver built without
 * dma-buf support answers these with ENOTTY.
 */

/* Back the buffer with memory from dma_alloc_wc(), or from dma_alloc_coherent(). */
#define GNTDEV_DMA_FLAG_WC (1 << 0)
#define GNTDEV_DMA_FLAG_COHERENT (1 << 1)

#define IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS \
	_IOC(_IOC_NONE, 'G', 9, \
	     sizeof(struct ioctl_gntdev_dmabuf_exp_from_refs))

/**
 * struct ioctl_gntdev_dmabuf_exp_from_refs - make a dma-buf of granted pages
 * @flags: in: GNTDEV_DMA_FLAG_*, or 0 for ordinary pages
 * @count: in: number of grants
 * @fd: out: descriptor of the dma-buf
 * @domid: in: granting domain
 * @refs: in: array of @count references
 *
 * The buffer outlives the file that it was made with. It can be mmapped any number of times.
 *
 * Errors: EINVAL: flags, @count or @domid out of range, a reference that is wrong or granted
 * read-only; ENOSPC; ENOMEM; EDQUOT; EMFILE; EFAULT.
 */
struct ioctl_gntdev_dmabuf_exp_from_refs {
	__u32 flags;
	__u32 count;
	__u32 fd;
	__u32 domid;
	__u32 refs[1];
};

#define IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED \
	_IOC(_IOC_NONE, 'G', 10, \
	     sizeof(struct ioctl_gntdev_dmabuf_exp_wait_released))

/**
 * struct ioctl_gntdev_dmabuf_exp_wait_released - wait until an exported buffer is gone
 * @fd: in: what IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS returned
 * @wait_to_ms: in: how long to wait, ms
 *
 * Gone is a buffer when Xen has let go of every page of it. All who wait are woken then.
 *
 * Errors: ETIMEDOUT; EINTR; ENOENT: no such buffer, or gone already (not a failure).
 */
struct ioctl_gntdev_dmabuf_exp_wait_released {
	__u32 fd;
	__u32 wait_to_ms;
};

#define IOCTL_GNTDEV_DMABUF_IMP_TO_REFS \
	_IOC(_IOC_NONE, 'G', 11, \
	     sizeof(struct ioctl_gntdev_dmabuf_imp_to_refs))

/**
 * struct ioctl_gntdev_dmabuf_imp_to_refs - grant the pages of a dma-buf to a domain
 * @fd: in: descriptor of the dma-buf
 * @count: in: its size, in pages
 * @domid: in: domain to grant to
 * @reserved: must be 0
 * @refs: out: array of @count references
 *
 * Errors: EINVAL: not a dma-buf, wrong @count, @domid or @reserved; EOPNOTSUPP: another
 * domain's memory, or a page that DMA would bounce; ENOSPC: no more references; EBADF;
 * ENOMEM; EFAULT.
 */
struct ioctl_gntdev_dmabuf_imp_to_refs {
	__u32 fd;
	__u32 count;
	__u32 domid;
	__u32 reserved;
	__u32 refs[1];
};

#define IOCTL_GNTDEV_DMABUF_IMP_RELEASE \
	_IOC(_IOC_NONE, 'G', 12, \
	     sizeof(struct ioctl_gntdev_dmabuf_imp_release))

/**
 * struct ioctl_gntdev_dmabuf_imp_release - end the grants of an imported dma-buf
 * @fd: in: descriptor given to IOCTL_GNTDEV_DMABUF_IMP_TO_REFS
 * @reserved: must be 0
 *
 * Returns at once. Grants that the other domain still has mapped end when it lets go; the
 * dma-buf stays attached until then.
 *
 * Errors: ENOENT: no such import; EINVAL: @reserved.
 */
struct ioctl_gntdev_dmabuf_imp_release {
	__u32 fd;
	__u32 reserved;
};

/*
 * Newer calls. Other drivers answer them with ENOTTY.
 *
 * Each structure begins with its own size, which the caller sets to sizeof(the structure).
 * It may grow at its end: what an older program does not know is taken for 0, and a newer
 * program on an older driver gets E2BIG if it asks, with anything other than 0, for what that
 * does not know. Unknown flags, and reserved fields other than 0, are EINVAL. Pointers are
 * passed as 64-bit numbers.
 */

#define IOCTL_GNTDEV_MAP_REFS _IO('G', 32)

/* What cannot be mapped is left out. */
#define GNTDEV_MAP_PARTIAL (1 << 0)

/* Granted read-only: can be mapped with PROT_READ alone. */
#define GNTDEV_REF_READONLY (1 << 0)

/**
 * struct gntdev_ref_status - what became of one grant
 * @status: out: GNTST_*; 1 if it was not tried any more
 * @flags: out: GNTDEV_REF_*
 */
struct gntdev_ref_status {
	__s16 status;
	__u16 flags;
};

/**
 * struct gntdev_map_refs - map a run of grants, and learn about each of them
 * @size: in: sizeof(struct gntdev_map_refs)
 * @flags: in: GNTDEV_MAP_*
 * @count: in: number of grants, 1 to the module parameter "limit"
 * @mapped: out: how many have been mapped
 * @refs: in: address of an array of @count struct ioctl_gntdev_grant_ref
 * @status: in: address of an array of @count struct gntdev_ref_status, or 0. It is filled in
 *          also if the call fails for what Xen says of a grant.
 * @index: out: offset for mmap(), as of IOCTL_GNTDEV_MAP_GRANT_REF
 *
 * All grants are mapped, each of which is asked of Xen here and now, or none. With
 * GNTDEV_MAP_PARTIAL, those that can be mapped are, if there are any: the others are holes in
 * the run. mmap() of a run with holes works, and access to one of them is a SIGBUS.
 *
 * IOCTL_GNTDEV_MAP_GRANT_REF is cheaper in a PV domain: it leaves it to mmap() to ask Xen,
 * and maps each grant only once.
 *
 * Errors: those of IOCTL_GNTDEV_MAP_GRANT_REF, that of the first grant that was not mapped,
 * unless Xen could not be asked about one (EIO, ENOMEM), which is an error with
 * GNTDEV_MAP_PARTIAL, too; and E2BIG.
 */
struct gntdev_map_refs {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 mapped;
	__aligned_u64 refs;
	__aligned_u64 status;
	__aligned_u64 index;
};

#define IOCTL_GNTDEV_ACK _IO('G', 33)

/**
 * struct gntdev_ack - have it acknowledged that a run is really unmapped
 * @size: in: sizeof(struct gntdev_ack)
 * @flags: in: must be 0
 * @index: in: offset of the run, as MAP_GRANT_REF or MAP_REFS returned it
 * @eventfd: in: descriptor of an eventfd; -1 takes back what was set before
 * @reserved: in: must be 0
 *
 * 1 is added to the eventfd as soon as nothing of the run is mapped: no process has it
 * mmapped, nothing in the kernel uses a page of it any more (I/O in flight), and Xen has let
 * go of every grant. Their owner can end them then. (Should Xen ever refuse to let go of one,
 * nothing is waited for any more either: the kernel log names the page that was leaked, and
 * its owner cannot end that grant.) That may be just now, e.g. before the
 * first mmap(). It is said once; the call may be made again.
 *
 * It holds for munmap(), IOCTL_GNTDEV_UNMAP_GRANT_REF, close() and the end of the process
 * alike; the eventfd must be kept by somebody else then, of course.
 *
 * Errors: ENOENT: no such run; EBUSY: an eventfd is set already; EBADF, EINVAL: no eventfd;
 * E2BIG; EFAULT.
 */
struct gntdev_ack {
	__u32 size;
	__u32 flags;
	__aligned_u64 index;
	__s32 eventfd;
	__u32 reserved;
};

#define IOCTL_GNTDEV_QUERY _IO('G', 34)

/**
 * struct gntdev_query - what is in use, and what there is
 * @size: in: sizeof(struct gntdev_query)
 * @flags: in: must be 0
 * @limit: out: the most grants of one run
 * @gnttab_frames: out: pages of this domain's own grant table; 0 if Xen does not say
 * @gnttab_max_frames: out: pages that it may grow to
 * @reserved: in: must be 0
 * @maps: out: runs of this file
 * @grants: out: grants of these
 * @user: out: of these, mmapped by a process
 * @kernel: out: of these, mapped for the kernel
 * @deferred: out: of these, unmapped by the process and waiting for a page to be free
 * @all_handles: out: handles of Xen (maptrack entries) that all files of this domain hold
 *                through this driver. Xen does not say how many it has left; its option
 *                gnttab_max_maptrack_frames is the limit, with 256 handles to a frame
 * @all_deferred: out: as @deferred, for all files
 * @all_leaked: out: pages of all files that Xen would not let go of
 *
 * Runs that have been unmapped but are still mmapped, or wait for a page, are no longer the
 * file's; they are in the figures for all.
 *
 * Errors: E2BIG; EINVAL; EFAULT.
 */
struct gntdev_query {
	__u32 size;
	__u32 flags;
	__u32 limit;
	__u32 gnttab_frames;
	__u32 gnttab_max_frames;
	__u32 reserved;
	__aligned_u64 maps;
	__aligned_u64 grants;
	__aligned_u64 user;
	__aligned_u64 kernel;
	__aligned_u64 deferred;
	__aligned_u64 all_handles;
	__aligned_u64 all_deferred;
	__aligned_u64 all_leaked;
};

#endif /* __LINUX_PUBLIC_GNTDEV_H__ */
