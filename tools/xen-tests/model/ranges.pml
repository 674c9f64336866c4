/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Our core: invalidations in flight are recorded as ranges. Names are those of
 * mm/mmu_notifier.c and mm/mmu_interval.c; README.md says who is who.
 *
 * A section under subs->lock is one step, if nothing in it waits and at most one
 * of its stores can be seen by who does not hold the lock. Insert's is several:
 * it takes bucket locks inside.
 */

/* Of the mm: subs->lock protects all but what is read without it. */
bool subs_lock;
byte ticket;			/* last one given */
byte nr_colliding;		/* read by read_begin's fast path */
byte tree_seq;			/* seqcount of the tree */
bool used[NR_BUCKETS];		/* buckets that this mm has been in */
bool in_tree[NR_SUBS];		/* read by walkers */
byte leaving[NR_SUBS];		/* 1 + the driver that waits to remove it */

/* Of a range */
byte r_bucket[NR_RANGES];	/* 1 + the bucket it was put into, 0: none */
byte r_ticket[NR_RANGES];	/* 0: quiet; bucket's lock, subs->lock */
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

/* Bucket locks are queued (first come, first served), as the kernel's spinlocks are. */
#ifdef LIVE
chan queue[NR_BUCKETS] = [8] of { byte };
#define bucket_free(b)		(len(queue[b]) == 0)
#define lock_bucket(b)		queue[b] ! _pid; queue[b] ? [eval(_pid)]
#define unlock_bucket(b)	queue[b] ? eval(_pid)
#else
bool bucket_locked[NR_BUCKETS];
#define bucket_free(b)		!bucket_locked[b]
#define lock_bucket(b)		d_step { !bucket_locked[b]; bucket_locked[b] = true }
#define unlock_bucket(b)	bucket_locked[b] = false
#endif

/* A newborn's first number is even, so it is no ticket and never comes back. */
#ifdef BUG_NEWBORN_WITH_TICKET
#define FIRST_SEQ		ticket
#else
#define FIRST_SEQ		((ticket + 255) & 255)
#endif

#define START_LOCALS		byte b, s, sq; bool found

inline core_init()
{
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
 * mn_may_overlap(): a look at the tree without a lock. What it sees of a tree that is
 * being changed is anything; what it has found may be read later, and must still
 * be there then.
 */
inline may_overlap(r)
{
	d_step {
		sq = tree_seq & 254;
		found = false;
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
				s++
			}
		:: !in_tree[s] || (tree_seq & 1) -> s++
		fi
	:: else -> break
	od;
#ifndef BUG_NO_SEQCOUNT
	found = found || tree_seq != sq;
#endif
	s = 0;
	sq = 0
}

#ifdef BUG_NO_MARK
#define passed_over(r, s, started)	false
#else
#define passed_over(r, s, started)	(leaving[s] && (!started || later(r, leaving[s] - 1)))
#endif

/*
 * mn_collect() with batches of one, under subs->lock: from s on, the next subscription
 * to call; NR_SUBS if there is none
 */
inline collect(r, started)
{
	do
	:: s == NR_SUBS -> break
	:: s < NR_SUBS && in_tree[s] && overlap(r, s) && !passed_over(r, s, started) -> break
	:: else -> s++
	od
}

/* mn_start_quiet() */
inline start_quiet(r)
{
	b = r % NR_BUCKETS;
#ifdef BUG_WALK_BEFORE_LOCK
	used[b] = true;
	may_overlap(r);
	lock_bucket(b);
#else
	lock_bucket(b);
#ifdef BUG_MARK_AFTER_WALK
	may_overlap(r);
	used[b] = true;
#else
	used[b] = true;
	may_overlap(r);
#endif
#endif
	d_step {
		if
		:: !found -> r_bucket[r] = b + 1
		:: else
		fi
	}
	unlock_bucket(b);
	b = 0
}

inline inv_start(r)
{
	start_quiet(r);
	if
	:: !found
	:: else ->
		/* mn_start_slow() */
		found = false;
		d_step {
			!subs_lock && bucket_free(0);
			s = 0;
			collect(r, false);
			if
			:: s == NR_SUBS ->
				/* Nobody, after all: quiet. */
				used[0] = true;
				r_bucket[r] = 1
			:: else -> start_colliding(r)
			fi
		}
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
				collect(r, true);
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

/* mn_end_intervals() */
inline inv_end(r)
{
	found = true;
	if
	:: r_bucket[r] > 0 ->
		/* mn_end_quiet() */
		b = r_bucket[r] - 1;
		lock_bucket(b);
		d_step {
#ifdef BUG_NO_RECHECK
			found = false;
#else
			/* Or has an insert made it colliding? */
			found = r_ticket[r] != 0;
#endif
			r_bucket[r] = 0
		}
		unlock_bucket(b);
		b = 0
	:: else
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

inline insert(d, s)
{
	d_step {
		!subs_lock;
		subs_lock = true;
		s_seq[s] = FIRST_SEQ;
		tree_seq++
	}
	in_tree[s] = true;
	tree_seq++;
#ifndef BUG_NO_PROMOTION
	/* mn_promote() */
	do
	:: n < NR_BUCKETS ->
		if
		:: used[n] ->
			lock_bucket(n);
			d_step {
				for (k : 0 .. NR_RANGES - 1) {
					if
					:: r_bucket[k] == n + 1 && r_ticket[k] == 0 && overlap(k, s) ->
						start_colliding(k)
					:: else
					fi
				}
				k = 0
			}
			unlock_bucket(n)
		:: else
		fi;
		n++
	:: else -> break
	od;
	n = 0;
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
	:: n < NR_BUCKETS ->
		if
		:: used[n] -> lock_bucket(n); unlock_bucket(n)
		:: else
		fi;
		n++
	:: else -> break
	od;
	n = 0
#endif
}
