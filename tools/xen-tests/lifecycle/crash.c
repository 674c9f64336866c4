// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that crash, and what on_crash makes of it.
 */
#include <kselftest_harness.h>

#include "gm.h"
#include "kinds.h"

/* A kernel without an init panics: the fastest crash there is, and no agent is needed. */
#define NO_INIT	"'extra=\"console=hvc0 quiet rdinit=/none\"' "

FIXTURE(e2_crash) {
	char *census;
};

FIXTURE_VARIANT(e2_crash) {
	struct dom runs;
	struct dom restarts;
	struct dom preserved;
};

FIXTURE_VARIANT_ADD(e2_crash, pv) {
	.runs = KIND_PV("e2-crash-pv", "'on_crash=\"destroy\"'"),
	.restarts = KIND_PV("e2-restart-pv", NO_INIT "'on_crash=\"restart\"'"),
	.preserved = KIND_PV("e2-preserve-pv", NO_INIT "'on_crash=\"preserve\"'"),
};

FIXTURE_VARIANT_ADD(e2_crash, pvh) {
	.runs = KIND_PVH("e2-crash-pvh", "'on_crash=\"destroy\"'"),
	.restarts = KIND_PVH("e2-restart-pvh", NO_INIT "'on_crash=\"restart\"'"),
	.preserved = KIND_PVH("e2-preserve-pvh", NO_INIT "'on_crash=\"preserve\"'"),
};

FIXTURE_SETUP(e2_crash)
{
	self->census = dom_census();
}

FIXTURE_TEARDOWN(e2_crash)
{
	const char *const names[] = {
		variant->runs.name, variant->restarts.name, variant->preserved.name,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		dom_destroy(names[i]);
		if (!_metadata->exit_code)
			dom_forget_console(names[i]);
	}
	free(self->census);
}

/* Crashes a guest that works, by its own SysRq. */
TEST_F_TIMEOUT(e2_crash, destroy, TEST_S)
{
	const char *name = variant->runs.name;
	struct dom_id id;
	char *census;

	ASSERT_EQ(0, dom_create(&variant->runs)) WHY();
	ASSERT_EQ(0, dom_identify(name, &id)) WHY();
	ASSERT_EQ(0, dom_xl("sysrq %s c", name)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&id)) WHY();
	EXPECT_EQ(-ENOENT, gm_active_entries(id.domid));
	census = dom_census();
	EXPECT_STREQ(self->census, census);
	free(census);
}

/* Is there a guest of this name that runs, in another domain than @old? */
static bool runs_anew(const char *name, uint32_t old)
{
	int domid = dom_find(name);
	struct dom_state state;

	return domid >= 0 && (uint32_t)domid != old && dom_state(domid, &state) && !state.paused;
}

/* It restarts for ever: ended as soon as the new one runs, well before its own crash. */
TEST_F_TIMEOUT(e2_crash, restart, TEST_S)
{
	const char *name = variant->restarts.name;
	struct dom_id old, new;

	ASSERT_EQ(0, dom_create_paused(&variant->restarts)) WHY();
	ASSERT_EQ(0, dom_identify(name, &old)) WHY();
	ASSERT_EQ(0, dom_xl("unpause %s", name)) WHY();
	ASSERT_TRUE(gm_wait(runs_anew(name, old.domid), DOM_BOOT_MS));
	ASSERT_EQ(0, dom_identify(name, &new)) WHY();
	ASSERT_EQ(0, dom_xl("destroy %u", new.domid)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&old)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&new)) WHY();
}

static bool has_crashed(uint32_t domid)
{
	struct dom_state state;

	return dom_state(domid, &state) && state.crashed;
}

TEST_F_TIMEOUT(e2_crash, preserve, TEST_S)
{
	const char *name = variant->preserved.name;
	struct dom_id id;

	ASSERT_EQ(0, dom_create_paused(&variant->preserved)) WHY();
	ASSERT_EQ(0, dom_identify(name, &id)) WHY();
	ASSERT_EQ(0, dom_xl("unpause %s", name)) WHY();
	ASSERT_TRUE(gm_wait(has_crashed(id.domid), DOM_BOOT_MS));
	/* Time for xl's monitor to do what it should not. */
	gm_sleep_ms(500);
	EXPECT_TRUE(has_crashed(id.domid));
	EXPECT_EQ(id.domid, dom_find(name));
	EXPECT_EQ(0, dom_destroy(name)) WHY();
}

TEST_HARNESS_MAIN
