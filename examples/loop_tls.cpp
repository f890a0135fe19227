// SPDX-License-Identifier: MIT
// TLS by OpenSSL's memory BIOs on reactor::loop, as docs/loop.md describes; an echo server: loop_tls CERTIFICATE KEY
// [ADDRESS]
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/time.hpp>

#include "loop_support.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;

struct Free {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  void operator()(SSL* tls) const noexcept { SSL_free(tls); }
};

/// A connection under TLS. One operation at a time: any of them may have to send and to receive.
class TlsStream {
 public:
  TlsStream(SSL_CTX* context, On<TcpStream> stream)
      : stream_(std::move(stream)), tls_(SSL_new(context)), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
    SSL_set_bio(tls_.get(), in_, out_);  // which owns both
  }

  Task<Result<int>> accept() {
    return drive([this] { return SSL_accept(tls_.get()); });
  }
  /// 0: the peer has ended the session. An end of the connection without that is an error, as it may be an attack.
  Task<Result<int>> receive(std::span<std::byte> into) {
    return drive([this, into] { return SSL_read(tls_.get(), into.data(), static_cast<int>(into.size())); });
  }
  Task<Result<int>> send(std::span<const std::byte> from) {
    return drive([this, from] { return SSL_write(tls_.get(), from.data(), static_cast<int>(from.size())); });
  }
  Task<Result<int>> shutdown() {
    return drive([this] { return SSL_shutdown(tls_.get()) < 0 ? -1 : 1; });
  }

 private:
  // Calls the function until it is done; before it waits for the peer, what the peer waits for is sent.
  template <class Function>
  Task<Result<int>> drive(Function call) {
    for (;;) {
      ERR_clear_error();
      const int done = call();
      const int why = SSL_get_error(tls_.get(), done);
      const auto flushed = co_await flush();
      if (!flushed) co_return failure(flushed.error());
      if (done > 0) co_return done;
      if (why == SSL_ERROR_ZERO_RETURN) co_return 0;
      if (why != SSL_ERROR_WANT_READ) co_return failure(std::errc::protocol_error);
      std::array<std::byte, 4096> buffer;  // NOLINT(*-member-init): it is filled
      const auto size = co_await stream_.receive(buffer);
      if (!size) co_return failure(size.error());
      if (*size == 0) co_return failure(std::errc::connection_aborted);
      BIO_write(in_, buffer.data(), static_cast<int>(*size));
    }
  }

  Task<Result<>> flush() {
    std::array<std::byte, 4096> buffer;  // NOLINT(*-member-init): it is filled
    for (;;) {
      const int size = BIO_read(out_, buffer.data(), static_cast<int>(buffer.size()));
      if (size <= 0) co_return Result<>();
      const auto sent = co_await stream_.send(std::span(buffer).first(static_cast<std::size_t>(size)));
      if (!sent) co_return sent;
    }
  }

  On<TcpStream> stream_;
  std::unique_ptr<SSL, Free> tls_;
  BIO* in_;   // what has come
  BIO* out_;  // what is to be sent
};

Task<> echo(SSL_CTX* context, On<TcpStream> plain) {
  TlsStream stream(context, std::move(plain));
  const auto accepted = co_await with_timeout(10s, stream.accept());
  if (!accepted) co_return;
  std::array<std::byte, 4096> buffer;  // NOLINT(*-member-init): it is filled
  for (;;) {
    const auto size = co_await with_timeout(60s, stream.receive(buffer));
    if (!size) co_return;
    if (*size == 0) break;
    const auto sent = co_await with_timeout(60s, stream.send(std::span(buffer).first(static_cast<std::size_t>(*size))));
    if (!sent) co_return;
  }
  static_cast<void>(co_await with_timeout(10s, stream.shutdown()));
}

Task<Result<>> serve(SSL_CTX* context, On<TcpListener> listener) {
  TaskGroup connections(co_await this_task());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return failure(accepted.error());
    connections.spawn(echo(context, std::move(accepted->stream)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fputs("usage: loop_tls CERTIFICATE KEY [ADDRESS]\n", stderr), 1;
  const std::unique_ptr<SSL_CTX, Free> context(SSL_CTX_new(TLS_server_method()));
  if (!context || SSL_CTX_use_certificate_chain_file(context.get(), argv[1]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), argv[2], SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  auto loop = example::value_or_exit(Loop::create(), "loop");
  return loop.run(serve(context.get(), example::listen(argc > 3 ? argv[3] : "127.0.0.1:0"))) ? 0 : 1;
}
