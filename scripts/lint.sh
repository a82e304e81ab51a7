#!/usr/bin/env bash
# What a reviewer should not have to say: formatting, clang-tidy, shellcheck, spelling.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
git ls-files '*.sh' .ci/run | xargs shellcheck
git ls-files '*.c' '*.h' '*.md' '*.sh' '*.svelte' '*.ts' '*.mjs' | grep -v '^tests/data/' |
  xargs codespell --ignore-words-list nam,precentile,larg,recomend # typos that tests make on purpose

# clang-tidy reads what clang would compile, generated headers included, so that is made first, in a folder of its own.
bash scripts/build-web.sh
cmake -S . -B build/lint -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DPARE_TESTS=OFF >/dev/null
cmake --build build/lint -- --quiet
git ls-files '*.c' | grep -E '^(core|runtimes|compressors|profiler|advisor|db)/' |
  xargs -P "$(nproc)" -n 4 clang-tidy-19 --quiet -p build/lint 2>&1 |
  (! grep -vE '^[0-9]+ warnings? (generated|treated)|^\[[0-9]+/[0-9]+\] Processing file')
