// SPDX-License-Identifier: GPL-2.0-only
/*
 * gnt_evil: lets a PV guest write what it likes into its own grant table.
 *
 * A write to /sys/kernel/debug/gm-gnt-evil,
 *
 *   WORD VALUE REF...
 *
 * stores VALUE in the 16-bit word number WORD of each entry REF, behind the back of the grant
 * table core: word 0 is the flags, word 1 the domain, and the rest depends on the version
 * of the table. Xen allows all of it: the table is the guest's memory.
 *
 * The core keeps its mapping of the table to itself. So we ask Xen for the frames once more
 * and put them where a vmalloc() area had its pages; vfree() takes the mapping down and frees
 * these pages, which it has noted elsewhere.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/xen/hypercall.h>
#include <asm/xen/page.h>
#include <xen/grant_table.h>
#include <xen/interface/grant_table.h>
#include <xen/xen.h>

/* More than a command of the agent is long. */
#define COMMAND_MAX 4096

/* The table as it was last asked for, and the lock of all these */
static DEFINE_MUTEX(lock);
static void *table;
static unsigned int table_frames;
static unsigned int entry_size;

static void table_unmap(void)
{
	vfree(table);
	table = NULL;
	table_frames = 0;
}

static int put_frames(void *addr, const xen_pfn_t *frames, unsigned int nr)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		err = HYPERVISOR_update_va_mapping((unsigned long)addr + i * PAGE_SIZE,
						   mfn_pte(frames[i], PAGE_KERNEL),
						   UVMF_INVLPG | UVMF_ALL);
		if (err)
			return err;
	}
	return 0;
}

/* All of the table: it grows while the guest grants more and more. */
static int table_map(void)
{
	struct gnttab_query_size size = { .dom = DOMID_SELF };
	struct gnttab_get_version version = { .dom = DOMID_SELF };
	struct gnttab_setup_table setup = { .dom = DOMID_SELF };
	xen_pfn_t *frames;
	int err;

	err = HYPERVISOR_grant_table_op(GNTTABOP_query_size, &size, 1);
	if (!err)
		err = HYPERVISOR_grant_table_op(GNTTABOP_get_version, &version, 1);
	if (err || size.status != GNTST_okay)
		return err ?: -EIO;
	if (size.nr_frames == table_frames)
		return 0;

	table_unmap();
	frames = kcalloc(size.nr_frames, sizeof(*frames), GFP_KERNEL);
	table = vmalloc(size.nr_frames * PAGE_SIZE);
	if (!frames || !table) {
		err = -ENOMEM;
		goto out;
	}
	setup.nr_frames = size.nr_frames;
	set_xen_guest_handle(setup.frame_list, frames);
	err = HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1);
	if (!err && setup.status != GNTST_okay)
		err = -EIO;
	if (!err)
		err = put_frames(table, frames, setup.nr_frames);
	if (!err) {
		table_frames = setup.nr_frames;
		entry_size = version.version == 2 ? sizeof(union grant_entry_v2) :
						    sizeof(struct grant_entry_v1);
	}
out:
	kfree(frames);
	if (err)
		table_unmap();
	return err;
}

/* The next number of the command: 1, 0 when there is no more, or a negative errno. */
static int next_number(char **text, u32 *number)
{
	char *word;

	do {
		word = strsep(text, "\n ");
	} while (word && !*word);
	if (!word)
		return 0;
	return kstrtou32(word, 0, number) ?: 1;
}

static int evil_command(char *text)
{
	u32 word, value, ref;
	u16 *entry;
	int ret;

	if (next_number(&text, &word) != 1 || next_number(&text, &value) != 1)
		return -EINVAL;
	ret = table_map();
	if (ret)
		return ret;
	if (word >= entry_size / sizeof(*entry) || value > U16_MAX)
		return -ERANGE;
	while ((ret = next_number(&text, &ref)) == 1) {
		if (ref >= table_frames * (PAGE_SIZE / entry_size))
			return -ERANGE;
		entry = table + (size_t)ref * entry_size;
		WRITE_ONCE(entry[word], value);
	}
	return ret;
}

static ssize_t evil_write(struct file *file, const char __user *user, size_t count,
			  loff_t *pos)
{
	char *text;
	int err;

	if (count > COMMAND_MAX)
		return -E2BIG;
	text = memdup_user_nul(user, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&lock);
	err = evil_command(text);
	mutex_unlock(&lock);
	kfree(text);
	return err ?: count;
}

static const struct file_operations evil_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = evil_write,
};

static struct dentry *evil_file;

static int __init evil_init(void)
{
	if (!xen_pv_domain())
		return -ENODEV;
	evil_file = debugfs_create_file("gm-gnt-evil", 0200, NULL, NULL, &evil_fops);
	return PTR_ERR_OR_ZERO(evil_file);
}

static void __exit evil_exit(void)
{
	debugfs_remove(evil_file);
	table_unmap();
}

module_init(evil_init);
module_exit(evil_exit);

MODULE_DESCRIPTION("A guest that rewrites its grant table, for test programs");
MODULE_LICENSE("GPL");
