// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is wrong after a program: the process that does not end, the kernel's own complaints
 * (lockdep, DEBUG_VM, KFENCE, ...), the target's, and now and then what kmemleak has found.
 * A kernel that panics says so on the console, and nobody is left here to say anything.
 */
#include <string.h>

#include "fuzz.h"

static const char *const faults[] = {
	"failslab", "fail_page_alloc", "xen/gntdev/fail_map", "xen/gntdev/fail_unmap",
	"xen/gntdev/fail_copy",
};

static int kmsg;
static int lost;

static void set_fault(const char *fault, const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", fault, name);
	gm_write_file(path, value);
}

/* What fails when it is asked to: allocations that may sleep, too, and without a stack dump */
int judge_init(void)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		set_fault(faults[i], "verbose", "0");
		set_fault(faults[i], "ignore-gfp-wait", "N");
		set_fault(faults[i], "min-order", "0");
	}
	lost = gm_kmemleak();
	kmsg = gm_kmsg_open();
	return kmsg < 0 || lost < 0 ? -1 : 0;
}

const char *judge(enum fz_end end, bool thorough)
{
	static char why[2048 + 64];
	char line[2048];
	const char *said = NULL;
	int n;

	if (end == FZ_STUCK) {
		/* Where everybody is, for the log. */
		gm_write_file("/proc/sysrq-trigger", "w");
		return "a process cannot be killed (the console says where it is)";
	}
	if (fz_target->wrong)
		said = fz_target->wrong(thorough);
	if (!said && fz_verdict[0])
		said = fz_verdict;
	if (said) {
		snprintf(why, sizeof(why), "%s", said);
		return why;
	}
	if (gm_kmsg_complaint(kmsg, line, sizeof(line))) {
		/* "level,seq,time,flags;text", and its properties in lines of their own */
		said = strchr(line, ';') ? strchr(line, ';') + 1 : line;
		snprintf(why, sizeof(why), "the kernel: %.*s", (int)strcspn(said, "\n"), said);
		return why;
	}
	n = thorough ? gm_kmemleak() : lost;
	if (n != lost) {
		gm_run(NULL, 0, GM_TIMEOUT_MS, "cat /sys/kernel/debug/kmemleak >/dev/console");
		snprintf(why, sizeof(why), "kmemleak: %d objects lost, before: %d", n, lost);
		return why;
	}
	return NULL;
}
