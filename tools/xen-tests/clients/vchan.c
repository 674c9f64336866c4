// SPDX-License-Identifier: GPL-2.0-only
/*
 * libxenvchan between a guest and dom0.
 *
 * The server runs in the guest and grants its rings (gntalloc); the client in dom0 maps them
 * (gntdev) and asks for an unmap notification, so that the server learns of its end however it
 * ends. The library is used as packaged.
 *
 * In the guest:
 *	vchan transfer PATH	receive BYTES, then send as many; prints the two checksums
 *	vchan endless PATH	send until the peer is gone; prints "closed"
 *	vchan echo PATH		send back what comes, until the peer is gone
 */
#include <kselftest_harness.h>
#include <signal.h>
#include <sys/prctl.h>
#include <libxenvchan.h>

#include "gm.h"
#include "peer.h"

#define BYTES		(16UL << 20)
#define CHUNK_PAGES	16U
#define CHUNK		(CHUNK_PAGES * GM_PAGE_SIZE)
#define PROXY_BYTES	(2UL << 20)
#define RING		(64UL << 10)	/* each way */
#define UP_SEED		0x0badcafeULL	/* of what goes to the guest */
#define DOWN_SEED	0xfeedfaceULL	/* of what comes from it */
#define ENDLESS_SEED	0x5ca1ab1eULL

static uint64_t buffer[CHUNK / sizeof(uint64_t)];

static int transfer_all(struct libxenvchan *ch, void *data, size_t size,
			int (*transfer)(struct libxenvchan *ch, void *data, size_t size))
{
	char *at = data;

	while (size) {
		int n = transfer(ch, at, size);

		if (n <= 0)
			return -1;
		at += n;
		size -= n;
	}
	return 0;
}

static int write_chunk(struct libxenvchan *ch, void *data, size_t size)
{
	return libxenvchan_write(ch, data, size);
}

/* Sends BYTES of the pattern; their checksum, or 0. */
static uint64_t send_stream(struct libxenvchan *ch, uint64_t seed)
{
	uint64_t sum = 0;

	for (unsigned int page = 0; page < BYTES / GM_PAGE_SIZE; page += CHUNK_PAGES) {
		gm_fill(buffer, seed, page, CHUNK_PAGES);
		sum = peer_sum(sum, buffer, CHUNK);
		if (transfer_all(ch, buffer, CHUNK, write_chunk))
			return 0;
	}
	return sum;
}

/* Receives BYTES and compares them with the pattern; their checksum, or 0. */
static uint64_t receive_stream(struct libxenvchan *ch, uint64_t seed)
{
	uint64_t sum = 0;

	for (unsigned int page = 0; page < BYTES / GM_PAGE_SIZE; page += CHUNK_PAGES) {
		if (transfer_all(ch, buffer, CHUNK, libxenvchan_read) ||
		    gm_check(buffer, seed, page, CHUNK_PAGES) != -1)
			return 0;
		sum = peer_sum(sum, buffer, CHUNK);
	}
	return sum;
}

/* ---- in the guest ---- */

static void echo(struct libxenvchan *ch)
{
	int n;

	do {
		n = libxenvchan_read(ch, buffer, CHUNK);
	} while (n > 0 && !transfer_all(ch, buffer, n, write_chunk));
}

static int peer(const char *what, const char *path)
{
	struct libxenvchan *ch = libxenvchan_server_init(NULL, 0, path, RING, RING);

	if (!ch) {
		perror("libxenvchan_server_init");
		return 1;
	}
	ch->blocking = 1;
	while (libxenvchan_is_open(ch) == 2)
		libxenvchan_wait(ch);
	if (!strcmp(what, "transfer")) {
		uint64_t up = receive_stream(ch, UP_SEED);
		uint64_t down = send_stream(ch, DOWN_SEED);

		printf("%llx %llx\n", (unsigned long long)up, (unsigned long long)down);
		/* Until the client has read it all and gone. */
		while (libxenvchan_is_open(ch) == 1)
			libxenvchan_wait(ch);
	} else if (!strcmp(what, "echo")) {
		echo(ch);
	} else {
		while (send_stream(ch, ENDLESS_SEED))
			;
		printf(libxenvchan_is_open(ch) ? "failed\n" : "closed\n");
	}
	libxenvchan_close(ch);
	return 0;
}

/* ---- in dom0 ---- */

FIXTURE(e1_vchan) {
	const char *name;
	uint32_t domid;
	char path[64];
	int server;		/* its process in the guest */
	int in_use;		/* grants of the guest, before */
	int granted;
};

FIXTURE_VARIANT(e1_vchan) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(e1_vchan, pv) { .dom = PEER_GUEST("e1-vchan-pv", "pv", "") };
FIXTURE_VARIANT_ADD(e1_vchan, pvh) { .dom = PEER_GUEST("e1-vchan-pvh", "pvh", "") };

