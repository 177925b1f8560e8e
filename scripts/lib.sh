# What the scripts share: the virtual environment and the packages of the system. Sourced, not run.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
YES=${YES:-}
if [ "${CI:-}" = true ]; then YES=1; fi

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# A Python that Leasebeat can run on, or nothing.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

# install_packages NAME...: with apt, after asking once; elsewhere it says what is missing.
install_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "Missing on this system: $*" "(Debian's names; install them with your package manager.)"
    local sudo=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "Missing: $*" "Become root and run: apt-get install $*"
        sudo=sudo
    fi
    if [ -z "$YES" ]; then
        [ -t 0 ] || die "Missing: $*" "Run again with --yes, or run: ${sudo:+sudo }apt-get install $*"
        local answer
        read -r -p "Missing: $*. Install them with apt-get? [Y/n] " answer
        case $answer in n* | N*) die "Nothing was installed." ;; esac
    fi
    $sudo apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
    local name names=()
    for name in "$@"; do
        # Older releases have versioned -core packages only; the plain one brings the right one.
        apt-cache show "$name" >/dev/null 2>&1 || name=${name%-core}
        names+=("$name")
    done
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${names[@]}" >&2 ||
        die "apt-get could not install ${names[*]}; see above."
}

# make_venv FILE: .venv with what FILE lists; does nothing when it is there already.
make_venv() {
    if [ ! -x .venv/bin/python ]; then
        local python
        python=$(find_python)
        if [ -z "$python" ] || ! "$python" -c 'import ensurepip' 2>/dev/null; then
            install_packages python3 python3-venv
            python=$(find_python)
        fi
        [ -n "$python" ] || die "Leasebeat needs Python 3.11 or newer; here is $(python3 --version 2>&1)."
        "$python" -m venv .venv || { rm -rf .venv; die "$python could not make a virtual environment."; }
    fi
    local want stamp=".venv/.$1"
    want=$(cat requirements.txt "$1" | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        say "Installing $1 into .venv ..."
        .venv/bin/python -m pip install -q --disable-pip-version-check -r "$1" ||
            die "pip could not install $1; see above."
        printf '%s\n' "$want" >"$stamp"
    fi
}

# The names of the packages that the tests with servers need and that are not here.
missing_packages() {
    local path="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    { PATH=$path command -v mariadbd && PATH=$path command -v mariadb-install-db; } >/dev/null || echo mariadb-server-core
    PATH=$path command -v mysql >/dev/null || echo mariadb-client-core
    PATH=$path command -v redis-server >/dev/null || echo redis-server
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo libfaketime
    PATH=$path command -v redis-sentinel >/dev/null || echo redis-sentinel
    [ -e /usr/share/java/zookeeper.jar ] || echo zookeeper
    PATH=$path command -v java >/dev/null || echo default-jre-headless
    PATH=$path command -v ip >/dev/null || echo iproute2
    PATH=$path command -v iptables >/dev/null || echo iptables
}

# Servers refuse whom the environment of the shell tells otherwise.
unset "${!LEASEBEAT_@}"
