# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Completion of gntctl for bash

_gntctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} words

	case $COMP_CWORD:${COMP_WORDS[1]} in
	1:*)		words='grant map copy watch limits leaks --help' ;;
	*:grant)	words='-r -t' ;;
	*:map)		words='-r -p -x -t' ;;
	*:copy)		words='-w' ;;
	*:watch)	words='-i -n -r' ;;
	*)		words='' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _gntctl gntctl
