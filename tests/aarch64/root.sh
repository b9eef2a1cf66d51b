#!/usr/bin/env bash
# Makes build/aarch64-root: what Debian's arm64 packages install, unpacked and not installed. So this machine's own
# packages stay as they are (Criterion's cannot be installed for two architectures), and it takes no rights. apt-get
# finds what the packages depend on, in a state of its own. Does nothing where the root is there and has all of them.
# Usage: tests/aarch64/root.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD/build/aarch64-root
packages=$(tests/packages.sh --list aarch64-root | sort -u)
if [ "$(cat "$root/packages" 2>/dev/null)" = "$packages" ]; then
    exit 0
fi
echo "Unpacking Debian's arm64 packages in build/aarch64-root"
rm -rf "$root"
apt=$root/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
cat >"$apt/conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Debug::NoLocking "1";
EOF
# shellcheck disable=SC2086 # each is a word
if ! { APT_CONFIG=$apt/conf apt-get -qq update &&
    APT_CONFIG=$apt/conf apt-get -qq -y --no-install-recommends --download-only install $packages; } >"$apt/log" 2>&1; then
    cat "$apt/log" >&2
    echo "tests/aarch64/root.sh: apt-get gets no arm64 packages from the sources of this machine" >&2
    exit 1
fi
for package in "$apt"/cache/archives/*.deb; do
    dpkg -x "$package" "$root"
done
# Links are followed from outside: those that begin at the root are to lead into it.
find "$root" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
    ln -sfn "$root$target" "$link"
done
rm -rf "$apt" "$root"/usr/share/{doc,man,locale,i18n,zoneinfo}
echo "$packages" >"$root/packages"
