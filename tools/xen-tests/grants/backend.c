// SPDX-License-Identifier: GPL-2.0-only
/*
 * The API that the grant device has for other backends of the kernel (<xen/gntdev.h>),
 * through a backend that does as it is told (modules/gnt_backend). There is none in the
 * stock kernel, where all of this is skipped.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "grants.h"
#include "gnt_backend/uapi.h"

#define SEED		0xbac0ULL
#define SEED2		0xbac1ULL
#define PAGES		16U

/* Long enough for a driver that polls to have polled. */
#define STAYS_MS	600

FIXTURE(backend) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	struct gm_gnt_ref refs[PAGES];
	int16_t status[PAGES];
	uint8_t page[GM_PAGE_SIZE];
};

static int backend_call(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static int backend_map(int fd, const struct gm_gnt_ref *refs, unsigned int count,
		       unsigned int flags, int16_t *status)
{
	struct gm_gnt_map op = {
		.refs = (uintptr_t)refs,
		.status = (uintptr_t)status,
		.count = count,
		.flags = flags,
	};

	return backend_call(fd, GM_GNT_MAP, &op);
}

static int backend_page(int fd, unsigned long request, unsigned int page, void *buffer)
{
	struct gm_gnt_page op = { .buffer = (uintptr_t)buffer, .page = page };

	return backend_call(fd, request, &op);
}

static void fill_refs(struct gm_gnt_ref *refs, const struct gm_grant *grant)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		refs[i].domid = grant->domid;
		refs[i].ref = grant->refs[i];
	}
}

FIXTURE_SETUP(backend)
{
	granter_setup(_metadata, &self->gr);
	gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe gnt_backend");
	self->fd = open(GM_GNT_BACKEND_DEVICE, O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(return, "this kernel has no API for other backends");
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	fill_refs(self->refs, self->grant);
}

FIXTURE_TEARDOWN(backend)
{
	if (self->fd >= 0) {
		close(self->fd);
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "rmmod gnt_backend"));
	}
	granter_teardown(_metadata, &self->gr);
}

#define ASSERT_MAPPED()								\
	ASSERT_EQ(0, backend_map(self->fd, self->refs, PAGES, 0, NULL))

TEST_F_TIMEOUT(backend, data_go_both_ways, GM_TEST_S)
{
	ASSERT_MAPPED();
	EXPECT_IN_USE(&self->gr, PAGES);
	for (unsigned int i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, backend_page(self->fd, GM_GNT_READ, i, self->page));
		EXPECT_EQ(-1, gm_check(self->page, SEED, i, 1));
		gm_fill(self->page, SEED2, i, 1);
		EXPECT_EQ(0, backend_page(self->fd, GM_GNT_WRITE, i, self->page));
	}
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED2, 0, PAGES));
	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_UNMAP, NULL));
	EXPECT_EQ(1, backend_call(self->fd, GM_GNT_DONE, NULL));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(backend, a_busy_page_waits_for_itself_alone, GM_TEST_S)
{
	ASSERT_MAPPED();
	ASSERT_EQ(0, backend_call(self->fd, GM_GNT_HOLD, (void *)5));
	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_UNMAP, NULL));
	EXPECT_IN_USE(&self->gr, 1);
	gm_sleep_ms(STAYS_MS);
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_DONE, NULL));

	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_LET_GO, NULL));
	EXPECT_TRUE(gm_wait(backend_call(self->fd, GM_GNT_DONE, NULL) == 1, LATER_MS));
	/* done() says that it is so already. */
	EXPECT_EQ((int)self->gr.base.in_use, gm_grants_in_use(self->gr.domid));
}

TEST_F_TIMEOUT(backend, each_grant_has_its_status, GM_TEST_S)
{
	self->refs[7].ref = 0xfffff;
	memset(self->status, 0x55, sizeof(self->status));
	EXPECT_EQ(-EINVAL, backend_map(self->fd, self->refs, PAGES, 0, self->status));
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i == 7) {
			EXPECT_GT(0, self->status[i]);
		} else {
			EXPECT_EQ(0, self->status[i]);
		}
	}
	/* All or none. */
	EXPECT_IN_USE(&self->gr, 0);
	EXPECT_EQ(-EINVAL, backend_call(self->fd, GM_GNT_UNMAP, NULL));
}

TEST_F_TIMEOUT(backend, read_only_grants, GM_TEST_S)
{
	struct gm_grant *ro = granter_grant(_metadata, &self->gr, PAGES, false, SEED);

	fill_refs(self->refs, ro);
	EXPECT_EQ(-EACCES, backend_map(self->fd, self->refs, PAGES, 1, NULL));
	EXPECT_IN_USE(&self->gr, 0);
	ASSERT_MAPPED();
	EXPECT_EQ(0, backend_page(self->fd, GM_GNT_READ, 3, self->page));
	EXPECT_EQ(-1, gm_check(self->page, SEED, 3, 1));
	EXPECT_EQ(-EACCES, backend_page(self->fd, GM_GNT_WRITE, 3, self->page));
}

TEST_F_TIMEOUT(backend, what_is_out_of_range, GM_TEST_S)
{
	EXPECT_EQ(-EINVAL, backend_map(self->fd, self->refs, 0, 0, NULL));
	EXPECT_EQ(-EINVAL, backend_map(self->fd, self->refs, PAGES, 2, NULL));
	EXPECT_IN_USE(&self->gr, 0);
}

/* Users of the grant device's module, as rmmod sees them. */
static int module_users(void)
{
	FILE *f = fopen("/sys/module/xen_gntdev/refcnt", "re");
	int n = -1;

	if (f) {
		if (fscanf(f, "%d", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

/* The grant device's module stays for as long as a page is busy, and no longer. */
TEST_F_TIMEOUT(backend, module_stays_until_the_last_page_is_free, GM_TEST_S)
{
	int before = module_users();

	ASSERT_LE(1, before);
	ASSERT_MAPPED();
	EXPECT_EQ(before + 1, module_users());
	ASSERT_EQ(0, backend_call(self->fd, GM_GNT_HOLD, NULL));
	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_UNMAP, NULL));
	gm_sleep_ms(STAYS_MS);
	EXPECT_EQ(before + 1, module_users());
	EXPECT_EQ(0, backend_call(self->fd, GM_GNT_LET_GO, NULL));
	EXPECT_TRUE(gm_wait(module_users() == before, LATER_MS));
}

/* A process that dies with a run mapped and a page held. */
TEST_F_TIMEOUT(backend, killed, GM_TEST_S)
{
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = open(GM_GNT_BACKEND_DEVICE, O_RDWR | O_CLOEXEC);

		if (backend_map(fd, self->refs, PAGES, 0, NULL) ||
		    backend_call(fd, GM_GNT_HOLD, (void *)9) || write(fds[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(pid, child_ready(pid, fds));
	EXPECT_IN_USE(&self->gr, PAGES);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
}

TEST_HARNESS_MAIN
