# A static kmswatch on an empty root: no shell, no package manager, nothing but the program and the authorities it trusts.
#
#   docker build -t kmswatch .
#   docker run --read-only -v kmswatch:/var/lib/kmswatch -v "$PWD/kmswatch.toml:/etc/kmswatch/kmswatch.toml:ro" kmswatch
#
# `deploy/image.sh BINARY` builds the last stage alone, from a binary that is there already, and pulls nothing.

FROM rust:1.95-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_TERM_COLOR=never

# Dependencies first, against an empty crate: this layer lasts until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && sed -n '/^\[\[bench\]\]/,/^$/s/^name = "\(.*\)"/\1/p' Cargo.toml | while read -r name; do cp src/main.rs "benches/$name.rs"; done \
    && cargo build --release --locked --bin kmswatch --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && rm -r src benches

# With the target named, build scripts and macros stay dynamic and only the program becomes static.
COPY . .
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin kmswatch --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && deploy/rootfs.sh "target/$(rustc -vV | sed -n 's/^host: //p')/release/kmswatch" /rootfs


FROM scratch
COPY --from=build /rootfs/root /
COPY --from=build --chown=65532:65532 /rootfs/state /var/lib

LABEL org.opencontainers.image.title="kmswatch" \
      org.opencontainers.image.description="Watches AWS KMS keys and tells the right people in time"

ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    KMSWATCH_CONFIG=/etc/kmswatch/kmswatch.toml

# The only place that is written to; everything else may be read-only.
VOLUME /var/lib/kmswatch
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=5s --start-period=60s --retries=3 CMD ["/kmswatch", "healthcheck"]
ENTRYPOINT ["/kmswatch"]
CMD ["run"]
