# Builds Gatepost and puts the binary alone into a small image, for an account without rights and a root file system that
# is read-only. Needs BuildKit, or buildah, for the caches. tests/interop/image.py takes its steps and tries what comes out.
#
#   docker build -t gatepost .
#   docker run --rm --user 0 -v ./gatepost:/etc/gatepost gatepost init /etc/gatepost --hostname mx1.example.org
#   docker run -d --name gatepost --read-only --cap-drop ALL --security-opt no-new-privileges -p 25:25 \
#       -v ./gatepost:/etc/gatepost:ro -v gatepost-spool:/var/lib/gatepost -v gatepost-audit:/var/log/gatepost gatepost
#   docker exec gatepost gatepost status
#   docker run --rm gatepost demo --once
#
# The account is 990:990: what it has to read in ./gatepost must be open to that group, as `init` leaves it. Where the
# runtime keeps ports below 1024 for root (net.ipv4.ip_unprivileged_port_start), let the listeners bind port 2525.

FROM rust:1.95-bookworm AS builder
WORKDIR /src
# The bundled AWS-LC and OpenSSL, whatever libraries the builder image has; perl and make are in it.
ENV AWS_LC_SYS_USE_SYSTEM=0 OPENSSL_NO_VENDOR=0
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY config config
COPY src src
# Crates and what was compiled of them stay in the builder's caches, so that a change here compiles this crate alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin gatepost \
    && install -D target/release/gatepost /out/gatepost

FROM debian:bookworm-slim
# The roots that certificates of next hops are verified against, and the account.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 990 gatepost \
    && useradd --system --uid 990 --gid gatepost --home-dir /var/lib/gatepost --shell /usr/sbin/nologin gatepost \
    && install -d -o gatepost -g gatepost -m 0750 \
        /etc/gatepost /var/lib/gatepost /var/log/gatepost /var/log/gatepost/audit /run/gatepost
COPY --from=builder /out/gatepost /usr/local/bin/gatepost
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/gatepost/
USER gatepost
# All that is written: spool and key, audit log, control socket.
VOLUME ["/var/lib/gatepost", "/var/log/gatepost", "/run/gatepost"]
# SMTP, and the port for Prometheus (set [metrics] bind = "0.0.0.0:9725" to reach it from outside).
EXPOSE 25 9725
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m CMD ["/usr/local/bin/gatepost", "health"]
ENTRYPOINT ["/usr/local/bin/gatepost"]
CMD ["serve"]
