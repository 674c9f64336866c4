// SPDX-License-Identifier: GPL-2.0-only
/*
 * labrun: start one QEMU, follow what it reports, and always end it.
 *
 * usage: labrun --mode test|run|shell --name LAB --console LOG [--keys FIFO] [--one-port] [--log DIR]
 *               [--results DIR] [--benign FILE] [--silence S] [--total S] [--nudge S]
 *               [--may-be-empty] -- qemu-system-x86_64 ARGS...
 *
 * --keys: the console is Xen's, and what is written to FIFO is typed at it. A machine that
 * stands still is asked by Xen's debug keys what its processors are at, before it is ended.
 *
 * --nudge: a machine without a result for S seconds gets a byte on the results channel, and S
 * seconds later another. Nobody in there reads it; what counts is the interrupt. The emulator can
 * lose one (lab.md, Traps: VMRUN), and when that was Xen's timer, the next interrupt is
 * what Xen waits for; without any other device that is for ever.
 *
 * labrun adds the results channel, the machine's second serial port, to ARGS; it
 * is one end of a socket pair, so that it comes and goes with the two processes.
 * With --one-port it is the first, which is the console, too: LOG is what came over it.
 *
 * QEMU must not outlive the run, however that ends:
 *  - Ctrl-C, SIGTERM, SIGHUP: QEMU sits in a process group of its own (a Ctrl-C
 *    is for labrun alone), is asked to end, and killed when it does not;
 *  - SIGKILL of labrun: the kernel kills QEMU (PR_SET_PDEATHSIG);
 *  - SIGKILL of make or of a script above: labrun watches its parent and the
 *    process that $GM_OWNER names, and ends as for SIGTERM when one is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "labrun.h"

/* To power off after the job, before scaling. */
#define POWER_OFF_SECONDS	60
/*
 * Ctrl-A, three times, makes Xen listen. d: registers of each processor; q: domains and their
 * processors; r: who runs and who waits; a: timers; e: event channels.
 */
#define XEN_LISTEN		"\1\1\1"
#define XEN_KEYS		"dqrae"
/* For the answer to one; a key that comes meanwhile is lost. */
#define XEN_KEY_MS		2000
#define XEN_LINES		400
/* For QEMU to obey SIGTERM; it flushes the console log then. */
#define TERM_MS			3000
#define MAX_ARGS		256

struct options {
	enum mode mode;
	const char *name;
	const char *console;
	const char *keys;
	const char *log_dir;
	const char *results_dir;
	const char *benign;
	bool one_port;
	bool may_be_empty;	/* one test is asked for, it may be elsewhere */
	double silence;		/* seconds without a line; 0: for ever */
	double total;		/* seconds in all; 0: for ever */
	double nudge;		/* seconds without a line; 0: never */
	double scale;
	char **argv;
};

