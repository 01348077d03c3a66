#!/usr/bin/env bash
# Everything that wants a GPU, from built binaries: the contract suite natively, the golden vectors in
# fp32 and bf16, compute-sanitizer's four tools over the contract suite, then the benchmarks beside
# cuDNN and PyTorch in the same run. Adds the tables, with machine and commit, to docs/BENCHMARKS.md
# (not with --no-append) and closes with a short one.
#   scripts/gpu_check.sh [--no-append] [--no-sanitizer] [BUILD_FOLDER]     (default build/release)
# Needs a driver and the build; compute-sanitizer, libcudnn and PyTorch (VITSNNA_PYTHON, default
# python3) are used where they are, and named where they are not. Changes no setting of the GPU.
# VITSNNA_SHARED names the golden vectors (default ../shared). VITSNNA_GPU_RESULTS keeps what the
# programs print in that folder.
# Exit status: 0 all passed, 1 something failed, 77 there is no GPU (nothing was checked).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
append=1 sanitizer=1 build=build/release
for argument in "$@"; do
  case "$argument" in
    --no-append) append=0 ;;
    --no-sanitizer) sanitizer=0 ;;
    -*) echo "usage: $0 [--no-append] [--no-sanitizer] [BUILD_FOLDER]" >&2; exit 2 ;;
    *) build=$argument ;;
  esac
done
python=${VITSNNA_PYTHON:-python3}
export VITSNNA_SHARED=${VITSNNA_SHARED:-$PWD/../shared} VITSNNA_TEST_DEVICE=cuda

contract=$build/tests/contract/contract_cuda
if [ ! -x "$contract" ]; then
  echo "gpu_check: $contract: not there, build the release or cuda preset first" >&2
  exit 1
fi
why=$("$contract" --gtest_list_tests 2>&1 >/dev/null)
if [ $? -eq 77 ]; then
  echo "gpu_check: $(tail -n 1 <<<"$why")" >&2
  echo "gpu_check: skipped, all for want of a GPU: contract suite, golden vectors, compute-sanitizer," \
       "benchmarks of ops and explanations, cuDNN, PyTorch; docs/BENCHMARKS.md is unchanged" >&2
  exit 77
fi

results=${VITSNNA_GPU_RESULTS:-$(mktemp -d)}
mkdir -p "$results"
rm -f "$results"/*.json "$results"/*.jsonl "$results"/*.md "$results"/*.txt
[ -n "${VITSNNA_GPU_RESULTS:-}" ] || trap 'rm -rf "$results"' EXIT
failed=0

# $1: what; $2: how it went; $3: seconds
row() { printf '%-40s %-8s %5d s\n' "$1" "$2" "$3" | tee -a "$results/checks.txt"; }
skip() { printf '%-40s skipped: %s\n' "$1" "$2" | tee -a "$results/checks.txt"; }

# $1: name, $2: file for standard output, then a command. The end of what it says is shown when it
# fails; status 77 means that it had nothing to run on, and its last line why.
check() {
  local name=$1 output=$2 started=$SECONDS status
  shift 2
  "$@" >"$output" 2>"$results/stderr.log"
  status=$?
  case $status in
    0) row "$name" passed $((SECONDS - started)) ;;
    77) skip "$name" "$(tail -n 1 "$results/stderr.log")"; rm -f "$output" ;;
    *)
      failed=1
      row "$name" FAILED $((SECONDS - started))
      tail -n 30 "$output" "$results/stderr.log"
      ;;
  esac
}

query() { nvidia-smi --id=0 --query-gpu="$1" --format=csv,noheader 2>/dev/null; }

check "contract" "$results/output.log" "$contract"
for name in vit_golden_test explain_golden_test bf16_golden_test; do
  check "$name" "$results/output.log" "$build/tests/golden/$name"
done
check "training_graphs_test" "$results/output.log" "$build/tests/train/training_graphs_test"
if [ $sanitizer -eq 0 ]; then
  skip "compute-sanitizer" "--no-sanitizer"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    check "compute-sanitizer $tool" "$results/output.log" \
      compute-sanitizer --tool "$tool" --error-exitcode 1 "$contract"
  done
else
  skip "compute-sanitizer" "not installed"
fi

# Clocks as they are while the benchmarks run, every two seconds; never set.
: >"$results/clocks.log"
while query clocks.sm,clocks.mem,power.draw >>"$results/clocks.log"; do sleep 2; done &
clocks=$!
# bench NAME PROGRAM ARGUMENTS...
bench() {
  local name=$1 program=$build/bench/$2
  shift 2
  if [ -x "$program" ]; then
    check "bench: $name" "$results/$name.json" "$program" --benchmark_format=json "$@"
  else
    skip "bench: $name" "$program was not built"
  fi
}
bench cuda_ops cuda_ops
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  torch=1
  # PyTorch brings libcudnn and libcudart, for where neither is installed.
  torch_libraries=$("$python" -c 'import glob, os, torch
root = os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia")
print(":".join(sorted(glob.glob(root + "/*/lib"))))' 2>/dev/null)
else
  torch=0 torch_libraries=
