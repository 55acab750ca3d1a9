# syntax=docker/dockerfile:1
FROM node:22-alpine AS deps
WORKDIR /app
COPY node/package.json ./
RUN --mount=type=cache,target=/root/.npm npm install --omit=dev
FROM node:22-alpine
RUN apk add --no-cache tini
ENV NODE_ENV=production
WORKDIR /app
COPY --from=deps --chown=node:node /app/node_modules ./node_modules
COPY --chown=node:node node .
USER node
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "index.js"]
