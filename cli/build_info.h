// What this binary was built from and with.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vitsnna::cli {

/// The manifest's object "vitsnna": version, commit, compiler, build type, parts.
nlohmann::ordered_json build_json();

}  // namespace vitsnna::cli
