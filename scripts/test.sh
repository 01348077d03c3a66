#!/usr/bin/env bash
# The whole test suite, as continuous integration and a new user run it: installs packages, builds,
# and runs
#   release   every test
#   asan      the fast and the command-line tests under AddressSanitizer and UBSan
#   tsan      the threaded parts under ThreadSanitizer (clang and LLVM's OpenMP, whose barriers it sees)
#   fuzz      each fuzz target for a few seconds
# `scripts/test.sh release fuzz` runs only those stages. Closes with one line of totals; exit status
# 0 only if nothing failed. Environment: VITSNNA_SHARED (shared test data, default ../shared beside
# the checkout), VITSNNA_FUZZ_SECONDS (default 15), VITSNNA_JOBS (default: the processors).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
exec </dev/null
root=$PWD
jobs=${VITSNNA_JOBS:-$(nproc)}
export VITSNNA_SHARED=${VITSNNA_SHARED:-$root/../shared}
stages=("$@")
[ $# -gt 0 ] || stages=(release asan tsan fuzz)

summary=() skipped=()
total_passed=0 total_failed=0 total_skipped=0
started=$SECONDS

# A stage that did not get as far as running tests counts as one failure.
fail_stage() {
  summary+=("$1: FAILED: $2")
  total_failed=$((total_failed + 1))
}

# Adds up what the tests of build/$1 reported. A GoogleTest program leaves one XML file with a line
# for each of its cases; any other test, and a program that died or failed outside a case, counts as one.
count() {
  local stage=$1 results=$2 passed=0 failed=0 skips=0 name status cases bad skip
  while IFS=$'\t' read -r name status; do
    cases=0 bad=0 skip=0
    for report in "$results/gtest/$name.xml" "$results/gtest/$name"_[0-9]*.xml; do
      [ -f "$report" ] || continue
      read -r c b s < <(awk '
        /<testcase / { cases++; open = $0; counted = 0; if ($0 ~ /result="skipped"/) skip++
                       if ($0 ~ /status="notrun"/) cases-- }
        /<failure / && !counted { bad++; counted = 1 }
        END { print cases + 0, bad + 0, skip + 0 }' "$report")
      cases=$((cases + c)) bad=$((bad + b)) skip=$((skip + s))
      while IFS= read -r line; do skipped+=("$stage: $line"); done < <(awk '
        /<testcase / { name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
                       class = $0; sub(/.*classname="/, "", class); sub(/".*/, "", class) }
        /<skipped message="/ { why = $0; sub(/.*<skipped message="/, "", why); sub(/".*/, "", why)
                       sub(/^[^&]*&#x0A;/, "", why); gsub(/&#x0A;/, " ", why); gsub(/&quot;/, "\"", why)
                       gsub(/&apos;/, "'"'"'", why); gsub(/&lt;/, "<", why); gsub(/&gt;/, ">", why)
                       gsub(/&amp;/, "\\&", why); print class "." name ": " why }' "$report")
    done
    case "$status" in
      run) [ $cases -gt 0 ] || cases=1 ;;
      fail) [ $bad -gt 0 ] || { bad=1; [ $cases -gt 0 ] || cases=1; } ;;
      *) cases=1 skip=1; skipped+=("$stage: $name: not run ($status)") ;;
    esac
    passed=$((passed + cases - bad - skip)) failed=$((failed + bad)) skips=$((skips + skip))
  done < <(awk '/<testcase name="/ { name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
                                     status = $0; sub(/.* status="/, "", status); sub(/".*/, "", status)
                                     print name "\t" status }' "$results/ctest.xml")
  if [ $((passed + failed + skips)) -eq 0 ]; then fail_stage "$stage" "no test ran"; return; fi
  summary+=("$stage: $passed passed, $failed failed, $skips skipped")
  total_passed=$((total_passed + passed))
  total_failed=$((total_failed + failed))
  total_skipped=$((total_skipped + skips))
}

# stage NAME TARGET... -- CTEST OPTIONS...: configures the preset, builds the targets, runs the tests.
stage() {
  local name=$1 targets=() results=build/$1/results
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=(--target "$1"); shift; done
  shift
  echo "== $name: configure and build"
  if ! cmake --preset "$name"; then fail_stage "$name" "cmake --preset $name"; return; fi
  if ! cmake --build "build/$name" -j "$jobs" ${targets[@]+"${targets[@]}"}; then
    fail_stage "$name" "build"
    return
  fi
  echo "== $name: tests"
  rm -rf "$results"
  mkdir -p "$results/gtest"
  GTEST_OUTPUT="xml:$root/$results/gtest/" "${fixed_addresses[@]}" \
    ctest --test-dir "build/$name" --output-on-failure --output-junit "$root/$results/ctest.xml" "$@"
  local rc=$?
  if [ ! -f "$results/ctest.xml" ]; then fail_stage "$name" "ctest ended with $rc"; return; fi
  local before=$total_failed
  count "$name" "$results"
  if [ $rc -ne 0 ] && [ "$total_failed" -eq "$before" ]; then fail_stage "$name" "ctest ended with $rc"; fi
}

# The sanitizers' shadow memory wants the kernel's usual address layout, which some kernels vary too
# widely for it; where allowed, run without that.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed_addresses=(setarch "$(uname -m)" -R); fi

if ! scripts/install_packages.sh test; then
  fail_stage packages "scripts/install_packages.sh test"
  stages=()
fi
for name in ${stages[@]+"${stages[@]}"}; do
  case "$name" in
    release) stage release -- ;;
    asan) stage asan -- -L '^(unit|cli)$' -LE '^slow$' ;;
    tsan)
      archer=$(find /usr/lib/llvm-*/lib -name libarcher.so 2>/dev/null | sort -V | tail -n 1)
      OMP_TOOL_LIBRARIES=$archer \
        TSAN_OPTIONS="ignore_noninstrumented_modules=1 suppressions=$root/tests/tsan.supp ${TSAN_OPTIONS:-}" \
        stage tsan threaded_tests -- -L '^threaded$' ;;
    fuzz) stage fuzz fuzz_targets -- -L '^fuzz$' ;;
    *) fail_stage "$name" "no such stage; wanted release, asan, tsan or fuzz" ;;
  esac
done

echo
echo "== Summary ($((SECONDS - started)) s)"
if [ ${#skipped[@]} -gt 0 ]; then
  echo "Skipped, and why:"
  printf '  %s\n' "${skipped[@]}"
fi
printf '%s\n' "${summary[@]}"
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ "$total_failed" -eq 0 ]
