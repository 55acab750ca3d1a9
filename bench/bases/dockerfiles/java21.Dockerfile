FROM maven:3.9-eclipse-temurin-21-alpine AS build
WORKDIR /app
COPY java .
RUN --mount=type=cache,target=/root/.m2 mvn -B -q package -DskipTests
FROM eclipse-temurin:21-jre
RUN groupadd --system app && useradd --system --gid app app && apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build --chown=app:app /app/target/app.jar /app/target/dependency ./
USER app
EXPOSE 8080
ENTRYPOINT ["java", "-cp", "/app/*", "x.App"]
