// SPDX-License-Identifier: GPL-2.0-only
/*
 * gpu-passthrough-check: can this machine give a GPU to a domain of Xen, or what has to
 * be done so that it can?
 *
 * It only reads, and changes nothing. What a person without root rights may not see it
 * says, and then never calls the machine ready.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"

#define ME "gpu-passthrough-check"

enum { EXIT_USAGE = 2 };

static void help(void)
{
	puts("Is this machine ready to give a GPU to a Xen domain? If not, what has to be done?\n"
	     "\n"
	     "  " ME "                 all GPUs: display controllers and accelerators\n"
	     "  " ME " 01:00.0         this device, whatever it is\n"
	     "  " ME " 01:00.0 01:00.1 these devices\n"
	     "  " ME " --json          the same, for a program\n"
	     "  " ME " --root DIR      another machine, from a copy of its files in DIR\n"
	     "\n"
	     "Run it as root in dom0. It also runs as somebody else, without Xen (what would Xen find?)\n"
	     "and in a domain that got a GPU (can its kernel use it?). It changes nothing.\n"
	     "\n"
	     "Each line is\n"
	     "  OK    as it should be\n"
	     "  WARN  works, but you should know this\n"
	     "  FAIL  has to be done first; '->' says how\n"
	     "  ?     could not be seen; '->' says why\n"
	     "\n"
	     "Options\n"
	     "  -j, --json      findings as JSON: device, check, verdict, text, todo\n"
	     "  -r, --root DIR  read DIR/sys, DIR/proc and DIR/boot, and for what xl says DIR/xl/info,\n"
	     "                  DIR/xl/dmesg and DIR/xl/pci-assignable-list; runs no xl\n"
	     "  -h, --help      this text\n"
	     "\n"
	     "Exit status: 0 ready, 1 not ready (or not seen to be), 2 wrong usage.");
}

/* All devices that a person would call a GPU, and has to spare */
static void look_at_all(const struct machine *m)
{
	unsigned int i, looked = 0;
	char **names;
	unsigned int n = tree_list(&names, "/sys/bus/pci/devices");

	for (i = 0; i < n; i++) {
		if (!device_is_candidate(names[i]))
			continue;
		if (m->role != ROLE_DOMU && device_is_consoles(names[i])) {
			found(names[i], "boot-vga", OK,
			      "left out, as the console needs it: name it to have it looked at");
			continue;
		}
		device_look(m, names[i]);
		looked++;
	}
	tree_list_free(names, n);
	if (looked)
		return;
	found(NULL, "devices", FAIL,
	      "there is no display controller (PCI class 03) to spare, and no accelerator (12)");
	if (m->role == ROLE_DOMU)
		todo("in dom0: xl pci-attach DOMAIN BDF, or pci = [ \"BDF\" ] in the domain's "
		     "configuration");
	else
		todo("name another device that is to be given away: " ME " BDF (lspci lists them)");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "root", required_argument, NULL, 'r' },
		{}
	};
	char name[TREE_NAME];
	struct machine m;
	bool json = false;
	struct stat st;
	int c, i;

	while ((c = getopt_long(argc, argv, "hjr:", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			help();
			return 0;
		case 'j':
			json = true;
			break;
		case 'r':
			tree_root = optarg;
			if (stat(tree_root, &st) || !S_ISDIR(st.st_mode)) {
				fprintf(stderr, ME ": %s: no such directory\n", optarg);
				return EXIT_USAGE;
			}
			break;
		default:
			fprintf(stderr, "Try " ME " --help\n");
			return EXIT_USAGE;
		}
	}
	for (i = optind; i < argc; i++) {
		if (!device_name(argv[i], name)) {
			fprintf(stderr, ME ": %s is no PCI device's name; 01:00.0 would be\n",
				argv[i]);
			return EXIT_USAGE;
		}
	}
	machine_look(&m);
	for (i = optind; i < argc; i++) {
		device_name(argv[i], name);
		device_look(&m, name);
	}
	if (optind == argc)
		look_at_all(&m);
	machine_free(&m);
	return json ? report_json() : report_text();
}
