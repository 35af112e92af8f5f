#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every model with spin, as many at a time as there are CPUs. The model itself must have no error;
# each of its broken variants (the BROKEN numbers its comment lists) must have one.
# Usage: check.sh [BUILD_DIR]
set -eu
models=$(cd "$(dirname "$0")" && pwd)

# errors MODEL VARIANT DIR: prints how many errors an exhaustive search finds.
errors() {
  mkdir -p "$3"
  cd "$3"
  spin -DBROKEN="$2" -a "$1" >spin.log 2>&1
  cc -O2 -w -DSAFETY -DVECTORSZ=2048 -DCOLLAPSE -o pan pan.c
  ./pan -m1000000 -w24 >pan.log 2>&1
  if grep -q "max search depth too small\|out of memory" pan.log; then
    echo "incomplete"
    return
  fi
  sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

# one BUILD_DIR NAME VARIANT: a line that says what was found; fails if it should not have been.
one() {
  found=$(errors "$models/$2.pml" "$3" "$1/$2-$3") || found=
  case "$3:$found" in
    0:0) echo "$2: holds" ;;
    0:*) echo "$2: FAILED: $found errors, see $1/$2-0/pan.log" && return 1 ;;
    *:0 | *:incomplete | *:)
      echo "$2: FAILED: broken variant $3 was not caught ($found)" && return 1
      ;;
    *) echo "$2: broken variant $3 is caught" ;;
  esac
}

if [ "${1:-}" = --one ]; then
  shift
  one "$@"
  exit
fi

build=${1:-$(mktemp -d)}
for model in "$models"/*.pml; do
  for variant in 0 $(sed -n 's/.*-DBROKEN=\([1-9]\).*/\1/p' "$model"); do
    echo "$(basename "$model" .pml)" "$variant"
  done
done | xargs -n 2 -P "$(nproc)" "$0" --one "$build"
