#!/usr/bin/env bash
# Builds and runs every test: a chosen subset under ASan+UBSan and under TSan, then the whole suite on the normal build.
# Ends with one summary line of ctest for everything. PARE_SANITIZERS=0 leaves the sanitizer builds out, PARE_SANITIZERS=all runs
# every test under them (make test-sanitizers).
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

bash scripts/build-web.sh
if [ -e tests/package-lock.json ] && ! cmp -s tests/package-lock.json tests/node_modules/.pare-lock; then
  (cd tests && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error && cp package-lock.json node_modules/.pare-lock)
fi

build() { # build PRESET FOLDER
  cmake --preset "$1" "${@:3}" >/dev/null
  cmake --build "$2" -- --quiet
}

build release build
if [ "${PARE_SANITIZERS:-1}" != 0 ]; then
  build asan build/asan
  build tsan build/tsan
  chosen=(-L 'unit|fuzz' -LE slow)
  if [ "${PARE_SANITIZERS:-1}" = all ]; then chosen=(-L 'unit|fuzz|integration|e2e'); fi
  for sanitizer in asan tsan; do
    echo "== tests under $sanitizer"
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
      TSAN_OPTIONS="halt_on_error=1 suppressions=$top/tests/support/tsan.supp" LSAN_OPTIONS="suppressions=$top/tests/support/lsan.supp" \
      ctest --test-dir "build/$sanitizer" --output-on-failure "${chosen[@]}" | tail -n 25
  done
fi
echo "== all tests"
ctest --test-dir build --output-on-failure -LE long
