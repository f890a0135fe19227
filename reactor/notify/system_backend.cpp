// SPDX-License-Identifier: MIT
#include <reactor/afd/afd_backend.hpp>
#include <reactor/net/system.hpp>
#include <reactor/notify/notify_backend.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor {

namespace {

// What BackendKind::automatic means. To be set once poc/stage4_notify has been seen green on real Windows, and
// notify.two_ports to be a refusal there (docs/kernel-facts.md): then notifications are used where the system has them.
constexpr bool notifications_are_proven = false;

bool wants_notifications(BackendKind kind, nt::Kernel& kernel) {
  if (kind != BackendKind::automatic) return kind == BackendKind::notifications;
  return notifications_are_proven && kernel.has_notifications();
}

}  // namespace

Result<std::shared_ptr<Backend>> create_backend(const PollerOptions& options) {
  if (const auto started = sys::start(); !started) return failure(started.error());
  const auto kernel = nt::system_kernel();
  if (!kernel) return failure(kernel.error());
  if (!wants_notifications(options.backend, **kernel)) return afd::AfdBackend::create(**kernel, options);
  return notify::NotifyBackend::create(**kernel, options);
}

}  // namespace reactor
