#!/bin/sh
# tools/wheels.sh BIN: for each CPython 3.10 to 3.13 on this machine (python3.X on PATH, or under pyenv) build a wheel
# with build isolation, repair it with the auditwheel of BIN, install it into a fresh environment and call an operator.
# torch is installed for the CPython of BIN alone; with the others the compiled module is loaded without it.
set -eu
cd "$(dirname "$0")/.."
bin=$1
work=build/wheels
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
rm -rf "$work" wheelhouse

usable() { # interpreter, version: it runs, is that version, and has the headers and the venv module
    "$1" - "$2" 2>/dev/null <<'PY'
import ensurepip, os, sys, sysconfig
assert "%d.%d" % sys.version_info[:2] == sys.argv[1] and sys.implementation.name == "cpython"
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
PY
}

find_python() { # version -> interpreter
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if usable "$candidate" "$1"; then
            echo "$candidate"
            return
        fi
    done
}

own=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
built=""
for version in 3.10 3.11 3.12 3.13; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "CPython $version: not found here, left out"
        continue
    fi
    echo "CPython $version: $("$python" --version), building"
    "$python" -m venv "$work/$version/build"
    "$work/$version/build/bin/python" -m pip install --upgrade pip
    "$work/$version/build/bin/python" -m pip wheel --no-deps --wheel-dir "$work/$version" .
    PATH="$bin:$PATH" "$bin/python" -m auditwheel repair --exclude libgomp.so.1 \
        --wheel-dir "$work/$version/repaired" "$work/$version"/sarcore-*.whl
    "$python" -m venv "$work/$version/smoke"
    pip="$work/$version/smoke/bin/python -m pip install"
    if [ "$version" = "$own" ]; then
        $pip --constraint "$bin/../constraints.txt" torch
        $pip --constraint "$bin/../constraints.txt" "$work/$version/repaired"/sarcore-*.whl
    else
        $pip numpy
        $pip --no-deps "$work/$version/repaired"/sarcore-*.whl
    fi
    "$work/$version/smoke/bin/python" -I tools/smoke.py
    built="$built $version"
done

if [ -z "$built" ]; then
    echo "no wheel was built: install a CPython between 3.10 and 3.13 with its headers, and call again" >&2
    exit 1
fi
mkdir -p wheelhouse
mv "$work"/*/repaired/sarcore-*.whl wheelhouse/
ls -l wheelhouse
