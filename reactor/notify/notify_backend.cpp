// SPDX-License-Identifier: MIT
#include <reactor/notify/notify_backend.hpp>

#include <utility>

#include <reactor/allocation.hpp>
#include <reactor/notify/notifications.hpp>
#include <reactor/nt/handle.hpp>

namespace reactor::notify {

Result<std::shared_ptr<NotifyBackend>> NotifyBackend::create(nt::Kernel& kernel, const PollerOptions& options) {
  if (!kernel.has_notifications()) return failure(std::errc::function_not_supported);
  const auto opened = kernel.create_port();
  if (!opened) return failure(opened.error());
  nt::Handle port(kernel, *opened);
  const auto make = [&]() -> Result<std::shared_ptr<NotifyBackend>> {
    auto backend = std::make_unique<NotifyBackend>(kernel, *opened, options);
    static_cast<void>(port.release());  // the backend's now
    backend->attach(kernel);
    return std::shared_ptr<NotifyBackend>(backend.release());  // not make_shared: see AfdBackend::create
  };
  return catch_bad_alloc(make, out_of_memory());
}

void NotifyBackend::attach(nt::Kernel& kernel) {
  afd::Core& parts = core();
  auto notifications =
      std::make_unique<Notifications>(kernel, port(), parts.registry, parts.queue, parts.dispatcher, parts.stats);
  parts.dispatcher.set_notifier(*notifications);
  parts.notifier = std::move(notifications);
}

}  // namespace reactor::notify
