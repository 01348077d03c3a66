#!/usr/bin/env bash
# Puts the headers of cuDNN and of its C++ frontend into external/cudnn (not in git), from NVIDIA's
# wheels on PyPI, so that bench/cudnn_ops can be built; the product needs neither. Does nothing where
# they are. VITSNNA_PYTHON names a Python with pip (default python3).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=external/cudnn
cuda=${CUDA_HOME:-/usr/local/cuda}
if [ -f "$folder/include/cudnn_frontend.h" ]; then
  for place in "$folder" "$cuda"; do
    if [ -f "$place/include/cudnn_graph.h" ]; then exit 0; fi
  done
fi
python=${VITSNNA_PYTHON:-python3}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
fetch() { "$python" -m pip download --quiet --no-deps --dest "$wheels" "$@"; }
fetch nvidia-cudnn-frontend
# The library's wheel is some 600 MB for its headers' sake: only where CUDA's folder has none.
[ -f "$cuda/include/cudnn_graph.h" ] || fetch nvidia-cudnn-cu13
mkdir -p "$folder/include"
"$python" - "$wheels" "$folder" <<'PYTHON'
import pathlib, sys, zipfile
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            before, found, below = name.partition("include/")
            if found and before in ("", "nvidia/cudnn/") and below.endswith((".h", ".hpp")):
                target = pathlib.Path(sys.argv[2], "include", below)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
PYTHON
echo "cuDNN's headers are in $folder/include"
