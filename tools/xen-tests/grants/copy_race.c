// SPDX-License-Identifier: GPL-2.0-only
/*
 * GRANT_COPY while the local buffer is taken away, by another thread.
 *
 * In a PV domain the driver copies to and from anonymous memory in place: by what the page
 * table says, under its lock, without a reference on the page. So whoever takes a page away
 * under that lock alone (MADV_DONTNEED, swap) has to find a copy done or not begun; and who
 * shares it on fork must not see what is copied later. Elsewhere, and on stock, pages are
 * pinned; the same has to hold there.
 *
 * One thread copies and looks at what it has got; another one disturbs, and keeps what the
 * kernel has freed as *prey*: pages in which a copy that came too late would show. Best on
 * two processors (LAB=pv-smp). The figures of a run say how much was copied without a pin.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <xengnttab.h>
#include <xen/grant_table.h>

#include "grants.h"

#define SEED_A		0xaaULL
#define SEED_B		0xbbULL
#define SEED_OUT	0xccULL

/* In one go: more than the driver does under one hold of a lock. */
#define PAGES		256U
#define SIZE		(PAGES * GM_PAGE_SIZE)
#define SECONDS		4.0
#define AGAIN		16

/* What is taken away at once. */
#define FEW		8U
#define FEW_SIZE	(FEW * GM_PAGE_SIZE)

#define PREY		0x5a5a5a5a5a5a5a5aULL
/* At each page of it; together as long as a copy takes. */
#define LOOKS		2000

FIXTURE(copy_race) {
	struct granter gr;
	struct gm_grant *grant[2];	/* that hold SEED_A, SEED_B */
	struct gm_grant *out;		/* that is copied to */
	uint64_t *out_map;		/* and seen through */
	int fd;
	xengnttab_handle *xgt;
	xengnttab_grant_copy_segment_t *seg;
	uint64_t *local;
	bool swap;
	atomic_bool stop;
	/* figures, and what was wrong */
	unsigned long copies, refused;
	atomic_ulong rounds;
	atomic_ulong wrong;	/* by both threads */
	unsigned long caught, seen_by_child;
};

FIXTURE_VARIANT(copy_race) {
	void (*disturb)(FIXTURE_DATA(copy_race) *self);
	bool may_be_zero;	/* a page that was copied to may be a new one when it is read */
	bool may_be_gone;	/* a copy may find no memory */
	bool needs_swap;
};

/* ---- those who disturb ---- */

/* Where to disturb this time: somewhere else than last time. */
static void *somewhere(FIXTURE_DATA(copy_race) *self)
{
	return page_at(self->local, self->rounds * 13 % (PAGES / FEW) * FEW);
}

