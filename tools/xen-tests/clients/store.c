// SPDX-License-Identifier: GPL-2.0-only
/*
 * The backend of Documentation/tutorial-backend.md (../examples): what the tutorial says of it
 * is so. gm-store-front runs in a guest, gm-store-back here in dom0.
 */
#include <kselftest_harness.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "gm.h"
#include "peer.h"
#include "../examples/store.h"

#define PAGES		40U	/* more than two requests, and one that is not full */
#define FIRST		100U
#define SEED		7ULL

/* gm-store-back's exit codes */
#define BACK_OK		0

FIXTURE(tutorial_store) {
	const char *name;
	uint32_t domid;
	char file[64];
	pid_t back;
	int in_use;		/* grants of the guest, before */
	int granted;
};

FIXTURE_VARIANT(tutorial_store) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(tutorial_store, pv) { .dom = PEER_GUEST("store-pv", "pv", "") };
FIXTURE_VARIANT_ADD(tutorial_store, pvh) { .dom = PEER_GUEST("store-pvh", "pvh", "") };

static pid_t start_back(uint32_t domid, const char *file)
{
	char id[16];
	pid_t pid;

	snprintf(id, sizeof(id), "%u", domid);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/gm/bin/gm-store-back", "gm-store-back", id, file, NULL);
		_exit(127);
	}
	return pid;
}

FIXTURE_SETUP(tutorial_store)
{
	self->name = variant->dom.name;
	ASSERT_EQ(0, dom_ensure(&variant->dom)) WHY();
	self->domid = dom_find(self->name);
	self->in_use = gm_grants_in_use(self->domid);
	self->granted = gm_grants_granted(self->domid);
	ASSERT_LE(0, self->in_use);
	snprintf(self->file, sizeof(self->file), "/tmp/store-%d", getpid());
	self->back = start_back(self->domid, self->file);
	ASSERT_LT(0, self->back);
}

FIXTURE_TEARDOWN(tutorial_store)
{
	if (self->back) {
		kill(self->back, SIGKILL);
		waitpid(self->back, NULL, 0);
	}
	unlink(self->file);
	if (_metadata->exit_code)
		dom_destroy(self->name);
}

/* gm-store-front in the guest: its exit code, and what it says. */
static int front(const char *name, char *out, size_t size, const char *what)
{
	return dom_sh(name, out, size, "/gm/bin/gm-store-front %s %u %u %llu 2>&1", what, FIRST,
		      PAGES, SEED);
}

