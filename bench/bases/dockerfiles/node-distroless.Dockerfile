FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY node .
RUN npm install --omit=dev
FROM gcr.io/distroless/nodejs20-debian12:nonroot
COPY --from=build /app /app
WORKDIR /app
CMD ["index.js"]
