#!/usr/bin/env bash
# Shows what the project does: builds the binary and explains photographs into demo-out/.
#   scripts/demo.sh                   pictures of the shared data, else one made here
#   scripts/demo.sh PICTURE...        your own
# Environment: VITSNNA_MODEL (a checkpoint to explain with), VITSNNA_SHARED (default ../shared).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
shared=$(realpath -m "${VITSNNA_SHARED:-$root/../shared}")
output=$root/demo-out

pictures=()
for picture in "$@"; do
  [ -r "$picture" ] || { echo "demo: $picture: cannot be read" >&2; exit 1; }
  pictures+=("$(realpath "$picture")")
done
[ -z "${VITSNNA_MODEL:-}" ] || VITSNNA_MODEL=$(realpath "$VITSNNA_MODEL")
cd "$root"

echo "== Packages and build"
scripts/install_packages.sh build
cmake --preset binary >build.log 2>&1 || { cat build.log >&2; exit 1; }
cmake --build build/binary --target vitsnna -j "$(nproc)"
rm -f build.log
vitsnna=build/binary/cli/vitsnna
"$vitsnna" --version

tiny=$shared/data/vit_tiny/vit_tiny_patch16_224.safetensors
meaningless=
if [ -n "${VITSNNA_MODEL:-}" ]; then
  model=$VITSNNA_MODEL
elif [ -f "$tiny" ]; then
  model=$tiny
else
  model=random
  meaningless="The model is a ViT-S/8 of seeded random weights, for want of a trained one: THESE MAPS MEAN NOTHING.
They show that everything runs. VITSNNA_MODEL=CHECKPOINT explains with a real model."
fi

# A road under a sky, with a car on it, as a BMP: only there to have something to look at.
make_picture() {
  local bytes
  bytes=$(awk '
    function put(value, count) { for (; count > 0; count--) { printf "\\%03o", value % 256; value = int(value / 256) } }
    BEGIN {
      width = 320; height = 180
      printf "BM"; put(54 + 3 * width * height, 4); put(0, 4); put(54, 4)        # file header
      put(40, 4); put(width, 4); put(height, 4); put(1, 2); put(24, 2); put(0, 24)
      for (y = height - 1; y >= 0; y--) for (x = 0; x < width; x++) {
        r = 110 + y / 3; g = 160 + y / 4; b = 225                                # sky
        if (y > 80) {
          r = 70; g = 120 + (x * 7 + y * 13) % 17; b = 60                        # verge
          half = (y - 80) * 1.3 + 6; d = x - 160; if (d < 0) d = -d
          if (d < half) r = g = b = 85 + (x * 5 + y * 3) % 9                     # road
          if (d < half * .04 && int(y / 9) % 2) r = g = b = 235                  # lane mark
        }
        if (x > 175 && x < 215 && y > 92 && y < 122) { r = 190; g = 30; b = 30 } # car
        put(int(b), 1); put(int(g), 1); put(int(r), 1)
      }
    }')
  # shellcheck disable=SC2059  # the escapes are the content
  LC_ALL=C printf "$bytes" >"$1"
}

explain() { "$vitsnna" explain --model "$model" --output "$output" --force "$@"; }

echo "== Explain"
rm -rf "$output"
mkdir -p "$output"
methods=rawatt,rollout,genericatt,attin,snna
if [ ${#pictures[@]} -gt 0 ]; then
  explain --method "$methods" "${pictures[@]}"
elif [ "$model" = "$tiny" ] && [ -d "$shared/data/xai_pictures" ]; then
  of=$shared/data/xai_pictures
  # One photograph, two answers: 386 is the African elephant, 340 the zebra.
  output=$output/elephant_or_zebra explain --method "$methods" --label 386,340 "$of/el2_elephant_zebra.png"
  output=$output/predicted explain --method "$methods" "$of/giraffe.jpg" "$of/catdog.png" "$of/swan.jpg"
else
  mkdir -p "$output/input"
  make_picture "$output/input/road.bmp"
  explain --method "$methods" --label all "$output/input/road.bmp"
fi

echo
if [ -n "$meaningless" ]; then printf '%s\n\n' "$meaningless"; fi
echo "Contact sheets, one row a label and one column a method:"
find "$output" -name '*contact_sheet*.png' | sort | sed 's/^/  /'
echo "Each map over its photograph (.png) and as numbers (.npy) lies beside them."
cat <<END

To explain your own:
  scripts/demo.sh PICTURE...
  $vitsnna explain --model $model PICTURE... --output DIR --method snna --label predicted
END
