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
COPY --from=source /source /source
WORKDIR /build
# `/build` stays from one image to the next: only files that differ are brought there, because cargo builds again what is newer
# than its last build, and only what is. The line tables, for the stack traces of panics, are compressed: it makes the program
# half as large.
RUN --mount=type=cache,id=throughline-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=throughline-build,target=/build,sharing=locked \
    (cd /source && find . -type f) | while read -r file; do \
        cmp -s "/source/$file" "$file" || install -D "/source/$file" "$file" || exit 1; \
    done \
    && find . -path ./target -prune -o -type f -print | while read -r file; do [ -e "/source/$file" ] || rm "$file"; done \
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
