// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that can fail on the way of a chain of calls fails once: the first, then the
 * second, and so on, until the whole chain succeeds. What can fail are the allocations
 * (failslab, fail_page_alloc) and the driver's hypercalls (fail_map, fail_unmap, fail_copy:
 * hv.c). Each failure is an errno of the call that it hits, or nobody notices; nothing is
 * left behind, the kernel has not complained, and the chain works right after.
 *
 * On a kernel without fault injection all of this is skipped; on stock, hypercalls do not
 * fail, and what they left behind after a failed allocation shows.
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <xenevtchn.h>

#include "gm_fault.h"
#include "observe.h"

#define PAGES		40U
#define SIZE		(PAGES * GM_PAGE_SIZE)
#define SEED		0x99ULL
/* More than any chain here has, fork included. */
#define MAX_NTH		2000

/* What the kernel's slab may differ by for other reasons. */
#define SLAB_SLACK_KB	2048

/* What a chain works with. */
struct scene {
	struct gm_grant *grant;
	uint32_t port;		/* an event channel */
	int nth;		/* this thread's fail-nth */
};

/*
 * A chain: 0, or the errno of what failed first. It leaves nothing mapped and nothing open,
 * whatever failed; what it does for that does not fail, as only one thing fails at a time.
 */
typedef int (*chain_fn)(struct scene *s);

static int failed(int *err)
{
	if (!*err)
		*err = errno;
	return *err;
}

/* munmap() may need memory, to split a VMA; the second time it has some. */
static void unmap(void *addr, size_t size, int *err)
{
	if (munmap(addr, size)) {
		failed(err);
		if (munmap(addr, size))
			gm_broken();
	}
}

/* Reads all pages: what the guest wrote is there, but for one that could not be had. */
static void touch(void *addr, int *err)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		int sig = gm_touch(page_at(addr, i), false);

		if (sig == SIGBUS && !*err)
			*err = EFAULT;
		else if (sig || gm_check(page_at(addr, i), SEED, i, 1) != -1)
			gm_broken();
	}
}

static int chain_map(struct scene *s)
{
	int64_t index = 0;
	int fd, err = 0;
	void *addr;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, &index);
	if (addr == MAP_FAILED) {
		failed(&err);
	} else {
		touch(addr, &err);
		unmap(addr, SIZE, &err);
		if (gm_gntdev_unmap_ref(fd, index, PAGES))
			gm_broken();
	}
	close(fd);
	return err;
}

static int chain_map_again(struct scene *s)
{
	int64_t index;
	int fd, err = 0;
	void *addr;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	index = gm_gntdev_map_ref(fd, s->grant->domid, s->grant->refs, PAGES);
	if (index < 0)
		err = -index;
	for (int i = 0; i < 3 && !err; i++) {
		addr = gm_gntdev_mmap(fd, index, PAGES, PROT_READ);
		if (addr == MAP_FAILED) {
			failed(&err);
			break;
		}
		touch(addr, &err);
		unmap(addr, SIZE, &err);
	}
	close(fd);
	return err;
}

/* Part by part, and what is left is moved, taken away and brought back. */
static int chain_parts(struct scene *s)
{
	int fd, err = 0;
	void *addr;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, NULL);
	if (addr == MAP_FAILED) {
		failed(&err);
	} else {
		if (madvise(page_at(addr, 5), 10 * GM_PAGE_SIZE, MADV_DONTNEED))
			failed(&err);
		touch(addr, &err);
		if (mprotect(page_at(addr, 20), GM_PAGE_SIZE, PROT_READ))
			failed(&err);
		unmap(page_at(addr, 10), 3 * GM_PAGE_SIZE, &err);
		unmap(page_at(addr, 30), 2 * GM_PAGE_SIZE, &err);
		unmap(addr, SIZE, &err);
	}
	close(fd);
	return err;
}

