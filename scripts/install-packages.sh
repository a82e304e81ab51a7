#!/usr/bin/env bash
# Installs the Debian packages that building and testing Pare needs, if any is missing.
# Usage: install-packages.sh [build|test|lint|arm64]     (test and lint add what only the tests and `make lint` use, arm64
# is the cross compiler and the emulated board)
set -euo pipefail

what=${1:-build}
build=(build-essential cmake ninja-build pkg-config git ca-certificates nodejs npm
  libuv1-dev libjansson-dev libsqlite3-dev libpapi-dev libprotobuf-c-dev protobuf-c-compiler
  libonnx-dev libopenblas-dev liblapacke-dev libhwloc-dev libzip-dev zlib1g-dev
  libcurl4-openssl-dev libsodium-dev libseccomp-dev dataset-fashion-mnist)
tests=(libcmocka-dev libonnx-testdata clang chromium valgrind)
lint=(clang clang-tidy-19 clang-format shellcheck codespell)
arm64=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm cpio)

# The same needs under the names of newer releases.
if apt-cache show libllhttp-dev >/dev/null 2>&1; then build+=(libllhttp-dev); else build+=(node-llhttp); fi

wanted=("${build[@]}")
case $what in
  test) wanted+=("${tests[@]}") ;;
  lint) wanted+=("${lint[@]}") ;;
  arm64) wanted=("${arm64[@]}") ;;
esac

have() {
  case $1 in
    nodejs) command -v node >/dev/null ;;
    npm) command -v npm >/dev/null ;;
    cmake) command -v cmake >/dev/null ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' ;;
  esac
}

missing=()
for p in "${wanted[@]}"; do have "$p" || missing+=("$p"); done
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "These Debian packages are missing and sudo is not here to install them:" >&2
    echo "  ${missing[*]}" >&2
    exit 1
  }
  root=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get update -qq
# Names can change once the package lists are here (a bare machine has none before).
if apt-cache show libllhttp-dev >/dev/null 2>&1; then
  missing=("${missing[@]/node-llhttp/libllhttp-dev}")
fi
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
