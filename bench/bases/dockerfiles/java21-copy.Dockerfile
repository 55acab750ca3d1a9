FROM debian:trixie-slim
ENV JAVA_HOME=/opt/java/openjdk
COPY --from=eclipse-temurin:21-jre $JAVA_HOME $JAVA_HOME
ENV PATH="${JAVA_HOME}/bin:${PATH}"
COPY java/src/main/java /app
COPY --from=maven:3.9-eclipse-temurin-21-alpine $JAVA_HOME /jdk
RUN cd /app && /jdk/bin/javac x/App.java
CMD ["java", "-cp", "/app", "x.App"]
