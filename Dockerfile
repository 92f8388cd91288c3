# The one image of every service and tool: `throughline`, and what it is linked to.
#
# Built by `docker compose build`, whose own builder knows the cache mounts; plain `docker build` needs BuildKit. No
# `# syntax=` line: the frontend that comes with the engine is enough, and a registry may be out of reach.

# Its Debian is the runtime image's, because both have to hold the same C library.
ARG RUST_IMAGE=rust:1.95-bookworm
# The C library and little else: no shell, no package manager. `throughline ready` is the health check.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS source
WORKDIR /source
COPY . .
# Cargo wants to see what is only for tests and benches, and builds nothing of it: emptied, a change there changes nothing here.
RUN find tests crates/*/tests crates/*/benches -name '*.rs' -exec truncate --size=0 {} +

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY --from=source /source .
# Dependencies are built once and kept in the cache mounts. What is ours is built again whenever a file of it changed: cargo
# goes by times, and the file of another checkout may be older than what was built here from a different one. The line
# tables, for the stack traces of panics, are compressed: it makes the program half as large.
RUN --mount=type=cache,id=throughline-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=throughline-target,target=/source/target,sharing=locked \
    find crates -type f -exec touch {} + \
    && cargo build --release --locked --package throughline \
    && mkdir /built \
    && objcopy --compress-debug-sections=zlib target/release/throughline /built/throughline

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="throughline" \
    org.opencontainers.image.description="Follow one request end to end: traced services, and the tools that tell its story" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /built/throughline /usr/local/bin/throughline
# By number, so that a platform can see that it is not root.
USER 65532:65532
# Drains: what is in flight is finished, telemetry is flushed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["throughline"]