FIXTURE_SETUP(e1_vchan)
{
	self->name = variant->dom.name;
	ASSERT_EQ(0, dom_ensure(&variant->dom)) WHY();
	self->domid = dom_find(self->name);
	self->in_use = gm_grants_in_use(self->domid);
	self->granted = gm_grants_granted(self->domid);
	ASSERT_LE(0, self->in_use);
	/* Of this test alone: a server that was killed leaves its nodes. */
	snprintf(self->path, sizeof(self->path), "/local/domain/%u/data/vchan-%d", self->domid,
		 getpid());
}

FIXTURE_TEARDOWN(e1_vchan)
{
	if (_metadata->exit_code)
		dom_destroy(self->name);
}

static int start_server(const char *name, const char *what, const char *path)
{
	char pid[32];

	if (dom_sh(name, pid, sizeof(pid),
		   "/gm/suites/clients/vchan %s %s </dev/null >/tmp/vchan.log 2>&1 & echo $!",
		   what, path))
		return -1;
	return atoi(pid);
}

/* The server writes event-channel last. */
static struct libxenvchan *connect_to(uint32_t domid, const char *path)
{
	struct libxenvchan *ch;

	if (!gm_wait(dom_xs_exists("%s/event-channel", path), DOM_AGENT_MS))
		return NULL;
	ch = libxenvchan_client_init(NULL, domid, path);
	if (ch)
		ch->blocking = 1;
	return ch;
}

/* Has the server in the guest ended? */
static bool server_ended(const char *name, int pid)
{
	return dom_sh(name, NULL, 0, "[ ! -e /proc/%d/exe ]", pid) == 0;
}

static void expect_nothing_left(struct __test_metadata *_metadata, uint32_t domid, int in_use,
				int granted)
{
	EXPECT_TRUE(gm_wait(gm_grants_in_use(domid) == in_use, DOM_GONE_MS))
		TH_LOG("%d grants in use, %d before", gm_grants_in_use(domid), in_use);
	EXPECT_TRUE(gm_wait(gm_grants_granted(domid) <= granted, DOM_GONE_MS))
		TH_LOG("%d grants, %d before", gm_grants_granted(domid), granted);
}

