// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the grant device, in debugfs/xen/gntdev/stats: one line a counter,
 * "name value".
 *
 * The first ones are current values: on an idle machine each of them says whether
 * something is left behind. Those that begin with total_ only grow, from when the module
 * was loaded. They are kept for each processor by itself, so that counting costs no more
 * than an addition; the sums are exact when nothing happens while they are read. So, when
 * all is quiet:
 *
 *   kernel_side = total_mapped_kernel - total_unmapped_kernel - what was leaked of it
 *   deferred    = total_deferred - total_undeferred
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "gntdev.h"

struct gntdev_stats gntdev_stats;
DEFINE_PER_CPU(struct gntdev_totals, gntdev_totals);

static struct dentry *gntdev_debugfs;

static const char *const total_names[GNTDEV_NR_TOTALS] = {
	[TOTAL_MAPS] = "maps",
	[TOTAL_HYPERCALLS] = "hypercalls",
	[TOTAL_MAPPED_KERNEL] = "mapped_kernel",
	[TOTAL_MAPPED_USER] = "mapped_user",
	[TOTAL_UNMAPPED_KERNEL] = "unmapped_kernel",
	[TOTAL_UNMAPPED_USER] = "unmapped_user",
	[TOTAL_DEFERRED] = "deferred",
	[TOTAL_UNDEFERRED] = "undeferred",
	[TOTAL_COPIED] = "copied",
	[TOTAL_ERRORS] = "errors",
};

static unsigned long total(enum gntdev_total what)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(gntdev_totals, cpu).n[what]);
	return sum;
}

static int stats_show(struct seq_file *m, void *unused)
{
	enum gntdev_total i;

	seq_printf(m, "maps %ld\n", atomic_long_read(&gntdev_stats.maps));
	seq_printf(m, "kernel_side %ld\n",
		   atomic_long_read(&gntdev_stats.kernel_side));
	seq_printf(m, "user_side %ld\n",
		   atomic_long_read(&gntdev_stats.user_side));
	seq_printf(m, "deferred %ld\n",
		   atomic_long_read(&gntdev_stats.deferred));
	seq_printf(m, "leaked %ld\n", atomic_long_read(&gntdev_stats.leaked));
	for (i = 0; i < GNTDEV_NR_TOTALS; i++)
		seq_printf(m, "total_%s %lu\n", total_names[i], total(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

void gntdev_stats_init(void)
{
	struct dentry *xen = debugfs_lookup("xen", NULL);
	bool found = !IS_ERR_OR_NULL(xen);

	/* The directory is shared with the rest of Xen's code, and left behind. */
	if (!found)
		xen = debugfs_create_dir("xen", NULL);
	gntdev_debugfs = debugfs_create_dir("gntdev", xen);
	debugfs_create_file("stats", 0400, gntdev_debugfs, NULL, &stats_fops);
	gntdev_list_init(gntdev_debugfs);
	gntdev_tally_init(gntdev_debugfs);
	gntdev_hv_init(gntdev_debugfs);
	if (found)
		dput(xen);
}

void gntdev_stats_exit(void)
{
	debugfs_remove(gntdev_debugfs);
}