struct machine {
	pid_t pid;		/* 0 once it has been reaped */
	int status;
	bool own_group;
	int channel;		/* -1 once closed */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void usage(void)
{
	fprintf(stderr, "usage: labrun --mode test|run|shell --name LAB --console LOG [--keys FIFO] [--one-port] [--log DIR] [--results DIR] [--benign FILE] [--silence S] [--total S] [--nudge S] [--may-be-empty] -- QEMU ARGS...\n");
	exit(2);
}

static enum mode parse_mode(const char *s)
{
	if (!strcmp(s, "test"))
		return MODE_TEST;
	if (!strcmp(s, "run"))
		return MODE_RUN;
	if (!strcmp(s, "shell"))
		return MODE_SHELL;
	usage();
	return MODE_TEST;
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "name", required_argument, NULL, 'n' },
		{ "console", required_argument, NULL, 'c' },
		{ "keys", required_argument, NULL, 'k' },
		{ "one-port", no_argument, NULL, 'o' },
		{ "log", required_argument, NULL, 'l' },
		{ "results", required_argument, NULL, 'r' },
		{ "benign", required_argument, NULL, 'b' },
		{ "silence", required_argument, NULL, 's' },
		{ "total", required_argument, NULL, 't' },
		{ "nudge", required_argument, NULL, 'u' },
		{ "may-be-empty", no_argument, NULL, 'e' },
		{ }
	};
	const char *scale = getenv("GM_SCALE");
	int c;

	*o = (struct options){ .log_dir = ".", .results_dir = "." };
	o->scale = scale ? atof(scale) : 1;
	if (o->scale <= 0)
		o->scale = 1;
	while ((c = getopt_long(argc, argv, "+", opts, NULL)) != -1) {
		switch (c) {
		case 'm':
			o->mode = parse_mode(optarg);
			break;
		case 'n':
			o->name = optarg;
			break;
		case 'c':
			o->console = optarg;
			break;
		case 'k':
			o->keys = optarg;
			break;
		case 'o':
			o->one_port = true;
			break;
		case 'l':
			o->log_dir = optarg;
			break;
		case 'r':
			o->results_dir = optarg;
			break;
		case 'b':
			o->benign = optarg;
			break;
		case 's':
			o->silence = atof(optarg) * o->scale;
			break;
		case 't':
			o->total = atof(optarg) * o->scale;
			break;
		case 'u':
			o->nudge = atof(optarg);
			break;
		case 'e':
			o->may_be_empty = true;
			break;
		default:
			usage();
		}
	}
	o->argv = argv + optind;
	if (!o->name || !o->console || !o->argv[0])
		usage();
}

/* -- the machine ------------------------------------------------------------ */