/* Takes what was freed last, and looks at it for a while: nobody else may write there. */
static void hunt(FIXTURE_DATA(copy_race) *self)
{
	volatile uint64_t *prey = mmap(NULL, FEW_SIZE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (prey == MAP_FAILED) {
		self->wrong++;
		return;
	}
	for (unsigned int page = 0; page < FEW; page++)
		prey[page * GM_PAGE_WORDS] = PREY;
	for (unsigned int look = 0; look < LOOKS; look++)
		for (unsigned int page = 0; page < FEW; page++)
			self->caught += prey[page * GM_PAGE_WORDS] != PREY;
	munmap((void *)prey, FEW_SIZE);
}

static void by_dontneed(FIXTURE_DATA(copy_race) *self)
{
	self->wrong += !!madvise(somewhere(self), FEW_SIZE, MADV_DONTNEED);
	hunt(self);
}

/* Is replaced at once, or is not there for a moment. */
static void by_munmap(FIXTURE_DATA(copy_race) *self)
{
	void *addr = somewhere(self);

	/* It stays free: nobody else maps anything meanwhile. */
	if (self->rounds % 64 == 0)
		self->wrong += !!munmap(addr, FEW_SIZE);
	self->wrong += mmap(addr, FEW_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != addr;
	hunt(self);
}

static void by_pageout(FIXTURE_DATA(copy_race) *self)
{
	self->wrong += !!madvise(somewhere(self), FEW_SIZE, MADV_PAGEOUT);
	hunt(self);
}

/* The child's memory is its own: it does not change. */
static void by_fork(FIXTURE_DATA(copy_race) *self)
{
	int status = -1;
	pid_t pid;

	pid = fork();
	if (!pid) {
		uint64_t sum[2] = {};

		for (int again = 0; again < 2; again++) {
			for (unsigned int i = 0; i < SIZE / sizeof(*self->local); i++)
				sum[again] = sum[again] * 31 + self->local[i];
			gm_sleep_ms(20);
		}
		_exit(sum[0] != sum[1]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		self->wrong++;
	else
		self->seen_by_child += WEXITSTATUS(status);
}

FIXTURE_VARIANT_ADD(copy_race, dontneed) { .disturb = by_dontneed, .may_be_zero = true };
FIXTURE_VARIANT_ADD(copy_race, munmap) {
	.disturb = by_munmap, .may_be_zero = true, .may_be_gone = true,
};
FIXTURE_VARIANT_ADD(copy_race, swap) { .disturb = by_pageout, .needs_swap = true };
FIXTURE_VARIANT_ADD(copy_race, fork) { .disturb = by_fork };

FIXTURE_SETUP(copy_race)
{
	char *place;

	granter_setup(_metadata, &self->gr);
	self->grant[0] = granter_grant(_metadata, &self->gr, PAGES, true, SEED_A);
	self->grant[1] = granter_grant(_metadata, &self->gr, PAGES, true, SEED_B);
	self->out = granter_grant(_metadata, &self->gr, PAGES, true, SEED_OUT);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->out_map = gm_gntdev_map(self->fd, self->out, PROT_READ, NULL);
	ASSERT_NE(MAP_FAILED, self->out_map);
	self->xgt = xengnttab_open(NULL, 0);
	ASSERT_NE(NULL, self->xgt);
	self->seg = calloc(PAGES, sizeof(*self->seg));
	ASSERT_NE(NULL, self->seg);
	/* With something around it, so that it is a VMA of its own. */
	place = mmap(NULL, SIZE + 2 * GM_PAGE_SIZE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, place);
	self->local = mmap(place + GM_PAGE_SIZE, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, self->local);
	self->swap = variant->needs_swap &&
		     !gm_run(NULL, 0, GM_TIMEOUT_MS,
			     "modprobe brd && mkswap /dev/ram0 && swapon /dev/ram0");
}

FIXTURE_TEARDOWN(copy_race)
{
	munmap(self->local, SIZE);
	if (self->swap)
		EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "swapoff /dev/ram0"));
	free(self->seg);
	xengnttab_close(self->xgt);
	EXPECT_EQ(0, munmap(self->out_map, SIZE));
	close(self->fd);
	EXPECT_IN_USE(&self->gr, 0);
	granter_teardown(_metadata, &self->gr);
}

static void *disturb(void *arg)
{
	void **both = arg;
	FIXTURE_DATA(copy_race) *self = both[0];
	const FIXTURE_VARIANT(copy_race) *variant = both[1];

	while (!self->stop) {
		variant->disturb(self);
		self->rounds++;
	}
	return NULL;
}

/* ---- the one who copies ---- */

/* All of the buffer, from @grant or to it. Did it work, or was it as it may be? */
static bool copy_all(FIXTURE_DATA(copy_race) *self, const struct gm_grant *grant, bool out,
		     bool may_be_gone)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		xengnttab_grant_copy_segment_t *s = &self->seg[i];
		void *virt = (char *)self->local + i * GM_PAGE_SIZE;

		memset(s, 0, sizeof(*s));
		s->len = GM_PAGE_SIZE;
		s->flags = out ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
		if (out) {
			s->source.virt = virt;
			s->dest.foreign.ref = grant->refs[i];
			s->dest.foreign.domid = grant->domid;
		} else {
			s->dest.virt = virt;
			s->source.foreign.ref = grant->refs[i];
			s->source.foreign.domid = grant->domid;
		}
	}
	if (xengnttab_grant_copy(self->xgt, PAGES, self->seg)) {
		self->refused++;
		self->wrong += !(may_be_gone && errno == EFAULT);
		return false;
	}
	for (unsigned int i = 0; i < PAGES; i++)
		self->wrong += self->seg[i].status != GNTST_okay;
	self->copies++;
	return true;
}

