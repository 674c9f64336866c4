/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two kinds of guest that every program of this suite goes through, and what they share.
 */
#ifndef GM_LIFECYCLE_KINDS_H
#define GM_LIFECYCLE_KINDS_H

#include "dom.h"
#include "gm.h"

/* Small, so that a saved guest fits in dom0's /tmp. */
#define KIND_PV(name_, more) \
	{ .name = (name_), .config = "/gm/xl/pv.cfg", .extra = "memory=128 " more }
#define KIND_PVH(name_, more) \
	{ .name = (name_), .config = "/gm/xl/pvh.cfg", .extra = "memory=128 " more }

/* In seconds; a limit on a hang. */
#define TEST_S	(600 * gm_scale())

/* So that it reads as one line: the reason of a helper's failure. */
#define WHY()	TH_LOG("%s", dom_error())

#endif
