// SPDX-License-Identifier: MIT
// An echo server on libuv, as its users write it; errors are left out.
#include <cstdlib>

#include <uv.h>

#include "client.hpp"

namespace {

void allocate(uv_handle_t* /*stream*/, size_t size, uv_buf_t* buffer) {
  *buffer = uv_buf_init(static_cast<char*>(std::malloc(size)), static_cast<unsigned>(size));
}

void on_written(uv_write_t* request, int /*status*/) {
  std::free(request->data);
  delete request;
}

void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  if (size <= 0) {
    std::free(buffer->base);
    if (size < 0) uv_close(reinterpret_cast<uv_handle_t*>(stream), [](uv_handle_t* handle) { uv_stop(handle->loop); });
    return;
  }
  auto* request = new uv_write_t{};
  request->data = buffer->base;
  const uv_buf_t text = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  uv_write(request, stream, &text, 1, on_written);
}

void on_connection(uv_stream_t* listener, int /*status*/) {
  auto* connection = new uv_tcp_t{};
  uv_tcp_init(listener->loop, connection);
  uv_accept(listener, reinterpret_cast<uv_stream_t*>(connection));
  uv_read_start(reinterpret_cast<uv_stream_t*>(connection), allocate, on_read);
}

}  // namespace

int main() {
  return coming_from::try_out("libuv", [](reactor::TcpListener bound) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_tcp_t listener;
    uv_tcp_init(&loop, &listener);
    uv_tcp_open(&listener, bound.release());
    uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 16, on_connection);
    uv_run(&loop, UV_RUN_DEFAULT);
  });
}
