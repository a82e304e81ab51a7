#!/usr/bin/env bash
# Fails when a file includes a header that cmake/layers.txt does not allow it, or two files share a stem.
set -euo pipefail
root=$1
cd "$root"
git ls-files --cached --others --exclude-standard -- '*.c' '*.h' | grep -E '^(core|runtimes|compressors|profiler|advisor|db)/' |
  awk '
  BEGIN {
    while ((getline line < "cmake/layers.txt") > 0) {
      if (line ~ /^#/ || line !~ /:/) continue
      key = line; sub(/:[^:]*$/, "", key)
      val = line; sub(/^.*:/, "", val)
      if (key ~ /^</) special[substr(key, 2, length(key) - 2)] = val " "
      else { allowed[key] = " " val " " key " "; known[key] = 1 }
    }
  }
  function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
  {
    file = $0; dir = folder(file)
    if (!(dir in known)) { print file ": its folder is not in cmake/layers.txt"; bad = 1; next }
    stem = file; sub(/^.*\//, "", stem); ext = stem; sub(/^.*\./, "", ext)
    if (stem != "main.c" && (stem in seen)) { print file ": the name " stem " is taken by " seen[stem]; bad = 1 }
    seen[stem] = file
    while ((getline line < file) > 0) {
      if (line !~ /^[ \t]*#[ \t]*include/) continue
      if (match(line, /"[^"]+"/)) {
        inc = substr(line, RSTART + 1, RLENGTH - 2)
        if (inc !~ /\//) { if (inc !~ /\.pb-c\.h$/) { print file ": include \"" inc "\" by its full path"; bad = 1 } ; continue }
        d = folder(inc)
        if (index(allowed[dir], " " d " ") == 0) { print file ": may not include " inc " (cmake/layers.txt)"; bad = 1 }
      } else if (match(line, /<[^>]+>/)) {
        inc = substr(line, RSTART + 1, RLENGTH - 2)
        if (inc in special) {
          ok = 0; n = split(special[inc], places, " ")
          for (i = 1; i <= n; i++) if (index(file, places[i]) == 1) ok = 1
          if (!ok) { print file ": only" special[inc] "may include <" inc ">"; bad = 1 }
        }
      }
    }
    close(file); files++
  }
  END { print files " files checked"; exit bad }
  '
