# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
#
# Which Debian packages are used, and why. Sourced, never run.

# On this machine: "package | a file that proves it is there | what for".
# The probe keeps a warm run from calling apt or dpkg at all.
GM_HOST_PACKAGES='
gcc                | /usr/bin/gcc                            | compiles the kernel and the test programs
libc6-dev          | /usr/include/stdio.h                    | C library headers
make               | /usr/bin/make                           | drives kbuild
bc                 | /usr/bin/bc                             | kernel build: timeconst.h
bison              | /usr/bin/bison                          | kernel build: kconfig
flex               | /usr/bin/flex                           | kernel build: kconfig
libelf-dev         | /usr/include/libelf.h                   | kernel build: objtool
libssl-dev         | /usr/include/openssl/ssl.h              | kernel build: certificates
rsync              | /usr/bin/rsync                          | lays the overlay over the kernel tree
kmod               | /sbin/depmod                            | module dependencies
cpio               | /usr/bin/cpio                           | packs the initial ram disks
xz-utils           | /usr/bin/xz                             | unpacks the kernel source
binutils           | /usr/bin/readelf                        | finds the libraries that programs in the lab need
ccache             | /usr/bin/ccache                         | a second kernel build takes a third of the time
libnuma-dev        | /usr/include/numa.h                     | selftests of the kernel: KSM
libxen-dev         | /usr/include/xengnttab.h                | the libraries that the test programs use
libncurses-dev     | /usr/include/ncurses.h                  | gnttop: its screen
libyajl-dev        | /usr/include/yajl/yajl_gen.h            | gnttop: JSON; xl has the library in dom0 already
qemu-system-x86    | /usr/bin/qemu-system-x86_64             | the machine that Xen runs on
ca-certificates    | /etc/ssl/certs/ca-certificates.crt      | downloads over https mirrors
util-linux         | /usr/bin/flock                          | two runs at once do not disturb each other
'

# Only `make check` needs these.
GM_CHECK_PACKAGES='
perl               | /usr/bin/perl                           | checkpatch.pl and kernel-doc
sparse             | /usr/bin/sparse                         | semantic checker for kernel code
clang-format       | /usr/bin/clang-format                   | formatting of C code
shellcheck         | /usr/bin/shellcheck                     | checker for shell scripts
spin               | /usr/bin/spin                           | searches the model of the notifier protocol
gnuplot-nox        | /usr/bin/gnuplot                        | tests of the page of figures: its plots
python3-jinja2     | /usr/lib/python3/dist-packages/jinja2/__init__.py | ... its template
python3-markdown-it | /usr/lib/python3/dist-packages/markdown_it/__init__.py | ... the tables of Documentation/
'

# Only `make docs` needs these, and the check that it still works.
GM_DOCS_PACKAGES='
python3-sphinx     | /usr/bin/sphinx-build                   | makes the documentation a site
python3-myst-parser | /usr/lib/python3/dist-packages/myst_parser/__init__.py | ... of pages in Markdown
furo               | /usr/lib/python3/dist-packages/furo/__init__.py | ... that looks well, also in the dark
graphviz           | /usr/bin/dot                            | drawings in the documentation
perl               | /usr/bin/perl                           | kernel-doc: the API reference
gnuplot-nox        | /usr/bin/gnuplot                        | the plots of Documentation/bench.md
'

# Only the device model of the GPU, which is built with QEMU's own headers, needs these.
GM_GPU_PACKAGES='
libglib2.0-dev     | /usr/include/glib-2.0/glib.h            | QEMU headers include it
pkg-config         | /usr/bin/pkg-config                     | says where
patch              | /usr/bin/patch                          | QEMU source: Debian version patches
python3            | /usr/bin/python3                        | QEMU source: generates headers
xz-utils           | /usr/bin/xz                             | unpacks the QEMU source
'

# Only KERNEL=debian needs these.
GM_DEBIAN_PACKAGES='
zstd               | /usr/bin/zstd                           | unpacks the kernel image
'

# Only `make deb` and `make deb-test` need these.
GM_DEB_PACKAGES='
dpkg-dev           | /usr/bin/dpkg-buildpackage              | builds packages
build-essential    | /usr/share/build-essential/list         | ... which insists on it
debhelper          | /usr/bin/dh                             | ... by debian/rules
dh-dkms            | /usr/bin/dh_dkms                        | ... for DKMS
lintian            | /usr/bin/lintian                        | checker for packages
debootstrap        | /usr/sbin/debootstrap                   | the Debian in which packages are tried
zstd               | /usr/bin/zstd                           | unpacks the kernel of which ours has the configuration
'

# Only `make bench` needs these.
GM_BENCH_PACKAGES='
gnuplot-nox        | /usr/bin/gnuplot                        | plots of the figures
python3            | /usr/bin/python3                        | tables of the figures
'

# Only `make coverage` needs these.
GM_COVERAGE_PACKAGES='
lcov               | /usr/bin/lcov                           | adds up what was executed, and draws it
'

# Only `make report` needs these, besides what `make bench` does.
GM_REPORT_PACKAGES='
python3-jinja2     | /usr/lib/python3/dist-packages/jinja2/__init__.py | fills in the page
python3-markdown-it | /usr/lib/python3/dist-packages/markdown_it/__init__.py | reads the tables of Documentation/
'

# Only `make test-root` needs these.
GM_TEST_ROOT_PACKAGES='
grub-common        | /usr/bin/grub-mkrescue                  | makes an image that boots
grub-pc-bin        | /usr/lib/grub/i386-pc/multiboot2.mod    | ... from a BIOS
grub-efi-amd64-bin | /usr/lib/grub/x86_64-efi/multiboot2.mod | ... from EFI
xorriso            | /usr/bin/xorriso                        | writes the image
mtools             | /usr/bin/mformat                        | ... and the part that EFI reads
ovmf               | /usr/share/ovmf/OVMF.fd                 | firmware for test-root-try EFI=1
'

# Only a lab with an arm64 processor needs these.
GM_ARM64_PACKAGES='
gcc-aarch64-linux-gnu   | /usr/bin/aarch64-linux-gnu-gcc         | compiles the kernel for arm64
libc6-dev-arm64-cross   | /usr/aarch64-linux-gnu/include/stdio.h | C library headers for arm64
qemu-system-arm         | /usr/bin/qemu-system-aarch64           | the machine that Xen for arm64 runs on
'

# In dom0: these, and what they depend on, are downloaded and unpacked, never
# installed on this machine.
GM_DOM0_PACKAGES="
xen-hypervisor-$GM_XEN_VERSION-$GM_DEBIAN_ARCH
xen-utils-$GM_XEN_VERSION
xen-utils-common
xenstore-utils
busybox-static
kmod
"
# The device model; or, for another processor, what libxen-dev on this machine is for.
case $GM_ARCH in
x86)	GM_DOM0_PACKAGES+="qemu-system-xen
qemu-system-data
seabios
" ;;
*)	GM_DOM0_PACKAGES+="libxen-dev
" ;;
esac

# Dependencies of maintainer scripts and of what the lab leaves out (Python and
# Perl tools, PAM, udev): named here so that they are not even downloaded.
GM_DOM0_SKIP='^(python3|libpython|perl|libperl|debconf|adduser|passwd|udev$|dpkg$|tar$|ucf|media-types|libpam|libdb5|libsqlite3|sysvinit|init-system|readline-common|sensible|iso-codes|gcc-12|ipxe|libsemanage|libsepol|libaudit-common|libcap2-bin)'
