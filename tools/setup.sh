#!/usr/bin/env bash
# Installs the Debian packages that the build, the tests or the Python tools need; names them where it may not.
# usage: tools/setup.sh GROUP...    with build, test or python
# SKIP_PLAYERS=1 leaves out the players and the server that tests play against.
set -euo pipefail

# The codecs are C and C++ (openh264, libjpeg-turbo); without nasm they are built twice as slow, silently.
BUILD=(build-essential cmake nasm pkg-config)
PYTHON=(python3-venv)
# Players and a server that nobody here wrote.
PLAYERS=(ffmpeg gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-bad gstreamer1.0-plugins-base
    gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-tools python3-gi)
# Without dpkg, the programs themselves tell.
BUILD_PROGRAMS=(cc c++ cmake nasm pkg-config)
PLAYER_PROGRAMS=(ffmpeg gst-launch-1.0)

missing() {
    local package
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep --quiet '^install ok' ||
            echo "$package"
    done
}

missing_programs() {
    local program
    for program in "$@"; do
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
    local packages=() programs=() absent
    for group in "$@"; do
        case $group in
        build) packages+=("${BUILD[@]}") programs+=("${BUILD_PROGRAMS[@]}") ;;
        python) packages+=("${PYTHON[@]}") programs+=(python3) ;;
        test)
            packages+=("${PYTHON[@]}") programs+=(python3)
            [ -n "${SKIP_PLAYERS:-}" ] || { packages+=("${PLAYERS[@]}") programs+=("${PLAYER_PROGRAMS[@]}"); }
            ;;
        *) echo "setup: unknown group $group: wanted build, test or python" >&2; exit 2 ;;
        esac
    done
    if ! command -v dpkg-query >/dev/null; then
        mapfile -t absent < <(missing_programs "${programs[@]}")
        [ "${#absent[@]}" = 0 ] || { echo "setup: install these programs first: ${absent[*]}" >&2; exit 1; }
        return
    fi
    mapfile -t absent < <(missing "${packages[@]}")
    [ "${#absent[@]}" = 0 ] && return
    echo "setup: installing ${absent[*]}"
    install "${absent[@]}" || {
        echo "setup: cannot install packages here; run: sudo apt-get install ${absent[*]}" >&2
        exit 1
    }
}

main "$@"
