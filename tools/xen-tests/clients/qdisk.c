// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk of the guest whose backend is the device-model QEMU in dom0 (qdisk): it maps the ring
 * through gntdev, and copies or maps the pages of every request.
 *
 * In the guest:
 *	qdisk write DEVICE	write the disk, past the page cache
 *	qdisk check DEVICE	read it back likewise, and compare
 */
#include <kselftest_harness.h>
#include <fcntl.h>
#include <signal.h>

#include "gm.h"
#include "peer.h"

#define BYTES		(16UL << 20)
#define BLOCK_PAGES	16U
#define BLOCK		(BLOCK_PAGES * GM_PAGE_SIZE)
#define SECTOR		512UL
#define SEED		0xd15cULL
#define SECTOR_SEED	0x5ec7ULL
#define IMAGE		"/tmp/e1-qdisk.img"
#define DEVICE		"/dev/xvda"

/*
 * The disk holds SEED's pattern, and at the end of the sixth page of each block one sector of
 * SECTOR_SEED's, written alone: the smallest request, at an offset within a page.
 */
#define ODD_PAGE	5U
#define ODD_OFFSET	(7 * SECTOR)

static char block[BLOCK] __attribute__((aligned(4096)));
static char odd_page[GM_PAGE_SIZE] __attribute__((aligned(4096)));

static void make_block(unsigned int page)
{
	gm_fill(block, SEED, page, BLOCK_PAGES);
	gm_fill(odd_page, SECTOR_SEED, page, 1);
}

static int write_disk(int fd)
{
	for (unsigned int page = 0; page < BYTES / GM_PAGE_SIZE; page += BLOCK_PAGES) {
		off_t at = page * GM_PAGE_SIZE;

		make_block(page);
		if (pwrite(fd, block, BLOCK, at) != (ssize_t)BLOCK)
			return -1;
		at += ODD_PAGE * GM_PAGE_SIZE + ODD_OFFSET;
		if (pwrite(fd, odd_page + ODD_OFFSET, SECTOR, at) != (ssize_t)SECTOR)
			return -1;
	}
	return fsync(fd);
}

/* The offset of the first block that differs, -1 when none does, -2 for an error. */
static long check_disk(int fd)
{
	static char data[BLOCK] __attribute__((aligned(4096)));

	for (unsigned int page = 0; page < BYTES / GM_PAGE_SIZE; page += BLOCK_PAGES) {
		off_t at = page * GM_PAGE_SIZE;

		make_block(page);
		memcpy(block + ODD_PAGE * GM_PAGE_SIZE + ODD_OFFSET, odd_page + ODD_OFFSET,
		       SECTOR);
		if (pread(fd, data, BLOCK, at) != (ssize_t)BLOCK)
			return -2;
		if (memcmp(data, block, BLOCK))
			return at;
	}
	return -1;
}

/* ---- in the guest ---- */

static int peer(const char *what, const char *device)
{
	int fd = open(device, O_RDWR | O_DIRECT);
	long bad;

	if (fd < 0) {
		perror(device);
		return 1;
	}
	if (!strcmp(what, "write")) {
		if (!write_disk(fd))
			return 0;
		perror("write");
		return 1;
	}
	bad = check_disk(fd);
	if (bad == -1)
		return 0;
	printf("%s: %ld\n", device, bad);
	return 1;
}

/* ---- in dom0 ---- */

FIXTURE(e1_qdisk) {
	const char *name;
	struct dom_id id;
	pid_t backend;
};

FIXTURE_VARIANT(e1_qdisk) {
	struct dom dom;
};

#define QDISK \
	"'disk=[\"format=raw,vdev=xvda,access=rw,backendtype=qdisk,target=" IMAGE "\"]'"

FIXTURE_VARIANT_ADD(e1_qdisk, pv) { .dom = PEER_GUEST("e1-qdisk-pv", "pv", QDISK) };
FIXTURE_VARIANT_ADD(e1_qdisk, pvh) { .dom = PEER_GUEST("e1-qdisk-pvh", "pvh", QDISK) };

