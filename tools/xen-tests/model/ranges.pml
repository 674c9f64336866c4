/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Our core: invalidations in flight are recorded as ranges. Names are those of
 * mm/mmu_notifier.c and mm/mmu_interval.c; README.md says who is who.
 *
 * A section under subs->lock is one step, if nothing in it waits and at most one
 * of its stores can be seen by who does not hold the lock. Others are several, with
 * subs_lock held in between.
 */

#ifndef NR_SLOTS
#define NR_SLOTS	1	/* in each bucket */
#endif
#define ALL_SLOTS	(NR_BUCKETS * NR_SLOTS)

/* Of the mm: subs->lock protects all but what is read without it. */
bool subs_lock;
byte ticket;			/* last one given */
byte nr_colliding;		/* read by read_begin's fast path */
byte tree_seq;			/* seqcount of the tree */
bool marked[NR_BUCKETS];	/* buckets that this mm uses */
bool in_tree[NR_SUBS];		/* read by walkers */
byte leaving[NR_SUBS];		/* 1 + the driver that waits to remove it */

/* 0: free; LOOKING; or 1 + a quiet range, perhaps HELD. Changed by cmpxchg. */
byte slot[ALL_SLOTS];

#define LOOKING		64	/* the owner looks at the tree */
#define HELD		128	/* an insert looks at the range */

/* Of a range */
byte r_slot[NR_RANGES];		/* 1 + the slot it was put into, 0: none */
byte r_ticket[NR_RANGES];	/* subs->lock */
bool r_colliding[NR_RANGES];	/* on the mm's list; subs->lock */

/* Of a driver that waits in read_begin or remove; subs->lock */
bool w_waits[NR_DRIVERS];	/* listed; not: done */
byte w_sub[NR_DRIVERS];
byte w_limit[NR_DRIVERS];
byte w_pending[NR_DRIVERS];
/* Not in the code: for which ranges it waits. The above must come to the same. */
byte w_for[NR_DRIVERS];

#define bit(r)		(1 << (r))

/*
 * Is the ticket later than the limit? Numbers wrap. Where storms never end there
 * are no numbers: the answer is taken from w_for, and safety has shown that the
 * numbers give the same.
 */
#if defined(BUG_NO_LIMIT)
#define later(r, w)	false
#elif defined(LIVE)
#define later(r, w)	((w_for[w] & bit(r)) == 0)
#else
#define later(r, w)	(r_ticket[r] != w_limit[w] && ((r_ticket[r] - w_limit[w]) & 255) < 128)
#endif

/* A newborn's first number is even, so it is no ticket and never comes back. */
#ifdef BUG_NEWBORN_WITH_TICKET
#define FIRST_SEQ		ticket
#else
#define FIRST_SEQ		((ticket + 255) & 255)
#endif

#define START_LOCALS		byte b, s, sq, first; bool found

inline core_init()
{
#ifdef MARKED
	for (k : 0 .. NR_BUCKETS - 1) {
		marked[k] = true
	}
#endif
#ifdef LIVE
	ticket = 1
#else
	ticket = FIRST_TICKET
#endif
}

/* Subscribed before anything else happens */
inline born(s)
{
	s_seq[s] = FIRST_SEQ;
	in_tree[s] = true
}

/* -- invalidation ------------------------------------------------------------------ */

/* mn_start_colliding(), under subs->lock */
inline start_colliding(r)
{
#ifndef LIVE
	ticket = (ticket + 2) & 255;
#endif
	r_ticket[r] = ticket;
	r_colliding[r] = true;
	nr_colliding++
}

/*
 * mn_look(): at the tree, without a lock. What it sees of a tree that is being changed
 * is anything; what it has found may be read later, and must still be there then.
 * first: what overlaps, NR_SUBS for nothing; found: or the tree has changed.
 */
