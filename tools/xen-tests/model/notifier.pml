/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mirror contract of MMU interval notifiers, to be searched exhaustively by
 * Spin. README.md says how the model maps to mm/mmu_notifier.c and what it leaves
 * out; run.sh has the scenarios.
 *
 * This file is the world around the core: processes that invalidate, and drivers
 * that keep shadow entries. The core is one of two files with the same five
 * operations:
 *
 *	ranges.pml	ours: ranges in flight
 *	per_mm.pml	one sequence and one count for the whole mm (with -DPER_MM)
 *
 * Safety is in assertions, and in that no process hangs (-DSAFETY, the default,
 * everything happens a bounded number of times). Liveness is the LTL formula
 * below (-DLIVE: storms of invalidations that never end).
 */

/* An address is a page, 0 or 1; a range of addresses is a set of pages. */
#define PAGE_A		1
#define PAGE_B		2
#define PAGES_AB	3

/* Sizes and choices of a scenario; run.sh overrides them. */
#ifndef NR_SUBS
#define NR_SUBS		2	/* subscriptions */
#endif
#ifndef SUB0
#define SUB0		PAGE_A	/* what subscription 0 subscribes to */
#endif
#ifndef SUB1
#define SUB1		PAGE_A
#endif
#ifndef NR_RANGES
#define NR_RANGES	2	/* processes that invalidate */
#endif
#ifndef ROUNDS
#define ROUNDS		1	/* how often each of them does */
#endif
#ifndef NR_DRIVERS
#define NR_DRIVERS	2	/* driver processes */
#endif
#ifndef READS
#define READS		1	/* how often each of them fills its shadow entry */
#endif
#ifndef LIVES
#define LIVES		1	/* how often a subscription comes and goes */
#endif
#ifndef NR_BUCKETS
#define NR_BUCKETS	1
#endif
#ifndef FIRST_TICKET
#define FIRST_TICKET	251	/* the numbers wrap soon: they are bytes here */
#endif

/* -- the CPU's page table, and shadows of it --------------------------------- */

byte pte[2];			/* how often the entry of page 0, 1 has changed */

byte s_pages[NR_SUBS];		/* .interval_tree.start and .last */
byte s_seq[NR_SUBS];		/* .invalidate_seq */
bool s_freed[NR_SUBS];		/* remove has returned: the driver frees the memory */
bool sh_valid[NR_SUBS];		/* the shadow entry of the lowest subscribed page, */
byte sh_pte[NR_SUBS];		/* and what it is a copy of; driver's lock */

#define page_of(s)	((s_pages[s] & PAGE_A) -> 0 : 1)

/* -- invalidations, one for each process that makes them ------------------------ */

byte r_pages[NR_RANGES];	/* .start and .end */

#define overlap(r, s)	((r_pages[r] & s_pages[s]) != 0)

/* What the formulas speak of: who is inside which function. */
bool reading[NR_DRIVERS], inserting[NR_DRIVERS], removing[NR_DRIVERS];

/* Scratch of deterministic steps, never part of a state. */
hidden byte k;
hidden byte k2;

inline check_shadows()
{
	for (k2 : 0 .. NR_SUBS - 1) {
		/* THE property: no valid shadow entry differs from the CPU's. */
		assert(!sh_valid[k2] || sh_pte[k2] == pte[page_of(k2)])
	}
	k2 = 0
}

/*
 * A driver's invalidate callback. All of it is under the driver's lock; of what it
 * does only the store of the sequence is visible without that lock.
 */
inline callback(s, cur_seq)
{
	d_step {
		/* No callback comes after remove has returned. */
		assert(!s_freed[s]);
#ifndef BUG_NO_SET_SEQ
		s_seq[s] = cur_seq;
#endif
		sh_valid[s] = false
	}
}

#ifdef PER_MM
#include "per_mm.pml"
#else
#include "ranges.pml"
#endif

/* -- who changes the CPU's page table --------------------------------------------- */

