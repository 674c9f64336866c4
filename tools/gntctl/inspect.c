// SPDX-License-Identifier: GPL-2.0-only
/* Commands that only look. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>

#include "gm.h"
#include "gntctl.h"
#include "gntview.h"
#include "handles.h"

/* Domains that are looked at: more than any host has. */
#define MAX_DOMAINS 1024

static int no_view(const char *dir, int err)
{
	char why[512];

	fprintf(stderr, "gntctl: %s\n", gv_why(dir, err, why, sizeof(why)));
	return 1;
}

/* What there was, read at some time between the two (milliseconds) */
struct look {
	struct gv_view view;
	long long before, after;
};

/* The driver counts a map's age in ticks; the slowest kernel has 100 a second. */
#define TICKS_MS 20

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static int look_take(const char *dir, struct look *look)
{
	int ret;

	look->before = now_ms();
	ret = gv_read(dir, &look->view);
	look->after = now_ms();
	return ret;
}

/* How badly is @b, seen @lapse ms after @a, the same map? Negative: it has been made since. */
static long long misfit(const struct gv_map *a, const struct gv_map *b, long long lapse)
{
	long long ms = (long long)b->age_ms - a->age_ms - lapse;

	if (a->file != b->file || a->offset != b->offset || a->count != b->count || ms < -TICKS_MS)
		return -1;
	return llabs(ms);
}

/* What @was has become, or NULL */
static const struct gv_map *later(const struct look *new, const struct gv_map *was,
				  long long lapse)
{
	const struct gv_map *best = NULL;
	long long least = 0, fit;

	for (size_t i = 0; i < new->view.nr_maps; i++) {
		fit = misfit(was, &new->view.maps[i], lapse);
		if (fit < 0 || (best && fit >= least))
			continue;
		best = &new->view.maps[i];
		least = fit;
	}
	return best;
}

/* What @is has been, or NULL */
static const struct gv_map *earlier(const struct look *old, const struct gv_map *is,
				    long long lapse)
{
	const struct gv_map *best = NULL;
	long long least = 0, fit;

	for (size_t i = 0; i < old->view.nr_maps; i++) {
		fit = misfit(&old->view.maps[i], is, lapse);
		if (fit < 0 || (best && fit >= least))
			continue;
		best = &old->view.maps[i];
		least = fit;
	}
	return best;
}

static void print_map(char sign, const struct gv_map *map)
{
	printf("%c %d %s domain %s: file %u offset 0x%llx, %u grants, user %u kernel %u deferred %u, %s\n",
	       sign, map->pid, map->comm, map->domids, map->file, map->offset, map->count,
	       map->user, map->kernel, map->deferred, map->state);
}

static bool same(const struct gv_map *a, const struct gv_map *b)
{
	return a->user == b->user && a->kernel == b->kernel && a->deferred == b->deferred &&
	       !strcmp(a->state, b->state);
}

/*
 * A file and an offset do not name a map: the driver gives the offset of one that has been
 * unmapped to the next, even while the first is still mmapped. So a map is the one of the look
 * before only if its age says so, and no other fits better.
 */
static void print_changes(const struct look *old, const struct look *new)
{
	long long lapse = new->before - old->after;
	const struct gv_map *map;

	for (size_t i = 0; i < old->view.nr_maps; i++) {
		map = later(new, &old->view.maps[i], lapse);
		if (!map || earlier(old, map, lapse) != &old->view.maps[i])
			print_map('-', &old->view.maps[i]);
	}
	for (size_t i = 0; i < new->view.nr_maps; i++) {
		map = earlier(old, &new->view.maps[i], lapse);
		if (!map || later(new, map, lapse) != &new->view.maps[i])
			print_map('+', &new->view.maps[i]);
		else if (!same(map, &new->view.maps[i]))
			print_map('~', &new->view.maps[i]);
	}
	fflush(stdout);
}

int cmd_watch(int argc, char **argv)
{
	unsigned long wait = 1, count = 0;
	struct look old = { 0 }, new;
	const char *dir = GV_DIR;
	int c, ret;

	while ((c = getopt(argc, argv, "i:n:r:")) != -1) {
		if (c == 'i')
			wait = gntctl_number(optarg, 3600, "-i");
		else if (c == 'n')
			count = gntctl_number(optarg, 1000000000, "-n");
		else if (c == 'r')
			dir = optarg;
		else
			return EXIT_USE;
	}
	for (unsigned long n = 0; !count || n < count; n++) {
		if (n)
			sleep(wait ?: 1);
		ret = look_take(dir, &new);
		if (ret) {
			gv_free(&old.view);
			return no_view(dir, ret);
		}
		print_changes(&old, &new);
		gv_free(&old.view);
		old = new;
	}
	gv_free(&old.view);
	return 0;
}

