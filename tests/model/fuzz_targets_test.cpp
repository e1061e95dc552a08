// The fuzz targets on mutants of their seeds; scripts/fuzz goes on with libFuzzer.
#include <catch2/catch.hpp>
#include <random>

#include "tests/fuzz/targets.hpp"
#include "tests/mutated_file.hpp"

namespace wkv {
namespace {

bool accepts(const fuzz::Target& target, const std::string& text) {
  // On the heap and no larger than its contents, so that a read past the end is seen by AddressSanitizer.
  const std::vector<char> bytes(text.begin(), text.end());
  return target.accepts(std::as_bytes(std::span(bytes)));
}

void run_mutants(const fuzz::Target& target, int rounds) {
  const std::vector<std::string> seeds = target.seeds();
  std::mt19937_64 random(5);
  int accepted = 0, refused = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string mutant = mutated(seeds[random() % seeds.size()], target.syntax, random);
    CAPTURE(round, mutant);
    ++(accepts(target, mutant) ? accepted : refused);
  }
  CAPTURE(accepted, refused);
  REQUIRE(accepted > rounds / 100);
  REQUIRE(refused > rounds / 10);
}

TEST_CASE("fuzz targets: mutants of .pth files are each read whole or refused in one line") {
  run_mutants(fuzz::pth, 10'000);
}

TEST_CASE("fuzz targets: mutants of pickles are each read whole or refused in one line") {
  run_mutants(fuzz::pickle, 10'000);
}

TEST_CASE("fuzz targets: mutants of vocabularies encode by the longest match or are refused in one line") {
  run_mutants(fuzz::vocabulary, 500);
}

TEST_CASE("fuzz targets: every seed is accepted") {
  for (const fuzz::Target* target : {&fuzz::safetensors, &fuzz::pth, &fuzz::pickle, &fuzz::vocabulary}) {
    CAPTURE(target->name);
    for (const std::string& seed : target->seeds()) REQUIRE(accepts(*target, seed));
  }
}

}  // namespace
}  // namespace wkv
