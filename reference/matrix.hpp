// The matrix types of the references.
#pragma once

#include <Eigen/Core>

namespace wkv::reference {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

}  // namespace wkv::reference
