# SPDX-License-Identifier: GPL-2.0-only
#
# grantmirror: the one front door. `make help` lists what there is.
#
# Every step is a script in tools/xen-tests/lab that knows by itself whether there
# is something to do; here is only what needs what. What outlives the checkout
# (downloads, kernel trees, compiler cache, dom0 root) is in
# $XDG_CACHE_HOME/grantmirror, everything else in build/.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# ours: with the overlay; stock: the packaged kernel as it is; debian: Debian's own image, with
# our grant device as an external module
KERNEL ?= ours
# fast: ours as it is; the others check themselves (configs/kernel/flavors)
FLAVOR ?= fast
ifneq ($(FLAVOR),fast)
ifneq ($(filter stock debian,$(KERNEL)),)
$(error FLAVOR=$(FLAVOR) is a flavour of our kernel: leave KERNEL=$(KERNEL) out)
endif
override KERNEL := $(FLAVOR)
endif
# the machine: a name from configs/lab (test: all of them, unless named)
LAB    ?=
# test: these suites, this test (default: all)
SUITE  ?=
TEST   ?=
# test: so many labs at a time (default: as many as this computer has room for)
JOBS   ?=
# 1: time in the machine is a count of instructions, for figures
ICOUNT ?=
# bench: how often each kernel runs
ROUNDS ?= 3
# bench: ok, to take misses for good that are known and explained
KNOWN  ?=
# report: 1, to measure again what has been measured
FRESH  ?=
export KERNEL LAB SUITE TEST JOBS ICOUNT ROUNDS KNOWN FRESH TIME SEED DEB_CONFIG EFI

# The processor of the lab's machine: x86, or what the lab's file says. What is made for
# another one than x86 has a name of its own in build/.
lab_arch := $(if $(LAB),$(shell sed -n 's/^LAB_ARCH=//p' configs/lab/$(firstword $(LAB)).conf 2>/dev/null))
export GM_ARCH := $(or $(lab_arch),x86)
of_arch := $(if $(filter-out x86,$(GM_ARCH)),-$(GM_ARCH))

# Every QEMU ends when this make does, whatever kills it (see labrun.c).
export GM_OWNER := $(shell echo $$PPID)

# gpu-device, if a lab of $(1) has our GPU, by itself or as the lab that it is made from has
gpu_of = $(if $(shell grep -slE '^LAB_DEVICES=.*xgpu|^\. .*/gpu-' $(addsuffix .conf,$(addprefix configs/lab/,$(1)))),gpu-device)

lab   := tools/xen-tests/lab
cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/grantmirror
# Debian's image is there, only our modules are built; and the main job takes no kernel source
of_debian   := $(filter debian,$(KERNEL))
only_run    := $(and $(of_debian),$(filter run shell,$(MAKECMDGOALS)))
need_source := $(if $(of_debian),,source)
$(if $(and $(of_debian),$(filter compat bench check test-all,$(MAKECMDGOALS))),\
	$(error KERNEL=debian is for run, test, shell and modules))
labrun_src := $(addprefix $(lab)/,labrun.c report.c console.c)

##@ The two that matter
.PHONY: run test test-all
# Debian's kernel has no mirror of ours for the GPU's driver.
run_lab := $(or $(LAB),$(if $(of_debian),pv,gpu-dom0))
run: machine $(call gpu_of,$(run_lab)) ## the main job: a guest's memory granted, mapped in dom0, mirrored by a GPU, revoked  [LAB= KERNEL=debian: at once, no kernel build, no GPU]
	@$(lab)/boot.sh run $(run_lab)

test: machine $(call gpu_of,$(or $(LAB),*)) $(if $(of_arch)$(of_debian),,selftests) $(if $(filter bpftrace,$(SUITE)),bpftrace) ## all tests, on every lab but arm64  [SUITE= TEST= LAB= KERNEL= FLAVOR=]
	@$(lab)/test.sh

test-all: machine gpu-device selftests ## also the long ones, and arm64; hours; goes on where it was interrupted
	@$(lab)/test-all.sh

##@ Working on it
.PHONY: shell kernel modules overlay programs check docs compat
shell: machine $(call gpu_of,$(or $(LAB),pv)) ## an interactive shell in dom0  [LAB= KERNEL= FLAVOR=]
	@$(lab)/boot.sh shell $(or $(LAB),pv)

# Two kernels, each with all that boots; what differs between them is ours.
.PHONY: bench bench-compare report coverage
bench: source $(call gpu_of,$(or $(LAB),*)) ## figures: ours against stock, with tables and plots  [ROUNDS= LAB= TEST= KNOWN=]
	@$(lab)/setup.sh bench
	@$(MAKE) --no-print-directory KERNEL=stock FLAVOR=fast machine
	@$(MAKE) --no-print-directory KERNEL=ours FLAVOR=fast machine
	@$(lab)/bench.sh

