// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

#include <reactor/loop/context.hpp>
#include <reactor/loop/memory.hpp>

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 14
#define REACTOR_LOOP_CHECKS_FRAMES  // one store and one comparison for each task
#endif

namespace reactor {

template <class T = void>
class Task;

namespace detail {

template <class Type>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<Task<T>> = true;

struct FinalAwaiter {
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
    PromiseBase& promise = ended.promise();
    return promise.continuation ? promise.continuation : promise.context->finish_soon();
  }
  void await_resume() const noexcept {}
};

/// What the promises of tasks share, whatever they return.
struct TaskPromise : PromiseBase {
#ifdef REACTOR_LOOP_CHECKS_FRAMES
  static void* operator new(std::size_t size_bytes) { return last_frame() = allocate(size_bytes); }
  void check_frame() const noexcept {
    require(handle.address() == last_frame(),
            "this compiler (GCC 12.2) has laid a coroutine's frame out wrongly: do not co_await in the condition of an "
            "if or a loop, give the result a name before");
  }
  static void*& last_frame() noexcept {
    static thread_local void* frame = nullptr;
    return frame;
  }
#else
  static void* operator new(std::size_t size_bytes) { return allocate(size_bytes); }
  void check_frame() const noexcept {}
#endif
  static void operator delete(void* memory, std::size_t size_bytes) noexcept { release(memory, size_bytes); }

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

  /// An operation learns which task awaits it; anything else is awaited as it is.
  template <class Awaitable>
  Awaitable&& await_transform(Awaitable&& awaitable) noexcept {
    if constexpr (std::derived_from<std::remove_cvref_t<Awaitable>, Operation>) awaitable.promise = this;
    return static_cast<Awaitable&&>(awaitable);
  }

  // Without exceptions nothing calls this, and the layout stays the same.
  void unhandled_exception() noexcept { exception = std::current_exception(); }
  void rethrow() const {
    if (exception) std::rethrow_exception(exception);
  }

  std::exception_ptr exception;
};

template <class T>
struct Promise : TaskPromise {
  Promise() noexcept {}  // NOLINT(*-member-init, modernize-use-equals-default): there is no value yet
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() {
    if (has_value) value.~T();
  }

  Task<T> get_return_object() noexcept;
  template <class From>
    requires std::convertible_to<From&&, T>
  void return_value(From&& from) {
    ::new (static_cast<void*>(&value)) T(static_cast<From&&>(from));
    has_value = true;
  }
  [[nodiscard]] T take() {
    rethrow();
    return static_cast<T&&>(value);
  }

  union {
    T value;
  };
  bool has_value = false;
};

template <>
struct Promise<void> : TaskPromise {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const { rethrow(); }
};

}  // namespace detail

/// What a coroutine that runs on a Loop returns: `Task<int> f() { ... co_return 1; }`. T is void, a value that can be
/// moved, or a Result.
///
/// Lazy: nothing of it runs before it is awaited (`int n = co_await f();`), spawned into a TaskGroup or given to
/// Loop::run. It is awaited once, by a task of the same loop. A Task that is destroyed before its end destroys its
/// coroutine where that stands, with all its variables; so nothing of it runs later.
///
/// An exception that leaves it is thrown by the co_await. Without exceptions everything works but that.
///
/// Parameters are copied or moved into the coroutine's frame, references are not: what a reference, a span or a
/// string_view refers to has to live until the task's end. The same holds for what a lambda captures: the lambda must
/// outlive the task (TaskGroup::spawn takes the lambda itself and keeps it).
///
/// GCC 12.2 (Debian 12) gives a coroutine a wrong frame where a co_await stands in the condition of an `if` or a loop
/// and the function has no variable outside of it. Write `const auto result = co_await ...;` before, or `if (const auto
/// result = co_await ...; !result)`. A wrong frame is noticed when the task is created, and aborts. GCC 12 also
/// destroys some temporaries of an expression with a co_await twice: give lambdas and braced values a name before.
template <class T>
class [[nodiscard]] Task {
  static_assert(std::is_void_v<T> || std::is_object_v<T>, "a Task returns a value or nothing: return a pointer");

 public:
  using promise_type = detail::Promise<T>;  ///< as the language asks of a coroutine
  using value_type = T;                     ///< what it returns

  Task() noexcept = default;
  /// Leaves `other` without a coroutine.
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  /// Destroys the coroutine that it had before.
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      reset();
      coroutine_ = std::exchange(other.coroutine_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { reset(); }

  /// False of one that was moved from or awaited.
  [[nodiscard]] explicit operator bool() const noexcept { return coroutine_ != nullptr; }

  /// What Loop::dump calls it. The text is not copied: a literal.
  Task&& named(const char* name) && noexcept {
    coroutine_.promise().name = name;
    return std::move(*this);
  }

  /// What co_await makes of a task; as the language asks of it.
  class Awaiter {
   public:
    /// @cond
    explicit Awaiter(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <std::derived_from<detail::PromiseBase> Parent>
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<Parent> awaiting) const noexcept {
      detail::PromiseBase& parent = awaiting.promise();
      promise_type& promise = coroutine_.promise();
      detail::require(promise.context == nullptr, "a task was awaited twice");
      promise.parent = &parent;
      promise.continuation = awaiting;
      promise.context = parent.context;
      return coroutine_;
    }
    // NOLINTNEXTLINE(modernize-use-nodiscard): the caller decides
    T await_resume() const { return coroutine_.promise().take(); }
    /// @endcond

   private:
    std::coroutine_handle<promise_type> coroutine_;
  };
  /// The task lives on until the end of the full expression, and its result is moved out of it.
  [[nodiscard]] Awaiter operator co_await() && noexcept { return Awaiter(coroutine_); }

  /// For the library.
  [[nodiscard]] promise_type& promise() const noexcept { return coroutine_.promise(); }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  void reset() noexcept {
    if (coroutine_) std::exchange(coroutine_, nullptr).destroy();
  }

  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  const auto coroutine = std::coroutine_handle<Promise>::from_promise(*this);
  handle = coroutine;
  check_frame();
  return Task<T>(coroutine);
}

inline Task<void> Promise<void>::get_return_object() noexcept {
  const auto coroutine = std::coroutine_handle<Promise>::from_promise(*this);
  handle = coroutine;
  check_frame();
  return Task<void>(coroutine);
}

}  // namespace detail

}  // namespace reactor
