#!/bin/sh
# Makes the virtual environment and installs what is missing, system packages too where it may.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

# What a virtual screen for the viewer's tests needs, and venv itself, by Debian's names.
missing=""
command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
command -v xauth >/dev/null 2>&1 || missing="$missing xauth"
for library in libxcb-icccm4:libxcb-icccm.so.4 libxcb-keysyms1:libxcb-keysyms.so.1 \
    libxcb-cursor0:libxcb-cursor.so.0 libxkbcommon-x11-0:libxkbcommon-x11.so.0 \
    libegl1:libEGL.so.1 libopengl0:libOpenGL.so.0 libgl1:libGL.so.1 libdbus-1-3:libdbus-1.so.3 \
    libxcb-image0:libxcb-image.so.0 libxcb-render-util0:libxcb-render-util.so.0 \
    libxcb-shape0:libxcb-shape.so.0 libxcb-xinerama0:libxcb-xinerama.so.0 \
    libglib2.0-0:libglib-2.0.so.0 libfontconfig1:libfontconfig.so.1 libgomp1:libgomp.so.1; do
    ldconfig -p 2>/dev/null | grep -q "${library#*:}" || missing="$missing ${library%%:*}"
done
find /usr/lib -name 'swrast_dri.so' -o -name 'libgallium*' 2>/dev/null | grep -q . || missing="$missing libgl1-mesa-dri"
"$PYTHON" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"

if [ -n "$missing" ]; then
    if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=""
        [ "$(id -u)" = 0 ] || as_root="sudo -n"
        echo "setup: installing system packages:$missing"
        $as_root apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "setup: these system packages are missing and cannot be installed here:$missing"
        echo "setup: the viewer and its tests need them; ask your administrator, or go on without"
    fi
fi

if [ ! -x "$VENV/bin/python" ]; then
    echo "setup: making the environment in $VENV (torch and its libraries: about 6 GB, some minutes)"
    "$PYTHON" -m venv "$VENV"
fi
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable ".[all,test,lint]"
echo "setup: ready"
