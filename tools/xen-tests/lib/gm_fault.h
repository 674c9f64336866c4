/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One failure after the other, where the kernel offers it (Documentation/fault-injection of
 * the kernel, fail-nth), and whether the kernel complained.
 */
#ifndef GM_FAULT_H
#define GM_FAULT_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gm_test.h"

#define GM_FAULTS "/sys/kernel/debug"

/* A test that cannot go on, in a function that is not one. */
#define gm_broken() \
	do { \
		ksft_print_msg("broken off in line %d: %s\n", __LINE__, \
			       strerror(errno)); \
		exit(KSFT_FAIL); \
	} while (0)

/* The calling thread's failures, or -1: there is no fault injection. */
static inline int gm_fail_open(void)
{
	return open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

/* Call number @nth of those that can fail does; 0: none does. */
static inline void gm_fail_arm(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fd, text, len, 0) != len)
		gm_broken();
}

/* How many calls that can fail until one does; 0: it has, or none is to. */
static inline int gm_fail_left(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		gm_broken();
	return atoi(text);
}

/*
 * Each of @n files gets its second word, or, in reverse order, its third. 0, or -errno. (In
 * reverse: what limits the failures is on as long as there are any.)
 */
static inline int gm_fail_knobs(const char *const files[][3], size_t n, bool on)
{
	for (size_t i = 0; i < n; i++) {
		const char *const *file = files[on ? i : n - 1 - i];
		int ret = gm_write_file(file[0], file[on ? 1 : 2]);

		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Allocations that may sleep are the ones that are meant; each failure would print a stack,
 * which on a slow console is most of the time. 0, or -errno.
 */
static inline int gm_fail_allocations(bool on)
{
	static const char *const files[][3] = {
		{ GM_FAULTS "/failslab/ignore-gfp-wait", "N", "Y" },
		{ GM_FAULTS "/failslab/verbose", "0", "2" },
		{ GM_FAULTS "/fail_page_alloc/ignore-gfp-wait", "N", "Y" },
		{ GM_FAULTS "/fail_page_alloc/min-order", "0", "1" },
		{ GM_FAULTS "/fail_page_alloc/verbose", "0", "2" },
	};

	return gm_fail_knobs(files, sizeof(files) / sizeof(files[0]), on);
}

/* Each allocation from the slab fails, of a task that asks for that. 0, or -errno. */
static inline int gm_fail_slab(bool on)
{
	static const char *const files[][3] = {
		{ GM_FAULTS "/failslab/task-filter", "Y", "N" },
		{ GM_FAULTS "/failslab/times", "-1", "1" },
		{ GM_FAULTS "/failslab/probability", "100", "0" },
	};

	return gm_fail_knobs(files, sizeof(files) / sizeof(files[0]), on);
}

/* Where the calling thread asks for it, by "1" or "0", or -1: there is no fault injection. */
static inline int gm_fail_slab_open(void)
{
	return open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
}

#define EXPECT_NO_COMPLAINT(kmsg) \
	do { \
		char __line[2048]; \
\
		EXPECT_EQ(NULL, gm_kmsg_complaint(kmsg, __line, sizeof(__line))) \
		TH_LOG("%s", __line); \
	} while (0)

#endif /* GM_FAULT_H */
