#!/usr/bin/env bash
# Runs every libFuzzer target for a while, from its corpus. Usage: fuzz.sh [SECONDS_EACH]
set -euo pipefail
seconds=${1:-60}
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
cmake --preset fuzz >/dev/null
cmake --build build/fuzz -- --quiet
for source in tests/fuzz/*/fuzz_*.c; do
  name=$(basename "$source" .c)
  found=build/fuzz/found/$name
  mkdir -p "$found"
  echo "== $name"
  "build/fuzz/fuzz/$name" -max_total_time="$seconds" -artifact_prefix="$found/" -print_final_stats=0 -verbosity=0 "$found" \
    "$(dirname "$source")/${name#fuzz_}"
done
