// SPDX-License-Identifier: MIT
#include <reactor/afd/afd_backend.hpp>
#include <reactor/net/system.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor {

Result<std::shared_ptr<afd::AfdBackend>> afd::create_system_backend(const PollerOptions& options) {
  if (const auto started = sys::start(); !started) return failure(started.error());
  const auto kernel = nt::system_kernel();
  if (!kernel) return failure(kernel.error());
  return AfdBackend::create(**kernel, options);
}

}  // namespace reactor
