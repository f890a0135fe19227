// SPDX-License-Identifier: MIT
#include <reactor/loop/context.hpp>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <reactor/assert.hpp>
#include <reactor/loop/core.hpp>

namespace reactor::detail {

void misuse(const char* what) noexcept {
  std::fprintf(stderr, "reactor::loop: %s\n", what);
  std::abort();
}

Core& Operation::core() const noexcept { return promise->context->core(); }

void Operation::wait() noexcept {
  Context& context = *promise->context;
  REACTOR_ASSERT(context.waits_for_ == nullptr);
  context.waits_for_ = this;
  context.since_ = context.core().turn_began();
  is_waiting_ = true;
}

bool Operation::is_pending() const noexcept { return is_waiting_ && context().queued_ == Context::Queued::no; }

void Operation::was_resumed() noexcept {
  promise->context->waits_for_ = nullptr;
  is_waiting_ = false;
}

// Its task is destroyed while it waits.
void Operation::abandon() noexcept {
  promise->context->waits_for_ = nullptr;
  promise->context->unqueue();
}

Context::Context(Core& core, Context* parent, Inherits inherits) noexcept
    : core_(&core), parent_(parent), inherits_(inherits) {
  is_stopped_ = parent != nullptr && parent->is_stopped_ && inherits == Inherits::stop;
  core.add(*this);
}

Context::~Context() {
  require(first_child_ == nullptr, "a group or a time-out ended before the tasks in it");
  unqueue();
  if (first_ != nullptr) core_->count_task(-1);
  core_->remove(*this);
}

void Context::destroy_children() noexcept {
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): each takes itself out of the list
  while (first_child_ != nullptr) delete first_child_;
}

void Context::request_stop() noexcept {
  if (is_stopped_) return;
  is_stopped_ = true;
  on_stop();
  if (waits_for_ != nullptr && queued_ == Queued::no) waits_for_->cancel();
  for (Context* child = first_child_; child != nullptr; child = child->next_sibling_) {
    if (child->inherits_ == Inherits::stop) child->request_stop();
  }
}

void Context::queue(Queued why) noexcept {
  REACTOR_ASSERT(queued_ == Queued::no);
  queued_ = why;
  core_->push(*this);
}

void Context::unqueue() noexcept {
  if (queued_ == Queued::no) return;
  queued_ = Queued::no;
  core_->erase(*this);
}

void Context::begin(PromiseBase& first) noexcept {
  require(first.context == nullptr, "a task was started twice");
  first.context = this;
  first_ = &first;
  since_ = core_->turn_began();
  core_->count_task(1);
}

void Context::start_soon(PromiseBase& first) noexcept {
  begin(first);
  queue(Queued::to_start);
}

std::coroutine_handle<> Context::finish_soon() noexcept {
  queue(Queued::to_finish);
  return std::noop_coroutine();
}

void Context::complete_soon() noexcept {
  REACTOR_ASSERT(waits_for_ != nullptr);
  queue(Queued::to_resume);
}

void Context::complete() {
  REACTOR_ASSERT(waits_for_ != nullptr && queued_ == Queued::no);
  core_->resume(*this);
}

namespace {

// From the first task down to the one that waits.
void print_names(std::FILE* to, const PromiseBase* promise, const PromiseBase* first) {
  if (promise == nullptr) return;
  if (promise != first) {
    print_names(to, promise->parent, first);
    std::fputs(" > ", to);
  }
  std::fputs(promise->name != nullptr ? promise->name : "task", to);
}

}  // namespace

void Context::print(std::FILE* to, int depth, Clock::time_point now) const {
  std::fprintf(to, "%*s", depth * 2, "");
  const PromiseBase* const waiting = waits_for_ != nullptr ? waits_for_->promise : first_;
  if (waiting != nullptr) {
    print_names(to, waiting, first_);
  } else {
    std::fputs(label() != nullptr ? label() : "task", to);
  }
  const double waited_s = std::chrono::duration<double>(now - since_).count();
  if (queued_ == Queued::to_start) {
    std::fputs(": has not begun", to);
  } else if (queued_ != Queued::no) {
    std::fputs(": ready", to);
  } else if (waits_for_ != nullptr) {
    std::fprintf(to, ": waits for %s, %.3f s", waits_for_->what(), waited_s);
  } else if (first_ != nullptr) {
    std::fputs(": runs, or waits for something else", to);
  }
  std::fputs(is_stopped_ ? ", to stop\n" : "\n", to);
  // The children are linked newest first.
  const Context* child = first_child_;
  while (child != nullptr && child->next_sibling_ != nullptr) child = child->next_sibling_;
  for (; child != nullptr; child = child->previous_sibling_) child->print(to, depth + 1, now);
}

// What Core does with contexts stands here, beside them.

void Core::add(Context& context) noexcept {
  Context*& first = context.parent_ != nullptr ? context.parent_->first_child_ : roots_;
  context.next_sibling_ = first;
  if (first != nullptr) first->previous_sibling_ = &context;
  first = &context;
}

void Core::remove(Context& context) noexcept {
  Context*& first = context.parent_ != nullptr ? context.parent_->first_child_ : roots_;
  if (context.next_sibling_ != nullptr) context.next_sibling_->previous_sibling_ = context.previous_sibling_;
  (context.previous_sibling_ != nullptr ? context.previous_sibling_->next_sibling_ : first) = context.next_sibling_;
}

void Core::push(Context& context) noexcept {
  context.next_queued_ = nullptr;
  context.previous_queued_ = last_queued_;
  (last_queued_ != nullptr ? last_queued_->next_queued_ : first_queued_) = &context;
  last_queued_ = &context;
  ++queued_;
}

void Core::erase(Context& context) noexcept {
  --queued_;
  (context.next_queued_ != nullptr ? context.next_queued_->previous_queued_ : last_queued_) = context.previous_queued_;
  (context.previous_queued_ != nullptr ? context.previous_queued_->next_queued_ : first_queued_) = context.next_queued_;
}

void Core::resume(Context& context) {
  Operation* const operation = std::exchange(context.waits_for_, nullptr);
  const std::coroutine_handle<> task = operation != nullptr ? operation->promise->handle : context.first_->handle;
  if (operation != nullptr) operation->is_waiting_ = false;
  budget_ = budget_max;
  ++counted_.resumptions;
  if (!options_.measures_resumptions) return task.resume();
  const auto began = Clock::now();
  task.resume();
  measure(began);
}

void Core::run_queued() {
  // What these queue is for the next turn, so that tasks which always have something to do leave the sockets their
  // turn.
  for (std::size_t left = queued_; left != 0 && first_queued_ != nullptr; --left) {
    Context& context = *first_queued_;
    const auto why = context.queued_;
    context.unqueue();
    if (why == Context::Queued::to_finish) {
      context.on_finished();
    } else {
      resume(context);
    }
  }
}

void Core::dump(std::FILE* to) const {
  const auto now = Clock::now();
  const Context* root = roots_;
  while (root != nullptr && root->next_sibling_ != nullptr) root = root->next_sibling_;
  for (; root != nullptr; root = root->previous_sibling_) root->print(to, 0, now);
}

}  // namespace reactor::detail
