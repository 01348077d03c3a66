// From benchmark output to tables.
#include "bench/gpu_report.h"

#include <fmt/format.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "kernels/error.h"

namespace vitsnna::bench {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

std::optional<std::string> text_of(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json parsed(const std::string& text, const fs::path& path) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw Error(path.filename().string() + ": is no JSON: " + error.what());
  }
}

/// One benchmark: microseconds a call, and what Google Benchmark counted.
struct Figure {
  double us = 0;
  Json counters;
  double counter(const char* name) const { return counters.value(name, 0.); }
};
using Figures = std::map<std::string, Figure>;

double microseconds_in(const std::string& unit) {
  if (unit == "ns") return 1e-3;
  if (unit == "us") return 1;
  if (unit == "ms") return 1e3;
  if (unit == "s") return 1e6;
  throw Error("time unit " + unit + ": unknown; ns, us, ms or s wanted");
}

/// A benchmark's own name, without what Google Benchmark appends.
std::string plain_name(std::string name) {
  for (const char* appended : {"/min_time:", "/iterations:", "/real_time", "/manual_time"}) {
    name = name.substr(0, name.find(appended));
  }
  return name;
}

struct Program {
  bool ran = false;
  Figures figures;
  std::vector<std::string> failures;
  std::string context;  ///< the ceilings of the run
};

Program read_program(const fs::path& path) {
  Program program;
  const std::optional<std::string> text = text_of(path);
  if (!text || text->empty()) return program;
  const Json all = parsed(*text, path);
  if (!all.contains("benchmarks") || !all.contains("context")) {
    throw Error(path.filename().string() + ": has no benchmarks and context");
  }
  program.ran = true;
  for (const char* key : {"peak bf16 GFLOP/s", "peak fp32 GFLOP/s", "peak copy GB/s", "cuDNN"}) {
    if (!all["context"].contains(key)) continue;
    const std::string value = all["context"][key].get<std::string>();
    program.context += fmt::format("{}{}: {}", program.context.empty() ? "" : ", ", key,
                                   value.substr(0, value.find('.')));
  }
  for (const Json& one : all["benchmarks"]) {
    const std::string name = plain_name(one.at("name").get<std::string>());
    if (one.value("error_occurred", false)) {
      program.failures.push_back(fmt::format("{}: {}", name, one.value("error_message", "failed")));
      continue;
    }
    program.figures[name] = {
        one.at("real_time").get<double>() * microseconds_in(one.at("time_unit").get<std::string>()),
        one};
  }
  return program;
}

struct Fastest {
  double us = 0;
  std::string name;  ///< of the backend
};

std::map<std::string, Fastest> read_attention(const fs::path& path) {
  std::map<std::string, Fastest> fastest;
  const std::optional<std::string> text = text_of(path);
  if (!text || text->empty()) return fastest;
  const Json all = parsed(*text, path);
  for (const Json& one : all.at("attention")) {
    Fastest& known = fastest[one.at("name").get<std::string>()];
    const double us = one.at("us").get<double>();
    if (known.us == 0 || us < known.us) known = {us, one.at("backend").get<std::string>()};
  }
  return fastest;
}

/// A PyTorch explanation: the fastest of its ways, by size, labels and precision.
struct Explained {
  double seconds = 0;
  double mib = 0;
  std::string way;
};

std::map<std::string, Explained> read_explanations(const fs::path& path) {
  std::map<std::string, Explained> fastest;
  std::istringstream lines(text_of(path).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    const Json one = parsed(line, path);
    const std::string key =
        fmt::format("{}/labels:{}/{}", one.at("size").get<std::string>(),
                    one.at("labels").get<int>(), one.at("precision").get<std::string>());
    Explained& known = fastest[key];
    const double seconds = one.at("seconds").get<double>();
    if (known.seconds > 0 && seconds >= known.seconds) continue;
    known = {seconds, one.at("gpu_peak_mib").get<double>(),
             one.value("graph", false) ? "graph" : "eager"};
    if (one.contains("tile_rows") && one["tile_rows"].is_number()) {
      known.way += fmt::format(", {} rows", one["tile_rows"].get<int>());
    }
  }
  return fastest;
}

