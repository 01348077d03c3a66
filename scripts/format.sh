#!/usr/bin/env bash
# Checks that every C++ file is laid out as .clang-format says; `scripts/format.sh --fix` makes it so.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run --Werror)
[ "${1:-}" = --fix ] && mode=(-i)
git ls-files -co --exclude-standard -z '*.h' '*.cpp' '*.cu' '*.cuh' |
  xargs -0 --no-run-if-empty clang-format "${mode[@]}"
