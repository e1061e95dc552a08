// Rows of cells as aligned text.
#pragma once

#include <string>
#include <vector>

namespace wkv {

class TextTable {
 public:
  // Columns whose header begins with '<' (which is not shown) are aligned left, the others right.
  explicit TextTable(std::vector<std::string> headers);
  void add(std::vector<std::string> row);
  std::string text() const;  // with the headers, every line ended

 private:
  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace wkv
