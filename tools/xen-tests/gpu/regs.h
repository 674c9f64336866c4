/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The GPU's registers, mapped into the test behind the driver's back: to make the device slow,
 * and to know where it is. See Documentation/xgpu-device.md.
 */
#ifndef GPU_REGS_H
#define GPU_REGS_H

#include <limits.h>
#include <libgen.h>
#include <linux/types.h>
#include <stdio.h>

#include "../../../drivers/xen/xgpu/xgpu_hw.h"
#include "gpu.h"

/* The PCI device behind /dev/xgpuN: its folder in sysfs. False: not to be found */
static inline bool regs_device(const char *gpu, char path[PATH_MAX])
{
	char name[128];

	snprintf(name, sizeof(name), "/sys/class/misc/%s/device", gpu + strlen("/dev/"));
	return realpath(name, path);
}

static inline volatile uint32_t *regs_map(GPU_META, const char *gpu)
{
	char path[PATH_MAX], file[PATH_MAX + 16];
	void *regs;
	int fd;

	ASSERT_TRUE(regs_device(gpu, path));
	snprintf(file, sizeof(file), "%s/resource0", path);
	fd = open(file, O_RDWR | O_SYNC | O_CLOEXEC);
	ASSERT_LE(0, fd) TH_LOG("%s: %s", file, strerror(errno));
	regs = mmap(NULL, XGPU_REGS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	ASSERT_NE(MAP_FAILED, regs);
	return regs;
}

static inline void regs_unmap(volatile uint32_t *regs)
{
	munmap((void *)regs, XGPU_REGS_SIZE);
}

static inline uint64_t regs_read64(volatile uint32_t *regs, unsigned int reg)
{
	uint64_t low = regs[reg / 4];

	return low | (uint64_t)regs[reg / 4 + 1] << 32;
}

/* A parameter of the module */
static inline long regs_param(const char *name, long value)
{
	char path[128];
	long before = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/xgpu/parameters/%s", name);
	f = fopen(path, "r+");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &before) == 1) {
		rewind(f);
		fprintf(f, "%ld", value);
	}
	fclose(f);
	return before;
}

#endif /* GPU_REGS_H */
