#include "harness/results.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/example_cells.hpp"

namespace wkv {
namespace {

using Json = nlohmann::ordered_json;
using test::skipped_cell;
using test::timed_cell;

TEST_CASE("results: a cell's name has all that tells it from another") {
  CHECK(timed_cell(1024, 1).name() == "wkv5/cpu_naive/f32/prefill/B:2/T:1024/H:4/N:8/threads:2/realistic");
}

TEST_CASE("results: rates follow from the time, the work and the floor") {
  const CellResult cell = timed_cell(100, 1000);
  const auto entries = entries_of(cell);
  REQUIRE(entries.size() == 7);
  const Json& median = entries[4];
  CHECK(median["aggregate_name"] == "median");
  CHECK(median["ns_per_token"].get<double>() == Approx(1000.0 / 200));  // B T = 200 tokens
  CHECK(median["tokens_per_second"].get<double>() == Approx(2e8));
  CHECK(median["gflops"].get<double>() == Approx(4));
  CHECK(median["gbytes_per_second"].get<double>() == Approx(2));
  CHECK(median["floor_share"].get<double>() == Approx(0.25));
  CHECK(entries[0]["ns_per_token"].get<double>() == Approx(4.5));
  CHECK(!entries[6].contains("ns_per_token"));  // cv is no time
  CHECK(cell.median_ns() == 1000);
  CHECK(cell.spread() == 0.2);
  CHECK(cell.repetitions() == 3);
}

TEST_CASE("results: in decode a token is one new token, however long the context") {
  CellResult cell = timed_cell(4096, 1000);
  cell.mode = "decode";
  CHECK(cell.tokens() == 2);
  CHECK(rates_of(cell, 1000).ns_per_token == 500);
}

TEST_CASE("results: cells come back from their entries as they were") {
  Json entries = Json::array();
  for (const CellResult& cell : {timed_cell(1, 10), skipped_cell(2), timed_cell(4, 40)}) {
    for (const Json& entry : entries_of(cell)) entries.push_back(entry);
  }
  const auto cells = cells_of(Json::parse(entries.dump()));
  REQUIRE(cells.size() == 3);
  CHECK(cells[0].seed == 0xffffffffffffffffu);
  CHECK(cells[0].median_ns() == 10);
  CHECK(cells[1].status == "skipped");
  CHECK(std::isnan(cells[1].error));
  CHECK(cells[1].runs.empty());
  CHECK(cells[2].runs.size() == 7);
  Json again = Json::array();
  for (const CellResult& cell : cells) {
    for (const Json& entry : entries_of(cell)) again.push_back(entry);
  }
  CHECK(again.dump() == entries.dump());
}

TEST_CASE("results: a window is part of the name and stored, where there is one") {
  CellResult cell = timed_cell(64, 10);
  CHECK(!entries_of(cell)[0].contains("window"));
  cell.window = 0;
  const Json entries(entries_of(cell));
  CHECK(entries[0]["window"] == 0);
  const auto cells = cells_of(entries);
  REQUIRE(cells.size() == 1);
  CHECK(cells[0].name() == "wkv5/cpu_naive/f32/prefill/B:2/T:64/H:4/N:8/W:0/threads:2/realistic");
}

TEST_CASE("results: a skipped cell says so where Google Benchmark says it") {
  const auto entries = entries_of(skipped_cell(8));
  REQUIRE(entries.size() == 1);
  CHECK(entries[0]["error_occurred"] == true);
  CHECK(entries[0]["error_message"] == skipped_cell(8).reason);
  CHECK(Json::parse(entries[0].dump())["error"].is_null());
}

}  // namespace
}  // namespace wkv
