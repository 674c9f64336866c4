// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "handles.h"

/* 0 or a negative errno; ENOTTY: the stock driver. */
int gntdev_query(struct gntdev_query *query)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	*query = (struct gntdev_query){ .size = sizeof(*query) };
	if (ioctl(fd, IOCTL_GNTDEV_QUERY, query))
		ret = -errno;
	close(fd);
	return ret;
}

/* Maptrack entries that this domain holds through the driver; -1: it does not say. */
long long handles_in_use(void)
{
	struct gntdev_query query;

	return gntdev_query(&query) ? -1 : (long long)query.all_handles;
}
