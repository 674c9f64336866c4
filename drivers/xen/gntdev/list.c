// SPDX-License-Identifier: GPL-2.0-only
/*
 * All that there is, in debugfs/xen/gntdev, under a line that names the columns:
 *
 *   maps      a line for each map: who holds whose memory
 *   files     a line for each file: what has been done for it (tally.c)
 *   deferred  a line for each map with busy pages: that which has waited longest, and what
 *             the kernel knows of who holds it
 *
 * A map is shown as long as it exists, which may be longer than it can be reached through its
 * file: an mmapped one after UNMAP_GRANT_REF ("removed"), and one with a busy page when the
 * file has been closed, or its process has died ("closed"; an mmapped map keeps its file
 * open). So the object that stands for the file lives until the last of its maps has gone.
 *
 * Locks: files_lock protects the list of files and is outside of gntdev_file.lock, which
 * protects a file's list of maps. Nothing that maps or unmaps takes files_lock.
 */
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "gntdev.h"

/* Domains of one map that are named; there is hardly ever more than one. */
#define DOMIDS_SHOWN 4

static DEFINE_MUTEX(files_lock);
static LIST_HEAD(files);
static unsigned int files_made;

/**
 * gntdev_list_file() - Show a file that the current process has just opened
 * @file: new file; its maps are shown from now on
 */
void gntdev_list_file(struct gntdev_file *file)
{
	refcount_set(&file->users, 1);
	INIT_LIST_HEAD(&file->all_maps);
	file->pid = task_tgid_nr(current);
	get_task_comm(file->comm, current);

	mutex_lock(&files_lock);
	file->number = ++files_made;
	list_add_tail(&file->in_files, &files);
	mutex_unlock(&files_lock);
}

/**
 * gntdev_file_get() - Take a reference on a file
 * @file: open file
 */
void gntdev_file_get(struct gntdev_file *file)
{
	refcount_inc(&file->users);
}

/**
 * gntdev_file_put() - Drop a reference on a file: the descriptor's, or a map's
 * @file: file; freed with the last one
 */
void gntdev_file_put(struct gntdev_file *file)
{
	if (!refcount_dec_and_test(&file->users))
		return;
	mutex_lock(&files_lock);
	list_del(&file->in_files);
	mutex_unlock(&files_lock);
	kfree(file);
}

/**
 * gntdev_list_map() - Show a map
 * @file: its file, locked
 * @map: new map, at its place in @file
 */
void gntdev_list_map(struct gntdev_file *file, struct gntdev_map *map)
{
	lockdep_assert_held(&file->lock);
	map->made = jiffies;
	list_add_tail(&map->in_file, &file->all_maps);
}

/**
 * gntdev_unlist_map() - Show a map no longer, if it ever was, and drop its file
 * @map: map that is about to be freed
 *
 * Context: sleeps; the file is not locked.
 */
void gntdev_unlist_map(struct gntdev_map *map)
{
	struct gntdev_file *file = map->file;

	if (!file)
		return;
	if (!list_empty(&map->in_file)) {
		mutex_lock(&file->lock);
		list_del(&map->in_file);
		mutex_unlock(&file->lock);
	}
	gntdev_file_put(file);
}

/* Who has opened it. */
static void show_file(struct seq_file *m, const struct gntdev_file *file)
{
	const char *comm = *file->comm ? file->comm : "-";

	seq_printf(m, "%d ", file->pid);
	/* One word of ASCII, whatever a process calls itself */
	seq_escape_mem(m, comm, strlen(comm), ESCAPE_OCTAL | ESCAPE_NAP | ESCAPE_APPEND, " \\");
	seq_printf(m, " %u", file->number);
}

static const char *map_state(struct gntdev_map *map)
{
	if (map->file->closed)
		return "closed";
	return mtree_load(&map->file->maps, map->index) == map ? "open" : "removed";
}

static void show_domids(struct seq_file *m, const struct gntdev_map *map)
{
	domid_t shown[DOMIDS_SHOWN];
	unsigned int i, j, n = 0;

	for (i = 0; i < map->count && n < DOMIDS_SHOWN; i++) {
		for (j = 0; j < n && shown[j] != map->grants[i].domid; j++)
			;
		if (j < n)
			continue;
		shown[n++] = map->grants[i].domid;
		seq_printf(m, "%s%u", n > 1 ? "," : " ", map->grants[i].domid);
	}
}

static void show_map(struct seq_file *m, struct gntdev_map *map)
{
	unsigned int live, claimed, deferred;

	show_file(m, map->file);
	seq_printf(m, " %s 0x%llx %u", map_state(map),
		   (u64)map->index << PAGE_SHIFT, map->count);
	show_domids(m, map);
	spin_lock(&map->user_lock);
	live = map->live;
	claimed = map->claimed;
	deferred = map->deferred;
	spin_unlock(&map->user_lock);
	seq_printf(m, " %u %u %u %u\n", live, claimed, deferred,
		   jiffies_to_msecs(jiffies - map->made));
}

