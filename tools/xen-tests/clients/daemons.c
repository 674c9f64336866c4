// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemons that map a page of every guest through gntdev: xenstored its xenstore ring,
 * xenconsoled its console ring. Both run as packaged.
 */
#include <kselftest_harness.h>
#include <fcntl.h>

#include "gm.h"
#include "peer.h"

/* The grants that the toolstack makes for a new guest: its console and its xenstore ring. */
#define RESERVED_GRANTS	2

#define CONSOLE_LINES	2000
#define STORE_ROUNDS	100
#define STORE_BYTES	800U	/* in a request; below what xenstore takes in one node */

static const char *const daemons[] = { "xenstored", "xenconsoled" };

/* How many mappings of the grant device a daemon has, or -1. */
static int mappings_of(const char *daemon)
{
	char path[64];
	int pid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/run/xen/%s.pid", daemon);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%d", &pid) != 1)
		pid = -1;
	fclose(f);
	return dom_grant_mappings(pid);
}

FIXTURE(e1_rings) {
	int before[ARRAY_SIZE(daemons)];
};

FIXTURE_VARIANT(e1_rings) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(e1_rings, pv) { .dom = PEER_GUEST("e1-rings-pv", "pv", "") };
FIXTURE_VARIANT_ADD(e1_rings, pvh) { .dom = PEER_GUEST("e1-rings-pvh", "pvh", "") };

FIXTURE_SETUP(e1_rings)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		self->before[i] = mappings_of(daemons[i]);
		ASSERT_LE(0, self->before[i]);
	}
}

FIXTURE_TEARDOWN(e1_rings)
{
	dom_destroy(variant->dom.name);
}

static void expect_mappings(struct __test_metadata *_metadata, const int *before, int more)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemons); i++) {
		EXPECT_TRUE(gm_wait(mappings_of(daemons[i]) == before[i] + more, DOM_AGENT_MS)) {
			TH_LOG("%s has %d mappings, %d before", daemons[i],
			       mappings_of(daemons[i]), before[i]);
		}
	}
}

/* A guest that was never started will do: the rings are there before it runs. */
TEST_F_TIMEOUT(e1_rings, mapped_while_there_is_a_guest, TEST_S)
{
	struct dom_id id;

	ASSERT_EQ(0, dom_create_paused(&variant->dom)) WHY();
	ASSERT_EQ(0, dom_identify(variant->dom.name, &id)) WHY();
	expect_mappings(_metadata, self->before, 1);
	EXPECT_EQ(RESERVED_GRANTS, gm_grants_in_use(id.domid));

	ASSERT_EQ(0, dom_xl("destroy %u", id.domid)) WHY();
	EXPECT_EQ(0, dom_wait_gone(&id)) WHY();
	expect_mappings(_metadata, self->before, 0);
}

FIXTURE(e1_daemons) {
	const char *name;
	uint32_t domid;
};

FIXTURE_VARIANT(e1_daemons) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(e1_daemons, pv) { .dom = PEER_GUEST("e1-daemons-pv", "pv", "") };
FIXTURE_VARIANT_ADD(e1_daemons, pvh) { .dom = PEER_GUEST("e1-daemons-pvh", "pvh", "") };

FIXTURE_SETUP(e1_daemons)
{
	self->name = variant->dom.name;
	ASSERT_EQ(0, dom_ensure(&variant->dom)) WHY();
	self->domid = dom_find(self->name);
}

FIXTURE_TEARDOWN(e1_daemons)
{
	if (_metadata->exit_code)
		dom_destroy(self->name);
}

/* How many of the numbered lines are in the log, in their order. */
static int lines_logged(const char *name)
{
	char path[128], line[512];
	int next = 0, number;
	FILE *f;

	f = fopen(dom_console_log(name, path, sizeof(path)), "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, "e1-console ");

		if (at && sscanf(at, "e1-console %d the quick brown fox", &number) == 1 &&
		    number == next)
			next++;
	}
	fclose(f);
	return next;
}

TEST_F_TIMEOUT(e1_daemons, console_output_is_logged, TEST_S)
{
	ASSERT_EQ(0, dom_sh(self->name, NULL, 0,
			    "i=0; while [ $i -lt %d ]; do "
			    "echo \"e1-console $i the quick brown fox\"; i=$((i + 1)); "
			    "done > /dev/hvc0", CONSOLE_LINES)) WHY();
	EXPECT_TRUE(gm_wait(lines_logged(self->name) == CONSOLE_LINES, DOM_AGENT_MS))
		TH_LOG("%d of %d lines", lines_logged(self->name), CONSOLE_LINES);
	dom_forget_console(self->name);
}

TEST_F_TIMEOUT(e1_daemons, console_input_arrives, TEST_S)
{
	struct gm_guest *g = gm_guest_open(self->domid);
	static const char input[] = "e1 typed this\r";
	char rsp[GM_RSP_MAX];
	char *tty;
	int fd;

	ASSERT_NE(NULL, g);
	tty = dom_xs_read("/local/domain/%u/console/tty", self->domid);
	ASSERT_NE(NULL, tty);
	fd = open(tty, O_RDWR | O_NOCTTY);
	ASSERT_LE(0, fd) TH_LOG("%s", tty);
	/* What comes before the reader is kept for it by the guest's line discipline. */
	ASSERT_EQ((ssize_t)strlen(input), write(fd, input, strlen(input)));
	ASSERT_EQ(0, gm_guest_cmd(g, rsp, sizeof(rsp), DOM_AGENT_MS,
				  "sh timeout 20 head -n 1 /dev/hvc0"));
	EXPECT_STREQ("0 e1 typed this\n", rsp);
	gm_guest_close(g);
	close(fd);
	free(tty);
}

/* Requests and answers of many sizes and contents, through the guest's ring both ways. */
TEST_F_TIMEOUT(e1_daemons, xenstore_carries_requests, TEST_S)
{
	struct gm_guest *g = gm_guest_open(self->domid);
	char text[STORE_BYTES + 1], rsp[GM_RSP_MAX], want[STORE_BYTES + 16];

	ASSERT_NE(NULL, g);
	for (unsigned int round = 0; round < STORE_ROUNDS; round++) {
		unsigned int len = 1 + gm_pattern(1, round, 0) % STORE_BYTES;

		for (unsigned int i = 0; i < len; i++)
			text[i] = 'a' + gm_pattern(2, round, i) % 26;
		text[len] = '\0';
		snprintf(want, sizeof(want), "0 %s\n", text);
		ASSERT_EQ(0, gm_guest_cmd(g, rsp, sizeof(rsp), DOM_AGENT_MS, "sh echo %s", text));
		ASSERT_STREQ(want, rsp);
	}
	gm_guest_close(g);
}

static void clean_up(void)
{
	dom_destroy("e1-daemons-pv");
	dom_destroy("e1-daemons-pvh");
}

int main(int argc, char **argv)
{
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
