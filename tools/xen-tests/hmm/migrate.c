// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages and device memory: what goes to the test device of the kernel (test_hmm) comes
 * back as it was, whatever the huge page is and whatever happens to it meanwhile.
 *
 * Linux 6.12 migrates a huge page in pieces: migrate_vma splits it, and device memory is of
 * single pages. That it travels in one piece (Linux 7), and that an allocation of the device
 * fails on request (flags of a newer test_hmm), cannot be tested here.
 *
 * In a PV domain, without huge pages, the same with single ones.
 */
#include <sys/utsname.h>

#include "hmm.h"
#include "test_hmm_uapi.h"

#define DEVICE	"/dev/hmm_dmirror0"
#define SIZE	(2UL << 20)
#define PAGES	(SIZE / GM_PAGE_SIZE)

FIXTURE(migrate) {
	int fd;
	char *area; /* SIZE, aligned to it */
	char *spare; /* the same, not accessible */
	uint64_t *copy; /* what the device says it has got */
};

static char *reserve(int prot)
{
	char *addr = mmap(NULL, 2 * SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t aligned = ((uintptr_t)addr + SIZE - 1) & ~(SIZE - 1);

	return addr == MAP_FAILED ? NULL : (char *)aligned;
}

/* There is test_hmm only where there could be huge pages, and PREEMPT_RT rules these out. */
static bool is_realtime(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.version, "PREEMPT_RT");
}

FIXTURE_SETUP(migrate)
{
	if (is_realtime())
		SKIP(return, "a kernel with PREEMPT_RT has no test_hmm");
	if (access(DEVICE, F_OK))
		ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe test_hmm"));
	self->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd)
		TH_LOG(DEVICE ": %s (is the module test_hmm there?)", strerror(errno));
	self->area = reserve(PROT_READ | PROT_WRITE);
	self->spare = reserve(PROT_NONE);
	self->copy = (uint64_t *)reserve(PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, self->area);
	ASSERT_NE(NULL, self->spare);
	ASSERT_NE(NULL, self->copy);
	/* Where there are huge pages. */
	madvise(self->area, SIZE, MADV_HUGEPAGE);
}

FIXTURE_TEARDOWN(migrate)
{
	close(self->fd);
	EXPECT_TRUE(gm_wait(!gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r test_hmm"), SOON_MS))
		TH_LOG("the module test_hmm cannot be removed: device memory is in use");
}

static int dmirror(int fd, unsigned long request, const void *addr, void *data,
		   unsigned long pages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)data,
		.npages = pages,
	};

	if (ioctl(fd, request, &cmd))
		return -errno;
	return cmd.cpages == pages ? 0 : -EIO;
}

static uint64_t content(unsigned long page)
{
	return 0xfeed000000000000ULL + page;
}

static void fill(char *area)
{
	unsigned long i;

	for (i = 0; i < PAGES; i++)
		*(uint64_t *)(area + i * GM_PAGE_SIZE) = content(i);
}

/* Pages [from, to) of @area have what fill() has put there, or zero. */
static void check(HMM_META, const char *area, unsigned long from, unsigned long to, bool filled)
{
	unsigned long i;

	for (i = from; i < to; i++)
		ASSERT_EQ(filled ? content(i) : 0,
			  *(volatile uint64_t *)(area + i * GM_PAGE_SIZE))
			TH_LOG("page %lu", i);
}

/* How many pages of @area are in the device's memory? */
static unsigned long on_device(HMM_META, int fd, const char *area)
{
	unsigned char state[PAGES];
	unsigned long i, n = 0;

	ASSERT_EQ(0, dmirror(fd, HMM_DMIRROR_SNAPSHOT, area, state, PAGES));
	for (i = 0; i < PAGES; i++)
		n += (state[i] & 0xf0) == HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	return n;
}

/* To the device: all of it is there then, and the device has the right content. */
static void send(HMM_META, FIXTURE_DATA(migrate) *self, bool filled)
{
	ASSERT_EQ(0, dmirror(self->fd, HMM_DMIRROR_MIGRATE_TO_DEV, self->area, self->copy, PAGES));
	check(_metadata, (char *)self->copy, 0, PAGES, filled);
	ASSERT_EQ(PAGES, on_device(_metadata, self->fd, self->area));
}

TEST_F(migrate, huge_page_comes_back_by_a_fault)
{
	fill(self->area);
	send(_metadata, self, true);
	check(_metadata, self->area, 0, PAGES, true);
	EXPECT_EQ(0, on_device(_metadata, self->fd, self->area));
}

TEST_F(migrate, huge_page_is_fetched_back)
{
	fill(self->area);
	send(_metadata, self, true);
	ASSERT_EQ(0, dmirror(self->fd, HMM_DMIRROR_MIGRATE_TO_SYS, self->area, self->copy, PAGES));
	EXPECT_EQ(0, on_device(_metadata, self->fd, self->area));
	check(_metadata, self->area, 0, PAGES, true);
}

TEST_F(migrate, memory_never_touched_begins_on_the_device)
{
	send(_metadata, self, false);
	fill((char *)self->copy);
	ASSERT_EQ(0, dmirror(self->fd, HMM_DMIRROR_WRITE, self->area, self->copy, PAGES));
	ASSERT_EQ(PAGES, on_device(_metadata, self->fd, self->area));
	check(_metadata, self->area, 0, PAGES, true);
}

TEST_F(migrate, huge_zero_page_becomes_device_memory)
{
	check(_metadata, self->area, 0, PAGES, false);
	send(_metadata, self, false);
	check(_metadata, self->area, 0, PAGES, false);
}

TEST_F(migrate, device_memory_is_given_up)
{
	fill(self->area);
	send(_metadata, self, true);
	ASSERT_EQ(0, madvise(self->area, SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, on_device(_metadata, self->fd, self->area));
	check(_metadata, self->area, 0, PAGES, false);
}

TEST_F(migrate, part_is_unmapped_on_the_device)
{
	const unsigned long from = 100, to = 116;

	fill(self->area);
	send(_metadata, self, true);
	ASSERT_EQ(0, munmap(self->area + from * GM_PAGE_SIZE, (to - from) * GM_PAGE_SIZE));
	check(_metadata, self->area, 0, from, true);
	check(_metadata, self->area, to, PAGES, true);
}

TEST_F(migrate, device_memory_is_moved_to_another_address)
{
	fill(self->area);
	send(_metadata, self, true);
	ASSERT_EQ(self->spare, mremap(self->area, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				      self->spare));
	ASSERT_EQ(PAGES, on_device(_metadata, self->fd, self->spare));
	check(_metadata, self->spare, 0, PAGES, true);
}

TEST_F(migrate, part_of_a_huge_page_goes)
{
	const unsigned long from = 64, nr = 32;
	char *part = self->area + from * GM_PAGE_SIZE;

	fill(self->area);
	ASSERT_EQ(0, dmirror(self->fd, HMM_DMIRROR_MIGRATE_TO_DEV, part, self->copy, nr));
	EXPECT_EQ(nr, on_device(_metadata, self->fd, self->area));
	check(_metadata, self->area, 0, PAGES, true);
}

TEST_HARNESS_MAIN
