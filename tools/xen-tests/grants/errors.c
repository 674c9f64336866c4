// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that cannot be served: each gets its errno, leaves nothing mapped, and
 * the file goes on working.
 */
#include <xengnttab.h>

#include "grants.h"

#define SEED		0x55ULL
#define PAGES		8U

/* A reference far behind the end of any grant table in the lab. */
#define NO_REF		0xfffffU

/* A domain that does not exist: behind the last that is given to guests. */
#define NO_DOMID	0x7000U

FIXTURE(errors) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
};

FIXTURE_SETUP(errors)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd) TH_LOG("gntdev: %s", strerror(errno));
}

FIXTURE_TEARDOWN(errors)
{
	void *addr;

	EXPECT_IN_USE(&self->gr, 0);
	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	EXPECT_NE(MAP_FAILED, addr)
		TH_LOG("the file does not work any more: %s", strerror(errno));
	if (addr != MAP_FAILED) {
		EXPECT_PATTERN(addr, SEED, 0, PAGES);
		EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
	}
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* An address where there is nothing. */
static void *nowhere(void)
{
	void *addr = mmap(NULL, GM_PAGE_SIZE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(addr, GM_PAGE_SIZE);
	return addr;
}

#define EXPECT_IOCTL(err, request, arg) do {				\
	EXPECT_EQ(-1, ioctl(self->fd, request, arg));			\
	EXPECT_EQ(err, errno) TH_LOG("%s", strerror(errno));		\
} while (0)

#define EXPECT_NO_MAP(addr, err) do {					\
	EXPECT_EQ(MAP_FAILED, addr);					\
	EXPECT_EQ(err, errno) TH_LOG("%s", strerror(errno));		\
} while (0)

/* ---- grants that are not there ---- */

TEST_F_TIMEOUT(errors, wrong_ref, GM_TEST_S)
{
	uint32_t refs[1] = { NO_REF };
	struct gm_grant bad = {
		.domid = self->gr.domid, .count = 1, .refs = refs,
	};

	EXPECT_NO_MAP(gm_gntdev_map(self->fd, &bad, PROT_READ, NULL), EINVAL);
}

/* An entry of the table that is not granted: the last one of its last page. */
TEST_F_TIMEOUT(errors, unused_ref, GM_TEST_S)
{
	uint32_t refs[1] = { self->gr.base.frames * 512 - 1 };
	struct gm_grant bad = {
		.domid = self->gr.domid, .count = 1, .refs = refs,
	};

	EXPECT_NO_MAP(gm_gntdev_map(self->fd, &bad, PROT_READ, NULL), EINVAL);
}

TEST_F_TIMEOUT(errors, wrong_domid, GM_TEST_S)
{
	struct gm_grant bad = *self->grant;

	bad.domid = NO_DOMID;
	EXPECT_NO_MAP(gm_gntdev_map(self->fd, &bad, PROT_READ, NULL), EINVAL);
}

TEST_F_TIMEOUT(errors, grant_for_somebody_else, GM_TEST_S)
{
	struct gm_grant bad = { .domid = self->gr.domid, .count = 1 };
	char rsp[GM_RSP_MAX], node[64];
	uint32_t refs[1];
	struct gm_rpc *rpc;
	char *value;
	int id;

	ASSERT_EQ(0, gm_guest_cmd(self->gr.g, rsp, sizeof(rsp), GM_TIMEOUT_MS,
				  "grant 1 %u rw 0", NO_DOMID));
	id = atoi(rsp);
	snprintf(node, sizeof(node), "/local/domain/%u/data/gm", bad.domid);
	rpc = gm_rpc_open(node);
	ASSERT_NE(NULL, rpc);
	snprintf(node, sizeof(node), "refs/%d/0", id);
	value = gm_rpc_read(rpc, node);
	ASSERT_NE(NULL, value);
	refs[0] = atoi(value);
	free(value);
	gm_rpc_close(rpc);
	bad.refs = refs;
	EXPECT_NO_MAP(gm_gntdev_map(self->fd, &bad, PROT_READ, NULL), EINVAL);
	EXPECT_EQ(0, gm_guest_cmd(self->gr.g, NULL, 0, GM_TIMEOUT_MS,
				  "revoke %d", id));
}

