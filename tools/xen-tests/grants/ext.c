// SPDX-License-Identifier: GPL-2.0-only
/*
 * The newer ioctls: what became of each grant of a run, an acknowledgement that a run is
 * really unmapped, and what is in use. Other drivers have none of them.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "observe.h"

#define PAGES		16U
#define SEED		0xe4ULL
#define SIZE		(PAGES * GM_PAGE_SIZE)

/* Far beyond any grant table. */
#define NO_REF		0x7fffffffU

/* More than the driver asks Xen in one hypercall: of the same grants, over and over */
#define MANY		600U

/* How long nothing may happen. */
#define STAYS_MS	300

FIXTURE(ext) {
	struct granter gr;
	struct gm_grant *grant;
	struct ioctl_gntdev_grant_ref refs[PAGES];
	struct gntdev_ref_status status[PAGES];
	struct gntdev_map_refs op;
	int fd, efd;
};

FIXTURE_SETUP(ext)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->efd);
	for (unsigned int i = 0; i < PAGES; i++) {
		self->refs[i].domid = self->gr.domid;
		self->refs[i].ref = self->grant->refs[i];
	}
	memset(self->status, 0x55, sizeof(self->status));
	self->op = (struct gntdev_map_refs){
		.size = sizeof(self->op),
		.count = PAGES,
		.refs = (uintptr_t)self->refs,
		.status = (uintptr_t)self->status,
	};
}

FIXTURE_TEARDOWN(ext)
{
	close(self->efd);
	close(self->fd);
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
}

#define EXPECT_ERRNO(err, call) do {					\
	EXPECT_EQ(-1, call);						\
	EXPECT_EQ(err, errno) TH_LOG("%s", strerror(errno));		\
} while (0)

#define MAP_REFS()	ioctl(self->fd, IOCTL_GNTDEV_MAP_REFS, &self->op)

/* ---- what became of each grant ---- */

TEST_F_TIMEOUT(ext, g10_status_of_each_grant, GM_TEST_S)
{
	self->refs[3].ref = NO_REF;
	self->refs[9].domid = 0x7ff1;	/* a domid that Xen keeps for itself */
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	for (unsigned int i = 0; i < PAGES; i++) {
		int expected = i == 3 ? GNTST_bad_gntref :
			       i == 9 ? GNTST_bad_domain : GNTST_okay;

		EXPECT_EQ(expected, self->status[i].status) TH_LOG("grant %u", i);
	}
	/* All or nothing: nothing is left. */
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(ext, g10_what_can_be_mapped_is, GM_TEST_S)
{
	char *addr;

	self->refs[3].ref = NO_REF;
	self->op.flags = GNTDEV_MAP_PARTIAL;
	ASSERT_EQ(0, MAP_REFS()) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(PAGES - 1, self->op.mapped);
	EXPECT_EQ(GNTST_bad_gntref, self->status[3].status);
	EXPECT_EQ(GNTST_okay, self->status[4].status);

	addr = gm_gntdev_mmap(self->fd, self->op.index, PAGES, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	EXPECT_PATTERN(addr, SEED, 0, 3);
	EXPECT_PATTERN(addr, SEED, 4, PAGES - 4);
	EXPECT_EQ(SIGBUS, gm_touch(page_at(addr, 3), false));
	EXPECT_EQ(0, gm_touch(page_at(addr, 4), true));
	EXPECT_IN_USE(&self->gr, PAGES - 1);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_IN_USE(&self->gr, 0);

	/* The hole stays one. */
	addr = gm_gntdev_mmap(self->fd, self->op.index, PAGES, PROT_READ);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(SIGBUS, gm_touch(page_at(addr, 3), false));
	EXPECT_PATTERN(addr, SEED, 4, PAGES - 4);
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* Whatever it is that Xen says of one grant */
TEST_F_TIMEOUT(ext, g10_reason_does_not_matter, GM_TEST_S)
{
	static const int reasons[] = {
		GNTST_bad_page, GNTST_permission_denied, GNTST_no_device_space, GNTST_eagain,
	};

	self->op.flags = GNTDEV_MAP_PARTIAL;
	for (unsigned int i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (!gntdev_fault_at("fail_map", reasons[i], 1, 3))
			SKIP(return, "no fault injection");
		EXPECT_EQ(0, MAP_REFS()) TH_LOG("%d: %s", reasons[i], strerror(errno));
		gntdev_no_fault();
		EXPECT_EQ(PAGES - 1, self->op.mapped);
		EXPECT_EQ(reasons[i], self->status[3].status);
		EXPECT_EQ(GNTST_okay, self->status[4].status);
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->op.index, PAGES));
		EXPECT_IN_USE(&self->gr, 0);
	}
}

/* A whole batch that Xen was not asked about is no hole, whatever is wrong with the one before it. */
TEST_F_TIMEOUT(ext, g10_not_asked_is_not_left_out, GM_TEST_S)
{
	struct ioctl_gntdev_grant_ref *refs = calloc(MANY, sizeof(*refs));
	struct gntdev_ref_status *status = calloc(MANY, sizeof(*status));

	ASSERT_NE(NULL, refs);
	ASSERT_NE(NULL, status);
	for (unsigned int i = 0; i < MANY; i++)
		refs[i] = self->refs[i % PAGES];
	refs[0].ref = NO_REF;
	self->op.flags = GNTDEV_MAP_PARTIAL;
	self->op.count = MANY;
	self->op.refs = (uintptr_t)refs;
	self->op.status = (uintptr_t)status;
	ASSERT_EQ(0, MAP_REFS()) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(MANY - 1, self->op.mapped);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->op.index, MANY));

	/* The second hypercall, as a whole */
	if (!fault_set(GNTDEV_DEBUGFS "/fail_map", "interval", 2) || !gntdev_fault("fail_map", 0, 1))
		SKIP(return, "no fault injection");
	EXPECT_ERRNO(EIO, MAP_REFS());
	gntdev_no_fault();
	EXPECT_EQ(GNTST_okay, status[1].status);
	EXPECT_EQ(1, status[MANY - 1].status);
	EXPECT_IN_USE(&self->gr, 0);
	free(status);
	free(refs);
}

