/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of dma-bufs share: the ioctls, each as a function that returns a negative
 * errno.
 */
#ifndef DMABUF_H
#define DMABUF_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/dma-buf.h>

#include "gm_test.h"
#include "gnt_importer/uapi.h"

#define SEED		0xd0b0ULL
#define SEED2		0xd0b1ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* A descriptor */
static inline int dmabuf_export(int gntdev, const struct gm_grant *grant, unsigned int count,
				uint32_t flags)
{
	struct ioctl_gntdev_dmabuf_exp_from_refs *op;
	int ret;

	op = calloc(1, sizeof(*op) + count * sizeof(op->refs[0]));
	if (!op)
		return -ENOMEM;
	op->flags = flags;
	op->count = count;
	op->domid = grant->domid;
	memcpy(op->refs, grant->refs, count * sizeof(op->refs[0]));
	ret = ioctl(gntdev, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, op) ? -errno : (int)op->fd;
	free(op);
	return ret;
}

static inline int dmabuf_wait(int gntdev, int number, int ms)
{
	struct ioctl_gntdev_dmabuf_exp_wait_released op = { .fd = number, .wait_to_ms = ms };

	return ioctl(gntdev, IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED, &op) ? -errno : 0;
}

/* Grants the dma-buf @fd to @domid: @refs */
static inline int dmabuf_import(int gntdev, int fd, unsigned int count, uint32_t domid,
				uint32_t *refs)
{
	struct ioctl_gntdev_dmabuf_imp_to_refs *op;
	int ret;

	op = calloc(1, sizeof(*op) + count * sizeof(op->refs[0]));
	if (!op)
		return -ENOMEM;
	op->fd = fd;
	op->count = count;
	op->domid = domid;
	ret = ioctl(gntdev, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, op) ? -errno : 0;
	if (!ret)
		memcpy(refs, op->refs, count * sizeof(op->refs[0]));
	free(op);
	return ret;
}

static inline int dmabuf_import_release(int gntdev, int fd)
{
	struct ioctl_gntdev_dmabuf_imp_release op = { .fd = fd };

	return ioctl(gntdev, IOCTL_GNTDEV_DMABUF_IMP_RELEASE, &op) ? -errno : 0;
}

static inline int dmabuf_sync(int fd, uint64_t flags)
{
	struct dma_buf_sync op = { .flags = flags };

	return ioctl(fd, DMA_BUF_IOCTL_SYNC, &op) ? -errno : 0;
}

/* Debian's kernel has no allocator of pages for it (XEN_GRANT_DMA_ALLOC). */
#define SKIP_WITHOUT_DMABUF() do {						\
	if (gm_kernel_is("debian"))						\
		SKIP(return, "no dma-buf support in this kernel: XEN_GRANT_DMA_ALLOC");	\
} while (0)

static inline int importer_open(void)
{
	gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe gnt_importer");
	return open(GM_IMPORTER_DEVICE, O_RDWR | O_CLOEXEC);
}

static inline int importer_call(int importer, unsigned long request, long arg)
{
	int ret = ioctl(importer, request, arg);

	return ret < 0 ? -errno : ret;
}

static inline int importer_page(int importer, unsigned long request, unsigned int page,
				void *buffer, bool write)
{
	struct gm_importer_page op = {
		.buffer = (uintptr_t)buffer,
		.page = page,
		.write = write,
	};

	return importer_call(importer, request, (long)&op);
}

#endif /* DMABUF_H */
