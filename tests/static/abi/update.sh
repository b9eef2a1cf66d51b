#!/usr/bin/env bash
# Makes the binary interface as it is now the one that check.sh expects; git diff then shows what has changed.
# Usage: update.sh
set -euo pipefail
[ $# = 0 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
cd "$(dirname "$0")"
./describe.sh ../../.. .
git --no-pager diff --stat -- . || true # the sources need not be in a repository
