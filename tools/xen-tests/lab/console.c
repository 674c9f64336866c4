// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console log: Xen, dom0's kernel, and (dumped there by dom0's init at the
 * end) the guests' consoles. A test can pass while the kernel below it has
 * printed a splat; this is where that is noticed.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "labrun.h"

/*
 * How a kernel, a hypervisor or a program in trouble says so. "implicitly unmap"
 * is Xen finding a grant still mapped when its mapper has gone.
 */
static const char trouble[] =
	"BUG: |kernel BUG at|WARNING: |Oops: |Oops\\[|Kernel panic|"
	"general protection fault|Unable to handle kernel|possible circular locking|"
	"possible recursive locking|inconsistent lock state|suspicious RCU usage|"
	"blocked for more than [0-9]+ seconds|self-detected stall|detected stalls|"
	"soft lockup|hard LOCKUP|Bad page (state|map)|Bad rss-counter|"
	"nobody cared|refcount_t: |implicitly unmap|segfault at|"
	"multicall\\(s\\) failed|not unmapped: status|"
	"traps: .* trap |malloc\\(\\): |stack smashing|FATAL TRAP|Xen BUG at|"
	"Assertion .* failed|Out of memory: Killed|page allocation failure|"
	"kmemleak: [1-9]|kmemleak: Memory pool empty|UBSAN: |ODEBUG: |"
	"INFO: trying to register non-static key|turning off the locking correctness";

#define MAX_BENIGN	64
#define MAX_SHOWN	12

struct benign {
	regex_t re[MAX_BENIGN];
	int n;
};

/* A file that is not there excuses nothing. */
static int benign_load(struct benign *b, const char *path)
{
	char line[1024];
	FILE *f = path ? fopen(path, "r") : NULL;

	b->n = 0;
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\t\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		if (b->n == MAX_BENIGN ||
		    regcomp(&b->re[b->n], line, REG_EXTENDED | REG_NOSUB)) {
			fprintf(stderr, "error: %s: cannot use \"%s\"\n", path, line);
			fclose(f);
			return -1;
		}
		b->n++;
	}
	fclose(f);
	return 0;
}

static bool excused(const struct benign *b, const char *line)
{
	int i;

	for (i = 0; i < b->n; i++)
		if (!regexec(&b->re[i], line, 0, NULL, 0))
			return true;
	return false;
}

int console_trouble(const char *path, const char *benign)
{
	static struct benign b;
	char *line = NULL;
	size_t size = 0;
	regex_t re;
	int found = 0, i;
	FILE *f;

	if (benign_load(&b, benign))
		return -1;
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (regcomp(&re, trouble, REG_EXTENDED | REG_NOSUB)) {
		fclose(f);
		return -1;
	}
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		if (regexec(&re, line, 0, NULL, 0) || excused(&b, line))
			continue;
		if (found++ < MAX_SHOWN)
			printf("# console: %s\n", line);
	}
	free(line);
	fclose(f);
	regfree(&re);
	for (i = 0; i < b.n; i++)
		regfree(&b.re[i]);
	return found;
}

long console_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_size;
}

void console_from(const char *path, long start, int lines)
{
	FILE *f = fopen(path, "r");
	char line[1024];

	if (!f)
		return;
	if (!fseek(f, start, SEEK_SET))
		while (lines-- > 0 && fgets(line, sizeof(line), f))
			printf("#   console: %.*s\n", (int)strcspn(line, "\r\n"), line);
	fclose(f);
}

void console_tail(const char *path, int lines)
{
	long start = -8192;
	char buf[8193], *p;
	size_t n;
	FILE *f = fopen(path, "r");

	if (!f)
		return;
	if (fseek(f, start, SEEK_END))
		rewind(f);
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	for (p = buf + n; p > buf && lines >= 0; p--)
		if (p[-1] == '\n')
			lines--;
	/* The loop has gone one line end too far, unless the log is short. */
	if (lines < 0)
		p++;
	while (*p) {
		n = strcspn(p, "\r\n");
		if (n)
			printf("#   console: %.*s\n", (int)n, p);
		p += n + strspn(p + n, "\r\n");
	}
}
