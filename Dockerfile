# Images of Millrace. BuildKit builds the stages that the target needs, and no others.
#
#   docker build --tag millrace .                                        millrace, receive-video, model-inference
#   docker build --tag millrace-fake-camera --target fake-camera .       an RTSP server to try them with
#
# PROFILE=dev builds sooner what runs slower. BINARIES=prebuilt takes the programs that lie in target/image
# (`make image PREBUILT=target/release` puts them there) and compiles nothing.

ARG BINARIES=build

FROM rust:1.95-slim-bookworm AS build
ARG PROFILE=release
# nasm: without it the codecs are built twice as slow, silently.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake nasm pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    deploy/docker/build "$PROFILE" /out

FROM scratch AS prebuilt
COPY target/image/ /out/

# hadolint ignore=DL3006
FROM ${BINARIES} AS binaries

FROM debian:bookworm-slim AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/millrace --shell /usr/sbin/nologin millrace \
    && install --directory --owner millrace --group millrace /var/lib/millrace
COPY deploy/docker/healthy /usr/local/bin/
USER 10001:10001
WORKDIR /var/lib/millrace

FROM runtime AS fake-camera
LABEL org.opencontainers.image.title="millrace-fake-camera" \
    org.opencontainers.image.description="Looped files and a synthetic scene as RTSP cameras" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=binaries /out/fake-camera /usr/local/bin/
EXPOSE 8554
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["healthy", "--port", "8554"]
CMD ["fake-camera", "--listen", "0.0.0.0:8554", "--mount", "scene=scene:size=1280x720,fps=25"]

FROM runtime AS millrace
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="millrace" \
    org.opencontainers.image.description="Cameras in, answers out: receiver, workers and SQL" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY models/LICENSE models/shapes.onnx /usr/share/millrace/models/
COPY --from=binaries /out/millrace /out/receive-video /out/model-inference /usr/local/bin/
# Everything that is written is written here: the root file system may be read-only.
ENV MILLRACE_CONFIG=/etc/millrace/millrace.toml \
    MILLRACE_DATA=/var/lib/millrace \
    TMPDIR=/var/lib/millrace \
    MILLRACE_TELEMETRY__LISTEN=0.0.0.0:9464
VOLUME /var/lib/millrace
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["healthy", "/healthz"]
CMD ["millrace", "up"]
