# syntax=docker/dockerfile:1
# The service with ONNX Runtime and both models inside. It writes nothing and needs no root:
#   docker build -t camlens .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 camlens

# All three stages use the same Debian release, so that the binary finds the glibc that it was
# linked with.
ARG DEBIAN=bookworm

FROM rust:1.95-slim-${DEBIAN} AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/camlens /camlens

FROM python:3.11-slim-${DEBIAN} AS setup
WORKDIR /setup
COPY tools tools
COPY models models
RUN python tools setup --only runtime && python tools setup --only models

FROM debian:${DEBIAN}-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin camlens
# camlens looks for runtime/ and models/ in its working directory.
WORKDIR /opt/camlens
COPY LICENSE-MIT LICENSE-APACHE ./
COPY --from=setup /setup/runtime runtime
COPY --from=setup /setup/models models
COPY --from=build /camlens /usr/local/bin/camlens

USER 10001:10001
# Health and metrics have a port of their own, which a flood of connections to 8080 can't reach.
ENV CAMLENS_LISTEN=0.0.0.0:8080 CAMLENS_ADMIN_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
# camlens drains for 7 s by default (CAMLENS_DRAIN_TIMEOUT_MS) and ends within the 10 s that
# `docker stop` waits.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["camlens", "health"]
ENTRYPOINT ["camlens"]
CMD ["serve"]