bench-compare: ## what has changed between two runs of `make bench`, the last two unless named  [OLD= NEW=]
	@$(lab)/setup.sh bench
	@tools/xen-tests/report/bench.py --build build compare $(if $(or $(OLD),$(NEW)),"$(OLD)" "$(NEW)")

# What is measured is measured as `make bench` does, lab by lab; a miss is for the page to show.
report: ## build/report/index.html: figures, defects, tests, coverage  [FRESH=1 ROUNDS= LAB=]
	@$(lab)/setup.sh report
	@$(lab)/report.sh

# The build of a kernel that counts what it executes, then labs in turn.
coverage: source $(call gpu_of,$(or $(LAB),*)) ## lines and branches of ours that the suites execute  [LAB= SUITE=]
	@$(lab)/setup.sh coverage
	@$(MAKE) --no-print-directory KERNEL=ours FLAVOR=gcov machine
	@$(lab)/coverage.sh

kernel: $(or $(need_source),setup) ## build the kernel of the lab  [KERNEL= FLAVOR=]
	@$(lab)/kernel.sh

modules: testmodules ## the same, and list the modules that were built
	@find build/modules/$(KERNEL)$(of_arch) -name '*.ko'

# KSRC: a Linux 6.12 tree of the user's own
overlay: ## lay our files over a kernel tree  [KSRC=/path/to/linux-6.12]
ifdef KSRC
	@$(lab)/overlay.sh "$(KSRC)"
else
	@$(MAKE) --no-print-directory source
	@$(lab)/overlay.sh
endif

programs: $(if $(only_run),setup,source) $(if $(of_arch),root) ## build the programs that run in the lab
	@mkdir -p build && exec 9>build/programs.lock && flock 9 && \
	$(MAKE) --no-print-directory -s -C tools/xen-tests \
		O=$(CURDIR)/build/tests$(of_arch) KTREE=$(if $(only_run),none,$(cache)/tree/stock) $(if $(only_run),bin) \
		$(if $(of_arch),CROSS=aarch64-linux-gnu- SDK=../../build/root$(of_arch)/sdk)

.PHONY: gpu-passthrough-check
gpu-passthrough-check: ## build what tells whether this computer could give a GPU to a domain
	@mkdir -p build/host && exec 9>build/programs.lock && flock 9 && \
	$(MAKE) --no-print-directory -s -C tools/xen-tests O=$(CURDIR)/build/host KTREE=none \
		$(CURDIR)/build/host/bin/gpu-passthrough-check
	@echo build/host/bin/gpu-passthrough-check

# What is for hosts, without the kernel. Not through setup: debian/rules has packages of its own
# (here: gcc, libxen-dev, libncurses-dev, libyajl-dev).
PREFIX ?= /usr/local
.PHONY: tools tools-install
tools: ## build gnttop, gntctl and gpu-passthrough-check
	@mkdir -p build/host && exec 9>build/programs.lock && flock 9 && \
	$(MAKE) --no-print-directory -s -C tools/xen-tests O=$(CURDIR)/build/host KTREE=none \
		$(addprefix $(CURDIR)/build/host/bin/,gnttop gntctl gpu-passthrough-check)
	@echo build/host/bin

tools-install: tools ## install them, their man pages and completion  [DESTDIR= PREFIX=/usr/local]
	@install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin build/host/bin/{gnttop,gntctl,gpu-passthrough-check}
	@install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 tools/man/{gnttop,gntctl}.1 debian/gpu-passthrough-check.1
	@install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man4 tools/man/{gntdev,xgpu}.4
	@install -D -m 644 tools/gntctl/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/gntctl
	@install -D -m 644 tools/gnttop/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/gnttop

check: source build/host/labrun ## checkpatch, clang-format, W=1, sparse, kernel-doc, shellcheck, ABI, model, documentation
	@$(lab)/setup.sh check
	@$(lab)/check.sh

docs: source ## the documentation as a site, build/docs/html/index.html
	@$(lab)/setup.sh docs
	@$(lab)/docs.sh
	@echo build/docs/html/index.html

compat: source ## build all users of the notifier and HMM APIs with our headers  [KERNEL=]
	@$(lab)/compat.sh

# TARGET: what is fuzzed; TIME: seconds; SEED: the first. gntdev, xgpu and notifier are fuzzed
# in a lab (LAB=, a fitting one unless named), on the flavour kcov unless another kernel is named;
# what needs neither Xen nor a GPU on kcov-kasan.
fuzz_kernel := $(if $(filter file,$(origin KERNEL)),kcov$(if $(filter notifier,$(TARGET)),-kasan),$(KERNEL))
.PHONY: fuzz
ifneq ($(filter gntdev xgpu notifier,$(TARGET)),)
fuzz: ## malicious input, from chance  [TARGET=gntdev|xgpu|notifier|xgpu-device TIME=600 SEED=]
	@$(MAKE) --no-print-directory KERNEL=$(fuzz_kernel) FLAVOR=fast machine gpu-device
	@KERNEL=$(fuzz_kernel) tools/xen-tests/fuzz/fuzz.sh $(TARGET)
