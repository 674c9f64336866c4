// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each command does. One with a length is done in pieces, of one page of each side at
 * most: a piece is translated first, and accessed when the time that it takes is over, with
 * the translation from before. So a shootdown that does not wait for it, or a driver that
 * does not wait for the shootdown, does harm that can be seen.
 */
#include "xgpu.h"

#define VA_END	(1ULL << XGPU_VA_BITS)

static bool reads_src(const struct xgpu_op *o)
{
	return o->op == XGPU_OP_COPY || o->op == XGPU_OP_CHECKSUM || o->op == XGPU_OP_COMPARE ||
	       o->op == XGPU_OP_PHYS_COPY;
}

static bool uses_dst(const struct xgpu_ctx *c)
{
	switch (c->cmd.op) {
	case XGPU_OP_COPY:
	case XGPU_OP_FILL:
	case XGPU_OP_COMPARE:
	case XGPU_OP_ATOMIC_ADD:
	case XGPU_OP_PHYS_COPY:
	case XGPU_OP_PHYS_FILL:
		return true;
	case XGPU_OP_CHECKSUM:
		return c->storing;
	default:
		return false;
	}
}

static bool physical(const struct xgpu_op *o)
{
	return o->op == XGPU_OP_PHYS_COPY || o->op == XGPU_OP_PHYS_FILL;
}

/**
 * xgpu_command_fetch - read the command at the head of a context's ring
 * @s: the device
 * @c: the context
 *
 * Return: false if memory was refused.
 */
bool xgpu_command_fetch(struct xgpu *s, struct xgpu_ctx *c)
{
	uint32_t entry = c->head & ((1u << c->ring_log2) - 1);
	struct xgpu_cmd in;

	if (!xgpu_dma(s, c, c->ring_base + entry * (uint64_t)sizeof(in), 0, &in, sizeof(in), false))
		return false;
	c->cmd = (struct xgpu_op){
		.op = le16_to_cpu(in.op),
		.flags = le16_to_cpu(in.flags),
		.cookie = le32_to_cpu(in.cookie),
		.dst = le64_to_cpu(in.dst),
		.src = le64_to_cpu(in.src),
		.len = le64_to_cpu(in.len),
		.value = le64_to_cpu(in.value),
	};
	/* Malformed, and nothing that a later version may find a meaning for */
	if (in.reserved[0] || in.reserved[1] || in.reserved[2])
		c->cmd.op = XGPU_OPS;
	c->pos = 0;
	c->result = 0;
	c->word = 0;
	c->words = 0;
	c->word_bytes = 0;
	c->storing = false;
	return true;
}

static bool well_formed(const struct xgpu_ctx *c)
{
	const struct xgpu_op *o = &c->cmd;

	if (o->op >= XGPU_OPS || o->flags & ~XGPU_CMD_FLAGS)
		return false;
	if (physical(o) ? c->id != 0 : o->flags & (XGPU_CMD_SRC_VRAM | XGPU_CMD_DST_VRAM))
		return false;
	switch (o->op) {
	case XGPU_OP_ATOMIC_ADD:
		return !(o->dst % 8) && !(o->flags & XGPU_CMD_STORE);
	case XGPU_OP_FENCE:
		return !(o->dst % sizeof(struct xgpu_fence)) && !(o->flags & XGPU_CMD_STORE);
	case XGPU_OP_CHECKSUM:
		return !(o->flags & XGPU_CMD_STORE) || !(o->dst % 8);
	default:
		return !(o->flags & XGPU_CMD_STORE);
	}
}

static bool range_ok(uint64_t addr, uint64_t len)
{
	return len <= VA_END && addr <= VA_END - len;
}

static bool physical_ok(struct xgpu *s, uint64_t addr, uint64_t len, bool vram)
{
	return vram ? xgpu_vram_holds(s, addr, len) : addr + len >= addr;
}

