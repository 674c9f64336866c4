// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that rewrites the entries of its grant table while they are mapped, and in every
 * moment between: the mapper sees an errno or its data, and nothing stays behind.
 *
 * Xen looks at an entry when a mapping begins and nobody has the page. What the guest
 * writes into it later does not take away what is mapped. All of it with both versions of
 * the table, whose usual life is tested here, too.
 */
#include "evil.h"

#define SEED		0xe711ULL
#define SEED2		0x1e11ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)
#define BUSY		5U	/* the page that goes through a pipe */
#define RW		(PROT_READ | PROT_WRITE)

#define NOTIFY_AT	(3 * GM_PAGE_SIZE + 77)

#define ROUNDS		100	/* maps, while the guest changes its mind */
#define STOP		"/tmp/evil-stop"

FIXTURE(entry) {
	struct evil evil;
	struct gm_grant *grant;
	int fd;
	int pipe[2];
	void *addr;
	bool flipping;
	uint8_t page[GM_PAGE_SIZE];
};

FIXTURE_VARIANT(entry) {
	unsigned int version;
};

FIXTURE_VARIANT_ADD(entry, v1) { .version = 1 };
FIXTURE_VARIANT_ADD(entry, v2) { .version = 2 };

FIXTURE_SETUP(entry)
{
#ifndef __x86_64__
	SKIP(return, "there are no PV guests, and others do not know where their table is");
#endif
	evil_setup(_metadata, &self->evil, variant->version);
	self->grant = granter_grant(_metadata, &self->evil.gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, pipe(self->pipe));
}

static void stop_flipping(META, FIXTURE_DATA(entry) *self);

FIXTURE_TEARDOWN(entry)
{
	stop_flipping(_metadata, self);
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	close(self->pipe[0]);
	close(self->pipe[1]);
	close(self->fd);
	evil_teardown(_metadata, &self->evil);
}

#define ASSERT_MAP(prot) do {							\
	self->addr = gm_gntdev_map(self->fd, self->grant, prot, NULL);		\
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));	\
	EXPECT_DATA(SEED);							\
} while (0)

#define EXPECT_NO_MAP(prot) do {						\
	EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->grant, prot, NULL)); \
	EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));			\
} while (0)

/* The first signal that an access to one of the pages raises; 0: none. */
static int touch_all(void *addr, bool write)
{
	int sig = 0;

	for (unsigned int i = 0; i < PAGES && !sig; i++)
		sig = gm_touch(page_at(addr, i), write);
	return sig;
}

#define EXPECT_DATA(seed) do {							\
	ASSERT_EQ(0, touch_all(self->addr, false)) TH_LOG("the mapping is gone"); \
	EXPECT_PATTERN(self->addr, seed, 0, PAGES);				\
} while (0)

/* What the mapper writes into all pages, the guest reads. */
#define EXPECT_SHARED(seed) do {						\
	ASSERT_EQ(0, touch_all(self->addr, true));				\
	gm_fill(self->addr, seed, 0, PAGES);					\
	EXPECT_EQ(0, gm_guest_check(self->evil.gr.g, self->grant, seed, 0,	\
				    PAGES));					\
} while (0)

#define EXPECT_DRAIN(seed) do {							\
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE,					\
		  read(self->pipe[0], self->page, GM_PAGE_SIZE));		\
	EXPECT_EQ(-1, gm_check(self->page, seed, BUSY, 1));			\
} while (0)

#define ASSERT_BUSY()								\
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE,					\
		  make_busy(self->pipe[1], self->addr, BUSY))			\
		TH_LOG("vmsplice: %s", strerror(errno))

/* ---- the usual life of a grant ---- */

TEST_F_TIMEOUT(entry, is_mapped_copied_and_unmapped, GM_TEST_S)
{
	int16_t status;

	ASSERT_MAP(RW);
	EXPECT_IN_USE(&self->evil.gr, (int)PAGES);
	EXPECT_ACTIVE(&self->evil, (int)PAGES);
	EXPECT_SHARED(SEED2);
	EXPECT_EQ(0, copy_from(self->fd, self->evil.gr.domid, self->grant->refs[3],
			       self->page, &status));
	EXPECT_EQ(GNTST_okay, status);
	EXPECT_EQ(-1, gm_check(self->page, SEED2, 3, 1));
	UNMAP_ALL();
	EXPECT_IN_USE(&self->evil.gr, 0);
	EXPECT_ACTIVE(&self->evil, 0);
}

