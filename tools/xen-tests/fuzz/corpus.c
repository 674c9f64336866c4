// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that fuzzing has found worth keeping (corpus/), once more: on each kernel, and
 * with all that gm-fuzz looks for afterwards. What a fuzzer has found once shall not come back.
 */
#include "gm_test.h"

#define CORPUS	"/gm/fuzz/corpus"

FIXTURE(corpus) {
};

FIXTURE_VARIANT(corpus) {
	const char *target;
};

FIXTURE_VARIANT_ADD(corpus, gntdev) { .target = "gntdev" };
FIXTURE_VARIANT_ADD(corpus, xgpu) { .target = "xgpu" };
FIXTURE_VARIANT_ADD(corpus, notifier) { .target = "notifier" };

FIXTURE_SETUP(corpus)
{
}

FIXTURE_TEARDOWN(corpus)
{
}

TEST_F_TIMEOUT(corpus, no_finding, GM_LONG_TEST_S)
{
	char cmd[160], line[512], skip[256] = "";
	int status;
	FILE *p;

	snprintf(cmd, sizeof(cmd), "gm-fuzz replay --target %s --corpus " CORPUS "/%s",
		 variant->target, variant->target);
	p = popen(cmd, "re");
	ASSERT_NE(NULL, p);
	while (fgets(line, sizeof(line), p)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "1..0 # SKIP ", 12))
			snprintf(skip, sizeof(skip), "%.200s", line + 12);
		/* Also each program, before it runs: for the log */
		if (line[0] == '#') {
			printf("%s\n", line);
			fflush(stdout);
		}
	}
	status = pclose(p);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "%s", skip);
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
