// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <reactor/address.hpp>
#include <reactor/event.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>
#include <reactor/socket.hpp>

#include "../process_handles.hpp"

/// What the parity tests share. Everything that needs a call of the operating system is in system.cpp.
namespace parity {

using ::open_handles;

using reactor::Address;
using reactor::Event;
using reactor::Interest;
using reactor::Mode;
using reactor::NativeSocket;
using reactor::Poller;
using reactor::Readiness;
using reactor::Registration;
using reactor::Result;
using reactor::Shutdown;
using reactor::Socket;
using reactor::TcpListener;
using reactor::TcpStream;
using reactor::Token;
using reactor::UdpSocket;
using reactor::Waker;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

using enum reactor::Readiness;  // none, readable, writable, priority, read_closed, hung_up, failed

inline constexpr Interest asks_nothing = Interest::none;
inline constexpr Interest asks_read = Interest::readable;
inline constexpr Interest asks_write = Interest::writable;
inline constexpr Interest asks_both = Interest::readable | Interest::writable;
inline constexpr Interest asks_all = Interest::readable | Interest::writable | Interest::priority;

/// How long a test waits for what must happen, and for what must not.
inline constexpr seconds time_limit{10};
inline constexpr milliseconds quiet{50};

[[nodiscard]] bool is_windows() noexcept;
[[nodiscard]] bool is_wine() noexcept;
[[nodiscard]] bool is_wine_8() noexcept;  ///< or before: some answers of Wine 10 are those of Windows

/// What a test expects on each system; converts to what it expects on this one.
template <class T>
struct On {
  T linux_value;
  T windows_value;  // by public sources: docs/kernel-facts.md
  T wine_value;     // as run

  // NOLINTNEXTLINE(google-explicit-constructor): an expectation is used as its value
  [[nodiscard]] operator T() const noexcept {
    if (!is_windows()) return linux_value;
    return is_wine() ? wine_value : windows_value;
  }
};

template <class T>
[[nodiscard]] On<T> on(T linux_value, T windows_value) {
  return {linux_value, windows_value, windows_value};
}
template <class T>
[[nodiscard]] On<T> on(T linux_value, T windows_value, T wine_value) {
  return {linux_value, windows_value, wine_value};
}
template <class T>
[[nodiscard]] On<T> everywhere(T value) {
  return {value, value, value};
}

/// An event without what a test does not compare.
struct Report {
  std::uint64_t token;
  Readiness readiness;

  [[nodiscard]] friend bool operator==(const Report&, const Report&) noexcept = default;
};
using Reports = std::vector<Report>;  // sorted by token
inline const Reports nothing;

[[nodiscard]] Reports reports_of(std::span<const Event> events);
/// "readable|writable"
[[nodiscard]] std::string text(Readiness readiness);
[[nodiscard]] constexpr bool covers(Readiness all, Readiness part) noexcept { return (all & part) == part; }

/// One wait, which must not fail.
[[nodiscard]] Reports next(Poller& poller, nanoseconds timeout = time_limit);

/// Waits until one wait reports exactly `wanted`. Earlier waits may report part of it, as bytes and FIN may arrive one
/// after the other. Returns the last reports. If `wanted` is empty: what comes within `quiet`.
[[nodiscard]] Reports settled(Poller& poller, const Reports& wanted);

/// With REACTOR_NO_INLINE set in the environment, without inline completions: the fall-back.
[[nodiscard]] Poller make_poller();

/// The value of a Result that must have one. Ends the test if it has none.
template <class T>
[[nodiscard]] T must(Result<T> result) {
  if (!result) FAIL("failed: ", result.error().message());
  return *std::move(result);
}
inline void must(const Result<>& result) {
  if (!result) FAIL("failed: ", result.error().message());
}

/// The error of a Result, to be compared with a std::errc. A success is equal to none of them.
struct Reason {
  std::error_code code;

  [[nodiscard]] friend bool operator==(const Reason& reason, std::errc wanted) noexcept {
    return reason.code == wanted;
  }
};
template <class T>
[[nodiscard]] Reason reason(const Result<T>& result) {
  return {result ? std::error_code() : result.error()};
}

struct Pair {
  TcpStream client, server;
};

/// Makes connected pairs of streams, one after the other.
class Loopback {
 public:
  Loopback();
  [[nodiscard]] Pair connect();
  [[nodiscard]] Address address() const;

