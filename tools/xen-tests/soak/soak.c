// SPDX-License-Identifier: GPL-2.0-only
/*
 * The soak: guests come and go in every way, backends map, copy, export and let the GPU work on
 * what they grant, memory is short, and every few moments somebody is killed. All the time
 * pages have to hold what they should (board.h says when); in the end nothing may be left
 * of it all, in dom0's kernel, in Xen, or in xenstore (account.h).
 *
 * It takes SHORT_S, or LONG_S with GM_LONG=1, or GM_SOAK_SECONDS. A first round, until
 * everything has happened once, comes before the account is opened: it loads modules and fills
 * caches.
 *
 * GM_SEED repeats the choices that each process makes, not how they come together.
 */
#include <time.h>

#include "account.h"
#include "backends.h"
#include "gpu_worker.h"
#include "guests.h"

#define SHORT_S		60
#define LONG_S		1800
#define PROGRESS_S	30
/* For the first round, on the slowest computer */
#define FIRST_S		900
/* The last guest is created, and ended */
#define STOP_S		900
#define SOAK_TEST_S	(soak_seconds() + (FIRST_S + 2 * STOP_S) * gm_scale())

/* Somebody is killed that often, ms, at most */
#define KILL_MS		800
/* Without these pauses guests, on the same processor, take minutes to boot. */
#define TURN_MS		150

static double number_from(const char *name, double otherwise)
{
	const char *s = getenv(name);

	return s && *s ? atof(s) : otherwise;
}

static double soak_seconds(void)
{
	return number_from("GM_SOAK_SECONDS", number_from("GM_LONG", 0) ? LONG_S : SHORT_S);
}

FIXTURE(soak) {
	struct soak_board *b;
	double seconds;
	double began;
	pid_t keepers[SEATS];
	pid_t workers[WORKERS];
	unsigned int rounds;
	unsigned int lives[WORKERS];	/* so far */
	bool in_cgroup;
};

static struct account base, now;

