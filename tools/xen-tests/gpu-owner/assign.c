// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may have the GPU: dom0 that lets go of it, one guest, and nobody besides; and what a
 * guest that has it cannot do.
 */
#include "owner.h"

static const struct dom owner = OWNER("gpu-owner");
static const struct dom second = OWNER("gpu-second");

FIXTURE(assign) { };

FIXTURE_SETUP(assign)
{
	gpu_make_assignable(_metadata);
}

FIXTURE_TEARDOWN(assign)
{
	if (_metadata->exit_code) {
		gpu_owner_destroy(second.name);
		gpu_owner_destroy(owner.name);
	}
}

TEST_F_TIMEOUT(assign, add_and_remove, TEST_S)
{
	EXPECT_STREQ("pciback", gpu_driver());
	/* Nothing happens the second time. */
	EXPECT_EQ(0, dom_xl("pci-assignable-add " GPU)) WHY();
	EXPECT_TRUE(gpu_is_assignable());
	EXPECT_EQ(0, dom_xl("pci-assignable-remove " GPU)) WHY();
	EXPECT_FALSE(gpu_is_assignable());
	EXPECT_STREQ("", gpu_driver());
	/* What is not assignable cannot be assigned. */
	EXPECT_NE(0, dom_create_paused(&owner));
	EXPECT_EQ(-1, dom_find(owner.name));
	EXPECT_EQ(0, dom_xl("pci-assignable-add " GPU)) WHY();
	EXPECT_TRUE(gpu_is_assignable());
}

/* dom0 itself uses the GPU when it is given away: work ends, memory comes back from it. */
TEST_F_TIMEOUT(assign, dom0_gives_it_away_with_work_in_flight, TEST_S)
{
	char said[256];

	ASSERT_EQ(0, dom_xl("pci-assignable-remove " GPU)) WHY();
	ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe xgpu"));
	EXPECT_STREQ("xgpu", gpu_driver());
	for (int round = 0; round < 2; round++) {
		unlink("/tmp/work");
		ASSERT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS,
				    "gm-gpu work >/tmp/work 2>&1 </dev/null &"));
		ASSERT_TRUE(gm_wait(gm_read_file("/tmp/work", said, sizeof(said)) > 0, SOON_MS));
		EXPECT_STREQ("working\n", said);
		EXPECT_EQ(0, dom_xl("pci-assignable-add " GPU)) WHY();
		EXPECT_STREQ("pciback", gpu_driver());
		EXPECT_TRUE(gm_wait(gm_read_file("/tmp/work", said, sizeof(said)) > 0 &&
				    strstr(said, "ended"), SOON_MS));
		EXPECT_NE(NULL, strstr(said, "memory intact")) TH_LOG("%s", said);
		EXPECT_TRUE(strstr(said, "error -19") || strstr(said, "fence 5"))
			TH_LOG("%s", said);
		/* And back to whom it was taken from */
		EXPECT_EQ(0, dom_xl("pci-assignable-remove -r " GPU)) WHY();
		EXPECT_STREQ("xgpu", gpu_driver());
	}
	EXPECT_EQ(0, dom_xl("pci-assignable-add " GPU)) WHY();
	EXPECT_EQ(0, gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -r xgpu"));
	unlink("/tmp/work");
}

TEST_F_TIMEOUT(assign, one_owner_at_a_time, TEST_S)
{
	ASSERT_EQ(0, dom_ensure(&owner)) WHY();
	EXPECT_EQ(0, dom_xl("pci-list %s", owner.name)) WHY();
	EXPECT_NE(NULL, strstr(dom_xl_output(), GPU)) TH_LOG("%s", dom_xl_output());
	EXPECT_FALSE(gpu_is_assignable());

	EXPECT_NE(0, dom_create_paused(&second));
	EXPECT_EQ(-1, dom_find(second.name));
	EXPECT_NE(0, dom_xl("pci-assignable-remove " GPU));
	EXPECT_STREQ("pciback", gpu_driver());
	EXPECT_GPU_WORKS(owner.name);
}

/*
 * What a device knows is not in the image of a guest. xl does not mind; but the guest's driver
 * does, so the guest does not stop for xl, which gives up, and the guest goes on.
 */
TEST_F_TIMEOUT(assign, save_is_refused, TEST_S)
{
	struct dom_state state;
	struct dom_id id;
	double began;

	ASSERT_EQ(0, dom_ensure(&owner)) WHY();
	ASSERT_EQ(0, dom_identify(owner.name, &id)) WHY();
	ASSERT_TRUE(gpu_work(owner.name, "")) TH_LOG("%s: %s", dom_error(), gpu_said(owner.name));
	began = gm_now();
	EXPECT_NE(0, dom_xl("save %s /tmp/gpu.save", owner.name));
	gm_note("xl gave up after %.1f s", gm_now() - began);
	EXPECT_NE(NULL, strstr(dom_xl_output(), "Failed to save domain"))
		TH_LOG("%s", dom_xl_output());
	unlink("/tmp/gpu.save");

	ASSERT_TRUE(dom_state(id.domid, &state));
	EXPECT_FALSE(state.paused);
	EXPECT_FALSE(state.shutdown);
	EXPECT_EQ((int)id.domid, dom_find(owner.name));
	EXPECT_EQ(0, dom_sh(owner.name, NULL, 0, "true")) WHY();
	EXPECT_TRUE(gpu_works_still(owner.name)) TH_LOG("%s", gpu_said(owner.name));
	gpu_stop_work(owner.name);
	EXPECT_GPU_WORKS(owner.name);
}

/* The last test: takes the guest that the others have left. */
TEST_F_TIMEOUT(assign, shutdown_gives_it_back, TEST_S)
{
	struct dom_id id;

	ASSERT_EQ(0, dom_ensure(&owner)) WHY();
	ASSERT_EQ(0, dom_identify(owner.name, &id)) WHY();
	ASSERT_TRUE(gpu_work(owner.name, "")) TH_LOG("%s: %s", dom_error(), gpu_said(owner.name));
	EXPECT_EQ(0, dom_xl("shutdown -w %s", owner.name)) WHY();
	EXPECT_EQ(0, gpu_owner_gone(&id)) WHY();
	EXPECT_TRUE(gm_wait(gpu_is_assignable(), SOON_MS));
	EXPECT_STREQ("pciback", gpu_driver());
}

TEST_HARNESS_MAIN
