FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev && rustup target add x86_64-unknown-linux-musl
WORKDIR /src
COPY rust .
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo build --release
FROM scratch
COPY --from=build /src/target/release/app /app
ENTRYPOINT ["/app"]