inline look(r)
{
	d_step {
		sq = tree_seq & 254;
		found = false;
		first = NR_SUBS;
		s = 0
	}
	do
	:: s < NR_SUBS && !found ->
		if
		:: in_tree[s] ->
			d_step {
				/* No walker looks at freed memory. */
				assert(!s_freed[s]);
				found = overlap(r, s);
				if
				:: found -> first = s
				:: else
				fi;
				s++
			}
		:: !in_tree[s] || (tree_seq & 1) -> s++
		fi
	:: else -> break
	od;
#ifndef BUG_NO_SEQCOUNT
	found = found || tree_seq != sq;
#endif
	s = 0
}

#ifdef BUG_NO_MARK
#define passed_over(r, s)	false
#else
#define passed_over(r, s)	(leaving[s] && later(r, leaving[s] - 1))
#endif

/*
 * mn_collect() with batches of one, under subs->lock: from s on, the next subscription
 * to call; NR_SUBS if there is none
 */
inline collect(r)
{
	do
	:: s == NR_SUBS -> break
	:: s < NR_SUBS && in_tree[s] && overlap(r, s) && !passed_over(r, s) -> break
	:: else -> s++
	od
}

/* mn_start_quiet() in a marked bucket; found: it is not quiet */
inline try_quiet(r)
{
#ifdef BUG_LOOK_BEFORE_SLOT
	look(r);
#endif
	b = (r % NR_BUCKETS) * NR_SLOTS;
	do
	:: atomic { b < (r % NR_BUCKETS + 1) * NR_SLOTS && slot[b] == 0 ->
		slot[b] = LOOKING;
		r_slot[r] = b + 1
	   }
	   break
	:: b < (r % NR_BUCKETS + 1) * NR_SLOTS && slot[b] != 0 -> b++
	:: b == (r % NR_BUCKETS + 1) * NR_SLOTS -> break
	od;
	if
	:: r_slot[r] != 0 ->
#ifndef BUG_LOOK_BEFORE_SLOT
		look(r);
#endif
		d_step {
			if
			:: found ->
				slot[b] = 0;
				r_slot[r] = 0
			:: else -> slot[b] = r + 1
			fi
		}
	:: else -> found = true
	fi;
	b = 0
}

/*
 * Who waits for the end of a look waits for a word that others change all the time.
 * That it sees a moment in between is not fairness of processes: where there are
 * storms, a look is one step.
 */
inline start_quiet(r)
{
	first = NR_SUBS;
	if
	:: marked[r % NR_BUCKETS] ->
#ifdef LIVE
		atomic { try_quiet(r) }
#else
		try_quiet(r)
#endif
	:: else -> found = true
	fi
}

/* Under subs->lock: go on with what the look has found, if the tree is the same. */
inline begin_at_found()
{
	if
#ifdef BUG_TRUST_FOUND
	:: first < NR_SUBS ->
#else
	:: first < NR_SUBS && tree_seq == sq ->
#endif
		s = first;
		assert(in_tree[s])
	:: else -> s = 0
	fi;
	first = 0;
	sq = 0
}

inline inv_start(r)
{
	start_quiet(r);
	if
	:: !found ->
		d_step {
			first = 0;
			sq = 0
		}
	:: else ->
		/* mn_start_slow() */
		found = false;
		if
		:: !marked[r % NR_BUCKETS] ->
			d_step {
				!subs_lock;
				subs_lock = true;
				marked[r % NR_BUCKETS] = true
			}
			d_step {
				start_colliding(r);
				begin_at_found();
				collect(r);
				subs_lock = false
			}
		:: else ->
			d_step {
				!subs_lock;
				start_colliding(r);
				begin_at_found();
				collect(r);
				skip
			}
		fi;
		do
		:: s < NR_SUBS ->
			if
			:: callback(s, r_ticket[r])
#ifdef REFUSALS
			:: refused = true; break
#endif
			fi;
			d_step {
				/* The lock was dropped; the last one is the place to go on from. */
				!subs_lock;
				assert(in_tree[s]);
				s++;
				collect(r);
				skip
			}
		:: else -> break
		od;
		s = 0;
#ifndef BUG_LEAK_ON_REFUSAL
		if
		:: refused -> end_colliding(r)
		:: else
		fi
#endif
	fi
}

