// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much is mapped, unmapped and copied for each open file, and of each domain: what
 * rates are made of.
 *
 * stats.c counts for the machine. Here the same operations are counted twice more, where
 * they belong: in the file, and in a table of domains, debugfs/xen/gntdev/domains. A loop over
 * the operations of a hypercall collects those that are alike in a gntdev_tally_run, so that
 * shared memory is written once for a hypercall, not once for a grant.
 *
 * The table
 * =========
 *
 * A driver is not told when a domain ends, and domids go up for ever. So the table has a
 * fixed size, no memory is ever allocated, and the domain that nothing has been done for
 * longest makes room. It is as a processor's cache: a domid has WAYS places. Domains that
 * run together mostly have domids in a row, and these are spread over all SETS.
 *
 * A domain comes in with the first operation that Xen has done on a grant of it. Refused
 * ones are counted, but are not enough: a program that makes domids up would push the real
 * ones out.
 *
 * Counting takes no lock. Entering does, rarely. If a domain is pushed out just when
 * somebody else adds to it, that goes to the one that came in.
 */
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/seq_file.h>

#include "gntdev.h"

#define SETS 32U
#define WAYS 8U

/**
 * struct domain_tally - what has been done with grants of a domain
 * @key: its domid and 1; 0: a free place
 * @used: when something was added last, in jiffies
 * @tallies: since it came in
 */
struct domain_tally {
	u32 key;
	unsigned long used;
	struct gntdev_tallies tallies;
} ____cacheline_aligned;

static struct domain_tally domains[SETS][WAYS];
static DEFINE_SPINLOCK(domains_lock); /* innermost; who is in the table */

static struct domain_tally *domain_find(domid_t domid)
{
	struct domain_tally *set = domains[domid % SETS];
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		/* Pairs with domain_enter(). */
		if (smp_load_acquire(&set[i].key) == domid + 1U)
			return &set[i];
	}
	return NULL;
}

/* The place that is free, or has not been used for longest. */
static struct domain_tally *domain_victim(struct domain_tally *set)
{
	struct domain_tally *victim = set;
	unsigned int i;

	for (i = 0; i < WAYS; i++) {
		if (!set[i].key)
			return &set[i];
		if (time_before(READ_ONCE(set[i].used), READ_ONCE(victim->used)))
			victim = &set[i];
	}
	return victim;
}

static struct domain_tally *domain_enter(domid_t domid)
{
	struct domain_tally *domain;
	unsigned int i;

	spin_lock(&domains_lock);
	domain = domain_find(domid);
	if (!domain) {
		domain = domain_victim(domains[domid % SETS]);
		WRITE_ONCE(domain->key, 0);
		for (i = 0; i < GNTDEV_NR_TALLIES; i++)
			atomic_long_set(&domain->tallies.n[i], 0);
		WRITE_ONCE(domain->used, jiffies);
		/* Who finds it sees it empty. */
		smp_store_release(&domain->key, domid + 1U);
	}
	spin_unlock(&domains_lock);
	return domain;
}

/**
 * gntdev_tally_end() - Add what a run has collected
 * @run: run; it is empty then, and can go on
 *
 * Context: does not sleep; any lock of this driver may be held.
 */
void gntdev_tally_end(struct gntdev_tally_run *run)
{
	struct domain_tally *domain;

	if (!run->n)
		return;
	if (run->file)
		atomic_long_add(run->n, &run->file->tallies.n[run->what]);
	domain = domain_find(run->domid);
	if (!domain && run->what != TALLY_ERRORS)
		domain = domain_enter(run->domid);
	if (domain) {
		atomic_long_add(run->n, &domain->tallies.n[run->what]);
		WRITE_ONCE(domain->used, jiffies);
	}
	run->n = 0;
}

/**
 * gntdev_tallies_show() - Print tallies, in the order of their enum, and end the line
 * @m: where to
 * @tallies: tallies
 */
void gntdev_tallies_show(struct seq_file *m, const struct gntdev_tallies *tallies)
{
	unsigned int i;

	for (i = 0; i < GNTDEV_NR_TALLIES; i++)
		seq_printf(m, " %ld", atomic_long_read(&tallies->n[i]));
	seq_putc(m, '\n');
}

static int domains_show(struct seq_file *m, void *unused)
{
	const struct domain_tally *domain = &domains[0][0];
	unsigned int i;
	u32 key;

	seq_puts(m, "domid " GNTDEV_TALLY_COLUMNS "\n");
	for (i = 0; i < SETS * WAYS; i++, domain++) {
		/* Pairs with domain_enter(). */
		key = smp_load_acquire(&domain->key);
		if (!key)
			continue;
		seq_printf(m, "%u", key - 1);
		gntdev_tallies_show(m, &domain->tallies);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(domains);

/**
 * gntdev_tally_init() - Create the file in debugfs
 * @dir: the driver's directory there, whose removal takes it away again
 */
void gntdev_tally_init(struct dentry *dir)
{
	debugfs_create_file("domains", 0400, dir, NULL, &domains_fops);
}
