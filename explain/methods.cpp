// Names of methods and formulations.
#include "explain/methods.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/error.h"

namespace vitsnna::explain {

namespace {

constexpr std::array<std::pair<Method, std::string_view>, 12> kNames = {{
    {Method::rawatt, "rawatt"},
    {Method::attgrad, "attgrad"},
    {Method::attin, "attin"},
    {Method::genericatt, "genericatt"},
    {Method::attig, "attig"},
    {Method::snna, "snna"},
    {Method::rollout, "rollout"},
    {Method::gradient, "gradient"},
    {Method::attsg, "attsg"},
    {Method::inputgrad, "inputgrad"},
    {Method::ig, "ig"},
    {Method::smoothgrad, "smoothgrad"},
}};

constexpr std::array<Method, kNames.size()> kMethods = [] {
  std::array<Method, kNames.size()> methods{};
  for (std::size_t position = 0; position < kNames.size(); ++position) {
    methods[position] = kNames[position].first;
  }
  return methods;
}();

Method parse_method(std::string_view text) {
  const auto* found = std::find_if(kNames.begin(), kNames.end(),
                                   [&](const auto& entry) { return entry.second == text; });
  if (found != kNames.end()) return found->first;
  std::string known;
  for (const auto& [method, name] : kNames) known += std::string(name) + ", ";
  throw Error("method '" + std::string(text) + "': unknown; one of " + known + "or all wanted");
}

}  // namespace

std::span<const Method> all_methods() { return kMethods; }

std::string_view name_of(Method method) { return kNames[static_cast<std::size_t>(method)].second; }

std::vector<Method> parse_methods(std::string_view text) {
  if (text == "all") return {kMethods.begin(), kMethods.end()};
  std::vector<Method> methods;
  while (true) {
    const std::size_t comma = text.find(',');
    const Method method = parse_method(text.substr(0, comma));
    if (std::find(methods.begin(), methods.end(), method) == methods.end()) {
      methods.push_back(method);
    }
    if (comma == std::string_view::npos) return methods;
    text.remove_prefix(comma + 1);
  }
}

std::string_view name_of(Formulation formulation) {
  return formulation == Formulation::paper ? "paper" : "authors";
}

}  // namespace vitsnna::explain
