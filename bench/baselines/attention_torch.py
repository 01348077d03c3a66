"""PyTorch's fused attention, forward and backward, at the token counts that the kernels are aimed
at: cuDNN's, FlashAttention's and the memory-efficient kernel, in bf16, head_dim 64. One JSON object,
under the names of bench/cuda_ops; --device cpu --smoke only shows that this program runs."""

import argparse
import json
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

TOKENS = (197, 785, 1370, 3601)
HEADS, HEAD_DIM = 6, 64
ITEMS = (1, 5)  # the clean image and the noise samples of one SNNA map
BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
CALLS = 10  # between two events
REPEATS = 20


def seconds(action, device):
    """Median time of one call, by CUDA events around ten, after a warm-up."""
    action()
    if device == "cpu":
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin
    times = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(CALLS):
            action()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / CALLS)
    return sorted(times)[REPEATS // 2]


def measure(items, tokens, backend, device):
    """Seconds forward and backward; query, key and value are thirds of one row."""
    rows = torch.randn(items, tokens, 3, HEADS, HEAD_DIM, device=device, dtype=torch.bfloat16)
    query, key, value = (part.detach().requires_grad_(True) for part in rows.permute(2, 0, 3, 1, 4))
    with sdpa_kernel(backend):
        output = scaled_dot_product_attention(query, key, value)
        gradient = torch.randn_like(output)
        with torch.no_grad():
            forward = seconds(lambda: scaled_dot_product_attention(query, key, value), device)
        backward = seconds(
            lambda: torch.autograd.grad(output, (query, key, value), gradient, retain_graph=True),
            device)
    return forward, backward


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--smoke", action="store_true", help="one small size")
    arguments = parser.parse_args()
    backends = {"flash": BACKENDS["flash"]} if arguments.device == "cpu" else BACKENDS
    results = []
    for tokens in (16,) if arguments.smoke else TOKENS:
        for items in ITEMS:
            size = f"bf16/{items}x{tokens}" if items > 1 else f"bf16/{tokens}"
            for name, backend in backends.items():
                try:
                    forward, backward = measure(items, tokens, backend, arguments.device)
                except RuntimeError as error:
                    print(f"{size} {name}: not offered: {str(error).splitlines()[0]}", file=sys.stderr)
                    continue
                results += [
                    {"name": f"attention_forward/{size}", "backend": name, "us": forward * 1e6},
                    {"name": f"attention_backward/{size}/1", "backend": name, "us": backward * 1e6}]
    print(json.dumps({"torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                      "attention": results}))


if __name__ == "__main__":
    main()
