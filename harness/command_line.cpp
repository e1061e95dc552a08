#include "harness/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/arguments.hpp"

namespace wkv {
namespace {

// About the first argument that no option took.
std::string unexpected(const CLI::App& app) {
  const std::string extra = app.remaining().front();
  if (!extra.starts_with('-')) return fmt::format("\"{}\" belongs to no option; see --help", extra);
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back("--" + option->get_lnames().front());
  const std::string meant = nearest(extra, names);
  return fmt::format("there is no option {}; {}", extra,
                     meant.empty() ? "--help lists them" : fmt::format("did you mean {}?", meant));
}

}  // namespace

std::string parse_command_line(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::ExtrasError&) {
    throw UsageError(unexpected(app));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string message = error.what();
    throw UsageError(fmt::format("{} needs a value; see --help", message.substr(0, message.find(':'))));
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  return {};
}

}  // namespace wkv
