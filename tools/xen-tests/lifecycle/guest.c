// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of one guest through xl, from create to shutdown.
 *
 * The tests of a kind of guest share one guest: each takes it as it finds it (with whatever
 * domid it has by now), starts it when it is not there, and leaves it running, but for the last,
 * which shuts it down. After a failed test it is destroyed, so that the next starts afresh.
 */
#include <kselftest_harness.h>

#include "gm.h"
#include "kinds.h"

/* What a guest remembers, to see whether it is the same guest afterwards. */
struct memory {
	char boot_id[64];
	char digest[64];	/* of a file in its memory */
	int process;		/* that sleeps */
};

#define BLOB_MIB	4

FIXTURE(e2) {
	const char *name;
	struct dom_id id;
};

FIXTURE_VARIANT(e2) {
	struct dom dom;
	const char *guest_type;
	bool hvm;	/* has an HVM container, to Xen */
	bool migrates;	/* live, with this Xen: PV needs shadow paging */
};

FIXTURE_VARIANT_ADD(e2, pv) {
	.dom = KIND_PV("e2-pv", ""),
	.guest_type = "PV",
};

FIXTURE_VARIANT_ADD(e2, pvh) {
	.dom = KIND_PVH("e2-pvh", ""),
	.guest_type = "PVH",
	.hvm = true,
	.migrates = true,
};

FIXTURE_SETUP(e2)
{
	self->name = variant->dom.name;
	ASSERT_EQ(0, dom_ensure(&variant->dom)) WHY();
	ASSERT_EQ(0, dom_identify(self->name, &self->id)) WHY();
}

FIXTURE_TEARDOWN(e2)
{
	if (_metadata->exit_code)
		dom_destroy(self->name);
}

static int memorize(const char *name, struct memory *m)
{
	char pid[32];

	if (dom_sh(name, m->boot_id, sizeof(m->boot_id), "cat /proc/sys/kernel/random/boot_id"))
		return -1;
	if (dom_sh(name, m->digest, sizeof(m->digest),
		   "dd if=/dev/urandom of=/tmp/blob bs=1M count=%d 2>/dev/null && "
		   "md5sum < /tmp/blob", BLOB_MIB))
		return -1;
	if (dom_sh(name, pid, sizeof(pid), "sleep 100000 >/dev/null 2>&1 & echo $!"))
		return -1;
	m->process = atoi(pid);
	return 0;
}

/* Is it the guest that memorized @m, with nothing lost? Then it forgets. */
static int recall(struct __test_metadata *_metadata, const char *name, const struct memory *m)
{
	char now[64];

	EXPECT_EQ(0, dom_sh(name, now, sizeof(now), "cat /proc/sys/kernel/random/boot_id")) WHY();
	EXPECT_STREQ(m->boot_id, now);
	EXPECT_EQ(0, dom_sh(name, now, sizeof(now), "md5sum < /tmp/blob")) WHY();
	EXPECT_STREQ(m->digest, now);
	EXPECT_EQ(0, dom_sh(name, NULL, 0, "kill %d", m->process)) WHY();
	EXPECT_EQ(0, dom_sh(name, NULL, 0, "rm /tmp/blob")) WHY();
	return _metadata->exit_code;
}

/* Neither Xen nor xenstore knows the domain, nor does a line of the grant tables speak of it. */
static void expect_nothing_left(struct __test_metadata *_metadata, const struct dom_id *id)
{
	EXPECT_EQ(0, dom_wait_gone(id)) WHY();
	EXPECT_EQ(-ENOENT, gm_active_entries(id->domid));
}

TEST_F_TIMEOUT(e2, create, TEST_S)
{
	struct dom_state state;
	char type[16];

	ASSERT_TRUE(dom_state(self->id.domid, &state));
	EXPECT_EQ(variant->hvm, state.hvm);
	EXPECT_FALSE(state.paused);
	EXPECT_FALSE(state.shutdown);
	EXPECT_EQ(0, dom_sh(self->name, type, sizeof(type), "cat /sys/hypervisor/guest_type"))
		WHY();
	type[strcspn(type, "\n")] = '\0';
	EXPECT_STREQ(variant->guest_type, type);
	EXPECT_EQ(0, dom_xl("domid %s", self->name)) WHY();
	EXPECT_EQ(self->id.domid, strtoul(dom_xl_output(), NULL, 10));
	EXPECT_EQ(0, dom_xl("list %s", self->name)) WHY();
	EXPECT_EQ(0, dom_xl("vcpu-list %s", self->name)) WHY();
}

