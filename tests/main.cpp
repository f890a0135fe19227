// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

#include "process_handles.hpp"

namespace {

// What the system opens once in a process and keeps (Winsock, say) is not a leak: let it
// do so before the count begins.
bool warm_up() {
  using namespace reactor;
  auto poller = Poller::create();
  const auto listener = TcpListener::bind(Address::loopback_ipv4());
  if (!poller || !listener) return false;
  const auto registration = poller->add(listener->native(), Token{}, Interest::readable);
  const auto address = listener->local_address();
  const auto stream = address ? TcpStream::connect(*address) : failure(address.error());
  std::array<Event, 1> buffer;
  std::thread([] {}).join();
  return registration && stream && poller->wait(buffer, std::chrono::seconds(10)).has_value();
}

// A test name that the test runner has changed selects no test. To run no test is a failure.
class CountsTests final : public doctest::IReporter {
 public:
  static inline unsigned ran = 0;

  explicit CountsTests(const doctest::ContextOptions&) {}
  void test_run_end(const doctest::TestRunStats& stats) override { ran = stats.numTestCasesPassingFilters; }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("counts", 1, CountsTests);

}  // namespace

// Every test program checks at its end that it has as many open handles as at its start.
int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  for (int i = 1; i < argc; i++) {
    if (std::strncmp(argv[i], "--list", 6) == 0) return context.run();  // only lists the tests
  }
  if (!warm_up()) {
    std::puts("FAIL: no socket or no Poller could be created before the first test");
    return 1;
  }
  const int before = open_handles();
  const int failed = context.run();
  const int leaked = open_handles() - before;
  if (leaked != 0) std::printf("FAIL: %d handles more at the end than at the start (%d)\n", leaked, before);
  if (CountsTests::ran == 0) std::puts("FAIL: no test has the requested name");
  return failed != 0 ? failed : static_cast<int>(leaked != 0 || CountsTests::ran == 0);
}
