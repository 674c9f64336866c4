# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests of gnttop and gntctl on texts that a driver could write. Sourced by lab/selftest.sh (suite
# runner), never run: its functions t_* are tests, in a folder of their own each.

# The files of an older driver, two of them, and gnttop on them: top [OPTION]...
driver_says()
{
	{
		printf '%s 0\n' total_maps total_hypercalls total_deferred total_undeferred leaked
		printf 'maps 3\nkernel_side 2\nuser_side 12\ndeferred 1\n'
		printf 'total_mapped_kernel 2\ntotal_mapped_user 12\ntotal_unmapped_kernel 0\n'
		printf 'total_unmapped_user 0\ntotal_copied 0\ntotal_errors 0\n'
	} >stats
	cat >maps <<-'END'
		pid comm file state offset count domids kernel_side user_side deferred age_ms
		41 xenstored 1 open 0x0 1 3 0 1 0 90000
		42 my\040qemu 2 open 0x0 8 3,14 1 8 0 5000
		42 my\040qemu 2 removed 0x8000 4 4 1 3 1 2500
	END
}

# What a driver of today says besides. Process 44 has no map: it only copies.
driver_counts()
{
	driver_says
	cat >files <<-'END'
		pid comm file state mapped unmapped copied errors
		41 xenstored 1 open 1 0 0 0
		42 my\040qemu 2 open 30 18 100 2
		42 my\040qemu 3 open 5 5 0 1
		44 copier 4 open 0 0 7000 0
		45 idle 5 open 0 0 0 0
	END
	cat >domains <<-'END'
		domid mapped unmapped copied errors
		3 21 10 0 0
		4 14 13 100 3
		9 500 500 0 0
	END
	cat >deferred <<-'END'
		pid comm file state domid ref deferred page_refs mapcount pinned age_ms
		42 my\040qemu 2 removed 4 77 1 1026 1 1 800
	END
}

top()
{
	rc=0
	timeout 60 "$GM_BUILD/tests/bin/gnttop" -b -r . "$@" >out 2>&1 || rc=$?
}

# row NUMBER PATTERN: of the table
row() { sed '1,/ COMM \| DOMAIN /d' out | sed -n "$1p" | grep -qE "$2" || { cat out; return 1; }; }

t_gnttop_adds_up_processes()
{
	driver_says
	top && [ $rc = 0 ] || return
	row 1 '^ +42 my\\040qemu +2 +12 +11 +2 +1 +2\.5( +-){4}$' || return
	row 2 '^ +41 xenstored +1 +1 +1 +0 +0 +-( +-){4}$' || return
	[ "$(wc -l <out)" = 8 ]
}

# The age is that of the oldest map with a busy page, not of the last, nor of one without.
t_gnttop_names_the_oldest()
{
	driver_says
	sed -i '/removed/d' maps
	printf '42 my\\040qemu 2 closed %s 1 5 1 0 1 %s\n' 0x9000 4000 0xa000 70000 0xb000 3000 >>maps
	top && row 1 '^ +42 my\\040qemu +4 .* 70\.0( +-){4}$' || return
	grep -qF 'busy page: my\040qemu (42), domain 5, closed, made 70.0 s ago' out || return
	# By what is shown, also where it is not known how long a page has waited.
	echo '43 late 3 open 0x0 1 5 1 0 1 99000' >>maps
	top -s oldest && row 1 '^ +43 .* 99\.0( +-){4}$'
}

t_gnttop_sorts()
{
	driver_says
	top -s maps && row 1 '^ +42 ' || return
	echo '43 small 3 open 0x0 90 5 90 0 0 1' >>maps
	top && row 3 '^ +43 ' || return
	top -s kernel && row 1 '^ +43 '
}

t_gnttop_adds_up_guests()
{
	driver_says
	top -g && row 1 '^ +3,14 +1 +8 +8 +1 +0 +-( +-){4}$' && row 2 '^ +4 +1 +4 +3 +1 +1 +2\.5( +-){4}$'
}

# 4 is no part of 14
t_gnttop_filters_domains()
{
	driver_says
	top -D 4 && row 1 '^ +42 my\\040qemu +1 +4 ' && [ "$(wc -l <out)" = 7 ] || return
	top -D 14 && row 1 '^ +42 my\\040qemu +1 +8 ' || return
	top -D 5 && [ "$(wc -l <out)" = 6 ]
}

