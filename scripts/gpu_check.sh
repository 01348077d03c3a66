#!/usr/bin/env bash
# Everything that wants a GPU, from built binaries: the contract suite natively, the golden vectors in
# fp32 and bf16, compute-sanitizer's four tools over the contract suite, then PyTorch's attention for
# comparison. A short table last; exit status 0 only if nothing failed.
#   scripts/gpu_check.sh [BUILD_FOLDER]          (default build/release)
# Needs a driver and the build; compute-sanitizer and PyTorch (VITSNNA_PYTHON, default python3) are
# used where they are. VITSNNA_SHARED names the golden vectors (default ../shared).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/release}
python=${VITSNNA_PYTHON:-python3}
export VITSNNA_SHARED=${VITSNNA_SHARED:-$PWD/../shared} VITSNNA_TEST_DEVICE=cuda

# $1: why nothing is checked, in one line.
give_up() {
  echo "gpu_check: $1" >&2
  exit 1
}
contract=$build/tests/contract/contract_cuda
[ -x "$contract" ] || give_up "$contract: not there, build the release or cuda preset first"
"$contract" --gtest_list_tests >/dev/null 2>&1
[ $? -ne 77 ] || give_up "$("$contract" --gtest_list_tests 2>&1 >/dev/null | tail -n 1)"

log=$(mktemp -d)
rows=() failed=0

# $1: name, then a command; its output goes to a log whose end is shown when it fails.
check() {
  local name=$1 started=$SECONDS result=passed
  shift
  if ! "$@" >"$log/output" 2>&1; then
    result=FAILED
    failed=1
    tail -n 30 "$log/output"
  fi
  rows+=("$(printf '%-28s %-8s %5d s' "$name" "$result" $((SECONDS - started)))")
}
skip() { rows+=("$(printf '%-28s %s' "$1" "skipped: $2")"); }

check "contract" "$contract"
for name in vit_golden_test explain_golden_test bf16_golden_test; do
  check "$name" "$build/tests/golden/$name"
done
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    check "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$contract"
  done
else
  skip "compute-sanitizer" "not installed"
fi
if "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  check "PyTorch's attention" "$python" bench/baselines/attention_torch.py
  cat "$log/output"
else
  skip "PyTorch's attention" "$python has no PyTorch that sees the GPU"
fi

echo
"$build/cli/vitsnna" --version | grep -A 16 '^devices'
printf '%s\n' "${rows[@]}"
rm -rf "$log"
exit $failed
