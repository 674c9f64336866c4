// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GPU goes from owner to owner, from guests that run: with work in flight, and with all
 * that its owner had in video memory, of which the next one must not see a byte.
 */
#include "owner.h"

#define SECRET		"0x5ec3e75ec3e75ec3"

static const struct dom first = NO_OWNER("gpu-first");
static const struct dom next = NO_OWNER("gpu-next");
static const struct dom owner = OWNER("gpu-owner");

FIXTURE(hotplug) { };

FIXTURE_SETUP(hotplug)
{
	/* A test that failed may have left them. */
	ASSERT_EQ(0, gpu_owner_destroy(next.name)) WHY();
	ASSERT_EQ(0, gpu_owner_destroy(first.name)) WHY();
	ASSERT_EQ(0, gpu_owner_destroy(owner.name)) WHY();
	gpu_make_assignable(_metadata);
}

FIXTURE_TEARDOWN(hotplug)
{
	EXPECT_EQ(0, gpu_owner_destroy(next.name)) WHY();
	EXPECT_EQ(0, gpu_owner_destroy(first.name)) WHY();
	EXPECT_EQ(0, gpu_owner_destroy(owner.name)) WHY();
	EXPECT_TRUE(gm_wait(gpu_is_assignable(), SOON_MS));
}

/* In the guest: the GPU is there, or not. */
static bool guest_sees(const char *guest)
{
	return !dom_sh(guest, NULL, 0, "grep -l 0x4750 /sys/bus/pci/devices/*/device");
}

static void attach(META, const char *guest)
{
	ASSERT_EQ(0, dom_xl("pci-attach %s " GPU ",permissive=1", guest)) WHY();
	ASSERT_TRUE(gm_wait(guest_sees(guest), SOON_MS));
}

/* Frontend and backend are done with what xl has told them: nothing is under way. */
static bool settled(const char *guest)
{
	char *state = dom_xs_read("/local/domain/%d/device/pci/0/state", dom_find(guest));
	bool ok = !state || !strcmp(state, "4");

	free(state);
	return ok;
}

static void detach(META, const char *guest)
{
	ASSERT_EQ(0, dom_xl("pci-detach %s " GPU, guest)) WHY();
	EXPECT_TRUE(gm_wait(!guest_sees(guest) && settled(guest), 2 * SOON_MS));
	EXPECT_TRUE(gm_wait(gpu_is_assignable(), SOON_MS));
}

/* The guest lets go of it first, in the middle of its work; nothing is lost. */
TEST_F_TIMEOUT(hotplug, unbound_with_work_in_flight_then_detached, TEST_S)
{
	ASSERT_EQ(0, dom_create(&first)) WHY();
	EXPECT_FALSE(guest_sees(first.name));
	for (int round = 0; round < 2; round++) {
		attach(_metadata, first.name);
		ASSERT_TRUE(gpu_work(first.name, ""))
			TH_LOG("%s: %s", dom_error(), gpu_said(first.name));
		EXPECT_EQ(0, dom_sh(first.name, NULL, 0,
				    "echo 0000:" GPU " >/sys/bus/pci/drivers/xgpu/unbind")) WHY();
		ASSERT_TRUE(gm_wait(!gpu_works_still(first.name), SOON_MS));
		EXPECT_NE(NULL, strstr(gpu_said(first.name), "memory intact"))
			TH_LOG("%s", gpu_said(first.name));
		EXPECT_TRUE(strstr(gpu_said(first.name), "error -19") ||
			    strstr(gpu_said(first.name), "fence 5"))
			TH_LOG("%s", gpu_said(first.name));
		detach(_metadata, first.name);
		EXPECT_NE(0, dom_sh(first.name, NULL, 0, "[ -e /dev/xgpu0 ]"));
	}
}

/*
 * xl takes the GPU away from a PV guest first, and tells the guest afterwards (libxl 4.17: reset,
 * deassigned, then written to xenstore). What was in video memory is lost by then: whoever
 * wants it gets a SIGBUS, and nobody gets anything else in its place. The guest lives on.
 */
TEST_F_TIMEOUT(hotplug, detached_with_work_in_flight, TEST_S)
{
	ASSERT_EQ(0, dom_create(&first)) WHY();
	attach(_metadata, first.name);
	ASSERT_TRUE(gpu_work(first.name, ""))
		TH_LOG("%s: %s", dom_error(), gpu_said(first.name));
	detach(_metadata, first.name);
	ASSERT_TRUE(gm_wait(!gpu_works_still(first.name), SOON_MS));
	EXPECT_NE(NULL, strstr(gpu_said(first.name), "bus error"))
		TH_LOG("%s", gpu_said(first.name));
	EXPECT_NE(0, dom_sh(first.name, NULL, 0, "[ -e /dev/xgpu0 ]"));
	EXPECT_EQ(0, dom_sh(first.name, NULL, 0, "true")) WHY();
}

static void expect_vram(META, const char *guest, bool marked)
{
	unsigned long zero = 1, words = 2, same = 3;
	char out[128] = "";

	ASSERT_EQ(0, dom_sh(guest, out, sizeof(out), "gm-gpu look " SECRET)) WHY();
	ASSERT_EQ(3, sscanf(out, "zero %lu of %lu, value %lu", &zero, &words, &same))
		TH_LOG("%s", out);
	EXPECT_LT(1UL << 20, words);
	EXPECT_EQ(marked ? words : 0, same);
	EXPECT_EQ(marked ? 0 : words, zero);
}

/* The owner marks all of video memory, with no driver that would clear it at the end. */
static void mark(META, const char *guest)
{
	ASSERT_EQ(0, dom_sh(guest, NULL, 0, "gm-gpu mark " SECRET)) WHY();
	expect_vram(_metadata, guest, true);
}

TEST_F_TIMEOUT(hotplug, next_owner_sees_nothing_after_detach, TEST_S)
{
	ASSERT_EQ(0, dom_create(&first)) WHY();
	ASSERT_EQ(0, dom_create(&next)) WHY();
	attach(_metadata, first.name);
	mark(_metadata, first.name);
	detach(_metadata, first.name);
	attach(_metadata, next.name);
	expect_vram(_metadata, next.name, false);
	EXPECT_GPU_WORKS(next.name);
}

TEST_F_TIMEOUT(hotplug, next_owner_sees_nothing_after_destroy, TEST_S)
{
	ASSERT_EQ(0, dom_create(&owner)) WHY();
	mark(_metadata, owner.name);
	ASSERT_EQ(0, gpu_owner_destroy(owner.name)) WHY();
	ASSERT_TRUE(gm_wait(gpu_is_assignable(), SOON_MS));
	ASSERT_EQ(0, dom_create(&owner)) WHY();
	expect_vram(_metadata, owner.name, false);
}

TEST_HARNESS_MAIN