/* Waits in vain for an answer, then for the processor time to stand still. */
TEST_F_TIMEOUT(e2, pause_unpause, TEST_S)
{
	struct gm_guest *g = gm_guest_open(self->id.domid);
	struct dom_state before, after;

	ASSERT_NE(NULL, g);
	ASSERT_EQ(0, dom_xl("pause %s", self->name)) WHY();
	ASSERT_TRUE(dom_state(self->id.domid, &before));
	EXPECT_TRUE(before.paused);
	EXPECT_EQ(-ETIMEDOUT, gm_guest_cmd(g, NULL, 0, 1000, "sh true"));
	ASSERT_TRUE(dom_state(self->id.domid, &after));
	EXPECT_EQ(before.cpu_time, after.cpu_time);
	EXPECT_EQ(0, dom_xl("list %s", self->name)) WHY();
	EXPECT_NE(NULL, strstr(dom_xl_output(), " --p---")) TH_LOG("%s", dom_xl_output());

	ASSERT_EQ(0, dom_xl("unpause %s", self->name)) WHY();
	EXPECT_EQ(0, gm_guest_cmd(g, NULL, 0, DOM_AGENT_MS, "sh true"));
	ASSERT_TRUE(dom_state(self->id.domid, &after));
	EXPECT_FALSE(after.paused);
	EXPECT_LT(before.cpu_time, after.cpu_time);
	gm_guest_close(g);
}

TEST_F_TIMEOUT(e2, duplicate_name_is_refused, TEST_S)
{
	char *before = dom_census(), *after;

	EXPECT_LT(0, dom_xl("create %s 'name=\"%s\"' memory=32", variant->dom.config,
			    self->name));
	EXPECT_NE(NULL, strstr(dom_xl_output(), "already exists")) TH_LOG("%s", dom_xl_output());
	after = dom_census();
	EXPECT_STREQ(before, after);
	EXPECT_EQ(0, dom_sh(self->name, NULL, 0, "true")) WHY();
	free(before);
	free(after);
}

TEST_F_TIMEOUT(e2, save_restore, TEST_S)
{
	char file[64];
	struct memory m;
	struct dom_id old = self->id;

	snprintf(file, sizeof(file), "/tmp/%s.save", self->name);
	ASSERT_EQ(0, memorize(self->name, &m)) WHY();
	ASSERT_EQ(0, dom_xl("save %s %s", self->name, file)) WHY();
	expect_nothing_left(_metadata, &old);
	EXPECT_EQ(-1, dom_find(self->name));

	ASSERT_EQ(0, dom_xl("restore %s", file)) WHY();
	unlink(file);
	ASSERT_EQ(0, dom_wait_up(self->name)) WHY();
	ASSERT_EQ(0, dom_identify(self->name, &self->id)) WHY();
	EXPECT_NE(old.domid, self->id.domid);
	EXPECT_EQ(0, recall(_metadata, self->name, &m));
}

static void migrates(struct __test_metadata *_metadata, const char *name, const struct dom_id *old)
{
	struct dom_id new;
	struct memory m;

	ASSERT_EQ(0, memorize(name, &m)) WHY();
	ASSERT_EQ(0, dom_xl("migrate -s '' %s 'xl migrate-receive'", name)) WHY();
	expect_nothing_left(_metadata, old);
	ASSERT_EQ(0, dom_wait_up(name)) WHY();
	ASSERT_EQ(0, dom_identify(name, &new)) WHY();
	EXPECT_NE(old->domid, new.domid);
	EXPECT_EQ(0, recall(_metadata, name, &m));
}

/* Is every line of @after one of @before? */
static bool nothing_new(const char *before, const char *after)
{
	while (*after) {
		size_t len = strcspn(after, "\n") + 1;
		const char *line = before;

		while (*line && strncmp(line, after, len))
			line += strcspn(line, "\n") + 1;
		if (!*line)
			return false;
		after += len;
	}
	return true;
}

