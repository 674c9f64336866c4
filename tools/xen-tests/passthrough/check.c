// SPDX-License-Identifier: GPL-2.0-only
/*
 * gpu-passthrough-check on real kernels: in a lab without a GPU and without an IOMMU it says
 * so; in one with them it finds our GPUs in order; and in dom0 doing what it says, and no
 * more, makes it call the machine ready.
 *
 * What it has to find is known from elsewhere: the hypervisor's own answer, or the lab's
 * devices. What it makes of machines that no lab is, suite runner tests.
 */
#include <dirent.h>
#include <unistd.h>
#include <xenctrl.h>

#include "gm_test.h"
#include "../../../drivers/xen/xgpu/xgpu_hw.h"

#define DEVICES		"/sys/bus/pci/devices"
#define MAX_GPUS	8
#define ME		"gpu-passthrough-check"

FIXTURE(passthrough)
{
	char out[16384];
	char gpu[MAX_GPUS][16];
	unsigned int n;
	bool xen;
};

static unsigned long number(const char *dev, const char *name)
{
	char path[600], buf[64];

	snprintf(path, sizeof(path), DEVICES "/%s/%s", dev, name);
	return gm_read_file(path, buf, sizeof(buf)) > 0 ? strtoul(buf, NULL, 0) : 0;
}

FIXTURE_SETUP(passthrough)
{
	struct dirent *d;
	DIR *dir = opendir(DEVICES);

	self->xen = access("/sys/hypervisor/type", F_OK) == 0;
	while (dir && (d = readdir(dir)) && self->n < MAX_GPUS) {
		if (number(d->d_name, "vendor") == XGPU_PCI_VENDOR &&
		    number(d->d_name, "device") == XGPU_PCI_DEVICE)
			snprintf(self->gpu[self->n++], sizeof(self->gpu[0]), "%.15s", d->d_name);
	}
	if (dir)
		closedir(dir);
}

FIXTURE_TEARDOWN(passthrough)
{
}

static int check(FIXTURE_DATA(passthrough) *self, const char *arguments)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), ME " %s", arguments);
	return gm_run(self->out, sizeof(self->out), GM_TIMEOUT_MS, cmd);
}

/* The line of @check with that verdict, of a device (NULL: of the machine); NULL: none */
static const char *line(const char *out, const char *device, const char *verdict,
			const char *check)
{
	char head[64];
	bool here = false;

	snprintf(head, sizeof(head), "  %-4s  %s ", verdict, check);
	device = device ?: "The machine";
	for (; out && *out; out = strchr(out, '\n') ? strchr(out, '\n') + 1 : NULL) {
		if (*out != ' ' && *out != '\n')
			here = !strncmp(out, device, strlen(device));
		else if (here && !strncmp(out, head, strlen(head)))
			return out;
	}
	return NULL;
}

/* Does the line that follows say what to do? */
static bool has_todo(const char *line, const char *words)
{
	const char *todo = line ? strstr(line, "-> ") : NULL;
	const char *next = line ? strchr(line, '\n') : NULL;

	/* The text itself may go on for a line. */
	while (next && todo && next < todo && !strncmp(next + 1, "          ", 10))
		next = strchr(next + 1, '\n');
	return todo && (!next || todo < next) && strstr(todo, words);
}

/* The hypervisor's own word, not xl's */
static bool xen_has_iommu(void)
{
	xc_interface *xc = xc_interface_open(NULL, NULL, 0);
	xc_physinfo_t info = {};
	bool has = xc && !xc_physinfo(xc, &info) && info.capabilities & XEN_SYSCTL_PHYSCAP_directio;

	if (xc)
		xc_interface_close(xc);
	return has;
}

static bool kernel_can_remap(void)
{
	return !gm_run(NULL, 0, GM_TIMEOUT_MS,
		       "gunzip -c /proc/config.gz | grep -q '^CONFIG_IRQ_REMAP=y'");
}

/* What the person sees, for who reads the results */
static void show(const char *out)
{
	char copy[16384], *part, *rest = copy;

	snprintf(copy, sizeof(copy), "%s", out);
	while ((part = strsep(&rest, "\n")))
		gm_note("| %s", part);
}

TEST_F_TIMEOUT(passthrough, says_where_it_runs, GM_TEST_S)
{
	EXPECT_EQ(1, check(self, ""));
	show(self->out);
	if (self->xen) {
		EXPECT_NE(NULL, line(self->out, NULL, "OK", "xen"));
		EXPECT_NE(NULL, strstr(self->out, "PV dom0 on Xen 4."));
	} else {
		EXPECT_TRUE(has_todo(line(self->out, NULL, "FAIL", "xen"), "install xen"));
	}
	/* The lab's kernel has all that is asked for, but for a stock one. */
	EXPECT_NE(NULL, line(self->out, NULL, "OK", "kernel"));
	EXPECT_NE(NULL, strstr(self->out, "XEN_PCIDEV_BACKEND=m"));
	EXPECT_NE(NULL, strstr(self->out, "DEVICE_PRIVATE=y"));
}