/* Words of memory that are not @seed's pattern; there may be zeros. */
static unsigned long wrong_words(const uint64_t *at, uint64_t seed, bool may_be_zero)
{
	unsigned long n = 0;

	if (!may_be_zero && gm_check(at, seed, 0, PAGES) == -1)
		return 0;
	for (unsigned int i = 0; i < PAGES; i++)
		for (unsigned int w = 0; w < GM_PAGE_WORDS; w++) {
			uint64_t v = *(const volatile uint64_t *)at++;

			n += v != gm_pattern(seed, i, w) && !(may_be_zero && !v);
		}
	return n;
}

/*
 * Likewise of the buffer, which may not be there: then it is read through the kernel, to
 * @look, and what is not there as zeros.
 */
static unsigned long wrong_in_buffer(FIXTURE_DATA(copy_race) *self,
				     const FIXTURE_VARIANT(copy_race) *variant,
				     uint64_t seed, uint64_t *look)
{
	struct iovec from = { self->local, SIZE }, to = { look, SIZE };
	ssize_t done;

	if (!variant->may_be_gone)
		return wrong_words(self->local, seed, variant->may_be_zero);
	done = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	if (done < 0)
		done = 0;
	memset((char *)look + done, 0, SIZE - done);
	return wrong_words(look, seed, true);
}

static long pins(void)
{
	gm_write_file("/proc/sys/vm/stat_refresh", "1");
	return gm_read_value("/proc/vmstat", "nr_foll_pin_acquired");
}

TEST_F_TIMEOUT(copy_race, g16_copy_against_a_thread_that_disturbs, GM_TEST_S)
{
	void *both[2] = { self, (void *)variant };
	uint64_t *look = malloc(SIZE);
	unsigned long words = 0;
	pthread_t thread;
	double end;
	long pinned;

	if (variant->needs_swap && !self->swap)
		SKIP(free(look); return, "no memory disk to swap to");
	ASSERT_NE(NULL, look);
	pinned = pins();
	ASSERT_EQ(0, pthread_create(&thread, NULL, disturb, both));
	end = gm_now() + SECONDS;
	for (unsigned int i = 0; gm_now() < end || !self->rounds; i++) {
		bool good = false;

		/* Looking takes longer than copying. */
		for (int again = 0; again < AGAIN; again++)
			good = copy_all(self, self->grant[i % 2], false, variant->may_be_gone);
		if (good)
			words += wrong_in_buffer(self, variant, i % 2 ? SEED_B : SEED_A, look);
		/* And on to another grant: what is in the buffer now. */
		if (good && copy_all(self, self->out, true, variant->may_be_gone))
			words += wrong_words(self->out_map, i % 2 ? SEED_B : SEED_A,
					     variant->may_be_zero);
	}
	pinned = pins() - pinned;
	self->stop = true;
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, words) TH_LOG("so many words are neither what was copied nor new");
	EXPECT_EQ(0, self->wrong) TH_LOG("calls that failed");
	EXPECT_EQ(0, self->caught) TH_LOG("words of freed memory written by a copy");
	EXPECT_EQ(0, self->seen_by_child) TH_LOG("children that saw what the parent copied");
	EXPECT_LT(0, self->copies);
	gm_note("%lu copies of %u pages, %lu refused, against %lu disturbances; pins a page %.2f",
		self->copies, PAGES, self->refused, self->rounds,
		(double)pinned / ((self->copies ?: 1) * PAGES));
	free(look);
}

TEST_HARNESS_MAIN
