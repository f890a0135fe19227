// SPDX-License-Identifier: MIT
#include "model_shrink.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <sstream>

#include "model_checker.hpp"

namespace reactor::sim::model {

bool fails(const Program& program, unsigned limit_s) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, STDOUT_FILENO);
    ::dup2(nowhere, STDERR_FILENO);
    ::alarm(limit_s);
    ::_exit(run(program) ? 1 : 0);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return false;
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

Program keep_only(const Program& program, const std::vector<std::size_t>& kept) {
  Program shorter = program;
  shorter.steps.clear();
  for (const std::size_t at : kept) {
    if (at < program.steps.size()) shorter.steps.push_back(program.steps[at]);
  }
  return shorter;
}

// Delta debugging: pieces are left out, large ones first, until no single step can be.
std::vector<std::size_t> shrink(const Program& program) {
  std::vector<std::size_t> kept(program.steps.size());
  std::iota(kept.begin(), kept.end(), std::size_t{0});
  int tries = 2000;
  for (std::size_t piece = std::max<std::size_t>(kept.size() / 2, 1);;) {
    bool is_shorter = false;
    for (std::size_t begin = 0; begin < kept.size() && tries > 0;) {
      std::vector<std::size_t> rest(kept);
      const auto from = rest.begin() + static_cast<std::ptrdiff_t>(begin);
      rest.erase(from, from + static_cast<std::ptrdiff_t>(std::min(piece, rest.size() - begin)));
      tries--;
      if (fails(keep_only(program, rest), 10)) {
        kept = std::move(rest);
        is_shorter = true;
      } else {
        begin += piece;
      }
    }
    if (tries <= 0 || (piece == 1 && !is_shorter)) return kept;
    piece = std::max<std::size_t>(piece / 2, 1);
  }
}

std::string to_text(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (const std::size_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

std::vector<std::size_t> to_numbers(const std::string& text) {
  std::vector<std::size_t> numbers;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) numbers.push_back(std::stoul(word));
  return numbers;
}

}  // namespace reactor::sim::model
