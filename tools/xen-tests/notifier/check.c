// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checker: subscriptions shadow page table entries while everything happens to
 * them that the kernel can do to a page table, and no valid entry of a shadow may ever
 * differ from the CPU's. HMM is the reader, so it is checked, too: pages, permissions and
 * orders that it reports, requests that it says it has fulfilled, and that data written
 * through the frame are read through the CPU, and the other way round.
 *
 * GM_MN_SECONDS says for how long, all variants together; else a minute, or an hour
 * with GM_LONG=1.
 */
#include "storm.h"

#define SECONDS		60
#define LONG_SECONDS	3600
#define VARIANTS	4

/* A line now and then, so that nobody takes a long run for a hang. */
#define PROGRESS_S	60

/* How long at most a reader dawdles where an invalidation may overtake it, in us. */
#define WINDOW_US	300

/* So long it waits for what has not happened in that time. */
#define PATIENCE_S	120

#define SWAP_FILE	"/tmp/gm-mn-swap"
#define SWAP_MB		64

static double seconds(void)
{
	const char *s = getenv("GM_MN_SECONDS");
	const char *l = getenv("GM_LONG");
	double total = s ? atof(s) : 0;

	if (total <= 0)
		total = l && !strcmp(l, "1") ? LONG_SECONDS : SECONDS;
	return total / VARIANTS;
}

/* A counter of /proc/vmstat. */
static unsigned long vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long value = 0, v;
	char line[64];

	while (f && fscanf(f, "%63s %lu", line, &v) == 2)
		if (!strcmp(line, name))
			value = v;
	if (f)
		fclose(f);
	return value;
}

FIXTURE(check) {
	struct storm storm;
	int fd;
	bool swap;
	char loop[32];
	unsigned long ksm_run;
	bool folios;
};

FIXTURE_VARIANT(check) {
	unsigned long ops;
	bool only_huge;
};

FIXTURE_VARIANT_ADD(check, map) { .ops = OPS_FAULT | OPS_MAP };
FIXTURE_VARIANT_ADD(check, reclaim) { .ops = OPS_FAULT | OPS_RECLAIM };
FIXTURE_VARIANT_ADD(check, huge) {
	.ops = OPS_FAULT | OPS_HUGE | BIT(OP_DONTNEED), .only_huge = true,
};
FIXTURE_VARIANT_ADD(check, everything) { .ops = OPS_ALL };

/* Swap needs a block device, and tmpfs is none: a loop device over a file there. */
static void swap_on(META, FIXTURE_DATA(check) *self)
{
	char cmd[256];

	ASSERT_EQ(0, gm_run(self->loop, sizeof(self->loop), GM_TIMEOUT_MS, "losetup -f"));
	self->loop[strcspn(self->loop, "\n")] = '\0';
	snprintf(cmd, sizeof(cmd),
		 "truncate -s %dM " SWAP_FILE " && chmod 600 " SWAP_FILE " && "
		 "losetup %s " SWAP_FILE " && mkswap %s && swapon %s",
		 SWAP_MB, self->loop, self->loop, self->loop);
	ASSERT_EQ(0, gm_sh(cmd));
	self->swap = true;
}

static void swap_off(META, FIXTURE_DATA(check) *self)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "swapoff %s; losetup -d %s; rm -f " SWAP_FILE,
		 self->loop, self->loop);
	EXPECT_EQ(0, gm_sh(cmd));
}

static int ksm_write(const char *name, unsigned long value)
{
	char path[64];
	int ret;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	ret = fprintf(f, "%lu\n", value) < 0;
	return fclose(f) || ret;
}

static unsigned long ksm_read(const char *name)
{
	unsigned long value = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
	f = fopen(path, "re");
	if (f && fscanf(f, "%lu", &value) != 1)
		value = 0;
	if (f)
		fclose(f);
	return value;
}

/* Anonymous memory in folios of 64 KiB, mapped by PTEs: blocks of less than a PMD. */
#define FOLIOS "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled"

static bool folios(bool on)
{
	FILE *f = fopen(FOLIOS, "we");
	bool ok;

	if (!f)
		return false;
	ok = fputs(on ? "always" : "never", f) >= 0;
	return !fclose(f) && ok;
}

FIXTURE_SETUP(check)
{
	unsigned long which = variant->ops;

	self->fd = bench_open(_metadata);
	/* A PV domain has no huge pages. */
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		which &= ~OPS_HUGE;
	storm_prepare(_metadata, &self->storm, self->fd, which);
	ASSERT_EQ(0, bench_tune(self->fd, 0, 0, WINDOW_US));
	if (variant->ops & BIT(OP_PAGEOUT))
		swap_on(_metadata, self);
	if (variant->ops & OPS_HUGE)
		self->folios = folios(true);
	self->ksm_run = ksm_read("run");
	if (variant->ops & BIT(OP_KSM))
		ASSERT_EQ(0, ksm_write("run", 1));
}

