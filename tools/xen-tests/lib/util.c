// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time, memory and child processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gm.h"

/* Seconds of CLOCK_MONOTONIC. */
double gm_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Is the machine's kernel KERNEL=@name? */
bool gm_kernel_is(const char *name)
{
	const char *kernel = getenv("GM_KERNEL");

	return kernel && !strcmp(kernel, name);
}

/* How much slower than the developer's machine this one is: GM_SCALE, or 1. */
double gm_scale(void)
{
	const char *s = getenv("GM_SCALE");
	double scale = s ? atof(s) : 0;

	return scale > 0 ? scale : 1;
}

void gm_sleep_ms(int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000L,
	};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* For files of the kernel, which take what they want in one piece. */
int gm_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The first @size - 1 bytes of a file, and their number; empty if there is none. */
ssize_t gm_read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, len = 0;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	while (len < (ssize_t)size - 1) {
		n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	text[len] = '\0';
	close(fd);
	return n < 0 ? -EIO : len;
}

/* The number in the line "@name number" of a file, or -1. */
long gm_read_value(const char *path, const char *name)
{
	char line[128], key[64];
	long value, found = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", key, &value) == 2 && !strcmp(key, name))
			found = value;
	fclose(f);
	return found;
}

/* A line of /proc/meminfo in KiB, or -1. */
long gm_meminfo(const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s:", name);
	return gm_read_value("/proc/meminfo", key);
}

/* Waits for @pid to end, and ends it when it takes longer than @timeout_ms. */
static int wait_child(pid_t pid, int timeout_ms, int *status)
{
	struct pollfd pfd = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	bool late;

	late = timeout_ms && pfd.fd >= 0 &&
	       poll(&pfd, 1, timeout_ms * gm_scale()) == 0;
	if (late)
		kill(pid, SIGKILL);
	if (pfd.fd >= 0)
		close(pfd.fd);
	if (waitpid(pid, status, 0) != pid)
		return -errno;
	return late ? -ETIMEDOUT : 0;
}

/*
 * Runs a shell command, keeps the first size - 1 bytes of what it prints (stdout
 * and stderr) in @out. Its exit code, 128 + signal, or a negative errno: -ETIMEDOUT
 * when it took longer than @timeout_ms (0: as long as it likes) and was killed.
 *
 * The output goes through a file: a pipe would stay open for as long as anything
 * lives that the command left behind in the background.
 */
int gm_run(char *out, size_t size, int timeout_ms, const char *cmd)
{
	int fd, ret, status;
	ssize_t len = 0;
	pid_t pid;

	if (size)
		out[0] = '\0';
	fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		dup2(null, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", cmd, NULL);
		_exit(127);
	}
	ret = pid < 0 ? -errno : wait_child(pid, timeout_ms, &status);
	if (size) {
		len = pread(fd, out, size - 1, 0);
		out[len > 0 ? len : 0] = '\0';
	}
	close(fd);
	if (ret)
		return ret;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
