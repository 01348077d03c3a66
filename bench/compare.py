#!/usr/bin/env python3
"""vitsnna against two PyTorch programs on the same weights, machine and threads: one run, one table.

Every program explains the same size twice in one process; the second explanation is timed (of vitsnna
the stages that compute, of PyTorch the call). Each says how much memory its process took at its peak
(VmHWM: the ru_maxrss that a parent gets starts from the parent's own size), and the process's life is
timed too. Programs take turns, and medians are shown.

  python bench/compare.py --vitsnna build/release/cli/vitsnna [--append]
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BENCHMARKS = HERE.parent / "docs" / "BENCHMARKS.md"
NOT_COMPUTE = {"decode", "hash", "render", "write"}


def run(command):
    """Standard output and seconds of a process; an error if it fails."""
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout, seconds


def run_vitsnna(arguments, folder, size, labels, precision):
    output = folder / "explained"
    _, wall = run([
        arguments.vitsnna, "explain", "--model", folder / "model.safetensors", folder / f"{size}.npy",
        "--output", output, "--force", "--quiet", "--method", "snna", "--samples", arguments.samples,
        "--label", ",".join(map(str, range(labels))), "--precision", precision,
        "--threads", arguments.threads])
    manifest = json.loads((output / "manifest.json").read_text())
    stages = manifest["inputs"][-1]["stages"]
    return {
        "seconds": sum(cost["seconds"] for name, cost in stages.items() if name not in NOT_COMPUTE),
        "wall": wall, "peak": manifest["peak_memory_bytes"] / 2**20}


def run_torch(program, arguments, folder, size, labels, precision):
    text, wall = run([
        sys.executable, HERE / "baselines" / f"{program}.py", "--model", folder / "model.safetensors",
        "--size", size, "--labels", labels, "--samples", arguments.samples, "--precision", precision,
        "--threads", arguments.threads, "--repeats", 1])
    report = json.loads(text)
    return {"seconds": report["seconds"], "wall": wall, "peak": report["process_peak_mib"]}


def prepare(folder, sizes):
    """The model that every program reads and, for each size, a batch of two normalised images."""
    sys.path.insert(0, str(HERE / "baselines"))
    import numpy
    from safetensors.torch import save_file
    import vit

    save_file(vit.random_weights(0), folder / "model.safetensors")
    for size in sizes:
        height, width = map(int, size.split("x"))
        images = numpy.random.default_rng(0).standard_normal((2, 3, height, width), numpy.float32)
        numpy.save(folder / f"{size}.npy", images)


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
        elif line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name}, {os.cpu_count()} processors, {', '.join(known)}"


def commit():
    here = ["git", "-C", HERE]
    text = subprocess.run(here + ["rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(here + ["status", "--porcelain"], capture_output=True, text=True)
    return (text.stdout.strip() or "unknown") + (" and changes" if changed.stdout.strip() else "")


def cell(result):
    return f"{result['seconds']:.2f} s, {result['peak']:.0f} MiB" if result else "-"


def ratio(other, ours):
    return f"{other['seconds'] / ours['seconds']:.2f}" if other else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vitsnna", default=HERE.parent / "build/release/cli/vitsnna")
    parser.add_argument("--sizes", default="224x224,360x640")
    parser.add_argument("--labels", default="1,4", help="how many labels")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program")
    parser.add_argument("--no-released", action="store_true", help="leave out the released algorithm")
    parser.add_argument("--append", action="store_true", help=f"append the table to {BENCHMARKS.name}")
    arguments = parser.parse_args()
    sizes = arguments.sizes.split(",")
    cases = [(size, int(labels), precision) for size in sizes
             for labels in arguments.labels.split(",") for precision in arguments.precisions.split(",")]
    programs = {"vitsnna": run_vitsnna,
                "best": lambda *case: run_torch("best_pytorch", *case)}
    if not arguments.no_released:
        programs["released"] = lambda *case: run_torch("released_algorithm", *case)

    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder, sizes)
        for round_ in range(arguments.rounds):
            for case in cases:
                for program, runner in programs.items():
                    # The released algorithm takes minutes: once, in its own precision and label count.
                    if program == "released" and (round_ or case[1:] != (1, "fp32")):
                        continue
                    result = runner(arguments, folder, *case)
                    results.setdefault((case, program), []).append(result)
                    print(f"round {round_ + 1} {case} {program}: {cell(result)}, process "
                          f"{result['wall']:.1f} s", file=sys.stderr, flush=True)

    def median(case, program):
        runs = results.get((case, program))
        return runs and {key: statistics.median(one[key] for one in runs) for key in runs[0]}

    import torch
    lines = [
        f"### {datetime.date.today()}, commit {commit()}", "",
        f"{machine()}; {arguments.threads} threads; PyTorch {torch.__version__}; ViT-S/8, "
        f"m = {arguments.samples}; medians of {arguments.rounds} (released: 1).",
        "Seconds of one explanation, warm; peak memory of the whole process.", "",
        "| size | labels | precision | vitsnna | best PyTorch | times as fast | released algorithm | "
        "times as fast | process: vitsnna | best PyTorch |",
        "|---|---|---|---|---|---|---|---|---|---|"]
    for case in cases:
        ours, best, released = (median(case, name) for name in ("vitsnna", "best", "released"))
        lines.append(f"| {case[0]} | {case[1]} | {case[2]} | {cell(ours)} | {cell(best)} | "
                     f"{ratio(best, ours)} | {cell(released)} | {ratio(released, ours)} | "
                     f"{ours['wall']:.1f} s | {best['wall']:.1f} s |")
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.append:
        with open(BENCHMARKS, "a", encoding="utf-8") as file:
            file.write("\n" + table)


if __name__ == "__main__":
    main()
