#include "harness/report.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "harness/results_file.hpp"
#include "tests/example_cells.hpp"

namespace wkv {
namespace {

using Catch::Matchers::Contains;
using test::skipped_cell;
using test::timed_cell;

TEST_CASE("report: the table has a row per timed cell in the order of T, and the skipped ones with their reason") {
  CellResult noisy = timed_cell(64, 64e3);
  noisy.noisy = true;
  const std::string text = table_text(make_context({}, 0, {}), {timed_cell(128, 128e3), noisy, skipped_cell(256)});
  CHECK_THAT(text, Contains("wkv5  f32 prefill  B=2 H=4 N=8  2 threads"));
  CHECK(text.find("64.0 us") < text.find("128 us"));
  CHECK_THAT(text, Contains("20.0%") && Contains("25%") && Contains("noisy"));
  CHECK_THAT(text, Contains("Skipped") && Contains("T=256: predicted to take 5 h"));
  CHECK_THAT(text, !Contains("Failed"));
}

TEST_CASE("report: a time below the floor is not passed over in silence") {
  CellResult cell = timed_cell(64, 64e3);
  CHECK_THAT(table_text(make_context({}, 0, {}), {cell}), !Contains("above 100%"));
  cell.floor_ns = 2 * 64e3;
  CHECK_THAT(table_text(make_context({}, 0, {}), {cell}), Contains("200%") && Contains("above 100%"));
}

TEST_CASE("report: many cells skipped for one reason make one line") {
  std::vector<CellResult> cells;
  for (const int64_t T : {1, 2, 4, 8, 16}) cells.push_back(skipped_cell(T));
  const std::string text = table_text(make_context({}, 0, {}), cells);
  CHECK_THAT(text, Contains("T=1, 2 .. 16:"));
}

TEST_CASE("report: CSV has as many fields in every line, and quotes what needs it") {
  CellResult failed = skipped_cell(2);
  failed.status = "failed";
  failed.reason = "y[1, 2]: expected \"1\", got nan";
  std::istringstream text(csv_text({timed_cell(1, 10), failed}));
  std::string header, first, second;
  std::getline(text, header);
  std::getline(text, first);
  std::getline(text, second);
  const auto commas = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  CHECK(header.starts_with("op,variant,device,mode,dtype"));
  CHECK(commas(header) == commas(first));
  CHECK(first.starts_with("wkv5,cpu_naive,cpu,prefill,f32"));
  CHECK_THAT(second, Contains("\"y[1, 2]: expected \"\"1\"\", got nan\""));
  CHECK(commas(second) == commas(header) + 2);  // those within the quotes
}

}  // namespace
}  // namespace wkv
