# Builds Gatepost and puts the binary alone into a small image.
#
#   docker build -t gatepost .
#   docker run -v ./gatepost:/etc/gatepost:ro -v gatepost-spool:/var/lib/gatepost \
#              -v gatepost-audit:/var/log/gatepost -p 25:25 gatepost
#   docker run --rm gatepost demo --once

FROM rust:1.95-bookworm AS builder
WORKDIR /src
# The bundled AWS-LC and OpenSSL, whatever libraries the builder image has; perl and make are in it.
ENV AWS_LC_SYS_USE_SYSTEM=0 OPENSSL_NO_VENDOR=0
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY config config
RUN cargo build --release --locked --bin gatepost

FROM debian:bookworm-slim
# The roots that certificates of next hops are verified against.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 990 gatepost \
    && useradd --system --uid 990 --gid gatepost --home-dir /var/lib/gatepost --shell /usr/sbin/nologin gatepost \
    && install -d -o gatepost -g gatepost -m 0750 \
        /etc/gatepost /var/lib/gatepost /var/log/gatepost /var/log/gatepost/audit /run/gatepost
COPY --from=builder /src/target/release/gatepost /usr/local/bin/gatepost
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/gatepost/
USER gatepost
VOLUME ["/var/lib/gatepost", "/var/log/gatepost"]
# SMTP, and the port for Prometheus (set [metrics] bind = "0.0.0.0:9725" to reach it from outside).
EXPOSE 25 9725
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/gatepost"]
CMD ["serve"]
