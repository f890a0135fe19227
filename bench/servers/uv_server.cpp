// SPDX-License-Identifier: MIT
// libuv with its streams: one shared read buffer, and uv_try_write before a write is queued.
#include <uv.h>

#include <memory>
#include <vector>

#include "service.hpp"

namespace bench {

namespace {

struct Session {
  uv_tcp_t tcp{};
  Service* service = nullptr;
};

struct Write {
  uv_write_t request{};
  std::vector<char> bytes;
};

[[noreturn]] void fail_uv(const char* what, int code) { fail(what, {-code, std::generic_category()}); }

void close(uv_stream_t* stream) {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(stream)) != 0) return;
  static_cast<Session*>(stream->data)->service->counters().closed.add(1);
  uv_close(reinterpret_cast<uv_handle_t*>(stream),
           [](uv_handle_t* handle) { delete static_cast<Session*>(handle->data); });
}

void give_buffer(uv_handle_t*, std::size_t, uv_buf_t* into) {
  static std::array<char, 65536> buffer;
  *into = uv_buf_init(buffer.data(), static_cast<unsigned>(buffer.size()));
}

void on_received(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  if (size == 0) return;
  if (size < 0) return close(stream);
  Counters& counters = static_cast<Session*>(stream->data)->service->counters();
  counters.receives.add(1);
  counters.bytes.add(static_cast<std::uint64_t>(size));
  uv_buf_t bytes = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  const int sent = uv_try_write(stream, &bytes, 1);
  if (sent == size) return;
  if (sent < 0 && sent != UV_EAGAIN) return close(stream);
  const std::size_t skip = sent > 0 ? static_cast<std::size_t>(sent) : 0;
  auto write = std::make_unique<Write>();
  write->bytes.assign(buffer->base + skip, buffer->base + size);
  bytes = uv_buf_init(write->bytes.data(), static_cast<unsigned>(write->bytes.size()));
  const int queued = uv_write(&write->request, stream, &bytes, 1, [](uv_write_t* request, int status) {
    uv_stream_t* target = request->handle;
    delete reinterpret_cast<Write*>(request);
    if (status < 0) close(target);
  });
  if (queued < 0) return close(stream);
  static_cast<void>(write.release());  // the callback deletes it
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) fail_uv("uv_listen", status);
  auto& service = *static_cast<Service*>(listener->data);
  auto session = std::make_unique<Session>();
  session->service = &service;
  session->tcp.data = session.get();
  uv_tcp_init(listener->loop, &session->tcp);
  auto* stream = reinterpret_cast<uv_stream_t*>(&session.release()->tcp);  // close() deletes it
  if (const int error = uv_accept(listener, stream); error < 0) fail_uv("uv_accept", error);
  uv_tcp_nodelay(reinterpret_cast<uv_tcp_t*>(stream), 1);
  if (int bytes = service.settings().send_buffer_bytes; bytes > 0) {
    uv_send_buffer_size(reinterpret_cast<uv_handle_t*>(stream), &bytes);
  }
  service.counters().accepted.add(1);
  if (const int error = uv_read_start(stream, give_buffer, on_received); error < 0) fail_uv("uv_read_start", error);
}

}  // namespace

void serve_uv(Service& service) {
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  listener.data = &service;
  int error = uv_tcp_open(&listener, service.listener().native());
  if (error == 0) error = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 1024, on_connection);
  if (error < 0) fail_uv("uv_listen", error);
  service.open([](Json&) {});
  uv_run(loop, UV_RUN_DEFAULT);
  fail("libuv's loop has ended", {});
}

}  // namespace bench