fi
LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$torch_libraries" bench cudnn_ops cudnn_ops
bench explain bench_explain --device=cuda
if [ $torch -eq 1 ]; then
  check "PyTorch: attention" "$results/attention_torch.json" "$python" bench/baselines/attention_torch.py
  for labels in 1 4; do
    for size in 224x224 360x640; do
      for precision in fp32 bf16; do
        explain=(--device cuda --size "$size" --labels "$labels" --precision "$precision" --repeats 10)
        for rows in 1024 4096; do
          for graph in "" --graph; do
            check "PyTorch: best $size $labels $precision $rows $graph" "$results/one.log" \
              "$python" bench/baselines/best_pytorch.py "${explain[@]}" --tile-rows "$rows" $graph
            [ ! -f "$results/one.log" ] || grep '^{' "$results/one.log" >>"$results/best_pytorch.jsonl"
          done
        done
        [ "$labels" -eq 1 ] || continue
        check "PyTorch: released $size $precision" "$results/one.log" \
          "$python" bench/baselines/released_algorithm.py "${explain[@]}"
        [ ! -f "$results/one.log" ] || grep '^{' "$results/one.log" >>"$results/released_algorithm.jsonl"
      done
    done
  done
  # DINO's step, in turns with PyTorch's, compiled; fed by the loader too where there are frames.
  if [ -x "$build/bench/bench_pretrain" ]; then
    pretrain=(--program "$build/bench/bench_pretrain" --device cuda --compile --cases s8:32,ti16:128
              --threads "$(nproc)" --warm-up 5 --steps 20)
    [ ! -d "$VITSNNA_SHARED/data/bdd_drive" ] || pretrain+=(--data "$VITSNNA_SHARED/data/bdd_drive")
    check "DINO's step beside PyTorch" "$results/pretrain.md" \
      "$python" bench/compare_pretrain.py "${pretrain[@]}"
  else
    skip "DINO's step beside PyTorch" "$build/bench/bench_pretrain was not built"
  fi
else
  skip "PyTorch: attention, explanations, DINO's step" "$python has no PyTorch that sees the GPU"
fi
kill "$clocks" 2>/dev/null
wait "$clocks" 2>/dev/null

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit and changes"
{
  echo "### $(date -u +%F), commit $commit"
  echo
  echo "$(query name), driver $(query driver_version), $(query memory.total) of memory, power limit" \
       "$(query power.limit), at most $(query clocks.max.sm) (SM) and $(query clocks.max.mem) (memory)."
  sort -t, -k1,1n "$results/clocks.log" | awk -F, 'NR == 1 { least = $1 } { most = $1 }
    END { if (NR) print "SM clock while the benchmarks ran: " least " to " most "." }'
  [ $torch -eq 0 ] || "$python" -c 'import torch
print(f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}.")'
  echo "ViT-S/8, 6 heads of 64; microseconds by CUDA events; a ceiling is a large product's or copy's rate in the same run."
} >"$results/machine.txt"

if [ ! -x "$build/bench/gpu_report" ]; then
  skip "tables" "$build/bench/gpu_report was not built"
elif [ $append -eq 1 ]; then
  if "$build/bench/gpu_report" "$results" >"$results/report.md"; then
    grep -qx '## On a GPU' docs/BENCHMARKS.md || printf '\n## On a GPU\n' >>docs/BENCHMARKS.md
    { echo; cat "$results/report.md"; } >>docs/BENCHMARKS.md
    [ ! -s "$results/pretrain.md" ] || { echo; cat "$results/pretrain.md"; } >>docs/BENCHMARKS.md
  else
    failed=1
  fi
fi

[ ! -s "$results/pretrain.md" ] || { echo; cat "$results/pretrain.md"; }
echo
"$build/cli/vitsnna" --version 2>/dev/null | grep -A 16 '^devices'
"$build/bench/gpu_report" --short "$results" 2>/dev/null || cat "$results/checks.txt"
exit $failed
