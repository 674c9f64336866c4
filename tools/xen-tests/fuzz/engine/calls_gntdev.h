/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What calls_gntdev.c and calls_dmabuf.c share: files of the driver, and grants.
 */
#ifndef CALLS_GNTDEV_H
#define CALLS_GNTDEV_H

#include "fuzz.h"

#define GNTDEV_FILES	3

enum { FLAW_NONE, FLAW_REF, FLAW_DOMID };

#define ARG_RUN		SLOT("run", FZ_RUNS)

int gntdev_fd(uint64_t slot);
void gntdev_ref(uint64_t run, uint64_t flaw, unsigned int i, uint32_t *domid, uint32_t *ref);

#endif /* CALLS_GNTDEV_H */
