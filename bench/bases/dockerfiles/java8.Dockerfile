FROM maven:3.8-jdk-8 AS build
WORKDIR /app
COPY java/pom.xml .
RUN mvn -B dependency:go-offline
COPY java/src src
RUN mvn -B package
FROM eclipse-temurin:8-jre-alpine
RUN addgroup -S app && adduser -S app -G app
COPY --from=build /app/target/app.jar /app/target/dependency /app/
USER app
ENTRYPOINT ["java", "-cp", "/app/*", "x.App"]
