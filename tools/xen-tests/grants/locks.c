// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of locks, as far as it can be seen from outside: user memory is not touched under
 * a lock that mmap() takes under the mmap lock.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "grants.h"

#define SEED		0x218ULL
#define ROUNDS		4000

/* How long the rounds may take before they count as a deadlock. */
#define STUCK_MS	60000

FIXTURE(locks) {
	struct granter gr;
	struct gm_grant *grant;
};

FIXTURE_SETUP(locks)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, 1, true, SEED);
}

FIXTURE_TEARDOWN(locks)
{
	granter_teardown(_metadata, &self->gr);
}

struct mapper {
	int fd;
	int64_t index;
	atomic_bool stop;
};

/* Takes the mmap lock for writing, and the file's lock under it. */
static void *mmaps(void *arg)
{
	struct mapper *m = arg;

	while (!m->stop) {
		void *addr = gm_gntdev_mmap(m->fd, m->index, 1, PROT_READ);

		if (addr != MAP_FAILED)
			munmap(addr, GM_PAGE_SIZE);
	}
	return NULL;
}

/*
 * The argument lies in a private mapping of a file. Reading it brings the file's page; the
 * index that is stored in it has to be a copy of that first: a page fault, in the middle of
 * the ioctl, which takes the mmap lock.
 */
static int maps_with_faults(const struct gm_grant *grant)
{
	struct ioctl_gntdev_map_grant_ref op = {
		.count = 1,
		.refs[0] = { .domid = grant->domid, .ref = grant->refs[0] },
	}, *arg;
	struct mapper m = { .fd = gm_gntdev_open() };
	int file = memfd_create("argument", 0);
	pthread_t thread;
	int ret = 0;

	m.index = gm_gntdev_map_ref(m.fd, grant->domid, grant->refs, 1);
	if (m.index < 0 || write(file, &op, sizeof(op)) != sizeof(op))
		return 1;
	arg = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	if (arg == MAP_FAILED || pthread_create(&thread, NULL, mmaps, &m))
		return 2;
	for (int i = 0; i < ROUNDS && !ret; i++) {
		if (madvise(arg, GM_PAGE_SIZE, MADV_DONTNEED))
			ret = 3;
		else if (ioctl(m.fd, IOCTL_GNTDEV_MAP_GRANT_REF, arg))
			ret = 4;
		else if (gm_gntdev_unmap_ref(m.fd, arg->index, 1))
			ret = 5;
	}
	m.stop = true;
	pthread_join(thread, NULL);
	return ret;
}

/* A process of its own: a deadlock in the kernel cannot be killed. */
TEST_F_TIMEOUT(locks, g21_ioctl_faults_while_another_thread_mmaps, GM_LONG_TEST_S)
{
	int status = 0;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(maps_with_faults(self->grant));
	if (!gm_wait(waitpid(pid, &status, WNOHANG) == pid, STUCK_MS)) {
		kill(pid, SIGKILL);
		ASSERT_EQ(0, 1) TH_LOG("the two threads wait for each other");
	}
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_HARNESS_MAIN
