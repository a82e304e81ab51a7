#!/usr/bin/env bash
# Starts a service of its own with a local agent, submits an example and prints the recommendation.
# Usage: demo.sh fashion-mnist|docs-llm      KEEP=1 leaves the service running and says where.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
pare=$top/build/bin/pare
example=${1:?usage: demo.sh fashion-mnist|docs-llm}
data=$(mktemp -d "${TMPDIR:-/tmp}/pare-demo-XXXXXX")
port=${PORT:-0}

stop() {
  local status=$?
  if [ "${KEEP:-}" != 1 ] || [ $status -ne 0 ]; then
    if [ -n "${service:-}" ]; then
      kill "$service" 2>/dev/null || true
      wait "$service" 2>/dev/null || true
    fi
    if [ $status -ne 0 ] && [ -s "$data/serve.log" ]; then
      echo "the last lines of the service's log ($data/serve.log):" >&2
      tail -n 15 "$data/serve.log" >&2
    else
      rm -rf "$data"
    fi
  fi
  exit $status
}
trap stop EXIT INT TERM

: >"$data/said" # the loop below reads it, perhaps before the service's shell has opened it
"$pare" serve --data "$data/store" --listen "127.0.0.1:$port" >"$data/said" 2>"$data/serve.log" &
service=$!
url=
for _ in $(seq 300); do
  url=$(sed -n 's/^Pare serves on \([^ ]*\).*/\1/p' "$data/said")
  [ -n "$url" ] && break
  kill -0 "$service" 2>/dev/null || exit 4
  sleep 0.1
done
[ -n "$url" ] || exit 4
export PARE_SERVER=$url

case $example in
  fashion-mnist)
    "$pare" submit "$top/examples/fashion-mnist/fmnist-resnet.onnx" --data "$top/examples/fashion-mnist/eval.json" \
      --calibration "$top/examples/fashion-mnist/calibration.json" --floor 'relative>=0.99' --preset quick
    ;;
  docs-llm)
    "$pare" submit "$top/examples/docs-llm/docs-llama-3m.f16.gguf" --data "$top/examples/docs-llm/docs.small.txt" \
      --floor 'ppl_ratio<=1.02' --preset quick
    ;;
  *)
    echo "there is no example $example: fashion-mnist or docs-llm" >&2
    exit 2
    ;;
esac

if [ "${KEEP:-}" = 1 ]; then
  trap - EXIT
  echo
  echo "still serving: open $url in a browser, or ask with PARE_SERVER=$url $pare recommend ...; stop it with: kill $service"
fi