else
fuzz: source gpu-device
	@tools/xen-tests/$(or $(TARGET),xgpu-device)/fuzz.sh
endif

##@ Other computers
# LAB: with Xen (pv, pvh-guest, hvm-guest) or without (bare)
.PHONY: test-root test-root-try
test-root: machine selftests ## an image of a lab's machine for a real computer, results on serial console and screen  [LAB= SUITE= TEST=]
	@$(lab)/setup.sh test-root
	@$(lab)/test-root.sh make $(or $(LAB),pv)

test-root-try: test-root ## ... and boot it in QEMU, from GRUB on  [LAB= SUITE= TEST= EFI=1]
	@$(lab)/test-root.sh try $(or $(LAB),pv)

##@ Packages
.PHONY: deb deb-test
# modules first: they are there when the long one is still being built
deb: $(if $(filter-out modules,$(or $(DEB),kernel)),source) ## Debian packages: driver for a stock kernel (DKMS), tools, our kernel  [DEB="modules kernel" DEB_CONFIG=debian]
	@$(lab)/setup.sh deb
	@packaging/deb.sh $(or $(DEB),modules kernel)

deb-test: ## install, use and remove them in a Debian 12 of their own (chroot)  [TEST=]
	@$(lab)/setup.sh deb
	@packaging/deb.sh modules
	@packaging/deb-test.sh

##@ Steps of the set-up (done by the above when needed)
.PHONY: setup source root testmodules selftests bpftrace machine gpu-device
setup: ## install the Debian packages that this machine lacks
	@$(lab)/setup.sh

source: setup ## download and unpack Debian's kernel source
	@$(lab)/fetch.sh

root: setup ## cut dom0's root file system from Debian packages
	@$(lab)/root.sh

testmodules: kernel ## build the modules of tools/xen-tests/modules
	@$(lab)/modules.sh

selftests: source ## build the kernel's own selftests
	@$(lab)/selftests.sh

bpftrace: setup ## cut bpftrace for suite bpftrace from Debian packages
	@$(lab)/bpftrace.sh

machine: root testmodules programs build/host/labrun ## everything that boots
	@$(lab)/initrd.sh

gpu-device: setup ## build the model of the GPU, for the installed QEMU
	@$(lab)/setup.sh gpu
	@tools/xen-tests/xgpu-device/build.sh device

build/host/labrun: $(labrun_src) $(lab)/labrun.h | setup
	@mkdir -p $(@D)
	@gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@.tmp $(labrun_src)
	@mv $@.tmp $@

##@ Cleaning
.PHONY: clean distclean
clean: ## remove build/ of this checkout
	@rm -rf build

distclean: clean ## ... and the cache that all checkouts share
	@$(lab)/distclean.sh

.PHONY: help
help: ## this list
	@awk -F ':.*## ' \
		'/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		 /^[a-z][a-z-]*:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n%s\n' 'Variables'
	@printf '  %-13s %s\n' \
		KERNEL "ours (default); stock: the packaged kernel without the overlay; debian: Debian's image, our grant device as an external module" \
		FLAVOR "of ours: fast (default), $$(awk '/^[a-z]/ { printf "%s%s", sep, $$1; sep = ", " }' configs/kernel/flavors): a kernel that checks itself, or counts (configs/kernel/flavors)" \
		LAB "$$(cd configs/lab && echo *.conf | sed 's/\.conf//g'): the machine (configs/lab)" \
		SUITE 'runner, xgpu-device, grants, tools, fuzz, gpu, gpu-owner, passthrough, lifecycle, clients, kunit, notifier, hmm, bench, bench-grants, bench-gpu, hmm-selftests, selftests, selftests-long, soak, bpftrace (FLAVOR=bpf); module (KERNEL=debian): one or more, in quotes' \
		TEST 'one test, by the name that a test run prints' \
		JOBS 'test: labs that run at a time (default: one for each processor and 4 GiB of free memory)' \
		ICOUNT '1: time in the machine counts its instructions, for figures' \
		KNOWN 'bench: ok, not to fail for a target whose miss is known and explained in Documentation/bench.md' \
		FRESH 'report: 1, to measure again what has been measured' \
		ROUNDS 'bench: how often (3); a lab whose time is counted needs no more than 2' \
		GM_SCALE 'factor on every time-out, for a slow or busy machine' \
		GM_LONG '1: test programs that have a longer run in them take it (test-all does)' \
		DEB "deb: what to build: modules (DKMS and tools, half a minute), kernel (hours)" \
		DEB_CONFIG "deb: the kernel's configuration: debian (Debian's and ours), cloud (that of Debian's cloud image and ours), lab (no drivers of hardware)" \
		KSRC "overlay: a Linux 6.12 tree of your own"
