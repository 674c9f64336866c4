// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time, memory and child processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The kernel's slab memory in KiB, or -1. */
long gm_slab_kb(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	long kb = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %ld kB", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

/*
 * Runs a shell command, keeps the first size - 1 bytes of what it prints (stdout
 * and stderr) in @out. Its exit code, 128 + signal, or a negative errno.
 *
 * The output goes through a file: a pipe would stay open for as long as anything
 * lives that the command left behind in the background.
 */
int gm_run(char *out, size_t size, const char *cmd)
{
	int fd, status;
	ssize_t len = 0;
	pid_t pid;

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
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		int err = errno;

		close(fd);
		return -err;
	}
	if (size) {
		len = pread(fd, out, size - 1, 0);
		out[len > 0 ? len : 0] = '\0';
	}
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
