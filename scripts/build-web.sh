#!/usr/bin/env bash
# Builds the dashboard into build/web when its sources changed; pare embeds what is there.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top/web"
[ -e package-lock.json ] || exit 0
stamp=$top/build/.web-$(git ls-files -z --cached --others --exclude-standard . | xargs -0 cat | sha256sum | cut -c1-16)
[ -e "$stamp" ] && [ -e "$top/build/web/index.html" ] && exit 0
echo "building the dashboard"
npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
npm run --silent build
rm -f "$top"/build/.web-*
mkdir -p "$top/build"
touch "$stamp"
