#!/usr/bin/env bash
# Boots an emulated ARM64 board (QEMU, one Cortex-A57) and runs a shell command on it. The emulator counts every instruction at a
# fixed rate, so PAPI's counters of instructions and cycles are real there, and the same at every boot.
#
# Usage: arm-board.sh FOLDER COMMAND     FOLDER appears as /job on the board; what COMMAND prints comes out here.
# PARE_BOARD_SECONDS (600) limits the whole.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/arm64
folder=${1:?usage: arm-board.sh FOLDER COMMAND}
command=${2:?usage: arm-board.sh FOLDER COMMAND}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

mkdir -p "$tmp"/root/{bin,dev,proc,sys,tmp,lib,usr/bin,etc}
# A file of the sysroot: Debian 12 has it below /, Debian 13 below /usr.
unpacked() { if [ -e "$out/sysroot/$1" ]; then echo "$out/sysroot/$1"; else echo "$out/sysroot/usr/$1"; fi; }
cp "$(unpacked bin/busybox)" "$tmp/root/bin/"
for name in libc.so.6 libm.so.6 ld-linux-aarch64.so.1 libpthread.so.0 libdl.so.2 librt.so.1 libresolv.so.2; do
  cp -L "$(unpacked "lib/aarch64-linux-gnu/$name")" "$tmp/root/lib/"
done
cp -r "$folder" "$tmp/root/job"
printf '%s\n' "$command" >"$tmp/root/command"
cat >"$tmp/root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
echo 1 >/proc/sys/kernel/perf_event_paranoid
echo 0 >/proc/sys/kernel/randomize_va_space # where memory lies changes how a copy of it is done, by some hundred instructions
stty -onlcr
cd /job
echo '-- board --'
sh /command
echo "-- board: $? --"
poweroff -f
EOF
chmod +x "$tmp/root/init"
(cd "$tmp/root" && find . | cpio --quiet -o -H newc | gzip -1) >"$tmp/initrd.gz"
timeout "${PARE_BOARD_SECONDS:-600}" qemu-system-aarch64 -machine virt -cpu cortex-a57 -icount shift=0,sleep=off -smp 1 -m 1024 \
  -nodefaults -nographic -serial stdio -no-reboot -kernel "$out/vmlinuz" -initrd "$tmp/initrd.gz" \
  -append "console=ttyAMA0 quiet rdinit=/init panic=-1" </dev/null >"$tmp/said" || true
sed -n '/^-- board --/,/^-- board: /p' "$tmp/said" | sed '1d;$d'
status=$(sed -n 's/^-- board: \([0-9]*\) --.*/\1/p' "$tmp/said")
if [ -z "$status" ]; then
  echo "the board did not finish; its last words:" >&2
  tail -n 20 "$tmp/said" >&2
  exit 4
fi
exit "$status"
