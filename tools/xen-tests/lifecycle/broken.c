// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that cannot be: xl refuses them, and nothing of them stays.
 */
#include <kselftest_harness.h>

#include "gm.h"
#include "kinds.h"

/*
 * Xen's free memory moves a little by itself: dom0 grows its grant table and its tracking of
 * mappings, and never gives that back.
 */
#define SLACK_PAGES	256

FIXTURE(e2_broken) {
	char *census;
	unsigned long long free_pages;
};

FIXTURE_VARIANT(e2_broken) {
	struct dom dom;
	const char *why;	/* xl says so */
};

FIXTURE_VARIANT_ADD(e2_broken, pv_no_kernel) {
	.dom = KIND_PV("e2-broken", "'kernel=\"/none\"'"),
	.why = "failed to open file '/none'",
};

FIXTURE_VARIANT_ADD(e2_broken, pv_no_ramdisk) {
	.dom = KIND_PV("e2-broken", "'ramdisk=\"/none\"'"),
	.why = "xc_dom_ramdisk_file failed",
};

FIXTURE_VARIANT_ADD(e2_broken, pv_kernel_is_none) {
	.dom = KIND_PV("e2-broken", "'kernel=\"/gm/xl/pv.cfg\"'"),
	.why = "no loader found",
};

FIXTURE_VARIANT_ADD(e2_broken, pv_no_disk_image) {
	.dom = KIND_PV("e2-broken", "'disk=[\"format=raw,vdev=xvda,access=rw,target=/none\"]'"),
	.why = "failed to stat: /none",
};

FIXTURE_VARIANT_ADD(e2_broken, pv_too_much_memory) {
	.dom = KIND_PV("e2-broken", "memory=65536"),
	.why = "Out of memory",
};

FIXTURE_VARIANT_ADD(e2_broken, pvh_no_kernel) {
	.dom = KIND_PVH("e2-broken", "'kernel=\"/none\"'"),
	.why = "failed to open file '/none'",
};

FIXTURE_VARIANT_ADD(e2_broken, pvh_kernel_is_none) {
	.dom = KIND_PVH("e2-broken", "'kernel=\"/gm/xl/pvh.cfg\"'"),
	.why = "no loader found",
};

FIXTURE_VARIANT_ADD(e2_broken, pvh_too_much_memory) {
	.dom = KIND_PVH("e2-broken", "memory=65536"),
	.why = "Out of memory",
};

FIXTURE_VARIANT_ADD(e2_broken, unknown_type) {
	.dom = KIND_PV("e2-broken", "'type=\"none\"'"),
	.why = "Invalid domain type",
};

FIXTURE_VARIANT_ADD(e2_broken, syntax_error) {
	.dom = KIND_PV("e2-broken", "'vcpus = ['"),
	.why = "syntax error",
};

FIXTURE_VARIANT_ADD(e2_broken, no_config) {
	.dom = { .name = "e2-broken", .config = "/none" },
	.why = "Failed to read config file",
};

FIXTURE_SETUP(e2_broken)
{
	self->census = dom_census();
	self->free_pages = dom_free_pages();
}

FIXTURE_TEARDOWN(e2_broken)
{
	dom_destroy(variant->dom.name);
	free(self->census);
}

static bool memory_is_back(unsigned long long before)
{
	return dom_free_pages() + SLACK_PAGES >= before;
}

static void expect_as_before(struct __test_metadata *_metadata, const char *census,
			     unsigned long long free_pages)
{
	char *now = NULL;

	EXPECT_TRUE(gm_wait((free(now), now = dom_census(), !strcmp(census, now)),
			    DOM_GONE_MS)) {
		TH_LOG("before:\n%s", census);
		TH_LOG("after:\n%s", now);
	}
	EXPECT_TRUE(gm_wait(memory_is_back(free_pages), DOM_GONE_MS))
		TH_LOG("free pages: %llu before, %llu after", free_pages, dom_free_pages());
	free(now);
}

TEST_F_TIMEOUT(e2_broken, leaves_nothing, TEST_S)
{
	EXPECT_NE(0, dom_create_paused(&variant->dom));
	EXPECT_NE(NULL, strstr(dom_xl_output(), variant->why)) TH_LOG("%s", dom_xl_output());
	expect_as_before(_metadata, self->census, self->free_pages);
}

TEST_HARNESS_MAIN
