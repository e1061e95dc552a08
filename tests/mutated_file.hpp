// Whole files as strings, and damaged ones made from valid ones.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

namespace wkv {

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// One to four changes: a bit, a byte that the format gives a meaning, a piece cut out or doubled, the end cut off, a
// number in digits or in two to eight bytes.
inline std::string mutated(std::string bytes, std::string_view syntax, std::mt19937_64& random) {
  const auto below = [&](size_t bound) { return static_cast<size_t>(random() % std::max<size_t>(bound, 1)); };
  const std::string_view numbers[] = {"18446744073709551615", "9223372036854775807", "-1", "1e308", "0", "4294967296"};
  for (size_t change = 0, changes = 1 + below(4); change < changes && !bytes.empty(); ++change) {
    const size_t at = random() % 4 == 0 ? below(std::min<size_t>(bytes.size(), 8)) : below(bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = syntax[below(syntax.size())];
        break;
      case 2:
        bytes.erase(at, 1 + below(16));
        break;
      case 3:
        bytes.insert(at, bytes.substr(below(bytes.size()), 1 + below(64)));
        break;
      case 4:
        bytes.resize(at);
        break;
      case 5: {
        const uint64_t number = uint64_t{0} - below(3) + below(bytes.size());
        std::memcpy(bytes.data() + at, &number, std::min(size_t{2} << below(3), bytes.size() - at));
        break;
      }
      default: {
        const size_t digit = bytes.find_first_of("0123456789", at);
        if (digit != std::string::npos) bytes.replace(digit, 1, numbers[below(std::size(numbers))]);
      }
    }
  }
  return bytes;
}

// A .safetensors file. Half of the headers' lengths fit again, so that mutants pass the first check.
inline std::string mutated(std::string bytes, std::mt19937_64& random) {
  bytes = mutated(std::move(bytes), "{}[]\",:0123456789-e.\\ untf", random);
  if (bytes.size() >= 8 && random() % 2 == 0) {
    const size_t end = bytes.find("}}");
    const uint64_t length = end == std::string::npos ? random() % bytes.size() : end + 2 - 8;
    std::memcpy(bytes.data(), &length, 8);
  }
  return bytes;
}

}  // namespace wkv