/// A line for each training step that bench_pretrain timed: images/s, share of a large product.
std::string training_steps(const fs::path& path) {
  std::string lines;
  std::istringstream text(text_of(path).value_or(""));
  for (std::string line; std::getline(text, line);) {
    if (line.empty()) continue;
    const Json one = parsed(line, path);
    lines += fmt::format(
        "{:<46} {:9.2f} ms {:7.1f} images/s {:6.0f} MiB, {:.0f}% of a large product\n",
        fmt::format("DINO's step {}, {} images, {}", one.at("model").get<std::string>(),
                    one.at("batch").get<int>(), one.at("precision").get<std::string>()),
        one.at("seconds").get<double>() * 1e3, one.at("images_per_second").get<double>(),
        one.at("device_mib").get<double>(), 100. * one.at("share_of_peak").get<double>());
  }
  return lines;
}

struct Run {
  Program ops, cudnn, explain;
  std::map<std::string, Fastest> torch;
  std::map<std::string, Explained> best, released;
  std::string machine, checks, training;
};

Run read_run(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw Error(folder.string() + ": is no folder");
  return {read_program(folder / "cuda_ops.json"),
          read_program(folder / "cudnn_ops.json"),
          read_program(folder / "explain.json"),
          read_attention(folder / "attention_torch.json"),
          read_explanations(folder / "best_pytorch.jsonl"),
          read_explanations(folder / "released_algorithm.jsonl"),
          text_of(folder / "machine.txt").value_or("machine unknown\n"),
          text_of(folder / "checks.txt").value_or(""),
          training_steps(folder / "pretrain.jsonl")};
}

template <class Map>
const typename Map::mapped_type* find(const Map& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

std::string times(double other_us, double ours_us) {
  return fmt::format("{:.2f}", other_us / ours_us);
}

std::string explanations(const Run& run) {
  if (!run.explain.ran) return "Explanations were not measured: no explain.json.\n";
  std::string table =
      "| SNNA, m = 5 | replayed | images/s | launch by launch | GPU memory | best PyTorch | times "
      "as "
      "fast | released algorithm | times as fast |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& [name, ours] : run.explain.figures) {
    constexpr std::string_view first = "explain/snna/", last = "/replayed";
    if (!name.starts_with(first) || !name.ends_with(last)) continue;
    const std::string key = name.substr(first.size(), name.size() - first.size() - last.size());
    const Figure* eager = find(run.explain.figures, std::string(first) + key + "/eager");
    table += fmt::format("| {} | {:.2f} ms | {:.1f} | {} | {:.0f} MiB planned, {:.0f} taken |", key,
                         ours.us / 1e3, 1e6 / ours.us,
                         eager ? fmt::format("{:.2f} ms", eager->us / 1e3) : "-",
                         ours.counter("MiB"), ours.counter("MiB_taken"));
    for (const auto* baseline : {&run.best, &run.released}) {
      const Explained* theirs = find(*baseline, key);
      table += theirs ? fmt::format(" {:.2f} ms ({}), {:.0f} MiB | {} |", theirs->seconds * 1e3,
                                    theirs->way, theirs->mib, times(theirs->seconds * 1e6, ours.us))
                      : " - | - |";
    }
    table += "\n";
  }
  return table;
}

