// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a program: in a process of its own, with a thread for each thread that it has, all of
 * them at once. Whatever it does, it does to that process: when that has gone, with all of its
 * children, the machine has to be as before (judge.c).
 *
 * A call that touches memory which is not there ends with the signal, and the next one comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

/* A program takes some milliseconds; one that waits for what never comes is ended. */
#define LATE_MS		2000
/* What has been killed has to be gone after that, on a busy machine too. */
#define STUCK_MS	60000

char *fz_verdict;
static const struct fz_prog *running;
static atomic_uint waiting_for;

static __thread sigjmp_buf call_env;
static __thread bool in_call;
static __thread int nth_fd;

static void on_signal(int sig)
{
	if (!in_call)
		_exit(128 + sig);
	siglongjmp(call_env, sig);
}

/* ---- failures ---- */

static void write_nth(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (nth_fd >= 0 && pwrite(nth_fd, text, len, 0) != len)
		nth_fd = -1;
}

void fz_fail_nth(unsigned int nth)
{
	write_nth(nth);
}

/* Takes back what fz_fail_nth() has said; how much of it was left. */
unsigned int fz_disarm(void)
{
	char text[16] = "";

	if (nth_fd < 0 || pread(nth_fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	if (atoi(text))
		write_nth(0);
	return atoi(text);
}

void fz_rearm(unsigned int nth)
{
	if (nth)
		write_nth(nth);
}

/* ---- in the process of the program ---- */

static void *run_thread(void *arg)
{
	unsigned int thread = (uintptr_t)arg;
	const struct fz_prog *p = running;

	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	cover_on(thread);
	atomic_fetch_sub(&waiting_for, 1);
	while (atomic_load(&waiting_for))
		sched_yield();
	for (unsigned int i = 0; i < p->nr; i++) {
		if (p->call[i].thread != thread)
			continue;
		if (!sigsetjmp(call_env, 0)) {
			in_call = true;
			p->call[i].type->run(p->call[i].arg);
		}
		in_call = false;
	}
	fz_disarm();
	return NULL;
}

static void become_program(const struct fz_prog *p)
{
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	pthread_t threads[FZ_THREADS];
	bool used[FZ_THREADS] = { true };
	const char *wrong;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	running = p;
	for (unsigned int i = 0; i < p->nr; i++)
		used[p->call[i].thread] = true;
	waiting_for = 0;
	for (int t = 0; t < FZ_THREADS; t++)
		waiting_for += used[t];
	for (uintptr_t t = 1; t < FZ_THREADS; t++)
		if (used[t] && pthread_create(&threads[t], NULL, run_thread, (void *)t))
			_exit(1);
	run_thread(NULL);
	for (int t = 1; t < FZ_THREADS; t++)
		if (used[t])
			pthread_join(threads[t], NULL);
	wrong = fz_target->finish ? fz_target->finish() : NULL;
	if (wrong)
		snprintf(fz_verdict, FZ_VERDICT, "%s", wrong);
	_exit(0);
}

/* ---- around it ---- */

/* Children of a program that are left when it has ended are ours to bury. */
int fz_exec_init(void)
{
	fz_verdict = mmap(NULL, FZ_VERDICT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	if (fz_verdict == MAP_FAILED)
		return -1;
	return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static bool ends_within(pid_t pid, int ms)
{
	struct pollfd pfd = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int ret;

	if (pfd.fd < 0)
		return false;
	ret = poll(&pfd, 1, ms * gm_scale());
	close(pfd.fd);
	return ret == 1;
}

/* All of a process group, whose leader has been ours, has gone. */
static bool buried(pid_t group)
{
	pid_t pid;

	do {
		pid = waitpid(-group, NULL, WNOHANG);
	} while (pid > 0);
	return pid < 0 && errno == ECHILD;
}

enum fz_end fz_exec(const struct fz_prog *p)
{
	enum fz_end end = FZ_DONE;
	pid_t pid;

	cover_reset();
	fz_verdict[0] = '\0';
	if (fz_target->before)
		fz_target->before();
	pid = fork();
	if (!pid)
		become_program(p);
	if (pid < 0) {
		perror("gm-fuzz: fork");
		exit(1);
	}
	/* Both do it: whichever comes first. */
	setpgid(pid, pid);
	if (!ends_within(pid, LATE_MS))
		end = FZ_LATE;
	kill(-pid, SIGKILL);
	if (!gm_wait(buried(pid), STUCK_MS))
		end = FZ_STUCK;
	return end;
}
