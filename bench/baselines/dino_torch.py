"""One step of DINO's official recipe in PyTorch, timed on crops that are ready: student on two global
and eight local crops, teacher on the global ones, head, loss with centring, AdamW, clip, moving average.

Prints one JSON object. Attention is PyTorch's fused one; bf16 is autocast over fp32 parameters."""

import argparse
import copy
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

import vit
from harness import memory_mib

MODELS = {"s8": {"embed_dim": 384, "heads": 6, "patch_size": 8, "trained_grid": 28},
          "s16": {"embed_dim": 384, "heads": 6, "patch_size": 16, "trained_grid": 14},
          "ti16": {"embed_dim": 192, "heads": 3, "patch_size": 16, "trained_grid": 14}}
GLOBAL_SIZE, LOCAL_SIZE = 224, 96
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
CLIP, CENTRE_MOMENTUM, TEACHER_MOMENTUM = 3.0, 0.9, 0.996


class Backbone(vit.Vit):
    """CLS features of images of one size; a residual branch is dropped for some samples."""

    def __init__(self, drop_path, **config):
        super().__init__(classes=1, **config)
        del self.head
        self.drop_rates = torch.linspace(0, drop_path, len(self.blocks)).tolist()

    def residual(self, branch, rate):
        if not self.training or rate == 0:
            return branch
        kept = torch.rand(len(branch), 1, 1, dtype=branch.dtype, device=branch.device) >= rate
        return branch * kept / (1 - rate)

    def forward(self, images):
        tokens = self.embed(images)
        for block, rate in zip(self.blocks, self.drop_rates):
            query, key, value = block.attn.split(block.norm1(tokens))
            attended = F.scaled_dot_product_attention(query, key, value)
            tokens = tokens + self.residual(block.attn.proj(attended.transpose(1, 2).flatten(2)), rate)
            tokens = tokens + self.residual(block.mlp(block.norm2(tokens)), rate)
        return self.norm(tokens)[:, 0]


class Head(nn.Module):
    def __init__(self, embed_dim, out_dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(embed_dim, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU(),
                                 nn.Linear(2048, 256))
        for layer in self.mlp[::2]:
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.last_layer = weight_norm(nn.Linear(256, out_dim, bias=False))
        lengths = self.last_layer.parametrizations.weight.original0
        lengths.data.fill_(1)
        lengths.requires_grad = False

    def forward(self, features):
        return self.last_layer(F.normalize(self.mlp(features), dim=-1))


class Network(nn.Module):
    """One pass of the backbone for each size, one call of the head."""

    def __init__(self, arguments):
        super().__init__()
        self.backbone = Backbone(arguments.drop_path, **MODELS[arguments.model])
        weights = vit.random_weights(arguments.seed, **MODELS[arguments.model])
        self.backbone.load_state_dict(
            {name: value for name, value in weights.items() if not name.startswith("head.")})
        self.head = Head(self.backbone.embed_dim, arguments.out_dim)

    def forward(self, crops):
        return self.head(torch.cat([self.backbone(images) for images in crops]))


def dino_loss(student, teacher, centre, crops):
    """Cross-entropy over all pairs of different views: a local crop meets q1 + q2 at once."""
    targets = ((teacher - centre) / TEACHER_TEMPERATURE).softmax(dim=-1).chunk(2)
    total = 0
    for view, logits in enumerate(student.chunk(crops)):
        target = targets[1 - view] if view < 2 else targets[0] + targets[1]
        total = total - (target * (logits / STUDENT_TEMPERATURE).log_softmax(dim=-1)).sum(-1).mean()
    return total / (2 * (crops - 1))


class Trainer:
    def __init__(self, arguments):
        torch.manual_seed(arguments.seed)
        self.device, self.locals = arguments.device, arguments.locals
        self.autocast = arguments.precision == "bf16"
        self.student = Network(arguments).to(self.device)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        parameters = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.04},
             {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0}], lr=1e-4, fused=True)
        self.parameters = parameters
        self.centre = torch.zeros(1, arguments.out_dim, device=self.device)
        self.pairs = list(zip(self.teacher.parameters(), self.student.parameters()))
        compiled = torch.compile if arguments.compile else (lambda what: what)
        self.run_student, self.run_teacher = compiled(self.student), compiled(self.teacher)
        self.loss = compiled(dino_loss)
        images = arguments.batch
        self.crops = [torch.randn(2 * images, 3, GLOBAL_SIZE, GLOBAL_SIZE, device=self.device)]
        if self.locals:
            self.crops.append(
                torch.randn(self.locals * images, 3, LOCAL_SIZE, LOCAL_SIZE, device=self.device))

    def step(self):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            with torch.no_grad():
                teacher = self.run_teacher(self.crops[:1])
            student = self.run_student(self.crops)
        teacher, student = teacher.float(), student.float()
        loss = self.loss(student, teacher, self.centre, 2 + self.locals)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            norms = torch._foreach_norm([p.grad for p in self.parameters])
            factors = [(CLIP / (norm + 1e-6)).clamp(max=1) for norm in norms]
            torch._foreach_mul_([p.grad for p in self.parameters], factors)
            self.optimizer.step()
            slow, fast = zip(*self.pairs)
            torch._foreach_mul_(slow, TEACHER_MOMENTUM)
            torch._foreach_add_(slow, fast, alpha=1 - TEACHER_MOMENTUM)
            self.centre.mul_(CENTRE_MOMENTUM).add_(
                teacher.mean(0, keepdim=True), alpha=1 - CENTRE_MOMENTUM)
        return loss.detach()


