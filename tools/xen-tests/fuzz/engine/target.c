// SPDX-License-Identifier: GPL-2.0-only
/*
 * The targets.
 */
#include <string.h>

#include "fuzz.h"

const struct fz_target *fz_target;

static const struct fz_call_type *const gntdev_calls[] = {
	calls_gntdev, calls_dmabuf, calls_mm, NULL,
};

static const struct fz_call_type *const xgpu_calls[] = { calls_xgpu, calls_mm, NULL };

static const struct fz_call_type *const notifier_calls[] = {
	calls_notifier, calls_hmm, calls_mm, NULL,
};

static const struct fz_target targets[] = {
	{
		.name = "gntdev",
		.calls = gntdev_calls,
		.prepare = gntdev_prepare,
		.wrong = gntdev_wrong,
		.restore = granter_restore,
	},
	{
		.name = "xgpu",
		.calls = xgpu_calls,
		.prepare = xgpu_prepare,
		.finish = xgpu_finish,
	},
	{
		.name = "notifier",
		.calls = notifier_calls,
		.prepare = notifier_prepare,
		.before = notifier_before,
		.wrong = notifier_wrong,
	},
};

/* NULL: there is no such target. */
const struct fz_target *fz_find_target(const char *name)
{
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(targets[i].name, name))
			return &targets[i];
	return NULL;
}