static void print_parameter(const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/sys/module/xen_gntdev/parameters/%s", name);
	if (gm_read_file(path, text, sizeof(text)) > 0)
		printf("%-24s %.*s\n", name, (int)strcspn(text, "\n"), text);
}

int cmd_limits(int argc, char **argv)
{
	struct gntdev_query q;
	int ret;

	(void)argc;
	(void)argv;
	print_parameter("limit");
	print_parameter("limit_user");
	ret = gntdev_query(&q);
	if (ret)
		return gntctl_fail_open("/dev/xen/gntdev", -ret);
	printf("%-24s %u of %u pages\n", "own grant table", q.gnttab_frames, q.gnttab_max_frames);
	printf("%-24s %llu (Xen does not say how many are left)\n", "handles in use",
	       (unsigned long long)q.all_handles);
	printf("%-24s %llu\n", "deferred", (unsigned long long)q.all_deferred);
	printf("%-24s %llu\n", "leaked", (unsigned long long)q.all_leaked);
	return 0;
}

/* ---- leaks ---- */

/*
 * The most of a domain's grants that the driver can have mapped: a grant may have one side or
 * both, which the sums do not say. A map with grants of several domains counts for each.
 */
static unsigned int held(const struct gv_view *view, unsigned int domid)
{
	unsigned int most = 0;

	for (size_t i = 0; i < view->nr_maps; i++) {
		const struct gv_map *m = &view->maps[i];
		unsigned int both = m->user + m->kernel;

		if (gv_map_has_domid(m, domid))
			most += both < m->count ? both : m->count;
	}
	return most;
}

/* Maps that outlived their file: nobody can unmap them, they wait for a busy page. */
static int print_orphans(const struct gv_view *view)
{
	int n = 0;

	for (size_t i = 0; i < view->nr_maps; i++) {
		const struct gv_map *m = &view->maps[i];

		if (strcmp(m->state, "closed"))
			continue;
		print_map('!', m);
		n++;
	}
	return n;
}

static int not_dom0(void)
{
	fprintf(stderr, "gntctl: Xen does not say which domains there are: %s. Are you root in dom0?\n",
		strerror(errno));
	return 1;
}

static int compare_domains(const struct gv_view *view)
{
	static xc_domaininfo_t info[MAX_DOMAINS];
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int n;

	if (!xch)
		return not_dom0();
	n = xc_domain_getinfolist(xch, 1, MAX_DOMAINS, info);
	xc_interface_close(xch);
	if (n < 0)
		return not_dom0();
	printf("%6s %8s %8s %8s %8s\n", "DOMAIN", "GRANTED", "IN-USE", "HERE", "OTHERS");
	for (int i = 0; i < n; i++) {
		unsigned int here = held(view, info[i].domain);
		struct gm_gnttab gt;
		int ret = gm_gnttab_read(info[i].domain, &gt);

		if (ret) {
			printf("%6u its table cannot be read: %s\n", info[i].domain, strerror(-ret));
			continue;
		}
		printf("%6u %8u %8u %8u %8d\n", info[i].domain, gt.granted, gt.in_use, here,
		       gt.in_use > here ? (int)(gt.in_use - here) : 0);
	}
	return 0;
}

/*
 * Others: drivers of the kernel (block, network), other domains. That is no leak; what is,
 * or may be, are pages that Xen would not let go of and maps that nobody can unmap any more.
 */
int cmd_leaks(int argc, char **argv)
{
	struct gv_view view;
	int ret = gv_read(GV_DIR, &view), orphans;

	(void)argc;
	(void)argv;
	if (ret)
		return no_view(GV_DIR, ret);
	ret = compare_domains(&view);
	orphans = print_orphans(&view);
	printf("%lld pages that Xen would not let go of, %d maps without a file\n",
	       view.stats.value[GV_LEAKED], orphans);
	if (view.stats.value[GV_LEAKED] || orphans)
		ret = 1;
	gv_free(&view);
	return ret;
}