TEST_F_TIMEOUT(errors, wrong_ref_in_the_middle, GM_TEST_S)
{
	self->grant->refs[PAGES / 2] ^= NO_REF;
	EXPECT_NO_MAP(gm_gntdev_map(self->fd, self->grant,
				    PROT_READ | PROT_WRITE, NULL), EINVAL);
	self->grant->refs[PAGES / 2] ^= NO_REF;
}

TEST_F_TIMEOUT(errors, wrong_ref_through_libxengnttab, GM_TEST_S)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);

	ASSERT_NE(NULL, xgt);
	EXPECT_EQ(NULL, xengnttab_map_grant_ref(xgt, self->gr.domid, NO_REF,
						PROT_READ));
	EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));
	xengnttab_close(xgt);
}

/* Stock finds out under the mmap lock only. */
TEST_F_TIMEOUT(errors, g09_wrong_ref_fails_in_the_ioctl, GM_TEST_S)
{
	uint32_t refs[1] = { NO_REF };
	int64_t index;

	if (gm_self_is_pv())
		SKIP(return, "in PV, the process's mapping is the only one: mmap() finds out");
	index = gm_gntdev_map_ref(self->fd, self->gr.domid, refs, 1);
	EXPECT_EQ(-EINVAL, index);
	if (index >= 0)
		gm_gntdev_unmap_ref(self->fd, index, 1);
}

/* ---- counts ---- */

TEST_F_TIMEOUT(errors, zero_count, GM_TEST_S)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 0 };

	EXPECT_IOCTL(EINVAL, IOCTL_GNTDEV_MAP_GRANT_REF, &op);
}

TEST_F_TIMEOUT(errors, too_large_count, GM_TEST_S)
{
	static const uint32_t counts[] = {
		~0U, 0x80000000U, 0x40000000U, 64 * 1024 + 1,
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct ioctl_gntdev_map_grant_ref op = { .count = counts[i] };

		EXPECT_IOCTL(EINVAL, IOCTL_GNTDEV_MAP_GRANT_REF, &op);
	}
}

/* The struct says more references than there are. */
TEST_F_TIMEOUT(errors, refs_end_too_early, GM_TEST_S)
{
	char *pages = mmap(NULL, 2 * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ioctl_gntdev_map_grant_ref *op;

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, munmap(pages + GM_PAGE_SIZE, GM_PAGE_SIZE));
	op = (void *)(pages + GM_PAGE_SIZE - sizeof(*op));
	op->count = 2;
	op->refs[0].domid = self->gr.domid;
	op->refs[0].ref = self->grant->refs[0];
	EXPECT_IOCTL(EFAULT, IOCTL_GNTDEV_MAP_GRANT_REF, op);
}

/* ---- pointers ---- */

#define EXPECT_NO_POINTER(request) do {					\
	EXPECT_IOCTL(EFAULT, request, NULL);				\
	EXPECT_IOCTL(EFAULT, request, nowhere());			\
	EXPECT_IOCTL(EFAULT, request, (void *)-4096L);			\
} while (0)

TEST_F_TIMEOUT(errors, map_bad_pointer, GM_TEST_S)
{
	EXPECT_NO_POINTER(IOCTL_GNTDEV_MAP_GRANT_REF);
}

TEST_F_TIMEOUT(errors, unmap_bad_pointer, GM_TEST_S)
{
	EXPECT_NO_POINTER(IOCTL_GNTDEV_UNMAP_GRANT_REF);
}

TEST_F_TIMEOUT(errors, offset_for_vaddr_bad_pointer, GM_TEST_S)
{
	EXPECT_NO_POINTER(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR);
}

TEST_F_TIMEOUT(errors, notify_bad_pointer, GM_TEST_S)
{
	EXPECT_NO_POINTER(IOCTL_GNTDEV_SET_UNMAP_NOTIFY);
}

TEST_F_TIMEOUT(errors, copy_bad_pointer, GM_TEST_S)
{
	EXPECT_NO_POINTER(IOCTL_GNTDEV_GRANT_COPY);
}

