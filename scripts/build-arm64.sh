#!/usr/bin/env bash
# Builds pare-worker and pare-runner for arm64 and puts them with every library they need (the C library aside) into
# build/arm64/kit, where `pare bundle --arch arm64` looks for them.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/arm64
kit=$out/kit
lib=$out/sysroot/usr/lib/aarch64-linux-gnu

bash "$top/scripts/fetch-arm64.sh"
cmake -G Ninja -S "$top" -B "$out/build" -DCMAKE_TOOLCHAIN_FILE="$top/cmake/arm64.cmake" -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
cmake --build "$out/build" -- --quiet

needed() { aarch64-linux-gnu-readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

# locate NAME: the file of one library; nothing for those of the C library, which a machine has.
locate() {
  case $1 in
    libc.so.* | libm.so.* | ld-linux* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.*) return 0 ;;
  esac
  local folder
  for folder in "$out/deps/onnxruntime/lib" "$lib" "$lib/openblas-pthread" "$out/sysroot/lib/aarch64-linux-gnu"; do
    if [ -e "$folder/$1" ]; then
      echo "$folder/$1"
      return
    fi
  done
  echo "the library $1 is not in the sysroot" >&2
  return 1
}

rm -rf "$kit"
mkdir -p "$kit/bin" "$kit/lib"
for program in pare-worker pare-runner; do
  aarch64-linux-gnu-strip -o "$kit/bin/$program" "$out/build/bin/$program"
done
queue=("$kit"/bin/*)
while [ ${#queue[@]} -gt 0 ]; do
  file=${queue[0]}
  queue=("${queue[@]:1}")
  for name in $(needed "$file"); do
    [ -e "$kit/lib/$name" ] && continue
    found=$(locate "$name")
    [ -n "$found" ] || continue
    cp -L "$found" "$kit/lib/$name"
    queue+=("$kit/lib/$name")
  done
done
