// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trace events, in an instance of tracefs of one's own: nobody else's tracing is
 * disturbed, and nothing of it gets in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gm.h"

#define TRACEFS		"/sys/kernel/tracing"
#define TEXT_SIZE	(4 << 20)
#define PATH_SIZE	192

/* Opens events/@system; -ENOENT if this kernel has no such events. */
int gm_trace_open(struct gm_trace *t, const char *system)
{
	char path[PATH_SIZE];
	int ret = 0;

	*t = (struct gm_trace){ .system = system };
	t->text = malloc(TEXT_SIZE);
	if (!t->text)
		return -ENOMEM;
	if (access(TRACEFS "/events", F_OK)) {
		if (mount("none", TRACEFS, "tracefs", 0, NULL))
			return -errno;
		t->mounted = true;
	}
	snprintf(path, sizeof(path), TRACEFS "/events/%s", system);
	if (access(path, F_OK))
		return -ENOENT;
	snprintf(t->instance, sizeof(t->instance), TRACEFS "/instances/gm-%s", system);
	if (mkdir(t->instance, 0700)) {
		ret = -errno;
		t->instance[0] = '\0';
	}
	return ret;
}

/* Also after an open that failed. */
int gm_trace_close(struct gm_trace *t)
{
	int ret = 0;

	if (t->instance[0] && rmdir(t->instance))
		ret = -errno;
	if (t->mounted && umount(TRACEFS))
		ret = -errno;
	free(t->text);
	*t = (struct gm_trace){};
	return ret;
}

/* All events of the system, from now on or no longer. */
int gm_trace_enable(struct gm_trace *t, bool on)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/events/%s/enable", t->instance, t->system);
	return gm_write_file(path, on ? "1" : "0");
}

/* What was traced, in lines; valid until the next call. */
const char *gm_trace_text(struct gm_trace *t)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/trace", t->instance);
	gm_read_file(path, t->text, TEXT_SIZE);
	return t->text;
}

/* Has the event the field, by its format file? Both exist, or it is false. */
bool gm_trace_has_field(struct gm_trace *t, const char *event, const char *field)
{
	char path[PATH_SIZE], declared[64];

	snprintf(path, sizeof(path), TRACEFS "/events/%s/%s/format", t->system, event);
	if (gm_read_file(path, t->text, TEXT_SIZE) < 0)
		return false;
	snprintf(declared, sizeof(declared), " %s;", field);
	return strstr(t->text, declared);
}

/* A line of @text has @event and, after it, @want. */
bool gm_trace_has(const char *text, const char *event, const char *want)
{
	const char *end;

	for (; (text = strstr(text, event)); text = end) {
		const char *hit = strstr(text, want);

		end = strchrnul(text, '\n');
		if (hit && hit < end)
			return true;
	}
	return false;
}
