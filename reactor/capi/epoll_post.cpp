// SPDX-License-Identifier: MIT
//
// reactor/epoll_post.h on Windows. A file of its own, so that a program that has a function of this name and does not
// call ours can link the static library.
#include <reactor/nt/windows.hpp>

#include <cstdint>

#include <reactor/epoll_post.h>
#include <reactor/capi/last_error.hpp>
#include <reactor/capi/port.hpp>
#include <reactor/event.hpp>

int epoll_post(HANDLE ephnd, std::uint64_t data) {
  const auto port = reactor::capi::find_port(ephnd);
  if (!port) return reactor::capi::fail(port.error());
  const auto posted = (*port)->post(reactor::Token{data});
  return posted ? 0 : reactor::capi::fail(posted.error());
}
