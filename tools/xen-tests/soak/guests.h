/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The keepers of the soak: each has one guest after the other, which grants pages and then
 * leads the life that xl can give it, while backends use what it grants. All of a guest's lives end
 * with nothing left of it in Xen or xenstore, which waits for the backends to let go.
 *
 * What happens comes from a deck of cards: by chance, but all of it.
 */
#ifndef SOAK_GUESTS_H
#define SOAK_GUESTS_H

#include "../lifecycle/kinds.h"
#include "board.h"

/* Between two cards, at most: there has to be something to map. */
#define IN_PEACE_MS	4000

/* xl migrate has been seen to take two minutes. */
#define BUSY_SCALE	5

struct keeper {
	struct soak_board *b;
	struct soak_seat *seat;
	struct soak_chance chance;
	struct dom dom;
	char name[16];
	bool pvh;
	struct dom_id id;
	struct gm_guest *agent;
	struct gm_grant told, scratch;
	uint64_t seed;
	unsigned int deck[8];
	unsigned int cards;	/* left in it */
};

/* Has the guest grant what backends find on the board. */
static inline int keeper_grant(struct keeper *k)
{
	int ret;

	k->agent = gm_guest_open(k->id.domid);
	if (!k->agent)
		return -errno;
	k->seed = soak_next(&k->chance);
	ret = gm_guest_grant(k->agent, &k->told, RUN_PAGES, true, k->seed);
	if (!ret)
		ret = gm_guest_grant(k->agent, &k->scratch, RUN_PAGES, true, 0);
	if (!ret)
		seat_publish(k->seat, &k->told, k->seed, &k->scratch);
	return ret;
}

/* Nobody begins to use it any more; who does, goes on. The guest is not asked. */
static inline void keeper_withdraw(struct keeper *k)
{
	seat_withdraw(k->seat);
	free(k->told.refs);
	free(k->scratch.refs);
	memset(&k->told, 0, sizeof(k->told));
	memset(&k->scratch, 0, sizeof(k->scratch));
	gm_guest_close(k->agent);
	k->agent = NULL;
}

/* The guest has another domid, or is there for the first time. */
static inline int keeper_settle(struct keeper *k)
{
	int ret;

	if (dom_wait_up(k->name) || dom_identify(k->name, &k->id))
		return -1;
	ret = keeper_grant(k);
	if (!ret)
		return 0;
	soak_fail(k->b, "%s (domain %u) does not grant: %s", k->name, k->id.domid, strerror(-ret));
	return -1;
}

static inline int keeper_create(struct keeper *k)
{
	static const struct dom pv = KIND_PV(NULL, ""), pvh = KIND_PVH(NULL, "");

	k->pvh = soak_chance(&k->chance, 2);
	k->dom = k->pvh ? pvh : pv;
	k->dom.name = k->name;
	if (dom_create(&k->dom) || keeper_settle(k))
		return -1;
	soak_did(k->b, k->pvh ? CREATED_PVH : CREATED_PV);
	return 0;
}

/* Nothing is left of the domain that the guest was; what tests keep for it goes, too. */
static inline int keeper_wait_gone(struct keeper *k)
{
	if (dom_wait_gone(&k->id))
		return -1;
	gm_guest_forget(k->id.domid);
	return 0;
}

/* ---- what happens to it: 0, or -1 with the reason in dom_error() ---- */

/* What it has granted it finds unchanged; then it takes it back, and grants anew. */
static inline int regrant(struct keeper *k)
{
	int ret = gm_guest_check(k->agent, &k->told, k->seed, 0, RUN_PAGES);

	seat_withdraw(k->seat);
	if (!ret)
		ret = gm_guest_revoke(k->agent, &k->told);
	if (!ret)
		ret = gm_guest_revoke(k->agent, &k->scratch);
	if (ret) {
		soak_fail(k->b, "%s (domain %u) takes its pages back: %s", k->name, k->id.domid,
			  strerror(-ret));
		return -1;
	}
	keeper_withdraw(k);
	soak_did(k->b, REGRANTED);
	return keeper_settle(k);
}

