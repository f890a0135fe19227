// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::notify {

/// Readiness by socket notifications, with polls on the same port for what they cannot say: the AFD backend, whose
/// registrations Notifications arms where it can.
///
/// A socket that was closed without remove is noticed when its registration is armed again, and not before: the kernel
/// reports nothing of it. A socket may be in several Pollers as long as the kernel refuses to register it at a second
/// port (fact notify.two_ports); the others poll it.
class NotifyBackend final : public afd::AfdBackend {
 public:
  /// The kernel must outlive it. Error: function_not_supported where it has no notifications.
  [[nodiscard]] static Result<std::shared_ptr<NotifyBackend>> create(nt::Kernel& kernel, const PollerOptions& options);

  using AfdBackend::AfdBackend;

 private:
  void attach(nt::Kernel& kernel);
};

}  // namespace reactor::notify
