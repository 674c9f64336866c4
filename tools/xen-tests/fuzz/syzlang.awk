# SPDX-License-Identifier: GPL-2.0-only
#
# Reads a syzkaller description, writes C that compiles only if the header says the same: each
# struct of the description that is not of its own making (own="name ..."), field by field, at
# the offset that syzkaller would give it, and with its size; each constant.

function fail(why) { print FILENAME ":" FNR ": " why >"/dev/stderr"; bad = 1 }

# Bytes of a type; 0: its length varies
function size_of(type,   bits) {
	if (type in size)
		return size[type]
	if (type ~ /^(ptr64|vma64)/)
		return 8
	if (type ~ /^array\[/)
		return 0
	if (match(type, /^int(8|16|32|64)(\[|$)/) || match(type, /, int(8|16|32|64)\]$/)) {
		bits = substr(type, RSTART, RLENGTH)
		gsub(/[^0-9]/, "", bits)
		return bits / 8
	}
	fail("type " type)
	return 0
}

function align_of(type,   n) {
	if (type in align)
		return align[type]
	if (type ~ /^array\[/) {
		sub(/^array\[/, "", type)
		sub(/(, [^,]*)?\]$/, "", type)
		return align_of(type)
	}
	n = size_of(type)
	return n ? n : 1
}

function constant(name) {
	if (name ~ /^[A-Z][A-Z]*_/ && !(name in seen)) {
		seen[name] = 1
		print "static const unsigned long c_" name " __attribute__((unused)) = " name ";"
	}
}

BEGIN {
	size["fd"] = align["fd"] = 4
	split(own, list, " ")
	for (i in list)
		ours[list[i]] = 1
	print "#define FIELD(type, field, at, bytes) \\"
	print "\t_Static_assert(__builtin_offsetof(struct type, field) == (at), #type \".\" #field); \\"
	print "\t_Static_assert(!(bytes) || sizeof(((struct type *)0)->field) == (bytes), #type \".\" #field)"
}

/^#/ || /^include/ || /^$/ && !in_type { next }

/^resource / {
	base = $2
	sub(/^[^[]*\[/, "", base)
	sub(/\].*/, "", base)
	name = $2
	sub(/\[.*/, "", name)
	size[name] = align[name] = size_of(base)
	next
}

# name = CONSTANT, CONSTANT
/^[a-z_0-9]+ = / {
	for (i = 3; i <= NF; i++) {
		sub(/,$/, "", $i)
		constant($i)
	}
	next
}

/^[a-z_0-9]+ [{[]$/ {
	in_type = $1
	union = $2 == "["
	at = widest = 0
	most = 1
	varies = 0
	next
}

/^[}\]]$/ {
	end = union ? widest : int((at + most - 1) / most) * most
	size[in_type] = varies ? 0 : end
	align[in_type] = most
	if (!union && !varies && !(in_type in ours))
		print "_Static_assert(sizeof(struct " in_type ") == " end ", \"" in_type "\");"
	in_type = ""
	next
}

in_type {
	name = $1
	type = $0
	sub(/^\t[^\t]*\t/, "", type)
	sub(/ \((in|out|inout)\)$/, "", type)
	n = size_of(type)
	a = align_of(type)
	if (a > most)
		most = a
	if (n > widest)
		widest = n
	if (!n)
		varies = 1
	if (!union) {
		at = int((at + a - 1) / a) * a
		if (!(in_type in ours))
			print "FIELD(" in_type ", " name ", " at ", " n ");"
		at += n
	}
	next
}

/^[a-z_]+(\$[A-Za-z_0-9]+)?\(/ {
	if (match($0, /cmd const\[[A-Z_0-9]+\]/))
		constant(substr($0, RSTART + 10, RLENGTH - 11))
	next
}

{ fail("not understood") }

END { exit bad }