static int chain_move(struct scene *s)
{
	void *addr, *to;
	int fd, err = 0;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, NULL);
	if (addr == MAP_FAILED) {
		failed(&err);
	} else {
		to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (to == MAP_FAILED ||
		    mremap(addr, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
			failed(&err);
			if (to != MAP_FAILED)
				unmap(to, SIZE, &err);
			to = addr;
		}
		touch(to, &err);
		unmap(to, SIZE, &err);
	}
	close(fd);
	return err;
}

static int chain_copy(struct scene *s)
{
	struct ioctl_gntdev_grant_copy_segment segs[2];
	struct ioctl_gntdev_grant_copy copy = { .count = 2, .segments = segs };
	uint64_t local[8] = { 0 };
	int fd, err = 0;

	for (int i = 0; i < 2; i++) {
		segs[i] = (struct ioctl_gntdev_grant_copy_segment){ .len = sizeof(local) };
		if (!i) {
			segs[i].flags = GNTCOPY_source_gref;
			segs[i].source.foreign.ref = s->grant->refs[0];
			segs[i].source.foreign.domid = s->grant->domid;
			segs[i].dest.virt = local;
		} else {
			segs[i].flags = GNTCOPY_dest_gref;
			segs[i].dest.foreign.ref = s->grant->refs[0];
			segs[i].dest.foreign.domid = s->grant->domid;
			segs[i].source.virt = local;
		}
	}
	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	/* One by one: the second writes back what the first has read. */
	for (int i = 0; i < 2 && !err; i++) {
		copy.count = 1;
		copy.segments = &segs[i];
		if (ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &copy))
			failed(&err);
		else if (segs[i].status != GNTST_okay)
			gm_broken();
	}
	close(fd);
	return err;
}

static int chain_notify(struct scene *s)
{
	uint32_t action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT;
	const uint64_t word = PAGES / 2 * GM_PAGE_WORDS + 1;
	int64_t index = 0;
	uint64_t *addr;
	int fd, ret, err = 0;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, &index);
	if (addr == MAP_FAILED) {
		failed(&err);
	} else {
		ret = gm_gntdev_notify(fd, index + word * sizeof(*addr), action, s->port);
		if (ret && !err)
			err = -ret;
		unmap(addr, SIZE, &err);
	}
	close(fd);
	return err;
}

/* The file goes first, the mapping works on. */
static int chain_close(struct scene *s)
{
	int fd, err = 0;
	void *addr;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, NULL);
	if (addr == MAP_FAILED)
		failed(&err);
	close(fd);
	if (addr == MAP_FAILED)
		return err;
	touch(addr, &err);
	unmap(addr, SIZE, &err);
	return err;
}

/*
 * fork(), which in a PV domain must not fail: when there is no page for the user half of the
 * new page table, the kernel's xen_pgd_alloc() looks at the page that it has not got.
 */
static pid_t fork_of(struct scene *s)
{
	int n = gm_self_is_pv() ? gm_fail_left(s->nth) : 0;
	pid_t pid;

	if (n)
		gm_fail_arm(s->nth, 0);
	pid = fork();
	if (n && pid)
		gm_fail_arm(s->nth, n);
	return pid;
}

/* The child has an empty mapping, and ends with it. */
static int chain_fork(struct scene *s)
{
	int fd, status, err = 0;
	void *addr;
	pid_t pid;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, s->grant, PROT_READ | PROT_WRITE, NULL);
	if (addr == MAP_FAILED) {
		failed(&err);
		close(fd);
		return err;
	}
	if (madvise(addr, SIZE, MADV_DOFORK))
		failed(&err);
	pid = fork_of(s);
	if (!pid)
		_exit(err || gm_touch(addr, false) == SIGBUS ? 0 : 1);
	if (pid < 0)
		failed(&err);
	else if (waitpid(pid, &status, 0) != pid || status)
		gm_broken();
	touch(addr, &err);
	unmap(addr, SIZE, &err);
	close(fd);
	return err;
}

/*
 * dma-buf of granted pages: exported, mmapped, closed, its release waited for.
 * ENOTTY: there is no such thing in this driver.
 */
