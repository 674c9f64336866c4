# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Completion of gnttop for bash

_gnttop()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	case ${COMP_WORDS[COMP_CWORD-1]} in
	-s)	mapfile -t COMPREPLY < <(compgen -W 'user kernel deferred maps rate errors oldest' -- "$word") ;;
	-r)	mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	-p)	mapfile -t COMPREPLY < <(cd /proc && compgen -G '[0-9]*' | grep "^$word") ;;
	-n|-d|-D) COMPREPLY=() ;;
	*)	mapfile -t COMPREPLY < <(compgen -W '-b -j -n -d -g -s -p -D -r -h --help' -- "$word") ;;
	esac
}
complete -F _gnttop gnttop