TEST_F_TIMEOUT(ext, g10_none_can_be_mapped, GM_TEST_S)
{
	for (unsigned int i = 0; i < PAGES; i++)
		self->refs[i].ref = NO_REF;
	self->op.flags = GNTDEV_MAP_PARTIAL;
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	for (unsigned int i = 0; i < PAGES; i++)
		EXPECT_EQ(GNTST_bad_gntref, self->status[i].status);
}

TEST_F_TIMEOUT(ext, g10_read_only_grants_are_told, GM_TEST_S)
{
	struct gm_grant *ro = granter_grant(_metadata, &self->gr, 1, false, SEED);
	void *addr;

	self->refs[7].ref = ro->refs[0];
	ASSERT_EQ(0, MAP_REFS()) TH_LOG("%s", strerror(errno));
	for (unsigned int i = 0; i < PAGES; i++) {
		EXPECT_EQ(GNTST_okay, self->status[i].status);
		EXPECT_EQ(i == 7 ? GNTDEV_REF_READONLY : 0, self->status[i].flags);
	}
	addr = gm_gntdev_mmap(self->fd, self->op.index, PAGES, PROT_READ | PROT_WRITE);
	EXPECT_EQ(MAP_FAILED, addr);
	EXPECT_EQ(EINVAL, errno);
	addr = gm_gntdev_mmap(self->fd, self->op.index, PAGES, PROT_READ);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_PATTERN(addr, SEED, 0, 7);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->op.index, PAGES));
}