/* mn_end_colliding(): who waited for this range and for no other goes on. */
inline end_colliding(r)
{
	d_step {
		!subs_lock;
		assert(r_colliding[r] && nr_colliding > 0);
		r_colliding[r] = false;
		for (k : 0 .. NR_DRIVERS - 1) {
			if
			:: w_waits[k] && overlap(r, w_sub[k]) && !later(r, k) ->
				/* A waiter is counted down only for what it has counted ... */
				assert(w_for[k] & bit(r));
				w_for[k] = w_for[k] & (255 - bit(r));
				assert(w_pending[k] > 0);
				w_pending[k]--;
				if
				:: w_pending[k] == 0 ->
					/* Not too early, and once */
					assert(w_for[k] == 0);
					w_waits[k] = false
				:: else
				fi
			:: else ->
				/* ... and for all of that. */
				assert(!(w_for[k] & bit(r)))
			fi
		}
		k = 0;
		r_ticket[r] = 0;
		nr_colliding--
	}
}

/* While an insert holds the slot its owner waits. */
#ifdef BUG_NO_WAIT_FOR_HELD
#define may_have_left(b, r)	true
#else
#define may_have_left(b, r)	(slot[b] != ((r + 1) | HELD))
#endif

/* mn_end_quiet(), and if that is not how it is, mn_end_colliding() */
inline inv_end(r)
{
	if
	:: r_slot[r] == 0 -> found = true
	:: else ->
		b = r_slot[r] - 1;
		if
#ifdef BUG_BLIND_END
		:: true -> slot[b] = 0
#else
		:: atomic { slot[b] == r + 1 -> slot[b] = 0 }
		/* Not there: an insert has made it colliding. */
		:: slot[b] != r + 1 && may_have_left(b, r) -> found = true
#endif
		fi;
		d_step {
			r_slot[r] = 0;
			b = 0
		}
	fi;
	if
	:: found -> end_colliding(r)
	:: else
	fi;
	found = false
}

/* -- reader --------------------------------------------------------------------------- */

#ifdef BUG_WAIT_FOR_ALL
#define waited_for(r, s)	r_colliding[r]
#else
#define waited_for(r, s)	(r_colliding[r] && overlap(r, s))
#endif

/* mn_wait_prepare(), under subs->lock; without a wait nothing is left behind. */
inline wait_prepare(d, s)
{
	for (k : 0 .. NR_RANGES - 1) {
		if
		:: waited_for(k, s) ->
			/* A waiter waits only for collisions. */
			assert(overlap(k, s));
			w_for[d] = w_for[d] | bit(k);
			w_pending[d]++
		:: else
		fi
	}
	k = 0;
	if
	:: w_pending[d] > 0 ->
		w_waits[d] = true;
		w_sub[d] = s;
		w_limit[d] = ticket
	:: else
	fi
}

inline forget_wait(d)
{
	w_sub[d] = 0;
	w_limit[d] = 0
}

/*
 * The planted bug: not to wait for those in flight when the wait began, but for a
 * moment without any, as long as others keep coming.
 */
#ifdef BUG_WAIT_FOR_QUIET
#define wait_is_over(d, s)	(!waited_for(0, s) && !waited_for(1, s))
#else
#define wait_is_over(d, s)	!w_waits[d]
#endif

/* The slow part of mmu_interval_try_read_begin(); val: is it true? */
inline try_slow(s, fresh)
{
	d_step {
		!subs_lock;
		fresh = s_seq[s];
		val = true;
		for (k : 0 .. NR_RANGES - 1) {
			if
			:: waited_for(k, s) -> val = false
			:: else
			fi
		}
		k = 0
	}
}