/*
 * The grant that has waited longest, and its age in ms, or -1 if that is not known: there was
 * no memory to note it. Returns false if none waits any more.
 */
static bool longest_wait(struct gntdev_map *map, unsigned int *grant, long *age_ms)
{
	unsigned long i, age, longest = 0;
	void *since;

	*age_ms = -1;
	xa_for_each(&map->waits, i, since) {
		age = (jiffies - xa_to_value(since)) & LONG_MAX;
		if (*age_ms < 0 || age > longest) {
			longest = age;
			*grant = i;
			*age_ms = jiffies_to_msecs(age);
		}
		cond_resched();
	}
	for (i = 0; *age_ms < 0 && i < map->count; i++) {
		if (READ_ONCE(map->grants[i].flags) & GRANT_DROP) {
			*grant = i;
			return true;
		}
	}
	return *age_ms >= 0;
}

/*
 * Nothing in the kernel says who has a reference on a page. But of what kind it is can be told:
 * by a page table, by a pin, or else. All is read without the map's locks, so a page that is
 * given back just now may be named, and no longer be counted.
 */
static void show_deferred(struct seq_file *m, struct gntdev_map *map)
{
	const struct gntdev_grant *grant;
	struct folio *folio;
	unsigned int i;
	long age_ms;

	if (!READ_ONCE(map->deferred) || !longest_wait(map, &i, &age_ms))
		return;
	/* The page is this map's while there is the map, whoever else has it, too. */
	grant = &map->grants[i];
	folio = page_folio(grant->page);
	show_file(m, map->file);
	seq_printf(m, " %s %u %u %u %d %d %d %ld\n", map_state(map), grant->domid,
		   grant->ref, READ_ONCE(map->deferred), folio_ref_count(folio),
		   folio_mapcount(folio), folio_maybe_dma_pinned(folio), age_ms);
}

static void *files_start(struct seq_file *m, loff_t *pos)
{
	mutex_lock(&files_lock);
	return seq_list_start_head(&files, *pos);
}

static void *files_next(struct seq_file *m, void *v, loff_t *pos)
{
	return seq_list_next(v, &files, pos);
}

static void files_stop(struct seq_file *m, void *v)
{
	mutex_unlock(&files_lock);
}

static int maps_show(struct seq_file *m, void *v)
{
	struct gntdev_file *file;
	struct gntdev_map *map;

	if (v == &files) {
		seq_puts(m, "pid comm file state offset count domids kernel_side user_side deferred age_ms\n");
		return 0;
	}
	file = list_entry(v, struct gntdev_file, in_files);
	mutex_lock(&file->lock);
	list_for_each_entry(map, &file->all_maps, in_file) {
		show_map(m, map);
		if (seq_has_overflowed(m))
			break;
	}
	mutex_unlock(&file->lock);
	return 0;
}

static int files_show(struct seq_file *m, void *v)
{
	struct gntdev_file *file;

	if (v == &files) {
		seq_puts(m, "pid comm file state " GNTDEV_TALLY_COLUMNS "\n");
		return 0;
	}
	file = list_entry(v, struct gntdev_file, in_files);
	show_file(m, file);
	seq_puts(m, READ_ONCE(file->closed) ? " closed" : " open");
	gntdev_tallies_show(m, &file->tallies);
	return 0;
}

static int deferred_show(struct seq_file *m, void *v)
{
	struct gntdev_file *file;
	struct gntdev_map *map;

	if (v == &files) {
		seq_puts(m, "pid comm file state domid ref deferred page_refs mapcount pinned age_ms\n");
		return 0;
	}
	file = list_entry(v, struct gntdev_file, in_files);
	mutex_lock(&file->lock);
	list_for_each_entry(map, &file->all_maps, in_file) {
		show_deferred(m, map);
		if (seq_has_overflowed(m))
			break;
	}
	mutex_unlock(&file->lock);
	return 0;
}

#define SEQ_OF_FILES(name)						\
	static const struct seq_operations name##_sops = {		\
		.start = files_start,					\
		.next = files_next,					\
		.stop = files_stop,					\
		.show = name##_show,					\
	};								\
	DEFINE_SEQ_ATTRIBUTE(name)

SEQ_OF_FILES(maps);
SEQ_OF_FILES(files);
SEQ_OF_FILES(deferred);

/**
 * gntdev_list_init() - Create the files in debugfs
 * @dir: the driver's directory there, whose removal takes them away again
 */
void gntdev_list_init(struct dentry *dir)
{
	debugfs_create_file("maps", 0400, dir, NULL, &maps_fops);
	debugfs_create_file("files", 0400, dir, NULL, &files_fops);
	debugfs_create_file("deferred", 0400, dir, NULL, &deferred_fops);
}