TEST_F_TIMEOUT(ext, status_is_optional, GM_TEST_S)
{
	self->op.status = 0;
	ASSERT_EQ(0, MAP_REFS()) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(PAGES, self->op.mapped);
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, self->op.index, PAGES));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(ext, map_refs_refuses, GM_TEST_S)
{
	struct {
		struct gntdev_map_refs op;
		uint64_t more;
	} newer = { .op = self->op };
	struct gntdev_map_refs good = self->op;

	EXPECT_ERRNO(EFAULT, ioctl(self->fd, IOCTL_GNTDEV_MAP_REFS, NULL));
	self->op.flags = 0x80000000;
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	self->op = good;
	self->op.size = 4;
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	self->op = good;
	self->op.count = 0;
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	self->op.count = ~0U;
	EXPECT_ERRNO(EINVAL, MAP_REFS());
	self->op = good;
	self->op.refs = 0;
	EXPECT_ERRNO(EFAULT, MAP_REFS());
	self->op = good;
	self->op.status = 8;
	EXPECT_ERRNO(EFAULT, MAP_REFS());
	EXPECT_IN_USE(&self->gr, 0);

	/* A program of a time to come: it asks for nothing that is not known, then it does. */
	newer.op.size = sizeof(newer);
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_MAP_REFS, &newer)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, newer.op.index, PAGES));
	newer.more = 1;
	EXPECT_ERRNO(E2BIG, ioctl(self->fd, IOCTL_GNTDEV_MAP_REFS, &newer));
}

/* ---- the acknowledgement ---- */

static int ack_set(int fd, uint64_t index, int efd)
{
	struct gntdev_ack op = {
		.size = sizeof(op),
		.index = index,
		.eventfd = efd,
	};

	return ioctl(fd, IOCTL_GNTDEV_ACK, &op);
}

/* How often it was acknowledged, waiting for the first time. */
static int acked(int efd, int ms)
{
	struct pollfd pfd = { .fd = efd, .events = POLLIN };
	uint64_t n;

	poll(&pfd, 1, ms * gm_scale());
	return read(efd, &n, sizeof(n)) == sizeof(n) ? (int)n : 0;
}

static void *map_with_ack(struct __test_metadata *_metadata, FIXTURE_DATA(ext) *self,
			  int64_t *index)
{
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, index);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, ack_set(self->fd, *index, self->efd)) TH_LOG("%s", strerror(errno));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
	return addr;
}

TEST_F_TIMEOUT(ext, ack_after_munmap, GM_TEST_S)
{
	int64_t index;
	void *addr = map_with_ack(_metadata, self, &index);

	EXPECT_EQ(0, munmap(addr, SIZE / 2));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
	EXPECT_EQ(0, munmap(page_at(addr, PAGES / 2), SIZE / 2));
	EXPECT_EQ(1, acked(self->efd, LATER_MS));
	/* Xen says so, too, and at once. */
	EXPECT_EQ((int)self->gr.base.in_use, gm_grants_in_use(self->gr.domid));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
}

/* The page is in a pipe: it is acknowledged when that has been read. */
TEST_F_TIMEOUT(ext, ack_waits_for_a_busy_page, GM_TEST_S)
{
	char page[GM_PAGE_SIZE];
	int64_t index;
	int pipefd[2];
	void *addr = map_with_ack(_metadata, self, &index);

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(pipefd[1], addr, 5));
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(pipefd[0], page, GM_PAGE_SIZE));
	EXPECT_EQ(1, acked(self->efd, LATER_MS));
	EXPECT_EQ((int)self->gr.base.in_use, gm_grants_in_use(self->gr.domid));
	close(pipefd[0]);
	close(pipefd[1]);
}

/* The mapper dies; somebody else has the eventfd, and the owner of the pages is told. */
TEST_F_TIMEOUT(ext, ack_when_the_mapper_is_killed, GM_TEST_S)
{
	int fds[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (!pid) {
		int64_t index;
		int fd = gm_gntdev_open();
		void *addr = gm_gntdev_map(fd, self->grant, PROT_READ, &index);

		if (addr == MAP_FAILED || ack_set(fd, index, self->efd))
			_exit(1);
		if (write(fds[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	ASSERT_LT(0, child_ready(pid, fds));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(1, acked(self->efd, LATER_MS));
	EXPECT_EQ((int)self->gr.base.in_use, gm_grants_in_use(self->gr.domid));
}

TEST_F_TIMEOUT(ext, ack_is_set_once_and_can_be_taken_back, GM_TEST_S)
{
	int64_t index;
	void *addr = map_with_ack(_metadata, self, &index);

	EXPECT_ERRNO(EBUSY, ack_set(self->fd, index, self->efd));
	EXPECT_EQ(0, ack_set(self->fd, index, -1));
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, acked(self->efd, STAYS_MS));
}

TEST_F_TIMEOUT(ext, ack_refuses, GM_TEST_S)
{
	struct gntdev_ack op = { .size = sizeof(op), .eventfd = self->efd };
	int64_t index;
	void *addr;

	EXPECT_ERRNO(ENOENT, ioctl(self->fd, IOCTL_GNTDEV_ACK, &op));
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, &index);
	ASSERT_NE(MAP_FAILED, addr);
	op.index = index;
	op.flags = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, IOCTL_GNTDEV_ACK, &op));
	op.flags = 0;
	op.reserved = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, IOCTL_GNTDEV_ACK, &op));
	op.reserved = 0;
	op.eventfd = self->fd;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, IOCTL_GNTDEV_ACK, &op));
	op.eventfd = 1000;
	EXPECT_ERRNO(EBADF, ioctl(self->fd, IOCTL_GNTDEV_ACK, &op));
	EXPECT_EQ(0, munmap(addr, SIZE));
}

