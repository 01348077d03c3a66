// gpu_report [--short] FOLDER: prints the tables of a run of scripts/gpu_check.sh.
#include <cstdio>
#include <exception>
#include <string_view>

#include "bench/gpu_report.h"

int main(int argc, char** argv) {
  const bool brief = argc == 3 && std::string_view(argv[1]) == "--short";
  if (argc != 2 && !brief) {
    std::fprintf(stderr, "usage: gpu_report [--short] FOLDER\n");
    return 2;
  }
  try {
    using namespace vitsnna::bench;
    const std::string report = brief ? short_report(argv[2]) : full_report(argv[1]);
    std::fputs(report.c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_report: %s\n", error.what());
    return 1;
  }
}