static int chain_dmabuf_export(struct scene *s)
{
	struct ioctl_gntdev_dmabuf_exp_wait_released wait = { .wait_to_ms = 10000 };
	struct ioctl_gntdev_dmabuf_exp_from_refs *op;
	int fd, err = 0;

	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	op = calloc(1, sizeof(*op) + PAGES * sizeof(op->refs[0]));
	if (!op)
		gm_broken();
	op->count = PAGES;
	op->domid = s->grant->domid;
	memcpy(op->refs, s->grant->refs, PAGES * sizeof(op->refs[0]));
	if (ioctl(fd, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, op)) {
		failed(&err);
	} else {
		wait.fd = op->fd;
		close(op->fd);
		if (ioctl(fd, IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED, &wait) &&
		    errno != ENOENT)
			failed(&err);
	}
	free(op);
	close(fd);
	return err;
}

/*
 * Who the memory of an import is granted to: by dom0 to itself, as nobody but Xen can look into
 * its grant table.
 */
static uint32_t grantee(struct scene *s)
{
	return gm_self_domid() ? s->grant->domid : 0;
}

/* A dma-buf of this process's memory. What is not this driver's does not fail. */
static int udmabuf_of(struct scene *s)
{
	struct udmabuf_create create = { .size = SIZE };
	int device, fd, n = gm_fail_left(s->nth);

	if (n)
		gm_fail_arm(s->nth, 0);
	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	create.memfd = memfd_create("fail_nth", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (device < 0 || ftruncate(create.memfd, SIZE) ||
	    fcntl(create.memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		gm_broken();
	fd = ioctl(device, UDMABUF_CREATE, &create);
	if (fd < 0)
		gm_broken();
	close(create.memfd);
	close(device);
	if (n)
		gm_fail_arm(s->nth, n);
	return fd;
}

/* A dma-buf that is granted, twice: one import is released, one goes with the file. */
static int chain_dmabuf_import(struct scene *s)
{
	struct ioctl_gntdev_dmabuf_imp_release release = {};
	struct ioctl_gntdev_dmabuf_imp_to_refs *op;
	int dmabuf, fd, err = 0;

	dmabuf = udmabuf_of(s);
	op = calloc(1, sizeof(*op) + PAGES * sizeof(op->refs[0]));
	if (!op)
		gm_broken();
	fd = gm_gntdev_open();
	if (fd < 0)
		failed(&err);
	release.fd = dmabuf;
	for (int i = 0; i < 2 && !err; i++) {
		op->fd = dmabuf;
		op->count = PAGES;
		op->domid = grantee(s);
		if (ioctl(fd, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, op))
			failed(&err);
		else if (!i && ioctl(fd, IOCTL_GNTDEV_DMABUF_IMP_RELEASE, &release))
			gm_broken();
	}
	if (fd >= 0)
		close(fd);
	close(dmabuf);
	free(op);
	return err;
}

FIXTURE(fail_nth) {
	struct granter gr;
	struct scene scene;
	struct gntdev_now base;
	xenevtchn_handle *xce;
	int kmsg, maptrack, lost;
	int granted;		/* by this domain */
	long slab;
};

FIXTURE_VARIANT(fail_nth) {
	chain_fn chain;
	int at_least;		/* so many failures are reported */
};

#define CHAIN(name, least)						\
	FIXTURE_VARIANT_ADD(fail_nth, name) {				\
		.chain = chain_ ## name, .at_least = least,		\
	}

CHAIN(map, 5);
CHAIN(map_again, 5);
CHAIN(parts, 5);
CHAIN(move, 5);
CHAIN(copy, 2);
CHAIN(notify, 5);
CHAIN(close, 5);
CHAIN(fork, 10);
CHAIN(dmabuf_export, 5);
CHAIN(dmabuf_import, 5);

static const char *const hypercalls[] = {
	GNTDEV_DEBUGFS "/fail_map", GNTDEV_DEBUGFS "/fail_unmap", GNTDEV_DEBUGFS "/fail_copy",
};

/* As gm_fail_allocations(), for the driver's hypercalls; stock has none of them. */
static void fail_hypercalls(bool on)
{
	for (size_t i = 0; i < sizeof(hypercalls) / sizeof(hypercalls[0]); i++)
		fault_set(hypercalls[i], "verbose", on ? 0 : 2);
}

FIXTURE_SETUP(fail_nth)
{
	xenevtchn_port_or_error_t port;

	granter_setup(_metadata, &self->gr);
	self->scene.grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->xce = xenevtchn_open(NULL, 0);
	ASSERT_NE(NULL, self->xce);
	port = xenevtchn_bind_unbound_port(self->xce, self->gr.domid);
	ASSERT_LT(0, port);
	self->scene.port = port;
	self->kmsg = gm_kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->scene.nth = gm_fail_open();
	if (self->scene.nth < 0)
		SKIP(return, "this kernel has no fault injection");
	debugfs_mount();
	ASSERT_EQ(0, gm_fail_allocations(true));
	fail_hypercalls(true);
}

FIXTURE_TEARDOWN(fail_nth)
{
	fail_hypercalls(false);
	gm_fail_allocations(false);
	if (self->scene.nth >= 0)
		close(self->scene.nth);
	close(self->kmsg);
	xenevtchn_close(self->xce);
	granter_teardown(_metadata, &self->gr);
}

static int objects_lost(void)
{
	int n = gm_kmemleak();

	if (n < 0)
		gm_broken();
	return n;
}

/* The figures that all failures together are compared with. */
static void sweep_begin(FIXTURE_DATA(fail_nth) *self)
{
	self->lost = objects_lost();
	self->base = gntdev_now();
	self->maptrack = gm_maptrack_frames(gm_self_domid());
	self->slab = gm_meminfo("Slab");
	self->granted = gm_grants_given();
	if (self->granted < 0)
		gm_broken();
	lseek(self->kmsg, 0, SEEK_END);
}

static void sweep_end(struct __test_metadata *_metadata, FIXTURE_DATA(fail_nth) *self)
{
	long slab = gm_meminfo("Slab");

	/* A page of maptrack is 256 handles, and a sweep has mapped many times that. */
	EXPECT_EQ(self->maptrack, gm_maptrack_frames(gm_self_domid()));
	EXPECT_GE(self->slab + SLAB_SLACK_KB, slab);
	EXPECT_EQ(self->lost, objects_lost()) TH_LOG("kmemleak has found some");
	EXPECT_NO_COMPLAINT(self->kmsg);
}

/* After failure @n of the chain */
static void expect_nothing_left(struct __test_metadata *_metadata,
				FIXTURE_DATA(fail_nth) *self, chain_fn chain, int n)
{
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_TRUE(gm_wait(gm_grants_given() == self->granted, LATER_MS))
		TH_LOG("granted: %d, not %d", gm_grants_given(), self->granted);
	EXPECT_NOW(&self->base);
	EXPECT_NO_COMPLAINT(self->kmsg);
	EXPECT_EQ(0, chain(&self->scene));
	if (_metadata->exit_code != KSFT_PASS)
		gm_note("that was after failure %d", n);
}

static bool stock_in_pv(void)
{
	return gm_self_is_pv() && gm_kernel_is("stock");
}

static bool may_be_reported(int err)
{
	/* EFAULT: touch(), a page that could not be brought back. EAGAIN: fork() */
	return !err || err == ENOMEM || err == INJECTED_ERRNO || err == EFAULT ||
	       err == EAGAIN;
}

TEST_F_TIMEOUT(fail_nth, g14_each_failure_in_turn, GM_LONG_TEST_S)
{
	int n, err, by_errno[256] = { 0 }, reported = 0;
	bool injected = true;

	if (variant->chain == chain_fork && stock_in_pv())
		SKIP(return, "the stock driver takes a PV domain down");
	err = variant->chain(&self->scene);
	if (err == ENOTTY)
		SKIP(return, "this driver has no such ioctl");
	ASSERT_EQ(0, err);
	sweep_begin(self);
	for (n = 1; n < MAX_NTH && injected; n++) {
		gm_fail_arm(self->scene.nth, n);
		err = variant->chain(&self->scene);
		injected = !gm_fail_left(self->scene.nth);
		gm_fail_arm(self->scene.nth, 0);
		EXPECT_TRUE(may_be_reported(err))
			TH_LOG("failure %d: %s", n, strerror(err));
		by_errno[err & 255]++;
		expect_nothing_left(_metadata, self, variant->chain, n);
		if (_metadata->exit_code != KSFT_PASS)
			break;
	}
	/* The last one was not there to fail. */
	ASSERT_FALSE(injected);
	EXPECT_EQ(0, err);
	reported = n - 1 - by_errno[0];
	EXPECT_LE(variant->at_least, reported);
	sweep_end(_metadata, self);
	gm_note("%d failures in turn; reported: ENOMEM %d, EIO (a hypercall) %d, other %d; unnoticed %d",
		n - 2, by_errno[ENOMEM], by_errno[EIO],
		reported - by_errno[ENOMEM] - by_errno[EIO], by_errno[0] - 1);
}

/*
 * The process ends with everything mapped, and what it cannot be told of fails too. It
 * counts for itself; how far, its parent reads when it is dead and not yet buried.
 */
static int exit_with_mapping(struct gm_grant *grant, int n)
{
	int nth = gm_fail_open();
	void *addr;
	int fd;

	if (nth < 0)
		return 255;
	gm_fail_arm(nth, n);
	fd = gm_gntdev_open();
	if (fd < 0)
		return errno;
	addr = gm_gntdev_map(fd, grant, PROT_READ | PROT_WRITE, NULL);
	return addr == MAP_FAILED ? errno : 0;
}

static int chain_exit(struct scene *s, int n, bool *injected)
{
	char path[64], text[16];
	siginfo_t info;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(exit_with_mapping(s->grant, n));
	if (pid < 0 || waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
		gm_broken();
	snprintf(path, sizeof(path), "/proc/%d/fail-nth", pid);
	if (gm_read_file(path, text, sizeof(text)) <= 0)
		gm_broken();
	*injected = n && atoi(text) == 0;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		gm_broken();
	return WEXITSTATUS(status);
}

static int chain_exit_unarmed(struct scene *s)
{
	bool injected;

	return chain_exit(s, 0, &injected);
}

FIXTURE(fail_nth_exit) {
	FIXTURE_DATA(fail_nth) all;
};

FIXTURE_SETUP(fail_nth_exit)
{
	fail_nth_setup(_metadata, &self->all, NULL);
}

FIXTURE_TEARDOWN(fail_nth_exit)
{
	fail_nth_teardown(_metadata, &self->all, NULL);
}

TEST_F_TIMEOUT(fail_nth_exit, g14_each_failure_in_turn, GM_LONG_TEST_S)
{
	FIXTURE_DATA(fail_nth) *all = &self->all;
	int n, err = -1, reported = 0;
	bool injected = true;

	ASSERT_EQ(0, chain_exit_unarmed(&all->scene));
	sweep_begin(all);
	for (n = 1; n < MAX_NTH && injected; n++) {
		err = chain_exit(&all->scene, n, &injected);
		EXPECT_TRUE(may_be_reported(err))
			TH_LOG("failure %d: %s", n, strerror(err));
		reported += !!err;
		expect_nothing_left(_metadata, all, chain_exit_unarmed, n);
		if (_metadata->exit_code != KSFT_PASS)
			break;
	}
	ASSERT_FALSE(injected);
	EXPECT_EQ(0, err);
	EXPECT_LE(5, reported);
	sweep_end(_metadata, all);
	gm_note("%d failures in turn, %d of them reported, the others while the process ended or unnoticed",
		n - 2, reported);
}

TEST_HARNESS_MAIN
