"""SNNA by the released code's algorithm: for every label and every noisy sample a full forward and
backward pass, every N x N attention and its gradient kept, and a chain of N x N matrix products."""

import torch
import torch.nn.functional as F

import harness


def forward(model, images):
    """Logits, and of every block the attention (its gradient retained) and the values."""
    tokens = model.embed(images)
    attentions, values = [], []
    for block in model.blocks:
        query, key, value = block.attn.split(block.norm1(tokens))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        attention = scores.softmax(dim=-1)
        attention.retain_grad()
        attentions.append(attention)
        values.append(value)
        tokens = tokens + block.attn.proj((attention @ value).transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return model.head(model.norm(tokens)[:, 0]), attentions, values


def explain(model, image, noise, labels):
    """Maps (labels, patches) of one image (3, H, W); noise (m, 3, H, W)."""
    model.requires_grad_(True)
    maps = []
    for label in labels:
        model.zero_grad(set_to_none=True)
        logits, attentions, values = forward(model, image[None])
        logits[0, label].backward()
        chain = None
        with torch.no_grad():
            for block, attention, value in zip(model.blocks, attentions, values):
                rows = value[0].transpose(0, 1).flatten(1)
                norm = F.linear(rows, block.attn.proj.weight).norm(dim=-1)  # ||v^_j||, of the key column
                step = (attention[0] * norm * attention.grad[0]).clamp(min=0).mean(0)
                step.diagonal().add_(1)
                chain = step if chain is None else chain @ step
        del logits, attentions, values, attention, value

        smoothed = 0
        for sample in noise:
            model.zero_grad(set_to_none=True)
            logits, attentions, values = forward(model, (image + sample)[None])
            logits[0, label].backward()
            smoothed = smoothed + attentions[-1].grad[0].mean(0)
            del logits, attentions, values
        maps.append((chain * smoothed / len(noise))[0, 1:])
    return torch.stack(maps)


if __name__ == "__main__":
    harness.main(explain, compared_with="best_pytorch")