static inline int pause_unpause(struct keeper *k)
{
	if (dom_xl("pause %s", k->name))
		return -1;
	gm_sleep_ms(soak_chance(&k->chance, 1000));
	if (dom_xl("unpause %s", k->name))
		return -1;
	soak_did(k->b, PAUSED);
	return 0;
}

static inline int save_restore(struct keeper *k)
{
	char file[64];
	int ret;

	snprintf(file, sizeof(file), "/tmp/%s.save", k->name);
	keeper_withdraw(k);
	if (dom_xl("save %s %s", k->name, file) || keeper_wait_gone(k))
		return -1;
	ret = dom_xl("restore %s", file);
	unlink(file);
	if (ret)
		return -1;
	soak_did(k->b, SAVED);
	return keeper_settle(k);
}

/* Live; this Xen cannot do that for PV guests. */
static inline int migrate(struct keeper *k)
{
	if (!k->pvh)
		return save_restore(k);
	keeper_withdraw(k);
	if (dom_xl("migrate -s '' %s 'xl migrate-receive'", k->name) || keeper_wait_gone(k))
		return -1;
	soak_did(k->b, MIGRATED);
	return keeper_settle(k);
}

/* Those that end it: then there is a new one. */

static inline int ended(struct keeper *k, enum soak_event how)
{
	if (keeper_wait_gone(k))
		return -1;
	soak_did(k->b, how);
	return k->b->stop ? 0 : keeper_create(k);
}

static inline int shut_down(struct keeper *k)
{
	keeper_withdraw(k);
	return dom_xl("shutdown -w %s", k->name) ? -1 : ended(k, SHUT_DOWN);
}

static inline int destroy(struct keeper *k)
{
	keeper_withdraw(k);
	return dom_xl("destroy %s", k->name) ? -1 : ended(k, DESTROYED);
}

static inline int destroy_paused(struct keeper *k)
{
	if (dom_xl("pause %s", k->name))
		return -1;
	keeper_withdraw(k);
	return dom_xl("destroy %s", k->name) ? -1 : ended(k, DESTROYED_PAUSED);
}

/* Its console's log would look like a finding; of a guest that has migrated it has another name. */
static inline int crash(struct keeper *k)
{
	char migrated[32];
	int ret;

	keeper_withdraw(k);
	ret = dom_xl("sysrq %s c", k->name) || keeper_wait_gone(k);
	snprintf(migrated, sizeof(migrated), "%s--incoming", k->name);
	dom_forget_console(migrated);
	dom_forget_console(k->name);
	return ret ? -1 : ended(k, CRASHED);
}

static int (*const soak_cards[])(struct keeper *k) = {
	regrant, pause_unpause, save_restore, migrate, shut_down, destroy, destroy_paused, crash,
};

static inline unsigned int draw_card(struct keeper *k)
{
	unsigned int n = ARRAY_SIZE(soak_cards), at, card;

	if (!k->cards)
		for (; k->cards < n; k->cards++)
			k->deck[k->cards] = k->cards;
	at = soak_chance(&k->chance, k->cards);
	card = k->deck[at];
	k->deck[at] = k->deck[--k->cards];
	return card;
}

/* Until all is stopped: a process of its own */
static inline void keep(struct soak_board *b, unsigned int seat, unsigned int life)
{
	struct keeper k = {
		.b = b,
		.seat = &b->seats[seat],
		.chance = soak_chance_of(b->seed, 1000 + seat, life),
	};
	char scale[32];
	int ret;

	/* Limits on a hang, dom.h's among them: everything else happens at the same time. */
	snprintf(scale, sizeof(scale), "%f", BUSY_SCALE * gm_scale());
	setenv("GM_SCALE", scale, 1);
	snprintf(k.name, sizeof(k.name), "soak-%u", seat);
	ret = keeper_create(&k);
	while (!ret && !b->stop) {
		gm_sleep_ms(soak_chance(&k.chance, IN_PEACE_MS));
		if (!b->stop)
			ret = soak_cards[draw_card(&k)](&k);
	}
	if (ret)
		soak_fail(b, "%s: %s", k.name, dom_error());
	keeper_withdraw(&k);
	if (dom_destroy(k.name))
		soak_fail(b, "%s, at the end: %s", k.name, dom_error());
	gm_guest_forget(k.id.domid);
	_exit(!!ret);
}

#endif /* SOAK_GUESTS_H */
