# A secret that is in no file at all: a build argument stays in the history, an environment variable in the configuration.
# Token and password are made up.
ARG BASE=alpine:3.18

FROM ${BASE}
ARG API_TOKEN=tok_q7Xv2LmZ9pRk4TwY8nBd
ENV DB_PASSWORD=kT9vQ2mX7pL4wZ8rNc3B
RUN echo -n "$API_TOKEN" | wc -c > /etc/secret-length.txt
USER 65532:65532
CMD ["cat", "/etc/secret-length.txt"]
