# Sourced by tests that are given the folder of the sources and that of a build: $source and $build; $work, a folder that
# goes when the test ends. complain says what is wrong and goes on; the test ends with the status $status.
[ $# -eq 2 ] && [ -d "$2/lib" ] || { sed -n 's/^# Usage/Usage/p' "$0" >&2; exit 2; }
source=$1 build=$2 status=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
complain() {
    echo "$*" >&2
    status=1
}