FIXTURE_SETUP(soak)
{
	const char *seed = getenv("GM_SEED");

	self->b = mmap(NULL, sizeof(*self->b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	ASSERT_NE(MAP_FAILED, self->b);
	self->b->seed = seed && *seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	self->b->gpu = gpu_load(GPU_0);
	self->seconds = soak_seconds();
	self->began = gm_now();
	ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe gnt_importer"));
}

FIXTURE_TEARDOWN(soak)
{
	munmap(self->b, sizeof(*self->b));
}

/* ---- workers ---- */

typedef void (*turn_fn)(struct worker *w);

/* Where there is no GPU, those that use it map. */
static const turn_fn kinds[WORKERS] = {
	mapper, mapper, copier, exporter, hog, gpu_worker, gpu_worker,
};

/* false: there is no memory for it; any other reason is an error. */
static bool worker_open(struct worker *w, turn_fn turn)
{
	const char *what = "gntdev";

	w->gntdev = gm_gntdev_open();
	w->importer = -1;
	w->gpu = -1;
	if (w->gntdev < 0)
		goto failed;
	what = "memory";
	w->buffer = mmap(NULL, BUFFER_PAGES * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->buffer == MAP_FAILED)
		goto failed;
	what = "libxengnttab";
	if (turn == copier) {
		w->xgt = xengnttab_open(NULL, 0);
		if (!w->xgt)
			goto failed;
	}
	what = GM_IMPORTER_DEVICE;
	if (turn == exporter) {
		w->importer = open(GM_IMPORTER_DEVICE, O_RDWR | O_CLOEXEC);
		if (w->importer < 0)
			goto failed;
	}
	what = GPU_0;
	if (turn == gpu_worker) {
		w->gpu = open(GPU_0, O_RDWR | O_CLOEXEC);
		if (w->gpu < 0)
			goto failed;
	}
	return true;

failed:
	if (errno != ENOMEM)
		soak_fail(w->b, "worker %u: %s: %s", w->index, what, strerror(errno));
	return false;
}

/* The end of the process closes all that it has. */
static void work(struct soak_board *b, unsigned int index, unsigned int life, bool in_cgroup)
{
	turn_fn turn = kinds[index];
	struct worker w = {
		.b = b,
		.chance = soak_chance_of(b->seed, index, life),
		.index = index,
	};
	double end = gm_now() + LIFE_S;

	if (turn == gpu_worker && !b->gpu)
		turn = mapper;
	if (in_cgroup && cgroup_enter())
		soak_fail(b, "worker %u: its cgroup: %s", index, strerror(errno));
	if (!worker_open(&w, turn))
		_exit(0);
	while (!b->stop && gm_now() < end) {
		turn(&w);
		gm_sleep_ms(chance(&w, TURN_MS));
	}
	_exit(0);
}

/* Of chance, or the kernel's for want of memory: SIGKILL. Another signal is an error. */
static void reap(FIXTURE_DATA(soak) *self, unsigned int i, int options)
{
	int status;

	if (self->workers[i] <= 0 || waitpid(self->workers[i], &status, options) <= 0)
		return;
	self->workers[i] = 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		soak_fail(self->b, "worker %u was ended by signal %d", i, WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		soak_fail(self->b, "worker %u ended with %d", i, WEXITSTATUS(status));
}

/* Whoever has no process has one afterwards. */
static void spawn(FIXTURE_DATA(soak) *self, bool keeper, unsigned int i)
{
	pid_t *pid = keeper ? &self->keepers[i] : &self->workers[i];

	*pid = fork();
	if (!*pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (keeper)
			keep(self->b, i, self->rounds);
		work(self->b, i, self->lives[i], self->in_cgroup);
	}
	if (*pid < 0)
		soak_fail(self->b, "fork: %s", strerror(errno));
	if (!keeper)
		self->lives[i]++;
}

/* Who has ended is replaced; one is killed first. */
static void kill_one(FIXTURE_DATA(soak) *self, struct soak_chance *c)
{
	unsigned int victim = soak_chance(c, WORKERS);

	for (unsigned int i = 0; i < WORKERS; i++) {
		if (i == victim && self->workers[i] > 0) {
			kill(self->workers[i], SIGKILL);
			reap(self, i, 0);
			soak_did(self->b, KILLED);
		}
		reap(self, i, WNOHANG);
		if (self->workers[i] <= 0)
			spawn(self, false, i);
	}
}

/* ---- a round ---- */

static bool expected(FIXTURE_DATA(soak) *self, enum soak_event e)
{
	return self->b->gpu || e < FIRST_GPU_EVENT;
}

static const char *not_yet(FIXTURE_DATA(soak) *self)
{
	for (enum soak_event e = 0; e < NR_EVENTS; e++)
		if (!self->b->done[e] && expected(self, e))
			return soak_event_name[e];
	return NULL;
}

static unsigned long done(FIXTURE_DATA(soak) *self, enum soak_event first, enum soak_event last)
{
	unsigned long sum = 0;

	for (; first <= last; first++)
		sum += self->b->done[first];
	return sum;
}

/* The lab takes a machine that says nothing for one that hangs. */
static void progress(FIXTURE_DATA(soak) *self, double *next)
{
	if (gm_now() < *next)
		return;
	*next = gm_now() + PROGRESS_S;
	gm_note("%4.0f s: guests: %lu created, %lu saved or migrated, %lu ended; %lu mapped, %lu copied, %lu exported, %lu by the GPU; %lu killed; slab %ld KiB%s%s",
		gm_now() - self->began, done(self, CREATED_PV, CREATED_PVH),
		done(self, SAVED, MIGRATED), done(self, SHUT_DOWN, CRASHED), self->b->done[MAPPED],
		self->b->done[COPIED], self->b->done[EXPORTED], done(self, GPU_COPIED, GPU_CUT_OFF),
		self->b->done[KILLED], gm_meminfo("SUnreclaim"),
		not_yet(self) ? "; not yet: " : "", not_yet(self) ?: "");
}

static void round_start(struct __test_metadata *_metadata, FIXTURE_DATA(soak) *self)
{
	for (unsigned int i = 0; i < NR_EVENTS; i++)
		self->b->done[i] = 0;
	for (unsigned int i = 0; i < SEATS; i++)
		self->b->seats[i].generation = 1;
	self->b->stop = false;
	self->rounds++;
	self->in_cgroup = cgroup_make(_metadata, PRESSURE_LIMIT);
	EXPECT_TRUE(self->in_cgroup);
	EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS,
			    "modprobe brd rd_nr=1 rd_size=" PRESSURE_SWAP
			    " && mkswap /dev/ram0 && swapon /dev/ram0"));
	for (unsigned int i = 0; i < SEATS; i++)
		spawn(self, true, i);
}

/* Workers first: guests end when these have let go of their pages. */
static void round_stop(struct __test_metadata *_metadata, FIXTURE_DATA(soak) *self, double *next)
{
	double end = gm_now() + STOP_S * gm_scale();
	unsigned int left = SEATS;

	self->b->stop = true;
	for (unsigned int i = 0; i < WORKERS; i++) {
		if (self->workers[i] > 0)
			kill(self->workers[i], SIGKILL);
		reap(self, i, 0);
	}
	while (left && gm_now() < end) {
		for (unsigned int i = 0; i < SEATS; i++) {
			if (self->keepers[i] > 0 && waitpid(self->keepers[i], NULL, WNOHANG) > 0) {
				self->keepers[i] = 0;
				left--;
			}
		}
		progress(self, next);
		gm_sleep_ms(100);
	}
	EXPECT_EQ(0, left) TH_LOG("%u guests do not end", left);
	for (unsigned int i = 0; i < SEATS; i++)
		if (self->keepers[i] > 0 && !kill(self->keepers[i], SIGKILL))
			waitpid(self->keepers[i], NULL, 0);
	cgroup_remove(_metadata);
	EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "swapoff /dev/ram0 && modprobe -r brd"));
	for (unsigned int i = 0; i < self->b->failures && i < MAX_FAILURES; i++)
		gm_note("WRONG: %s", self->b->failure[i]);
	EXPECT_EQ(0, self->b->failures);
}

