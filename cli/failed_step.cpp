// Files beside the checkpoints, their names by step and rank.
#include "cli/failed_step.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/json_text.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace vitsnna::cli {
namespace {

namespace fs = std::filesystem;
using kernels::index_t;

fs::path inputs_file(const fs::path& state_file, int rank) {
  return state_file.parent_path() /
         fmt::format("{}.rank{}.safetensors", state_file.stem().string(), rank);
}

using Numbers = std::vector<std::pair<const char*, double>>;
Numbers numbers_of(const train::DinoReport& report) {
  return {{"loss", report.loss},
          {"teacher_entropy", report.teacher_entropy},
          {"gradient_norm", report.gradient_norm},
          {"centre_norm", report.centre_norm}};
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

const char* what_is_not_finite(const train::DinoReport& report) {
  return std::isfinite(report.loss) ? "gradients are" : "loss is";
}

void require_number(const engine::TensorFile& file, const char* key, index_t wanted,
                    const char* option) {
  const auto found = file.metadata.find(key);
  const std::string text = found == file.metadata.end() ? "none" : found->second;
  if (text == std::to_string(wanted)) return;
  throw Error(fmt::format("{}: {} is {}, now it is {} ({})", file.path, key, text, wanted, option));
}

}  // namespace

void fail_with_step(const fs::path& folder, train::Communicator& ranks, train::Pretraining& run,
                    const train::DinoReport& report) {
  const index_t step = run.done() + 1;
  const fs::path file = folder / fmt::format("failed-step-{:09d}.safetensors", step);
  std::string kept = fmt::format("--replay {} takes it again", file.string());
  try {
    if (ranks.rank() == 0) {
      train::RunState state = run.state();
      for (const auto& [name, value] : numbers_of(report)) {
        state.metadata[name] = fmt::format("{}", value);
      }
      train::CheckpointStore::write(file, state);
    }
    engine::write_safetensors(inputs_file(file, ranks.rank()), run.inputs(),
                              {{"ranks", std::to_string(ranks.size())},
                               {"accumulate", std::to_string(run.options().accumulate)}});
  } catch (const Error& error) {  // says nothing about the step
    kept = fmt::format("it could not be kept to be taken again ({})", error.what());
  }
  ranks.barrier();  // the first that throws ends the others
  throw Error(fmt::format("step {}: the {} not finite{}; {}, the last checkpoint is whole", step,
                          what_is_not_finite(report),
                          ranks.size() > 1 && report.non_finite_rank >= 0
                              ? fmt::format(" on rank {}", report.non_finite_rank)
                              : "",
                          kept));
}

void replay_failed_step(const fs::path& file, train::Communicator& ranks, train::Pretraining& run,
                        const Console& console) {
  const train::RunState state = train::CheckpointStore::read(file);
  run.restore(state, file.string());
  const engine::TensorFile inputs =
      engine::read_safetensors(inputs_file(file, ranks.rank()).string());
  require_number(inputs, "ranks", ranks.size(), "mpirun -np");
  require_number(inputs, "accumulate", run.options().accumulate, "--accumulate");
  const train::DinoReport report = run.replay(inputs.tensors, inputs.path);

  bool reproduced = true;
  std::string text;
  nlohmann::ordered_json json = {{"step", state.steps + 1}, {"finite", report.finite}};
  for (const auto& [name, value] : numbers_of(report)) {
    const double before = train::number_in(state, name, file.string());
    reproduced = reproduced && same(value, before);
    text += same(value, before) ? fmt::format("  {} {}", name, value)
                                : fmt::format("  {} {} (then {})", name, value, before);
    json[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nullptr;
  }
  json["reproduced"] = reproduced;
  console.result(fmt::format("step {}: {}{}:{}", state.steps + 1,
                             report.finite
                                 ? "all numbers are finite"
                                 : fmt::format("the {} not finite", what_is_not_finite(report)),
                             reproduced ? ", as then" : ", another outcome than then", text));
  if (console.json()) write_stdout(json_text(json));
}

}  // namespace vitsnna::cli