# A newer driver may have more columns, in another order.
t_gnttop_finds_columns_by_name()
{
	driver_says
	echo 'total_new 5' >>stats
	awk '{ print $11, "new", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 }' maps >m && mv m maps
	top && row 1 '^ +42 my\\040qemu +2 +12 +11 +2 +1 +2\.5( +-){4}$'
}

t_gnttop_refuses_what_it_does_not_know()
{
	local bad

	for bad in '42 cut 2 open' '42 x 2 open 0x0 -8 3 1 8 0 1' '42 x 2 open 0x0 8q 3 1 8 0 1' \
		   '42 x 2 open 0x0 99999999999 3 1 8 0 1' '42 x 2 open 0x0 8 3 1 8 0 1 1'; do
		driver_says
		echo "$bad" >>maps
		top && [ $rc = 1 ] && grep -q 'not written by a driver that' out || return
	done
	driver_says
	sed -i /total_copied/d stats
	top && [ $rc = 1 ] || return
	driver_says
	sed -i 's/user_side/side/' maps
	top && [ $rc = 1 ]
}

t_gnttop_json_is_json()
{
	driver_says
	top -j && [ $rc = 0 ] || return
	python3 -c 'import json; d = json.load(open("out"))
assert d["stats"]["user_side"] == 12 and d["handles"] is None
assert [p["pid"] for p in d["processes"]] == [42, 41]
assert d["processes"][0]["oldest_deferred_map_ms"] == 2500
assert d["missing"] == ["counts", "waits"] and d["oldest_deferred"] is None
assert d["processes"][0]["mapped"] is None and d["processes"][0]["rates"] is None'
}

# An older driver does not escape a byte that is not ASCII, of a name that is cut, say.
t_gnttop_json_is_utf8_whatever_a_process_is_called()
{
	driver_says
	printf '43 grub\303\033[1m 3 open 0x0 1 5 1 0 0 1\n' >>maps
	top -j && [ $rc = 0 ] || return
	python3 -c 'import json; d = json.load(open("out", encoding="utf-8"))
assert [p["comm"] for p in d["processes"] if p["pid"] == 43] == ["grub??[1m"], d'
}

t_gnttop_says_what_an_older_driver_lacks()
{
	driver_says
	top && grep -q 'older driver: it does not count' out || return
	grep -q 'older driver: OLDEST is the age of the map' out || return
	driver_counts
	top && ! grep -q older out
}

# Two files of one process are one row; one that only copies has a row, one that does nothing has none.
t_gnttop_adds_up_files()
{
	driver_counts
	top && row 1 '^ +42 my\\040qemu +2 +12 +11 +2 +1 +0\.8 +0 +0 +0 +3$' || return
	row 3 '^ +44 copier +0 +0 +0 +0 +0 +- +0 +0 +0 +0$' || return
	[ "$(wc -l <out)" = 7 ] || return
	# Of which domain a file's counts are, nobody knows.
	top -D 4 && row 1 '^ +42 .*( +-){4}$' && [ "$(wc -l <out)" = 5 ]
}

# ... and of which process a guest's are; nor are another process's pages its own.
t_gnttop_gives_a_process_no_counts_of_its_guest()
{
	driver_counts
	echo '43 other 3 open 0x0 5 4 5 0 0 1' >>maps
	top -g -p 43 && row 1 '^ +4 +1 +5 +0 +5 +0 +-( +-){4}$' && [ "$(wc -l <out)" = 5 ]
}

t_gnttop_names_the_oldest_page_and_its_holder()
{
	driver_counts
	top && grep -qF 'busy page: my\040qemu (42), domain 4, removed, ref 77 waits 0.8 s: pinned' out || return
	echo '41 xenstored 1 open 3 78 1 2 0 0 900' >>deferred
	top -s oldest && grep -qF 'xenstored (41), domain 3, open, ref 78 waits 0.9 s: referenced' out || return
	row 1 '^ +41 ' || return
	# The driver had no memory to note it.
	sed -i 's/ 800$/ -1/; /xenstored/d' deferred
	top && grep -qF 'waits for a time not known' out && row 1 '^ +42 .* +1 +- +0 +0 +0 +3$'
}

# rates WHAT [OPTION]...: of the second look, in which what "next" has is in the place of "files"
rates()
{
	local i what=$1

	shift
	rm -f out
	timeout 60 "$GM_BUILD/tests/bin/gnttop" -j -n 2 -d 3 -r . "$@" >out 2>&1 &
	for ((i = 0; i < 500; i++)); do
		[ ! -s out ] || break
		sleep 0.01
	done
	mv next "$what"
	wait $! || { cat out; return 1; }
}

