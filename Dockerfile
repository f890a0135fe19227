# Debian 12 with all that the project needs, to build and test in a container (Windows programs run under Wine):
#   docker build -t reactor . && docker run --rm -v "$PWD:/src" reactor scripts/test.sh
# TSan and gdb need to switch off address randomisation: add `--security-opt seccomp=unconfined` if the host is strict.
FROM debian:12
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git
COPY scripts/setup.sh /tmp/setup.sh
RUN /tmp/setup.sh && rm /tmp/setup.sh
RUN git config --system --add safe.directory /src
WORKDIR /src
CMD ["scripts/test.sh"]