/// Attention in bf16 beside cuDNN's and the fastest of PyTorch's.
std::string attention(const Run& run) {
  if (!run.ops.ran) return "Attention was not measured: no cuda_ops.json.\n";
  std::string table =
      "| attention | us | TFLOP/s | share of ceiling | cuDNN us | cuDNN's rate reached | PyTorch "
      "us "
      "|\n|---|---|---|---|---|---|---|\n";
  for (const auto& [name, ours] : run.ops.figures) {
    if (!name.starts_with("attention_forward/bf16") &&
        !name.starts_with("attention_backward/bf16")) {
      continue;
    }
    if (name.ends_with("/cls") || name.ends_with("/4")) continue;
    const Figure* cudnn = find(run.cudnn.figures, name);
    const Fastest* torch = find(run.torch, name);
    table += fmt::format("| {} | {:.1f} | {:.0f} | {:.2f} | {} | {} | {} |\n", name, ours.us,
                         ours.counter("FLOP/s") * 1e-12, ours.counter("share"),
                         cudnn ? fmt::format("{:.1f}", cudnn->us) : "-",
                         cudnn ? times(cudnn->us, ours.us) : "-",
                         torch ? fmt::format("{:.1f} ({})", torch->us, torch->name) : "-");
  }
  return table;
}

/// What capturing relevance adds to a backward.
std::string capture(const Run& run) {
  std::string table;
  for (const auto& [name, with] : run.ops.figures) {
    constexpr std::string_view captured = "attention_backward_capture/";
    if (!name.starts_with(captured)) continue;
    const Figure* without =
        find(run.ops.figures, fmt::format("attention_backward/{}", name.substr(captured.size())));
    if (!without) continue;
    table += fmt::format("| {} | {:.1f} | {:.1f} | {:+.1f}% |\n", name.substr(captured.size()),
                         without->us, with.us, (with.us / without->us - 1) * 100);
  }
  if (table.empty()) return "";
  return "| backward | us | us with relevance captured | more |\n|---|---|---|---|\n" + table +
         "\n";
}

std::string every_op(const Program& program, const char* title) {
  if (!program.ran) return "";
  std::string table =
      fmt::format("{} ({}):\n\n| op | us | rate | share of ceiling |\n|---|---|---|---|\n", title,
                  program.context);
  for (const auto& [name, one] : program.figures) {
    const double flops = one.counter("FLOP/s");
    table += fmt::format("| {} | {:.1f} | {} | {:.2f} |\n", name, one.us,
                         flops > 0 ? fmt::format("{:.2f} TFLOP/s", flops * 1e-12)
                                   : fmt::format("{:.3f} TB/s", one.counter("bytes/s") * 1e-12),
                         one.counter("share"));
  }
  for (const std::string& failure : program.failures) {
    table += fmt::format("| {} | failed | | |\n", failure);
  }
  return table + "\n";
}

}  // namespace

std::string full_report(const fs::path& folder) {
  const Run run = read_run(folder);
  std::string report = run.machine;
  if (!run.cudnn.ran) report += "cuDNN's own kernels were not measured: no cudnn_ops.json.\n";
  if (run.best.empty()) report += "PyTorch's explanations were not measured.\n";
  report += fmt::format("\n{}\n{}\n{}", explanations(run), attention(run), capture(run));
  report += every_op(run.ops, "Every op") + every_op(run.cudnn, "cuDNN");
  return report +
         fmt::format("Checks of the same run:\n\n```\n{}{}```\n", run.checks, run.training);
}

std::string short_report(const fs::path& folder) {
  const Run run = read_run(folder);
  std::string report = run.checks + run.training;
  for (const auto& [name, one] : run.explain.figures) {
    if (name.find("360x640") == std::string::npos) continue;
    report += fmt::format("{:<46} {:9.2f} ms {:7.1f} images/s {:6.0f} MiB\n", name, one.us / 1e3,
                          1e6 / one.us, one.counter("MiB"));
  }
  for (const auto& [name, ours] : run.ops.figures) {
    const Figure* cudnn = find(run.cudnn.figures, name);
    if (!cudnn) continue;
    report += fmt::format("{:<46} {:9.1f} us {:7.0f} TFLOP/s, {} of cuDNN's\n", name, ours.us,
                          ours.counter("FLOP/s") * 1e-12, times(cudnn->us, ours.us));
  }
  for (const Program* program : {&run.ops, &run.cudnn, &run.explain}) {
    for (const std::string& failure : program->failures)
      report += fmt::format("FAILED {}\n", failure);
  }
  return report;
}

}  // namespace vitsnna::bench
