#include "harness/model/model_cell.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "harness/atomic_file.hpp"

namespace wkv::model {

std::string ModelCell::name() const {
  return fmt::format("{}/{}/{}/T:{}/threads:{}", architecture, kind, dtype, T, run_threads);
}

double ModelCell::median_ns() const {
  std::vector<double> sorted = times_ns;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

nlohmann::ordered_json json_of(const ModelCell& cell) {
  nlohmann::ordered_json json{{"name", cell.name()},
                              {"architecture", cell.architecture},
                              {"kind", cell.kind},
                              {"dtype", cell.dtype},
                              {"T", cell.T},
                              {"run_threads", cell.run_threads},
                              {"mixer", cell.mixer},
                              {"gemm", cell.gemm},
                              {"layers", cell.layers},
                              {"channels", cell.channels},
                              {"hidden", cell.hidden},
                              {"vocabulary", cell.vocabulary},
                              {"parameters", cell.parameters},
                              {"status", cell.status},
                              {"reason", cell.reason},
                              {"weight_bytes", cell.weight_bytes},
                              {"activation_bytes", cell.activation_bytes},
                              {"state_bytes", cell.state_bytes},
                              {"flops", cell.flops},
                              {"bytes", cell.bytes},
                              {"read_bytes_per_second", cell.read_bytes_per_second},
                              {"times_ns", cell.times_ns}};
  if (cell.times_ns.empty()) return json;
  const double median = cell.median_ns();
  json["median_ns"] = median;
  json["tokens_per_second"] = static_cast<double>(cell.tokens()) / median * 1e9;
  json["gflops"] = cell.flops / median;
  json["gbytes_per_second"] = cell.bytes / median;
  for (int part = 0; part < kParts; ++part) {
    json["parts_ns"][std::string(name_of(static_cast<Part>(part)))] =
        cell.part_seconds[static_cast<size_t>(part)] * 1e9;
  }
  return json;
}

ModelResultsFile::ModelResultsFile(std::filesystem::path path, nlohmann::ordered_json context)
    : path_(std::filesystem::weakly_canonical(std::move(path))), context_(std::move(context)) {
  std::error_code ignored;  // writing says what is wrong
  std::filesystem::create_directories(path_.parent_path(), ignored);
}

void ModelResultsFile::add(const ModelCell& cell) {
  cells_.push_back(cell);
  write();
}

void ModelResultsFile::write() const {
  nlohmann::ordered_json cells = nlohmann::ordered_json::array();
  for (const ModelCell& cell : cells_) cells.push_back(json_of(cell));
  const nlohmann::ordered_json document{{"context", context_}, {"cells", std::move(cells)}};
  write_atomically(path_, document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n",
                   "the results file");
}

}  // namespace wkv::model
