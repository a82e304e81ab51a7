#!/usr/bin/env bash
# Brings the inference runtimes that Debian does not package into build/deps: ONNX Runtime and libllama from npm (pinned by
# deps/npm-packages.lock), the header of ONNX Runtime from Debian 13 where this release has none, and libllama's headers from
# the release bundle inside its npm package. Does nothing when they are there already.
#
# build/deps/onnxruntime/{lib,include}   build/deps/llama/{lib,include}
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
lock=$top/deps/npm-packages.lock
deps=$top/build/deps
stamp=$deps/.stamp-$(cat "$lock" "$0" | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

rm -rf "$deps"
mkdir -p "$deps"/onnxruntime/{lib,include} "$deps"/llama/{lib,include}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# unpack NAME: the packed file of one locked package, checked, unpacked into $tmp/NAME/package
unpack() {
  local name=$1 version sum file dir
  read -r _ version sum < <(grep -F "$name " "$lock" | awk -v n="$name" '$1 == n')
  dir=$tmp/$name
  mkdir -p "$dir"
  file=$dir/$(cd "$dir" && npm pack --silent --ignore-scripts "$name@$version")
  echo "$sum  $file" | sha256sum --check --quiet || {
    echo "$name $version is not the file that deps/npm-packages.lock names; remove it from npm's cache and try again" >&2
    exit 1
  }
  tar -xzf "$file" -C "$dir"
  rm "$file"
}

fetch_ort_header() {
  local system=/usr/include/onnxruntime/onnxruntime_c_api.h apt=$tmp/apt uri
  if [ -e "$system" ]; then
    cp "$(dirname "$system")"/*.h "$deps/onnxruntime/include/"
    return
  fi
  # shellcheck disable=SC2016  # apt's own format string
  uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 ~ /^(bookworm|trixie)$/ && $3 == "main" {print $1; exit}')
  [ -n "$uri" ] || {
    echo "apt's sources name no Debian archive (bookworm main) to take the header of ONNX Runtime from" >&2
    exit 1
  }
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial "$tmp/header"
  echo "deb $uri trixie main" >"$apt/sources.list"
  local opts=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${opts[@]}" update
  (cd "$tmp/header" && apt-get "${opts[@]}" download libonnxruntime-dev && dpkg -x libonnxruntime-dev_*.deb .)
  cp "$tmp"/header/usr/include/onnxruntime/*.h "$deps/onnxruntime/include/"
}

echo "fetching ONNX Runtime"
unpack onnxruntime-node
cp "$tmp"/onnxruntime-node/package/bin/napi-v6/linux/x64/libonnxruntime.so.1 "$deps/onnxruntime/lib/"
ln -sf libonnxruntime.so.1 "$deps/onnxruntime/lib/libonnxruntime.so"
fetch_ort_header

echo "fetching libllama"
unpack @node-llama-cpp/linux-x64
cp "$tmp"/@node-llama-cpp/linux-x64/package/bins/linux-x64/*.so "$deps/llama/lib/"
unpack node-llama-cpp
git clone -q --bare "$tmp/node-llama-cpp/package/llama/gitRelease.bundle" "$tmp/llama.git"
git -C "$tmp/llama.git" archive HEAD include ggml/include | tar -x -C "$tmp"
cp "$tmp"/include/*.h "$tmp"/ggml/include/*.h "$deps/llama/include/"

touch "$stamp"
