// Quantities as people read and write them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace wkv {

std::string format_seconds(double seconds);  // three digits: "1.23 us", "45.6 ms"; from 100 s on "2 min 5 s"
std::string format_bytes(double bytes);      // "512 B", "1.5 MiB"

// "8G", "8GiB", "512M", "1.5GB", "1000": powers of 1024 whatever the spelling. Nothing if it is not a size.
std::optional<size_t> parse_bytes(std::string_view text);

}  // namespace wkv
