#!/usr/bin/env bash
# Runs a command in which programs for aarch64 start like any other, by qemu: also those that other programs start.
# Where the machine has not registered qemu, it is done in a user namespace of the command's own (Linux 6.7).
# Usage: tests/aarch64/binfmt.sh COMMAND...
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)/build/aarch64-root
export QEMU_LD_PREFIX=$root
if "$root/bin/true" 2>/dev/null; then
    exec "$@"
fi
# An ELF file of 64 bits, little-endian, of type EXEC or DYN, for machine 183.
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
export entry=":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):F"
# shellcheck disable=SC2016 # the inner shell's variables
if ! unshare -Urm bash -c '
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && printf %s "$entry" >/proc/sys/fs/binfmt_misc/register &&
    "$QEMU_LD_PREFIX/bin/true"' 2>/dev/null; then
    echo "tests/aarch64/binfmt.sh: programs for aarch64 do not start here: neither has the machine registered qemu" >&2
    echo "(Debian: binfmt-support), nor may it be done in a user namespace (Linux 6.7)" >&2
    exit 1
fi
# shellcheck disable=SC2016
exec unshare -Urm bash -c '
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && printf %s "$entry" >/proc/sys/fs/binfmt_misc/register &&
    unset entry && exec "$@"' - "$@"
