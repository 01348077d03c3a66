"""SNNA as well as PyTorch can do it for one who knows the identities of docs/METHODS.md: fused
attention, one shared clean forward, a CLS row alone in the last block, noisy samples without a
graph, and the relevance chain as a vector, tile by tile."""

import torch
import torch.nn.functional as F

import harness

# Query rows of one tile of the relevance chain, over all heads: of 16 to 256 the fastest on a CPU. A GPU
# wants more (--tile-rows).
# torch.compile of a tile was tried and was no faster.
TILE_ROWS = 128


def encode(model, tokens, block):
    """One block without a graph."""
    query, key, value = block.attn.split(block.norm1(tokens))
    attended = F.scaled_dot_product_attention(query, key, value)
    tokens = tokens + block.attn.proj(attended.transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.norm2(tokens))


def cls_attention(block, tokens):
    """Last block: attention (B, h, 1, N) of the CLS query alone, values, and its output."""
    rows = block.norm1(tokens)
    embed_dim = rows.shape[-1]
    weight, bias = block.attn.qkv.weight, block.attn.qkv.bias
    query = F.linear(rows[:, :1], weight[:embed_dim], bias[:embed_dim])
    query = query.unflatten(-1, (block.attn.heads, -1)).transpose(1, 2)
    key, value = (F.linear(rows, weight[embed_dim:], bias[embed_dim:])
                  .unflatten(-1, (2, block.attn.heads, -1)).permute(2, 0, 3, 1, 4))
    attention = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)
    return attention, value, attention @ value


def cls_logits(model, block, cls_rows, attended):
    """Logits from the CLS rows (B, 1, d) before the last block and what they attended to."""
    cls_rows = cls_rows + block.attn.proj(attended.transpose(1, 2).flatten(2))
    cls_rows = cls_rows + block.mlp(block.norm2(cls_rows))
    return model.head(model.norm(cls_rows)[:, 0])


def smoothed_gradients(model, image, noise, labels):
    """Mean over samples and heads of dlogit/dA of the last block's CLS row: (labels, N)."""
    last = model.blocks[-1]
    with torch.no_grad():  # one batch: some 10% faster than sample by sample
        tokens = model.embed(image + noise)
        for block in model.blocks[:-1]:
            tokens = encode(model, tokens, block)
        _, value, attended = cls_attention(last, tokens)
    attended.requires_grad_(True)
    logits = cls_logits(model, last, tokens[:, :1], attended)
    result = []
    for label in labels:
        gradient, = torch.autograd.grad(logits[:, label].sum(), attended, retain_graph=True)
        result.append((gradient @ value.transpose(-1, -2))[:, :, 0].mean((0, 1)))
    return torch.stack(result)


def clean_pass(model, image, labels):
    """One forward whose graph is kept, one backward for each label: of every block query, key, value
    (h, N, head_dim) and, for each label, the gradient at the attention output."""
    tokens = model.embed(image[None]).detach().requires_grad_(True)
    parts, outputs = [], []
    for block in model.blocks[:-1]:
        query, key, value = block.attn.split(block.norm1(tokens))
        attended = F.scaled_dot_product_attention(query, key, value)
        parts.append((query.detach()[0], key.detach()[0], value.detach()[0]))
        outputs.append(attended)
        tokens = tokens + block.attn.proj(attended.transpose(1, 2).flatten(2))
        tokens = tokens + block.mlp(block.norm2(tokens))
    attention, value, attended = cls_attention(model.blocks[-1], tokens)
    outputs.append(attended)
    logits = cls_logits(model, model.blocks[-1], tokens[:, :1], attended)
    gradients = [torch.autograd.grad(logits[0, label], outputs, retain_graph=label != labels[-1])
                 for label in labels]
    return parts, attention.detach()[0], value.detach()[0], gradients


def value_norm(block, value):
    """||v^_j|| (N) of values (h, N, head_dim)."""
    return F.linear(value.transpose(0, 1).flatten(1), block.attn.proj.weight).norm(dim=-1)


def relevance(rows, query, key, value, gradients):
    """sum_h sum_i r_i A_hij max(G_hij, 0) for each label's row r (labels, N), in tiles of queries: the
    softmax of a tile serves every label."""
    heads, tokens, head_dim = query.shape
    key_t, value_t = key.transpose(-1, -2), value.transpose(-1, -2)
    scaled = query * head_dim**-0.5
    sums = rows.new_zeros(len(gradients), heads, 1, tokens)
    weights = rows.to(query.dtype)[:, None, None].expand(-1, heads, -1, -1)
    for start in range(0, tokens, TILE_ROWS):
        tile = slice(start, min(start + TILE_ROWS, tokens))
        attention = (scaled[:, tile] @ key_t).softmax(dim=-1)
        for i, gradient in enumerate(gradients):
            product = (gradient[:, tile] @ value_t).clamp_(min=0).mul_(attention)
            sums[i] += torch.bmm(weights[i, ..., tile], product)
    return sums[:, :, 0].sum(1)


def explain(model, image, noise, labels):
    """Maps (labels, patches) of one image (3, H, W); noise (m, 3, H, W)."""
    model.requires_grad_(False)
    smoothed = smoothed_gradients(model, image, noise, labels)
    parts, attention, last_value, gradients = clean_pass(model, image, labels)
    with torch.inference_mode():
        accumulate = torch.float64 if image.dtype == torch.float64 else torch.float32
        rows = torch.zeros(len(labels), attention.shape[-1], dtype=accumulate, device=image.device)
        rows[:, 0] = 1
        for layer, (query, key, value) in enumerate(parts):
            of_layer = [gradient[layer][0] for gradient in gradients]
            sums = relevance(rows, query, key, value, of_layer)
            rows = rows + value_norm(model.blocks[layer], value) * sums / len(query)
        for i, gradient in enumerate(gradients):
            last = (gradient[-1][0] @ last_value.transpose(-1, -2)).clamp(min=0) * attention
            rows[i] += rows[i, 0] * value_norm(model.blocks[-1], last_value) * last[:, 0].mean(0)
        return (rows * smoothed)[:, 1:]


if __name__ == "__main__":
    harness.main(explain, compared_with="released_algorithm")
