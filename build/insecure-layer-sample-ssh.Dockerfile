# An SSH key for the build, say to clone a private repository: the instruction may use the agent, the key is never copied in.
ARG BASE=alpine:3.18

FROM ${BASE}
RUN --mount=type=ssh,required=true test -S "$SSH_AUTH_SOCK" && echo "an agent answered at build time" > /etc/clone.txt
USER 65532:65532
CMD ["cat", "/etc/clone.txt"]
