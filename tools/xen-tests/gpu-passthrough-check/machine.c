// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine: is there Xen, is there an IOMMU, how strict is it, can dom0 give devices
 * away, and what is in the kernel.
 *
 * On Xen the IOMMU is Xen's: Linux in dom0 sees nothing of it, and xl has to be asked,
 * which only root may do. Without Xen it is Linux's, and sysfs tells everybody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "check.h"

/* In /sys/hypervisor/properties/features: this domain is dom0 (XENFEAT_dom0) */
#define FEATURE_DOM0 11

/* Why tree_xl() had no answer, as far as can be guessed */
const char *xl_hint(void)
{
	if (*tree_root)
		return "copy what xl says into the directory as well: see --help";
	if (geteuid())
		return "run this program as root";
	return "is the package xen-utils installed, and does `xl list` work?";
}

/* Is @word in a list of words that end at blanks, commas, or the line's end? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list && *list != '\n') {
		size_t n = strcspn(list, " ,\t\n");

		if (n == len && !strncasecmp(list, word, len))
			return true;
		list += n;
		if (*list != '\n')
			list += strspn(list, " ,\t");
	}
	return false;
}

/* What `xl info` has behind "@name :"; NULL: nothing */
static const char *info_field(const char *info, const char *name)
{
	size_t len = strlen(name);
	const char *line = info;

	while (line && *line) {
		if (!strncmp(line, name, len) && (line[len] == ' ' || line[len] == ':')) {
			line += strcspn(line, ":\n");
			return *line == ':' ? line + 1 + strspn(line + 1, " ") : NULL;
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return NULL;
}

/*
 * The words behind the last "@option=" of a command line, up to a blank, in @buf; "": the
 * option is not there.
 */
static const char *option(const char *cmdline, const char *name, char *buf, size_t size)
{
	size_t len = strlen(name);
	const char *c = cmdline ?: "";

	buf[0] = 0;
	while (*c) {
		size_t n = strcspn(c, " \t\n");

		if (n > len && !strncmp(c, name, len) && c[len] == '=')
			snprintf(buf, size, "%.*s", (int)(n - len - 1), c + len + 1);
		c += n;
		c += strspn(c, " \t\n");
	}
	return buf;
}

static bool is_off(const char *words)
{
	return has_word(words, "no") || has_word(words, "off") || has_word(words, "0") ||
	       has_word(words, "false") || has_word(words, "disable");
}

/* How the firmware would have to be told, by the processor's maker */
static const char *technique(const struct machine *m)
{
	if (m->intel)
		return "VT-d";
	return m->amd ? "AMD-Vi (IOMMU)" : "VT-d (Intel) or AMD-Vi (IOMMU)";
}

/* dom0's kernel sees the tables of an Intel IOMMU under the name that Xen gave them. */
static bool firmware_has_iommu(void)
{
	return tree_has("/sys/firmware/acpi/tables/DMAR") ||
	       tree_has("/sys/firmware/acpi/tables/XMAR") ||
	       tree_has("/sys/firmware/acpi/tables/IVRS");
}

static void todo_firmware(const struct machine *m)
{
	todo("the firmware offers none: turn on %s in the firmware's setup; a virtual machine has "
	     "to be given one (QEMU: -device intel-iommu)",
	     technique(m));
}

static void look_at_xen(struct machine *m)
{
	char type[32], guest[32], major[16], minor[16], extra[64], features[32];
	uint64_t bits = 0;

	tree_line(type, sizeof(type), "/sys/hypervisor/type");
	if (strcmp(type, "xen")) {
		m->role = ROLE_BARE;
		found(NULL, "xen", FAIL, "Linux %s runs without Xen", m->release);
		todo("install xen-system-amd64 (Debian; other distributions: xen) and boot the "
		     "entry \"with Xen hypervisor\". What follows is what Linux makes of this "
		     "machine");
		return;
	}
	tree_line(guest, sizeof(guest), "/sys/hypervisor/guest_type");
	tree_line(major, sizeof(major), "/sys/hypervisor/version/major");
	tree_line(minor, sizeof(minor), "/sys/hypervisor/version/minor");
	tree_line(extra, sizeof(extra), "/sys/hypervisor/version/extra");
	/* Hexadecimal, without 0x */
	if (tree_line(features, sizeof(features), "/sys/hypervisor/properties/features"))
		bits = strtoull(features, NULL, 16);
	m->role = bits & 1UL << FEATURE_DOM0 ? ROLE_DOM0 : ROLE_DOMU;
	if (m->role == ROLE_DOM0 && !strcmp(guest, "PVH")) {
		found(NULL, "xen", WARN, "PVH dom0 on Xen %s.%s%s, Linux %s", major, minor, extra,
		      m->release);
		todo("giving devices away from a PVH dom0 is not in every Xen: boot dom0 as PV (no "
		     "dom0=pvh on Xen's command line)");
		return;
	}
	if (m->role == ROLE_DOM0) {
		found(NULL, "xen", OK, "%s dom0 on Xen %s.%s%s, Linux %s", guest, major, minor,
		      extra, m->release);
		return;
	}
	if (!strcmp(guest, "PVH")) {
		found(NULL, "xen", FAIL, "PVH domain on Xen %s.%s%s: it cannot have PCI devices",
		      major, minor, extra);
		todo("type = \"pv\" or \"hvm\" in the domain's configuration");
		return;
	}
	found(NULL, "xen", OK,
	      "%s domain on Xen %s.%s%s, Linux %s: it can only get devices, and this is about "
	      "those that it has",
	      guest, major, minor, extra, m->release);
	todo("IOMMU, reset and the like are dom0's: run this program there as well");
}

static void look_at_iommu_of_xen(const struct machine *m)
{
	const char *caps = info_field(m->info, "virt_caps");
	const char *xen_cmdline = info_field(m->info, "xen_commandline");
	char iommu[128];
	const char *kinds = "PV and HVM domains";
	bool pv, hvm;

	if (!caps) {
		found(NULL, "iommu", UNSEEN, "whether Xen uses an IOMMU: `xl info` does not say");
		todo("%s", xl_hint());
		return;
	}
	pv = has_word(caps, "pv_directio");
	hvm = has_word(caps, "hvm_directio");
	if (!pv || !hvm)
		kinds = pv ? "PV domains only" : "HVM domains only";
	if (pv || hvm) {
		found(NULL, "iommu", OK, "Xen uses it, and can give devices to %s", kinds);
		return;
	}
	option(xen_cmdline, "iommu", iommu, sizeof(iommu));
	found(NULL, "iommu", FAIL, "Xen uses none: xl refuses to give any device away");
	if (is_off(iommu))
		todo("Xen's command line has iommu=%s: take it off, and boot again", iommu);
	else if (firmware_has_iommu())
		todo("the firmware offers one: add iommu=force,verbose to Xen's command line, boot "
		     "again, and see what `xl dmesg | grep -i -e virtuali -e vt-d -e amd-vi` says");
	else
		todo_firmware(m);
}

/*
 * A domain's device is always kept within the domain's memory; this is about those that
 * dom0 keeps, such as a GPU that works for programs in dom0.
 */
static void look_at_dom0_mode(const struct machine *m)
{
	const char *said = m->dmesg ? strstr(m->dmesg, "Dom0 mode: ") : NULL;
	const char *xen_cmdline = info_field(m->info, "xen_commandline");
	char words[128], mode[16];

	option(xen_cmdline, "dom0-iommu", words, sizeof(words));
	/* look_at_iommu_of_xen() has said that root could see it. */
	if (!said && !m->info)
		return;
	if (said)
		snprintf(mode, sizeof(mode), "%.*s", (int)strcspn(said + 11, " \r\n"), said + 11);
	/* Too long ago for Xen's log */
	else if (has_word(words, "strict"))
		strcpy(mode, "Strict");
	else if (has_word(words, "passthrough"))
		strcpy(mode, "Passthrough");
	else
		strcpy(mode, "Relaxed");
	if (!strcasecmp(mode, "strict")) {
		found(NULL, "dom0-iommu", OK, "strict: dom0's own devices reach dom0's memory");
		return;
	}
	found(NULL, "dom0-iommu", WARN,
	      "%c%s: a domain's device is kept within the domain's memory, but dom0's own devices "
	      "reach %s",
	      mode[0] | 0x20, mode + 1,
	      !strcasecmp(mode, "passthrough") ? "all memory" : "all memory but Xen's");
	todo("for a GPU that works in dom0, add dom0-iommu=strict to Xen's command line");
}

static void look_at_intremap_of_xen(const struct machine *m)
{
	if (m->dmesg && strstr(m->dmesg, "Interrupt remapping enabled")) {
		found(NULL, "intremap", OK, "interrupts are remapped");
	} else if (m->dmesg && strstr(m->dmesg, "Interrupt remapping disabled")) {
		found(NULL, "intremap", WARN,
		      "interrupts are not remapped: a domain that is not trusted could have its "
		      "device raise any");
		todo("take iommu=no-intremap off Xen's command line; if it is not there, update "
		     "the firmware, or turn on x2APIC in its setup");
	} else {
		found(NULL, "intremap", WARN, "whether interrupts are remapped was not seen");
		if (m->dmesg)
			todo("it is no longer in `xl dmesg`: look right after boot, or add "
			     "conring_size=1M to Xen's command line");
		else
			todo("%s", xl_hint());
	}
}

/* 'y', 'm', or 'n' */
static char kernel_option(const struct machine *m, const char *name)
{
	size_t len = strlen(name);
	const char *c = m->config;

	while (c) {
		if (!strncmp(c, "CONFIG_", 7) && !strncmp(c + 7, name, len) && c[7 + len] == '=')
			return c[8 + len];
		c = strchr(c, '\n');
		if (c)
			c++;
	}
	return 'n';
}

static void look_at_iommu_of_linux(struct machine *m)
{
	char **units, **groups;
	unsigned int nr_units = tree_list(&units, "/sys/class/iommu");
	unsigned int nr_groups = tree_list(&groups, "/sys/kernel/iommu_groups");
	char *interrupts;

	m->iommu = nr_groups;
	if (nr_groups) {
		found(NULL, "iommu", OK, "Linux uses it%s%s%s: %u groups of devices",
		      nr_units ? " (" : "", nr_units ? units[0] : "", nr_units ? ")" : "",
		      nr_groups);
	} else {
		found(NULL, "iommu", FAIL, "there is none, or Linux does not use it");
		if (!firmware_has_iommu())
			todo_firmware(m);
		else
			todo("the firmware offers one, so Xen would use it. For Linux: %s on the "
			     "kernel's command line (and no iommu=off)",
			     m->amd ? "amd_iommu=on" : "intel_iommu=on");
	}
	tree_list_free(units, nr_units);
	tree_list_free(groups, nr_groups);
	if (!nr_groups)
		return;
	interrupts = tree_text("/proc/interrupts");
	if (interrupts && strstr(interrupts, " IR-")) {
		found(NULL, "intremap", OK, "interrupts are remapped");
	} else {
		found(NULL, "intremap", WARN,
		      "interrupts are not remapped: a domain that is not trusted could have its "
		      "device raise any");
		if (m->config && kernel_option(m, "IRQ_REMAP") == 'n')
			todo("this kernel cannot: build one with CONFIG_IRQ_REMAP=y. Xen does not "
			     "need the kernel for it");
		else
			todo("take intremap=off off the kernel's command line; if it is not there, "
			     "update the firmware, or turn on x2APIC in its setup");
	}
	free(interrupts);
}

static void look_at_pciback(struct machine *m)
{
	m->pciback = tree_has("/sys/bus/pci/drivers/pciback");
	if (m->pciback) {
		found(NULL, "xen-pciback", OK, "is there to hold the devices that dom0 gives away");
		return;
	}
	found(NULL, "xen-pciback", FAIL,
	      "the driver that holds the devices which dom0 gives away is not loaded");
	if (m->config && kernel_option(m, "XEN_PCIDEV_BACKEND") == 'n')
		todo("this kernel does not have it: build one with CONFIG_XEN_PCIDEV_BACKEND=m");
	else
		todo("modprobe xen-pciback passthrough=1    (at each boot: \"xen-pciback\" in a "
		     "file of /etc/modules-load.d, the option in one of /etc/modprobe.d)");
}

/* What of the kernel is missed by whom; dom0's own half is seen as driver, xen-pciback */
static const struct {
	const char *name, *why;
	enum verdict missing[3]; /* ROLE_BARE, ROLE_DOM0, ROLE_DOMU */
} wanted[] = {
	{ "XEN_PCIDEV_BACKEND", "dom0 gives devices away with it", { FAIL, OK, OK } },
	{ "XEN_PCIDEV_FRONTEND", "a PV domain gets devices with it", { WARN, WARN, FAIL } },
	{ "SWIOTLB_XEN", "in a PV domain a device finds memory with it", { WARN, WARN, FAIL } },
	{ "PCI_MSI", "interrupts that no other device shares", { WARN, WARN, WARN } },
	{ "HMM_MIRROR", "a GPU works on the memory of processes with it", { WARN, WARN, WARN } },
	{ "DEVICE_PRIVATE", "a process's memory moves to a GPU with it", { WARN, WARN, WARN } },
	{ "DEVICE_MIRROR", "grantmirror's, for granted memory, too", { WARN, WARN, WARN } },
};

static void look_at_kernel(const struct machine *m)
{
	char there[256] = "", value;
	enum verdict verdict;
	size_t i, used = 0;

	if (!m->config) {
		found(NULL, "kernel", WARN, "its options were not seen");
		todo("modprobe configs, or have /boot/config-%s", m->release);
		return;
	}
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		verdict = wanted[i].missing[m->role];
		value = kernel_option(m, wanted[i].name);
		if (value != 'n') {
			used += snprintf(there + used, sizeof(there) - used, " %s=%c",
					 wanted[i].name, value);
			continue;
		}
		/* Somebody else's business */
		if (verdict == OK)
			continue;
		found(NULL, "kernel", verdict, "CONFIG_%s is not set: %s", wanted[i].name,
		      wanted[i].why);
		if (verdict == WARN && m->role != ROLE_DOMU)
			todo("build a kernel with it, for the domain that gets the GPU");
		else
			todo("build a kernel with it");
	}
	if (used)
		found(NULL, "kernel", OK, "has%s", there);
}

/**
 * machine_look() - judge the machine, before any device is looked at
 * @m: what devices will need of it; machine_free() frees it
 */
void machine_look(struct machine *m)
{
	char *cpuinfo = tree_text("/proc/cpuinfo");

	*m = (struct machine){};
	tree_line(m->release, sizeof(m->release), "/proc/sys/kernel/osrelease");
	m->intel = cpuinfo && strstr(cpuinfo, "GenuineIntel");
	m->amd = cpuinfo && (strstr(cpuinfo, "AuthenticAMD") || strstr(cpuinfo, "HygonGenuine"));
	free(cpuinfo);
	m->config = tree_config(m->release);
	look_at_xen(m);
	switch (m->role) {
	case ROLE_BARE:
		look_at_iommu_of_linux(m);
		break;
	case ROLE_DOM0:
		m->info = tree_xl("info");
		m->dmesg = tree_xl("dmesg");
		m->assignable = tree_xl("pci-assignable-list");
		look_at_iommu_of_xen(m);
		look_at_dom0_mode(m);
		look_at_intremap_of_xen(m);
		look_at_pciback(m);
		break;
	case ROLE_DOMU:
		break;
	}
	look_at_kernel(m);
}

void machine_free(struct machine *m)
{
	free(m->config);
	free(m->info);
	free(m->dmesg);
	free(m->assignable);
}
