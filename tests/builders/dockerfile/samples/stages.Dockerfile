# a comment
ARG GO=golang:1
ARG BASE
arg OTHER="x y"
FROM ${GO} AS build
RUN echo one \
    # a comment inside
    && echo FROM nothing
FROM build AS tested
from --platform=linux/amd64 $BASE as final
COPY <<EOF /x
FROM inside-a-heredoc
EOF
FROM final
