"""PyTorch's fused attention, forward and backward, at the token counts that the kernels are aimed
at: cuDNN's, FlashAttention's and the memory-efficient kernel, in bf16, head_dim 64."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

TOKENS = (197, 785, 1370, 3601)
HEADS, HEAD_DIM = 6, 64
ITEMS = 6  # the noise samples and the clean image of one SNNA map
BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
REPEATS = 50


def seconds(action):
    """Median time of one call, by CUDA events, after a warm-up."""
    for _ in range(5):
        action()
    times = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        action()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times)[REPEATS // 2]


def measure(tokens, backend):
    shape = (ITEMS, HEADS, tokens, HEAD_DIM)
    query, key, value = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        for _ in range(3)
    )
    with sdpa_kernel(backend):
        output = scaled_dot_product_attention(query, key, value)
        gradient = torch.randn_like(output)
        with torch.no_grad():
            forward = seconds(lambda: scaled_dot_product_attention(query, key, value))
        backward = seconds(
            lambda: torch.autograd.grad(output, (query, key, value), gradient, retain_graph=True)
        )
    # Two products of tokens x tokens x head_dim forward, five backward.
    product = 2 * ITEMS * HEADS * tokens * tokens * HEAD_DIM
    return forward, 2 * product / forward, backward, 5 * product / backward


def main():
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN "
          f"{torch.backends.cudnn.version()}, bf16, {ITEMS} x {HEADS} heads of {HEAD_DIM}")
    print(f"{'tokens':>6} {'kernel':>9} {'forward':>10} {'TFLOP/s':>8} {'backward':>10} {'TFLOP/s':>8}")
    for tokens in TOKENS:
        for name, backend in BACKENDS.items():
            try:
                forward, forward_rate, backward, backward_rate = measure(tokens, backend)
            except RuntimeError as error:
                print(f"{tokens:6d} {name:>9} not offered: {str(error).splitlines()[0]}")
                continue
            print(f"{tokens:6d} {name:>9} {forward * 1e6:7.1f} us {forward_rate / 1e12:8.1f} "
                  f"{backward * 1e6:7.1f} us {backward_rate / 1e12:8.1f}")


if __name__ == "__main__":
    main()
