// SPDX-License-Identifier: GPL-2.0-only
/*
 * One device: who has it, what it shares with others, can it be reset between two owners,
 * where its memory lies, and how it interrupts.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define DEVICE "/sys/bus/pci/devices/%s"

#define CLASS_DISPLAY 0x03
#define CLASS_ACCELERATOR 0x12
#define CLASS_BRIDGE 0x06

#define PAGE 4096UL
#define GIB4 (1UL << 32)
#define MIB (1UL << 20)

/* Of an HVM domain's addresses below 4 GiB: what is for devices, and what of that remains */
#define HVM_HOLE (256 * MIB)
#define HVM_HOLE_FREE (192 * MIB)
#define HVM_HOLE_MAX (3840 * MIB)

/* Bits of the third column of the file "resource" (the kernel's IORESOURCE_*) */
#define RESOURCE_IO 0x100UL
#define RESOURCE_MEM_64 0x100000UL
#define NR_BARS 6

/* Configuration space: the first 64 bytes are everybody's to read, the rest is root's. */
#define CONFIG_SIZE 256
#define CONFIG_HEADER 64
#define CONFIG_STATUS 0x06
#define STATUS_CAPABILITIES 0x10
#define CONFIG_CAPABILITIES 0x34
#define CAPABILITY_MSI 0x05
#define CAPABILITY_MSIX 0x11

/*
 * "0000:01:00.0" in @name (TREE_NAME bytes) from what lspci and xl call a device, which
 * may leave out the first number; false: it is no name of a device.
 */
bool device_name(const char *text, char *name)
{
	unsigned int domain, bus, slot, function;
	int end = 0;

	if (strspn(text, "0123456789abcdefABCDEF:.") != strlen(text))
		return false;
	sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end);
	if (!end) {
		domain = 0;
		sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function, &end);
	}
	if (!end || text[end] || slot > 0x1f || function > 7)
		return false;
	snprintf(name, TREE_NAME, "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return true;
}

static unsigned int number(const char *name, const char *file)
{
	char text[32];
	uint64_t value;

	if (!tree_line(text, sizeof(text), DEVICE "/%s", name, file) || !tree_number(text, &value))
		return 0;
	return value;
}

static unsigned int base_class(const char *name)
{
	return number(name, "class") >> 16;
}

bool device_is_candidate(const char *name)
{
	unsigned int class = base_class(name);

	return class == CLASS_DISPLAY || class == CLASS_ACCELERATOR;
}

/* What shows the firmware's messages, and the text console where there is one */
bool device_is_consoles(const char *name)
{
	return number(name, "boot_vga");
}

static void look_at_owner(const struct machine *m, const char *name)
{
	unsigned int vendor = number(name, "vendor"), device = number(name, "device");
	char driver[64];

	tree_link(driver, sizeof(driver), DEVICE "/driver", name);
	if (m->role == ROLE_DOMU && !*driver) {
		found(name, "driver", WARN, "%04x:%04x: it is here, and has no driver", vendor,
		      device);
		todo("load its driver");
	} else if (m->role != ROLE_DOM0) {
		found(name, "driver", OK, "%04x:%04x, driver: %s", vendor, device,
		      *driver ? driver : "none");
	} else if (strcmp(driver, "pciback")) {
		found(name, "assignable", FAIL, "%04x:%04x is dom0's%s%s", vendor, device,
		      *driver ? ", driver: " : "", driver);
		todo("%sxl pci-assignable-add %s    (at each boot, before a driver takes it: "
		     "xen-pciback.hide=(%s) on dom0's command line, with xen-pciback in the kernel "
		     "or its initramfs)",
		     m->pciback ? "" : "load xen-pciback, then: ", name, name);
	} else if (m->assignable && !strstr(m->assignable, name)) {
		found(name, "assignable", WARN, "%04x:%04x was given to a domain already", vendor,
		      device);
		todo("which: `xl pci-list DOMAIN`; take it back: xl pci-detach DOMAIN %s", name);
	} else {
		found(name, "assignable", OK, "%04x:%04x can be given to a domain", vendor, device);
	}
	if (device_is_consoles(name) && m->role != ROLE_DOMU) {
		found(name, "boot-vga", WARN, "the firmware and the console use it");
		todo("let the firmware use another display controller, or use a serial console and "
		     "no framebuffer driver for it");
	}
}