# Process 46 has come in between, 44 has closed its file and opened another.
t_gnttop_rates_of_a_process()
{
	driver_counts
	sed 's/30 18 100/330 48 100/; s/^44 .*/44 copier 7 open 0 0 60 0/; $a46 new 6 open 0 0 0 90' files >next
	rates files || return
	python3 -c 'import json
first, d = [{p["pid"]: p["rates"] for p in json.loads(l)["processes"]} for l in open("out")]
assert all(v == 0 for r in first.values() for v in r.values()), first
def near(x, n): assert n / 6 < x <= n / 3, (x, n)
near(d[42]["map"], 300); near(d[42]["unmap"], 30); near(d[44]["copy"], 60); near(d[46]["errors"], 90)
assert d[42]["copy"] == 0 and d[41]["map"] == 0, d' || { cat out; return 1; }
}

# 9 has ended long ago, and is not shown; while something happens, it is.
t_gnttop_rates_of_a_guest()
{
	driver_counts
	sed 's/^4 14/4 314/' domains >next
	rates domains -g || return
	python3 -c 'import json
d = {g["domids"]: g for g in json.loads(open("out").readlines()[1])["guests"]}
assert set(d) == {"3", "4", "3,14"}, d
assert 50 < d["4"]["rates"]["map"] <= 100 and d["3"]["rates"]["map"] == 0, d
assert d["4"]["errors"] == 3 and d["3,14"]["rates"] is None, d' || { cat out; return 1; }
	sed 's/^9 500/9 800/' domains >next
	rates domains -g && tail -n 1 out | grep -q '"domids":"9"'
}

# Keys cannot be waited for: it would look as often as it can.
t_gnttop_without_a_terminal_ends()
{
	local rc=0

	driver_says
	TERM=xterm timeout 60 "$GM_BUILD/tests/bin/gnttop" -n 3 -r . </dev/null >out 2>&1 || rc=$?
	cat out
	[ $rc = 1 ] && grep -q 'use -b' out
}

# say_maps STATE-AND-OFFSET AGE...: maps of one file
say_maps()
{
	echo 'pid comm file state offset count domids kernel_side user_side deferred age_ms' >m
	printf '7 be 1 %s 1 5 0 1 0 %s\n' "$@" >>m
	mv m maps
}

# changes COUNT: from "maps", which has so many, to "next"
changes()
{
	local i

	: >out
	timeout 60 "$GM_BUILD/tests/bin/gntctl" watch -n 2 -i 1 -r . >out 2>&1 &
	for ((i = 0; i < 300; i++)); do
		[ "$(grep -c '' out)" -lt "$1" ] || break
		sleep 0.01
	done
	mv next maps
	wait $! || { cat out; return 1; }
	sed -E "1,$1d; s/^(.).* offset ([^,]*),.*, (.*)/\1 \2 \3/" out
}

t_watch_knows_a_map_by_its_age()
{
	driver_says
	# The second has been removed, and another made where it was; the third stays.
	say_maps 'open 0x0' 900 'open 0x1000' 800 'open 0x2000' 700
	cp maps was
	say_maps 'open 0x0' 2 'removed 0x1000' 90800 'open 0x1000' 1 'open 0x2000' 90700
	mv maps next && mv was maps
	changes 3 >got
	cat got
	diff - got <<-'END'
		- 0x0 open
		+ 0x0 open
		~ 0x1000 removed
		+ 0x1000 open
	END
}

# Two at one offset, and the younger goes: the older is not taken for it.
t_watch_sees_which_of_two_goes()
{
	driver_says
	say_maps 'removed 0x0' 9000 'open 0x0' 80
	cp maps was
	say_maps 'removed 0x0' 99000
	mv maps next && mv was maps
	changes 2 >got
	cat got
	[ "$(cat got)" = '- 0x0 open' ]
}

t_watch_tells_two_apart()
{
	driver_says
	say_maps 'removed 0x0' 90000 'open 0x0' 40000
	cp maps was
	say_maps 'removed 0x0' 100000 'closed 0x0' 50000
	mv maps next && mv was maps
	changes 2 >got
	cat got
	[ "$(cat got)" = '~ 0x0 closed' ]
}
