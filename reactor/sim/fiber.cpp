// SPDX-License-Identifier: MIT
//
// Stacks of their own for simulated programs: fibers on Windows, contexts of POSIX elsewhere. AddressSanitizer is
// informed of each switch.
#include <reactor/sim/fiber.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include <reactor/sim/sim_memory.hpp>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <cxxabi.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#endif

#ifdef REACTOR_SIM_HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace reactor::sim {

#ifdef _WIN32

struct StackSwitch::System {
  std::function<void()> entry;
  void* fiber = nullptr;
  void* outside = nullptr;

  static void CALLBACK begin(void* self) {
    auto& system = *static_cast<System*>(self);
    system.entry();
    for (;;) ::SwitchToFiber(system.outside);
  }
};

StackSwitch::StackSwitch(std::size_t stack_bytes, std::function<void()> entry) : system_(std::make_unique<System>()) {
  system_->entry = std::move(entry);
  system_->fiber = ::CreateFiberEx(16384, stack_bytes, FIBER_FLAG_FLOAT_SWITCH, &System::begin, system_.get());
  if (system_->fiber == nullptr) throw std::bad_alloc();
}

StackSwitch::~StackSwitch() { ::DeleteFiber(system_->fiber); }

void StackSwitch::enter() {
  // The thread's own stack becomes a fiber the first time, and stays one.
  thread_local void* const own = ::ConvertThreadToFiberEx(nullptr, FIBER_FLAG_FLOAT_SWITCH);
  if (own == nullptr) throw std::bad_alloc();
  system_->outside = own;
  ::SwitchToFiber(system_->fiber);
}

void StackSwitch::leave() { ::SwitchToFiber(system_->outside); }

#else

namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

/// What the C++ runtime keeps for a thread about exceptions: each stack has its own.
struct Exceptions {
  std::array<std::byte, sizeof(void*) + sizeof(unsigned)> bytes{};
  void exchange() noexcept {
    auto* const own = reinterpret_cast<std::byte*>(abi::__cxa_get_globals());
    std::array<std::byte, sizeof(bytes)> saved;
    std::memcpy(saved.data(), own, saved.size());
    std::memcpy(own, bytes.data(), bytes.size());
    bytes = saved;
  }
};

}  // namespace

struct StackSwitch::System {
  std::function<void()> entry;
  ucontext_t inside{}, outside{};
  std::byte* memory = nullptr;
  std::size_t bytes = 0;  // with a page in front that must not be touched
  Exceptions exceptions;  // of the stack that does not run
  bool has_ended = false;
#ifdef REACTOR_SIM_HAS_ASAN
  void* inside_fake = nullptr;
  void* outside_fake = nullptr;
  const void* outside_bottom = nullptr;
  std::size_t outside_size = 0;
#endif

  void about_to_enter() {
#ifdef REACTOR_SIM_HAS_ASAN
    __sanitizer_start_switch_fiber(&outside_fake, memory + page_bytes(), bytes - page_bytes());
#endif
    exceptions.exchange();
  }
  void has_left() {
#ifdef REACTOR_SIM_HAS_ASAN
    __sanitizer_finish_switch_fiber(outside_fake, nullptr, nullptr);
#endif
  }
  void about_to_leave() {
    exceptions.exchange();
#ifdef REACTOR_SIM_HAS_ASAN
    __sanitizer_start_switch_fiber(has_ended ? nullptr : &inside_fake, outside_bottom, outside_size);
#endif
  }
  void has_entered() {
#ifdef REACTOR_SIM_HAS_ASAN
    __sanitizer_finish_switch_fiber(inside_fake, &outside_bottom, &outside_size);
#endif
  }

  // makecontext hands on ints only.
  static void begin(unsigned high, unsigned low) {
    const auto address = static_cast<std::uint64_t>(high) << 32 | low;
    auto& system = *reinterpret_cast<System*>(static_cast<std::uintptr_t>(address));
    system.has_entered();
    system.entry();
    system.has_ended = true;
    system.about_to_leave();
    ::setcontext(&system.outside);
  }
};

StackSwitch::StackSwitch(std::size_t stack_bytes, std::function<void()> entry) : system_(std::make_unique<System>()) {
  System& system = *system_;
  system.entry = std::move(entry);
  const std::size_t page = page_bytes();
  // AddressSanitizer's frames are larger.
  const std::size_t wanted = guards_memory ? 4 * stack_bytes : stack_bytes;
  system.bytes = (wanted + page - 1) / page * page + page;
  void* const memory =
      ::mmap(nullptr, system.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  system.memory = static_cast<std::byte*>(memory);
  static_cast<void>(::mprotect(memory, page, PROT_NONE));
  static_cast<void>(::getcontext(&system.inside));
  system.inside.uc_stack.ss_sp = system.memory + page;
  system.inside.uc_stack.ss_size = system.bytes - page;
  system.inside.uc_link = nullptr;
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(&system);
  ::makecontext(&system.inside, reinterpret_cast<void (*)()>(&System::begin), 2, static_cast<unsigned>(address >> 32),
                static_cast<unsigned>(address & 0xFFFFFFFF));
}

StackSwitch::~StackSwitch() {
#ifdef REACTOR_SIM_HAS_ASAN
  // What a stack leaves poisoned would be reported when its memory is used again.
  __asan_unpoison_memory_region(system_->memory + page_bytes(), system_->bytes - page_bytes());
#endif
  static_cast<void>(::munmap(system_->memory, system_->bytes));
}

void StackSwitch::enter() {
  system_->about_to_enter();
  static_cast<void>(::swapcontext(&system_->outside, &system_->inside));
  system_->has_left();
}

void StackSwitch::leave() {
  system_->about_to_leave();
  static_cast<void>(::swapcontext(&system_->inside, &system_->outside));
  system_->has_entered();
}

#endif

}  // namespace reactor::sim