TEST_F_TIMEOUT(passthrough, finds_the_iommu, GM_TEST_S)
{
	bool has = self->xen ? xen_has_iommu() : access("/sys/kernel/iommu_groups/0", F_OK) == 0;

	EXPECT_EQ(1, check(self, ""));
	if (has) {
		EXPECT_NE(NULL, line(self->out, NULL, "OK", "iommu"));
		if (self->xen || kernel_can_remap()) {
			EXPECT_NE(NULL, line(self->out, NULL, "OK", "intremap"));
		} else {
			EXPECT_TRUE(has_todo(line(self->out, NULL, "WARN", "intremap"),
					     "CONFIG_IRQ_REMAP=y"));
		}
	} else {
		EXPECT_TRUE(has_todo(line(self->out, NULL, "FAIL", "iommu"),
				     "the firmware offers none"));
		/* Nothing of what it would be like if there were one */
		EXPECT_EQ(NULL, strstr(self->out, "  intremap "));
		EXPECT_EQ(NULL, strstr(self->out, "  dom0-iommu "));
	}
	if (!self->xen || !has)
		return;
	if (!gm_run(NULL, 0, GM_TIMEOUT_MS, "xl info | grep -q dom0-iommu=strict")) {
		EXPECT_NE(NULL, line(self->out, NULL, "OK", "dom0-iommu"));
	} else {
		EXPECT_TRUE(has_todo(line(self->out, NULL, "WARN", "dom0-iommu"),
				     "dom0-iommu=strict"));
	}
}

TEST_F_TIMEOUT(passthrough, misses_a_gpu, GM_TEST_S)
{
	if (self->n)
		SKIP(return, "there is one");
	EXPECT_EQ(1, check(self, ""));
	EXPECT_TRUE(has_todo(line(self->out, NULL, "FAIL", "devices"), "name another device"));
}

/* What the specification of the device says (Documentation/xgpu-device.md), seen by it */
TEST_F_TIMEOUT(passthrough, judges_the_gpu, GM_TEST_S)
{
	const char *gpu, *found;
	unsigned int i;

	if (!self->n)
		SKIP(return, "there is none");
	EXPECT_EQ(1, check(self, ""));
	for (i = 0; i < self->n; i++) {
		gpu = self->gpu[i];
		found = line(self->out, gpu, "OK", "reset");
		ASSERT_NE(NULL, found);
		EXPECT_EQ(0, strncmp(found + 25, "flr,", 4));
		found = line(self->out, gpu, "OK", "msi");
		ASSERT_NE(NULL, found);
		EXPECT_EQ(0, strncmp(found + 25, "MSI with 4 vectors", 18));
		found = line(self->out, gpu, "OK", "bars");
		ASSERT_NE(NULL, found);
		EXPECT_EQ(0, strncmp(found + 25, "BAR 0 64 KiB below 4 GiB, BAR 2 ", 32));
		EXPECT_NE(NULL, line(self->out, gpu, "OK", "group"));
		if (!self->xen)
			EXPECT_NE(NULL, line(self->out, gpu, "OK", "iommu-mode"));
	}
	/* Without Xen there is one thing to do: get it. */
	if (!self->xen)
		EXPECT_NE(NULL, strstr(self->out, "Not ready: 1 failure, "));
}

/* From a fresh dom0 to one that can give its GPUs away, and back */
TEST_F_TIMEOUT(passthrough, what_it_says_helps, GM_TEST_S)
{
	char cmd[200];
	unsigned int i;

	if (!self->xen || !self->n || !xen_has_iommu())
		SKIP(return, "no Xen with an IOMMU and a GPU");
	if (access("/sys/bus/pci/drivers/pciback", F_OK) == 0)
		SKIP(return, "somebody has given devices away already");
	EXPECT_EQ(1, check(self, ""));
	EXPECT_TRUE(has_todo(line(self->out, NULL, "FAIL", "xen-pciback"),
			     "modprobe xen-pciback passthrough=1"));
	EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe xen-pciback passthrough=1"));
	EXPECT_EQ(1, check(self, ""));
	EXPECT_NE(NULL, line(self->out, NULL, "OK", "xen-pciback"));
	for (i = 0; i < self->n; i++) {
		snprintf(cmd, sizeof(cmd), "xl pci-assignable-add %s", self->gpu[i]);
		EXPECT_TRUE(has_todo(line(self->out, self->gpu[i], "FAIL", "assignable"), cmd));
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, cmd));
		/* This one is ready; the machine is with the last. */
		EXPECT_EQ(0, check(self, self->gpu[i]));
		EXPECT_EQ(i + 1 < self->n, check(self, ""));
		EXPECT_NE(NULL, line(self->out, self->gpu[i], "OK", "assignable"));
	}
	show(self->out);
	for (i = 0; i < self->n; i++) {
		snprintf(cmd, sizeof(cmd), "xl pci-assignable-remove %s", self->gpu[i]);
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, cmd));
	}
	EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "rmmod xen-pciback"));
	EXPECT_EQ(1, check(self, ""));
	EXPECT_NE(NULL, line(self->out, NULL, "FAIL", "xen-pciback"));
}

TEST_HARNESS_MAIN
