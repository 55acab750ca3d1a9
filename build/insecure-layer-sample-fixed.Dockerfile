# The same work with a secret mount: the secret is there while the instruction runs, and in no layer, history or environment.
ARG BASE=alpine:3.18

FROM ${BASE}
RUN --mount=type=secret,id=password,required=true wc -c < /run/secrets/password > /etc/secret-length.txt
USER 65532:65532
CMD ["cat", "/etc/secret-length.txt"]