/* The answer cannot be written: what was mapped must not stay. */
TEST_F_TIMEOUT(errors, g18_map_into_read_only_memory, GM_TEST_S)
{
	struct ioctl_gntdev_map_grant_ref *op;
	void *addr;

	op = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, op);
	op->count = 1;
	op->refs[0].domid = self->gr.domid;
	op->refs[0].ref = self->grant->refs[0];
	ASSERT_EQ(0, mprotect(op, GM_PAGE_SIZE, PROT_READ));
	EXPECT_IOCTL(EFAULT, IOCTL_GNTDEV_MAP_GRANT_REF, op);
	EXPECT_IN_USE(&self->gr, 0);
	/* The first map of a file has offset 0, and there must be none. */
	addr = gm_gntdev_mmap(self->fd, 0, 1, PROT_READ);
	EXPECT_NO_MAP(addr, EINVAL);
}

TEST_F_TIMEOUT(errors, offset_for_vaddr_into_read_only_memory, GM_TEST_S)
{
	struct ioctl_gntdev_get_offset_for_vaddr *op;
	void *addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);

	ASSERT_NE(MAP_FAILED, addr);
	op = mmap(NULL, GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, op);
	op->vaddr = (uintptr_t)addr;
	ASSERT_EQ(0, mprotect(op, GM_PAGE_SIZE, PROT_READ));
	EXPECT_IOCTL(EFAULT, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, op);
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, PAGES * GM_PAGE_SIZE));
}

/* ---- what is not there, or not so ---- */

TEST_F_TIMEOUT(errors, unmap_unknown_index, GM_TEST_S)
{
	int64_t index;

	EXPECT_EQ(-ENOENT, gm_gntdev_unmap_ref(self->fd, 0, 1));
	index = gm_gntdev_map_ref(self->fd, self->grant->domid,
				  self->grant->refs, PAGES);
	ASSERT_LE(0, index);
	EXPECT_EQ(-ENOENT, gm_gntdev_unmap_ref(self->fd, index, PAGES + 1));
	EXPECT_EQ(-ENOENT, gm_gntdev_unmap_ref(self->fd, index +
					       64 * GM_PAGE_SIZE, PAGES));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	EXPECT_EQ(-ENOENT, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

/* Undocumented, but so it has always been. */
TEST_F_TIMEOUT(errors, unmap_of_count_zero_means_any_length, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);

	ASSERT_LE(0, index);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, 0));
	EXPECT_EQ(-ENOENT, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

TEST_F_TIMEOUT(errors, offset_for_vaddr_of_other_memory, GM_TEST_S)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = {
		.vaddr = (uintptr_t)&op,
	};

	EXPECT_IOCTL(EINVAL, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op);
	op.vaddr = 0;
	EXPECT_IOCTL(EINVAL, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op);
	op.vaddr = ~0ULL;
	EXPECT_IOCTL(EINVAL, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op);
}

TEST_F_TIMEOUT(errors, unknown_ioctl, GM_TEST_S)
{
	char arg[64] = { 0 };

	EXPECT_IOCTL(ENOTTY, _IOC(_IOC_NONE, 'G', 200, 8), arg);
	EXPECT_IOCTL(ENOTTY, _IOC(_IOC_NONE, 'X', 0, 24), arg);
}

TEST_F_TIMEOUT(errors, mmap_of_nothing, GM_TEST_S)
{
	EXPECT_NO_MAP(gm_gntdev_mmap(self->fd, 0, 1, PROT_READ), EINVAL);
	EXPECT_NO_MAP(gm_gntdev_mmap(self->fd, 1LL << 40, 1, PROT_READ), EINVAL);
}

TEST_F_TIMEOUT(errors, mmap_past_the_end_of_a_map, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);

	ASSERT_LE(0, index);
	EXPECT_NO_MAP(gm_gntdev_mmap(self->fd, index, PAGES + 1, PROT_READ),
		      EINVAL);
	EXPECT_NO_MAP(gm_gntdev_mmap(self->fd, index + PAGES * GM_PAGE_SIZE, 1,
				     PROT_READ), EINVAL);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

TEST_F_TIMEOUT(errors, mmap_private_and_writable, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->grant->domid,
					  self->grant->refs, PAGES);

	ASSERT_LE(0, index);
	EXPECT_NO_MAP(mmap(NULL, PAGES * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE, self->fd, index), EINVAL);
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
}

TEST_HARNESS_MAIN
