#!/usr/bin/env python3
"""DINO's training step: vitsnna against PyTorch on the same machine and threads: one run, one table.

Both take crops that are ready, in processes of their own, in turns; of each process the median step
after a warm-up counts, and of its turns the median. On a machine with other work on it the wall clock
says little: the time that the step took of the processors is shown beside it. With --data the loader
feeds vitsnna once more from a set of images, and its data stall is shown.

  python bench/compare_pretrain.py --program build/release/bench/bench_pretrain [--append]
"""

import argparse
import datetime
import json
import statistics
import sys

from compare import BENCHMARKS, HERE, commit, machine, run

HEADING = "## DINO's training step, against PyTorch"


def run_vitsnna(arguments, case, data=None):
    model, batch, precision = case
    words = [arguments.program, "--model", model, "--batch", batch, "--precision", precision,
             "--threads", arguments.threads, "--steps", arguments.steps, "--warm-up", arguments.warm_up,
             "--device", arguments.device]
    return json.loads(run(words + (["--data", data] if data else []))[0])


def run_torch(arguments, case):
    model, batch, precision = case
    words = [sys.executable, HERE / "baselines" / "dino_torch.py", "--model", model, "--batch", batch,
             "--precision", precision, "--threads", arguments.threads, "--steps", arguments.steps,
             "--warm-up", arguments.warm_up, "--device", arguments.device]
    return json.loads(run(words + (["--compile"] if arguments.compile else []))[0])


def memory(result, device):
    return result["process_peak_mib" if device == "cpu" else "device_mib"]


def row(case, ours, other, fed, device):
    share = f"{100 * ours['share_of_peak']:.0f}% of {ours['peak_gflops_per_second']:.0f} GFLOP/s"
    stall = f"{fed['images_per_second']:.2f}, {100 * fed['data_stall']:.1f}%" if fed else "-"
    mib, other_mib = memory(ours, device), memory(other, device)
    return (f"| {case[0]}, {case[1]} | {case[2]} | {ours['images_per_second']:.2f}, {share} | "
            f"{other['images_per_second']:.2f} | {other['seconds'] / ours['seconds']:.2f} | "
            f"{ours['processor_seconds']:.2f} s | {other['processor_seconds']:.2f} s | "
            f"{other['processor_seconds'] / ours['processor_seconds']:.2f} | "
            f"{mib:.0f} MiB | {other_mib:.0f} MiB | {mib / other_mib:.2f} | {stall} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", default=HERE.parent / "build/release/bench/bench_pretrain")
    parser.add_argument("--cases", default="s8:2,ti16:8", help="model:images of a step")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="timed in each process")
    parser.add_argument("--warm-up", type=int, default=1, help="steps before them")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each program")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="PyTorch with torch.compile")
    parser.add_argument("--data", help="a set of images for vitsnna's loader")
    parser.add_argument("--append", action="store_true", help=f"append the table to {BENCHMARKS.name}")
    arguments = parser.parse_args()
    cases = [(model, int(batch), precision)
             for model, batch in (case.split(":") for case in arguments.cases.split(","))
             for precision in arguments.precisions.split(",")]

    results = {}
    for round_ in range(arguments.rounds):
        for case in cases:
            turns = {"vitsnna": run_vitsnna, "PyTorch": run_torch}
            if arguments.data and round_ == 0:
                turns["fed"] = lambda *both: run_vitsnna(*both, arguments.data)
            for name, turn in turns.items():
                result = turn(arguments, case)
                results.setdefault((case, name), []).append(result)
                print(f"round {round_ + 1} {case} {name}: {result['seconds']:.3f} s a step, "
                      f"{result['processor_seconds']:.3f} s of the processors, "
                      f"{memory(result, arguments.device):.0f} MiB", file=sys.stderr, flush=True)

    def median(case, name):
        runs = results.get((case, name))
        return runs and {key: statistics.median(one[key] for one in runs)
                         for key, value in runs[0].items() if isinstance(value, (int, float))}

    where, torch = machine(), next(one for (_, name), one in results.items() if name == "PyTorch")[0]["torch"]
    if arguments.device == "cuda":
        import torch as pytorch
        where = f"{pytorch.cuda.get_device_name()}; {where}"
    lines = [
        f"### {datetime.date.today()}, commit {commit()}", "",
        f"{where}; {arguments.threads} threads; PyTorch {torch}"
        f"{', compiled' if arguments.compile else ''}; medians of {arguments.rounds} turns of "
        f"{arguments.steps} steps.",
        "2 global and 8 local crops an image, head of 65536, no drop path (fed by the loader: .1); a share is of "
        "what a large product reached in the same run; memory is " + ("what the steps took of the GPU's, caches and libraries included (cudaMemGetInfo)"
                                         if arguments.device == "cuda" else "the peak of the whole process")
        + ".", "",
        "| model, batch | precision | vitsnna: images/s, share | PyTorch: images/s | times as fast | "
        "processor time: vitsnna | PyTorch | ratio | memory: vitsnna | PyTorch | ratio | "
        "fed by the loader: images/s, stall |",
        "|" + "---|" * 12]
    lines += [row(case, median(case, "vitsnna"), median(case, "PyTorch"), median(case, "fed"),
                  arguments.device) for case in cases]
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.append:
        with open(BENCHMARKS, "a+", encoding="utf-8") as file:
            file.seek(0)
            if HEADING not in file.read():
                file.write(f"\n{HEADING}\n")
            file.write("\n" + table)


if __name__ == "__main__":
    main()
