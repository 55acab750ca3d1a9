FROM maven:3.6.3-openjdk-11-slim AS build
WORKDIR /app
COPY java .
RUN mvn -B -q package
FROM openjdk:11-jre-slim
COPY --from=build /app/target/app.jar /app/target/dependency /app/
ENTRYPOINT ["java", "-cp", "/app/*", "x.App"]
