#!/usr/bin/env bash
# What a reviewer should not have to say: formatting, clang-tidy, shellcheck, spelling.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
git ls-files '*.sh' .ci/run | xargs shellcheck
git ls-files '*.c' '*.h' '*.md' '*.sh' '*.svelte' '*.ts' '*.mjs' | grep -v '^tests/data/' |
  xargs codespell --ignore-words-list nam,precentile,larg,recomend # typos that tests make on purpose
tidy=$(command -v clang-tidy-19 || command -v clang-tidy)
cmake --preset dev -DCMAKE_C_COMPILER=clang >/dev/null
git ls-files '*.c' | grep -E '^(core|runtimes|compressors|profiler|advisor|db)/' | xargs -P "$(nproc)" -n 4 "$tidy" --quiet -p build/dev