static void child(const struct options *o, int channel, pid_t parent)
{
	char chardev[4096], path[4096];
	char *argv[MAX_ARGS];
	sigset_t none;
	int n, fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* labrun may have died before the line above took effect. */
	if (getppid() != parent)
		_exit(127);
	if (o->mode != MODE_SHELL) {
		setpgid(0, 0);
		fd = open("/dev/null", O_RDONLY);
		dup2(fd, 0);
		snprintf(path, sizeof(path), "%s/qemu.log", o->log_dir);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
			close(fd);
		}
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	for (n = 0; o->argv[n] && n < MAX_ARGS - 5; n++)
		argv[n] = o->argv[n];
	snprintf(chardev, sizeof(chardev), "socket,id=gm,fd=%d%s%s", channel,
		 o->one_port ? ",logfile=" : "", o->one_port ? o->console : "");
	argv[n++] = "-chardev";
	argv[n++] = chardev;
	argv[n++] = "-serial";
	argv[n++] = "chardev:gm";
	argv[n] = NULL;
	execvp(argv[0], argv);
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int start(struct machine *m, const struct options *o)
{
	pid_t self = getpid();
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		return -1;
	fcntl(sv[0], F_SETFD, FD_CLOEXEC);
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	m->pid = fork();
	if (m->pid < 0)
		return -1;
	if (!m->pid)
		child(o, sv[1], self);
	close(sv[1]);
	m->channel = sv[0];
	m->own_group = o->mode != MODE_SHELL;
	if (m->own_group)
		setpgid(m->pid, m->pid);
	return 0;
}

static bool reap(struct machine *m)
{
	if (m->pid && waitpid(m->pid, &m->status, WNOHANG) == m->pid)
		m->pid = 0;
	return !m->pid;
}

/* Only ever signals what start() has started. */
static void stop(struct machine *m)
{
	pid_t target = m->own_group ? -m->pid : m->pid;
	double end = now() + TERM_MS / 1000.0;

	if (!m->pid)
		return;
	kill(target, SIGTERM);
	while (!reap(m) && now() < end)
		poll(NULL, 0, 20);
	/* What is left of the group, even when its leader has gone. */
	if (m->own_group || m->pid)
		kill(target, SIGKILL);
	if (m->pid && waitpid(m->pid, &m->status, 0) == m->pid)
		m->pid = 0;
}

/* -- the channel ------------------------------------------------------------ */

struct lines {
	char buf[65536];
	size_t len;
};

/* Hands on every complete line. Returns false at the end of the channel. */
static bool drain(struct machine *m, struct lines *l, struct report *r, double *last)
{
	char *eol;
	ssize_t n;

	for (;;) {
		n = read(m->channel, l->buf + l->len, sizeof(l->buf) - 1 - l->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		*last = now();
		l->len += n;
		l->buf[l->len] = '\0';
		while ((eol = memchr(l->buf, '\n', l->len))) {
			size_t used = eol + 1 - l->buf;

			*eol = '\0';
			report_line(r, l->buf);
			l->len -= used;
			memmove(l->buf, l->buf + used, l->len + 1);
		}
		/* A line that fills the buffer is cut here. */
		if (l->len == sizeof(l->buf) - 1) {
			report_line(r, l->buf);
			l->len = 0;
		}
	}
}

/* -- watching --------------------------------------------------------------- */

enum {
	FD_SIGNAL,
	FD_CHANNEL,
	FD_PARENT,
	FD_OWNER,
	NR_FDS,
};

/* When the channel is full nobody empties it, and its interrupt is there to be served. */
static void nudge(const struct machine *m)
{
	(void)!send(m->channel, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * Follows the machine until it ends, is overdue, or labrun has to go. Returns
 * the signal to go with, or 0; *why is set when the run went wrong.
 */
static int watch(struct machine *m, const struct options *o, struct report *r,
		 struct pollfd *fds, char *why, size_t size)
{
	static struct lines l;
	double begun = now(), last = begun, nudged = begun, done = 0, end, t;
	struct signalfd_siginfo si;

	fds[FD_CHANNEL].fd = m->channel;
	for (;;) {
		t = now();
		end = t + 3600;
		if (report_done(r)) {
			if (!done)
				done = t;
			end = done + POWER_OFF_SECONDS * o->scale;
			if (t >= end) {
				snprintf(why, size, "the job was done, but the machine did not power off within %.0f s",
					 t - done);
				return 0;
			}
		} else {
			if (o->silence && last + o->silence < end)
				end = last + o->silence;
			if (o->total && begun + o->total < end)
				end = begun + o->total;
			if (o->total && t >= begun + o->total) {
				snprintf(why, size, "not done after %.0f s in all", t - begun);
				return 0;
			}
			if (o->silence && t >= last + o->silence) {
				snprintf(why, size, "hang: no sign of life for %.0f s", t - last);
				return 0;
			}
		}
		/* Before the first line, the port may be one that echoes. */
		if (o->nudge && last > begun) {
			if (nudged < last)
				nudged = last;
			if (t >= nudged + o->nudge) {
				nudge(m);
				nudged = t;
			}
			if (nudged + o->nudge < end)
				end = nudged + o->nudge;
		}
		fflush(stdout);
		if (poll(fds, NR_FDS, (int)((end - t) * 1000) + 1) < 0 && errno != EINTR) {
			snprintf(why, size, "poll: %s", strerror(errno));
			return 0;
		}
		if (fds[FD_CHANNEL].fd >= 0 && fds[FD_CHANNEL].revents &&
		    !drain(m, &l, r, &last))
			fds[FD_CHANNEL].fd = -1;
		if (fds[FD_PARENT].revents || fds[FD_OWNER].revents)
			return SIGTERM;
		if (fds[FD_SIGNAL].revents &&
		    read(fds[FD_SIGNAL].fd, &si, sizeof(si)) == sizeof(si) &&
		    si.ssi_signo != SIGCHLD)
			return si.ssi_signo;
		if (reap(m)) {
			drain(m, &l, r, &last);
			break;
		}
	}
	if (o->mode != MODE_SHELL && !report_done(r)) {
		if (WIFSIGNALED(m->status))
			snprintf(why, size, "QEMU was killed by signal %d before the job was done",
				 WTERMSIG(m->status));
		else
			snprintf(why, size, "the machine ended (status %d) before the job was done",
				 WEXITSTATUS(m->status));
	}
	return 0;
}

/* Open for both, so that neither end waits for the other to open it. */
static int open_keys(const char *fifo)
{
	unlink(fifo);
	if (mkfifo(fifo, 0600))
		return -1;
	return open(fifo, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

static void ask_xen(const struct options *o, int keys)
{
	long size = console_size(o->console);
	const char *key;

	if (write(keys, XEN_LISTEN, strlen(XEN_LISTEN)) < 0)
		return;
	for (key = XEN_KEYS; *key; key++) {
		poll(NULL, 0, XEN_KEY_MS);
		if (write(keys, key, 1) < 0)
			return;
	}
	poll(NULL, 0, XEN_KEY_MS);
	console_from(o->console, size, XEN_LINES);
}

static int pidfd_of(const char *text)
{
	pid_t pid = text ? atoi(text) : 0;

	return pid > 1 ? pidfd_open(pid, 0) : -1;
}

static void check_console(const struct options *o, struct report *r)
{
	char why[128];
	int n = console_trouble(o->console, o->benign);

	if (n < 0)
		report_own_test(r, "console_clean", "the console log cannot be read");
	else if (n) {
		snprintf(why, sizeof(why), "%d lines of trouble on the console (%s)", n, o->name);
		report_own_test(r, "console_clean", why);
	} else {
		report_own_test(r, "console_clean", NULL);
	}
}

int main(int argc, char **argv)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
	struct pollfd fds[NR_FDS] = { };
	struct termios tty;
	struct machine m = { };
	struct options o;
	struct report *r;
	char parent[16], why[256] = "";
	int sig, keys = -1;
	bool has_tty;
	sigset_t set;
	size_t i;

	parse(&o, argc, argv);
	/* What belongs together in one piece (watch()): other labs print there, too. */
	setvbuf(stdout, NULL, _IOFBF, 65536);
	signal(SIGPIPE, SIG_IGN);
	has_tty = !tcgetattr(0, &tty);

	sigemptyset(&set);
	for (i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (i = 0; i < NR_FDS; i++)
		fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	fds[FD_SIGNAL].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	snprintf(parent, sizeof(parent), "%d", getppid());
	fds[FD_PARENT].fd = pidfd_of(parent);
	fds[FD_OWNER].fd = pidfd_of(getenv("GM_OWNER"));

	if (o.keys)
		keys = open_keys(o.keys);
	r = report_new(o.mode, o.name, o.results_dir);
	if (!r || fds[FD_SIGNAL].fd < 0 || (o.keys && keys < 0) || start(&m, &o)) {
		perror("labrun");
		return 2;
	}
	if (o.may_be_empty)
		report_may_be_empty(r);
	if (o.one_port)
		report_is_console(r);
	sig = watch(&m, &o, r, fds, why, sizeof(why));
	if (why[0] && m.pid) {
		/* Its last words, before others are put into its mouth */
		report_incident(r, why, o.console);
		why[0] = '\0';
		if (keys >= 0)
			ask_xen(&o, keys);
	}
	stop(&m);
	if (has_tty && o.mode == MODE_SHELL)
		tcsetattr(0, TCSANOW, &tty);
	if (sig) {
		fflush(stdout);
		/* End by the same signal, so that a shell or make above stops too. */
		fprintf(stderr, "%s: stopped\n", o.name);
		sigdelset(&set, sig);
		signal(sig, SIG_DFL);
		raise(sig);
		sigprocmask(SIG_SETMASK, &set, NULL);
		return 128 + sig;
	}
	if (why[0])
		report_incident(r, why, o.console);
	if (o.mode != MODE_SHELL)
		check_console(&o, r);
	return report_end(r);
}