inline read_begin(d, s)
{
#ifdef BUG_COUNT_BEFORE_SEQ
	val = nr_colliding;
	seq = s_seq[s];
	if
	:: val == 0
#else
	seq = s_seq[s];
	if
	:: nr_colliding == 0
#endif
	:: else ->
		d_step {
			!subs_lock;
			seq = s_seq[s];
#ifndef BUG_NO_WAIT
			wait_prepare(d, s);
#endif
			val = w_waits[d]
		}
		if
		:: val ->
			wait_is_over(d, s);
			forget_wait(d);
			/* mmu_interval_try_read_begin() */
			fresh = s_seq[s];
			if
			:: nr_colliding == 0 -> val = true
			:: else -> try_slow(s, fresh)
			fi;
#ifdef BUG_FRESH_SEQ
			val = true;
#endif
			d_step {
				seq = (val -> fresh : seq);
				fresh = 0
			}
		:: else
		fi
	fi;
	val = 0
}

/* -- insert, remove ---------------------------------------------------------------------- */

#ifdef BUG_NO_WAIT_FOR_LOOKING
#define looking(n)		false
#define nothing_in(n)		(slot[n] == 0 || slot[n] == LOOKING)
#else
#define looking(n)		(slot[n] == LOOKING)
#define nothing_in(n)		(slot[n] == 0)
#endif

/* mn_promote() with mn_hold() and mn_let_go() */
inline promote(s)
{
	do
	:: n < ALL_SLOTS && !marked[n / NR_SLOTS] -> n++
	:: n < ALL_SLOTS && marked[n / NR_SLOTS] ->
		if
		:: nothing_in(n)
		:: atomic { !nothing_in(n) && !looking(n) ->
			val = slot[n] - 1;
#ifndef BUG_NO_HELD
			slot[n] = slot[n] | HELD
#endif
		   }
		   d_step {
			if
			:: overlap(val, s) ->
				start_colliding(val);
				val = 0
			:: else -> val++
			fi
		   }
		   d_step {
			slot[n] = val;
			val = 0
		   }
		fi;
		n++
	:: else -> break
	od;
	n = 0
}

inline insert(d, s)
{
	d_step {
		!subs_lock;
		subs_lock = true;
#if !defined(LIVE) && !defined(BUG_NEWBORN_WITH_TICKET)
		ticket = (ticket + 2) & 255;
#endif
		s_seq[s] = FIRST_SEQ
	}
#ifdef BUG_PROMOTE_FIRST
	promote(s);
#endif
	tree_seq++;
	in_tree[s] = true;
	tree_seq = (tree_seq + 1) & 255;
#if !defined(BUG_NO_PROMOTION) && !defined(BUG_PROMOTE_FIRST)
	promote(s);
#endif
	subs_lock = false
}

inline erase(s)
{
	in_tree[s] = false;
	d_step {
		tree_seq = (tree_seq + 1) & 255;
		leaving[s] = 0;
		subs_lock = false
	}
}

inline remove(d, s)
{
	d_step {
		!subs_lock;
#ifndef BUG_REMOVE_DOES_NOT_WAIT
		wait_prepare(d, s);
#endif
		if
#ifdef BUG_ERASE_FIRST
		:: true ->
#else
		:: !w_waits[d] ->
#endif
			subs_lock = true;
			tree_seq++;
			val = false
		:: else ->
			leaving[s] = d + 1;
			val = true
		fi
	}
	if
	:: val ->
		wait_is_over(d, s);
		d_step {
			!subs_lock;
			subs_lock = true;
			tree_seq++;
			val = 0
		}
		erase(s);
		forget_wait(d)
	:: else ->
		erase(s);
#ifdef BUG_ERASE_FIRST
		!w_waits[d];
#endif
	fi;
#ifndef BUG_NO_HANDOVER
	/* mn_wait_for_walkers() */
	do
	:: n < ALL_SLOTS ->
		if
		:: !marked[n / NR_SLOTS]
		:: marked[n / NR_SLOTS] && slot[n] != LOOKING
		fi;
		n++
	:: else -> break
	od;
	n = 0
#endif
}
