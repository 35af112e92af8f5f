#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every model with spin. The model itself must have no error; each of its
# broken variants (the BROKEN numbers its comment lists) must have one.
# Usage: check.sh [BUILD_DIR]
set -eu
models=$(cd "$(dirname "$0")" && pwd)
build=${1:-$(mktemp -d)}
passed=0
failed=0

# errors MODEL VARIANT: prints how many errors an exhaustive search finds.
errors() {
  dir=$build/$(basename "$1" .pml)-$2
  mkdir -p "$dir"
  cd "$dir"
  spin -DBROKEN="$2" -a "$1" >spin.log 2>&1
  cc -O2 -w -DSAFETY -DVECTORSZ=2048 -DCOLLAPSE -o pan pan.c
  ./pan -m1000000 -w24 >pan.log 2>&1
  if grep -q "max search depth too small\|out of memory" pan.log; then
    echo "incomplete"
    return
  fi
  sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

for model in "$models"/*.pml; do
  name=$(basename "$model" .pml)
  variants=$(sed -n 's/.*-DBROKEN=\([1-9]\).*/\1/p' "$model")
  for variant in 0 $variants; do
    found=$(errors "$model" "$variant")
    case "$variant:$found" in
      0:0) verdict="holds" ;;
      0:*) verdict="FAILED: $found errors, see $build/$name-0/pan.log" ;;
      *:0 | *:incomplete | *:) verdict="FAILED: broken variant $variant was not caught ($found)" ;;
      *) verdict="broken variant $variant is caught" ;;
    esac
    echo "$name: $verdict"
    case "$verdict" in
      FAILED*) failed=$((failed + 1)) ;;
      *) passed=$((passed + 1)) ;;
    esac
  done
done
echo "$passed passed, $failed failed"
test "$failed" -eq 0
