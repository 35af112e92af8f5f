#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing and nothing else: packages, and an image for each kernel that has headers.
# Images that are not in /boot are put in the build directory: this machine's boot menu stays as it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${FLEXSC_BUILD_DIR:-$here/../../build}
series_list="6.1 6.12"

fail() {
    echo "setup: error: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$*' needs root: run ./run setup as root once, or install sudo"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 "$@"
}

update_once() {
    [ -n "${updated:-}" ] && return
    echo "setup: apt-get update"
    apt update -q || fail "apt-get update failed: check the network and /etc/apt/sources.list"
    updated=1
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

available() {
    [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

install_missing() {
    local name missing=()
    for name in "$@"; do
        installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return
    update_once
    echo "setup: installing ${missing[*]}"
    apt install -q -y --no-install-recommends "${missing[@]}" ||
        fail "apt-get could not install: ${missing[*]}. Its message is above; these are Debian 12" \
            "(bookworm) packages, from main, updates and security"
}

# The newest release of a series for which modules can be built.
headers_release() {
    local folder
    for folder in /lib/modules/"$1".*-amd64/build; do
        [ -e "$folder/Makefile" ] && basename "$(dirname "$folder")"
    done | grep -v -e '-rt-' -e '-cloud-' | sort -V | tail -n 1 || true
}

install_headers() {
    # Debian 12's own kernel is 6.1; 6.12 comes with its security archive.
    local series=$1 name
    case $series in
    6.1) name=linux-headers-amd64 ;;
    *) name=linux-headers-$series-amd64 ;;
    esac
    installed "$name" && return
    update_once
    if available "$name"; then
        install_missing "$name"
    else
        missing_kernel "$series" "this machine's apt sources have no $name (bookworm-security has it)"
    fi
}

missing_kernel() {
    echo "setup: WARNING: Linux $1 will not be tested, and its guest tests count as failed: $2." \
        "To accept that, set FLEXSC_ALLOW_MISSING_KERNELS=$1" >&2
}

fetch_image() {
    local release=$1 package=linux-image-$1 target=$build/kernels/vmlinuz-$1 folder
    [ -e "/boot/vmlinuz-$release" ] || [ -e "$target" ] && return
    update_once
    echo "setup: fetching the image of Linux $release (not installing it)"
    folder=$(mktemp -d)
    if (cd "$folder" && apt-get download -q -o APT::Sandbox::User=root "$package"); then
        mkdir -p "$build/kernels"
        dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -xO "./boot/vmlinuz-$release" >"$target.part"
        mv "$target.part" "$target"
    else
        missing_kernel "$release" "apt-get could not fetch $package; after an apt-get upgrade the \
headers and the image are of the same release again"
    fi
    rm -rf "$folder"
}

[ -r /etc/debian_version ] || fail "this is not Debian: FlexSC is built and tested on Debian 12 only"
[ "$(dpkg --print-architecture)" = amd64 ] || fail "FlexSC is for x86-64 (amd64) only"

mapfile -t packages < <(grep -v '^#' "$here/packages")
install_missing "${packages[@]}"
for series in $series_list; do
    install_headers "$series"
    release=$(headers_release "$series")
    [ -z "$release" ] || fetch_image "$release"
done
