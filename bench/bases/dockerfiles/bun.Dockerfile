FROM oven/bun:1 AS base
WORKDIR /usr/src/app
FROM base AS install
COPY bun/package.json ./
RUN bun install --production
FROM base AS release
COPY --from=install /usr/src/app/node_modules node_modules
COPY bun .
RUN chown -R bun:bun .
USER bun
EXPOSE 8080/tcp
ENTRYPOINT [ "bun", "run", "index.ts" ]
