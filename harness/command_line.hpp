// How every program of the suite reads its command line.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace wkv {

// The arguments after the program's name, into what the app's options store. Returns the help where it was asked for,
// or else nothing. Throws UsageError with one line for the user, and lets that of an option's own function pass.
std::string parse_command_line(CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace wkv
