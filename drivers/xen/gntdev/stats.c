// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the grant device, in debugfs/xen/gntdev/stats.
 *
 * Current values, not totals: on an idle machine each of them says whether
 * something is left behind. One line a counter, "name value".
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "gntdev.h"

struct gntdev_stats gntdev_stats;

static struct dentry *gntdev_debugfs;

static int stats_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "maps %ld\n", atomic_long_read(&gntdev_stats.maps));
	seq_printf(m, "kernel_side %ld\n",
		   atomic_long_read(&gntdev_stats.kernel_side));
	seq_printf(m, "user_side %ld\n",
		   atomic_long_read(&gntdev_stats.user_side));
	seq_printf(m, "deferred %ld\n",
		   atomic_long_read(&gntdev_stats.deferred));
	seq_printf(m, "leaked %ld\n", atomic_long_read(&gntdev_stats.leaked));
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
	if (found)
		dput(xen);
}

void gntdev_stats_exit(void)
{
	debugfs_remove(gntdev_debugfs);
}
