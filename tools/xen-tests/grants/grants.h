/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the granting guest as part of a fixture,
 * and the check that a test leaves its grant table as it found it.
 */
#ifndef GRANTS_H
#define GRANTS_H

#include <fcntl.h>
#include <sys/uio.h>

#include "gm_test.h"

#define MAX_GRANTS	8

/* How long anything may take that has to happen "at once", in milliseconds. */
#define AT_ONCE_MS	2000

/* And what a worker, or the guest's kernel, does some time later. */
#define LATER_MS	10000

/* A user without privilege, and what the driver lets such a one hold */
#define NOBODY		65534
#define LIMIT_USER	"/sys/module/xen_gntdev/parameters/limit_user"

struct granter {
	struct gm_guest *g;
	uint32_t domid;
	struct gm_gnttab base;		/* before the test */
	struct gm_grant grants[MAX_GRANTS];
};

/* What ASSERT and EXPECT look for in a function that is not a test. */
#define META struct __test_metadata *_metadata

static inline void granter_open(META, struct granter *gr, uint32_t domid)
{
	gr->domid = domid;
	gr->g = gm_guest_open(domid);
	ASSERT_NE(NULL, gr->g)
		TH_LOG("no agent in domain %u", domid);
	ASSERT_EQ(0, gm_gnttab_read(domid, &gr->base));
}

static inline void granter_setup(META, struct granter *gr)
{
	const char *domid = getenv("GM_DOMID");

	ASSERT_NE(NULL, domid)
		TH_LOG("GM_DOMID does not name a granting guest");
	granter_open(_metadata, gr, atoi(domid));
}

/* A new run of granted pages, taken back at the end of the test at the latest. */
static inline struct gm_grant *granter_grant(META, struct granter *gr,
					     unsigned int count, bool writable,
					     uint64_t seed)
{
	struct gm_grant *slot = gr->grants;

	while (slot->count && slot < gr->grants + MAX_GRANTS - 1)
		slot++;
	ASSERT_EQ(0, gm_guest_grant(gr->g, slot, count, writable, seed));
	return slot;
}

static inline bool in_use_is(struct granter *gr, int count, int ms)
{
	return gm_wait(gm_grants_in_use(gr->domid) ==
		       (int)gr->base.in_use + count, ms);
}

/* So many grants more than before the test are in use, at once or soon. */
#define EXPECT_IN_USE_SOON(gr, count, ms) do {				\
	int __count = (count);						\
									\
	EXPECT_TRUE(in_use_is(gr, __count, ms))				\
		TH_LOG("grants in use: %d, not %d",			\
		       gm_grants_in_use((gr)->domid) -			\
		       (int)(gr)->base.in_use, __count);		\
} while (0)

#define EXPECT_IN_USE(gr, count) EXPECT_IN_USE_SOON(gr, count, AT_ONCE_MS)

/* The pages [first, first + count) at @addr hold @seed's pattern. */
#define EXPECT_PATTERN(addr, seed, first, count)			\
	EXPECT_EQ(-1, gm_check((char *)(addr) + (first) * GM_PAGE_SIZE,	\
			       seed, first, count))

static inline void granter_teardown(META, struct granter *gr)
{
	for (int i = 0; i < MAX_GRANTS; i++)
		if (gr->grants[i].count)
			EXPECT_EQ(0, gm_guest_revoke(gr->g, &gr->grants[i]));
	/* A test that failed may well hold mappings until its process ends. */
	if (_metadata->exit_code == KSFT_PASS) {
		EXPECT_IN_USE_SOON(gr, 0, LATER_MS);
		EXPECT_TRUE(gm_wait(gm_grants_granted(gr->domid) ==
				    (int)gr->base.granted, LATER_MS))
			TH_LOG("grants left: %d", gm_grants_granted(gr->domid) -
			       (int)gr->base.granted);
	}
	gm_guest_close(gr->g);
}

/* Where page @n of a mapping is. */
static inline void *page_at(void *addr, unsigned int n)
{
	return (char *)addr + n * GM_PAGE_SIZE;
}

/* All of the mapping is there, can be read and written, and the granter sees it. */
#define EXPECT_ALIVE() do {						\
	EXPECT_IN_USE(&self->gr, PAGES);				\
	ASSERT_EQ(0, gm_touch(self->addr, true))			\
		TH_LOG("the mapping is gone");				\
	EXPECT_PATTERN(self->addr, SEED, 0, PAGES);			\
	gm_fill(self->addr, SEED, 0, PAGES);				\
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED, 0,	\
				    PAGES));				\
} while (0)

/* The mapping of the fixture goes. */
#define UNMAP_ALL() do {							\
	EXPECT_EQ(0, munmap(self->addr, PAGES * GM_PAGE_SIZE));		\
	self->addr = NULL;						\
} while (0)

/* Puts page @n of the mapping into the pipe, by reference. */
static inline ssize_t make_busy(int pipe, void *addr, unsigned int n)
{
	struct iovec iov = {
		.iov_base = page_at(addr, n),
		.iov_len = GM_PAGE_SIZE,
	};

	return vmsplice(pipe, &iov, 1, 0);
}

/*
 * The parent's half of a mapper in a process of its own: waits until child @pid has
 * written a byte to @fds. The child, or -1 if it ended instead.
 */
static inline pid_t child_ready(pid_t pid, int fds[2])
{
	char c;

	close(fds[1]);
	if (pid > 0 && read(fds[0], &c, 1) != 1) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(fds[0]);
	return pid;
}

#endif /* GRANTS_H */
