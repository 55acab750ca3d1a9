FROM ghcr.io/astral-sh/uv:bookworm-slim AS builder
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /app
COPY python/requirements.txt .
RUN --mount=type=cache,target=/root/.cache/uv uv venv /app/.venv && uv pip install --python /app/.venv -r requirements.txt
FROM ghcr.io/astral-sh/uv:python3.12-trixie-slim AS other
RUN uv --version && python3 --version
FROM ghcr.io/astral-sh/uv:bookworm-slim
COPY --from=builder /app /app
WORKDIR /app
COPY python .
USER 1000
CMD ["/app/.venv/bin/uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8080"]