TEST_F_TIMEOUT(entry, read_only_is_not_mapped_writable, GM_TEST_S)
{
	struct gm_grant *rw = self->grant;

	self->grant = granter_grant(_metadata, &self->evil.gr, PAGES, false, SEED);
	EXPECT_NO_MAP(RW);
	ASSERT_MAP(PROT_READ);
	EXPECT_IN_USE(&self->evil.gr, (int)PAGES);
	UNMAP_ALL();
	EXPECT_IN_USE(&self->evil.gr, 0);
	self->grant = rw;
}

TEST_F_TIMEOUT(entry, revoked_while_mapped_stays_mapped, GM_TEST_S)
{
	ASSERT_MAP(RW);
	EXPECT_EQ(0, gm_guest_revoke(self->evil.gr.g, self->grant));
	EXPECT_EQ(0, touch_all(self->addr, true));
	EXPECT_DATA(SEED);
	EXPECT_ACTIVE(&self->evil, (int)PAGES);
	UNMAP_ALL();
}

/* ---- entries are rewritten ---- */

TEST_F_TIMEOUT(entry, made_read_only_while_mapped_writable, GM_TEST_S)
{
	ASSERT_MAP(RW);
	EVIL_FLAGS(self->grant, GTF_permit_access | GTF_readonly);
	EXPECT_SHARED(SEED2);
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(RW);
	self->addr = gm_gntdev_map(self->fd, self->grant, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("%s", strerror(errno));
	EXPECT_DATA(SEED2);
	UNMAP_ALL();
}

TEST_F_TIMEOUT(entry, made_writable_while_mapped_read_only, GM_TEST_S)
{
	EVIL_FLAGS(self->grant, GTF_permit_access | GTF_readonly);
	EXPECT_NO_MAP(RW);
	ASSERT_MAP(PROT_READ);
	EVIL_FLAGS(self->grant, GTF_permit_access);
	EXPECT_EQ(SIGSEGV, gm_touch(self->addr, true));
	EXPECT_DATA(SEED);
	ASSERT_BUSY();
	UNMAP_ALL();
	EXPECT_DRAIN(SEED);
	ASSERT_MAP(RW);
	EXPECT_SHARED(SEED2);
	UNMAP_ALL();
}

/*
 * mprotect() and mremap() take the PTEs of a PV domain away: what has been mapped can be mapped
 * again, whatever the entry says now.
 */
TEST_F_TIMEOUT(entry, cleared_while_mapped, GM_TEST_S)
{
	void *addr;

	ASSERT_MAP(RW);
	EVIL_FLAGS(self->grant, 0);
	EXPECT_SHARED(SEED2);
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_READ));
	EXPECT_DATA(SEED2);
	EXPECT_EQ(0, mprotect(self->addr, SIZE, RW));
	EXPECT_SHARED(SEED);
	addr = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(addr, mremap(self->addr, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, addr))
		TH_LOG("mremap: %s", strerror(errno));
	self->addr = addr;
	EXPECT_SHARED(SEED2);
	EXPECT_ACTIVE(&self->evil, (int)PAGES);
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(PROT_READ);
}

TEST_F_TIMEOUT(entry, cleared_while_mapped_read_only, GM_TEST_S)
{
	ASSERT_MAP(PROT_READ);
	EVIL_FLAGS(self->grant, 0);
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, gm_touch(self->addr, false));
	EXPECT_EQ(0, mprotect(self->addr, SIZE, PROT_READ));
	EXPECT_DATA(SEED);
	EXPECT_ACTIVE(&self->evil, (int)PAGES);
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(PROT_READ);
}

/* The local side of a copy is a mapped grant: Xen is told of the reference then. */
TEST_F_TIMEOUT(entry, cleared_while_mapped_is_copied_to, GM_TEST_S)
{
	struct gm_grant *other;
	int16_t status;

	other = granter_grant(_metadata, &self->evil.gr, PAGES, false, SEED2);
	ASSERT_MAP(RW);
	EVIL_FLAGS(self->grant, 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, copy_from(self->fd, self->evil.gr.domid, other->refs[i],
				       page_at(self->addr, i), &status));
		EXPECT_EQ(GNTST_okay, status) TH_LOG("page %u", i);
	}
	EXPECT_DATA(SEED2);
	EXPECT_EQ(0, gm_guest_check(self->evil.gr.g, self->grant, SEED2, 0, PAGES));
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(PROT_READ);
}

