// SPDX-License-Identifier: MIT
// The HTTP example's service on libuv: one shared read buffer, uv_try_write before a write is queued, and a timer of
// each connection that looks at when its last request came.
#include <uv.h>

#include <array>
#include <memory>
#include <string>

#include "http_service.hpp"

namespace bench {

namespace {

constexpr std::uint64_t idle_ms = std::chrono::milliseconds(http_idle_time).count();

struct Session {
  uv_tcp_t tcp{};
  uv_timer_t idle{};
  std::uint64_t deadline_ms = 0;
  Service* service = nullptr;
  HttpRequests requests;
  std::string responses;
  int open_handles = 2;
};

struct Write {
  uv_write_t request{};
  std::string bytes;
};

void on_closed(uv_handle_t* handle) {
  auto* const session = static_cast<Session*>(handle->data);
  if (--session->open_handles != 0) return;
  session->service->counters().closed.add(1);
  delete session;
}

void close(Session& session) {
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&session.tcp)) != 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&session.tcp), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&session.idle), on_closed);
}

void touch(Session& session) { session.deadline_ms = uv_now(session.tcp.loop) + idle_ms; }

void on_timer(uv_timer_t* timer) {
  Session& session = *static_cast<Session*>(timer->data);
  const std::uint64_t now_ms = uv_now(timer->loop);
  if (session.deadline_ms <= now_ms) return close(session);
  uv_timer_start(timer, on_timer, session.deadline_ms - now_ms, 0);
}

void give_buffer(uv_handle_t*, std::size_t, uv_buf_t* into) {
  static std::array<char, 65536> buffer;
  *into = uv_buf_init(buffer.data(), static_cast<unsigned>(buffer.size()));
}

// False: an error. What does not fit is queued.
bool send(uv_stream_t* stream, std::string& bytes, bool goes_on) {
  uv_buf_t whole = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
  const int sent = uv_try_write(stream, &whole, 1);
  if (sent == static_cast<int>(bytes.size())) return goes_on;
  if (sent < 0 && sent != UV_EAGAIN) return false;
  auto write = std::make_unique<Write>();
  write->bytes = bytes.substr(sent > 0 ? static_cast<std::size_t>(sent) : 0);
  write->request.data = stream->data;
  whole = uv_buf_init(write->bytes.data(), static_cast<unsigned>(write->bytes.size()));
  const auto then = [](uv_write_t* request, int status) {
    if (status < 0) close(*static_cast<Session*>(request->data));
    delete reinterpret_cast<Write*>(request);
  };
  const auto then_close = [](uv_write_t* request, int) {
    close(*static_cast<Session*>(request->data));
    delete reinterpret_cast<Write*>(request);
  };
  if (uv_write(&write->request, stream, &whole, 1, goes_on ? uv_write_cb(then) : uv_write_cb(then_close)) < 0)
    return false;
  static_cast<void>(write.release());  // the callback deletes it
  return true;
}

void on_received(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  if (size == 0) return;
  Session& session = *static_cast<Session*>(stream->data);
  if (size < 0) return close(session);
  touch(session);
  session.responses.clear();
  const bool goes_on = session.requests.take({buffer->base, static_cast<std::size_t>(size)}, session.responses);
  if (!session.responses.empty() && !send(stream, session.responses, goes_on)) close(session);
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) fail("uv_listen", {-status, std::generic_category()});
  auto* const session = new Session;  // on_closed deletes it
  session->service = static_cast<Service*>(listener->data);
  session->tcp.data = session->idle.data = session;
  uv_tcp_init(listener->loop, &session->tcp);
  uv_timer_init(listener->loop, &session->idle);
  auto* const stream = reinterpret_cast<uv_stream_t*>(&session->tcp);
  if (const int error = uv_accept(listener, stream); error < 0) fail("uv_accept", {-error, std::generic_category()});
  uv_tcp_nodelay(&session->tcp, 1);
  session->service->counters().accepted.add(1);
  touch(*session);
  uv_timer_start(&session->idle, on_timer, idle_ms, 0);
  uv_read_start(stream, give_buffer, on_received);
}

}  // namespace

void serve_http_uv(Service& service) {
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  listener.data = &service;
  int error = uv_tcp_open(&listener, service.listener().native());
  if (error == 0) error = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 1024, on_connection);
  if (error < 0) fail("uv_listen", {-error, std::generic_category()});
  service.open([](Json&) {});
  uv_run(loop, UV_RUN_DEFAULT);
  fail("libuv's loop has ended");
}

}  // namespace bench
