// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xen/gntdev without libxengnttab in between: ioctl by ioctl, so that a test
 * sees which one fails and with what errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gm.h"

int gm_gntdev_open(void)
{
	return open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
}

/* The offset to mmap() at, or a negative errno. */
int64_t gm_gntdev_map_ref(int fd, uint32_t domid, const uint32_t *refs,
			  unsigned int count)
{
	struct ioctl_gntdev_map_grant_ref *op;
	int64_t ret;

	op = calloc(1, sizeof(*op) + count * sizeof(op->refs[0]));
	if (!op)
		return -ENOMEM;
	op->count = count;
	for (unsigned int i = 0; i < count; i++) {
		op->refs[i].domid = domid;
		op->refs[i].ref = refs[i];
	}
	ret = ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, op) ? -errno : (int64_t)op->index;
	free(op);
	return ret;
}

int gm_gntdev_unmap_ref(int fd, uint64_t index, unsigned int count)
{
	struct ioctl_gntdev_unmap_grant_ref op = {
		.index = index,
		.count = count,
	};

	return ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op) ? -errno : 0;
}

int gm_gntdev_notify(int fd, uint64_t index, uint32_t action, uint32_t port)
{
	struct ioctl_gntdev_unmap_notify op = {
		.index = index,
		.action = action,
		.event_channel_port = port,
	};

	return ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op) ? -errno : 0;
}

/* As mmap(): MAP_FAILED with errno set on failure. */
void *gm_gntdev_mmap(int fd, int64_t index, unsigned int count, int prot)
{
	return mmap(NULL, count * GM_PAGE_SIZE, prot, MAP_SHARED, fd, index);
}

/* Both steps; MAP_FAILED with errno set on failure. @index may be NULL. */
void *gm_gntdev_map(int fd, const struct gm_grant *gr, int prot, int64_t *index)
{
	int64_t at = gm_gntdev_map_ref(fd, gr->domid, gr->refs, gr->count);
	void *addr;

	if (at < 0) {
		errno = -at;
		return MAP_FAILED;
	}
	addr = gm_gntdev_mmap(fd, at, gr->count, prot);
	if (addr == MAP_FAILED) {
		int err = errno;

		gm_gntdev_unmap_ref(fd, at, gr->count);
		errno = err;
	}
	if (index)
		*index = at;
	return addr;
}

static sigjmp_buf touch_env;

static void touch_handler(int sig)
{
	siglongjmp(touch_env, sig);
}

int gm_touch(volatile void *addr, bool write)
{
	struct sigaction act = { .sa_handler = touch_handler }, segv, bus;
	volatile uint8_t *byte = addr;
	int sig;

	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	sig = sigsetjmp(touch_env, 1);
	if (!sig) {
		uint8_t value = *byte;

		if (write)
			*byte = value;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}
