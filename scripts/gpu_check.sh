#!/usr/bin/env bash
# Everything that wants a GPU, from built binaries, the cheapest and most telling first: the contract suite
# natively, training, the golden vectors in fp32 and bf16; then DINO's step, ops and explanations timed, beside
# cuDNN and PyTorch in the same run; last compute-sanitizer's four tools over the contract suite. Adds the
# tables, with machine and commit, to docs/BENCHMARKS.md (not with --no-append or --quick).
#   scripts/gpu_check.sh [--quick] [--no-append] [--no-sanitizer] [BUILD_FOLDER]     (default build/release)
# --quick ends within eight minutes: no PyTorch, no cuDNN, no sanitizer, and what is left when the time is up is
# named. No check runs for ever: each has a limit. However the script ends, cut by a signal too, it closes with a
# short table of what was seen.
#
# Needs a driver, libcublasLt and the build; compute-sanitizer, libcudnn and PyTorch (VITSNNA_PYTHON, default
# python3) are used where they are, and named where they are not. Changes no setting of the GPU.
# On a machine that has no more than that, bring the binaries from where they were built:
#   cmake --preset release && cmake --build build/release        (presets release or cuda)
#   scripts/gpu_bundle.sh                                        (build/gpu_bundle, under 64 MiB)
#   ... there: build/gpu_bundle/unpack.sh build/gpu && scripts/gpu_check.sh --quick build/gpu
# VITSNNA_SHARED names the golden vectors (default ../shared); tests skip by name what they do not find.
# VITSNNA_GPU_RESULTS keeps what the programs print in that folder.
# Exit status: 0 all passed, 1 something failed or ran out of time, 77 there is no GPU (nothing was checked).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
append=1 sanitizer=1 quick=0 build=build/release
for argument in "$@"; do
  case "$argument" in
    --quick) quick=1 append=0 sanitizer=0 ;;
    --no-append) append=0 ;;
    --no-sanitizer) sanitizer=0 ;;
    -*) echo "usage: $0 [--quick] [--no-append] [--no-sanitizer] [BUILD_FOLDER]" >&2; exit 2 ;;
    *) build=$argument ;;
  esac
done
python=${VITSNNA_PYTHON:-python3}
export VITSNNA_SHARED=${VITSNNA_SHARED:-$PWD/../shared} VITSNNA_TEST_DEVICE=cuda
# An unpacked bundle has its libraries beside it.
[ ! -d "$build/lib" ] || export LD_LIBRARY_PATH=$PWD/$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
deadline=$((quick ? SECONDS + 450 : SECONDS + 7 * 24 * 3600))

contract=$build/tests/contract/contract_cuda
if [ ! -x "$contract" ]; then
  echo "gpu_check: $contract: not there, build the release or cuda preset first" >&2
  exit 1
fi
why=$(timeout 60 "$contract" --gtest_list_tests 2>&1 >/dev/null)
if [ $? -eq 77 ]; then
  echo "gpu_check: $(tail -n 1 <<<"$why")" >&2
  echo "gpu_check: skipped, all for want of a GPU: contract suite, training, golden vectors, compute-sanitizer," \
       "benchmarks of training, ops and explanations, cuDNN, PyTorch; docs/BENCHMARKS.md is unchanged" >&2
  exit 77
fi

