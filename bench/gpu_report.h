// Tables of a run of scripts/gpu_check.sh, from what its programs printed.
#pragma once

#include <filesystem>
#include <string>

namespace vitsnna::bench {

/// Reads, in `folder` (what is not there is said to be missing, what is malformed is an Error):
///   machine.txt           lines to be quoted as they are
///   checks.txt            one line a check, as to be shown
///   cuda_ops.json         Google Benchmark's JSON of cuda_ops; cudnn_ops.json the same of
///   cudnn_ops explain.json          of bench_explain --device=cuda attention_torch.json  of
///   baselines/attention_torch.py best_pytorch.jsonl    objects of baselines/best_pytorch.py, a
///   line each; released_algorithm.jsonl
/// and returns Markdown for docs/BENCHMARKS.md.
std::string full_report(const std::filesystem::path& folder);

/// The checks, and what issue and aims are about: a screenful.
std::string short_report(const std::filesystem::path& folder);

}  // namespace vitsnna::bench
