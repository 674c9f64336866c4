/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test program of a suite includes: the kernel's harness, set up so that
 * diagnostics go where the results go.
 */
#ifndef GM_TEST_H
#define GM_TEST_H

/* The harness's default, stderr, is the console in the lab. */
#define TH_LOG_STREAM stdout
#include "kselftest_harness.h"

#include "gm.h"

/* Generous: the limit of a test is there to end a hang, see GM_SCALE. */
#define GM_TEST_S 120
#define GM_LONG_TEST_S 900

/* A diagnostic line that is printed whether or not the test fails. */
#define gm_note(fmt, ...) ksft_print_msg(fmt "\n", ##__VA_ARGS__)

/* A command of the shell, as gm_run() has it; what it had to say is printed when it failed. */
static inline int gm_sh(const char *cmd)
{
	char out[512];
	int ret = gm_run(out, sizeof(out), GM_TIMEOUT_MS, cmd);

	if (ret)
		gm_note("%s: %d: %s", cmd, ret, out);
	return ret;
}

#endif /* GM_TEST_H */
