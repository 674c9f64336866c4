/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this suite share: guests that own a GPU of the lab, or are given it and
 * have it taken away, by xl, and what they do with it (gm-gpu). The tests run in dom0.
 */
#ifndef GPU_OWNER_H
#define GPU_OWNER_H

#include <unistd.h>

#include "dom.h"
#include "gm_test.h"

/* Where the first GPU is: configs/lab/gpu-intel.conf */
#define GPU		"00:05.0"
#define GPU_SYSFS	"/sys/bus/pci/devices/0000:" GPU

/* A guest that has the GPU from the start, and one that can be given it */
#define OWNER(name_) { .name = (name_), .config = "/gm/xl/gpu-pv.cfg",	\
		       .extra = "memory=256 'pci=[\"" GPU ",permissive=1\"]'" }
#define NO_OWNER(name_) { .name = (name_), .config = "/gm/xl/gpu-pv.cfg",	\
			  .extra = "memory=256 'pci=[]' 'passthrough=\"enabled\"'" }

/* In seconds; a limit on a hang. */
#define TEST_S		(600 * gm_scale())
/* What comes soon after xl has returned, in milliseconds */
#define SOON_MS		60000

/* So that it reads as one line: the reason of a helper's failure. */
#define WHY()		TH_LOG("%s", dom_error())

#define META struct __test_metadata *_metadata

static inline int gpu_load_pciback(void)
{
	return gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe xen-pciback passthrough=1");
}

/* The driver that the GPU has in dom0; "": none */
static inline const char *gpu_driver(void)
{
	static char path[256];
	ssize_t n = readlink(GPU_SYSFS "/driver", path, sizeof(path) - 1);
	char *slash;

	path[n > 0 ? n : 0] = 0;
	slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static inline bool gpu_is_assignable(void)
{
	return !dom_xl("pci-assignable-list") && strstr(dom_xl_output(), GPU);
}

static inline void gpu_make_assignable(META)
{
	ASSERT_EQ(0, gpu_load_pciback());
	if (!gpu_is_assignable())
		ASSERT_EQ(0, dom_xl("pci-assignable-add " GPU)) WHY();
	ASSERT_TRUE(gpu_is_assignable()) TH_LOG("%s", dom_xl_output());
}

/*
 * Waits until nothing is left of a guest that had the GPU. libxl 4.17 does not find the backend
 * of a PV guest that is dead already, says so, and leaves its directory in xenstore: that
 * alone is not waited for, but removed.
 */
static inline int gpu_owner_gone(const struct dom_id *id)
{
	struct dom_state state;
	char command[96];

	snprintf(command, sizeof(command), "xenstore-rm /local/domain/0/backend/pci/%u",
		 id->domid);
	if (gm_wait(!dom_state(id->domid, &state), DOM_GONE_MS))
		gm_run(NULL, 0, GM_TIMEOUT_MS, command);
	return dom_wait_gone(id);
}

/* And all its traces; no such guest is fine. */
static inline int gpu_owner_destroy(const char *name)
{
	struct dom_id id;

	if (dom_find(name) < 0)
		return 0;
	if (dom_identify(name, &id) || dom_xl("destroy %u", id.domid))
		return -1;
	return gpu_owner_gone(&id);
}

/* Has the guest's GPU work, on memory of its own or on "DOMID REF...", until it cannot. */
static inline bool gpu_work(const char *guest, const char *on)
{
	return !dom_sh(guest, NULL, 0,
		       "gm-gpu work %s >/tmp/work 2>&1 </dev/null & echo $! >/tmp/work.pid", on) &&
	       gm_wait(!dom_sh(guest, NULL, 0, "[ -s /tmp/work ]"), SOON_MS) &&
	       !dom_sh(guest, NULL, 0, "grep -q working /tmp/work");
}

static inline bool gpu_works_still(const char *guest)
{
	return !dom_sh(guest, NULL, 0, "kill -0 $(cat /tmp/work.pid)");
}

static inline void gpu_stop_work(const char *guest)
{
	dom_sh(guest, NULL, 0, "kill -9 $(cat /tmp/work.pid)");
}

/* For a failed test: what the guest's program has said last */
static inline const char *gpu_said(const char *guest)
{
	static char text[512];

	text[0] = 0;
	dom_sh(guest, text, sizeof(text), "cat /tmp/work");
	return text;
}

#define EXPECT_GPU_WORKS(guest) do {						\
	EXPECT_TRUE(gpu_work(guest, ""))					\
		TH_LOG("%s: %s", dom_error(), gpu_said(guest));			\
	EXPECT_TRUE(gpu_works_still(guest));					\
	gpu_stop_work(guest);							\
} while (0)

#endif