def device_used_mib():
    """Of the whole GPU, as bench_pretrain counts: the allocator's reserve and the libraries' own memory
    included. Meaningful where nothing else uses the GPU."""
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="s8")
    parser.add_argument("--batch", type=int, default=2, help="images of a step")
    parser.add_argument("--locals", type=int, default=8, help="local crops of an image")
    parser.add_argument("--out-dim", type=int, default=65536)
    parser.add_argument("--drop-path", type=float, default=0.0)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    parser.add_argument("--warm-up", type=int, default=1, help="steps before them")
    parser.add_argument("--flops", action="store_true", help="count operations, in one more step")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    on_gpu = arguments.device == "cuda"
    used_before = 0.0
    if on_gpu:  # the context and the library of products are there before either program's step
        torch.ones(8, 8, device="cuda").matmul(torch.ones(8, 8, device="cuda"))
        torch.cuda.synchronize()
        used_before = device_used_mib()
    trainer = Trainer(arguments)
    seconds, processor, losses = [], [], []
    for _ in range(arguments.warm_up + arguments.steps):
        begin, processor_begin = time.perf_counter(), time.process_time()
        loss = trainer.step()
        losses.append(float(loss))  # waits for the device
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - processor_begin)
    peak_mib = memory_mib("VmHWM")
    device_mib = round(device_used_mib() - used_before, 1) if on_gpu else 0
    flops = None
    if arguments.flops:
        trainer.run_student, trainer.run_teacher = trainer.student, trainer.teacher
        with FlopCounterMode(display=False) as counter:
            trainer.step()
        flops = counter.get_total_flops()
    median = statistics.median(seconds[arguments.warm_up:])
    print(json.dumps({
        "program": "dino_torch", "device": arguments.device, "model": arguments.model,
        "batch": arguments.batch, "precision": arguments.precision, "compile": arguments.compile,
        "seconds": median, "images_per_second": arguments.batch / median,
        "processor_seconds": statistics.median(processor[arguments.warm_up:]),
        "all_seconds": [round(s, 4) for s in seconds],
        "tflop": flops and flops * 1e-12, "loss": losses[0],
        "device_mib": device_mib,
        "process_peak_mib": round(peak_mib, 1), "torch": torch.__version__}))


if __name__ == "__main__":
    sys.exit(main())
