#!/usr/bin/env bash
# Writes a C file that holds the given files as the table declared in core/base/asset.h.
# Usage: embed-assets.sh ROOT OUT.c FILE...    (names are relative to ROOT; build/web/ becomes web/)
set -euo pipefail
root=$1 out=$2
shift 2
tmp=$out.tmp
{
  echo '#include "core/base/asset.h"'
  i=0
  for f in "$@"; do
    printf '__asm__(".section .rodata\\n.balign 16\\nasset_%d:\\n.incbin \\"%s\\"\\nasset_%d_end:\\n.byte 0\\n.previous\\n");\n' "$i" "$f" "$i"
    printf 'extern const char asset_%d[], asset_%d_end[];\n' "$i" "$i"
    i=$((i + 1))
  done
  echo 'static struct asset table[] = {'
  i=0
  for f in "$@"; do
    name=${f#"$root"/}
    name=${name#build/}
    echo "    {\"$name\", asset_$i, 0},"
    i=$((i + 1))
  done
  echo '    {0, 0, 0}};'
  echo '/* A difference of addresses is no constant in C. Before main there is one thread only. */'
  echo '__attribute__((constructor)) static void fill_sizes(void) {'
  i=0
  for _ in "$@"; do
    echo "    table[$i].size = (size_t)(asset_${i}_end - asset_$i);"
    i=$((i + 1))
  done
  echo '}'
  echo 'const struct asset *asset_table(size_t *count);'
  echo 'const struct asset *asset_table(size_t *count) {'
  echo "    *count = $i;"
  echo '    return table;'
  echo '}'
} >"$tmp"
mv "$tmp" "$out"
