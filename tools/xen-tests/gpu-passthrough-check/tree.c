// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where everything is read from: files below a root directory, and programs' output.
 *
 * With a root directory that is not this machine's, no program runs: what xl says is
 * then in the files xl/info, xl/dmesg and xl/pci-assignable-list there. So a machine can
 * be judged from a copy of its sysfs, and every answer can be tested.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* More than Xen's largest log and the largest configuration of a kernel */
#define TEXT_MAX (16UL << 20)
/* xl answers at once, or waits for a daemon that is not there. */
#define COMMAND_SECONDS 30

const char *tree_root = "";

static bool make_path(char *path, const char *fmt, va_list ap)
{
	int n = snprintf(path, PATH_MAX, "%s", tree_root);
	int m;

	if (n < 0 || n >= PATH_MAX)
		return false;
	m = vsnprintf(path + n, PATH_MAX - n, fmt, ap);
	return m >= 0 && m < PATH_MAX - n;
}

#define MAKE_PATH(path, fmt) \
	({ \
		va_list ap; \
		bool made; \
\
		va_start(ap, fmt); \
		made = make_path(path, fmt, ap); \
		va_end(ap); \
		made; \
	})

bool tree_has(const char *fmt, ...)
{
	char path[PATH_MAX];

	return MAKE_PATH(path, fmt) && !access(path, F_OK);
}

/* All that can be read of @fd, with a final 0; NULL: nothing can */
static char *read_all(int fd, size_t *len)
{
	size_t size = 4096, used = 0;
	char *text = malloc(size), *larger;
	ssize_t n;

	while (text && (n = read(fd, text + used, size - used - 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return NULL;
		}
		used += n;
		if (used < size - 1)
			continue;
		if (size >= TEXT_MAX)
			break;
		larger = realloc(text, size *= 2);
		if (!larger)
			free(text);
		text = larger;
	}
	if (!text)
		return NULL;
	text[used] = 0;
	*len = used;
	return text;
}

static char *read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;

	if (fd < 0)
		return NULL;
	text = read_all(fd, len);
	close(fd);
	return text;
}

/* A file's text, to be freed; NULL: it cannot be read */
char *tree_text(const char *fmt, ...)
{
	char path[PATH_MAX];
	size_t len;

	return MAKE_PATH(path, fmt) ? read_file(path, &len) : NULL;
}

/* A file's first line; false, and an empty line: it cannot be read */
bool tree_line(char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], *text = NULL;
	size_t len;

	buf[0] = 0;
	if (MAKE_PATH(path, fmt))
		text = read_file(path, &len);
	if (!text)
		return false;
	text[strcspn(text, "\n")] = 0;
	snprintf(buf, size, "%s", text);
	free(text);
	return true;
}

/* The first bytes of a file; -1: it cannot be read */
long tree_bytes(void *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], *text = NULL;
	size_t len;

	if (MAKE_PATH(path, fmt))
		text = read_file(path, &len);
	if (!text)
		return -1;
	if (len > size)
		len = size;
	memcpy(buf, text, len);
	free(text);
	return len;
}

/* The last part of where a symbolic link points */
bool tree_link(char *buf, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], to[PATH_MAX], *last;
	ssize_t n;

	buf[0] = 0;
	if (!MAKE_PATH(path, fmt))
		return false;
	n = readlink(path, to, sizeof(to) - 1);
	if (n < 0)
		return false;
	to[n] = 0;
	last = strrchr(to, '/');
	snprintf(buf, size, "%s", last ? last + 1 : to);
	return true;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.' && strlen(d->d_name) < TREE_NAME;
}

/* The sorted names in a directory; 0: none, or it cannot be read */
unsigned int tree_list(char ***names, const char *fmt, ...)
{
	char path[PATH_MAX];
	struct dirent **d = NULL;
	unsigned int used = 0;
	int i, n = MAKE_PATH(path, fmt) ? scandir(path, &d, not_hidden, alphasort) : 0;

	*names = n > 0 ? calloc(n, sizeof(**names)) : NULL;
	for (i = 0; i < n; i++) {
		if (*names)
			(*names)[used] = strdup(d[i]->d_name);
		if (*names && (*names)[used])
			used++;
		free(d[i]);
	}
	free(d);
	return used;
}

void tree_list_free(char **names, unsigned int n)
{
	while (n)
		free(names[--n]);
	free(names);
}

/* A number as sysfs writes it, with nothing behind it */
bool tree_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return end != text && !*end && !errno;
}

/* What a program prints, to be freed; NULL: it failed, or printed nothing */
static char *run(char *const argv[])
{
	char *text = NULL;
	size_t len = 0;
	int fds[2], status = 0, null;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(fds[1], 1);
		dup2(null, 2);
		/* Goes on after exec */
		alarm(COMMAND_SECONDS);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	if (pid > 0)
		text = read_all(fds[0], &len);
	close(fds[0]);
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	if (text && (status || !len)) {
		free(text);
		text = NULL;
	}
	return text;
}

/* The kernel's configuration: its own copy, or what the package of the kernel left. */
char *tree_config(const char *release)
{
	char path[PATH_MAX];
	char *const unpack[] = { "gzip", "-dc", path, NULL };
	char *text;

	/* An unpacked copy is what a directory that is not this machine's may have. */
	text = tree_text("/proc/config");
	if (text)
		return text;
	snprintf(path, sizeof(path), "%s/proc/config.gz", tree_root);
	text = access(path, R_OK) ? NULL : run(unpack);
	return text ?: tree_text("/boot/config-%s", release);
}

/* What `xl @command` prints; NULL: nothing, for whatever reason (xl_hint() has a guess) */
char *tree_xl(const char *command)
{
	char *const argv[] = { "xl", (char *)command, NULL };

	return *tree_root ? tree_text("/xl/%s", command) : run(argv);
}