/* For @seconds; 0: until everything has happened */
static void round_run(struct __test_metadata *_metadata, FIXTURE_DATA(soak) *self, double seconds)
{
	struct soak_chance c = soak_chance_of(self->b->seed, 2000, self->rounds);
	double start = gm_now(), next = start, end = start + (seconds ?: FIRST_S * gm_scale());

	round_start(_metadata, self);
	while (!self->b->stop && gm_now() < end && (seconds || not_yet(self))) {
		kill_one(self, &c);
		progress(self, &next);
		gm_sleep_ms(soak_chance(&c, KILL_MS));
	}
	if (!seconds && !self->b->failures)
		EXPECT_EQ(NULL, not_yet(self)) TH_LOG("not once: %s", not_yet(self));
	round_stop(_metadata, self, &next);
}

TEST_F_TIMEOUT(soak, nothing_leaks, SOAK_TEST_S)
{
	gm_note("GM_SEED=%llu, %.0f s, %s GPU", (unsigned long long)self->b->seed, self->seconds,
		self->b->gpu ? "with the" : "without a");
	round_run(_metadata, self, 0);
	ASSERT_EQ(0, self->b->failures);
	account_base(&base);
	gm_note("%4.0f s: everything has happened once: the account is opened",
		gm_now() - self->began);

	round_run(_metadata, self, self->seconds);
	for (enum soak_event e = 0; e < NR_EVENTS; e++)
		if (expected(self, e))
			gm_note("%s: %lu", soak_event_name[e], self->b->done[e]);
	EXPECT_EQ(0, account_compare(&base, &now));
	account_print(&base, &now);
}

static void clean_up(void)
{
	for (unsigned int i = 0; i < SEATS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "soak-%u", i);
		dom_destroy(name);
	}
}

int main(int argc, char **argv)
{
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
