FROM maven:3-eclipse-temurin-21 AS build
WORKDIR /app
COPY java .
RUN --mount=type=cache,target=/root/.m2 mvn -B -q package -DskipTests
FROM gcr.io/distroless/java21-debian12:nonroot
WORKDIR /app
COPY --from=build /app/target/app.jar /app/target/dependency ./
EXPOSE 8080
ENTRYPOINT ["java", "-cp", "/app/*", "x.App"]