results=${VITSNNA_GPU_RESULTS:-$(mktemp -d)}
mkdir -p "$results"
rm -f "$results"/*.json "$results"/*.jsonl "$results"/*.md "$results"/*.txt
failed=0 child="" clocks="" current=""

# However it ends: what still runs is ended, then the short table.
finish() {
  local status=$?
  trap - EXIT
  for process in $child $clocks; do kill "$process" 2>/dev/null; done
  [ -z "$current" ] || { failed=1; row "$current" CUT 0; }
  echo
  "$build/cli/vitsnna" --version 2>/dev/null | grep -A 16 '^devices'
  "$build/bench/gpu_report" --short "$results" 2>/dev/null || cat "$results/checks.txt" 2>/dev/null
  [ ! -s "$results/pretrain.md" ] || cat "$results/pretrain.md"
  [ -n "${VITSNNA_GPU_RESULTS:-}" ] || rm -rf "$results"
  [ "$status" -ne 0 ] || status=$failed
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# $1: what; $2: how it went; $3: seconds
row() { printf '%-40s %-8s %5d s\n' "$1" "$2" "$3" | tee -a "$results/checks.txt"; }
skip() { printf '%-40s skipped: %s\n' "$1" "$2" | tee -a "$results/checks.txt"; }

# $1: name, $2: seconds at most, $3: file for standard output, then a command. The end of what it says is shown
# when it fails; status 77 means that it had nothing to run on, and its last line why.
check() {
  local name=$1 limit=$2 output=$3 started=$SECONDS status
  shift 3
  if [ $((deadline - SECONDS)) -lt 5 ]; then
    failed=1
    skip "$name" "no time left"
    return
  fi
  [ "$limit" -le $((deadline - SECONDS)) ] || limit=$((deadline - SECONDS))
  current=$name
  # In the background, so that a signal is taken at once.
  timeout --kill-after=5 "$limit" "$@" >"$output" 2>"$results/stderr.log" &
  child=$!
  wait "$child"
  status=$?
  child="" current=""
  case $status in
    0) row "$name" passed $((SECONDS - started)) ;;
    77) skip "$name" "$(tail -n 1 "$results/stderr.log")"; rm -f "$output" ;;
    124 | 137)
      failed=1
      row "$name" TIMEOUT $((SECONDS - started))
      rm -f "$output"
      ;;
    *)
      failed=1
      row "$name" FAILED $((SECONDS - started))
      tail -n 30 "$output" "$results/stderr.log"
      ;;
  esac
}

# test FOLDER NAME SECONDS
test_program() {
  if [ -x "$build/tests/$1/$2" ]; then
    check "$2" "$3" "$results/output.log" "$build/tests/$1/$2"
  else
    skip "$2" "$build/tests/$1/$2 was not built"
  fi
}

# bench NAME SECONDS PROGRAM ARGUMENTS...
bench() {
  local name=$1 limit=$2 program=$build/bench/$3
  shift 3
  if [ -x "$program" ]; then
    check "bench: $name" "$limit" "$results/$name.json" "$program" --benchmark_format=json "$@"
  else
    skip "bench: $name" "$program was not built"
  fi
}

query() { nvidia-smi --id=0 --query-gpu="$1" --format=csv,noheader 2>/dev/null; }

check "contract" 150 "$results/output.log" "$contract"
test_program train training_graphs_test 60
test_program model packed_pass_test 60
test_program golden vit_golden_test 60
test_program train dino_golden_test 60
test_program train pretraining_test 60
test_program train finetuning_test 60
test_program train features_test 60
test_program train augment_golden_test 60
test_program golden bf16_golden_test 120
test_program golden explain_golden_test 120

# Clocks as they are while the benchmarks run, every two seconds; never set.
: >"$results/clocks.log"
while query clocks.sm,clocks.mem,power.draw >>"$results/clocks.log"; do sleep 2; done &
clocks=$!

# DINO's step: with images read by the program where it can start, else on ready crops alone.
pretrain=""
for program in bench_pretrain bench_pretrain_crops; do
  if "$build/bench/$program" --help >/dev/null 2>&1; then pretrain=$build/bench/$program; break; fi
done
# step MODEL IMAGES PRECISION MORE...
step() {
  local name="bench: DINO's step $1 $2 $3"
  check "$name" 90 "$results/one.log" "$pretrain" --device cuda --model "$1" --batch "$2" --precision "$3" \
    --threads "$(nproc)" --warm-up 4 --steps 10 "${@:4}"
  [ ! -f "$results/one.log" ] || grep '^{' "$results/one.log" >>"$results/pretrain.jsonl"
}
if [ -n "$pretrain" ]; then
  step s8 32 bf16 --ops
  step s8 32 fp32
  [ $quick -eq 1 ] || step ti16 128 bf16
else
  skip "bench: DINO's step" "neither bench_pretrain nor bench_pretrain_crops starts from $build/bench"
fi
if [ $quick -eq 1 ]; then
  bench explain 90 bench_explain --device=cuda --benchmark_filter='snna/360x640/labels:1'
  bench cuda_ops 120 cuda_ops --benchmark_filter='bf16/(785|5x785)'
  skip "cuDNN, PyTorch, compute-sanitizer" "--quick"
  exit $failed
fi
bench explain 600 bench_explain --device=cuda
bench cuda_ops 1200 cuda_ops
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  torch=1
  # PyTorch brings libcudnn and libcudart, for where neither is installed.
  torch_libraries=$("$python" -c 'import glob, os, torch
root = os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia")
print(":".join(sorted(glob.glob(root + "/*/lib"))))' 2>/dev/null)
else
  torch=0 torch_libraries=
fi
LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$torch_libraries" bench cudnn_ops 600 cudnn_ops
if [ $torch -eq 1 ]; then
  # DINO's step, in turns with PyTorch's, compiled; fed by the loader too where there are frames.
  if [ -n "$pretrain" ]; then
    compare=(--program "$pretrain" --device cuda --compile --cases s8:32,ti16:128 --threads "$(nproc)"
             --warm-up 5 --steps 20)
    if [ -d "$VITSNNA_SHARED/data/bdd_drive" ] && [ "$pretrain" = "$build/bench/bench_pretrain" ]; then
      compare+=(--data "$VITSNNA_SHARED/data/bdd_drive")
    fi
    check "DINO's step beside PyTorch" 1800 "$results/pretrain.md" \
      "$python" bench/compare_pretrain.py "${compare[@]}"
  fi
  check "PyTorch: attention" 600 "$results/attention_torch.json" \
    "$python" bench/baselines/attention_torch.py
  for labels in 1 4; do
    for size in 224x224 360x640; do
      for precision in fp32 bf16; do
        explain=(--device cuda --size "$size" --labels "$labels" --precision "$precision" --repeats 10)
        for rows in 1024 4096; do
          for graph in "" --graph; do
            check "PyTorch: best $size $labels $precision $rows $graph" 300 "$results/one.log" \
              "$python" bench/baselines/best_pytorch.py "${explain[@]}" --tile-rows "$rows" $graph
            [ ! -f "$results/one.log" ] || grep '^{' "$results/one.log" >>"$results/best_pytorch.jsonl"
          done
        done
        [ "$labels" -eq 1 ] || continue
        check "PyTorch: released $size $precision" 300 "$results/one.log" \
          "$python" bench/baselines/released_algorithm.py "${explain[@]}"
        [ ! -f "$results/one.log" ] || grep '^{' "$results/one.log" >>"$results/released_algorithm.jsonl"
      done
    done
  done
else
  skip "PyTorch: DINO's step, attention, explanations" "$python has no PyTorch that sees the GPU"
fi
kill "$clocks" 2>/dev/null
wait "$clocks" 2>/dev/null
clocks=""

if [ $sanitizer -eq 0 ]; then
  skip "compute-sanitizer" "--no-sanitizer"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    check "compute-sanitizer $tool" 3600 "$results/output.log" \
      compute-sanitizer --tool "$tool" --error-exitcode 1 "$contract"
  done
else
  skip "compute-sanitizer" "not installed"
fi

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
exit $failed
