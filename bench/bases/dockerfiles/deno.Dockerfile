FROM denoland/deno:2.3.1
WORKDIR /app
COPY deno .
RUN deno cache main.ts
USER deno
EXPOSE 8080
CMD ["run", "--allow-net", "main.ts"]
