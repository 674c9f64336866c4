# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Does coverage.sh add up what machines hand over? A part of selftest.sh (suite runner): a
# checkout of its own, whose kernel is a program of two files and whose labs run it.

# counted_program DIR: a program that counts itself, as kbuild would compile it; its sources,
# then, are as far away from it as in the lab
counted_program()
{
	mkdir -p "$1"/{mm,build-gcov/mm}
	cat >"$1/mm/a.c" <<-'END'
	static int twice(int x)
	{
		return 2 * x;
	}
	int main(int argc, char **argv)
	{
		(void)argv;
		if (argc > 1)
			return twice(argc) - 4;
		return 0;
	}
	END
	echo 'int never(int x) { return x ? 1 : 2; }' >"$1/mm/b.c"
	(
		cd "$1/build-gcov" || exit
		gcc -fprofile-arcs -ftest-coverage -c -o mm/a.o ../mm/a.c &&
			gcc -fprofile-arcs -ftest-coverage -c -o mm/b.o ../mm/b.c &&
			gcc --coverage -o a mm/a.o
	)
}

# counted STATUS [REGEX...]: coverage.sh in a checkout of its own. What its labs do: the file
# LAB.args has the words that the program is run with, LAB.bad spoils what is handed over.
counted()
{
	local rc=0 want=$1 re lab=co/tools/xen-tests/lab

	shift
	if [ ! -d co ]; then
		[ -x /usr/bin/lcov ] || { echo "SKIP there is no lcov here"; return 4; }
		mkdir -p $lab co/{drivers/xen,arch} co/build/kernel/gcov
		cp "$GM_SCRIPTS"/{common,coverage}.sh $lab/
		counted_program "$PWD/kernel" || return
		cp -r kernel/mm co/
		mkdir -p co/build/kernel/gcov/gcno/mm
		cp kernel/build-gcov/mm/*.gcno co/build/kernel/gcov/gcno/mm/
		echo k >co/build/kernel/gcov/inputs
		echo 6.12 >co/build/kernel/gcov/release
		cat >$lab/test.sh <<-'END'
		. "$(dirname "$0")/common.sh"
		cd "$GM_TOP/.."
		rm -f kernel/build-gcov/mm/*.gcda
		read -ra words <"$LAB.args" || true
		kernel/build-gcov/a "${words[@]}"
		mkdir -p "$GM_BUILD/results/$LAB"
		tar -czf - "$PWD"/kernel/build-gcov/mm/*.gcda 2>/dev/null | base64 >"$GM_BUILD/results/$LAB/gcov-dom0"
		[ ! -e "$LAB.bad" ] || sed -i '2s/.../dom/' "$GM_BUILD/results/$LAB/gcov-dom0"
		END
		chmod +x $lab/test.sh
	fi
	LAB=${counted_lab-bare} SUITE='' XDG_CACHE_HOME=$PWD/cache $lab/coverage.sh >out 2>&1 || rc=$?
	[ $rc = "$want" ] || { echo "exit status $rc, expected $want"; return 1; }
	for re; do
		grep -qE -- "$re" out || { echo "no line of the output matches: $re"; return 1; }
	done
}

t_coverage_counts_what_was_executed()
{
	: >bare.args
	COVERAGE_MIN=40 counted 0 '^ +all +3 of +7 lines \( 42\.9 %\), +1 of +4 branches' || return
	diff - co/build/coverage/files.csv <<-'END' || return
	file,lines,lines_hit,branches,branches_hit
	mm/a.c,6,3,2,1
	mm/b.c,1,0,2,0
	END
	grep -q '^mm/a.c:3:	*return 2 \* x;$' co/build/coverage/missed.txt || return
	[ -e co/build/coverage/index.html ]
}

t_coverage_of_labs_is_added()
{
	: >bare.args
	echo one >pv.args
	COVERAGE_MIN=40 counted 0 || return
	counted_lab=pv COVERAGE_MIN=80 counted 0 '^ +mm/a.c +6 of +6 lines' '^ +all +6 of +7 lines' || return
	# A kernel that was built anew begins anew.
	echo k2 >co/build/kernel/gcov/inputs
	COVERAGE_MIN=40 counted 0 '^ +mm/a.c +3 of +6 lines'
}

t_coverage_of_a_file_that_is_not_counted_fails()
{
	: >bare.args
	COVERAGE_MIN=40 counted 0 || return
	echo 'int new;' >co/mm/c.c
	COVERAGE_MIN=40 counted 1 'mm/c.c is not counted'
}

t_coverage_that_is_too_little_fails()
{
	: >bare.args
	counted 1 '^FAIL less than 95 % of the lines'
}

t_coverage_that_is_damaged_fails()
{
	: >bare.args
	: >bare.bad
	counted 1 'gcov-dom0 is damaged'
}
