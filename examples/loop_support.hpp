// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <reactor/loop/sockets.hpp>

/// What the larger examples of reactor::loop share.
namespace example {

/// The value; or says what failed, and ends the program.
template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "%s: %s\n", what, result.error().message().c_str());
    std::exit(1);
  }
  return std::move(*result);
}

/// Listens, and says where.
inline reactor::On<reactor::TcpListener> listen(std::string_view address) {
  auto listener =
      value_or_exit(reactor::TcpListener::bind(value_or_exit(reactor::Address::parse(address), "address")), "listen");
  std::printf("listening on %s\n", value_or_exit(listener.local_address(), "address").text().c_str());
  std::fflush(stdout);
  return reactor::On<reactor::TcpListener>(std::move(listener));
}

}  // namespace example
