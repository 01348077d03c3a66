"""Arguments, timing and memory of the two baselines, and the check that they agree."""

import argparse
import importlib
import json
import statistics
import sys
import time

import torch

import vit


def memory_mib(field):
    """VmHWM (peak) or VmRSS (now) of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":"))


def problem(arguments, dtype):
    if arguments.model:
        from safetensors.torch import load_file
        weights = load_file(arguments.model)
    else:
        weights = vit.random_weights(arguments.seed)
    model = vit.build(weights, arguments.heads, dtype)
    height, width = (int(side) for side in arguments.size.split("x"))
    generator = torch.Generator().manual_seed(arguments.seed)
    image = torch.randn(3, height, width, generator=generator)
    noise = 0.15 * (image.max() - image.min()) * torch.randn(
        arguments.samples, 3, height, width, generator=generator)
    device = arguments.device
    return model.to(device), image.to(device, dtype), noise.to(device, dtype)


def captured(explain, *operands):
    """The same explanation replayed as a CUDA graph: what a launch-bound PyTorch can gain."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            explain(*operands)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        explain(*operands)
    return graph.replay


def check(explain, other, arguments):
    """Both baselines on a small model in float64: relative L2 distance below 1e-10, or an error."""
    weights = vit.random_weights(0, embed_dim=128, depth=3, heads=2, trained_grid=6)
    model = vit.build({name: value * 4 for name, value in weights.items()}, 2, torch.float64)
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(3, 40, 96, generator=generator, dtype=torch.float64)
    noise = 0.3 * torch.randn(3, 3, 40, 96, generator=generator, dtype=torch.float64)
    labels = [2, 0, 3]
    ours = explain(model, image, noise, labels).detach()
    theirs = importlib.import_module(other).explain(model, image, noise, labels).detach()
    distance = float((ours - theirs).norm() / theirs.norm())
    print(json.dumps({"compared_with": other, "relative_l2": distance}))
    if not distance < 1e-10:
        raise SystemExit(f"the two baselines differ by {distance:.2e} relative L2, below 1e-10 wanted")


def main(explain, compared_with):
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", help="safetensors file; default: seeded random ViT-S/8 of four classes")
    parser.add_argument("--heads", type=int, default=0, help="default: width / 64")
    parser.add_argument("--size", default="224x224", help="HxW of the random input")
    parser.add_argument("--labels", type=int, default=1, help="how many labels, 0 .. labels - 1")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--graph", action="store_true", help="on CUDA: replay the explanation as a graph")
    parser.add_argument("--tile-rows", type=int, help="query rows of a tile of the relevance chain")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs after one warm-up")
    parser.add_argument("--no-warm-up", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="compare with the other baseline and stop")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        check(explain, compared_with, arguments)
        return
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.precision]
    model, image, noise = problem(arguments, dtype)
    labels = list(range(arguments.labels))
    if arguments.tile_rows:
        sys.modules[explain.__module__].TILE_ROWS = arguments.tile_rows
    on_gpu = arguments.device == "cuda"
    action = lambda: explain(model, image, noise, labels)
    if arguments.graph:
        action = captured(explain, model, image, noise, labels)
    start_mib = memory_mib("VmRSS")
    seconds = []
    for _ in range(arguments.repeats + (0 if arguments.no_warm_up else 1)):
        if on_gpu:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        action()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    timed = seconds if arguments.no_warm_up else seconds[1:]
    peak_mib = memory_mib("VmHWM")
    print(json.dumps({
        "program": explain.__module__ if explain.__module__ != "__main__" else parser.prog,
        "device": arguments.device, "size": arguments.size, "labels": arguments.labels,
        "precision": arguments.precision, "graph": arguments.graph, "tile_rows": arguments.tile_rows,
        "gpu_peak_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None,
        "seconds": statistics.median(timed), "all_seconds": [round(s, 4) for s in seconds],
        "peak_over_start_mib": round(peak_mib - start_mib, 1), "process_peak_mib": round(peak_mib, 1),
        "torch": torch.__version__}))
