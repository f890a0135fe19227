// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <reactor/loop/export.hpp>
#include <reactor/loop/sockets.hpp>

namespace reactor {

class BufferedReader;

namespace detail {

class REACTOR_LOOP_API ReadOperation : public IoOperation {
 public:
  enum class What : std::uint8_t { some, until, exactly };

  ReadOperation(BufferedReader& reader, What what, std::string_view delimiter, std::size_t size) noexcept;
  [[nodiscard]] const char* what() const noexcept override { return "read"; }
  [[nodiscard]] bool await_ready();

 protected:
  [[nodiscard]] Result<std::string_view> taken() const noexcept {
    if (error()) return failure(error());
    return taken_;
  }

 private:
  Tried attempt() override;
  bool find();

  BufferedReader* reader_;
  std::string_view delimiter_;
  std::string_view taken_;
  std::size_t size_;
  What what_;
};

class ReadTextOperation final : public ReadOperation {
 public:
  using ReadOperation::ReadOperation;
  [[nodiscard]] Result<std::string_view> await_resume() const noexcept { return taken(); }
};

class ReadLineOperation final : public ReadOperation {
 public:
  using ReadOperation::ReadOperation;
  [[nodiscard]] Result<std::string_view> await_resume() const noexcept {
    auto line = taken();
    if (line) line->remove_suffix(line->ends_with("\r\n") ? 2 : 1);
    return line;
  }
};

class ReadBytesOperation final : public ReadOperation {
 public:
  using ReadOperation::ReadOperation;
  [[nodiscard]] Result<std::span<const std::byte>> await_resume() const noexcept {
    const auto text = taken();
    if (!text) return failure(text.error());
    return std::as_bytes(std::span(*text));
  }
};

}  // namespace detail

/// Reads a stream by lines, up to a delimiter, or by size.
///
/// What a read returns lies in the reader's buffer, and is valid until the next read. Bytes that came behind it are
/// kept for the next reads, so do not receive from the stream itself meanwhile. While a read waits and nothing is
/// buffered, there is no buffer: a connection that is idle costs no memory for it.
///
/// Errors of all reads: no_message when the peer has ended and nothing is left; connection_aborted when it has ended in
/// the middle; message_size when the limit is reached first (nothing is lost, and nothing more is received); those of
/// receive. Cancelled: nothing is lost, the next read continues.
class REACTOR_LOOP_API BufferedReader {
 public:
  /// The stream must outlive the reader. `limit_bytes` is how much one read may return.
  explicit BufferedReader(On<TcpStream>& stream, std::size_t limit_bytes = 65536) noexcept
      : stream_(&stream), limit_(limit_bytes) {}
  BufferedReader(const BufferedReader&) = delete;
  BufferedReader& operator=(const BufferedReader&) = delete;
  ~BufferedReader() { release(); }

  /// A line, without its "\n" or "\r\n".
  [[nodiscard]] detail::ReadLineOperation read_line() noexcept { return {*this, What::until, "\n", 0}; }
  /// Up to the delimiter, which is returned too, and must live until then. It must not be empty.
  [[nodiscard]] detail::ReadTextOperation read_until(std::string_view delimiter) noexcept {
    return {*this, What::until, delimiter, 0};
  }
  /// So many bytes.
  [[nodiscard]] detail::ReadBytesOperation read_exactly(std::size_t size_bytes) noexcept {
    return {*this, What::exactly, {}, size_bytes};
  }
  /// What is there, at least one byte and at most so many: for a body that is passed on as it comes.
  [[nodiscard]] detail::ReadBytesOperation read_some(std::size_t size_max_bytes) noexcept {
    return {*this, What::some, {}, size_max_bytes};
  }

 private:
  friend class detail::ReadOperation;
  using What = detail::ReadOperation::What;

  [[nodiscard]] std::string_view buffered() const noexcept { return {memory_ + begin_, end_ - begin_}; }
  std::string_view take(std::size_t size) noexcept;
  void drop_taken() noexcept;
  [[nodiscard]] std::span<std::byte> space();
  void release() noexcept;

  On<TcpStream>* stream_;
  char* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;  // of what is buffered
  std::size_t end_ = 0;
  std::size_t taken_ = 0;    // of it, from its begin: returned, and dropped by the next read
  std::size_t scanned_ = 0;  // of it: there is no delimiter
  std::size_t limit_;
};

namespace detail {

inline ReadOperation::ReadOperation(BufferedReader& reader, What what, std::string_view delimiter,
                                    std::size_t size) noexcept
    : IoOperation(reader.stream_->state_.get(), Direction::read),
      reader_(&reader),
      delimiter_(delimiter),
      size_(size),
      what_(what) {}

}  // namespace detail

}  // namespace reactor
