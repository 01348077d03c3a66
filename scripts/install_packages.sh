#!/usr/bin/env bash
# Installs what the project is built from, on Debian 12 and Ubuntu 24.04, as root or through sudo:
#   scripts/install_packages.sh build   compiler, CMake and libraries: enough for the binary
#   scripts/install_packages.sh test    that, and what the test suite needs (the default)
#   scripts/install_packages.sh lint    that, and clang-format and clang-tidy
# Where everything is already there it does nothing and needs neither root nor a network.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config
       libdnnl-dev                                                     # matrix products (oneDNN)
       libfmt-dev nlohmann-json3-dev libssl-dev libzip-dev             # messages, JSON, hash, .pth archives
       libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev  # pictures
       libjpeg-dev libpng-dev                                          # whose errors OpenCV hides
       libcli11-dev libspdlog-dev                                      # command line, log
       libopenmpi-dev openmpi-bin)                                     # training in several processes
test=(libgtest-dev libbenchmark-dev ccache
      libboost-context-dev                                             # fibers that run the CUDA kernels on the host
      clang libclang-rt-dev libomp-dev)                                # fuzzing, ThreadSanitizer
lint=(clang-format clang-tidy)

case "${1:-test}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  lint) wanted=("${build[@]}" "${test[@]}" "${lint[@]}") ;;
  *) echo "usage: $0 [build|test|lint]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "$0: no apt-get here; install the equivalents of: ${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null || true)
  grep -qx installed <<<"$state" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "$0: not root and no sudo; ask for these packages: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing packages: ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 "$@" </dev/null; }
apt update
apt install --yes --no-install-recommends "${missing[@]}"
