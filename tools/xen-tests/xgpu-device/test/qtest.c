// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qtest.h"

#define MAX_ARGS	64

/* The preload is for QEMU alone: whoever calls it may be a program that has no such symbols. */
static void run_qemu(int fd, const char *const *args)
{
	const char *argv[MAX_ARGS] = {
		"qemu-system-x86_64", "-accel", "qtest", "-display", "none", "-nodefaults",
		"-no-user-config", "-object", "qtest,id=qtest,chardev=qt,log=none", "-chardev",
	};
	char chardev[64], preload[8192];
	const char *xgpu = getenv("GM_XGPU"), *accel = getenv("GM_QTEST_ACCEL");
	const char *asan = getenv("GM_LIBASAN");
	int n = 10;

	if (!xgpu || !accel) {
		fprintf(stderr, "GM_XGPU and GM_QTEST_ACCEL have to name the libraries\n");
		_exit(127);
	}
	snprintf(chardev, sizeof(chardev), "socket,id=qt,fd=%d", fd);
	argv[n++] = chardev;
	while (*args && n < MAX_ARGS - 1)
		argv[n++] = *args++;
	snprintf(preload, sizeof(preload), "%s%s%s:%s", asan ? asan : "",
		 asan ? ":" : "", xgpu, accel);
	setenv("LD_PRELOAD", preload, 1);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

int qtest_start(struct qtest *q, const char *const *args)
{
	pid_t parent = getpid();
	int fds[2];

	*q = (struct qtest){ .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return -errno;
	q->pid = fork();
	if (q->pid < 0)
		return -errno;
	if (!q->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(fds[0]);
		run_qemu(fds[1], args);
	}
	close(fds[1]);
	q->fd = fds[0];
	return 0;
}

int qtest_stop(struct qtest *q)
{
	int status = 0;

	if (q->pid <= 0)
		return 0;
	/* One that has died already says why; a live one is ended. */
	if (waitpid(q->pid, &status, WNOHANG) == 0) {
		kill(q->pid, SIGKILL);
		waitpid(q->pid, &status, 0);
		status = 0;
	}
	close(q->fd);
	free(q->line);
	*q = (struct qtest){ .fd = -1 };
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* QEMU has gone: the test is over, and fails; the parent's exit ends what is left. */
static void gone(struct qtest *q, const char *command)
{
	int status = qtest_stop(q);

	fprintf(stderr, "# QEMU ended (%d) at: %.80s\n", status, command);
	abort();
}

static void send_all(struct qtest *q, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(q->fd, text, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			gone(q, text);
		text += n;
		len -= n;
	}
}

static const char *answer(struct qtest *q, const char *command)
{
	ssize_t n;
	char *end;

	q->have = 0;
	for (;;) {
		if (q->room - q->have < 4096) {
			q->room = q->room * 2 + 8192;
			q->line = realloc(q->line, q->room);
			if (!q->line)
				abort();
		}
		n = recv(q->fd, q->line + q->have, q->room - q->have - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			gone(q, command);
		q->have += n;
		q->line[q->have] = 0;
		end = strchr(q->line, '\n');
		if (!end)
			continue;
		*end = 0;
		if (strncmp(q->line, "OK", 2)) {
			fprintf(stderr, "# qtest: %.80s: %s\n", command, q->line);
			abort();
		}
		return q->line + 2;
	}
}

static const char *command(struct qtest *q, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	send_all(q, text, n);
	return answer(q, text);
}

uint32_t qtest_inl(struct qtest *q, uint16_t port)
{
	return strtoul(command(q, "inl 0x%x\n", port), NULL, 0);
}

void qtest_outl(struct qtest *q, uint16_t port, uint32_t value)
{
	command(q, "outl 0x%x 0x%x\n", port, value);
}

void qtest_outw(struct qtest *q, uint16_t port, uint16_t value)
{
	command(q, "outw 0x%x 0x%x\n", port, value);
}

void qtest_outb(struct qtest *q, uint16_t port, uint8_t value)
{
	command(q, "outb 0x%x 0x%x\n", port, value);
}

uint32_t qtest_readl(struct qtest *q, uint64_t addr)
{
	return strtoull(command(q, "readl 0x%" PRIx64 "\n", addr), NULL, 0);
}

uint64_t qtest_readq(struct qtest *q, uint64_t addr)
{
	return strtoull(command(q, "readq 0x%" PRIx64 "\n", addr), NULL, 0);
}

void qtest_writel(struct qtest *q, uint64_t addr, uint32_t value)
{
	command(q, "writel 0x%" PRIx64 " 0x%x\n", addr, value);
}

void qtest_writeq(struct qtest *q, uint64_t addr, uint64_t value)
{
	command(q, "writeq 0x%" PRIx64 " 0x%" PRIx64 "\n", addr, value);
}

static unsigned int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

void qtest_read(struct qtest *q, uint64_t addr, void *buf, size_t len)
{
	const char *hex = strchr(command(q, "read 0x%" PRIx64 " 0x%zx\n", addr, len), 'x');
	uint8_t *to = buf;
	size_t i;

	if (!hex++ || strlen(hex) < 2 * len)
		abort();
	for (i = 0; i < len; i++)
		to[i] = digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]);
}

void qtest_write(struct qtest *q, uint64_t addr, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	char *text = malloc(2 * len + 64);
	size_t i, n;

	if (!text)
		abort();
	n = sprintf(text, "write 0x%" PRIx64 " 0x%zx 0x", addr, len);
	for (i = 0; i < len; i++, n += 2)
		sprintf(text + n, "%02x", from[i]);
	text[n++] = '\n';
	text[n] = 0;
	send_all(q, text, n);
	answer(q, text);
	free(text);
}

void qtest_set(struct qtest *q, uint64_t addr, uint8_t byte, size_t len)
{
	command(q, "memset 0x%" PRIx64 " 0x%zx 0x%x\n", addr, len, byte);
}

void qtest_step(struct qtest *q, uint64_t ns)
{
	command(q, "clock_step %" PRIu64 "\n", ns);
}
