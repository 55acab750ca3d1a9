FROM eclipse-temurin:17-jdk-alpine AS jre-build
RUN apk add --no-cache binutils && $JAVA_HOME/bin/jlink --add-modules java.base,jdk.httpserver,java.logging --strip-debug --no-man-pages --no-header-files --compress=2 --output /javaruntime
WORKDIR /src
COPY java/src/main/java .
RUN javac x/App.java
FROM debian:bookworm-slim
ENV JAVA_HOME=/opt/java/openjdk
ENV PATH="${JAVA_HOME}/bin:${PATH}"
COPY --from=jre-build /javaruntime $JAVA_HOME
COPY --from=jre-build /src /app
CMD ["java", "-cp", "/app", "x.App"]
