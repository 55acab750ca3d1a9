# Multi-stage for Java: Maven in the first stage, a runtime with a shell in the second. awk is the base's.
# A private CA, where there is one, comes as a secret: it is in no layer.
ARG MAVEN=maven:3-eclipse-temurin-17
ARG BASE=eclipse-temurin:17-jre

FROM ${MAVEN} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.m2 --mount=type=secret,id=ca_bundle \
    if [ -s /run/secrets/ca_bundle ]; then \
      cp "$JAVA_HOME/lib/security/cacerts" /tmp/trust && \
      awk '/BEGIN CERT/{n++; f=sprintf("/tmp/ca-%04d.pem", n)} n{print > f}' /run/secrets/ca_bundle && \
      for file in $(ls -r /tmp/ca-*.pem | head -n 5); do \
        keytool -importcert -noprompt -storepass changeit -keystore /tmp/trust -alias "$file" -file "$file" >/dev/null 2>&1; \
      done; \
      trust="-Djavax.net.ssl.trustStore=/tmp/trust -Djavax.net.ssl.trustStorePassword=changeit"; \
    fi; \
    MAVEN_OPTS="$MAVEN_OPTS $trust" mvn -B -ntp -q -DskipTests package dependency:copy-dependencies -DincludeScope=runtime

FROM ${BASE}
COPY --from=build /src/target/dependency /app/libs
COPY --from=build /src/target/classes /app/classes
LABEL org.opencontainers.image.title="vulnerable-awk-playground-java" \
      org.opencontainers.image.description="Runs AWK scripts that its callers provide; vulnerable on purpose" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV LC_ALL=C.UTF-8 JDK_JAVA_OPTIONS=--add-opens=java.base/java.lang=ALL-UNNAMED
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["java", "-cp", "/app/classes:/app/libs/*", "deadweight.playground.Main"]
