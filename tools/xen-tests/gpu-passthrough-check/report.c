// SPDX-License-Identifier: GPL-2.0-only
/*
 * What was found, in the order in which it was found, for people and for programs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* What stands before what has to be done, below the text of a line */
#define INDENT 25

struct finding {
	char device[TREE_NAME]; /* "": the machine */
	char check[16];
	enum verdict verdict;
	char *text;
	char *todo; /* or NULL */
};

static struct finding *findings;
static unsigned int nr;
static unsigned int count[UNSEEN + 1];

static const char *const label[] = { "OK", "WARN", "FAIL", "?" };
static const char *const json_label[] = { "ok", "warning", "failure", "unseen" };

/* From files: a terminal gets none of their control characters. */
static char *format(const char *fmt, va_list ap)
{
	char *text, *c;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	for (c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return text;
}

/* @device: NULL for the machine; @check: one word that programs can look for */
void found(const char *device, const char *check, enum verdict verdict, const char *fmt, ...)
{
	struct finding *f;
	va_list ap;

	findings = reallocarray(findings, nr + 1, sizeof(*findings));
	if (!findings)
		abort();
	f = &findings[nr++];
	snprintf(f->device, sizeof(f->device), "%s", device ?: "");
	snprintf(f->check, sizeof(f->check), "%s", check);
	f->verdict = verdict;
	f->todo = NULL;
	va_start(ap, fmt);
	f->text = format(fmt, ap);
	va_end(ap);
	count[verdict]++;
}

/* What a person can do about the last finding */
void todo(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	free(findings[nr - 1].todo);
	findings[nr - 1].todo = format(fmt, ap);
	va_end(ap);
}

static bool ready(void)
{
	return !count[FAIL] && !count[UNSEEN];
}

static void release(void)
{
	while (nr) {
		free(findings[--nr].text);
		free(findings[nr].todo);
	}
	free(findings);
}

/* "2 warnings" */
static const char *several(unsigned int n, const char *what)
{
	static char buf[4][40];
	static unsigned int turn;
	char *s = buf[turn++ % 4];

	snprintf(s, sizeof(buf[0]), "%u %s%s", n, what, n == 1 ? "" : "s");
	return s;
}

/* The text, with line breaks at blanks so that no line is longer than a terminal's */
static void print_wrapped(const char *prefix, const char *text)
{
	const int width = 100 - INDENT - (int)strlen(prefix);
	int n;

	printf("%s", prefix);
	while ((int)strlen(text) > width) {
		for (n = width; n > 0 && text[n] != ' '; n--)
			;
		if (!n)
			n = strcspn(text, " ");
		if (!text[n])
			break;
		printf("%.*s\n%*s", n, text, INDENT + (int)strlen(prefix), "");
		text += n + 1;
	}
	printf("%s\n", text);
}

/**
 * report_text() - print all findings, for people
 *
 * Return: the program's exit status.
 */
int report_text(void)
{
	const bool is_ready = ready();
	const char *device = NULL;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!device || strcmp(device, findings[i].device)) {
			device = findings[i].device;
			printf("%s%s\n", i ? "\n" : "", *device ? device : "The machine");
		}
		printf("  %-4s  %-*s ", label[findings[i].verdict], INDENT - 9, findings[i].check);
		print_wrapped("", findings[i].text);
		if (findings[i].todo) {
			printf("%*s", INDENT, "");
			print_wrapped("-> ", findings[i].todo);
		}
	}
	if (is_ready)
		printf("\nReady: %s.\n", several(count[WARN], "warning"));
	else
		printf("\nNot ready: %s, %s, %s not seen.\n", several(count[FAIL], "failure"),
		       several(count[WARN], "warning"), several(count[UNSEEN], "thing"));
	release();
	return is_ready ? 0 : 1;
}

static void print_json(const char *text)
{
	if (!text) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *text; text++) {
		/* JSON is UTF-8; what a file has may be anything. */
		if (*text & 0x80)
			putchar('?');
		else if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

/**
 * report_json() - print all findings, for programs
 *
 * Return: the program's exit status.
 */
int report_json(void)
{
	const bool is_ready = ready();
	unsigned int i;

	printf("{\n  \"ready\": %s,\n  \"failures\": %u,\n  \"warnings\": %u,\n  \"unseen\": %u,\n",
	       is_ready ? "true" : "false", count[FAIL], count[WARN], count[UNSEEN]);
	printf("  \"findings\": [");
	for (i = 0; i < nr; i++) {
		printf("%s\n    { \"device\": ", i ? "," : "");
		print_json(*findings[i].device ? findings[i].device : NULL);
		printf(", \"check\": ");
		print_json(findings[i].check);
		printf(", \"verdict\": ");
		print_json(json_label[findings[i].verdict]);
		printf(",\n      \"text\": ");
		print_json(findings[i].text);
		printf(",\n      \"todo\": ");
		print_json(findings[i].todo);
		printf(" }");
	}
	printf("\n  ]\n}\n");
	release();
	return is_ready ? 0 : 1;
}