 private:
  TcpListener listener_;
  Poller poller_;
};

[[nodiscard]] Pair make_pair();

/// Sends all bytes, and waits while the send buffer is full.
void send_all(const TcpStream& stream, std::span<const std::byte> bytes);
void send_byte(const TcpStream& stream);
/// Receives until would-block or the end, and returns the number of bytes. A reset counts as the end.
std::size_t receive_all(const TcpStream& stream);
/// Sends until the stream takes no more: both systems still move bytes on for a while after the first would-block.
std::size_t fill(const TcpStream& stream);
/// Closes it with a reset for the peer.
void reset(TcpStream& stream);

/// A thread (in a simulation a program) that waits on a poller, hands over what one wait reported, and waits again when
/// that was taken.
class Waiting {
 public:
  explicit Waiting(Poller& poller);
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting();
  /// What one wait reported: nothing after a wake. Ends the test if no wait returns in time.
  [[nodiscard]] Reports take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Functions that call the system: system.cpp.
[[nodiscard]] TcpStream unconnected_stream();
[[nodiscard]] TcpStream duplicate(const TcpStream& stream);
/// The number of bytes that have arrived and were not received.
[[nodiscard]] std::size_t available(const TcpStream& stream);
/// Whether another loop that watches a Poller's native_handle() sees it ready within that time.
[[nodiscard]] bool is_signalled(reactor::NativeHandle handle, milliseconds timeout);
/// Runs `handler` as the system does when the user interrupts the program: in a signal handler of this thread, or on
/// Windows on the thread of its console control handlers. Returns after that.
void interrupt(void (*handler)());
#ifdef _WIN32
/// The overlapped end of a pipe, which reads.
class OverlappedPipe {
 public:
  OverlappedPipe();
  OverlappedPipe(const OverlappedPipe&) = delete;
  OverlappedPipe& operator=(const OverlappedPipe&) = delete;
  ~OverlappedPipe();
  [[nodiscard]] reactor::NativeHandle native() const noexcept { return native_; }
  /// One read at a time. False: it has failed at once.
  bool begin_read();
  void cancel() const;
  /// FILE_SKIP_COMPLETION_PORT_ON_SUCCESS.
  void skip_packets_on_success() const;
  [[nodiscard]] const void* overlapped() const noexcept;  ///< of the read
  [[nodiscard]] std::string text(std::size_t bytes) const { return {buffer_.data(), bytes}; }
  /// At the other end.
  void write(const std::string& text) const;
  void close_other();

 private:
  struct Read;
  std::array<char, 64> buffer_{};
  std::unique_ptr<Read> read_;
  reactor::NativeHandle native_ = nullptr, other_ = nullptr;
};
/// An overlapped receive of one byte; one at a time.
void begin_receive(const TcpStream& stream);
/// PostQueuedCompletionStatus to the port of a Poller.
void post(const Poller& poller, std::uintptr_t key, unsigned bytes, void* overlapped);
#endif
/// A handle or descriptor that is not a socket.
class RegularFile {
 public:
  RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  ~RegularFile();
  [[nodiscard]] NativeSocket native() const noexcept { return native_; }

 private:
  NativeSocket native_;
};

/// A path for a Unix socket, whose file is deleted at the end: on no system is it by closing the socket.
class SocketPath {
 public:
  SocketPath();
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;
  ~SocketPath();
  [[nodiscard]] Address address() const { return must(Address::unix_path(path_)); }

 private:
  std::string path_;
};

/// What add_handle takes: stays signalled once it is set, until it is cleared. A manual-reset event; an eventfd.
class Signal {
 public:
  Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() { close(); }
  [[nodiscard]] reactor::NativeHandle native() const noexcept { return native_; }
  void set() const;
  void clear() const;
  /// Its number is kept.
  void close();

 private:
  reactor::NativeHandle native_;
  [[maybe_unused]] bool is_open_ = true;
  std::shared_ptr<void> of_system_;  // of a simulated one
};

/// The fixture of every test here: checks that the test leaves no handle open.
class NothingIsLeft {
 public:
  NothingIsLeft();
  NothingIsLeft(const NothingIsLeft&) = delete;
  NothingIsLeft& operator=(const NothingIsLeft&) = delete;
  ~NothingIsLeft();

 private:
  int before_;
};

/// From REACTOR_SEED, or a fixed one.
[[nodiscard]] std::uint64_t seed();

}  // namespace parity

namespace reactor {

/// doctest finds this function by its name. The result is as "readable|writable".
[[nodiscard]] doctest::String toString(Readiness readiness);  // NOLINT(readability-identifier-naming)

}  // namespace reactor

template <>
struct doctest::StringMaker<parity::Reports> {
  static String convert(const parity::Reports& reports_of);
};
template <>
struct doctest::StringMaker<parity::Reason> {
  static String convert(const parity::Reason& reason);
};
