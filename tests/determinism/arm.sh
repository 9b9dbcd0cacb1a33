#!/usr/bin/env bash
# A Python for 64-bit Arm and the packages of fastbp for it, in a folder, to run as
#   LIBRARIES=FOLDER/root/usr/lib/aarch64-linux-gnu
#   PYTHONHOME=FOLDER/root/usr PYTHONPATH=…:FOLDER/site qemu-aarch64 $LIBRARIES/ld-linux-aarch64.so.1 --library-path $LIBRARIES FOLDER/root/usr/bin/python3.13
# Needs Debian 13, root and its qemu-user: nothing but apt's list of architectures changes outside the folder. Some 1 GB.
set -euo pipefail
[ "$(id -u)" -eq 0 ] || { echo "only root can fetch packages of another architecture" >&2; exit 1; }
command -v qemu-aarch64 >/dev/null || { echo "there is no qemu-aarch64: apt-get install qemu-user" >&2; exit 1; }
mkdir -p "$1"/{debs,root,wheels,site}
cd "$1"
dpkg --add-architecture arm64
apt-get update -qq >/dev/null
packages=(libc6 libgcc-s1 libstdc++6 python3.13-minimal libpython3.13-minimal libpython3.13-stdlib python3.13 libexpat1 zlib1g libssl3t64
  libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libreadline8t64 libncursesw6 libtinfo6 libzstd1)
(cd debs && apt-get download -qq "${packages[@]/%/:arm64}")
for deb in debs/*.deb; do dpkg-deb -x "$deb" root; done
[ -e root/lib ] || ln -s usr/lib root/lib
platforms=(--platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64)
python3 -m pip download -q "${platforms[@]}" --only-binary=:all: --python-version 3.13 --implementation cp -d wheels \
  numpy numba pandas pyarrow pydantic scipy jinja2 matplotlib
for wheel in wheels/*.whl; do python3 -m zipfile -e "$wheel" site; done
