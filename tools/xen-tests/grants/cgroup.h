/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A cgroup whose memory is counted, and may be limited, for the one process that a test puts
 * there.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <sys/mount.h>
#include <sys/stat.h>

#include "gm_test.h"

#define CGROUP_ROOT	"/tmp/gm-grants-cgroup"
#define CGROUP		CGROUP_ROOT "/mapper"

/* Processes that have died have their memory taken off later. */
#define CGROUP_GONE_MS	10000

/* A cgroup with memory.max @limit (NULL: none). false: there is no such thing here. */
static inline bool cgroup_make(struct __test_metadata *_metadata, const char *limit)
{
	ASSERT_EQ(0, mkdir(CGROUP_ROOT, 0755)) TH_LOG("%s", strerror(errno));
	if (mount("none", CGROUP_ROOT, "cgroup2", 0, NULL)) {
		rmdir(CGROUP_ROOT);
		return false;
	}
	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+memory"));
	EXPECT_EQ(0, mkdir(CGROUP, 0755));
	if (limit)
		EXPECT_EQ(0, gm_write_file(CGROUP "/memory.max", limit));
	return true;
}

/* This process, with all its threads, goes there, or back. */
static inline int cgroup_enter(void)
{
	return gm_write_file(CGROUP "/cgroup.procs", "0");
}

static inline int cgroup_leave(void)
{
	return gm_write_file(CGROUP_ROOT "/cgroup.procs", "0");
}

static inline long cgroup_value(const char *file, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), CGROUP "/%s", file);
	return gm_read_value(path, name);
}

/* Nobody is in it any more. */
static inline void cgroup_remove(struct __test_metadata *_metadata)
{
	EXPECT_TRUE(gm_wait(!rmdir(CGROUP), CGROUP_GONE_MS)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, gm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "-memory"));
	EXPECT_EQ(0, umount(CGROUP_ROOT));
	EXPECT_EQ(0, rmdir(CGROUP_ROOT));
}

#endif /* CGROUP_H */