/* Are all of its addresses such that they could be anything at all? If not, @va is one. */
static bool addresses_ok(struct xgpu *s, const struct xgpu_op *o, uint64_t *va)
{
	bool src, dst;

	switch (o->op) {
	case XGPU_OP_COPY:
	case XGPU_OP_COMPARE:
		src = range_ok(o->src, o->len);
		dst = range_ok(o->dst, o->len);
		break;
	case XGPU_OP_FILL:
		src = true;
		dst = range_ok(o->dst, o->len);
		break;
	case XGPU_OP_CHECKSUM:
		src = range_ok(o->src, o->len);
		dst = !(o->flags & XGPU_CMD_STORE) || range_ok(o->dst, 8);
		break;
	case XGPU_OP_ATOMIC_ADD:
		src = true;
		dst = range_ok(o->dst, 8);
		break;
	case XGPU_OP_PHYS_COPY:
		src = physical_ok(s, o->src, o->len, o->flags & XGPU_CMD_SRC_VRAM);
		dst = physical_ok(s, o->dst, o->len, o->flags & XGPU_CMD_DST_VRAM);
		break;
	case XGPU_OP_PHYS_FILL:
		src = true;
		dst = physical_ok(s, o->dst, o->len, o->flags & XGPU_CMD_DST_VRAM);
		break;
	default:
		return true;
	}
	*va = src ? o->dst : o->src;
	return src && dst;
}

static void fence(struct xgpu *s, struct xgpu_ctx *c)
{
	bool failed = c->err_status != XGPU_ST_OK;
	struct xgpu_fence out = {
		.value = cpu_to_le64(c->cmd.value),
		.status = cpu_to_le32(c->err_status),
		.index = cpu_to_le32(failed ? c->err_index : 0),
		.result = cpu_to_le64(failed ? c->err_result : c->last_result),
		.fault_va = cpu_to_le64(failed ? c->err_va : 0),
	};
	uint64_t addr = c->cmd.dst;

	if (!xgpu_dma(s, c, addr + 8, 0, (uint8_t *)&out + 8, sizeof(out) - 8, true) ||
	    !xgpu_dma(s, c, addr, 0, &out, 8, true)) {
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, 0);
		return;
	}
	c->fence = c->cmd.value;
	c->err_status = XGPU_ST_OK;
	c->last_result = 0;
	xgpu_complete(s, c, XGPU_ST_OK, 0);
}

/**
 * xgpu_command_begin - begin with the command that was fetched
 * @s: the device
 * @c: the context
 */
void xgpu_command_begin(struct xgpu *s, struct xgpu_ctx *c)
{
	const struct xgpu_op *o = &c->cmd;
	uint64_t va = 0;

	if (!well_formed(c)) {
		xgpu_error(s, c, XGPU_ERR_COMMAND, c->head, 0, o->op | (uint64_t)o->flags << 16);
		xgpu_complete(s, c, XGPU_ST_BAD_COMMAND, 0);
		return;
	}
	if (o->flags & XGPU_CMD_SKIP_ON_ERROR && c->err_status != XGPU_ST_OK &&
	    o->op != XGPU_OP_FENCE) {
		xgpu_complete(s, c, XGPU_ST_SKIPPED, 0);
		return;
	}
	if (!addresses_ok(s, o, &va)) {
		xgpu_complete(s, c, XGPU_ST_BAD_ADDRESS, physical(o) ? 0 : va);
		return;
	}
	if (physical(o) && s->fail_phys) {
		s->fail_phys--;
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, 0);
		return;
	}
	switch (o->op) {
	case XGPU_OP_NOP:
		xgpu_complete(s, c, XGPU_ST_OK, 0);
		break;
	case XGPU_OP_FENCE:
		fence(s, c);
		break;
	case XGPU_OP_HANG:
		c->phase = XGPU_HUNG;
		break;
	case XGPU_OP_ATOMIC_ADD:
		c->cmd.len = 8;
		c->phase = XGPU_RUN;
		break;
	default:
		c->phase = XGPU_RUN;
		break;
	}
}

