# Multi-stage for Java: Maven in the first stage, a runtime with a shell in the second. awk is the base's.
# Java reads neither a PEM bundle nor proxy variables: where there are a private CA or proxies, a trust store and Maven settings
# come as secrets, which are in no layer.
ARG MAVEN=maven:3-eclipse-temurin-17
ARG BASE=eclipse-temurin:17-jre

FROM ${MAVEN} AS build
ARG MAVEN_OPTS=
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.m2 \
    --mount=type=secret,id=java_trust_store --mount=type=secret,id=maven_settings \
    set -- -B -ntp -q -Dstyle.color=never; \
    if [ -s /run/secrets/java_trust_store ]; then \
      set -- "$@" -Djavax.net.ssl.trustStore=/run/secrets/java_trust_store; \
    fi; \
    if [ -s /run/secrets/maven_settings ]; then set -- "$@" -gs /run/secrets/maven_settings; fi; \
    mvn "$@" -Dmaven.test.skip=true -DincludeScope=runtime \
      package org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies

FROM ${BASE}
COPY --from=build /src/target/dependency /app/libs
COPY --from=build /src/target/classes /app/classes
LABEL org.opencontainers.image.title="vulnerable-awk-playground-java" \
      org.opencontainers.image.description="Runs AWK scripts that its callers provide; vulnerable on purpose" \
      org.opencontainers.image.licenses="Apache-2.0"
# One collector thread and the quick compiler: a service this small has ended its start before the others pay.
ENV LC_ALL=C.UTF-8 \
    JDK_JAVA_OPTIONS="--add-opens=java.base/java.lang=ALL-UNNAMED -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["java", "-cp", "/app/classes:/app/libs/*", "deadweight.playground.Main"]
