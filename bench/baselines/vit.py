"""The ViT that both baselines explain, in PyTorch, under the parameter names of the official DINO code."""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Parameters of one self-attention; each baseline computes it in its own way."""

    def __init__(self, embed_dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def split(self, rows):
        """Normalised rows (B, N, d) -> query, key, value, each (B, heads, N, head_dim)."""
        batch, tokens, _ = rows.shape
        return self.qkv(rows).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)


class Mlp(nn.Module):
    def __init__(self, embed_dim):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, 4 * embed_dim)
        self.fc2 = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, rows):
        return self.fc2(F.gelu(self.fc1(rows)))


class Block(nn.Module):
    def __init__(self, embed_dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attn = Attention(embed_dim, heads)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp = Mlp(embed_dim)


class Vit(nn.Module):
    def __init__(self, embed_dim=384, depth=12, heads=6, patch_size=8, trained_grid=28, classes=4):
        super().__init__()
        self.embed_dim, self.heads, self.patch_size = embed_dim, heads, patch_size
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, embed_dim, patch_size, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, trained_grid**2 + 1, embed_dim))
        self.blocks = nn.ModuleList(Block(embed_dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = nn.Linear(embed_dim, classes)

    def position(self, grid_height, grid_width):
        """Position embedding of a grid: bicubic, with the official code's +0.1 (no-op on the trained grid)."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if (grid_height, grid_width) == (side, side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = ((grid_height + 0.1) / side, (grid_width + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def embed(self, images):
        """Images (B, 3, H, W) -> tokens (B, 1 + patches, d), the CLS token first."""
        patches = self.patch_embed.proj(images)
        grid_height, grid_width = patches.shape[-2:]
        tokens = torch.cat(
            [self.cls_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return tokens + self.position(grid_height, grid_width)


def random_weights(seed, **config):
    """A state dict as a trained one is scaled: weights N(0, 0.02²), biases too, norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    weights = Vit(**config).state_dict()
    for name, value in weights.items():
        value.normal_(0, 0.02, generator=generator)
        if "norm" in name and name.endswith("weight"):
            value.add_(1)
    return weights


def build(weights, heads, dtype):
    """The model of a state dict; depth, width, patch, grid and classes are read from its shapes."""
    embed_dim, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    side = round((weights["pos_embed"].shape[1] - 1) ** 0.5)
    model = Vit(embed_dim, depth, heads or embed_dim // 64, patch_size, side, len(weights["head.bias"]))
    model.load_state_dict(weights)
    return model.to(dtype).eval()
