// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <reactor/backend.hpp>
#include <reactor/poller.hpp>

namespace reactor {

/// A Poller on the given backend: for this project's tests and benchmarks. Not installed.
[[nodiscard]] Poller poller_on(std::shared_ptr<Backend> backend) noexcept;

}  // namespace reactor