/* The byte is cleared all the same: its page was ours to write when the notification was set. */
TEST_F_TIMEOUT(entry, notification_of_what_is_no_longer_granted, GM_TEST_S)
{
	static const unsigned int flags[] = { 0, GTF_permit_access | GTF_readonly };

	for (size_t i = 0; i < 2; i++) {
		int64_t index;

		self->addr = gm_gntdev_map(self->fd, self->grant, RW, &index);
		ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
		ASSERT_EQ(0, gm_guest_poke(self->evil.gr.g, self->grant, NOTIFY_AT, 0x77));
		ASSERT_EQ(0, gm_gntdev_notify(self->fd, index + NOTIFY_AT,
					      UNMAP_NOTIFY_CLEAR_BYTE, 0));
		EVIL_FLAGS(self->grant, flags[i]);
		UNMAP_ALL();
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
		EXPECT_ACTIVE(&self->evil, 0);
		EXPECT_EQ(0, gm_guest_peek(self->evil.gr.g, self->grant, NOTIFY_AT));
		EXPECT_NO_MAP(RW);
		EVIL_FLAGS(self->grant, GTF_permit_access);
	}
}

TEST_F_TIMEOUT(entry, given_to_another_domain_while_mapped, GM_TEST_S)
{
	ASSERT_MAP(RW);
	evil_write(_metadata, &self->evil, self->grant, WORD_DOMID, NO_DOMID);
	EXPECT_SHARED(SEED2);
	ASSERT_BUSY();
	UNMAP_ALL();
	EXPECT_DRAIN(SEED2);
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(PROT_READ);
}

/* What mmap() finds out, or the ioctl has got hold of before */
#define EXPECT_ERRNO_OR_DATA(prot) do {						\
	self->addr = gm_gntdev_mmap(self->fd, index, PAGES, prot);		\
	if (self->addr == MAP_FAILED) {						\
		EXPECT_EQ(EINVAL, errno) TH_LOG("%s", strerror(errno));		\
		self->addr = NULL;						\
	} else {								\
		EXPECT_FALSE(gm_self_is_pv()) TH_LOG("who has granted this?");	\
		EXPECT_DATA(SEED);						\
		UNMAP_ALL();							\
	}									\
} while (0)

/* The run is still good for a guest that thinks better of it. */
#define EXPECT_MAP_AGAIN() do {							\
	EVIL_FLAGS(self->grant, GTF_permit_access);				\
	self->addr = gm_gntdev_mmap(self->fd, index, PAGES, RW);		\
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("%s", strerror(errno));	\
	EXPECT_DATA(SEED);							\
	UNMAP_ALL();								\
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));		\
	EXPECT_ACTIVE(&self->evil, 0);						\
} while (0)

TEST_F_TIMEOUT(entry, cleared_between_ioctl_and_mmap, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->evil.gr.domid, self->grant->refs,
					  PAGES);

	ASSERT_LE(0, index);
	EVIL_FLAGS(self->grant, 0);
	EXPECT_ERRNO_OR_DATA(RW);
	EXPECT_MAP_AGAIN();
}

TEST_F_TIMEOUT(entry, made_read_only_between_ioctl_and_mmap, GM_TEST_S)
{
	int64_t index = gm_gntdev_map_ref(self->fd, self->evil.gr.domid, self->grant->refs,
					  PAGES);

	ASSERT_LE(0, index);
	EVIL_FLAGS(self->grant, GTF_permit_access | GTF_readonly);
	EXPECT_ERRNO_OR_DATA(RW);
	EXPECT_MAP_AGAIN();
}

/* One entry of many: all or nothing. */
TEST_F_TIMEOUT(entry, one_cleared_between_ioctl_and_mmap, GM_TEST_S)
{
	struct gm_grant one = { .count = 1, .refs = self->grant->refs + PAGES / 2 };
	int64_t index = gm_gntdev_map_ref(self->fd, self->evil.gr.domid, self->grant->refs,
					  PAGES);

	ASSERT_LE(0, index);
	EVIL_FLAGS(&one, 0);
	EXPECT_ERRNO_OR_DATA(RW);
	EXPECT_MAP_AGAIN();
}

TEST_F_TIMEOUT(entry, cleared_between_munmap_and_mmap, GM_TEST_S)
{
	int64_t index;

	self->addr = gm_gntdev_map(self->fd, self->grant, RW, &index);
	ASSERT_NE(MAP_FAILED, self->addr);
	EXPECT_DATA(SEED);
	UNMAP_ALL();
	EVIL_FLAGS(self->grant, 0);
	EXPECT_ERRNO_OR_DATA(RW);
	EXPECT_MAP_AGAIN();
}

/* ---- somebody else uses a page ---- */

TEST_F_TIMEOUT(entry, cleared_while_in_a_pipe, GM_TEST_S)
{
	ASSERT_MAP(RW);
	ASSERT_BUSY();
	EVIL_FLAGS(self->grant, 0);
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 1);
	EXPECT_DRAIN(SEED);
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_NO_MAP(PROT_READ);
}

