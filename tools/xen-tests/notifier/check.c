// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checker: subscriptions shadow page table entries while everything happens to
 * them that the kernel can do to a page table, and no valid entry of a shadow may ever
 * differ from the CPU's.
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

static int sh(const char *cmd)
{
	char out[256];
	int ret = gm_run(out, sizeof(out), GM_TIMEOUT_MS, cmd);

	if (ret)
		gm_note("%s: %d: %s", cmd, ret, out);
	return ret;
}

FIXTURE(check) {
	struct storm storm;
	int fd;
	bool swap;
	char loop[32];
	unsigned long ksm_run;
};

FIXTURE_VARIANT(check) {
	unsigned long ops;
};

FIXTURE_VARIANT_ADD(check, map) { .ops = OPS_FAULT | OPS_MAP };
FIXTURE_VARIANT_ADD(check, reclaim) { .ops = OPS_FAULT | OPS_RECLAIM };
FIXTURE_VARIANT_ADD(check, huge) { .ops = OPS_FAULT | OPS_HUGE | BIT(OP_DONTNEED) };
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
	ASSERT_EQ(0, sh(cmd));
	self->swap = true;
}

static void swap_off(META, FIXTURE_DATA(check) *self)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "swapoff %s; losetup -d %s; rm -f " SWAP_FILE,
		 self->loop, self->loop);
	EXPECT_EQ(0, sh(cmd));
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

FIXTURE_SETUP(check)
{
	self->fd = bench_open(_metadata);
	storm_prepare(_metadata, &self->storm, self->fd, variant->ops);
	ASSERT_EQ(0, bench_tune(self->fd, 0, 0, WINDOW_US));
	if (variant->ops & BIT(OP_PAGEOUT))
		swap_on(_metadata, self);
	self->ksm_run = ksm_read("run");
	if (variant->ops & BIT(OP_KSM))
		ASSERT_EQ(0, ksm_write("run", 1));
}

FIXTURE_TEARDOWN(check)
{
	if (variant->ops & BIT(OP_KSM))
		EXPECT_EQ(0, ksm_write("run", self->ksm_run));
	if (self->swap)
		swap_off(_metadata, self);
	close(self->fd);
}

/* What a part of the operations has to bring about, seen from the kernel. */
struct seen {
	const char *counter;
	enum op op;
	unsigned long before;
};

static struct seen seen[] = {
	{ "pswpout", OP_PAGEOUT, 0 },
	{ "pswpin", OP_PAGEOUT, 0 },
	{ "thp_fault_alloc", OP_HUGE, 0 },
	{ "thp_split_pmd", OP_HUGE, 0 },
	{ "thp_collapse_alloc", OP_COLLAPSE, 0 },
	{ "pgmigrate_success", OP_COMPACT, 0 },
};

#define SEEN (sizeof(seen) / sizeof(seen[0]))

static void seen_before(void)
{
	for (size_t i = 0; i < SEEN; i++)
		seen[i].before = vmstat(seen[i].counter);
}

static void expect_seen(META, struct storm *s)
{
	for (size_t i = 0; i < SEEN; i++) {
		unsigned long n = vmstat(seen[i].counter) - seen[i].before;

		if (s->ops & BIT(seen[i].op)) {
			gm_note("%s: %lu", seen[i].counter, n);
			EXPECT_NE(0, n)
				TH_LOG("%s did not happen", seen[i].counter);
		}
	}
}

/* Every kind of event that the operations cause has reached a subscription. */
static void expect_events(META, struct storm *s)
{
	struct gm_mn_stats st = bench_stats(s->fd);
	const __u64 *events = st.stat + GM_MN_EVENTS;

	EXPECT_NE(0, events[EVENT_CLEAR]);
	if (s->ops & BIT(OP_REMAP))
		EXPECT_NE(0, events[EVENT_UNMAP]);
	if (s->ops & BIT(OP_MPROTECT))
		EXPECT_NE(0, events[EVENT_PROTECTION_VMA]);
	if (s->ops & BIT(OP_FORK))
		EXPECT_NE(0, events[EVENT_PROTECTION_PAGE]);
	if (s->ops & BIT(OP_CLEAR_REFS))
		EXPECT_NE(0, events[EVENT_SOFT_DIRTY]);
}

TEST_F_TIMEOUT(check, no_shadow_is_ever_stale, 2 * LONG_SECONDS)
{
	double end = gm_now() + seconds(), progress = gm_now() + PROGRESS_S;
	struct storm *s = &self->storm;
	unsigned long shared = 0;

	seen_before();
	storm_start(_metadata, s);
	while (gm_now() < end && !bench_stat(s->fd, GM_MN_MISMATCHES)) {
		gm_sleep_ms(100);
		shared += ksm_read("pages_shared");
		if (gm_now() < progress)
			continue;
		progress += PROGRESS_S;
		gm_note("%lu entries compared, %.0f s to go",
			bench_stat(s->fd, GM_MN_COMPARED), end - gm_now());
	}
	storm_stop(_metadata, s);
	note_ops(s);
	note_stats(s->fd);

	expect_sound(_metadata, s->fd);
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_COMPARED));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_RETRIES));
	EXPECT_NE(0, bench_stat(s->fd, GM_MN_REMOVES));
	if (s->two_pass)
		EXPECT_NE(0, bench_stat(s->fd, GM_MN_FINISHES));
	for (int op = 0; op < OPS; op++) {
		EXPECT_EQ(!!(s->ops & BIT(op)), !!s->done[op])
			TH_LOG("'%s' never worked", ops[op].name);
	}
	expect_seen(_metadata, s);
	expect_events(_metadata, s);
	if (s->ops & BIT(OP_KSM))
		EXPECT_NE(0, shared) TH_LOG("no page was shared by KSM");
}

TEST_HARNESS_MAIN
