// The compiler's own report of every kernel: no spills and no stack, and the registers that
// docs/kernel_resources.tsv states, with the blocks that fit on an SM as launchers ask for them
// (docs/kernel_launches.tsv, which tests/simt's kernel_launches holds to the launchers).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "tests/support/kernel_name.h"

namespace vitsnna {
namespace {

/// What an SM holds, and in which units registers and shared memory are given out (the programming
/// guide's tables of compute capabilities 8.0 and 9.0).
struct Multiprocessor {
  int shared_bytes;
  int registers = 65536, warps = 64, blocks = 32;
  int reserved_shared_bytes = 1024;  ///< of each block
};
constexpr Multiprocessor sm_80{164 * 1024}, sm_90{228 * 1024};

/// A launch of a kernel, as its launcher asks for it.
struct Launch {
  int threads = 0, shared_bytes = 0;
};

/// Blocks of a launch that fit on an SM, and what keeps more out.
struct Occupancy {
  int blocks = 0;
  std::string limit;
};

Occupancy occupancy(const Multiprocessor& sm, int registers, int static_shared,
                    const Launch& launch) {
  const auto up_to = [](int value, int unit) { return (value + unit - 1) / unit * unit; };
  const int warps = launch.threads / 32;
  // Registers are given to a warp in units of 256; each of four schedulers has its quarter of both.
  const int warps_by_registers = sm.registers / 4 / up_to(registers * 32, 256) * 4;
  const int shared = up_to(static_shared + launch.shared_bytes + sm.reserved_shared_bytes, 128);
  Occupancy least{sm.blocks, "blocks"};
  for (const auto& [blocks, limit] :
       {std::pair{sm.warps / warps, "warps"}, std::pair{warps_by_registers / warps, "registers"},
        std::pair{sm.shared_bytes / shared, "shared memory"}}) {
    if (blocks < least.blocks) least = {blocks, limit};
  }
  return least;
}

/// Launches by kernel, from the committed table.
std::multimap<std::string, Launch> read_launches() {
  std::multimap<std::string, Launch> launches;
  std::ifstream file(VITSNNA_LAUNCH_TABLE);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string kernel, threads, shared_bytes;
    std::getline(fields, kernel, '\t');
    std::getline(fields, threads, '\t');
    std::getline(fields, shared_bytes, '\t');
    launches.emplace(kernel, Launch{std::stoi(threads), std::stoi(shared_bytes)});
  }
  return launches;
}

struct Report {
  std::set<std::string> lines;   ///< of the table
  std::set<std::string> faults;  ///< kernels with a stack or spills
};

/// A line for each launch of a kernel at the sizes of docs/kernel_launches.tsv, or one without.
void add_lines(const std::string& kernel, const std::string& architecture, int registers,
               int static_shared, Report& report) {
  static const std::multimap<std::string, Launch> launches = read_launches();
  const std::string start = kernel + "\t" + architecture + "\t" + std::to_string(registers) + "\t" +
                            std::to_string(static_shared) + "\t";
  const auto [first, last] = launches.equal_range(kernel);
  if (first == last) report.lines.insert(start + "-\t-\t-\t-\t-");
  for (auto one = first; one != last; ++one) {
    const Launch& launch = one->second;
    const Occupancy fits =
        occupancy(architecture == "sm_80" ? sm_80 : sm_90, registers, static_shared, launch);
    report.lines.insert(start + std::to_string(launch.threads) + "\t" +
                        std::to_string(launch.shared_bytes) + "\t" + std::to_string(fits.blocks) +
                        "\t" + std::to_string(fits.blocks * launch.threads / 32) + "\t" +
                        fits.limit);
  }
}

void read_report(const std::filesystem::path& path, Report& report) {
  std::ifstream file(path);
  const std::regex entry("Compiling entry function '(\\w+)' for '(\\w+)'");
  const std::regex stack("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill");
  const std::regex used("Used (\\d+) registers");
  const std::regex shared("(\\d+) bytes smem");
  std::string kernel, architecture, line;
  std::smatch found;
  while (std::getline(file, line)) {
    if (std::regex_search(line, found, entry)) {
      kernel = test::kernel_name(test::demangled(found[1]));
      architecture = found[2];
    } else if (std::regex_search(line, found, stack)) {
      if (found[1] != "0" || found[2] != "0" || found[3] != "0") {
        report.faults.insert(kernel + " on " + architecture + ": " + found[0].str() + " loads");
      }
    } else if (!kernel.empty() && std::regex_search(line, found, used)) {
      const int registers = std::stoi(found[1]);
      const std::string bytes = std::regex_search(line, found, shared) ? found[1].str() : "0";
      add_lines(kernel, architecture, registers, std::stoi(bytes), report);
      kernel.clear();
    }
  }
}

const Report& report() {
  static const Report all = [] {
    Report made;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(VITSNNA_RESOURCE_REPORTS)) {
      if (entry.path().extension() == ".resources") read_report(entry.path(), made);
    }
    return made;
  }();
  return all;
}

TEST(KernelResources, NoKernelSpillsOrNeedsAStack) {
  ASSERT_FALSE(report().lines.empty()) << "no report below " << VITSNNA_RESOURCE_REPORTS;
  for (const std::string& fault : report().faults) ADD_FAILURE() << fault;
}

TEST(KernelResources, AreThoseOfTheCommittedTable) {
  const std::string header =
      "kernel\tarchitecture\tregisters\tstatic shared bytes\tthreads\tdynamic shared bytes\tblocks "
      "an SM\twarps an SM\tlimit";
  std::ofstream found(VITSNNA_FOUND_RESOURCES);
  found << header << "\n";
  for (const std::string& line : report().lines) found << line << "\n";
  found.close();
  std::ifstream file(VITSNNA_RESOURCE_TABLE);
  std::string line;
  ASSERT_TRUE(std::getline(file, line)) << VITSNNA_RESOURCE_TABLE << ": cannot be read";
  EXPECT_EQ(line, header);
  std::set<std::string> committed;
  while (std::getline(file, line)) committed.insert(line);
  std::ostringstream changes;
  for (const std::string& one : committed) {
    if (!report().lines.contains(one)) changes << "- " << one << "\n";
  }
  for (const std::string& one : report().lines) {
    if (!committed.contains(one)) changes << "+ " << one << "\n";
  }
  EXPECT_EQ(changes.str(), "") << "if that is meant: cp " << VITSNNA_FOUND_RESOURCES << " "
                               << VITSNNA_RESOURCE_TABLE;
}

TEST(KernelResources, OccupancyFollowsFromTheScarcestResource) {
  const auto fits = [](const Multiprocessor& sm, int registers, Launch launch, int blocks,
                       const std::string& limit) {
    const Occupancy found = occupancy(sm, registers, 0, launch);
    EXPECT_EQ(found.blocks, blocks) << registers << " registers";
    EXPECT_EQ(found.limit, limit) << registers << " registers";
  };
  fits(sm_80, 16, {32, 0}, 32, "blocks");
  fits(sm_80, 32, {256, 0}, 8, "warps");
  fits(sm_80, 33, {128, 0}, 12, "registers");
  fits(sm_80, 255, {128, 0}, 2, "registers");
  fits(sm_80, 168, {128, 56 * 1024}, 2, "shared memory");
  fits(sm_90, 168, {128, 56 * 1024}, 3, "registers");
  fits(sm_90, 64, {128, 227 * 1024}, 1, "shared memory");
}

}  // namespace
}  // namespace vitsnna
