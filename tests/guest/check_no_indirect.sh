#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Looks for indirect calls in the module's own code. The kernel functions it resolves at load lose
# their ENDBR on kernels with indirect-branch tracking: a call through a pointer to them is a fault
# on such a CPU, which no emulator shows. They have to be static calls.
#
# Usage: check_no_indirect.sh FILE-OR-FOLDER...     (77: no module has been built)
# ALLOW_INDIRECT="function ..." names functions that may: those calling through a pointer that the
# kernel itself made for that purpose (file operations and the like).
set -eu

status=0
modules=$(find "$@" -name flexsc.ko -type f 2>/dev/null || true)
if [ -z "$modules" ]; then
	echo "no flexsc.ko has been built"
	exit 77
fi
IFS='
'
for module in $modules; do
	# Relocations in line: with retpolines the call goes to a thunk named there.
	bad=$(objdump -dr --no-show-raw-insn "$module" | awk -v allow=" ${ALLOW_INDIRECT-} " '
		/^[0-9a-f]+ <.*>:$/ { name = $2; gsub(/[<>:]/, "", name) }
		# Probes of tracepoints, and poll functions of files: their addresses are taken,
		# so they keep their ENDBR.
		name ~ /^__traceiter_/ || name == "flexsc_look" || name == "flexsc_op_arm" { next }
		/__x86_indirect_(thunk|call|jump)/ || /(call|jmp) +\*/ {
			if (index(allow, " " name " ") == 0)
				print name ": " $0
		}')
	if [ -n "$bad" ]; then
		echo "$module: indirect calls:"
		echo "$bad"
		status=1
	else
		echo "$module: no indirect calls"
	fi
done
exit $status