/* ---- what is in use ---- */

#define QUERY(q)							\
	ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_QUERY, q))		\
		TH_LOG("%s", strerror(errno))

TEST_F_TIMEOUT(ext, query_follows_a_mapping, GM_TEST_S)
{
	struct gntdev_query q = { .size = sizeof(q) };
	char page[GM_PAGE_SIZE];
	uint64_t handles;
	int64_t index;
	int pipefd[2];
	void *addr;

	QUERY(&q);
	handles = q.all_handles;
	EXPECT_EQ(0, q.maps);
	EXPECT_EQ(0, q.grants);
	EXPECT_LT(0, q.limit);
	EXPECT_LT(0, q.gnttab_frames);
	EXPECT_LE(q.gnttab_frames, q.gnttab_max_frames);

	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr);
	QUERY(&q);
	EXPECT_EQ(1, q.maps);
	EXPECT_EQ(PAGES, q.grants);
	EXPECT_EQ(PAGES, q.user);
	/* One handle a grant, in any kind of domain. */
	EXPECT_EQ(PAGES, q.all_handles - handles);
	EXPECT_EQ(gm_self_is_pv() ? 0 : PAGES, q.kernel);

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(pipefd[1], addr, 5));
	EXPECT_EQ(0, munmap(addr, SIZE));
	QUERY(&q);
	EXPECT_EQ(1, q.maps);
	EXPECT_EQ(0, q.user);
	EXPECT_EQ(1, q.kernel);
	EXPECT_EQ(1, q.deferred);
	EXPECT_LE(1, q.all_deferred);
	EXPECT_EQ(0, q.all_leaked);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(pipefd[0], page, GM_PAGE_SIZE));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	QUERY(&q);
	EXPECT_EQ(0, q.kernel);
	EXPECT_EQ(0, q.deferred);
	EXPECT_EQ(handles, q.all_handles);
	close(pipefd[0]);
	close(pipefd[1]);
}

TEST_F_TIMEOUT(ext, query_refuses, GM_TEST_S)
{
	struct gntdev_query q = { .size = sizeof(q), .flags = 1 };

	EXPECT_ERRNO(EINVAL, ioctl(self->fd, IOCTL_GNTDEV_QUERY, &q));
	q.flags = 0;
	q.reserved = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, IOCTL_GNTDEV_QUERY, &q));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, IOCTL_GNTDEV_QUERY, 8));
}

/* A newer structure, with nothing new in it, may be as large as a page. */
TEST_F_TIMEOUT(ext, size_has_a_limit, GM_TEST_S)
{
	struct gntdev_query *q = mmap(NULL, 2 * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, q);
	q->size = GM_PAGE_SIZE;
	EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_QUERY, q));
	EXPECT_EQ(GM_PAGE_SIZE, q->size);
	memset(q, 0, sizeof(*q));
	q->size = GM_PAGE_SIZE + 1;
	EXPECT_ERRNO(E2BIG, ioctl(self->fd, IOCTL_GNTDEV_QUERY, q));
	munmap(q, 2 * GM_PAGE_SIZE);
}

TEST_HARNESS_MAIN
