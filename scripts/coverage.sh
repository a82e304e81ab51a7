#!/usr/bin/env bash
# Runs the unit and integration tests on a build that counts lines, and writes a report: build/coverage/report/index.html.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
command -v gcovr >/dev/null || {
  root=()
  if [ "$(id -u)" -ne 0 ]; then root=(sudo); fi
  "${root[@]}" apt-get install -y -qq --no-install-recommends gcovr >/dev/null
}
cmake --preset coverage >/dev/null
cmake --build build/coverage -- --quiet
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -L 'unit|fuzz|integration' --output-on-failure | tail -n 25
mkdir -p build/coverage/report
gcovr --root . --object-directory build/coverage --exclude 'tests/|build/' --html-details build/coverage/report/index.html \
  --print-summary
