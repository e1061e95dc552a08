// Files that are complete whenever anybody reads them.
#pragma once

#include <filesystem>
#include <string_view>

namespace wkv {

// Into a file beside it, then renamed: whoever reads, at any time, finds a complete one. Throws std::runtime_error that
// names what the file is for.
void write_atomically(const std::filesystem::path& path, std::string_view text, std::string_view what);

}  // namespace wkv
