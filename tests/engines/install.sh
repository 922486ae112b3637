# Sourced: installs other engines from the package registries, each version pinned or the distribution's own.

LIBTORRENT_VERSION=2.1.1
RQBIT_VERSION=9.1.0
AQUATIC_VERSION=0.9.0

as_root() {
    if ((EUID == 0)); then "$@"; else sudo --non-interactive "$@"; fi
}

# Pairs of a command and the Debian package that has it. A fresh daemon's own service is kept from starting.
install_debian() {
    local missing=()
    while (($#)); do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || {
        printf 'please install: %s\n' "${missing[*]}" >&2
        return 1
    }
    printf 'installing %s\n' "${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What `in_namespace` needs.
need_namespaces() {
    install_debian ip iproute2 unshare util-linux
}

# A virtual environment with libtorrent's wheel.
install_python() {
    [[ -x $1/bin/python ]] || python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "libtorrent==$LIBTORRENT_VERSION"
}

# rqbit, built into the folder: minutes. Its default digests, without its data base and web pages.
install_rqbit() {
    [[ -x $1/bin/rqbit ]] && "$1/bin/rqbit" --version | grep -qF "$RQBIT_VERSION" && return
    cargo install rqbit --version "$RQBIT_VERSION" --locked --no-default-features --features default-tls \
        --root "$1" --target-dir "$1/build"
}

# aquatic's UDP tracker, built into the folder: minutes. With its default crates: those it was locked with don't build.
install_aquatic() {
    [[ -x $1/bin/aquatic_udp ]] && return
    cargo install aquatic_udp --version "$AQUATIC_VERSION" --root "$1" --target-dir "$1/build"
}
