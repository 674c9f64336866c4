// SPDX-License-Identifier: GPL-2.0-only
/*
 * gpu-passthrough-check where this suite runs: on Linux alone, whose one shortcoming is that
 * there is no Xen, or in the domain that owns the GPUs, which is ready to use them. What it
 * says in dom0 is suite passthrough's.
 */
#include <unistd.h>

#include "gm_test.h"

FIXTURE(check)
{
	char out[16384];
	int status;
	bool xen;
};

FIXTURE_SETUP(check)
{
	self->xen = access("/sys/hypervisor/type", F_OK) == 0;
	self->status = gm_run(self->out, sizeof(self->out), GM_TIMEOUT_MS, "gpu-passthrough-check");
}

FIXTURE_TEARDOWN(check)
{
}

TEST_F_TIMEOUT(check, machine_is_as_it_should_be, GM_TEST_S)
{
	if (strstr(self->out, " dom0 on Xen "))
		SKIP(return, "dom0 is suite passthrough's");
	if (self->xen) {
		EXPECT_EQ(0, self->status);
		EXPECT_NE(NULL, strstr(self->out, "  OK    xen              PV domain on Xen 4.") ?:
				strstr(self->out, "  OK    xen              HVM domain on Xen 4."));
		EXPECT_NE(NULL, strstr(self->out, "\nReady: "));
	} else {
		EXPECT_EQ(1, self->status);
		EXPECT_NE(NULL, strstr(self->out, "  FAIL  xen "));
		EXPECT_NE(NULL, strstr(self->out, "\nNot ready: 1 failure, "));
	}
}

TEST_F_TIMEOUT(check, gpu_is_as_specified, GM_TEST_S)
{
	EXPECT_NE(NULL, strstr(self->out, "584e:4750"));
	EXPECT_NE(NULL, strstr(self->out, "  OK    bars             BAR 0 64 KiB below 4 GiB, BAR 2 "));
	/* The device model of an HVM domain lets it have fewer than there are. */
	EXPECT_NE(NULL, strstr(self->out, strstr(self->out, " HVM domain on Xen ") ?
					  "  OK    msi              MSI with " :
					  "  OK    msi              MSI with 4 vectors"));
	if (!self->xen) {
		EXPECT_NE(NULL, strstr(self->out, "  OK    reset            flr,"));
		EXPECT_NE(NULL, strstr(self->out, "  OK    iommu-mode       strict"));
	}
}

TEST_HARNESS_MAIN