static int make_image(void)
{
	int fd = open(IMAGE, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int ret;

	if (fd < 0)
		return -1;
	ret = ftruncate(fd, BYTES);
	close(fd);
	return ret;
}

/* The QEMU that serves the guest, or -1. */
static pid_t backend_of(uint32_t domid)
{
	char *value = dom_xs_read("/local/domain/%u/image/device-model-pid", domid);
	pid_t pid = value ? atoi(value) : -1;

	free(value);
	return pid;
}

static bool process_exists(pid_t pid)
{
	return !kill(pid, 0) || errno != ESRCH;
}

FIXTURE_SETUP(e1_qdisk)
{
	self->name = variant->dom.name;
	if (access("/usr/libexec/xen-qemu-system-i386", X_OK))
		SKIP(return, "dom0 has no device-model QEMU");
	if (dom_find(self->name) < 0)
		ASSERT_EQ(0, make_image());
	ASSERT_EQ(0, dom_ensure(&variant->dom)) WHY();
	ASSERT_EQ(0, dom_identify(self->name, &self->id)) WHY();
	self->backend = backend_of(self->id.domid);
	ASSERT_LT(1, self->backend);
	ASSERT_EQ(0, dom_sh(self->name, NULL, 0,
			    "modprobe xen-blkfront; i=0; until [ -b " DEVICE " ]; do "
			    "[ $i -lt 200 ] || exit 1; i=$((i + 1)); usleep 100000; done")) WHY();
}

FIXTURE_TEARDOWN(e1_qdisk)
{
	if (_metadata->exit_code)
		dom_destroy(self->name);
}

TEST_F_TIMEOUT(e1_qdisk, reads_back_what_was_written, TEST_S)
{
	int fd;

	/* At least the ring. */
	EXPECT_LE(1, dom_grant_mappings(self->backend));
	ASSERT_EQ(0, dom_sh(self->name, NULL, 0, "/gm/suites/clients/qdisk write " DEVICE)) WHY();
	EXPECT_EQ(0, dom_sh(self->name, NULL, 0, "/gm/suites/clients/qdisk check " DEVICE)) WHY();
	fd = open(IMAGE, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, check_disk(fd));
	close(fd);
}

/* What dom0 writes to the image is what the guest reads: nothing was cached on the way. */
TEST_F_TIMEOUT(e1_qdisk, reads_what_dom0_wrote, TEST_S)
{
	int fd = open(IMAGE, O_RDWR);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, write_disk(fd));
	close(fd);
	EXPECT_EQ(0, dom_sh(self->name, NULL, 0, "/gm/suites/clients/qdisk check " DEVICE)) WHY();
}

TEST_F_TIMEOUT(e1_qdisk, backend_ends_with_the_guest, TEST_S)
{
	EXPECT_TRUE(process_exists(self->backend));
	ASSERT_EQ(0, dom_xl("shutdown -w %s", self->name)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	EXPECT_TRUE(gm_wait(!process_exists(self->backend), DOM_GONE_MS));
	EXPECT_EQ(-ENOENT, gm_active_entries(self->id.domid));
	EXPECT_EQ(0, unlink(IMAGE));
}

/* The backend killed while the guest is there: what it had mapped must not keep the guest. */
TEST_F_TIMEOUT(e1_qdisk, killed_backend_keeps_nothing, TEST_S)
{
	int in_use = gm_grants_in_use(self->id.domid);

	ASSERT_EQ(0, dom_sh(self->name, NULL, 0, "/gm/suites/clients/qdisk write " DEVICE)) WHY();
	ASSERT_EQ(0, kill(self->backend, SIGKILL));
	EXPECT_TRUE(gm_wait(gm_grants_in_use(self->id.domid) < in_use, DOM_GONE_MS))
		TH_LOG("%d grants in use, %d before", gm_grants_in_use(self->id.domid), in_use);
	ASSERT_EQ(0, dom_xl("destroy %u", self->id.domid)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	EXPECT_EQ(0, unlink(IMAGE));
}

static void clean_up(void)
{
	dom_destroy("e1-qdisk-pv");
	dom_destroy("e1-qdisk-pvh");
	unlink(IMAGE);
}

int main(int argc, char **argv)
{
	if (argc == 3 && argv[1][0] != '-')
		return peer(argv[1], argv[2]);
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
