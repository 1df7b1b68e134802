#!/usr/bin/env bash
# Everything this repository needs on a fresh machine: system packages, uv, Python, .venv with the locked packages.
# Called by make; says nothing and takes a moment when all is there.
#   scripts/setup.sh         to run     scripts/setup.sh tests   to test: also a browser
#   scripts/setup.sh lock    to write requirements.lock anew, after a change of the dependencies in pyproject.toml
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

[[ $(uname) == Linux ]] || die "robot-stack runs on Linux: it needs its shared memory, priorities and signals."

# ---- System packages. Asked of the loader, not of dpkg: what counts is whether it loads.

libraries="$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true)"
missing=()

want_library() { [[ $libraries == *"$1"* ]] || missing+=("$2"); }
want_command() { command -v "${@:2}" >/dev/null || missing+=("$1"); }

install_packages() {
    (($# == 0)) && return
    if ! command -v apt-get >/dev/null; then
        die "These are missing, by their Debian names: $*" \
            "Install what your system calls them, then call make again."
    fi
    if ((EUID != 0)); then
        die "These system packages are missing. Install them, then call make again:" \
            "    sudo apt-get update && sudo apt-get install --no-install-recommends -y $*"
    fi
    echo "Installing system packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo "apt-get update failed; trying with the lists that are here." >&2
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_system_packages() {
    want_library libEGL.so.1 libegl1               # rendering without a screen
    want_library libEGL_mesa.so.0 libegl-mesa0     # ... and without a GPU
    compgen -G '/usr/lib*/*/dri/swrast_dri.so' >/dev/null || missing+=(libgl1-mesa-dri)
    want_library libGL.so.1 libgl1                 # OpenCV
    want_library libglib-2.0.so.0 libglib2.0-0
    want_library libxcb.so.1 libxcb1
    want_library libusb-1.0.so.0 libusb-1.0-0      # RealSense
    want_library libudev.so.1 libudev1
    want_library libavcodec.so ffmpeg              # videos of LeRobot data sets
    if [[ ${1:-} == tests ]]; then
        want_command chromium chromium chromium-browser google-chrome # the service's page is tested in a real browser
        want_command gcc cc                        # the emulated Panda sends its client a library that is compiled here
        [[ -e /usr/include/math.h ]] || missing+=(libc6-dev)
    fi
    install_packages "${missing[@]}"
}

# ---- uv. A version manager's shim may be on the PATH and still refuse to run in this folder, so it is tried.

# uv brings certificates of its own; behind a proxy that signs anew, only those of the system are right.
system_certificates=/etc/ssl/certs/ca-certificates.crt
[[ -f $system_certificates ]] && export SSL_CERT_FILE="${SSL_CERT_FILE:-$system_certificates}"

find_uv() {
    local uv
    for uv in uv "$HOME/.local/bin/uv" "$PWD/.uv/bin/uv"; do
        "$uv" --version >/dev/null 2>&1 && echo "$uv" && return
    done
    return 1
}

python_with_venv() {
    local python
    for python in python3.12 python3 /usr/bin/python3 python; do
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && echo "$python" && return
    done
    return 1
}

install_uv() {
    local python
    python_with_venv >/dev/null || install_packages python3-venv
    python="$(python_with_venv)" || die "There is neither uv nor a Python 3 that could install it: install either."
    echo "Installing uv into .uv (there is none on this machine that runs here)"
    "$python" -m venv --clear .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv ||
        die "uv could not be installed with '$python -m pip'. Install it by hand (pipx install uv), then call make again."
}

# ---- .venv, again only when what it is made from has changed.

sync_environment() {
    local stamp=.venv/made-from made_from uv
    made_from="$(cat requirements.lock pyproject.toml .python-version | cksum)"
    [[ -f $stamp && "$(<$stamp)" == "$made_from" ]] && return
    find_uv >/dev/null || install_uv
    uv="$(find_uv)"
    echo "Installing the locked environment into .venv (some 5 GB, most of it PyTorch; minutes the first time)"
    [[ -x .venv/bin/python ]] || "$uv" venv --quiet .venv ||
        die "There is no Python $(<.python-version) here and uv could not download one: install it, then call make again."
    # Compiled now, or each of the service's processes would compile torch and friends again where __pycache__ is off.
    "$uv" pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
    echo "$made_from" >"$stamp"
}

lock_environment() {
    "$(find_uv)" pip compile --quiet --python-version 3.12 --all-extras --generate-hashes --no-emit-index-url \
        --no-header pyproject.toml -o requirements.lock
    sync_environment
}

install_system_packages "${1:-}"
sync_environment
if [[ ${1:-} == lock ]]; then lock_environment; fi
