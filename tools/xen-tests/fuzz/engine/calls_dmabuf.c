// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target gntdev: dma-bufs of grants, and grants of dma-bufs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls_gntdev.h"

static const struct fz_value dma_flags[] = {
	{ "wc", GNTDEV_DMA_FLAG_WC }, { "coherent", GNTDEV_DMA_FLAG_COHERENT }, { },
};

static const struct fz_value sync_flags[] = {
	{ "read", DMA_BUF_SYNC_READ }, { "write", DMA_BUF_SYNC_WRITE },
	{ "end", DMA_BUF_SYNC_END }, { },
};

/* Whom an import is granted to: one's own domain, the guest, or nobody that there is */
static const struct fz_value grantees[] = {
	{ "self", 0 }, { "guest", 1 }, { "nobody", 2 }, { },
};

static long call_export(const uint64_t *a)
{
	uint32_t buf[sizeof(struct ioctl_gntdev_dmabuf_exp_from_refs) / 4 + FZ_RUN_PAGES] = { };
	struct ioctl_gntdev_dmabuf_exp_from_refs *op = (void *)buf;

	op->count = a[3];
	op->flags = a[4];
	for (unsigned int i = 0; i < FZ_RUN_PAGES; i++)
		gntdev_ref(a[2], FLAW_NONE, i, &op->domid, &op->refs[i]);
	if (ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, op))
		return -errno;
	return fz_fd_put(&fz_fds[a[1] % FZ_FDS], op->fd);
}

static long call_wait_released(const uint64_t *a)
{
	struct ioctl_gntdev_dmabuf_exp_wait_released op = {
		.fd = fz_fds[a[1] % FZ_FDS],
		.wait_to_ms = a[2] % 20,
	};

	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED, &op);
}

static uint32_t grantee(uint64_t who)
{
	switch (who) {
	case 0:
		return gm_self_domid();
	case 1:
		return fz_granter->domid;
	default:
		return who;
	}
}

static long call_import(const uint64_t *a)
{
	uint32_t buf[sizeof(struct ioctl_gntdev_dmabuf_imp_to_refs) / 4 + FZ_RUN_PAGES] = { };
	struct ioctl_gntdev_dmabuf_imp_to_refs *op = (void *)buf;

	op->fd = fz_fds[a[1] % FZ_FDS];
	op->count = a[2];
	op->domid = grantee(a[3]);
	op->reserved = a[4];
	/* There is no room for more references: nowhere, then. */
	if (op->count > FZ_RUN_PAGES)
		op = NULL;
	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, op);
}

static long call_release(const uint64_t *a)
{
	struct ioctl_gntdev_dmabuf_imp_release op = {
		.fd = fz_fds[a[1] % FZ_FDS],
		.reserved = a[2],
	};

	return ioctl(gntdev_fd(a[0]), IOCTL_GNTDEV_DMABUF_IMP_RELEASE, &op);
}

/* A dma-buf of the process's own memory: a memfd that cannot shrink */
static long call_udmabuf(const uint64_t *a)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC };
	int device, memfd, fd;

	create.size = (1 + a[1] % 64) * GM_PAGE_SIZE;
	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	memfd = memfd_create("udmabuf", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	create.memfd = memfd;
	fd = device >= 0 && memfd >= 0 && !ftruncate(memfd, create.size) &&
	     !fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) ?
		     ioctl(device, UDMABUF_CREATE, &create) : -1;
	if (memfd >= 0)
		close(memfd);
	if (device >= 0)
		close(device);
	return fz_fd_put(&fz_fds[a[0] % FZ_FDS], fd);
}

static long call_sync(const uint64_t *a)
{
	struct dma_buf_sync sync = { .flags = a[1] };

	return ioctl(fz_fds[a[0] % FZ_FDS], DMA_BUF_IOCTL_SYNC, &sync);
}

#define ARG_FILE	SLOT("file", GNTDEV_FILES)
#define ARG_FD		SLOT("fd", FZ_FDS)

const struct fz_call_type calls_dmabuf[] = {
	{ "export", 10, call_export, { ARG_FILE, ARG_FD, ARG_RUN, ARG_PAGES,
				       FLAGS("flags", dma_flags) } },
	{ "wait_released", 3, call_wait_released, { ARG_FILE, ARG_FD, NUMBER("ms", 20) } },
	{ "udmabuf", 5, call_udmabuf, { ARG_FD, ARG_PAGES } },
	{ "import", 6, call_import, { ARG_FILE, ARG_FD, ARG_PAGES,
				      CHOICE("domid", grantees),
				      NUMBER("reserved", 1) } },
	{ "release", 4, call_release, { ARG_FILE, ARG_FD, NUMBER("reserved", 1) } },
	{ "sync", 2, call_sync, { ARG_FD, FLAGS("flags", sync_flags) } },
	{ },
};
