/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PV guest that writes into its own grant table (modules/gnt_evil), one for each version
 * of the table. It is started by the first test that wants it and destroyed by
 * evil_main(), after the last: whatever it does to itself, the suite's granter is not it.
 */
#ifndef EVIL_H
#define EVIL_H

#include "observe.h"

#define EVIL_VERSIONS	2
#define EVIL_FILE	"/sys/kernel/debug/gm-gnt-evil"

/* Arguments of xl */
#define EVIL_CREATE								\
	"create /gm/xl/pv.cfg 'name=\"evil-v%u\"' "				\
	"'extra=\"console=hvc0 quiet grant_table.version=%u\"'"

/* The 16-bit words of an entry; those of a transitive one are version 2's. */
enum evil_word {
	WORD_FLAGS = 0,
	WORD_DOMID = 1,
	WORD_TRANS_DOMID = 2,
	WORD_GREF_LOW = 4,
	WORD_GREF_HIGH = 5,
};

/* A domain that does not exist: behind the last that is given to guests. */
#define NO_DOMID	0x7000U

/* What there was before the test: in Xen, whatever the guest writes over it, and here. */
struct evil {
	struct granter gr;
	int active;
	struct gntdev_now now;
};

/* The domid of the guest, or -1. */
static inline int evil_find(unsigned int version)
{
	char out[64] = "";

	if (gm_xl(out, sizeof(out), "domid evil-v%u 2>/dev/null", version))
		return -1;
	return atoi(out);
}

static inline int evil_start(unsigned int version)
{
	int domid = evil_find(version);
	struct gm_guest *g = NULL;

	if (domid >= 0)
		return domid;
	if (gm_xl(NULL, 0, EVIL_CREATE, version, version))
		return -1;
	domid = evil_find(version);
	for (int tries = 0; domid >= 0 && !g && tries < 3; tries++)
		g = gm_guest_open(domid);
	if (!g)
		return -1;
	gm_guest_close(g);
	return domid;
}

/* A command for the guest's shell that has to succeed. */
static inline void evil_sh(META, struct granter *gr, const char *command)
{
	char rsp[GM_RSP_MAX] = "";

	ASSERT_EQ(0, gm_guest_cmd(gr->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "sh %s", command))
		TH_LOG("%s: %s", command, rsp);
	ASSERT_EQ(0, strncmp(rsp, "0 ", 2)) TH_LOG("%s: %s", command, rsp);
}

static inline void evil_setup(META, struct evil *evil, unsigned int version)
{
	int domid;

	debugfs_mount();
	domid = evil_start(version);
	ASSERT_LE(0, domid) TH_LOG("guest evil-v%u does not start", version);
	granter_open(_metadata, &evil->gr, domid);
	ASSERT_EQ(version, evil->gr.base.version);
	evil_sh(_metadata, &evil->gr, "modprobe gnt_evil");
	evil->active = gm_active_entries(domid);
	ASSERT_LE(0, evil->active);
	evil->now = gntdev_now();
}

/* So many entries more than before the test are in use, says Xen. */
#define EXPECT_ACTIVE(evil, count) do {						\
	int __active = (evil)->active + (count);				\
										\
	EXPECT_TRUE(gm_wait(gm_active_entries((evil)->gr.domid) == __active,	\
			    LATER_MS))						\
		TH_LOG("active entries: %d, not %d",				\
		       gm_active_entries((evil)->gr.domid), __active);		\
} while (0)

/* Nothing is left of the test: in Xen, in the guest's table, in the driver. */
static inline void evil_teardown(META, struct evil *evil)
{
	granter_teardown(_metadata, &evil->gr);
	EXPECT_ACTIVE(evil, 0);
	EXPECT_NOW(&evil->now);
}

/* "echo WORD VALUE REF..." to the guest's module, as a command of its shell */
static inline const char *evil_echo(char *cmd, size_t size, const struct gm_grant *grant,
				    enum evil_word word, unsigned int value)
{
	size_t len = snprintf(cmd, size, "echo %u %u", word, value);

	for (unsigned int i = 0; i < grant->count && len < size; i++)
		len += snprintf(cmd + len, size - len, " %u", grant->refs[i]);
	if (len < size)
		len += snprintf(cmd + len, size - len, " > " EVIL_FILE);
	return len < size ? cmd : NULL;
}

/* The guest stores @value in word @word of the entry of each grant. */
static inline void evil_write(META, struct evil *evil, const struct gm_grant *grant,
			      enum evil_word word, unsigned int value)
{
	char cmd[512];

	ASSERT_NE(NULL, evil_echo(cmd, sizeof(cmd), grant, word, value));
	evil_sh(_metadata, &evil->gr, cmd);
}

#define EVIL_FLAGS(grant, flags)						\
	evil_write(_metadata, &self->evil, grant, WORD_FLAGS, flags)

/* A copy of one page from a grant: the ioctl's errno, and the status that Xen gave. */
static inline int copy_from(int fd, uint32_t domid, uint32_t ref, void *page, int16_t *status)
{
	struct ioctl_gntdev_grant_copy_segment seg = {
		.source.foreign = { .ref = ref, .domid = domid },
		.dest.virt = page,
		.len = GM_PAGE_SIZE,
		.flags = GNTCOPY_source_gref,
		.status = 0x55,
	};
	struct ioctl_gntdev_grant_copy copy = { .count = 1, .segments = &seg };
	int err = ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &copy) ? errno : 0;

	*status = seg.status;
	return err;
}

static pid_t evil_runner;

/* At the exit of the process that runs the tests, and of none of theirs */
static inline void evil_stop(void)
{
	int left = 0;

	if (evil_runner != getpid())
		return;
	for (unsigned int version = 1; version <= EVIL_VERSIONS; version++)
		if (evil_find(version) >= 0 && gm_xl(NULL, 0, "destroy evil-v%u", version))
			left++;
	fflush(NULL);
	if (left)
		_exit(KSFT_FAIL);
}

/* main() of such a program: the guests go after the last test. */
static inline int evil_main(int argc, char **argv)
{
	int ret;

	evil_runner = getpid();
	atexit(evil_stop);
	ret = test_harness_run(argc, argv);
	/* It does not come back from a run, only when asked for a list, or for help. */
	evil_runner = 0;
	return ret;
}

#endif /* EVIL_H */
