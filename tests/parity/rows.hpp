// SPDX-License-Identifier: MIT
#pragma once

#include "support.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

/// What the tests of the rows of docs/semantics.md share. With REACTOR_ROWS set in the environment they print the table
/// of that page, so the page says what is asserted here.
namespace parity {

inline constexpr Readiness broken = readable | writable | hung_up | failed;
inline constexpr Readiness broken_read_closed = broken | read_closed;

inline std::string cell(Readiness readiness) {
  if (readiness == none) return "\xE2\x80\x93";  // an en dash, as UTF-8
  std::string words = text(readiness);
  std::ranges::replace(words, '|', ' ');
  return words;
}

inline std::string cell(Interest asked) { return asked == asks_all ? "all" : cell(static_cast<Readiness>(asked)); }

inline void print_row(const char* situation, Interest asked, const On<Readiness>& row) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread sets it
  if (std::getenv("REACTOR_ROWS") == nullptr) return;
  std::printf("| %s | %s | %s | %s | %s |\n", situation, cell(asked).c_str(), cell(row.linux_value).c_str(),
              cell(row.windows_value).c_str(), cell(row.wine_value).c_str());
}

/// A registered socket, with its own poller.
class Watch {
 public:
  explicit Watch(const Socket& socket) : Watch(socket.native()) {}
  explicit Watch(NativeSocket socket) : registration_(must(poller_.add(socket, Token{1}, asks_nothing))) {}

  void reports(const char* situation, Interest asked, const On<Readiness>& row) {
    must(registration_.modify(asked, Mode::level));
    print_row(situation, asked, row);
    INFO(situation, ", asked for ", static_cast<Readiness>(asked));
    const Readiness wanted = row;
    const Reports exactly = wanted == none ? nothing : Reports{{1, wanted}};
    CHECK(settled(poller_, exactly) == exactly);
    if (wanted == none) return;
    // Level: reported again, but for hang-up and failure with Interest::none.
    const Reports again = asked == asks_nothing ? nothing : exactly;
    CHECK(settled(poller_, again) == again);
  }
  void reports(const char* situation, Interest asked, Readiness row) { reports(situation, asked, everywhere(row)); }

  [[nodiscard]] Poller& poller() noexcept { return poller_; }
  [[nodiscard]] Registration& registration() noexcept { return registration_; }

 private:
  Poller poller_ = make_poller();
  Registration registration_;
};

}  // namespace parity