/*
 * The sender cannot track dirty pages: it says so, and the guest does not notice. (That xl takes
 * the guest's /vm directory away with that of the receiving domain, which has the same UUID, is
 * of no concern here.)
 */
static void stays(struct __test_metadata *_metadata, const char *name, const struct dom_id *old)
{
	char *before = dom_census(), *after = NULL;
	struct memory m;

	ASSERT_EQ(0, memorize(name, &m)) WHY();
	EXPECT_LT(0, dom_xl("migrate -s '' %s 'xl migrate-receive'", name));
	EXPECT_NE(NULL, strstr(dom_xl_output(), "logdirty")) TH_LOG("%s", dom_xl_output());
	ASSERT_EQ(0, dom_wait_up(name)) WHY();
	EXPECT_EQ(old->domid, dom_find(name));
	EXPECT_EQ(0, recall(_metadata, name, &m));
	/* The receiver cleans up by itself; give it the time. */
	EXPECT_TRUE(gm_wait((free(after), after = dom_census(), nothing_new(before, after)),
			    DOM_GONE_MS)) {
		TH_LOG("before:\n%s", before);
		TH_LOG("after:\n%s", after);
	}
	free(before);
	free(after);
}

TEST_F_TIMEOUT(e2, migrate_to_the_same_host, TEST_S)
{
	if (variant->migrates)
		migrates(_metadata, self->name, &self->id);
	else
		stays(_metadata, self->name, &self->id);
}

TEST_F_TIMEOUT(e2, reboot, TEST_S)
{
	struct dom_id old = self->id;
	char before[64], after[64];

	ASSERT_EQ(0, dom_sh(self->name, before, sizeof(before),
			    "cat /proc/sys/kernel/random/boot_id")) WHY();
	ASSERT_EQ(0, dom_xl("reboot %s", self->name)) WHY();
	expect_nothing_left(_metadata, &old);
	ASSERT_TRUE(gm_wait(dom_find(self->name) >= 0, DOM_BOOT_MS));
	ASSERT_EQ(0, dom_wait_up(self->name)) WHY();
	EXPECT_NE(old.domid, dom_find(self->name));
	EXPECT_EQ(0, dom_sh(self->name, after, sizeof(after),
			    "cat /proc/sys/kernel/random/boot_id")) WHY();
	EXPECT_STRNE(before, after);
}

TEST_F_TIMEOUT(e2, shutdown, TEST_S)
{
	ASSERT_EQ(0, dom_xl("shutdown -w %s", self->name)) WHY();
	expect_nothing_left(_metadata, &self->id);
	EXPECT_EQ(-1, dom_find(self->name));
}

/* A guest that never ran. */
FIXTURE(e2_unborn) {
	char *census;
	unsigned long long free_pages;
};

FIXTURE_VARIANT(e2_unborn) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(e2_unborn, pv) { .dom = KIND_PV("e2-unborn-pv", "") };
FIXTURE_VARIANT_ADD(e2_unborn, pvh) { .dom = KIND_PVH("e2-unborn-pvh", "") };

FIXTURE_SETUP(e2_unborn)
{
	self->census = dom_census();
	self->free_pages = dom_free_pages();
}

FIXTURE_TEARDOWN(e2_unborn)
{
	free(self->census);
	dom_destroy(variant->dom.name);
}

TEST_F_TIMEOUT(e2_unborn, destroy, TEST_S)
{
	struct dom_id id;
	struct dom_state state;
	char *census;

	ASSERT_EQ(0, dom_create_paused(&variant->dom)) WHY();
	ASSERT_EQ(0, dom_identify(variant->dom.name, &id)) WHY();
	ASSERT_TRUE(dom_state(id.domid, &state));
	EXPECT_TRUE(state.paused);
	EXPECT_GT(self->free_pages, dom_free_pages());
	ASSERT_EQ(0, dom_xl("destroy %s", variant->dom.name)) WHY();
	expect_nothing_left(_metadata, &id);
	census = dom_census();
	EXPECT_STREQ(self->census, census);
	free(census);
}

static void clean_up(void)
{
	dom_destroy("e2-pv");
	dom_destroy("e2-pvh");
}

int main(int argc, char **argv)
{
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