/* The backend's exit code, when it ends by itself. */
static int back_ends(pid_t *pid)
{
	int status = -1;

	if (!gm_wait(waitpid(*pid, &status, WNOHANG) == *pid, DOM_AGENT_MS))
		return -1;
	*pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Is the pattern in the file? Returns the first page of which that is not so, or -1. */
static int check_file(const char *file)
{
	uint64_t page[STORE_WORDS];
	int fd = open(file, O_RDONLY | O_CLOEXEC), bad = -1;

	for (unsigned int p = 0; p < PAGES && bad < 0; p++) {
		unsigned int at = FIRST + p / STORE_MAX_PAGES * STORE_MAX_PAGES;
		unsigned int skip = p % STORE_MAX_PAGES * STORE_WORDS;

		if (pread(fd, page, sizeof(page), (off_t)(FIRST + p) * STORE_PAGE_SIZE) !=
		    sizeof(page))
			bad = p;
		/* gm-store-front fills request by request. */
		for (unsigned int i = 0; i < STORE_WORDS && bad < 0; i++)
			if (page[i] != store_word(SEED, at, skip + i))
				bad = p;
	}
	close(fd);
	return bad;
}

static void expect_nothing_left(struct __test_metadata *_metadata, uint32_t domid, int in_use,
				int granted)
{
	EXPECT_TRUE(gm_wait(gm_grants_in_use(domid) == in_use, DOM_GONE_MS))
		TH_LOG("%d grants in use, %d before", gm_grants_in_use(domid), in_use);
	EXPECT_TRUE(gm_wait(gm_grants_granted(domid) == granted, DOM_GONE_MS))
		TH_LOG("%d grants, %d before", gm_grants_granted(domid), granted);
}

TEST_F_TIMEOUT(tutorial_store, keeps_pages_of_a_guest, TEST_S)
{
	char out[256] = "";

	EXPECT_EQ(0, front(self->name, out, sizeof(out), "put")) TH_LOG("%s%s", out, dom_error());
	EXPECT_STREQ("put: ok\n", out);
	EXPECT_EQ(BACK_OK, back_ends(&self->back));
	EXPECT_EQ(-1, check_file(self->file));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);

	self->back = start_back(self->domid, self->file);
	EXPECT_EQ(0, front(self->name, out, sizeof(out), "get")) TH_LOG("%s%s", out, dom_error());
	EXPECT_STREQ("get: ok\n", out);
	EXPECT_EQ(BACK_OK, back_ends(&self->back));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

/* A page that was put there by nobody is noticed: the guest compares. */
TEST_F_TIMEOUT(tutorial_store, what_was_never_stored_is_an_error, TEST_S)
{
	char out[256] = "";

	EXPECT_EQ(1, front(self->name, out, sizeof(out), "get")) TH_LOG("%s", dom_error());
	EXPECT_STREQ("get: No such device or address\n", out);
	EXPECT_EQ(BACK_OK, back_ends(&self->back));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

/* A request is refused; the backend goes on. */
TEST_F_TIMEOUT(tutorial_store, wrong_reference_is_an_error, TEST_S)
{
	char out[256] = "";

	EXPECT_EQ(1, front(self->name, out, sizeof(out), "bad")) TH_LOG("%s", dom_error());
	EXPECT_STREQ("bad: Invalid argument\n", out);
	EXPECT_EQ(BACK_OK, back_ends(&self->back));
	EXPECT_EQ(-1, check_file(self->file));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

static bool guest_file_is(const char *name, const char *file, const char *want)
{
	char out[256] = "";

	return !dom_sh(name, out, sizeof(out), "cat %s", file) && !strcmp(out, want);
}

/* The guest's program stores its pages and stays, with the answers at hand. */
static int start_staying_front(const char *name)
{
	return dom_sh(name, NULL, 0,
		      "/gm/bin/gm-store-front stay %u %u %llu </dev/null >/tmp/stay 2>&1 &", FIRST,
		      PAGES, SEED);
}

/* Answered is: not in use. What the backend has then is the ring's page. */
TEST_F_TIMEOUT(tutorial_store, killed_backend_is_noticed, TEST_S)
{
	ASSERT_EQ(0, start_staying_front(self->name)) TH_LOG("%s", dom_error());
	ASSERT_TRUE(gm_wait(guest_file_is(self->name, "/tmp/stay", "stay: ok\n"), DOM_AGENT_MS));
	EXPECT_EQ(self->in_use + 1, gm_grants_in_use(self->domid));
	EXPECT_EQ(self->granted + 1, gm_grants_granted(self->domid));

	ASSERT_EQ(0, kill(self->back, SIGKILL));
	ASSERT_EQ(self->back, waitpid(self->back, NULL, 0));
	self->back = 0;
	EXPECT_TRUE(gm_wait(guest_file_is(self->name, "/tmp/stay",
					  "stay: ok\nthe backend has gone\n"), DOM_AGENT_MS));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

TEST_F_TIMEOUT(tutorial_store, ends_with_the_guest, TEST_S)
{
	struct dom_id id;

	ASSERT_EQ(0, dom_identify(self->name, &id)) TH_LOG("%s", dom_error());
	ASSERT_EQ(0, start_staying_front(self->name)) TH_LOG("%s", dom_error());
	ASSERT_TRUE(gm_wait(guest_file_is(self->name, "/tmp/stay", "stay: ok\n"), DOM_AGENT_MS));
	ASSERT_EQ(0, dom_xl("destroy %u", id.domid)) TH_LOG("%s", dom_error());
	EXPECT_EQ(BACK_OK, back_ends(&self->back));
	EXPECT_EQ(0, dom_wait_gone(&id)) TH_LOG("%s", dom_error());
}

static void clean_up(void)
{
	dom_destroy("store-pv");
	dom_destroy("store-pvh");
}

int main(int argc, char **argv)
{
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
