// SPDX-License-Identifier: MIT
// Counts every NT call of this process: each entry of ntdll is patched to add one to a counter first. All entries have
// the same form, on Windows and under Wine:
//
//   4C 8B D1                  mov r10, rcx
//   B8 nn nn nn nn            mov eax, number of the call
//   F6 04 25 08 03 FE 7F 01   test byte ptr [7FFE0308h], 1
//   ...                       (16 bytes so far; the rest depends on its address, and is not moved)
//
// The entry becomes a jump to a thunk, which counts, executes these three instructions and jumps to what follows them.
#include "calls.hpp"

#ifndef __x86_64__

namespace bench {

bool count_calls() { return false; }
std::string counted_calls() { return "{}"; }

}  // namespace bench

#else

#include <windows.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "../common/json.hpp"

namespace bench {

namespace {

using Byte = unsigned char;

constexpr std::size_t replaced_bytes = 16;
constexpr std::size_t thunk_bytes = 64;
constexpr std::array<Byte, 4> begin_of_entry{0x4C, 0x8B, 0xD1, 0xB8};
constexpr std::array<Byte, 8> test_of_entry{0xF6, 0x04, 0x25, 0x08, 0x03, 0xFE, 0x7F, 0x01};

struct Call {
  const char* name;
  Byte* entry;
};

std::vector<Call> calls;
std::vector<std::atomic<std::uint64_t>> counts;

// NtDeviceIoControlFile is counted by its control code. Few codes are in use, so a linear search is enough.
struct Code {
  std::atomic<std::uint32_t> code = 0;
  std::atomic<std::uint64_t> count = 0;
};
std::array<Code, 64> codes;

using IoControl = LONG NTAPI(HANDLE, HANDLE, void*, void*, void*, ULONG, void*, ULONG, void*, ULONG);
IoControl* original_io_control;

LONG NTAPI counting_io_control(HANDLE file, HANDLE event, void* apc, void* apc_context, void* iosb, ULONG code,
                               void* in, ULONG in_length, void* out, ULONG out_length) {
  for (Code& each : codes) {
    std::uint32_t expected = 0;
    if (each.code.load(std::memory_order_relaxed) == code || each.code.compare_exchange_strong(expected, code) ||
        expected == code) {
      each.count.fetch_add(1, std::memory_order_relaxed);
      break;
    }
  }
  return original_io_control(file, event, apc, apc_context, iosb, code, in, in_length, out, out_length);
}

// The functions that ntdll exports whose names begin with "Nt" and whose code begins as an entry does.
std::vector<Call> find_entries() {
  auto* base = reinterpret_cast<Byte*>(GetModuleHandleW(L"ntdll.dll"));
  const auto* dos = reinterpret_cast<const IMAGE_DOS_HEADER*>(base);
  const auto* headers = reinterpret_cast<const IMAGE_NT_HEADERS*>(base + dos->e_lfanew);
  const auto& directory = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT];
  const auto* exports = reinterpret_cast<const IMAGE_EXPORT_DIRECTORY*>(base + directory.VirtualAddress);
  const auto* names = reinterpret_cast<const DWORD*>(base + exports->AddressOfNames);
  const auto* ordinals = reinterpret_cast<const WORD*>(base + exports->AddressOfNameOrdinals);
  const auto* functions = reinterpret_cast<const DWORD*>(base + exports->AddressOfFunctions);
  std::vector<Call> found;
  for (DWORD i = 0; i < exports->NumberOfNames; i++) {
    const auto* name = reinterpret_cast<const char*>(base + names[i]);
    Byte* entry = base + functions[ordinals[i]];
    if (std::string_view(name).starts_with("Nt") &&
        std::memcmp(entry, begin_of_entry.data(), begin_of_entry.size()) == 0 &&
        std::memcmp(entry + 8, test_of_entry.data(), test_of_entry.size()) == 0) {
      found.push_back({name, entry});
    }
  }
  return found;
}

// Writes machine code.
class Assembler {
 public:
  explicit Assembler(Byte* at) : at_(at) {}

  Assembler& bytes(std::span<const Byte> bytes) {
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    return *this;
  }
  Assembler& address(const void* target) {
    std::memcpy(at_, static_cast<const void*>(&target), sizeof target);
    at_ += sizeof target;
    return *this;
  }
  Assembler& jump(const void* target) {  // jmp [rip+0]: changes no register and no flag
    static constexpr std::array<Byte, 6> code{0xFF, 0x25, 0, 0, 0, 0};
    return bytes(code).address(target);
  }
  Assembler& count(const void* counter) {                   // rax and the flags are free at the entry of a function
    static constexpr std::array<Byte, 2> load{0x48, 0xB8};  // mov rax, counter
    static constexpr std::array<Byte, 4> increment{0xF0, 0x48, 0xFF, 0};  // lock inc qword ptr [rax]
    return bytes(load).address(counter).bytes(increment);
  }

 private:
  Byte* at_;
};

void patch(const Call& call, std::atomic<std::uint64_t>& count, Byte* thunk) {
  std::array<Byte, replaced_bytes> replaced{};
  std::memcpy(replaced.data(), call.entry, replaced.size());
  const bool is_io_control = std::string_view(call.name) == "NtDeviceIoControlFile";
  Assembler code(thunk);
  if (!is_io_control) code.count(&count);
  code.bytes(replaced).jump(call.entry + replaced_bytes);
  const void* target = thunk;
  if (is_io_control) {
    original_io_control = reinterpret_cast<IoControl*>(thunk);
    target = reinterpret_cast<const void*>(&counting_io_control);
  }
  DWORD before = 0;
  VirtualProtect(call.entry, replaced_bytes, PAGE_EXECUTE_READWRITE, &before);
  Assembler(call.entry).jump(target);
}

std::string name_of(std::uint32_t code) {
  // AFD's own, and Wine's for its receive and send.
  static const std::map<std::uint32_t, const char*> known{
      {0x12010, "AFD_ACCEPT"}, {0x12017, "AFD_RECV"},          {0x1201F, "AFD_SEND"},
      {0x12024, "AFD_POLL"},   {0x120334, "AFD_WINE_RECVMSG"}, {0x120338, "AFD_WINE_SENDMSG"},
  };
  const auto found = known.find(code);
  if (found != known.end()) return std::string("NtDeviceIoControlFile ") + found->second;
  char text[40];
  std::snprintf(text, sizeof text, "NtDeviceIoControlFile 0x%X", static_cast<unsigned>(code));
  return text;
}

}  // namespace

bool count_calls() {
  calls = find_entries();
  if (calls.empty()) return false;
  counts = std::vector<std::atomic<std::uint64_t>>(calls.size());
  auto* thunks = static_cast<Byte*>(
      VirtualAlloc(nullptr, calls.size() * thunk_bytes, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE));
  if (thunks == nullptr) return false;
  for (std::size_t i = 0; i < calls.size(); i++) patch(calls[i], counts[i], thunks + (i * thunk_bytes));
  return true;
}

std::string counted_calls() {
  Json json;
  for (std::size_t i = 0; i < calls.size(); i++) {
    if (const std::uint64_t count = counts[i].load(); count > 0) json.add(calls[i].name, count);
  }
  for (const Code& each : codes) {
    if (const std::uint64_t count = each.count.load(); count > 0) json.add(name_of(each.code.load()), count);
  }
  return json.text();
}

}  // namespace bench

#endif