/* Nothing is left to do, or only the sum to be stored */
static bool all_done(struct xgpu *s, struct xgpu_ctx *c)
{
	if (c->storing || c->pos < c->cmd.len)
		return false;
	if (c->cmd.op == XGPU_OP_CHECKSUM) {
		if (c->word_bytes)
			c->result += c->word * (2 * c->words + 1);
		c->word_bytes = 0;
		if (c->cmd.flags & XGPU_CMD_STORE) {
			c->storing = true;
			return false;
		}
	}
	xgpu_complete(s, c, XGPU_ST_OK, 0);
	return true;
}

/* Where is the address of one side? If nowhere, the context faults, or its command ends. */
static bool find(struct xgpu *s, struct xgpu_ctx *c, uint64_t va, bool write, uint64_t left,
		 struct xgpu_place *place, uint32_t *n)
{
	uint64_t page = 0;
	uint8_t level = 0;
	enum xgpu_walk res;

	res = xgpu_translate(s, c, va, write, place, &page, &level);
	switch (res) {
	case XGPU_WALK_OK:
		*n = MIN(*n, page);
		return true;
	case XGPU_WALK_MISS:
	case XGPU_WALK_PERMISSION:
		xgpu_fault_begin(s, c, res, va, write, level, left);
		return false;
	case XGPU_WALK_REFUSED:
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, va);
		return false;
	case XGPU_WALK_MALFORMED:
		xgpu_complete(s, c, XGPU_ST_BAD_PTE, va);
		return false;
	}
	g_assert_not_reached();
}

/**
 * xgpu_command_next - translate the next piece of a command, and put it under way
 * @s: the device
 * @c: the context
 */
void xgpu_command_next(struct xgpu *s, struct xgpu_ctx *c)
{
	const struct xgpu_op *o = &c->cmd;
	bool writes = o->op != XGPU_OP_COMPARE, src, dst;
	uint64_t left, bytes, dst_pos;
	uint32_t n;

	if (all_done(s, c))
		return;
	src = reads_src(o) && !c->storing;
	dst = uses_dst(c);
	dst_pos = c->storing ? 0 : c->pos;
	left = c->storing ? 8 : o->len - c->pos;
	n = MIN(left, XGPU_PIECE);
	if (physical(o)) {
		c->src = (struct xgpu_place){ o->src + c->pos, o->flags & XGPU_CMD_SRC_VRAM };
		c->dst = (struct xgpu_place){ o->dst + c->pos, o->flags & XGPU_CMD_DST_VRAM };
	} else {
		if (src && !find(s, c, o->src + c->pos, false, left, &c->src, &n))
			return;
		if (dst && !find(s, c, o->dst + dst_pos, writes, left, &c->dst, &n))
			return;
	}
	c->piece = n;
	c->pieces_begun++;
	c->phase = XGPU_PIECE_UNDER_WAY;
	bytes = (uint64_t)n * (src + dst);
	c->due += bytes * s->lat_kib / 1024;
}

static void add_word(struct xgpu_ctx *c, uint64_t word)
{
	c->result += word * (2 * c->words + 1);
	c->words++;
}

static void add_bytes(struct xgpu_ctx *c, const uint8_t *p, uint32_t n)
{
	uint64_t word;

	while (n) {
		if (!c->word_bytes && n >= 8) {
			memcpy(&word, p, 8);
			add_word(c, le64_to_cpu(word));
			p += 8;
			n -= 8;
			continue;
		}
		c->word |= (uint64_t)*p++ << (8 * c->word_bytes);
		n--;
		if (++c->word_bytes == 8) {
			add_word(c, c->word);
			c->word = 0;
			c->word_bytes = 0;
		}
	}
}

static void fill_pattern(uint8_t *p, uint32_t n, uint64_t value, uint64_t pos)
{
	unsigned int turn = pos % 8 * 8;
	uint64_t word = turn ? value >> turn | value << (64 - turn) : value;
	uint8_t bytes[8];
	uint32_t i;

	stq_le_p(bytes, word);
	for (i = 0; i < n; i++)
		p[i] = bytes[i % 8];
}

