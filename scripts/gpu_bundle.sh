#!/usr/bin/env bash
# What scripts/gpu_check.sh runs, in one small folder for a machine with a driver and little else: the programs of
# a build, stripped, with the libraries that such a machine may not have. The kernels are in every program and are
# packed once (zstd over a long window); the unpacker comes along.
#   scripts/gpu_bundle.sh [BUILD_FOLDER [BUNDLE]]     (default build/release build/gpu_bundle)
#   there: BUNDLE/unpack.sh FOLDER && scripts/gpu_check.sh --quick FOLDER
# Fails where a program would still want a library that is neither in the bundle nor of the C runtime, and where
# the bundle is larger than 64 MiB. libcublasLt is not carried (it alone is larger): it comes with CUDA or PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release} bundle=${2:-build/gpu_bundle}
most_mib=64
programs=(
  tests/contract/contract_cuda
  tests/golden/{vit,explain,bf16}_golden_test
  tests/model/packed_pass_test
  tests/train/{training_graphs,dino_golden,augment_golden,pretraining,finetuning,features}_test
  bench/{cuda_ops,cudnn_ops,bench_explain,bench_pretrain_crops,gpu_report}
)
# The C runtime, which every machine has, and the driver's own.
system='^(linux-vdso|ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libcuda)\.so'

# wanted LIBRARY_PATH PROGRAM...: "name => path" of all that the programs load.
wanted() {
  local path=$1
  shift
  for program in "$@"; do
    env -i PATH=/usr/bin:/bin LD_LIBRARY_PATH="$path" ldd "$program"
  done | awk '$2 == "=>" { print $1, ($3 == "not" ? "missing" : $3) }' | sort -u
}

staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
mkdir "$staged/lib"
found=()
for program in "${programs[@]}"; do
  if [ ! -x "$build/$program" ]; then
    echo "gpu_bundle: $build/$program: not built, left out" >&2
    continue
  fi
  mkdir -p "$staged/$(dirname "$program")"
  strip -o "$staged/$program" "$build/$program"
  found+=("$staged/$program")
done
[ -x "$staged/tests/contract/contract_cuda" ] ||
  { echo "gpu_bundle: $build has no contract_cuda: build the release or cuda preset with a CUDA toolkit" >&2; exit 1; }

while read -r name path; do
  [[ $name =~ $system ]] && continue
  [ "$path" != missing ] || { echo "gpu_bundle: $name: wanted by a program, not found here" >&2; exit 1; }
  cp -L "$path" "$staged/lib/$name"
  strip --strip-unneeded "$staged/lib/$name"
done < <(wanted "" "${found[@]}")

# What the staged programs load from outside of the bundle.
outside=$(wanted "$staged/lib" "${found[@]}" | awk -v lib="$staged/lib/" 'index($2, lib) != 1 { print $1 }' |
          grep -Ev "$system" || true)
[ -z "$outside" ] || { echo "gpu_bundle: still loaded from the system: $outside" >&2; exit 1; }

rm -rf "$bundle"
mkdir -p "$bundle/unpacker"
tar -C "$staged" -c . | zstd -q -12 --long=27 -T0 -o "$bundle/programs.tar.zst"
cp -L "$(command -v zstd)" "$bundle/unpacker/zstd"
while read -r name path; do
  [[ $name =~ $system ]] || cp -L "$path" "$bundle/unpacker/$name"
done < <(wanted "" "$bundle/unpacker/zstd")
cat >"$bundle/unpack.sh" <<'UNPACK'
#!/usr/bin/env bash
# unpack.sh FOLDER: the programs and their libraries (scripts/gpu_bundle.sh), as scripts/gpu_check.sh takes them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
LD_LIBRARY_PATH=$here/unpacker "$here/unpacker/zstd" -q -d --long=27 -c "$here/programs.tar.zst" | tar -C "$1" -x
UNPACK
chmod +x "$bundle/unpack.sh"

kib=$(du -sk "$bundle" | cut -f1)
echo "$bundle: $((kib / 1024)) MiB, ${#found[@]} programs, $(find "$staged/lib" -type f | wc -l) libraries"
if [ "$kib" -gt $((most_mib * 1024)) ]; then
  echo "gpu_bundle: $bundle: $((kib / 1024)) MiB, at most $most_mib wanted" >&2
  exit 1
fi
