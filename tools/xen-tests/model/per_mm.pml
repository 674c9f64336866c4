/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The other core, to show that the model can fail: one sequence and one count of
 * invalidations in flight for the whole mm, as in Linux 6.12. It is as safe as ours. But
 * a reader that has collided, an insert that is deferred and a remove wait for a
 * moment without any invalidation of the mm, wherever it is, and that need not come.
 *
 * A section under the lock of the subscriptions is one step.
 */

bool in_tree[NR_SUBS];
byte mm_seq;			/* odd: something collides */
byte mm_active;			/* invalidations in flight */
byte deferred[NR_SUBS];		/* tree changes that wait for the last of them */
byte r_seq[NR_RANGES];

#define INSERT			1
#define REMOVE			2

#define START_LOCALS		byte s
#define bit(r)			(1 << (r))

inline core_init()
{
	mm_seq = 2
}

inline born(s)
{
	s_seq[s] = mm_seq - 1;
	in_tree[s] = true
}

/* Under the lock: s becomes the next subscription to call, NR_SUBS for none */
inline next_overlap(r)
{
	do
	:: s == NR_SUBS -> break
	:: s < NR_SUBS && in_tree[s] && overlap(r, s) -> break
	:: else -> s++
	od
}

inline inv_start(r)
{
	d_step {
		mm_active++;
		s = 0;
		next_overlap(r);
		if
		:: s < NR_SUBS -> mm_seq = mm_seq | 1
		:: else
		fi;
		r_seq[r] = mm_seq
	}
	/* Without the lock: while the number is odd the tree does not change. */
	do
	:: s < NR_SUBS ->
		callback(s, r_seq[r]);
		d_step {
			s++;
			next_overlap(r);
			skip
		}
	:: else -> break
	od;
	s = 0
}

inline inv_end(r)
{
	d_step {
		r_seq[r] = 0;
		mm_active--;
		if
		:: mm_active == 0 && (mm_seq & 1) ->
			mm_seq++;
			for (k : 0 .. NR_SUBS - 1) {
				if
				:: deferred[k] == INSERT -> in_tree[k] = true
				:: deferred[k] == REMOVE -> in_tree[k] = false
				:: else
				fi;
				deferred[k] = 0
			}
			k = 0
		:: else
		fi
	}
}

/* val: does it collide? */
inline read_begin(d, s)
{
	d_step {
		seq = s_seq[s];
		val = (seq == mm_seq)
	}
	if
	:: val -> mm_seq != seq
	:: else
	fi;
	val = 0
}

inline insert(d, s)
{
	d_step {
		if
		:: mm_active == 0 ->
			in_tree[s] = true;
			s_seq[s] = mm_seq - 1
		:: mm_active > 0 && (mm_seq & 1) ->
			deferred[s] = INSERT;
			s_seq[s] = mm_seq
		:: else ->
			mm_seq = mm_seq | 1;
			in_tree[s] = true;
			s_seq[s] = mm_seq
		fi
	}
}

inline remove(d, s)
{
	d_step {
		if
		:: !(mm_seq & 1) -> in_tree[s] = false
		:: (mm_seq & 1) && deferred[s] == INSERT -> deferred[s] = 0
		:: else ->
			deferred[s] = REMOVE;
			seq = mm_seq
		fi
	}
	if
	:: seq != 0 -> mm_seq != seq
	:: else
	fi;
	seq = 0
}
