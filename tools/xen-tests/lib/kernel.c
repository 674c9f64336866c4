// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel says when it finds itself wrong: its log, and kmemleak.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gm.h"

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
/* Objects that are younger are not looked at. */
#define KMEMLEAK_AGE_MS 6000

/* labrun looks for more of them, at the end (lab/console.c). */
static const char *const complaints[] = {
	"WARNING:",
	"BUG:",
	"Bad page",
	"refcount_t:",
	"not unmapped:",
	"UBSAN:",
	"ODEBUG:",
	"possible circular locking",
	"possible recursive locking",
	"inconsistent lock state",
	"suspicious RCU usage",
	"blocked for more than",
	"INFO: trying to register",
	"unreferenced object",
	"Bad rss-counter",
};

/* Reads the kernel's log from its end on; or a negative errno. */
int gm_kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lseek(fd, 0, SEEK_END);
	return fd;
}

/* The next complaint in the kernel's log since the last call, or NULL. */
const char *gm_kmsg_complaint(int fd, char *line, size_t size)
{
	ssize_t len;

	for (;;) {
		len = read(fd, line, size - 1);
		if (len < 0 && errno == EPIPE)
			continue; /* some were overwritten meanwhile */
		if (len <= 0)
			return NULL;
		line[len] = '\0';
		for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++)
			if (strstr(line, complaints[i]))
				return line;
	}
}

/*
 * How many objects kmemleak takes for lost; 0 where there is none, or a negative errno. It is
 * asked twice: a pointer that was on its way during the first scan is not missed again.
 */
int gm_kmemleak(void)
{
	char line[256];
	int n = 0, ret;
	FILE *f;

	if (access(KMEMLEAK, W_OK))
		return 0;
	for (int i = 0; i < 2; i++) {
		gm_sleep_ms(KMEMLEAK_AGE_MS);
		ret = gm_write_file(KMEMLEAK, "scan");
		if (ret)
			return ret;
	}
	f = fopen(KMEMLEAK, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		n += !strncmp(line, "unreferenced", strlen("unreferenced"));
	fclose(f);
	return n;
}
