// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's GPU works on what another guest has granted, and one of the two is destroyed.
 * dom0 is the third party, which sees both ends.
 */
#include "owner.h"

#define PAGES		48U
#define SEED		0x99ULL
#define SEED_AFTER	0xaaULL

static const struct dom owner = OWNER("gpu-owner");
static const struct dom granter = {
	.name = "gpu-granter", .config = "/gm/xl/pv.cfg", .extra = "memory=128",
};

FIXTURE(granter)
{
	struct dom_id owner;
	struct dom_id granter;
	struct gm_guest *g;
	int grant;
	char on[2048];		/* "DOMID REF..." */
};

FIXTURE_SETUP(granter)
{
	char rsp[GM_RSP_MAX], *refs;
	int base;

	gpu_make_assignable(_metadata);
	ASSERT_EQ(0, dom_ensure(&owner)) WHY();
	ASSERT_EQ(0, dom_ensure(&granter)) WHY();
	ASSERT_EQ(0, dom_identify(owner.name, &self->owner)) WHY();
	ASSERT_EQ(0, dom_identify(granter.name, &self->granter)) WHY();
	self->g = gm_guest_open(self->granter.domid);
	ASSERT_NE(NULL, self->g);
	base = gm_grants_in_use(self->granter.domid);
	ASSERT_EQ(0, gm_guest_cmd(self->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "grant %u %u rw %llu",
				  PAGES, self->owner.domid, SEED));
	self->grant = atoi(rsp);
	refs = dom_xs_read("/local/domain/%u/data/gm/refs/%d/0", self->granter.domid, self->grant);
	ASSERT_NE(NULL, refs);
	snprintf(self->on, sizeof(self->on), "%u %s", self->granter.domid, refs);
	free(refs);
	ASSERT_TRUE(gpu_work(owner.name, self->on))
		TH_LOG("%s: %s", dom_error(), gpu_said(owner.name));
	ASSERT_EQ(base + (int)PAGES, gm_grants_in_use(self->granter.domid));
}

FIXTURE_TEARDOWN(granter)
{
	if (self->g)
		gm_guest_close(self->g);
	gpu_owner_destroy(owner.name);
	dom_destroy(granter.name);
}

/* Its pages are there as long as they are mapped, and the GPU can use them: then all go. */
TEST_F_TIMEOUT(granter, granter_is_destroyed, TEST_S)
{
	struct dom_state state;

	ASSERT_EQ(0, dom_xl("destroy %u", self->granter.domid)) WHY();
	ASSERT_TRUE(gm_wait(dom_state(self->granter.domid, &state) && state.dying, SOON_MS));
	gm_sleep_ms(500);
	EXPECT_TRUE(gpu_works_still(owner.name)) TH_LOG("%s", gpu_said(owner.name));
	EXPECT_TRUE(dom_state(self->granter.domid, &state) && state.nr_pages >= PAGES);

	gpu_stop_work(owner.name);
	EXPECT_EQ(0, dom_wait_gone(&self->granter)) WHY();
	EXPECT_GPU_WORKS(owner.name);
}

/* The granter has its pages back, and nobody writes to them any more. */
TEST_F_TIMEOUT(granter, owner_is_destroyed, TEST_S)
{
	char rsp[GM_RSP_MAX];

	ASSERT_EQ(0, dom_xl("destroy %u", self->owner.domid)) WHY();
	EXPECT_EQ(0, gpu_owner_gone(&self->owner)) WHY();
	EXPECT_TRUE(gm_wait(gpu_is_assignable(), SOON_MS));
	EXPECT_EQ(0, gm_guest_cmd(self->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "fill %d %llu",
				  self->grant, SEED_AFTER));
	gm_sleep_ms(500);
	EXPECT_EQ(0, gm_guest_cmd(self->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "check %d %llu",
				  self->grant, SEED_AFTER)) TH_LOG("%s", rsp);
	EXPECT_EQ(0, gm_guest_cmd(self->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "revoke %d",
				  self->grant)) TH_LOG("%s", rsp);
}

TEST_HARNESS_MAIN
