# syntax=docker/dockerfile:1
# The service with ONNX Runtime and both models inside. It writes nothing and needs no root:
#   docker build -t camlens:0.1.0 .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 camlens:0.1.0
# `make image` builds it with buildah, and asks the result one request.

# All stages use the same Debian release, so that the binary finds the glibc that it was linked
# with.
ARG DEBIAN=bookworm

FROM rust:1.95-slim-${DEBIAN} AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/camlens /camlens
# What is linked into the binary, for the bill of materials.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo tree --locked --package camlens --edges normal,no-proc-macro \
        --target "$(rustc --print host-tuple)" --prefix depth --format '|{p}|{l}' > /tree.txt

FROM python:3.11-slim-${DEBIAN} AS setup
WORKDIR /setup
COPY tools tools
COPY models models
RUN python tools setup --only runtime && python tools setup --only models
RUN pip install --no-cache-dir --no-deps --quiet --requirement tools/requirements/sbom.txt
COPY Cargo.toml Cargo.lock ./
COPY --from=build /tree.txt .
RUN python tools deploy.sbom tree.txt sbom.cdx.json

FROM debian:${DEBIAN}-slim
LABEL org.opencontainers.image.title="camlens" \
      org.opencontainers.image.description="Explains ONNX image classifiers over HTTP" \
      org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND OFL-1.1"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin camlens
# camlens looks for runtime/ and models/ in its working directory.
WORKDIR /opt/camlens
COPY LICENSE-MIT LICENSE-APACHE src/picture/figure/fonts/LICENSE-OFL ./
COPY --from=setup /setup/runtime runtime
COPY --from=setup /setup/models models
COPY --from=setup /setup/sbom.cdx.json .
COPY --from=build /camlens /usr/local/bin/camlens

USER 10001:10001
# Health and metrics have a port of their own, which a flood of connections to 8080 can't reach.
# Docker kills a container 10 seconds after the signal to stop. A drain of 6 seconds, 2 to deliver
# the last responses and 1 to end the work stay below that. Raise it together with --stop-timeout.
ENV ORT_DISABLE_TELEMETRY=1 \
    CAMLENS_LISTEN=0.0.0.0:8080 \
    CAMLENS_ADMIN_LISTEN=0.0.0.0:8081 \
    CAMLENS_DRAIN_TIMEOUT_MS=6000
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["camlens", "health"]
ENTRYPOINT ["camlens"]
CMD ["serve"]
