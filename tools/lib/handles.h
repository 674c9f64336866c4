/* SPDX-License-Identifier: GPL-2.0-only */
/* What IOCTL_GNTDEV_QUERY says, for programs that only look. */
#ifndef HANDLES_H
#define HANDLES_H

#include <stdint.h>
#include <xen/grant_table.h>
#include <xen/gntdev.h>

int gntdev_query(struct gntdev_query *query);
long long handles_in_use(void);

#endif /* HANDLES_H */
