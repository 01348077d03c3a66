#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over the sources named, or over all of the
# project's own that the release preset compiles. Findings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/release/compile_commands.json ] || cmake --preset release >/dev/null
if [ $# -gt 0 ]; then
  printf '%s\0' "$@"
else
  git ls-files -z 'kernels/*.cpp' 'engine/*.cpp' 'model/*.cpp' 'explain/*.cpp' 'cli/*.cpp'
fi | xargs -0 --no-run-if-empty -n 1 -P "$(nproc)" clang-tidy -p build/release --quiet
