FROM maven:3.9-eclipse-temurin-17 AS build
WORKDIR /app
COPY boot .
RUN --mount=type=cache,target=/root/.m2 mvn -B -q package -DskipTests
FROM eclipse-temurin:17-jre-alpine
COPY --from=build /app/target/app.jar /app.jar
USER nobody
EXPOSE 8080
ENTRYPOINT ["java", "-jar", "/app.jar"]