/*
 * In PV the page gets its kernel side no sooner than somebody wants it: that is now. Of an entry
 * that somebody has mapped Xen looks at the read-only flag alone.
 */
TEST_F_TIMEOUT(entry, changed_before_it_goes_into_a_pipe, GM_TEST_S)
{
	static const struct {
		int prot;
		unsigned int flags;
	} cases[] = {
		{ RW, 0 },
		{ RW, GTF_permit_access | GTF_readonly },
		{ PROT_READ, 0 },
		{ PROT_READ, GTF_permit_access | GTF_readonly },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ASSERT_MAP(cases[i].prot);
		EVIL_FLAGS(self->grant, cases[i].flags);
		ASSERT_BUSY();
		UNMAP_ALL();
		EXPECT_ACTIVE(&self->evil, 1);
		EXPECT_DRAIN(SEED);
		EXPECT_ACTIVE(&self->evil, 0);
		EXPECT_NO_MAP(RW);
		EVIL_FLAGS(self->grant, GTF_permit_access);
	}
}

/*
 * The guest takes its pages back by force, and its kernel uses them for something else; the
 * references are used for new pages. The mapper reads on, whatever it is. It does not write:
 * a page that somebody may write can never become a page table, and this guest, which needs
 * some, would stop for it.
 */
TEST_F_TIMEOUT(entry, taken_back_by_force_while_mapped, GM_TEST_S)
{
	struct gm_grant *old = self->grant, *new;

	if (variant->version == 2)
		SKIP(return, "what is in use is not in the entry: the guest's kernel keeps it");
	ASSERT_MAP(PROT_READ);
	ASSERT_BUSY();
	EVIL_FLAGS(old, 0);
	ASSERT_EQ(0, gm_guest_revoke(self->evil.gr.g, old));
	new = granter_grant(_metadata, &self->evil.gr, 4 * PAGES, true, SEED2);
	/* The guest's kernel, too, has been made to believe that nobody has the pages. */
	EXPECT_EQ((int)(self->evil.gr.base.granted + 4 * PAGES),
		  gm_grants_granted(self->evil.gr.domid));

	EXPECT_EQ(0, touch_all(self->addr, false));
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(self->pipe[0], self->page, GM_PAGE_SIZE));
	EXPECT_ACTIVE(&self->evil, (int)PAGES);
	UNMAP_ALL();
	EXPECT_ACTIVE(&self->evil, 0);

	self->addr = gm_gntdev_map(self->fd, new, RW, NULL);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("%s", strerror(errno));
	EXPECT_PATTERN(self->addr, SEED2, 0, 4 * PAGES);
	EXPECT_EQ(0, munmap(self->addr, 4 * SIZE));
	self->addr = NULL;
}

/* ---- in a loop ---- */

/* The guest clears and sets the flags all the time, until it is told to stop. */
static void start_flipping(META, FIXTURE_DATA(entry) *self)
{
	char clear[256], allow[256];

	ASSERT_NE(NULL, evil_echo(clear, sizeof(clear), self->grant, WORD_FLAGS, 0));
	ASSERT_NE(NULL, evil_echo(allow, sizeof(allow), self->grant, WORD_FLAGS,
				  GTF_permit_access));
	ASSERT_EQ(0, gm_guest_cmd(self->evil.gr.g, NULL, 0, GM_TIMEOUT_MS,
				  "sh (until [ -e " STOP " ]; do %s; %s; done; rm " STOP ") "
				  ">/dev/null 2>&1 &", clear, allow));
	self->flipping = true;
}

static void stop_flipping(META, FIXTURE_DATA(entry) *self)
{
	if (self->flipping)
		evil_sh(_metadata, &self->evil.gr,
			"touch " STOP "; while [ -e " STOP " ]; do usleep 10000; done");
	self->flipping = false;
}

/* Maps, uses and unmaps: is what can be seen right? EINVAL: it was not granted just then. */
static int map_once(int fd, const struct gm_grant *grant, const int fds[2], unsigned int *mapped)
{
	uint8_t page[GM_PAGE_SIZE];
	int ret = 0, sig;
	void *addr;

	addr = gm_gntdev_map(fd, grant, RW, NULL);
	if (addr == MAP_FAILED)
		return errno == EINVAL ? 0 : errno;
	(*mapped)++;
	sig = touch_all(addr, true);
	if (sig || gm_check(addr, SEED, 0, PAGES) != -1)
		ret = -1;
	else if (make_busy(fds[1], addr, BUSY) != (ssize_t)GM_PAGE_SIZE)
		ret = -2;
	if (munmap(addr, SIZE))
		ret = -3;
	if (!ret && (read(fds[0], page, sizeof(page)) != sizeof(page) ||
		     gm_check(page, SEED, BUSY, 1) != -1))
		ret = -4;
	return ret;
}