/* "0000:01:00.1 snd_hda_intel" */
static void describe(const char *name, char *buf, size_t size)
{
	char driver[64];

	tree_link(driver, sizeof(driver), DEVICE "/driver", name);
	snprintf(buf, size, "%s%s%s", name, *driver ? " " : "", driver);
}

/* Adds a description of @other to @list, unless it is held for a domain, or a bridge */
static void add_other(char *list, size_t size, const char *other)
{
	char one[TREE_NAME + 80], driver[64];
	size_t used = strlen(list);

	tree_link(driver, sizeof(driver), DEVICE "/driver", other);
	if (!strcmp(driver, "pciback") || base_class(other) == CLASS_BRIDGE)
		return;
	describe(other, one, sizeof(one));
	snprintf(list + used, size - used, "%s%s", used ? ", " : "", one);
}

/* Devices that reach each other without the IOMMU, as Linux sees them */
static void look_at_group(const char *name)
{
	char group[TREE_NAME], type[32], others[512] = "";
	char **names;
	unsigned int i, n;

	if (!tree_link(group, sizeof(group), DEVICE "/iommu_group", name)) {
		found(name, "group", FAIL, "it is behind no IOMMU");
		todo("another slot; or see \"iommu\" above");
		return;
	}
	n = tree_list(&names, "/sys/kernel/iommu_groups/%s/devices", group);
	for (i = 0; i < n; i++)
		if (strcmp(names[i], name))
			add_other(others, sizeof(others), names[i]);
	tree_list_free(names, n);
	if (!*others) {
		found(name, "group", OK, "IOMMU group %s: alone in it", group);
	} else {
		found(name, "group", WARN, "IOMMU group %s, with: %s", group, others);
		todo("the IOMMU cannot keep them apart: give all of them to the same domain, or "
		     "put the GPU into another slot");
	}
	if (!tree_line(type, sizeof(type), "/sys/kernel/iommu_groups/%s/type", group))
		return;
	if (!strcmp(type, "DMA")) {
		found(name, "iommu-mode", OK, "strict: what is unmapped is refused at once");
	} else if (!strcmp(type, "DMA-FQ")) {
		found(name, "iommu-mode", WARN,
		      "lazy: memory stays within its reach for up to 10 ms after it was unmapped");
		todo("without Xen: iommu.strict=1 on the kernel's command line. Xen's IOMMU is "
		     "always strict with a domain's device");
	} else if (!strcmp(type, "identity")) {
		found(name, "iommu-mode", WARN, "off for this device: it reaches all memory");
		todo("without Xen: iommu.passthrough=0 on the kernel's command line, and no "
		     "iommu=pt");
	} else {
		found(name, "iommu-mode", OK, "%s", type);
	}
}

/* On Xen, Linux knows no groups. Functions of one card are what there is to be seen. */
static void look_at_functions(const char *name)
{
	char others[512] = "";
	char **names;
	unsigned int i, n = tree_list(&names, "/sys/bus/pci/devices");
	size_t slot = strcspn(name, ".");

	for (i = 0; i < n; i++)
		if (strcmp(names[i], name) && !strncmp(names[i], name, slot + 1))
			add_other(others, sizeof(others), names[i]);
	tree_list_free(names, n);
	if (!*others) {
		found(name, "group", OK, "no other function of this card is in dom0's hands");
		return;
	}
	found(name, "group", WARN, "the same card's other functions are dom0's: %s", others);
	todo("give them to the same domain: xl pci-assignable-add each, and all of them in pci = [ "
	     "]");
}

