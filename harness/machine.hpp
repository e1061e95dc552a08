// What is known of the machine and of this build.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace wkv {

std::string cpu_model();  // "unknown" where the system does not tell
int cpu_count();          // that this process may use
// Bytes that can be allocated without swapping, a container's limit considered.
size_t available_memory();
std::filesystem::path program_directory();
std::string compiler();
std::string git_revision();  // of the build, "-dirty" behind it if there were uncommitted changes; empty if unknown

}  // namespace wkv
