// SPDX-License-Identifier: MIT
//
// Stacks of their own for simulated programs: fibers on Windows; elsewhere the registers are switched here, or, where
// that is not written, contexts of POSIX. AddressSanitizer is informed of each switch.
#include <reactor/sim/fiber.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include <reactor/sim/sim_memory.hpp>

#ifdef _WIN32
#include <reactor/nt/windows.hpp>
#else
#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>
// A context of POSIX switches the signal mask too: two system calls. Not where the processor keeps a second stack of
// return addresses (CET), which this does not switch.
#if defined(__x86_64__) && !(defined(__CET__) && (__CET__ & 2))
#define REACTOR_SIM_SWITCHES_REGISTERS
#else
#include <ucontext.h>
#endif
#endif

#ifdef REACTOR_SIM_HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(_LIBCPP_VERSION) && !defined(_WIN32)  // its <cxxabi.h> does not declare this function of the C++ ABI
namespace __cxxabiv1 {
extern "C" void* __cxa_get_globals() noexcept;
}
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

#ifdef REACTOR_SIM_SWITCHES_REGISTERS

// Saves what a function must preserve (System V ABI) on this stack, and goes on where the other one did that.
extern "C" void reactor_sim_switch_stack(void** saved, void* next);
extern "C" void reactor_sim_first_frame();
asm(R"(
  .text
  .p2align 4
  .globl reactor_sim_switch_stack
  .hidden reactor_sim_switch_stack
  .type reactor_sim_switch_stack, @function
reactor_sim_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size reactor_sim_switch_stack, . - reactor_sim_switch_stack

  .p2align 4
  .globl reactor_sim_first_frame
  .hidden reactor_sim_first_frame
  .type reactor_sim_first_frame, @function
reactor_sim_first_frame:
  .cfi_startproc
  .cfi_undefined rip
  movq %rbx, %rdi
  call *%r12
  ud2
  .cfi_endproc
  .size reactor_sim_first_frame, . - reactor_sim_first_frame
)");

/// Two stacks of which one runs.
class Context {
 public:
  void prepare(std::span<std::byte> memory, void (*begin)(void*), void* argument) {
    // The first switch pops these: MXCSR and the x87 control word, r15 ... r12, rbx, rbp, and where to return to.
    const auto number = [](auto pointer) { return reinterpret_cast<std::uint64_t>(pointer); };
    const std::array<std::uint64_t, 10> frame{
        std::uint64_t{0x037F} << 32 | 0x1F80, 0, 0, 0, number(begin), number(argument), 0,
        number(&reactor_sim_first_frame),     0, 0};
    std::byte* const top = memory.data() + memory.size() - sizeof frame;  // so that the return leaves it aligned to 16
    std::memcpy(top, frame.data(), sizeof frame);
    inside_ = top;
  }
  void enter() { reactor_sim_switch_stack(&outside_, inside_); }
  void leave() { reactor_sim_switch_stack(&inside_, outside_); }

 private:
  void* inside_ = nullptr;
  void* outside_ = nullptr;
};

#else

class Context {
 public:
  void prepare(std::span<std::byte> memory, void (*begin)(void*), void* argument) {
    begin_ = begin;
    argument_ = argument;
    static_cast<void>(::getcontext(&inside_));
    inside_.uc_stack.ss_sp = memory.data();
    inside_.uc_stack.ss_size = memory.size();
    inside_.uc_link = nullptr;
    // makecontext hands on ints only.
    const std::uint64_t self = reinterpret_cast<std::uintptr_t>(this);
    ::makecontext(&inside_, reinterpret_cast<void (*)()>(&Context::run), 2, static_cast<unsigned>(self >> 32),
                  static_cast<unsigned>(self & 0xFFFFFFFF));
  }
  void enter() { static_cast<void>(::swapcontext(&outside_, &inside_)); }
  void leave() { static_cast<void>(::swapcontext(&inside_, &outside_)); }

 private:
  static void run(unsigned high, unsigned low) {
    const auto address = static_cast<std::uint64_t>(high) << 32 | low;
    auto& self = *reinterpret_cast<Context*>(static_cast<std::uintptr_t>(address));
    self.begin_(self.argument_);
  }

  ucontext_t inside_{}, outside_{};
  void (*begin_)(void*) = nullptr;
  void* argument_ = nullptr;
};

#endif

}  // namespace

struct StackSwitch::System {
  std::function<void()> entry;
  Context context;
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

  static void begin(void* self) {
    auto& system = *static_cast<System*>(self);
    system.has_entered();
    system.entry();
    system.has_ended = true;
    system.about_to_leave();
    system.context.leave();
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
  system.context.prepare(std::span(system.memory, system.bytes).subspan(page), &System::begin, &system);
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
  system_->context.enter();
  system_->has_left();
}

void StackSwitch::leave() {
  system_->about_to_leave();
  system_->context.leave();
  system_->has_entered();
}

#endif

}  // namespace reactor::sim