/* Is another device on the same bus, which a reset of the bus would hit as well? */
static bool alone_on_bus(const char *name)
{
	char **names;
	unsigned int i, n = tree_list(&names, "/sys/bus/pci/devices");
	bool alone = true;

	/* All but the slot and function, "00.0" */
	for (i = 0; i < n; i++)
		if (strcmp(names[i], name) && !strncmp(names[i], name, strlen(name) - 4))
			alone = false;
	tree_list_free(names, n);
	return alone;
}

/*
 * Between two owners everything in the device has to go: the state that would let the
 * first still act, and the memory that would let the second read.
 */
static void look_at_reset(const char *name)
{
	char methods[128];
	const char *first = methods;
	size_t n;

	if (!tree_line(methods, sizeof(methods), DEVICE "/reset_method", name) &&
	    tree_has(DEVICE "/reset", name)) {
		found(name, "reset", WARN, "it can be reset, but this kernel does not say how");
		todo("Linux 5.15 and newer say it");
		return;
	}
	/* The kernel tries them in this order. */
	first += strspn(first, " ");
	n = strcspn(first, " ");
	if (!n) {
		found(name, "reset", FAIL,
		      "none: its next owner could read what the last one left in it");
		todo("another slot, below a bridge of its own, may permit a reset of the bus. If "
		     "you trust all its owners, restart the machine between them");
	} else if (!strncmp(first, "pm ", n + 1) || !strcmp(first, "pm")) {
		found(name, "reset", WARN,
		      "pm, by its power state (kernel's order: %s): it may keep the content of its "
		      "memory",
		      methods);
		todo("do not give it to domains that must not see each other's data, unless its "
		     "driver clears the memory");
	} else if (strstr(first, "bus") == first + n - 3 && n >= 3 && !alone_on_bus(name)) {
		found(name, "reset", WARN,
		      "%.*s only, and it is not alone on its bus: the kernel refuses, or resets "
		      "the others, too",
		      (int)n, first);
		todo("give the whole bus to one domain, or put the device into another slot");
	} else {
		found(name, "reset", OK, "%.*s%s", (int)n, first,
		      !strncmp(first, "flr", n) ? ", by the function itself" : "");
	}
}

/* "64 KiB" */
static void print_size(char *buf, size_t size, uint64_t bytes)
{
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;

	while (i < 4 && bytes >= 1024 && !(bytes % 1024)) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, size, "%lu %s", (unsigned long)bytes, unit[i]);
}

static void look_at_bars(const struct machine *m, const char *name)
{
	char list[512] = "", size[32], *text = tree_text(DEVICE "/resource", name), *line = text;
	unsigned int bar, unassigned = 0, shared = 0, bars = 0;
	uint64_t low = 0, hole;
	const char *where;
	size_t used;

	for (bar = 0; line && *line && bar < NR_BARS; bar++) {
		unsigned long first, last, flags;

		if (sscanf(line, "%lx %lx %lx", &first, &last, &flags) != 3)
			break;
		line = strchr(line, '\n');
		line += !!line;
		if (!last || last < first || flags & RESOURCE_IO)
			continue;
		bars++;
		print_size(size, sizeof(size), last - first + 1);
		used = strlen(list);
		where = last < GIB4 ? "below 4 GiB" : "above 4 GiB";
		snprintf(list + used, sizeof(list) - used, "%sBAR %u %s %s", used ? ", " : "",
			 bar, size, first ? where : "without an address");
		unassigned += !first;
		shared += first && (first % PAGE || (last + 1) % PAGE);
		if (!(flags & RESOURCE_MEM_64))
			low += last - first + 1;
	}
	free(text);
	if (!bars) {
		found(name, "bars", UNSEEN, "no memory of the device was seen");
		todo("is it a device that works? lspci -vv -s %s", name);
		return;
	}
	if (unassigned) {
		found(name, "bars", FAIL, "%s: no room was found for it", list);
		todo("turn on \"Above 4G decoding\" in the firmware's setup, or add pci=realloc to "
		     "the kernel's command line");
		return;
	}
	if (shared && m->role != ROLE_DOMU) {
		found(name, "bars", WARN, "%s: less than a page; another device may have the rest",
		      list);
		todo("pci=resource_alignment=%s on the kernel's command line", name);
	} else {
		found(name, "bars", OK, "%s", list);
	}
	if (low > HVM_HOLE_FREE && m->role != ROLE_DOMU) {
		hole = (low + HVM_HOLE + HVM_HOLE - 1) / HVM_HOLE * HVM_HOLE;
		print_size(size, sizeof(size), low);
		found(name, "bars", WARN,
		      "%s that must lie below 4 GiB: more than an HVM domain has room for; no "
		      "matter for a PV domain",
		      size);
		todo("mmio_hole = %lu in the configuration of an HVM domain",
		     (unsigned long)((hole > HVM_HOLE_MAX ? HVM_HOLE_MAX : hole) / MIB));
	}
}