inline change_ptes(r)
{
	d_step {
#ifndef LIVE
		if
		:: r_pages[r] & PAGE_A -> pte[0]++
		:: else
		fi;
		if
		:: r_pages[r] & PAGE_B -> pte[1]++
		:: else
		fi;
		check_shadows();
#endif
		skip
	}
}

inline invalidate(r)
{
	inv_start(r);
	if
	:: !refused -> change_ptes(r); inv_end(r)
	:: else -> refused = false
	fi;
	r_pages[r] = 0
}

proctype invalidator(byte r)
{
	START_LOCALS;
	bool refused;
	byte round;

	do
	:: round < ROUNDS ->
		if
#ifndef ONLY_AB
		:: r_pages[r] = PAGE_A
#ifndef ONLY_A
		:: r_pages[r] = PAGE_B
#endif
#endif
#ifndef ONLY_A
		:: r_pages[r] = PAGES_AB
#endif
		fi;
		invalidate(r);
		round++
	:: else -> break
	od
}

#ifdef LIVE
/* Invalidates without pause what STORM says. */
proctype storm(byte r)
{
	START_LOCALS;
	bool refused;

end:	do
	:: r_pages[r] = STORM; invalidate(r)
#ifdef STORM2
	:: r_pages[r] = STORM2; invalidate(r)
#endif
	od
}
#endif

/* -- drivers ------------------------------------------------------------------------ */

/* The one correct loop, once around: what fails to pass read_retry is dropped. */
inline fill(d, s)
{
	reading[d] = true;
	read_begin(d, s);
	reading[d] = false;
	val = pte[page_of(s)];
	d_step {
		/* Under the driver's lock: mmu_interval_read_retry(), fill in. */
		if
#ifdef BUG_IGNORE_RETRY
		:: true ->
#else
		:: s_seq[s] == seq ->
#endif
			sh_valid[s] = true;
			sh_pte[s] = val
		:: else
		fi;
		check_shadows();
		seq = 0;
		val = 0
	}
}

/* A subscription that is there from the start, and its reader */
proctype reader(byte d; byte s)
{
	byte seq, fresh, val, n;

end:	do
	:: n < READS ->
		fill(d, s);
#ifndef LIVE
		n++
#endif
	:: else -> break
	od
}

/* A subscription that comes and goes */
proctype owner(byte d; byte s)
{
	byte seq, fresh, val, n, life;

	do
	:: life < LIVES ->
		s_freed[s] = false;
		inserting[d] = true;
		insert(d, s);
		inserting[d] = false;
		do
		:: n < READS -> fill(d, s); n++
		:: else -> break
		od;
		n = 0;
		/* A driver uses its shadow no more when it removes the subscription. */
		d_step {
			sh_valid[s] = false;
			sh_pte[s] = 0
		}
		removing[d] = true;
		remove(d, s);
		removing[d] = false;
		s_freed[s] = true;
		life++
	:: else -> break
	od
}

/* -- scenarios ------------------------------------------------------------------------ */

init {
	atomic {
		s_pages[0] = SUB0;
#if NR_SUBS > 1
		s_pages[1] = SUB1;
#endif
		core_init();
#ifdef SUB1_IDLE
		born(1);	/* it is there, and nobody reads it */
#endif
#ifdef READERS
		/* Subscription 0 is inserted, and read by the first drivers. */
		born(0);
		for (k : 0 .. READERS - 1) {
			run reader(k, 0)
		}
#if NR_DRIVERS > READERS
		run owner(READERS, 1);
#endif
#else
		/* All subscriptions come and go. */
		for (k : 0 .. NR_DRIVERS - 1) {
			run owner(k, k)
		}
#endif
#ifdef LIVE
#ifndef CALM
		run storm(0);
		run storm(1);
#endif
#if NR_RANGES > 2
		run invalidator(2);
#endif
#else
		for (k : 0 .. NR_RANGES - 1) {
			run invalidator(k)
		}
#endif
		k = 0
	}
}

#ifdef LIVE
/* EVENT: reading[0], removing[1], ...: who is in there gets out again. */
ltl gets_out { [] (EVENT -> <> !EVENT) }
#endif