TEST_F_TIMEOUT(entry, flags_change_all_the_time, GM_TEST_S)
{
	double end = gm_now() + GM_TEST_S * gm_scale() / 2;
	unsigned int n = 0, mapped = 0;

	start_flipping(_metadata, self);
	/* Until both have happened, too */
	for (; n < ROUNDS || ((!mapped || mapped == n) && gm_now() < end); n++) {
		ASSERT_EQ(0, map_once(self->fd, self->grant, self->pipe, &mapped))
			TH_LOG("round %u: %s", n, strerror(errno));
	}
	stop_flipping(_metadata, self);
	gm_note("%u of %u maps were granted", mapped, n);
	EXPECT_LT(0U, mapped);
	EXPECT_LT(mapped, n);
	EXPECT_ACTIVE(&self->evil, 0);
	ASSERT_MAP(RW);
	UNMAP_ALL();
}

/* ---- references that there are not ---- */

/* Around the end of the table, and where a number changes its sign or wraps */
static unsigned int bad_refs(const struct gm_gnttab *table, uint32_t *refs)
{
	uint32_t size = table->frames * GM_PAGE_SIZE / (table->version == 2 ? 16 : 8);
	const uint32_t bad[] = {
		size - 1, size, size + 1, 0xffffU, 0x10000U, 0x7fffffffU, 0x80000000U,
		0xfffffffeU, 0xffffffffU, 0xffffffffU / 8, 0xffffffffU / 16 + 1,
	};

	memcpy(refs, bad, sizeof(bad));
	return sizeof(bad) / sizeof(bad[0]);
}

TEST_F_TIMEOUT(entry, no_such_ref_is_not_mapped, GM_TEST_S)
{
	uint32_t bad[PAGES], good = self->grant->refs[PAGES / 2];
	unsigned int n = bad_refs(&self->evil.gr.base, bad);

	for (unsigned int i = 0; i < n; i++) {
		struct gm_grant one = {
			.domid = self->evil.gr.domid, .count = 1, .refs = bad + i,
		};

		EXPECT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, &one, RW, NULL))
			TH_LOG("ref %#x", bad[i]);
		EXPECT_EQ(EINVAL, errno) TH_LOG("ref %#x: %s", bad[i], strerror(errno));
		/* And among others */
		self->grant->refs[PAGES / 2] = bad[i];
		EXPECT_NO_MAP(RW);
		self->grant->refs[PAGES / 2] = good;
	}
	EXPECT_ACTIVE(&self->evil, 0);
	ASSERT_MAP(RW);
	UNMAP_ALL();
}

TEST_F_TIMEOUT(entry, no_such_ref_is_not_copied, GM_TEST_S)
{
	struct ioctl_gntdev_grant_copy_segment seg[3] = { 0 };
	struct ioctl_gntdev_grant_copy copy = { .count = 3, .segments = seg };
	uint32_t domid = self->evil.gr.domid, bad[PAGES];
	unsigned int n = bad_refs(&self->evil.gr.base, bad);

	/* From it, from one that there is, from there to it */
	for (unsigned int i = 0; i < 3; i++) {
		seg[i].source.foreign.ref = self->grant->refs[1];
		seg[i].source.foreign.domid = domid;
		seg[i].dest.virt = self->page;
		seg[i].len = GM_PAGE_SIZE;
		seg[i].flags = GNTCOPY_source_gref;
	}
	for (unsigned int i = 0; i < n; i++) {
		memset(self->page, 0, sizeof(self->page));
		seg[0].source.foreign.ref = bad[i];
		seg[2].flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
		seg[2].dest.foreign.ref = bad[i];
		seg[2].dest.foreign.domid = domid;
		seg[2].dest.foreign.offset = 0;
		EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy))
			TH_LOG("ref %#x: %s", bad[i], strerror(errno));
		EXPECT_GT(0, seg[0].status) TH_LOG("ref %#x", bad[i]);
		EXPECT_EQ(GNTST_okay, seg[1].status);
		EXPECT_GT(0, seg[2].status) TH_LOG("ref %#x", bad[i]);
		EXPECT_EQ(-1, gm_check(self->page, SEED, 1, 1));
	}
	EXPECT_ACTIVE(&self->evil, 0);
	EXPECT_EQ(0, gm_guest_check(self->evil.gr.g, self->grant, SEED, 0, PAGES));
}

int main(int argc, char **argv)
{
	return evil_main(argc, argv);
}
