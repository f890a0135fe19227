// SPDX-License-Identifier: MIT
#pragma once

#include <stop_token>
#include <utility>

/// In the place of stdexec, which Debian does not have: the names of it that reactor/loop/stdexec.hpp uses, with the
/// meaning that P2300 gives them, and no more. A stop token is std::stop_token.
namespace stdexec {

struct sender_t {};
struct operation_state_t {};
template <class... Signatures>
struct completion_signatures {};

struct set_value_t {
  template <class Receiver, class... Values>
  void operator()(Receiver&& receiver, Values&&... values) const noexcept {
    std::forward<Receiver>(receiver).set_value(std::forward<Values>(values)...);
  }
};
struct set_error_t {
  template <class Receiver, class Error>
  void operator()(Receiver&& receiver, Error&& error) const noexcept {
    std::forward<Receiver>(receiver).set_error(std::forward<Error>(error));
  }
};
struct set_stopped_t {
  template <class Receiver>
  void operator()(Receiver&& receiver) const noexcept {
    std::forward<Receiver>(receiver).set_stopped();
  }
};
inline constexpr set_value_t set_value;
inline constexpr set_error_t set_error;
inline constexpr set_stopped_t set_stopped;

template <class Receiver>
auto get_env(const Receiver& receiver) noexcept {
  return receiver.get_env();
}
template <class Receiver>
using env_of_t = decltype(get_env(std::declval<Receiver>()));
template <class Env>
auto get_stop_token(const Env& env) noexcept {
  return env.stop_token;
}
template <class Env>
using stop_token_of_t = decltype(get_stop_token(std::declval<Env>()));
template <class Token, class Callback>
using stop_callback_for_t = std::stop_callback<Callback>;

}  // namespace stdexec