static uint32_t first_difference(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && a[i] == b[i]; i++)
		;
	return i;
}

static uint64_t va_of(const struct xgpu_op *o, uint64_t base, uint64_t pos)
{
	return physical(o) ? 0 : base + pos;
}

static bool read_src(struct xgpu *s, struct xgpu_ctx *c, uint8_t *buf)
{
	if (!xgpu_access(s, c, &c->src, va_of(&c->cmd, c->cmd.src, c->pos), buf, c->piece, false)) {
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, va_of(&c->cmd, c->cmd.src, c->pos));
		return false;
	}
	xgpu_count(s, c, bytes_read, c->piece);
	return true;
}

static bool access_dst(struct xgpu *s, struct xgpu_ctx *c, uint8_t *buf, bool write)
{
	uint64_t va = va_of(&c->cmd, c->cmd.dst, c->storing ? 0 : c->pos);

	if (!xgpu_access(s, c, &c->dst, va, buf, c->piece, write)) {
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, va);
		return false;
	}
	if (write)
		xgpu_count(s, c, bytes_written, c->piece);
	else
		xgpu_count(s, c, bytes_read, c->piece);
	return true;
}

static bool compare(struct xgpu *s, struct xgpu_ctx *c)
{
	uint32_t same;

	if (!read_src(s, c, s->buf[0]) || !access_dst(s, c, s->buf[1], false))
		return false;
	same = first_difference(s->buf[0], s->buf[1], c->piece);
	if (same == c->piece)
		return true;
	c->result = c->pos + same;
	xgpu_complete(s, c, XGPU_ST_COMPARE_DIFF, 0);
	return false;
}

static bool atomic_add(struct xgpu *s, struct xgpu_ctx *c)
{
	if (!xgpu_atomic_add(s, c, &c->dst, c->cmd.dst, c->cmd.value, &c->result)) {
		xgpu_complete(s, c, XGPU_ST_DMA_ERROR, c->cmd.dst);
		return false;
	}
	xgpu_count(s, c, bytes_read, 8);
	xgpu_count(s, c, bytes_written, 8);
	return true;
}

static bool store_sum(struct xgpu *s, struct xgpu_ctx *c)
{
	uint8_t bytes[8];

	stq_le_p(bytes, c->result);
	if (!access_dst(s, c, bytes, true))
		return false;
	xgpu_complete(s, c, XGPU_ST_OK, 0);
	return false;
}

/* Do the piece. False: the command has ended with it. */
static bool do_piece(struct xgpu *s, struct xgpu_ctx *c)
{
	switch (c->cmd.op) {
	case XGPU_OP_COPY:
	case XGPU_OP_PHYS_COPY:
		return read_src(s, c, s->buf[0]) && access_dst(s, c, s->buf[0], true);
	case XGPU_OP_FILL:
	case XGPU_OP_PHYS_FILL:
		fill_pattern(s->buf[0], c->piece, c->cmd.value, c->pos);
		return access_dst(s, c, s->buf[0], true);
	case XGPU_OP_CHECKSUM:
		if (c->storing)
			return store_sum(s, c);
		if (!read_src(s, c, s->buf[0]))
			return false;
		add_bytes(c, s->buf[0], c->piece);
		return true;
	case XGPU_OP_COMPARE:
		return compare(s, c);
	case XGPU_OP_ATOMIC_ADD:
		return atomic_add(s, c);
	default:
		g_assert_not_reached();
	}
}

/**
 * xgpu_command_piece - the piece that is under way is due: access what it was translated to
 * @s: the device
 * @c: the context
 */
void xgpu_command_piece(struct xgpu *s, struct xgpu_ctx *c)
{
	uint64_t begun = c->pieces_begun;

	if (!do_piece(s, c))
		return;
	c->pieces_done = begun;
	c->pos += c->piece;
	c->piece = 0;
	c->phase = XGPU_RUN;
}