TEST_F_TIMEOUT(e1_vchan, carries_16_mib_both_ways, TEST_S)
{
	unsigned long long peer_up = 0, peer_down = 0;
	struct libxenvchan *ch;
	uint64_t up, down;
	char log[256];
	int server;

	server = start_server(self->name, "transfer", self->path);
	ASSERT_LT(0, server) WHY();
	ch = connect_to(self->domid, self->path);
	ASSERT_NE(NULL, ch);
	/* A page for the rings' heads, and the rings. */
	EXPECT_EQ(self->in_use + 1 + 2 * (int)(RING / GM_PAGE_SIZE),
		  gm_grants_in_use(self->domid));
	up = send_stream(ch, UP_SEED);
	EXPECT_NE(0, up);
	down = receive_stream(ch, DOWN_SEED);
	EXPECT_NE(0, down);
	libxenvchan_close(ch);

	EXPECT_TRUE(gm_wait(server_ended(self->name, server), DOM_AGENT_MS));
	EXPECT_EQ(0, dom_sh(self->name, log, sizeof(log), "cat /tmp/vchan.log")) WHY();
	EXPECT_EQ(2, sscanf(log, "%llx %llx", &peer_up, &peer_down)) TH_LOG("%s", log);
	EXPECT_EQ(up, peer_up);
	EXPECT_EQ(down, peer_down);
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

/* The guest's kernel clears the server's byte and sends the event: gntalloc's notification. */
TEST_F_TIMEOUT(e1_vchan, killed_server_is_noticed, TEST_S)
{
	struct libxenvchan *ch;
	int server;

	server = start_server(self->name, "endless", self->path);
	ASSERT_LT(0, server) WHY();
	ch = connect_to(self->domid, self->path);
	ASSERT_NE(NULL, ch);
	EXPECT_EQ(0, transfer_all(ch, buffer, CHUNK, libxenvchan_read));
	EXPECT_EQ(1, libxenvchan_is_open(ch));
	ASSERT_EQ(0, dom_sh(self->name, NULL, 0, "kill -9 %d", server)) WHY();
	/* What is in the ring is still to be had; then the end. */
	while (libxenvchan_read(ch, buffer, CHUNK) > 0)
		;
	EXPECT_EQ(0, libxenvchan_is_open(ch));
	libxenvchan_close(ch);
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

/* Connects, reads a little, says so with one byte, and waits to be killed. */
static void doomed_client(uint32_t domid, const char *path, int ready)
{
	struct libxenvchan *ch = connect_to(domid, path);
	char ok;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ok = ch && !transfer_all(ch, buffer, CHUNK, libxenvchan_read) ? 'y' : 'n';
	if (write(ready, &ok, 1) == 1)
		pause();
	_exit(1);
}

/* The same the other way round: gntdev's notification. */
TEST_F_TIMEOUT(e1_vchan, killed_client_is_noticed, TEST_S)
{
	int ready[2], server;
	char log[256], ok = 0;
	pid_t client;

	server = start_server(self->name, "endless", self->path);
	ASSERT_LT(0, server) WHY();
	ASSERT_EQ(0, pipe(ready));
	client = fork();
	ASSERT_LE(0, client);
	if (!client)
		doomed_client(self->domid, self->path, ready[1]);
	ASSERT_EQ(1, read(ready[0], &ok, 1));
	EXPECT_EQ('y', ok);
	EXPECT_FALSE(server_ended(self->name, server));
	ASSERT_EQ(0, kill(client, SIGKILL));
	ASSERT_EQ(client, waitpid(client, NULL, 0));

	EXPECT_TRUE(gm_wait(server_ended(self->name, server), DOM_AGENT_MS));
	EXPECT_EQ(0, dom_sh(self->name, log, sizeof(log), "cat /tmp/vchan.log")) WHY();
	EXPECT_STREQ("closed\n", log);
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
	close(ready[0]);
	close(ready[1]);
}

/* xen-utils' own program: its input to the vchan, what comes from there to its output. */
static pid_t start_proxy(uint32_t domid, const char *path, int *in, int *out)
{
	int to[2], from[2];
	char id[16];
	pid_t pid;

	if (pipe(to) || pipe(from))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(id, sizeof(id), "%u", domid);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[0]);
		close(to[1]);
		close(from[0]);
		close(from[1]);
		execlp("vchan-socket-proxy", "vchan-socket-proxy", "--mode=client", id, path, "-",
		       NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	*in = to[1];
	*out = from[0];
	return pid;
}

/* One chunk at a time: the pipes and rings hold it, so nobody waits for nobody. */
static int echo_chunk(int in, int out, unsigned int page)
{
	size_t done = 0;

	gm_fill(buffer, UP_SEED, page, CHUNK_PAGES);
	if (write(in, buffer, CHUNK) != (ssize_t)CHUNK)
		return -1;
	memset(buffer, 0, CHUNK);
	while (done < CHUNK) {
		ssize_t n = read(out, (char *)buffer + done, CHUNK - done);

		if (n <= 0)
			return -1;
		done += n;
	}
	return gm_check(buffer, UP_SEED, page, CHUNK_PAGES) == -1 ? 0 : -1;
}

TEST_F_TIMEOUT(e1_vchan, socket_proxy_carries_data, TEST_S)
{
	int server, in = -1, out = -1;
	pid_t proxy;

	server = start_server(self->name, "echo", self->path);
	ASSERT_LT(0, server) WHY();
	ASSERT_TRUE(gm_wait(dom_xs_exists("%s/event-channel", self->path), DOM_AGENT_MS));
	proxy = start_proxy(self->domid, self->path, &in, &out);
	ASSERT_LT(0, proxy);
	for (unsigned int page = 0; page < PROXY_BYTES / GM_PAGE_SIZE; page += CHUNK_PAGES) {
		ASSERT_EQ(0, echo_chunk(in, out, page)) {
			TH_LOG("at page %u", page);
		}
	}
	close(in);
	close(out);
	ASSERT_EQ(0, kill(proxy, SIGTERM));
	ASSERT_EQ(proxy, waitpid(proxy, NULL, 0));
	EXPECT_TRUE(gm_wait(server_ended(self->name, server), DOM_AGENT_MS));
	expect_nothing_left(_metadata, self->domid, self->in_use, self->granted);
}

/* The unmap notification then has nobody to go to: neither page nor port are the guest's. */
TEST_F_TIMEOUT(e1_vchan, close_after_destroy, TEST_S)
{
	struct libxenvchan *ch;
	struct dom_state state;
	struct dom_id id;

	ASSERT_EQ(0, dom_identify(self->name, &id)) WHY();
	ASSERT_LT(0, start_server(self->name, "endless", self->path)) WHY();
	ch = connect_to(self->domid, self->path);
	ASSERT_NE(NULL, ch);
	EXPECT_EQ(0, transfer_all(ch, buffer, CHUNK, libxenvchan_read));
	ASSERT_EQ(0, dom_xl("destroy %u", id.domid)) WHY();
	EXPECT_TRUE(gm_wait(dom_state(id.domid, &state) && state.dying, DOM_GONE_MS));
	/* The rings are still there. */
	EXPECT_LE(0, libxenvchan_data_ready(ch));
	libxenvchan_close(ch);
	EXPECT_EQ(0, dom_wait_gone(&id)) WHY();
}

static void clean_up(void)
{
	dom_destroy("e1-vchan-pv");
	dom_destroy("e1-vchan-pvh");
}

int main(int argc, char **argv)
{
	if (argc == 3 && argv[1][0] != '-')
		return peer(argv[1], argv[2]);
	atexit(clean_up);
	return test_harness_run(argc, argv);
}