FIXTURE_TEARDOWN(check)
{
	if (variant->ops & BIT(OP_KSM))
		EXPECT_EQ(0, ksm_write("run", self->ksm_run));
	if (self->folios)
		EXPECT_TRUE(folios(false));
	if (self->swap)
		swap_off(_metadata, self);
	bench_close(_metadata, self->fd);
}

/* What a part of the operations has to bring about, seen from the kernel. */
struct seen {
	const char *counter;
	enum op op;
	unsigned long before;
};

static struct seen seen[] = {
	{ "pswpout", OP_PAGEOUT, 0 },
	{ "thp_fault_alloc", OP_HUGE, 0 },
	{ "thp_split_pmd", OP_HUGE, 0 },
	{ "thp_collapse_alloc", OP_COLLAPSE, 0 },
	{ "pgmigrate_success", OP_COMPACT, 0 },
};

#define SEEN (sizeof(seen) / sizeof(seen[0]))

/* And what subscriptions have to be told. */
static const struct {
	enum op op;
	unsigned int event;
} told[] = {
	{ OP_WRITE, EVENT_CLEAR },
	{ OP_REMAP, EVENT_UNMAP },
	{ OP_MPROTECT, EVENT_PROTECTION_VMA },
	{ OP_FORK, EVENT_PROTECTION_PAGE },
	{ OP_CLEAR_REFS, EVENT_SOFT_DIRTY },
};

static void seen_before(void)
{
	for (size_t i = 0; i < SEEN; i++)
		seen[i].before = vmstat(seen[i].counter);
}

/* Has everything happened that the variant is about? @tell: say what has not. */
static bool all_happened(struct storm *s, bool tell)
{
	struct gm_mn_stats st = bench_stats(s->fd);
	bool all = true;

	for (int op = 0; op < OPS; op++) {
		if (!(s->ops & BIT(op)) || s->done[op])
			continue;
		all = false;
		if (tell)
			gm_note("'%s' never worked", ops[op].name);
	}
	for (size_t i = 0; i < SEEN; i++) {
		if (!(s->ops & BIT(seen[i].op)) ||
		    vmstat(seen[i].counter) != seen[i].before)
			continue;
		all = false;
		if (tell)
			gm_note("'%s' brought about no %s", ops[seen[i].op].name,
				seen[i].counter);
	}
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (!(s->ops & BIT(told[i].op)) ||
		    st.stat[GM_MN_EVENTS + told[i].event])
			continue;
		all = false;
		if (tell)
			gm_note("no subscription was told of an event '%s'",
				event_names[told[i].event]);
	}
	return all;
}

static void note_seen(struct storm *s)
{
	for (size_t i = 0; i < SEEN; i++)
		if (s->ops & BIT(seen[i].op))
			gm_note("%s: %lu", seen[i].counter,
				vmstat(seen[i].counter) - seen[i].before);
}

TEST_F_TIMEOUT(check, no_shadow_is_ever_stale, 2 * LONG_SECONDS)
{
	double start = gm_now(), end = start + seconds();
	double give_up = end + gm_scale() * PATIENCE_S;
	double progress = start + PROGRESS_S;
	struct storm *s = &self->storm;
	unsigned long shared = 0;

	if (variant->only_huge && !(s->ops & OPS_HUGE))
		SKIP(return, "this machine has no huge pages");
	seen_before();
	storm_start(_metadata, s);
	/* Longer, if this machine is so busy that not everything has happened yet. */
	while (!bench_stat(s->fd, GM_MN_MISMATCHES) &&
	       (gm_now() < end || (gm_now() < give_up && !all_happened(s, false)))) {
		gm_sleep_ms(100);
		shared += ksm_read("pages_shared");
		if (gm_now() < progress)
			continue;
		progress += PROGRESS_S;
		gm_note("%lu entries compared after %.0f s",
			bench_stat(s->fd, GM_MN_COMPARED), gm_now() - start);
	}
	storm_stop(_metadata, s);
	note_ops(s);
	note_stats(s->fd);

	expect_sound(_metadata, s->fd);
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_COMPARED));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_RETRIES));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_REMOVES));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_WORDS));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_ANSWERED));
	if (s->ops & OPS_HUGE)
		EXPECT_NE(0, bench_stat(s->fd, GM_MN_BLOCKS));
	if (bench_has_unlocked(s->fd))
		EXPECT_NE(0, bench_stat(s->fd, GM_MN_UNLOCKED));
	if (s->two_pass)
		EXPECT_NE(0, bench_stat(s->fd, GM_MN_FINISHES));
	note_seen(s);
	EXPECT_TRUE(all_happened(s, true));
	if (s->ops & BIT(OP_KSM))
		EXPECT_NE(0, shared) TH_LOG("no page was shared by KSM");
}

TEST_HARNESS_MAIN
