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

/* Where a device is taken away from the driver, and given back */
#define XGPU_DRIVER "/sys/bus/pci/drivers/xgpu/"

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

/* Sets a parameter of the module; what it was, or -1 */
static inline long regs_param(const char *name, long value)
{
	char path[128], before[32], text[32];

	snprintf(path, sizeof(path), "/sys/module/xgpu/parameters/%s", name);
	snprintf(text, sizeof(text), "%ld", value);
	if (gm_read_file(path, before, sizeof(before)) <= 0 || gm_write_file(path, text))
		return -1;
	return strtol(before, NULL, 10);
}

#endif /* GPU_REGS_H */
