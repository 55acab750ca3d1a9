FROM rust:1.80-slim-bookworm AS build
WORKDIR /src
COPY rust .
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo build --release
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/app /app
ENTRYPOINT ["/app"]
