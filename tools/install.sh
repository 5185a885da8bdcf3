#!/usr/bin/env bash
# Installs mmkd, in editable mode, and everything it needs into one Python environment. `make` calls this; by hand:
#
#   tools/install.sh /path/to/env/bin/python              # the default line, requirements.txt
#   tools/install.sh /path/to/env/bin/python openmmlab    # the original line, requirements-openmmlab.txt
#
# A PyTorch that is there is kept. mmcv comes as a wheel where pip finds one (PIP_FIND_LINKS), else its operators are
# compiled against that PyTorch: for CUDA as well when there is a GPU and nvcc. Run again, it mends what is missing.
set -euo pipefail

python=${1:?usage: tools/install.sh PYTHON [onedl|openmmlab]}
line=${2:-onedl}
torch=${TORCH:-torch==2.13.0}
setuptools='setuptools>=77,<81'
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case $line in
    onedl) requirements=requirements.txt ;;
    openmmlab) requirements=requirements-openmmlab.txt ;;
    *) echo "unknown line '$line': onedl or openmmlab" >&2; exit 2 ;;
esac
mmcv=$(grep -oE '^(onedl-)?mmcv==[0-9.]+' "$requirements")

say() { printf '\n==> %s\n' "$*"; }
works() { "$python" -W ignore -c "$1" >/dev/null 2>&1; }
version_of() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }
install() { "$python" -m pip install --disable-pip-version-check "$@"; }

use_headless_opencv_if_needed() {
    # opencv-python wants a display library (libGL) that a bare machine lacks; the headless build has the same module.
    if ! works 'import cv2'; then
        say 'opencv-python does not import here: putting opencv-python-headless in its place'
        install --force-reinstall --no-deps "opencv-python-headless==$(version_of opencv-python)"
        "$python" -c 'import cv2'
    fi
}

build_mmcv() {
    if works 'import torch; assert torch.cuda.is_available()' && ! command -v nvcc >/dev/null && [ -z "${CUDA_HOME:-}" ]; then
        echo 'There is a GPU but no CUDA compiler (nvcc): mmcv gets operators for the CPU only, unless pip finds a wheel.'
        export CUDA_VISIBLE_DEVICES=-1
    fi
    install --no-build-isolation "$@" "$mmcv" || {
        echo "$mmcv could not be installed. To compile it takes a C++17 compiler and Python's headers (Debian: g++," >&2
        echo 'python3-dev), and with a GPU the CUDA toolkit of the version in torch.version.cuda.' >&2
        exit 1
    }
}

if [ "$line" = openmmlab ] && works 'import sys; assert sys.version_info >= (3, 13)'; then
    echo 'The original line is for Python 3.10 to 3.12: mmcv 2.1.0 does not build on 3.13. Give another with PYTHON=' >&2
    exit 1
fi

say "1/5 Build tools for mmcv, in $("$python" -c 'import sys; print(sys.prefix)')"
works 'import pip' || "$python" -m ensurepip --upgrade
# Old enough for pkg_resources, which mmcv 2.1.0's setup.py needs; new enough for the metadata of onedl-mmcv.
install -q "$setuptools" wheel ninja psutil packaging

if works 'import torch'; then
    say "2/5 PyTorch $(version_of torch) is there and is kept"
else
    say "2/5 PyTorch ($torch)"
    install "$torch"
    install -q "$setuptools"  # torch brings a newer one along
fi

say "3/5 mmcv with compiled operators ($mmcv)"
echo 'Where pip finds no ready wheel, 150 files are compiled now: about ten minutes on two cores. pip stays silent or says'
echo '"still running..." meanwhile.'
build_mmcv
use_headless_opencv_if_needed
if ! works 'import torch, mmcv._ext'; then
    # Such as a wheel in pip's cache from an environment with another PyTorch.
    say 'The mmcv that pip had does not fit this PyTorch: compiling it anew'
    build_mmcv --force-reinstall --no-deps --no-cache-dir --no-binary "${mmcv%%==*}"
fi

say "4/5 The other packages ($requirements)"
install --no-build-isolation -r "$requirements"
use_headless_opencv_if_needed

say '5/5 mmkd itself, in editable mode'
install --no-build-isolation -e '.[dev]'
"$python" -W ignore -c 'from mmkd.environment import report; report()'
