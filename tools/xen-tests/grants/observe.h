/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver's own view of itself, and how to make it fail: what observe and fail_nth
 * share. All of it is in debugfs.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <sys/mount.h>

#include "grants.h"

/* Wants stdint.h before it. */
#include <xen/grant_table.h>

#define DEBUGFS		"/sys/kernel/debug"
#define GNTDEV_DEBUGFS	DEBUGFS "/xen/gntdev"
#define STATS		GNTDEV_DEBUGFS "/stats"

/* What a hypercall fails with that is made to fail as a whole. */
#define INJECTED_ERRNO	EIO

/* No status of Xen's: only these tests', in a line of the console (benign.txt). */
#define REFUSED		(-4242)

/* The fault's file position: the operation in the middle */
#define IN_THE_MIDDLE	0xffffffffL

/* What each status means to a system call; the same table is in Documentation/gntdev.md. */
static const struct {
	int status;
	int err;
} statuses[] = {
	{ GNTST_general_error, EINVAL },
	{ GNTST_bad_domain, EINVAL },
	{ GNTST_bad_gntref, EINVAL },
	{ GNTST_bad_handle, EIO },
	{ GNTST_bad_virt_addr, EIO },
	{ GNTST_bad_dev_addr, EIO },
	{ GNTST_no_device_space, ENOSPC },
	{ GNTST_permission_denied, EPERM },
	{ GNTST_bad_page, ENXIO },
	{ GNTST_bad_copy_arg, EINVAL },
	{ GNTST_address_too_big, EIO },
	{ GNTST_eagain, EAGAIN },
	{ GNTST_no_space, ENOSPC },
	{ 1, EIO },
	{ -99, EIO },
};

#define STATUSES	(sizeof(statuses) / sizeof(statuses[0]))

/* Dom0's init mounts it; be sure. */
static inline void debugfs_mount(void)
{
	if (access(DEBUGFS "/xen", F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
}

static inline long stat_of(const char *name)
{
	return gm_read_value(STATS, name);
}

/* The current values of the driver; all 0 when it holds nothing. */
#define STAT_NAMES	5

struct gntdev_now {
	long value[STAT_NAMES];
};

static const char *const stat_names[STAT_NAMES] = {
	"maps", "kernel_side", "user_side", "deferred", "leaked",
};

static inline struct gntdev_now gntdev_now(void)
{
	struct gntdev_now now;

	for (int i = 0; i < STAT_NAMES; i++)
		now.value[i] = stat_of(stat_names[i]);
	return now;
}

static inline bool is_now(const struct gntdev_now *want)
{
	struct gntdev_now now = gntdev_now();

	return !memcmp(&now, want, sizeof(now));
}

/* All that the driver holds is what it held then, soon. */
#define EXPECT_NOW(want) do {						\
	struct gntdev_now __now;					\
									\
	EXPECT_TRUE(gm_wait(is_now(want), LATER_MS));			\
	__now = gntdev_now();						\
	for (int __i = 0; __i < STAT_NAMES; __i++) {			\
		EXPECT_EQ((want)->value[__i], __now.value[__i])		\
			TH_LOG("%s", stat_names[__i]);			\
	}								\
} while (0)

/* Sets the file @name of the fault attribute @fault; false: there is none. */
static inline bool fault_set(const char *fault, const char *name, long value)
{
	char path[128], text[24];

	snprintf(path, sizeof(path), "%s/%s", fault, name);
	snprintf(text, sizeof(text), "%ld", value);
	return !gm_write_file(path, text);
}

/*
 * A fault of the driver, "fail_map" and so on: the next @times hypercalls (-1: all) of this
 * process, and of no other, fail with @status, see hv.c.
 */
static inline bool gntdev_fault(const char *name, int status, int times)
{
	char fault[96];

	snprintf(fault, sizeof(fault), GNTDEV_DEBUGFS "/%s", name);
	return fault_set(fault, "verbose", 0) && fault_set(fault, "task-filter", 1) &&
	       fault_set(fault, "status", status) && fault_set(fault, "times", times) &&
	       fault_set(fault, "probability", 100) &&
	       !gm_write_file("/proc/self/make-it-fail", "1");
}

/* The same for operation @position of the hypercall, whose others are done. */
static inline bool gntdev_fault_at(const char *name, int status, int times, long position)
{
	char fault[96];

	snprintf(fault, sizeof(fault), GNTDEV_DEBUGFS "/%s", name);
	return fault_set(fault, "position", position) && gntdev_fault(name, status, times);
}

static inline void gntdev_no_fault(void)
{
	static const char *const names[] = {
		GNTDEV_DEBUGFS "/fail_map", GNTDEV_DEBUGFS "/fail_unmap",
		GNTDEV_DEBUGFS "/fail_copy",
	};

	for (int i = 0; i < 3; i++) {
		fault_set(names[i], "probability", 0);
		fault_set(names[i], "status", 0);
		fault_set(names[i], "position", IN_THE_MIDDLE);
		fault_set(names[i], "interval", 1);
		fault_set(names[i], "task-filter", 0);
	}
	gm_write_file("/proc/self/make-it-fail", "0");
}

#endif /* OBSERVE_H */
