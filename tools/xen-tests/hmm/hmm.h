/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: the device (an open file of hmm_check) and
 * what it is asked for. See modules/hmm_check/hmm_check.h.
 */
#ifndef HMM_H
#define HMM_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gm_test.h"
#include "hmm_check/hmm_check.h"

/* How long anything may take that has to come sooner or later, in milliseconds. */
#define SOON_MS		30000

/* What ASSERT and EXPECT look for in a function that is not a test. */
#define HMM_META struct __test_metadata *_metadata

#define ASK_READ	GM_HMM_VALID
#define ASK_WRITE	(GM_HMM_VALID | GM_HMM_WRITE)

static bool hmm_loaded;

/* A device that is bound to this process, or not (the child will do that) */
static inline int hmm_open_unbound(HMM_META)
{
	int fd;

	if (access(GM_HMM_DEVICE, F_OK))
		hmm_loaded = !gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe hmm_check");
	fd = open(GM_HMM_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd)
		TH_LOG(GM_HMM_DEVICE ": %s (is the module hmm_check there?)", strerror(errno));
	return fd;
}

static inline int hmm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static inline int hmm_open(HMM_META)
{
	int fd = hmm_open_unbound(_metadata);

	ASSERT_EQ(0, hmm_ioctl(fd, GM_HMM_BIND, NULL));
	return fd;
}

static inline void hmm_close(HMM_META, int fd)
{
	close(fd);
	if (hmm_loaded)
		EXPECT_TRUE(gm_wait(!gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r hmm_check"),
				    SOON_MS))
			TH_LOG("the module hmm_check cannot be removed");
}

static inline bool hmm_has_unlocked(int fd)
{
	return hmm_ioctl(fd, GM_HMM_HAS_UNLOCKED, NULL) == 1;
}

/* The best way that this kernel has */
static inline unsigned int hmm_how(int fd)
{
	return hmm_has_unlocked(fd) ? GM_HMM_UNLOCKED : GM_HMM_LOOP;
}

static inline int hmm_take_compared(int fd, const void *start, unsigned int pages,
				    unsigned int how, unsigned int request, bool pin,
				    struct gm_hmm_entry *entries)
{
	struct gm_hmm_take arg = {
		.start = (uintptr_t)start,
		.pages = pages,
		.entries = (uintptr_t)entries,
		.how = how,
		.timeout_ms = GM_TIMEOUT_MS,
		.request = request,
		.keep = 1,
		.pin = pin,
	};

	return hmm_ioctl(fd, GM_HMM_TAKE, &arg);
}

static inline int hmm_take(int fd, const void *start, unsigned int pages, unsigned int how,
			   unsigned int request, struct gm_hmm_entry *entries)
{
	return hmm_take_compared(fd, start, pages, how, request, false, entries);
}

static inline int hmm_access(int fd, const volatile void *addr, unsigned int how, bool write,
			     uint64_t *value, unsigned int timeout_ms)
{
	struct gm_hmm_access arg = {
		.addr = (uintptr_t)addr,
		.value = *value,
		.write = write,
		.how = how,
		.timeout_ms = timeout_ms,
	};
	int ret = hmm_ioctl(fd, GM_HMM_ACCESS, &arg);

	*value = arg.value;
	return ret;
}

/* The device reads the word at @addr; it must be readable. */
static inline int hmm_read(int fd, const volatile void *addr, uint64_t *value)
{
	return hmm_access(fd, addr, hmm_how(fd), false, value, 0);
}

static inline int hmm_write(int fd, volatile void *addr, uint64_t value)
{
	return hmm_access(fd, addr, hmm_how(fd), true, &value, 0);
}

#endif /* HMM_H */
