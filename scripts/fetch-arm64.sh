#!/usr/bin/env bash
# Brings what building and running pare-worker for arm64 needs into build/arm64: a sysroot of Debian's arm64 packages (fetched
# through a private apt configuration, unpacked, never installed), ONNX Runtime for arm64, a kernel and a shell for the emulated
# board. Installs the cross compiler and the emulator when they are missing. Does nothing when everything is there already.
#
# build/arm64/sysroot/   build/arm64/deps/onnxruntime/{lib,include}   build/arm64/vmlinuz
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/arm64
stamp=$out/.stamp-$(cat "$top/deps/npm-packages.lock" "$0" | sha256sum | cut -c1-16)

bash "$top/scripts/install-packages.sh" arm64
[ -e "$stamp" ] && exit 0
rm -rf "$out/sysroot" "$out/deps" "$out"/.stamp-*
mkdir -p "$out/sysroot" "$out/deps/onnxruntime/lib"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# What pare-worker and pare-runner are built with and run with, and the board's shell.
build=(libjansson-dev libsodium-dev libzip-dev zlib1g-dev libprotobuf-c-dev liblapacke-dev libopenblas-pthread-dev libseccomp-dev
  libhwloc-dev libcurl4-openssl-dev libpapi-dev)
run=(libjansson4 libsodium23 zlib1g libprotobuf-c1 liblapacke libopenblas0-pthread liblapack3 libblas3 libtmglib3 libgfortran5
  libseccomp2 libhwloc15 libudev1 libcap2 libpfm4 libbz2-1.0 liblzma5 libzstd1 libc6 libgcc-s1 libstdc++6 busybox-static)
# Their names differ between Debian 12 and 13.
named=('^libzip[0-9]+(t64)?$' '^libcurl4(t64)?$' '^libpapi[0-9.]+(t64)?$' '^libsde1(t64)?$' '^libssl3(t64)?$')

# shellcheck disable=SC2016  # apt's own format string
uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  awk '$2 ~ /^(bookworm|trixie)$/ && $3 == "main" {print $1, $2; exit}')
[ -n "$uri" ] || {
  echo "apt's sources name no Debian archive (bookworm main) to take the arm64 packages from" >&2
  exit 1
}
mkdir -p "$tmp"/state/lists/partial "$tmp"/cache/archives/partial "$tmp"/packages
echo "deb $uri main" >"$tmp/sources.list"
: >"$tmp/status"
cat >"$tmp/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "root";
Dir::Etc::sourcelist "$tmp/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$tmp/state";
Dir::State::status "$tmp/status";
Dir::Cache "$tmp/cache";
EOF
export APT_CONFIG=$tmp/apt.conf
echo "fetching Debian's arm64 packages"
apt-get -qq update
kernel=$(apt-cache depends linux-image-cloud-arm64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
for name in "${named[@]}"; do
  found=$(apt-cache search --names-only "$name" | awk 'NR == 1 {print $1}')
  [ -n "$found" ] || {
    echo "Debian's arm64 packages have none named $name" >&2
    exit 1
  }
  run+=("$found")
done
(cd "$tmp/packages" && apt-get -qq download "${build[@]}" "${run[@]}")
for package in "$tmp"/packages/*.deb; do dpkg-deb -x "$package" "$out/sysroot"; done
(cd "$tmp" && apt-get -qq download "$kernel" && dpkg-deb -x linux-image-*.deb kernel && cp kernel/boot/vmlinuz-* "$out/vmlinuz")
unset APT_CONFIG

# What static linking would need is not here, and pkg-config asks for it all the same.
sed -i '/^Requires.private:/d' "$out"/sysroot/usr/lib/aarch64-linux-gnu/pkgconfig/*.pc

# OpenBLAS stands for BLAS and LAPACK, as the alternatives system would arrange it.
lib=$out/sysroot/usr/lib/aarch64-linux-gnu
for name in libblas liblapack; do ln -sf "openblas-pthread/$name.so.3" "$lib/$name.so.3"; done
ln -sf openblas-pthread/libopenblas.so.0 "$lib/libopenblas.so.0"
ln -sf openblas-pthread/libopenblas.so.0 "$lib/libopenblas.so"

echo "fetching ONNX Runtime for arm64"
read -r version sum < <(awk '$1 == "onnxruntime-node" {print $2, $3}' "$top/deps/npm-packages.lock")
file=$tmp/$(cd "$tmp" && npm pack --silent --ignore-scripts "onnxruntime-node@$version")
echo "$sum  $file" | sha256sum --check --quiet || {
  echo "onnxruntime-node $version is not the file that deps/npm-packages.lock names; remove it from npm's cache and try again" >&2
  exit 1
}
tar -xzf "$file" -C "$tmp" package/bin/napi-v6/linux/arm64
cp "$tmp"/package/bin/napi-v6/linux/arm64/libonnxruntime.so.1 "$out/deps/onnxruntime/lib/"
ln -sf libonnxruntime.so.1 "$out/deps/onnxruntime/lib/libonnxruntime.so"
cp -r "$top/build/deps/onnxruntime/include" "$out/deps/onnxruntime/"

touch "$stamp"