static void look_at_interrupts(const char *name)
{
	uint8_t config[CONFIG_SIZE] = {};
	long len = tree_bytes(config, sizeof(config), DEVICE "/config", name);
	unsigned int at, steps, control, msi = 0, msix = 0;

	if (len < CONFIG_HEADER ||
	    (len < CONFIG_SIZE && config[CONFIG_STATUS] & STATUS_CAPABILITIES)) {
		found(name, "msi", WARN, "what interrupts it can raise was not seen");
		todo("%s", *tree_root ? "copy the device's file \"config\" as root" :
					"run this program as root");
		return;
	}
	/* A list that is broken may go in a circle. */
	at = config[CONFIG_STATUS] & STATUS_CAPABILITIES ? config[CONFIG_CAPABILITIES] & ~3U : 0;
	for (steps = 0; steps < CONFIG_SIZE / 4; steps++) {
		if (at < CONFIG_HEADER || at > CONFIG_SIZE - 4)
			break;
		control = config[at + 2] | config[at + 3] << 8;
		if (config[at] == CAPABILITY_MSI)
			msi = 1U << (control >> 1 & 7);
		else if (config[at] == CAPABILITY_MSIX)
			msix = (control & 0x7ff) + 1;
		at = config[at + 1] & ~3U;
	}
	if (msix) {
		found(name, "msi", OK, "MSI-X with %u vectors%s", msix, msi ? ", and MSI" : "");
	} else if (msi) {
		found(name, "msi", OK, "MSI with %u vector%s", msi, msi == 1 ? "" : "s");
	} else {
		found(name, "msi", WARN,
		      "neither MSI nor MSI-X: its interrupt line may be one of dom0's, too");
		todo("`grep . /proc/interrupts` shows who shares it; keep such a device with the "
		     "GPU, or unused");
	}
}

/**
 * device_look() - judge a device
 * @m: the machine, as machine_look() found it
 * @name: as sysfs calls the device
 */
void device_look(const struct machine *m, const char *name)
{
	if (!tree_has(DEVICE, name)) {
		found(name, "present", FAIL, "there is no such device");
		todo("`lspci -D` lists all of them");
		return;
	}
	if (base_class(name) == CLASS_BRIDGE) {
		found(name, "present", FAIL, "this is a bridge, which cannot be given to a domain");
		todo("name what is behind it");
		return;
	}
	look_at_owner(m, name);
	/* A domain that has got a device sees of it what the device's driver needs. */
	if (m->role == ROLE_DOM0)
		look_at_functions(name);
	else if (m->role == ROLE_BARE)
		look_at_group(name);
	if (m->role != ROLE_DOMU)
		look_at_reset(name);
	look_at_bars(m, name);
	look_at_interrupts(name);
}
