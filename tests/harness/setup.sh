#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the packages that are missing and fetches the kernels that are. The latter go to the build
# directory and are not installed: what this machine boots stays as it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kernels=${FLEXSC_BUILD_DIR:-$here/../../build}/kernels
rivals=${FLEXSC_BUILD_DIR:-$here/../../build}/rivals
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
    {
        find /lib/modules -maxdepth 2 -name build -path "/lib/modules/$1.*-amd64/build" -printf "%h\n" 2>/dev/null
        find "$kernels" -maxdepth 1 -name "headers-$1.*-amd64" 2>/dev/null
    } | sed -e 's|.*/||' -e 's|^headers-||' | grep -v -e '-rt-' -e '-cloud-' | sort -V | tail -n 1 || true
}

missing_kernel() {
    echo "setup: WARNING: Linux $1 will not be tested, and its guest tests count as failed: $2." \
        "To accept that, set FLEXSC_ALLOW_MISSING_KERNELS=$1" >&2
}

# download PACKAGE FOLDER: leaves the package's files in the folder, without installing it.
download() {
    mkdir -p "$2"
    (cd "$2" && apt-get download -q -o APT::Sandbox::User=root "$1" && dpkg-deb -x ./*.deb . && rm ./*.deb)
}

dependencies() {
    apt-cache depends --important "$1" | sed -n 's/^[ |]*Depends: //p'
}

# The package linux-headers-RELEASE of 6.12 would install the image too; what it depends on does not.
fetch_headers() {
    local series=$1 release=$2 folder=$kernels/new needed link
    echo "setup: fetching the headers of Linux $release"
    mapfile -t needed < <(dependencies "linux-headers-$release" | grep -v -e '^linux-image' -e '^linux-base')
    install_missing "${needed[@]}"
    rm -rf "$folder"
    if ! download "linux-headers-$release" "$folder"; then
        missing_kernel "$series" "apt-get could not fetch linux-headers-$release"
        return
    fi
    for link in scripts tools; do
        # Relative to /usr/src, where this package is not.
        ln -sfn "/usr/lib/$(readlink "$folder/usr/src/linux-headers-$release/$link" |
            sed 's|^\.\./\.\./lib/||')" "$folder/usr/src/linux-headers-$release/$link"
    done
    mv "$folder/usr/src/linux-headers-$release" "$kernels/headers-$release"
    rm -rf "$folder"
}

fetch_image() {
    local series=$1 release=$2 folder=$kernels/new
    echo "setup: fetching the image of Linux $release"
    rm -rf "$folder"
    if download "linux-image-$release" "$folder"; then
        mv "$folder/boot/vmlinuz-$release" "$kernels/"
    else
        missing_kernel "$series" "apt-get could not fetch linux-image-$release; if the archive has a \
newer one, apt-get upgrade brings the headers to the same release"
    fi
    rm -rf "$folder"
}

# Debian 12's own kernel is 6.1; 6.12 comes with its security archive.
headers_package() {
    if [ "$1" = 6.1 ]; then echo linux-headers-amd64; else echo "linux-headers-$1-amd64"; fi
}

prepare_kernel() {
    local series=$1 package release
    release=$(headers_release "$series")
    if [ -z "$release" ]; then
        update_once
        package=$(headers_package "$series")
        release=$(dependencies "$package" | sed -n "s/^linux-headers-\($series\..*-amd64\)$/\1/p" | head -n 1)
        if [ -z "$release" ]; then
            missing_kernel "$series" "apt's sources have no $package (6.12 is in bookworm-security)"
            return
        fi
        fetch_headers "$series" "$release"
    fi
    [ -e "/boot/vmlinuz-$release" ] || [ -e "$kernels/vmlinuz-$release" ] && return
    update_once
    fetch_image "$series" "$release"
}

# Servers that ours are compared with: their programs only, as their packages would start them here.
fetch_rival() {
    local package=$1 program=$2 folder=$rivals/new needed
    [ -x "$rivals/${program##*/}" ] && return
    update_once
    echo "setup: fetching $package"
    mapfile -t needed < <(dependencies "$package" | grep '^lib')
    install_missing "${needed[@]}"
    rm -rf "$folder"
    download "$package" "$folder" || fail "apt-get could not fetch $package"
    mv "$folder/$program" "$rivals/"
    rm -rf "$folder"
}

[ -r /etc/debian_version ] || fail "this is not Debian: FlexSC is built and tested on Debian 12 only"
[ "$(dpkg --print-architecture)" = amd64 ] || fail "FlexSC is for x86-64 (amd64) only"

mapfile -t packages < <(grep -v '^#' "$here/packages")
install_missing "${packages[@]}"
for series in $series_list; do
    prepare_kernel "$series"
done
fetch_rival nginx usr/sbin/nginx
fetch_rival lighttpd usr/sbin/lighttpd
