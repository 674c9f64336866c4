// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GPU as the kernel's PCI core sees it, in any lab that has one: nothing here needs a
 * driver of it. What a domain lacks is skipped; that there is no GPU at all is a failure.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "gm_test.h"
#include "../../../drivers/xen/xgpu/xgpu_hw.h"

#define DEVICES		"/sys/bus/pci/devices"
#define MAX_GPUS	8

FIXTURE(sysfs)
{
	char path[MAX_GPUS][300];
	unsigned int n;
};

static int open_file(const char *dev, const char *name, int flags)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dev, name);
	return open(path, flags | O_CLOEXEC);
}

/* The text of a device's file, all of its lines; false: there is none */
static bool text_of(const char *dev, const char *name, char *buf, size_t size)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dev, name);
	return gm_read_file(path, buf, size) >= 0;
}

/* The same of a file with one line */
static bool attribute(const char *dev, const char *name, char *buf, size_t size)
{
	bool there = text_of(dev, name, buf, size);

	buf[strcspn(buf, "\n")] = 0;
	return there;
}

static unsigned long number(const char *dev, const char *name)
{
	char buf[64] = "";

	return attribute(dev, name, buf, sizeof(buf)) ? strtoul(buf, NULL, 0) : 0;
}

/* First and last address of a BAR, from the table of them */
static bool bar_at(const char *dev, unsigned int bar, uint64_t *first, uint64_t *last)
{
	char buf[4096], *line = buf;

	if (!text_of(dev, "resource", buf, sizeof(buf)))
		return false;
	while (bar-- && line) {
		line = strchr(line, '\n');
		line += !!line;
	}
	return line && sscanf(line, "%lx %lx", first, last) == 2;
}

FIXTURE_SETUP(sysfs)
{
	struct dirent *d;
	DIR *dir = opendir(DEVICES);

	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir)) && self->n < MAX_GPUS) {
		snprintf(self->path[self->n], sizeof(self->path[0]), DEVICES "/%s", d->d_name);
		if (number(self->path[self->n], "vendor") == XGPU_PCI_VENDOR &&
		    number(self->path[self->n], "device") == XGPU_PCI_DEVICE)
			self->n++;
	}
	closedir(dir);
	ASSERT_NE(0, self->n);
}

FIXTURE_TEARDOWN(sysfs)
{
}

TEST_F(sysfs, class_and_bars)
{
	uint64_t first, last;
	unsigned int i;

	for (i = 0; i < self->n; i++) {
		EXPECT_EQ(XGPU_PCI_CLASS, number(self->path[i], "class"));
		ASSERT_TRUE(bar_at(self->path[i], XGPU_BAR_REGS, &first, &last));
		EXPECT_NE(0, first);
		EXPECT_EQ(XGPU_REGS_SIZE, last - first + 1);
		ASSERT_TRUE(bar_at(self->path[i], XGPU_BAR_VRAM, &first, &last));
		EXPECT_NE(0, first);
		gm_note("%s: %lu MiB of video memory", self->path[i] + sizeof(DEVICES),
			(last - first + 1) >> 20);
	}
}

TEST_F(sysfs, resets_by_function)
{
	char buf[64] = "";
	unsigned int i;

	if (attribute("/sys/hypervisor", "guest_type", buf, sizeof(buf)) && !strcmp(buf, "HVM"))
		SKIP(return, "the device model keeps resets from an HVM guest: they are dom0's");
	for (i = 0; i < self->n; i++) {
		ASSERT_TRUE(attribute(self->path[i], "reset_method", buf, sizeof(buf)));
		EXPECT_NE(NULL, strstr(buf, "flr")) {
			TH_LOG("reset methods: %s", buf);
		}
	}
}

/* Alone in its group, and translated: strictly, on a lab's kernel command line. */
TEST_F(sysfs, behind_an_iommu)
{
	char buf[64];
	unsigned int i;

	if (access("/sys/hypervisor/type", F_OK) == 0)
		SKIP(return, "the IOMMU is Xen's");
	for (i = 0; i < self->n; i++) {
		ASSERT_TRUE(attribute(self->path[i], "iommu_group/type", buf, sizeof(buf)));
		EXPECT_STREQ("DMA", buf);
	}
}

/* Video memory is memory; and gone after a reset. */
TEST_F(sysfs, reset_clears_video_memory)
{
	const char *dev = self->path[0];
	volatile uint64_t *vram;
	int enable, bar, reset;

	if (access("/sys/bus/pci/drivers/xgpu", F_OK) == 0)
		SKIP(return, "the driver has it");
	enable = open_file(dev, "enable", O_WRONLY);
	bar = open_file(dev, "resource2", O_RDWR);
	reset = open_file(dev, "reset", O_WRONLY);
	ASSERT_LE(0, enable);
	ASSERT_LE(0, bar);
	ASSERT_LE(0, reset);
	vram = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
	ASSERT_NE(MAP_FAILED, vram);
	/* From here on nothing ends the test before the device is as it was. */
	ASSERT_EQ(1, write(enable, "1", 1));
	vram[3] = 0x5ec4e7;
	vram[1023] = 1;
	EXPECT_EQ(0x5ec4e7, vram[3]);
	EXPECT_EQ(1, vram[1023]);
	EXPECT_EQ(1, write(reset, "1", 1));
	EXPECT_EQ(0, vram[3]);
	EXPECT_EQ(0, vram[1023]);
	EXPECT_EQ(1, write(enable, "0", 1));
	munmap((void *)vram, 8192);
	close(enable);
	close(bar);
	close(reset);
}

TEST_HARNESS_MAIN
