#!/usr/bin/env bash
# Installs the Debian packages that the build (and the tests, with `test`) need; names them where it may not.
# usage: tools/setup.sh build [test]
set -euo pipefail

# The codecs are C and C++ (openh264, libjpeg-turbo); without nasm they are built twice as slow, silently.
BUILD=(build-essential cmake nasm pkg-config)
# Players and a server that nobody here wrote, to test against; python3-venv for the lints.
TEST=(ffmpeg gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-bad gstreamer1.0-plugins-base
    gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly python3-gi python3-venv)

missing() {
    local package
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep --quiet '^install ok' ||
            echo "$package"
    done
}

# Without dpkg, the programs themselves tell.
missing_programs() {
    local program
    for program in cc c++ cmake nasm pkg-config; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

install() {
    if [ "$(id --user)" = 0 ]; then
        apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes "$@" >/dev/null
    elif sudo --non-interactive true 2>/dev/null; then
        sudo --non-interactive apt-get update --quiet=2
        sudo --non-interactive DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes "$@" >/dev/null
    else
        return 1
    fi
}

main() {
    if ! command -v cargo >/dev/null; then
        echo "setup: cargo is missing: install Rust from https://rustup.rs" >&2
        exit 1
    fi
    if ! command -v dpkg-query >/dev/null; then
        local programs
        programs=$(missing_programs)
        [ -z "$programs" ] || { echo "setup: install these programs first: ${programs//$'\n'/ }" >&2; exit 1; }
        return
    fi
    local wanted=() packages
    for group in "$@"; do
        case $group in
        build) wanted+=("${BUILD[@]}") ;;
        test) wanted+=("${TEST[@]}") ;;
        *) echo "setup: unknown group $group: wanted build or test" >&2; exit 2 ;;
        esac
    done
    mapfile -t packages < <(missing "${wanted[@]}")
    [ "${#packages[@]}" = 0 ] && return
    echo "setup: installing ${packages[*]}"
    install "${packages[@]}" || {
        echo "setup: cannot install packages here; run: sudo apt-get install ${packages[*]}" >&2
        # The tests that need a missing player or server say so and are skipped; the build cannot be.
        [ -z "$(missing "${BUILD[@]}")" ] || exit 1
    }
}

main "$@"
