/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gpu-passthrough-check: what its files share.
 *
 * tree.c     reads sysfs, procfs and what xl says, all of it below a root directory
 * machine.c  looks at the machine: Xen, IOMMU, xen-pciback, the kernel's options
 * device.c   looks at one device
 * report.c   keeps what was found, and prints it
 * main.c     options, and which devices are looked at
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- tree.c ---- */

#define TREE_NAME 32 /* longest name of a PCI device or group that is read */

/* What is read from sysfs and procfs of another machine was copied below this; "": this one. */
extern const char *tree_root;

#define tree_path(n) __attribute__((format(printf, (n), (n) + 1)))

bool tree_has(const char *fmt, ...) tree_path(1);
char *tree_text(const char *fmt, ...) tree_path(1);
bool tree_line(char *buf, size_t size, const char *fmt, ...) tree_path(3);
long tree_bytes(void *buf, size_t size, const char *fmt, ...) tree_path(3);
bool tree_link(char *buf, size_t size, const char *fmt, ...) tree_path(3);
unsigned int tree_list(char ***names, const char *fmt, ...) tree_path(2);
void tree_list_free(char **names, unsigned int n);
bool tree_number(const char *text, uint64_t *value);
char *tree_config(const char *release);
char *tree_xl(const char *command);

/* ---- report.c ---- */

enum verdict {
	OK,
	WARN, /* it works, and somebody should know this */
	FAIL, /* a device could not be given to a domain, or not safely */
	UNSEEN, /* a failure, for all that was seen */
};

void found(const char *device, const char *check, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void todo(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int report_text(void);
int report_json(void);

/* ---- machine.c ---- */

enum role {
	ROLE_BARE, /* Linux without Xen */
	ROLE_DOM0,
	ROLE_DOMU,
};

struct machine {
	enum role role;
	bool intel, amd; /* the processor's maker */
	bool iommu; /* Linux has one; on Xen it is Xen's, and Linux has none */
	bool pciback;
	char release[128]; /* of the kernel */
	char *cmdline; /* of the kernel */
	char *info, *dmesg; /* what `xl info` and `xl dmesg` say, or NULL */
	char *assignable; /* what `xl pci-assignable-list` says, or NULL */
	char *config; /* of the kernel, or NULL */
};

void machine_look(struct machine *m);
void machine_free(struct machine *m);
const char *xl_hint(void);

/* ---- device.c ---- */

bool device_name(const char *text, char *name);
bool device_is_candidate(const char *name);
bool device_is_consoles(const char *name);
void device_look(const struct machine *m, const char *name);

#endif
